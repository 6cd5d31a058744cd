//! `kill -9` of every process under load, alone and all at once.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::LOAD;
use crate::gatemeter::{get, wait_for};
use crate::stack::{Books, SERVICES, Stack};

/// What is killed, and how often: the counts of continuous integration.
const DEATHS: [(&str, usize); 6] =
    [("aggregator", 5), ("ingest", 2), ("mysql", 3), ("kafka", 1), ("redis", 1), ("api", 1)];

pub fn every_process_is_killed(stack: &Stack, books: &mut Books) {
    let raw = stack.raw();
    let args = [&LOAD[..], &["--also", &raw]].concat();
    for (name, times) in DEATHS {
        stack.under_load(&format!("{name} is killed"), books, &args, || {
            for _ in 0..times {
                stack.wait_progress();
                stack.kill(name);
                match name {
                    "mysql" => no_page_and_stale_answers(stack),
                    "redis" => answers_without_redis(stack),
                    _ => {}
                }
                stack.start();
            }
        });
    }
    stack.under_load("everything is killed at once", books, &args, || {
        SERVICES.iter().for_each(|name| stack.kill(name));
        stack.start();
    });
    stack.under_load("every role is asked to stop", books, &args, || {
        every_role_ends_when_it_is_told(stack);
    });
}

/// SIGTERM drains, and the process says that it has stopped well within ten seconds.
fn every_role_ends_when_it_is_told(stack: &Stack) {
    for name in ["ingest", "aggregator", "api"] {
        let began = Instant::now();
        stack.signal(name, "TERM");
        stack.wait_gone(name);
        assert!(began.elapsed() < Duration::from_secs(10), "{name}: {:?}", began.elapsed());
        let log = std::fs::read_to_string(stack.dir().join(format!("logs/{name}.log")));
        let log = log.expect("a log");
        assert!(log.lines().last().is_some_and(|line| line.ends_with("stopped")), "{name}: {log}");
    }
    stack.start();
}

/// What the api says about the system, with the envelope.
fn system(stack: &Stack) -> Option<(u16, Value)> {
    let answer = get(stack.port("api"), "/api/metrics/system", &[])?;
    Some((answer.status, serde_json::from_str(&answer.body).expect("JSON")))
}

/// The last pages may be those of before; answers of before say so.
fn no_page_and_stale_answers(stack: &Stack) {
    wait_for("there is no page", || {
        get(stack.port("aggregator"), "/metrics?section=business", &[])
            .is_some_and(|page| page.status == 503 && page.body.contains("ledger"))
    });
    let (status, answer) = system(stack).expect("an answer");
    // Before the first question nothing was answered that could be given again.
    assert!(status == 503 || answer["stale"] == true, "{status} {answer}");
}

fn answers_without_redis(stack: &Stack) {
    let is_down = |answer: &Value| {
        let all = answer["data"]["dependencies"].as_array().expect("dependencies");
        let redis = all.iter().find(|each| each["name"] == "redis").expect("it is one");
        redis["status"] == "down"
    };
    wait_for("the api says that redis is down, and answers", || {
        system(stack).is_some_and(|(status, answer)| status == 200 && is_down(&answer))
    });
    let shown = stack.shown("namespace_requests_total{").expect("a page");
    let (_, answer) = system(stack).expect("an answer");
    assert!(answer["data"]["totalRequests"].as_i64().expect("whole") >= shown, "{answer}");
}
