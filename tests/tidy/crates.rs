//! Rules about crates: their layers, names, dependencies, and the order of their modules.

use std::path::{Path, PathBuf};

use crate::tree::{
    FOREIGN_CRATE, LAYERS, assert_none, crate_folder, is_test, read, root, rust_files, shown,
};

const PACKAGES_MAX: usize = 450;
/// Outside crates that may be used in these crates only.
const CONFINED: [(&str, &[&str]); 17] = [
    ("sqlx", &["store", "queue"]),
    ("libsqlite3-sys", &["store", "queue"]),
    ("axum", &["service", "ingest", "aggregator", "api"]),
    ("prometheus", &["service", "ingest", "aggregator", "api"]),
    ("clap", &["replay", "recount", "gatemeter"]),
    ("anyhow", &["replay", "recount", "gatemeter"]),
    ("rdkafka", &["queue", "kafka-id"]),
    ("redis", &["cache"]),
    ("moka", &["cache"]),
    ("csv", &["api"]),
    ("flate2", &["ingest", "aggregator", "api", "replay"]),
    ("zstd", &["ingest", "replay"]),
    ("libm", &["replay"]),
    ("tiktoken-rs", &["tokens"]),
    ("utoipa", &["service", "api"]),
    ("utoipa-axum", &["service", "api"]),
    (
        "serde_json",
        &["event", "tokens", "service", "ingest", "api", "replay", "recount", "gatemeter"],
    ),
];

#[test]
fn a_package_is_named_as_its_folder_and_its_logs_are_ours() {
    let telemetry = read(&crate_folder("service").join("src/telemetry.rs"));
    let mut breaches = Vec::new();
    for (name, layer) in LAYERS {
        let manifest = read(&crate_folder(name).join("Cargo.toml"));
        if !manifest.contains(&format!("[package]\nname = \"{name}\"\n")) {
            breaches.push(format!("the package in the folder of {name} has another name"));
        }
        if !telemetry.contains(&format!("    \"{}\",\n", name.replace('-', "_"))) {
            breaches.push(format!("logs of {name} are not among OUR_CRATES of service"));
        }
        let line = format!(
            "\n{name} = {{ path = \"{}\"",
            crate_folder(name).strip_prefix(root()).unwrap_or(Path::new("")).display()
        );
        if layer < 4 && !read(&root().join("Cargo.toml")).contains(&line) {
            breaches.push(format!("{name} is renamed in the dependencies of the workspace"));
        }
    }
    assert_none(&breaches);
}

#[test]
fn modules_use_only_those_above_their_own() {
    let mut breaches = Vec::new();
    for (name, _) in LAYERS {
        let top = if name == "gatemeter" { "src/main.rs" } else { "src/lib.rs" };
        let source = crate_folder(name).join("src");
        let order: Vec<String> = read(&crate_folder(name).join(top))
            .lines()
            .filter_map(|line| {
                let line = line.trim_start_matches("pub ");
                let line = line.trim_start_matches("pub(crate) ");
                Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
            })
            .collect();
        for (idx, module) in order.iter().enumerate() {
            for path in module_files(&source, module) {
                for used in used_modules(&read(&path)) {
                    let is_below = order.iter().position(|other| *other == used);
                    if is_below.is_some_and(|other| other > idx) {
                        breaches.push(format!("{}: uses {used}, listed below", shown(&path)));
                    }
                }
            }
        }
    }
    assert_none(&breaches);
}

/// The files of a module: its own and those in its folder.
fn module_files(source: &Path, module: &str) -> Vec<PathBuf> {
    let own = source.join(format!("{module}.rs"));
    let folder = source.join(module);
    let is_own = |path: &PathBuf| *path == own || path.starts_with(&folder);
    rust_files().into_iter().filter(|path| is_own(path) && !is_test(path)).collect()
}

/// First segments behind `crate::` in code.
fn used_modules(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            let module: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            used.push(module);
        }
    }
    used
}

#[test]
fn crates_depend_downward_and_outside_crates_stay_confined() {
    let mut breaches = Vec::new();
    for (name, layer) in LAYERS {
        let manifest = read(&crate_folder(name).join("Cargo.toml"));
        let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap_or_default();
        for line in section.lines() {
            let used: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            if let Some((_, other)) = LAYERS.iter().find(|(other, _)| *other == used)
                && *other >= layer
            {
                breaches.push(format!("{name} depends on {used}, which is not below it"));
            }
            if let Some((_, allowed)) = CONFINED.iter().find(|(other, _)| *other == used)
                && !allowed.contains(&name)
            {
                breaches.push(format!("{name} depends on {used}, which is confined"));
            }
        }
    }
    assert_none(&breaches);
}

