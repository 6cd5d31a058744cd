//! Views that are late, refuse or never come: what is waited for and what is said at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use queue::{EmbeddedOptions, Queue};
use service::client::Client;
use store::Store;
use store::plain::PlainStore;
use tokio::net::TcpListener;

use crate::against_page;
use crate::differ::Differences;
use crate::tally::Account;
use crate::views::{Sources, Views};
const EMPTY: &str = "# HELP gatemeter_ledger_version x\n# TYPE gatemeter_ledger_version gauge\n\
    gatemeter_ledger_version 0\n# HELP gatemeter_series_held x\n\
    # TYPE gatemeter_series_held gauge\ngatemeter_series_held 0\n";
const NEW: &str = "# HELP namespace_requests_total x\n# TYPE namespace_requests_total counter\n\
    namespace_requests_total{namespace=\"new\",status=\"success\"} 0\n\
    namespace_requests_total{namespace=\"new\",status=\"error\"} 0\n";

/// Answers every request with what `answer` says of its number, from 1.
async fn serve(answer: impl Fn(u32) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, n_requests) = (Arc::new(answer), Arc::new(AtomicU32::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, n_requests) = (Arc::clone(&answer), Arc::clone(&n_requests));
            let service = service_fn(move |_: Request<Incoming>| {
                let (status, text) = answer(n_requests.fetch_add(1, Ordering::SeqCst) + 1);
                let body = Full::new(Bytes::from(text));
                async move { Response::builder().status(status).body(body) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Settles over an empty ledger with one namespace.
async fn settle(
    metrics: Option<SocketAddr>,
    api: Option<SocketAddr>,
    patience: Duration,
) -> anyhow::Result<Views> {
    let folder = tempfile::tempdir().unwrap();
    let log = Queue::open_embedded(folder.path(), EmbeddedOptions::default()).await.unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.create_namespace("new", "new").await.unwrap();
    let store = PlainStore::from(store);
    let generation = store.generation(log.generation(), log.partitions()).await.unwrap();
    let log = Queue::open_embedded_read_only(folder.path()).await.unwrap();
    let client = Client::new(None).unwrap();
    let metrics = metrics.map(|address| format!("http://{address}/metrics"));
    let api = api.map(|address| format!("http://{address}"));
    let sources = Sources {
        log: &log,
        store: &store,
        generation: &generation,
        client: &client,
        metrics: metrics.as_deref(),
        api: api.as_deref(),
        goals: BTreeMap::new(),
    };
    sources.settle_within(patience).await
}

fn differences(views: &Views) -> Differences {
    let (totals, account) = (BTreeMap::new(), Account::default());
    let page = views.page.as_ref().unwrap();
    against_page::compare(&totals, &account, &views.ledger.namespaces, page)
}

#[tokio::test]
async fn a_namespace_that_is_not_on_the_page_yet_is_waited_for() {
    let page = |n| (200, if n < 3 { EMPTY.to_owned() } else { format!("{EMPTY}{NEW}") });
    let views = settle(Some(serve(page).await), None, Duration::from_secs(30)).await.unwrap();
    assert_eq!(views.ledger.namespaces, ["new"]);
    let found = differences(&views).kept;
    assert!(!found.iter().any(|it| it.to_string().contains("requests")), "{found:?}");
}

#[tokio::test]
async fn a_namespace_that_never_comes_is_a_difference_in_the_end() {
    let page = serve(|_| (200, EMPTY.to_owned())).await;
    let views = settle(Some(page), None, Duration::from_millis(400)).await.unwrap();
    let found = differences(&views).kept;
    assert!(found.iter().any(|it| it.to_string().contains("namespace_requests_total")));
}

#[tokio::test]
async fn what_no_repetition_can_change_is_said_at_once() {
    let patience = Duration::from_secs(30);
    let begin = Instant::now();
    let refusing = serve(|_| (401, "{\"message\":\"no key given\"}".to_owned())).await;
    let error = settle(None, Some(refusing), patience).await.unwrap_err().to_string();
    assert!(error.contains("401") && error.contains("--key-file"), "{error}");
    let elsewhere = serve(|_| (404, "nothing here".to_owned())).await;
    let error = settle(Some(elsewhere), None, patience).await.unwrap_err().to_string();
    assert!(error.contains("404") && error.contains("is this the address"), "{error}");
    let other_role = serve(|_| (200, "# TYPE x counter\nx 1\n".to_owned())).await;
    let error = settle(Some(other_role), None, patience).await.unwrap_err().to_string();
    assert!(error.contains("is it the page of the aggregator?"), "{error}");
    let standby = serve(|_| (200, String::new())).await;
    let error = settle(Some(standby), None, patience).await.unwrap_err().to_string();
    assert!(error.contains("is a standby, and none is known to be the publisher"), "{error}");
    let other_program = serve(|_| (200, "<html></html>".to_owned())).await;
    let error = settle(None, Some(other_program), patience).await.unwrap_err().to_string();
    assert!(error.contains("is not one of Gatemeter's"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}
