//! Dead letters: the list, and sending them again.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use clock::Wall;
use http::{HeaderMap, Request, StatusCode};
use ledger::account::Class;
use ledger::commit::DeadLetter;
use serde_json::{Value, json};
use service::answer::ApiError;
use service::auth::{Access, Verifier, hash_key};
use service::letters::{LetterAddress, RejectedLetter, ReplayResult};
use store::RawLetter;
use tower::ServiceExt as _;

use super::fixture::{Place, change, get};
use crate::context::Resend;

const LIST: &str = "/api/dead-letters";
const REPLAY: &str = "/api/dead-letters/replay";
/// What a foreign writer put into the log.
const PLANTED: &str = "planted prompt of somebody";

fn letter(offset: u64, class: Class, reason: &'static str) -> DeadLetter {
    DeadLetter {
        offset,
        idx: 0,
        n: 1,
        class,
        reason,
        time_us: Some(1_700_000_000_000_000),
        namespace: Some("wechat".into()),
        content: Some(PLANTED.as_bytes().into()),
        clock_us: None,
    }
}

fn raw(topic: &str, partition: u32, offset: u64, kind: &str, reason: &str) -> RawLetter {
    RawLetter {
        topic: topic.to_owned(),
        topic_id: String::new(),
        partition,
        offset,
        idx: 2,
        until: offset,
        n: 1,
        kind: kind.to_owned(),
        field: "usage.input_tokens".to_owned(),
        reason: reason.to_owned(),
        event_id: Some("<b>id</b>".to_owned()),
        stored_us: 0,
    }
}

async fn fill(place: &mut Place) {
    let far = "ahead of the log's clock";
    let mut beyond = letter(9, Class::Late, "older than the window");
    (beyond.content, beyond.n) = (None, 500);
    let letters = (0..5).map(|at| letter(at, Class::Misrouted, "key of another partition"));
    let more = [letter(7, Class::Future, far), letter(8, Class::Poison, "no frame"), beyond];
    place.commit_letters(letters.chain(more).collect()).await;
    let raws = vec![
        raw("gatemeter.raw", 0, 3, "missing", "must be given"),
        raw("gatemeter.raw", 1, 3, "syntax", "is not JSON"),
        raw("other", 1, 3, "syntax", "<script>alert(1)</script>"),
    ];
    place.store.put_raw_letters(raws, 99).await.expect("kept");
}

async fn lists_and_filters(mut place: Place) {
    let empty = place.get(LIST).await;
    assert_eq!(
        (&empty["items"], &empty["total"], &empty["groups"]),
        (&json!([]), &json!(0), &json!([]))
    );
    fill(&mut place).await;
    let now = Wall::now().as_us();
    // Another query than the one that was cached.
    let all = place.get(&format!("{LIST}?size=1000")).await;
    assert_eq!(
        (&all["total"], &all["events"], &all["pages"]),
        (&json!(11), &json!(510), &json!(1))
    );
    let items = all["items"].as_array().expect("items");
    assert_eq!(items.len(), 11);
    assert!(!all.to_string().contains("planted"), "no content is shown");
    let found = items.iter().find(|item| item["class"] == "future").expect("it is there");
    assert_eq!(found["letter"], json!({"generation": 1, "partition": 0, "offset": 7, "index": 0}));
    assert_eq!((&found["bytes"], &found["replayable"]), (&json!(PLANTED.len()), &json!(true)));
    assert_eq!((&found["namespace"], &found["message"]), (&json!("wechat"), &Value::Null));
    assert_eq!(found["time"], "2023-11-14T22:13:20Z");
    let found = items.iter().find(|item| item["class"] == "late").expect("it is there");
    assert_eq!((&found["bytes"], &found["events"]), (&Value::Null, &json!(500)));
    assert_eq!(found["replayable"], false);
    let found = items.iter().find(|item| item["class"] == "missing").expect("it is there");
    let message = json!({"topic": "gatemeter.raw", "topic_id": null, "partition": 0, "offset": 3,
        "until": 3, "index": 2, "field": "usage.input_tokens"});
    assert_eq!((&found["message"], &found["letter"]), (&message, &Value::Null));
    assert_eq!((&found["source"], &found["event_id"]), (&json!("raw"), &json!("<b>id</b>")));
    let groups = all["groups"].as_array().expect("groups");
    assert_eq!((groups.len(), &groups[0]["class"]), (7, &json!("late")));
    let sum = |name: &str| groups.iter().filter_map(|group| group[name].as_i64()).sum::<i64>();
    assert_eq!((sum("letters"), sum("events")), (11, 510));
    let (before, after) = ((now - 3_600_000_000) / 1_000_000, (now + 3_600_000_000) / 1_000_000);
    for (query, total) in [
        ("class=misrouted".to_owned(), 5),
        ("class=syntax".to_owned(), 2),
        ("class=Misrouted".to_owned(), 0),
        ("source=log".to_owned(), 8),
        ("source=raw".to_owned(), 3),
        ("topic=other".to_owned(), 1),
        ("topic=other&source=log".to_owned(), 0),
        ("partition=1".to_owned(), 2),
        ("partition=0&source=log".to_owned(), 8),
        ("partition=4294967295".to_owned(), 0),
        ("reason=no+frame".to_owned(), 1),
        ("reason=%3Cscript%3Ealert(1)%3C/script%3E&class=syntax".to_owned(), 1),
        ("reason=%27+OR+1%3D1+--".to_owned(), 0),
        (format!("from={before}"), 11),
        (format!("to={before}"), 0),
        (format!("from={before}&to={after}&source=raw"), 3),
        (format!("from={after}"), 0),
    ] {
        let data = place.get(&format!("{LIST}?{query}")).await;
        assert_eq!(data["total"], total, "{query}");
        assert_eq!(data["items"].as_array().map(Vec::len), Some(total), "{query}");
    }
    pages_are_stable(&place, items).await;
}

