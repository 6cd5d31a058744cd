//! The built-in pages in a real browser: the page shows what the API says, in both languages, and
//! the description of the API is drawn under a policy that lets it load nothing from elsewhere.

use std::process::Command;

use serde_json::Value;

use crate::gatemeter::{Place, post, wait_for};
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

/// The page as it stands after a while.
fn page(place: &Place, query: &str) -> String {
    shown(place, &format!("/?{query}")).0
}

/// The text of the element with this id.
fn text_of<'a>(page: &'a str, id: &str) -> &'a str {
    let from = page.find(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no {id}: {page}"));
    let from = from + page[from..].find('>').expect("the end of a tag") + 1;
    &page[from..from + page[from..].find('<').expect("a tag")]
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
    for (scope, lang, words) in [
        ("all", "en", ["Success rate", "Requests by namespace", "Tokens over time"]),
        ("wechat", "zh", ["成功率", "各命名空间请求数", "token 趋势"]),
        ("alipay", "en", ["Mean response time", "Errors", "At a glance"]),
    ] {
        let query = format!("range=today&lang={lang}&namespace={scope}");
        let shown = page(&place, &query);
        let path = format!("/api/metrics/namespaces/{scope}/stats?timeRange=today");
        let stats = place.api(&path);
        for (id, number) in [
            ("requests", &stats["totalRequests"]),
            ("errors", &stats["errors"]),
            ("input", &stats["tokens"]["input"]),
            ("output", &stats["tokens"]["output"]),
            ("trend-total", &stats["totalRequests"]),
        ] {
            assert_eq!(text_of(&shown, id), grouped(number), "{scope} {id}");
        }
        let rate = stats["successRate"].as_f64().expect("a share");
        assert_eq!(text_of(&shown, "success"), format!("{:.2} %", rate * 100.0));
        assert_eq!(text_of(&shown, "latency"), "813 ms");
        for word in words {
            assert!(shown.contains(word), "{lang}: {word}");
        }
        assert!(shown.contains(&format!("lang=\"{lang}\"")), "{lang}");
        let wechat = shown.find("<th>wechat</th><td>1,200</td>");
        assert!(wechat.is_some(), "requests by namespace: {shown}");
    }
    // Nobody has sent anything: the page says so.
    let empty = Place::new();
    let _running = empty.start();
    wait_for("the empty page", || {
        let shown = page(&empty, "lang=zh");
        text_of(&shown, "requests") == "0" && text_of(&shown, "success") == "–"
    });
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
