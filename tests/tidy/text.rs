//! Rules about the text of a file.

use crate::tree::{
    FOREIGN_CRATE, assert_none, crate_folder, files, is_test, read, root, rust_files, shown,
};

const FILE_LINES_MAX: usize = 500;
const LINE_COLUMNS_MAX: usize = 100;
/// The one module with unsafe code: the file, and its tests.
const FOREIGN_FILES: [&str; 2] =
    ["crates/kafka-id/src/foreign.rs", "crates/kafka-id/src/foreign/tests.rs"];

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
fn lines_end_where_their_text_does_and_files_with_a_line() {
    let mut breaches = Vec::new();
    for path in files(&[".rs", ".sh", ".lua", ".ts", ".tsx", ".js", ".css", ".html", ".conf"]) {
        let text = read(&path);
        for (idx, line) in text.lines().enumerate().filter(|(_, line)| line.ends_with([' ', '\t']))
        {
            breaches.push(format!("{}:{}: {line:?}", shown(&path), idx + 1));
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            breaches.push(format!("{}: ends without a line, or with an empty one", shown(&path)));
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
fn no_module_is_a_mod_rs() {
    let breaches: Vec<String> = rust_files()
        .iter()
        .filter(|path| path.ends_with("mod.rs"))
        .map(|path| shown(path))
        .collect();
    assert_none(&breaches);
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
        "clock::",
        "async fn",
        "tokio",
        "rand::",
    ];
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        if !(name.starts_with("crates/event/src") || name.starts_with("crates/ledger/src"))
            || is_test(&path)
        {
            continue;
        }
        let text = read(&path);
        for (idx, line) in text.lines().enumerate() {
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

/// One reader of wall time, so that the two kinds of time stay two types. The clock guard of the
/// queue reads wall clock and boot clock together.
#[test]
fn only_the_clock_reads_wall_time() {
    let readers = ["crates/clock/src/", "crates/queue/src/clock.rs", "tests/tidy/"];
    let banned = ["SystemTime", "UNIX_EPOCH", "Timestamp::now", "Zoned::now", "Realtime"];
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        if readers.iter().any(|reader| name.starts_with(reader)) {
            continue;
        }
        for (idx, line) in read(&path).lines().enumerate() {
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
        if is_test(&path) || name.starts_with("benches") {
            continue;
        }
        let text = read(&path);
        for (idx, line) in text.lines().enumerate() {
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
        .filter(|path| {
            !FOREIGN_FILES.contains(&&*shown(path)) && !shown(path).starts_with("tests/")
        })
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
    for path in rust_files().iter().filter(|path| !is_test(path)) {
        let code = read(path);
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
                    breaches.push(format!("{}: {message:?}", shown(path)));
                }
            }
        }
    }
    assert_none(&breaches);
}

#[test]
fn tests_of_a_module_lie_beside_it() {
    let mut breaches = Vec::new();
    for path in rust_files() {
        let text = read(&path);
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let item = if line == "#[cfg(test)]" { lines.next() } else { None };
            if let Some(item) =
                item.filter(|item| item.starts_with("mod ") && *item != "mod tests;")
            {
                breaches.push(format!("{}: {item}", shown(&path)));
            }
        }
    }
    assert_none(&breaches);
}