/// Pages of any size are the list, each letter once.
async fn pages_are_stable(place: &Place, items: &[Value]) {
    for size in [1, 3, 10, 11] {
        let mut paged = Vec::new();
        for page in 1..=11_usize.div_ceil(size) {
            let data = place.get(&format!("{LIST}?size={size}&page={page}")).await;
            paged.extend(data["items"].as_array().expect("items").clone());
            assert_eq!(data["pages"], 11_usize.div_ceil(size));
        }
        assert_eq!(paged, items, "{size}");
    }
    let beyond = place.get(&format!("{LIST}?size=1000&page=1000000")).await;
    assert_eq!((&beyond["items"], &beyond["total"]), (&json!([]), &json!(11)));
}

#[tokio::test]
async fn letters_are_listed_filtered_paged_and_counted_without_their_contents() {
    lists_and_filters(Place::open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_listed_on_a_server_too() {
    lists_and_filters(Place::on_server().await).await;
}

#[tokio::test]
async fn bad_queries_are_refused_with_the_rule() {
    let place = Place::open().await;
    for (query, message) in [
        ("source=kafka", "source must be log or raw, not \"kafka\""),
        ("partition=-1", "partition must be a whole number from 0 to 4294967295, not \"-1\""),
        ("partition=x", "partition must be a whole number"),
        ("from=5&to=5", "from must be before to"),
        ("from=soon", "from "),
        ("size=1001", "size must be a whole number from 1 to 1000"),
        ("class=", "class must not be empty"),
        ("content=1", "unknown parameter \"content\": takes source, class"),
        (&format!("reason={}", "x".repeat(256)), "reason must be at most 255 characters"),
    ] {
        let (status, text) = place.refused(&format!("{LIST}?{query}")).await;
        assert!(status == 400 && text.starts_with(message), "{query}: {status} {text}");
    }
}

/// An ingest that notes what it is sent, and takes all but the letters of partition 9.
fn fake(seen: &Arc<Mutex<Vec<LetterAddress>>>) -> Resend {
    let seen = Arc::clone(seen);
    Arc::new(move |letters: Vec<LetterAddress>| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            seen.lock().expect("no panic").extend(&letters);
            let refused = letters.iter().enumerate().filter(|(_, letter)| letter.partition == 9);
            let reason = "there is no such letter";
            let rejected: Vec<RejectedLetter> = refused
                .map(|(index, _)| RejectedLetter { index, reason: reason.to_owned() })
                .collect();
            Ok(ReplayResult { accepted: letters.len() - rejected.len(), rejected })
        })
    })
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = router.clone().oneshot(request).await.expect("routers do not fail");
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.expect("a body");
    (head.status, head.headers, serde_json::from_slice(&bytes).expect("JSON"))
}

fn address(partition: u32) -> Value {
    json!({"generation": 1, "partition": partition, "offset": 7, "index": 0})
}