/// A recount shares no type with the code whose counts it checks: what it knows of the ledger comes
/// through `store::plain`, which shows none either.
#[test]
fn a_recount_shares_nothing_with_the_code_that_counts() {
    let mut breaches = Vec::new();
    let manifest = read(&crate_folder("recount").join("Cargo.toml"));
    for section in manifest.split("\n[").filter(|text| !text.starts_with("dev-dependencies]")) {
        for name in ["event", "ledger"].iter().filter(|name| section.contains(**name)) {
            breaches.push(format!("recount depends on {name}"));
        }
    }
    let source = crate_folder("recount").join("src");
    for path in rust_files().iter().filter(|path| path.starts_with(&source)) {
        let (text, name) = (read(path), shown(path));
        let is_code = |line: &&str| !is_test(path) && !line.trim().starts_with("//");
        for line in text.lines().filter(is_code) {
            let n_plain = line.matches("store::plain").count();
            let is_whole = line.starts_with("use store ") || line.starts_with("use store;");
            if is_whole || n_plain < line.matches("store::").count() {
                breaches.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    let plain = read(&crate_folder("store").join("src/plain.rs"));
    let convert = read(&crate_folder("store").join("src/plain/convert.rs"));
    let own = ["use ledger::", "use event::", "use crate::"];
    let lines = plain.lines().chain(convert.lines());
    let imports = lines.filter(|line| own.iter().any(|start| line.starts_with(start)));
    let hidden: Vec<&str> = imports
        .flat_map(names)
        .filter(|name| !["Result", "use", "self"].contains(name) && *name != name.to_uppercase())
        .collect();
    assert!(hidden.contains(&"FullLabels") && hidden.contains(&"Reader"), "{hidden:?}");
    // A field of a tuple is private.
    let is_public = |line: &&str| line.starts_with("pub ") && !line.starts_with("pub struct ");
    for line in plain.lines().map(str::trim_start).filter(is_public) {
        let is_shown = |name: &&&str| match name.starts_with(char::is_uppercase) {
            true => names(line).contains(*name),
            false => line.contains(&format!("{name}::")),
        };
        for name in hidden.iter().filter(is_shown) {
            breaches.push(format!("store::plain shows {name}"));
        }
    }
    assert_none(&breaches);
}

/// The names in a line of code.
fn names(line: &str) -> Vec<&str> {
    let names = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_crate_takes_the_lints_of_the_house() {
    let root_manifest = read(&root().join("Cargo.toml"));
    assert!(root_manifest.contains("unsafe_code = \"forbid\""));
    let breaches: Vec<String> = LAYERS
        .iter()
        .filter(|(name, _)| *name != FOREIGN_CRATE)
        .map(|(name, _)| crate_folder(name).join("Cargo.toml"))
        .filter(|path| !read(path).contains("[lints]\nworkspace = true"))
        .map(|path| shown(&path))
        .collect();
    assert_none(&breaches);
}

#[test]
fn the_lock_file_stays_within_its_budget() {
    let n = read(&root().join("Cargo.lock")).matches("[[package]]").count();
    assert!(n <= PACKAGES_MAX, "{n} packages in Cargo.lock, budget {PACKAGES_MAX}");
}

/// Where a package came from on one machine is of no use on another.
#[test]
fn the_lock_file_of_the_front_end_names_no_other_registry_than_the_public_one() {
    let text = read(&root().join("frontend/package-lock.json"));
    let lines = text.lines().filter(|line| line.contains("\"resolved\":"));
    let breaches: Vec<String> = lines
        .filter(|line| !line.contains("\"https://registry.npmjs.org/"))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_none(&breaches);
}

#[test]
fn the_image_is_built_from_every_crate() {
    let (manifest, sent) = (read(&root().join("Cargo.toml")), read(&root().join(".dockerignore")));
    let members = manifest.split_once("members = [").expect("members").1;
    let members = members.split_once(']').expect("an end of the members").0;
    let folders = members.split('"').skip(1).step_by(2).filter_map(|path| path.split('/').next());
    let breaches: Vec<String> = folders
        .chain(["frontend/dist", "frontend/public"])
        .filter(|folder| !sent.lines().any(|line| line == format!("!{folder}")))
        .map(|folder| format!(".dockerignore leaves out {folder}"))
        .collect();
    assert_none(&breaches);
}
