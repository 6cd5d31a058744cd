//! The house rules that a reader of text can check; CONTRIBUTING.md lists them.
//!
//! Each test collects every breach and then fails once, so that one run shows all there is to mend.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 500;
const LINE_COLUMNS_MAX: usize = 100;
const PACKAGES_MAX: usize = 450;
/// The crate whose lints allow unsafe code in one file.
const FOREIGN_CRATE: &str = "kafka-id";
/// That file.
const FOREIGN_FILE: &str = "crates/kafka-id/src/foreign.rs";
/// The crates from the foundation up; one may use only those of lower layers.
const LAYERS: [(&str, u8); 14] = [
    ("event", 0),
    ("kafka-id", 0),
    ("queue", 1),
    ("tokens", 1),
    ("ledger", 1),
    ("store", 2),
    ("service", 2),
    ("cache", 2),
    ("replay", 3),
    ("recount", 3),
    ("ingest", 3),
    ("aggregator", 3),
    ("api", 3),
    ("gatemeter", 4),
];
/// Outside crates that may be used in these crates only.
const CONFINED: [(&str, &[&str]); 14] = [
    ("sqlx", &["store", "queue"]),
    ("libsqlite3-sys", &["store", "queue"]),
    ("axum", &["service", "ingest", "aggregator", "api"]),
    ("prometheus", &["service", "ingest", "aggregator", "api"]),
    ("clap", &["replay", "recount", "gatemeter"]),
    ("anyhow", &["replay", "recount", "gatemeter"]),
    ("rdkafka", &["queue", "kafka-id"]),
    ("redis", &["cache"]),
    ("moka", &["cache"]),
    ("flate2", &["ingest", "aggregator", "replay"]),
    ("zstd", &["ingest", "replay"]),
    ("libm", &["replay"]),
    ("tiktoken-rs", &["tokens"]),
    (
        "serde_json",
        &["event", "tokens", "service", "ingest", "api", "replay", "recount", "gatemeter"],
    ),
];
/// The crates of layer 3 that lie beside the program; the tools lie in `crates`.
const ROLES: [&str; 3] = ["ingest", "aggregator", "api"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below the house with one of these endings, without what is generated or fetched.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "gatemeter-data" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn rust_files() -> Vec<PathBuf> {
    files(&[".rs"])
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

/// Folder of a crate: the program is at the root, the roles beside it, and the others in `crates`.
fn crate_folder(name: &str) -> PathBuf {
    match name {
        "gatemeter" => root(),
        _ if ROLES.contains(&name) => root().join(name),
        _ => root().join("crates").join(name),
    }
}

#[test]
fn files_are_short_and_lines_fit_the_screen() {
    let mut breaches = Vec::new();
    for path in files(&[".rs", ".sh", ".lua", ".ts", ".tsx", ".js"]) {
        let text = read(&path);
        let n_lines = text.lines().count();
        if n_lines > FILE_LINES_MAX {
            breaches.push(format!("{}: {n_lines} lines", shown(&path)));
        }
        for (idx, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                breaches.push(format!("{}:{}: {columns} columns", shown(&path), idx + 1));
            }
        }
    }
    assert_none(&breaches);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let breaches: Vec<String> = rust_files()
        .iter()
        .filter(|path| !read(path).starts_with("//!"))
        .map(|path| format!("{}: does not open with //!", shown(path)))
        .collect();
    assert_none(&breaches);
}

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
    rust_files().into_iter().filter(|path| *path == own || path.starts_with(&folder)).collect()
}

/// First segments behind `crate::` in code, without what tests use.
fn used_modules(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for line in without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            let module: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            used.push(module);
        }
    }
    used
}

/// The text up to the first test module.
fn without_tests(text: &str) -> &str {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    &text[..end]
}