#[tokio::test]
async fn letters_go_through_the_way_that_is_wired_in_and_its_answer_comes_back() {
    let place = Place::open().await;
    let seen = Arc::default();
    let router = place.with_resend(fake(&seen));
    let (_, _, shown) = ask(&router, get(REPLAY)).await;
    let available = json!({"available": true, "reason": null, "letters_max": 2_000});
    assert_eq!(shown["data"], available);
    let body = json!({"letters": [address(0), address(9), address(1)]});
    let (status, _, answer) = ask(&router, change("POST", REPLAY, &body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rejected = json!([{"index": 1, "reason": "there is no such letter"}]);
    assert_eq!(answer["data"], json!({"accepted": 2, "rejected": rejected}));
    let sent: Vec<u32> =
        seen.lock().expect("no panic").iter().map(|letter| letter.partition).collect();
    assert_eq!(sent, [0, 9, 1]);
    let (status, _, answer) = ask(&router, change("POST", REPLAY, &json!({"letters": []}))).await;
    assert_eq!((status, &answer["data"]["accepted"]), (StatusCode::OK, &json!(0)));
}

#[tokio::test]
async fn bad_bodies_other_origins_and_missing_keys_send_nothing() {
    let place = Place::open().await;
    let seen: Arc<Mutex<Vec<LetterAddress>>> = Arc::default();
    let router = place.with_resend(fake(&seen));
    let mut odd = address(0);
    odd["colour"] = json!(1);
    let mut far = address(0);
    far["offset"] = json!(u64::MAX);
    let many: Vec<Value> = (0..2_001).map(|_| address(0)).collect();
    for (body, message) in [
        (json!([]), "body: must be an object"),
        (json!({}), "body: missing field `letters`"),
        (json!({"letters": [odd]}), "body: unknown field `colour`"),
        (json!({"letters": [], "dry_run": true}), "body: unknown field `dry_run`"),
        (json!({"letters": [{"generation": 1}]}), "body: missing field `partition`"),
        (json!({"letters": [{"generation": -1}]}), "body: invalid value"),
        (json!({"letters": [far]}), "body: offset must be at most 9223372036854775807"),
        (json!({"letters": many}), "letters: a request has at most 2000"),
    ] {
        let (status, _, answer) = ask(&router, change("POST", REPLAY, &body)).await;
        let text = answer["message"].as_str().expect("a message");
        assert!(status == StatusCode::BAD_REQUEST && text.starts_with(message), "{text}");
    }
    let good = json!({"letters": [address(0)]});
    let (status, _, _) = ask(&router, change("POST", &format!("{REPLAY}?dry_run=1"), &good)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let plain = Request::post(REPLAY).body(Body::from(good.to_string())).expect("a request");
    assert_eq!(ask(&router, plain).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let mut foreign = change("POST", REPLAY, &good);
    foreign.headers_mut().insert("origin", "http://evil.example".parse().expect("a value"));
    assert_eq!(ask(&router, foreign).await.0, StatusCode::FORBIDDEN);
    let long = json!({"letters": [], "x": "y".repeat(3 << 20)});
    let (status, _, _) = ask(&router, change("POST", REPLAY, &long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let guarded = Place::guarded(Access::Key(Verifier::new(hash_key("k"))), None).await;
    let router = guarded.with_resend(fake(&seen));
    for request in [change("POST", REPLAY, &good), get(REPLAY), get(LIST)] {
        assert_eq!(ask(&router, request).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(*seen.lock().expect("no panic"), [], "nothing was sent");
}

#[tokio::test]
async fn without_a_way_it_says_what_to_configure_and_an_ingest_that_fails_is_a_503() {
    let place = Place::open().await;
    let good = json!({"letters": [address(0)]});
    let (status, _, answer) = place.ask(change("POST", REPLAY, &good)).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    let text = answer["message"].as_str().expect("a message");
    assert!(text.contains("api.ingest_url") && text.contains("api.ingest_key_file"), "{text}");
    let shown = place.get(REPLAY).await;
    assert_eq!((&shown["available"], &shown["reason"]), (&json!(false), &json!(text)));
    let seconds = std::num::NonZeroU32::new(5).expect("not zero");
    let failing: Resend = Arc::new(move |_| {
        Box::pin(async move { Err(ApiError::unavailable("the log is full").retry_after(seconds)) })
    });
    let router = place.with_resend(failing);
    let (status, headers, answer) = ask(&router, change("POST", REPLAY, &good)).await;
    assert_eq!(
        (status, &headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"5".parse().expect("a value"))
    );
    assert_eq!(answer["message"], "the log is full");
}
