//! The built-in pages in a real browser: the page shows what the API says, in both languages, and
//! the description of the API is drawn under a policy that lets it load nothing from elsewhere.

use std::process::Command;

use serde_json::Value;

use crate::gatemeter::{Place, post};
use crate::totals::event;

/// Milliseconds of the page's own clock that the browser lets pass before it is read.
const PAGE_MS: u32 = 6_000;

/// A page as it stands after a while, and what the browser said, its console included.
fn shown(place: &Place, path: &str) -> (String, String) {
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg("--enable-logging=stderr")
        .arg(format!("--user-data-dir={}", place.file("browser").display()))
        .arg(format!("--virtual-time-budget={PAGE_MS}"))
        .args(["--dump-dom", &format!("http://127.0.0.1:{}{path}", place.api)])
        .output()
        .expect("chromium runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    (String::from_utf8(output.stdout).expect("a page in UTF-8"), said.into_owned())
}

/// The number of the API that a page shows as this figure, and how it shows it.
fn figure<'a>(page: &'a str, name: &str) -> (&'a str, &'a str) {
    let at = page.find(&format!("data-figure=\"{name}\""));
    let at = at.unwrap_or_else(|| panic!("no {name}: {page}"));
    let end = at + page[at..].find("</data>").expect("the end of a figure");
    let (tag, shown) = page[at..end].split_once('>').expect("the end of a tag");
    let value = tag.split("data-value=\"").nth(1).expect("a value");
    (value.split('"').next().expect("the end of a value"), shown)
}

/// A whole number in groups of three.
fn grouped(number: &Value) -> String {
    let digits = number.as_i64().expect("whole").to_string();
    let mut shown = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// The walk of scripts/page-test.sh looks at every figure of every page; this one needs no Node.
#[test]
fn the_page_shows_the_numbers_of_the_api_in_both_languages() {
    let place = Place::new();
    let _running = place.start();
    let mut events: Vec<Value> = (0..1_200).map(|n| event(&format!("w-{n}"), "wechat")).collect();
    events.extend((0..30).map(|n| event(&format!("a-{n}"), "alipay")));
    for failed in &mut events[..60] {
        failed["status"] = 500.into();
    }
    let body = serde_json::to_vec(&events).expect("JSON");
    assert_eq!(post(place.ingest, "/v1/events", &[], &body).expect("an answer").status, 200);
    place.wait_events("counted", 1_230);
    for (lang, tag, words) in [
        ("en", "en", ["Success rate", "Top namespaces", "wechat"]),
        ("zh", "zh-CN", ["成功率", "命名空间", "wechat"]),
    ] {
        let (page, said) = shown(&place, &format!("/?range=24h&lang={lang}"));
        assert!(!said.contains("CONSOLE"), "{said}");
        let stats = place.api("/api/metrics/namespaces/all/stats?timeRange=24h");
        for (name, number) in [
            ("requests", &stats["totalRequests"]),
            ("input", &stats["tokens"]["input"]),
            ("output", &stats["tokens"]["output"]),
        ] {
            let (value, shown) = figure(&page, &format!("overview.{name}"));
            assert_eq!(value, number.to_string(), "{name}");
            // A rounded one has all of its digits beside it.
            assert!(shown.contains(&grouped(number)), "{name}: {shown}");
        }
        let rate = stats["successRate"].as_f64().expect("a share");
        for (name, text) in
            [("successRate", format!(">{:.2}%<", rate * 100.0)), ("mean", ">813 ms<".to_owned())]
        {
            let (_, shown) = figure(&page, &format!("overview.{name}"));
            assert!(format!(">{shown}<").contains(&text), "{name}: {shown}");
        }
        for word in words {
            assert!(page.contains(word), "{lang}: {word}");
        }
        assert!(page.contains(&format!("lang=\"{tag}\"")), "{lang}");
    }
}

/// Whatever the policy forbids is a line on the console, and so is an error of the script.
#[test]
fn the_description_is_drawn_whole_and_breaks_no_rule_of_its_policy() {
    let place = Place::new();
    let _running = place.start();
    for (path, words) in [
        ("/docs", &["Gatemeter API", "OAS 3.1", "/api/namespaces/{id}/status", "/readyz"][..]),
        ("/docs#/Usage/usage", &["What to group by", "Execute", "kept_since"]),
        ("/docs#/Tokens/countTokens", &["o200k_base", "hello world"]),
    ] {
        let (drawn, said) = shown(&place, path);
        for word in words {
            // Swagger UI lets paths break behind each slash.
            let drawn = drawn.replace("<wbr>", "").replace('\u{200b}', "");
            assert!(drawn.contains(word), "{path}: {word}: {drawn}");
        }
        assert!(!said.contains("CONSOLE"), "{path}: {said}");
    }
}
