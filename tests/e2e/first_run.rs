//! Starting, stopping, keys and what must be refused.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::gatemeter::{Place, get, post, wait_for};
use crate::totals::event;

#[test]
fn keys_are_made_at_the_first_start_and_asked_for() {
    let place = Place::new();
    let mut running = place.start_with(&[]);
    place.wait_ready(&mut running);
    let key = |role: &str| {
        let path = place.data().join(format!("{role}.key"));
        let mode = std::fs::metadata(&path).expect("a key file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{role}");
        std::fs::read_to_string(path).expect("a key").trim().to_owned()
    };
    let (ingest, admin) = (key("ingest"), key("admin"));
    let body = event("k", "wechat").to_string();
    let send = |headers: &[&str]| {
        post(place.ingest, "/v1/events", headers, body.as_bytes()).expect("an answer").status
    };
    assert_eq!(send(&[]), 401);
    assert_eq!(send(&[&format!("authorization: Bearer {admin}")]), 401);
    assert_eq!(send(&[&format!("authorization: Bearer {ingest}")]), 200);
    let ask = |headers: &[&str]| {
        get(place.api, "/api/metrics/system", headers).expect("an answer").status
    };
    assert_eq!(ask(&[]), 401);
    assert_eq!(ask(&[&format!("authorization: Bearer {ingest}")]), 401);
    assert_eq!(ask(&[&format!("authorization: Bearer {admin}")]), 200);
    for port in [place.api, place.aggregator, place.ingest] {
        assert_eq!(get(port, "/healthz", &[]).expect("an answer").status, 200);
        assert_eq!(get(port, "/metrics", &[]).expect("an answer").status, 200);
        assert_eq!(get(port, "/healthz?from=probe", &[]).expect("an answer").status, 200);
        assert_eq!(get(port, "/metrics?from=probe", &[]).expect("an answer").status, 400);
    }
    let log = place.log();
    assert!(!log.contains(&ingest) && !log.contains(&admin), "a key is in the log");
    assert!(!log.contains("stays the valid one"), "the files are those of this start: {log}");

    // Another key in the file is reported as not being the valid one.
    assert!(running.terminate().0.success());
    std::fs::write(place.data().join("ingest.key"), &admin).expect("written");
    let mut running = place.start_with(&[]);
    place.wait_ready(&mut running);
    assert_eq!(send(&[&format!("authorization: Bearer {ingest}")]), 200);
    assert_eq!(send(&[&format!("authorization: Bearer {admin}")]), 401);
    let log = place.log();
    let warnings: Vec<&str> =
        log.lines().filter(|line| line.contains("stays the valid one")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("ingest.key is another one"), "{log}");
    assert!(!log.contains(&ingest) && !log.contains(&admin), "a key is in the log");
}

