//! Rules about what the documents and settings say.

use crate::tree::{
    LAYERS, assert_none, crate_folder, files, is_test, read, root, rust_files, shown,
};

#[test]
fn every_metric_is_documented() {
    let page = read(&root().join("docs/metrics.md"));
    let mut breaches = Vec::new();
    for path in rust_files() {
        let name = shown(&path);
        let is_role = LAYERS
            .iter()
            .any(|(other, layer)| *layer >= 2 && path.starts_with(crate_folder(other).join("src")));
        if !is_role || is_test(&path) {
            continue;
        }
        let text = read(&path);
        for part in text.split("\"gatemeter_").skip(1) {
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

/// Whoever is woken by an alert follows its link, and must find what to do there.
#[test]
fn every_alert_links_to_its_entry_and_every_entry_has_an_alert() {
    let manifest = read(&root().join("Cargo.toml"));
    let repository = manifest.split("\nrepository = \"").nth(1).unwrap_or_default();
    let repository = repository.split('"').next().unwrap_or_default();
    let rules = read(&root().join("monitoring/rules/alerts.yml"));
    let page = read(&root().join("docs/alerts.md"));
    let (mut alerts, mut entries, mut breaches) = (Vec::new(), Vec::new(), Vec::new());
    for rule in rules.split("- alert: ").skip(1) {
        let alert = rule.lines().next().unwrap_or_default();
        let anchor = alert.to_lowercase();
        let link = format!("runbook_url: {repository}/blob/main/docs/alerts.md#{anchor}");
        if !rule.lines().any(|line| line.trim() == link) {
            breaches.push(format!("{alert}: no line {link}"));
        }
        alerts.push(alert);
    }
    for entry in page.split("\n### ").skip(1) {
        let entry = entry.split("\n## ").next().unwrap_or_default();
        let name = entry.lines().next().unwrap_or_default();
        for part in ["\n\n**Means.** ", "\n\n**Look at.** ", "\n\n**Do.**\n\n1. "] {
            if entry.matches(part).count() != 1 {
                breaches.push(format!("docs/alerts.md: {name}: not one part {part:?}"));
            }
        }
        entries.push(name);
    }
    assert!(!alerts.is_empty(), "no alert was found");
    assert_eq!(entries, alerts, "docs/alerts.md has the alerts of the rules, in their order");
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