#[test]
fn no_module_is_a_mod_rs() {
    let breaches: Vec<String> = rust_files()
        .iter()
        .filter(|path| path.ends_with("mod.rs"))
        .map(|path| shown(path))
        .collect();
    assert_none(&breaches);
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
        let is_code = |line: &&str| !name.contains("src/tests") && !line.trim().starts_with("//");
        for line in text.lines().filter(is_code) {
            let n_plain = line.matches("store::plain").count();
            let is_whole = line.starts_with("use store ") || line.starts_with("use store;");
            if is_whole || n_plain < line.matches("store::").count() {
                breaches.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    let plain = read(&crate_folder("store").join("src/plain.rs"));
    let own = ["use ledger::", "use event::", "use crate::"];
    let imports = plain.lines().filter(|line| own.iter().any(|start| line.starts_with(start)));
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
fn the_pure_crates_have_no_clock_no_chance_and_no_io() {
    let banned = [
        "std::time",
        "std::fs",
        "std::net",
        "std::thread",
        "Instant",
        "SystemTime",
        "async fn",
        "tokio",
        "rand::",
    ];
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        if !(name.starts_with("crates/event/src") || name.starts_with("crates/ledger/src"))
            || name.contains("tests")
        {
            continue;
        }
        let text = read(&path);
        for (idx, line) in without_tests(&text).lines().enumerate() {
            if line.trim_start().starts_with("//") {
                continue;
            }
            for word in banned.iter().filter(|word| line.contains(**word)) {
                breaches.push(format!("{name}:{}: {word}", idx + 1));
            }
        }
    }
    assert_none(&breaches);
}

#[test]
fn nothing_gives_up_outside_tests() {
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        if name.contains("tests") || name.starts_with("benches") {
            continue;
        }
        let text = read(&path);
        for (idx, line) in without_tests(&text).lines().enumerate() {
            let banned = [".unwrap()", "todo!(", "dbg!(", "unimplemented!(", "#[allow("];
            for word in banned.iter().filter(|word| line.contains(**word)) {
                if !line.trim_start().starts_with("//") {
                    breaches.push(format!("{name}:{}: {word}", idx + 1));
                }
            }
        }
    }
    assert_none(&breaches);
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
fn unsafe_code_stays_in_the_one_leaf_that_calls_foreign_functions() {
    let manifest = read(&crate_folder(FOREIGN_CRATE).join("Cargo.toml"));
    assert!(manifest.contains("unsafe_code = \"deny\""), "it takes the lint back where it must");
    // Every other lint of the house holds there too.
    let root_manifest = read(&root().join("Cargo.toml"));
    let lints = root_manifest.split("[workspace.lints.rust]").nth(1).unwrap_or_default();
    let lints = lints.split("[profile").next().unwrap_or_default();
    for line in lints.lines().filter(|line| line.contains(" = ") && !line.contains("unsafe_code")) {
        assert!(manifest.contains(line), "{line} is not in the manifest of {FOREIGN_CRATE}");
    }
    let breaches: Vec<String> = rust_files()
        .iter()
        .filter(|path| shown(path) != FOREIGN_FILE && !shown(path).starts_with("tests/"))
        .filter(|path| {
            let text = read(path);
            let mut code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            code.any(|line| line.contains("unsafe ") || line.contains("expect(unsafe_code"))
        })
        .map(|path| shown(path))
        .collect();
    assert_none(&breaches);
}

#[test]
fn log_messages_are_lower_case_without_a_full_stop() {
    let mut breaches = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        let code = without_tests(&text);
        for level in ["error!(", "warn!(", "info!(", "debug!(", "trace!("] {
            for (at, _) in code.match_indices(level) {
                let before = code[..at].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '!') {
                    continue;
                }
                let call = code[at..].split(");").next().unwrap_or_default();
                let Some(message) = call.split('"').nth_back(1) else { continue };
                let first = message.chars().next().unwrap_or('a');
                if first.is_uppercase() || message.ends_with('.') {
                    breaches.push(format!("{}: {message:?}", shown(&path)));
                }
            }
        }
    }
    assert_none(&breaches);
}

#[test]
fn every_metric_is_documented() {
    let page = read(&root().join("docs/metrics.md"));
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        let is_role = LAYERS
            .iter()
            .any(|(other, layer)| *layer >= 2 && path.starts_with(crate_folder(other).join("src")));
        if !is_role {
            continue;
        }
        let text = read(&path);
        for part in without_tests(&text).split("\"gatemeter_").skip(1) {
            let metric: String =
                part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if part[metric.len()..].starts_with('"')
                && !page.contains(&format!("gatemeter_{metric}"))
            {
                breaches.push(format!("{name}: gatemeter_{metric} is not in docs/metrics.md"));
            }
        }
    }
    assert_none(&breaches);
}

/// Service discovery gives targets labels such as `namespace`; without this ours would be renamed,
/// and every rule and panel by namespace would speak of the cluster's.
#[test]
fn every_scrape_job_of_ours_that_we_ship_or_print_keeps_our_labels() {
    let (mut n_jobs, mut breaches) = (0, Vec::new());
    for path in files(&[".md", ".yml", ".yaml"]) {
        let text = read(&path);
        for part in text.split("job_name:").skip(1) {
            let job = part.split("```").next().unwrap_or_default();
            let name = job.lines().next().unwrap_or_default().trim().trim_matches('"');
            if name.starts_with("gatemeter") {
                n_jobs += 1;
                if !job.lines().any(|line| line.trim() == "honor_labels: true") {
                    breaches.push(format!("{}: job {name}", shown(&path)));
                }
            }
        }
        for part in text.split("kind: ServiceMonitor").skip(1) {
            let monitor = part.split("```").next().unwrap_or_default();
            if !monitor.contains("honorLabels: true") {
                breaches.push(format!("{}: a ServiceMonitor", shown(&path)));
            }
        }
    }
    assert!(n_jobs >= 8, "five jobs are shipped and three printed, found {n_jobs}");
    assert_none(&breaches);
}

#[test]
fn the_lock_file_stays_within_its_budget() {
    let n = read(&root().join("Cargo.lock")).matches("[[package]]").count();
    assert!(n <= PACKAGES_MAX, "{n} packages in Cargo.lock, budget {PACKAGES_MAX}");
}

#[test]
fn the_image_is_built_from_every_crate() {
    let (manifest, sent) = (read(&root().join("Cargo.toml")), read(&root().join(".dockerignore")));
    let members = manifest.split_once("members = [").expect("members").1;
    let members = members.split_once(']').expect("an end of the members").0;
    let folders = members.split('"').skip(1).step_by(2).filter_map(|path| path.split('/').next());
    let breaches: Vec<String> = folders
        .filter(|folder| !sent.lines().any(|line| line == format!("!{folder}")))
        .map(|folder| format!(".dockerignore leaves out {folder}"))
        .collect();
    assert_none(&breaches);
}

#[test]
fn both_readmes_change_together() {
    let headings = |name: &str| {
        let text = read(&root().join(name));
        let mut is_code = false;
        text.lines()
            .filter(|line| {
                is_code ^= line.starts_with("```");
                !is_code && line.starts_with("## ")
            })
            .count()
    };
    assert_eq!(headings("README.md"), headings("README.zh-CN.md"), "sections of the two READMEs");
}