#[test]
fn a_file_that_cannot_be_written_ends_the_start_with_its_path() {
    let place = Place::new();
    // Whoever runs the tests as root may write every file, but not a folder.
    let path = place.data().join("ledger.db-shm");
    std::fs::create_dir_all(&path).expect("a folder");
    let output = place.run(&["all", "--dev", "--data", place.data().to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let words = format!("{} cannot be read and written: Is a directory", path.display());
    assert!(!output.status.success() && stderr.contains(&words), "{stderr}");
}

#[test]
fn sigterm_commits_and_ends_with_zero_within_ten_seconds() {
    let place = Place::new();
    let mut running = place.start();
    let body = event("t", "wechat").to_string();
    assert_eq!(post(place.ingest, "/v1/events", &[], body.as_bytes()).expect("ok").status, 200);
    let (status, took) = running.terminate();
    assert!(status.success(), "{status}\n{}", place.log());
    assert!(took < Duration::from_secs(10), "{took:?}");
    let _running = place.start();
    place.wait_events("counted", 1);
    place.recount();
}

#[test]
fn status_is_read_from_the_ledger_whether_the_process_runs_or_not() {
    let place = Place::new();
    let data = place.data();
    let status = |more: &[&str]| {
        let data = data.to_str().expect("UTF-8");
        let output = place.run(&[&["admin", "status", "--data", data][..], more].concat());
        let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        (output.status.code(), said.concat())
    };
    let json = || {
        let (code, said) = status(&["--json"]);
        (code, serde_json::from_str::<Value>(&said).unwrap_or_else(|_| panic!("{said}")))
    };
    let (code, said) = status(&[]);
    assert!(code == Some(1) && said.contains("the ledger in"), "there is none: {said}");
    assert!(!data.exists(), "and none is made");
    let mut running = place.start();
    place.wait_ready(&mut running);
    wait_for("it says that it counts", || status(&[]).0 == Some(0));
    let (_, said) = json();
    let here = format!("127.0.0.1:{}", place.aggregator);
    assert_eq!(said["publisher"], json!({"address": here, "term": null}), "{said}");
    assert_eq!(said["processes"][0]["role"], "all", "{said}");
    let partition = json!({
        "partition": 0, "state": "counted", "owner": here, "next": 0, "log_end": 0,
        "lag_frames": 0, "halted": null, "resumes_at": null,
    });
    assert_eq!(said["partitions"][0], partition);
    assert!(running.terminate().0.success());
    let (code, said) = json();
    assert_eq!((code, &said["publisher"]), (Some(3), &Value::Null), "{said}");
    assert_eq!(said["processes"], json!([]), "{said}");
    let (_, said) = status(&[]);
    assert!(said.contains("partition 0 has no owner\nno process is the publisher\n"), "{said}");
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let place = Place::new();
    let _running = place.start();
    let other = Place::new();
    let data = place.data();
    let output = other.run(&["all", "--dev", "--data", data.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains(data.to_str().expect("UTF-8")), "{stderr}");
}

#[test]
fn development_mode_does_not_leave_loopback() {
    let place = Place::new();
    let output = place.run(&["all", "--dev", "--api-listen", "0.0.0.0:0"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("loopback"), "{stderr}");
}

#[test]
fn settings_that_do_not_exist_are_refused_by_name() {
    let place = Place::new();
    let file = place.file("bad.toml");
    std::fs::write(&file, "[ingest]\nlisten_adress = \"127.0.0.1:0\"\n").expect("written");
    let output = place.run(&["config", "check", "--config", file.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("ingest.listen_adress"), "{stderr}");
    let output = place.run(&["config", "default"]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("[aggregator]"), "{stdout}");
    std::fs::write(&file, &output.stdout).expect("written");
    let output = place.run(&["config", "check", "--config", file.to_str().expect("UTF-8")]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "what is printed is a settings file: {stderr}");
}

#[test]
fn healthcheck_says_by_its_exit_code_whether_a_process_is_well() {
    let place = Place::new();
    let check = |args: &[&str]| {
        let output = std::process::Command::new(crate::gatemeter::program())
            .arg("healthcheck")
            .args(args)
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let url = |port: u16, path: &str| format!("http://127.0.0.1:{port}{path}");
    let (code, said) = check(&[&url(place.api, "/readyz")]);
    assert!(code == Some(1) && said.contains("/readyz"), "nothing listens there: {said}");
    let mut running = place.start();
    place.wait_ready(&mut running);
    for port in [place.api, place.aggregator, place.ingest] {
        assert_eq!(check(&[&url(port, "")]).0, Some(0));
        assert_eq!(check(&[&url(port, "/healthz"), "--timeout-s", "20"]).0, Some(0));
    }
    let (code, said) = check(&[&url(place.api, "/nothing")]);
    assert!(code == Some(1) && said.contains("404"), "{said}");
    for wrong in [&["host:1"][..], &["http://h:70000"], &["http://h", "--timeout-s", "0"], &[]] {
        assert_eq!(check(wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn tokens_of_a_text_are_counted_on_request_by_api_and_aggregator() {
    let place = Place::new();
    let mut running = place.start_with(&[]);
    place.wait_ready(&mut running);
    let key = std::fs::read_to_string(place.data().join("admin.key")).expect("a key");
    let key = format!("authorization: Bearer {}", key.trim());
    let body = br#"{"model":"gpt-4o","messages":[{"role":"user","content":"planted prompt"}]}"#;
    for port in [place.api, place.aggregator] {
        let ask = |headers: &[&str], body: &[u8]| {
            post(port, "/api/tokens/count", headers, body).expect("an answer")
        };
        assert_eq!(ask(&[], body).status, 401);
        let answer = ask(&[&key], body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let data = &answer["data"];
        assert_eq!(
            (&data["encoding"], &data["source"]),
            (&"o200k_base".into(), &"estimated".into())
        );
        assert!(data["input_tokens"].as_u64().is_some_and(|n| n > 7), "{data}");
        // A text that tokenizers give up on.
        let spaces = format!("{{\"model\":\"gpt-4o\",\"input\":\"{}\"}}", " ".repeat(1_000_000));
        let answer = ask(&[&key], spaces.as_bytes());
        assert!(answer.status == 200 && answer.body.contains("\"exact\":false"), "{}", answer.body);
    }
    assert!(!place.log().contains("planted"), "no text is in the log");
}

#[test]
fn embedded_storage_has_the_newest_frame_version_from_the_start_and_keeps_it() {
    let place = Place::new();
    let at = place.url(place.aggregator);
    let operator = |args: &[&str]| {
        let output = place.run(&[&["admin", "frames", "--at", &at], args].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    for _ in 0..2 {
        let mut running = place.start();
        let (code, said) = operator(&[]);
        assert!(code == Some(0) && said.contains("writes frames of version 2"), "{said}");
        assert!(said.contains("Nothing is left to do."), "{said}");
        let (code, said) = operator(&["2", "--json"]);
        assert!(code == Some(0) && said.contains("\"is_new\": false"), "{said}");
        let (code, said) = operator(&["1"]);
        assert!(code == Some(1) && said.contains("there is no way back to 1"), "{said}");
        let n_raised = place.log().matches("frame version raised").count();
        assert_eq!(n_raised, 1, "by the first start: {}", place.log());
        assert!(running.terminate().0.success());
    }
    let (code, said) = operator(&[]);
    assert!(code == Some(1) && said.contains("error: "), "{said}");
}
