//! The cache alone, and on a real Redis that is killed and comes back.

mod server;

use std::time::{Duration, Instant};

use server::Server;

use super::*;

/// Longest time that a test waits for a state.
const DEADLINE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn on(server: &Server) -> Cache {
    let url = Some(format!("redis://127.0.0.1:{}/0", server.port()));
    let password = Some(server::PASSWORD.to_owned());
    Cache::new(&CacheOptions { bytes_max: 1 << 20, url, password }).expect("a cache")
}

async fn up(cache: &Cache) {
    until("redis is reachable", async || cache.fault().is_none()).await;
}

/// Waits until a message of one cache reaches a listener.
async fn reaches(from: &Cache, listener: &mut broadcast::Receiver<Heard>, text: &'static str) {
    let expected = Heard::Message(Channel::Config, Bytes::from_static(text.as_bytes()));
    until("the message comes", async || {
        from.publish(Channel::Config, Bytes::from_static(text.as_bytes()));
        let wait = Duration::from_millis(100);
        loop {
            match tokio::time::timeout(wait, listener.recv()).await {
                Ok(Ok(heard)) if heard == expected => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn process_alone_keeps_values_and_hears_itself() {
    let cache = Cache::new(&CacheOptions { bytes_max: 1_000, ..CacheOptions::default() });
    let cache = cache.expect("a cache");
    let mut listener = cache.listen();
    cache.put("a", Bytes::from_static(b"1"));
    assert_eq!(cache.own("a"), Some(Bytes::from_static(b"1")));
    assert_eq!(cache.shared("a").await, None);
    cache.put("large", Bytes::from(vec![0; VALUE_BYTES_MAX + 1]));
    cache.put(&"k".repeat(KEY_BYTES_MAX + 1), Bytes::new());
    assert_eq!(cache.own("large"), None);
    cache.publish(Channel::Live, Bytes::from_static(b"x"));
    let heard = listener.recv().await.expect("it is heard");
    assert_eq!(heard, Heard::Message(Channel::Live, Bytes::from_static(b"x")));
    assert_eq!((cache.has_redis(), cache.fault()), (false, None));
}

#[tokio::test]
async fn values_stay_within_their_bytes() {
    let cache = Cache::new(&CacheOptions { bytes_max: 10_000, ..CacheOptions::default() });
    let cache = cache.expect("a cache");
    for n in 0..1_000 {
        cache.put(&format!("key {n}"), Bytes::from(vec![0; 1_000]));
    }
    cache.memory.run_pending_tasks();
    assert!(cache.memory.weighted_size() <= 10_000, "{}", cache.memory.weighted_size());
}

#[test]
fn url_that_cannot_be_read_is_refused_without_being_shown() {
    for url in ["http://secret@h", "secret", "redis://:secret@h:notaport"] {
        let options = CacheOptions { url: Some(url.to_owned()), ..CacheOptions::default() };
        let error = Cache::new(&options).expect_err(url).to_string();
        assert!(error.starts_with("redis.url") && !error.contains("secret"), "{error}");
        assert!(!format!("{options:?}").contains("secret"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_values_and_messages_and_go_on_while_redis_is_killed() {
    let mut server = Server::start();
    let (one, two) = (on(&server), on(&server));
    up(&one).await;
    up(&two).await;
    let mut listener = two.listen();
    let value = Bytes::from_static(b"\x00value\xff");
    one.put("q", value.clone());
    until("the value is shared", async || two.shared("q").await == Some(value.clone())).await;
    assert_eq!(two.own("q"), None, "whoever reads decides whether to keep it");
    reaches(&one, &mut listener, "first").await;

    server.kill();
    until("it is noticed", async || one.fault().is_some() && two.fault().is_some()).await;
    let began = Instant::now();
    for n in 0..100 {
        one.put(&format!("k{n}"), value.clone());
        one.publish(Channel::Live, value.clone());
        assert_eq!(one.shared("q").await, None);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "no call waits for it");
    assert_eq!((one.own("q"), one.own("k99")), (Some(value.clone()), Some(value.clone())));

    server.restart();
    up(&one).await;
    up(&two).await;
    let mut listener = two.listen();
    reaches(&one, &mut listener, "again").await;
    one.put("r", value.clone());
    until("values are shared again", async || two.shared("r").await == Some(value.clone())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_hangs_is_waited_for_once_and_listeners_hear_of_gaps() {
    let mut server = Server::start();
    let cache = on(&server);
    let mut listener = cache.listen();
    up(&cache).await;
    let gap = tokio::time::timeout(DEADLINE, listener.recv()).await.expect("it listens");
    assert_eq!(gap, Ok(Heard::Gap));
    server.signal("STOP");
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(cache.shared("q").await, None);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    server.signal("CONT");
    up(&cache).await;
}
