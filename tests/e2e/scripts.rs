//! scripts/stack.sh where it must refuse before anything starts, and where it must clean up after
//! an `up` that was killed.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::gatemeter::{program, repository, wait_for};
use crate::stack::{PORTS, free_offset};

/// Runs the script from a folder that is not the project's, as a service manager would.
fn script(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(repository("scripts/stack.sh"));
    command
        .args(args)
        .arg("--dir")
        .arg(dir)
        .current_dir("/")
        .env_remove("USER")
        .env_remove("LOGNAME")
        .env("CDPATH", "/tmp:/")
        .env("GATEMETER_PROGRAM", program())
        .stdin(Stdio::null());
    command
}

/// What it says when it refuses.
fn refused(output: Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_stack_that_cannot_run_is_refused_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["two words", "größe", "it's", "say \"so\"", "a,b", "a:b", "$HOME", "line\nend"] {
        let dir = folder.path().join(name);
        let output = script(&["up"], &dir).output().expect("it runs");
        assert!(refused(output).contains("a character that some services"), "{name}");
        assert!(!dir.exists(), "{name}");
    }
    let dir = folder.path().join("stack");
    for (args, words) in [
        (&["up", "--offset", "60000"][..], "whole number up to 56438"),
        (&["up", "--offset", "-1"], "whole number"),
        (&["up", "--aggregators", "0"], "from 1 to 6, the number of partitions"),
        (&["up", "--aggregators", "7"], "not '7'"),
        (&["up", "--brokers", "2"], "must be 1 or 3, not '2'"),
        (&["status", "--brokers", "3"], "unknown option '--brokers' of 'status'"),
        (&["status"], "there is no stack"),
        (&["start", "kafka-2"], "there is no stack"),
    ] {
        let said = refused(script(args, &dir).output().expect("it runs"));
        assert!(said.contains(words), "{args:?}: {said}");
    }
    // Each of three brokers has two ports.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let offset = (port - 9097).to_string();
    let up = ["up", "--brokers", "3", "--aggregators", "6", "--offset", &offset];
    let said = refused(script(&up, &dir).output().expect("it runs"));
    assert!(said.contains(&format!("{port} (kafka-3-controller)")), "{said}");
    let output = script(&["up"], &dir).env("GATEMETER_PROGRAM", "/nowhere").output();
    assert!(refused(output.expect("it runs")).contains("GATEMETER_PROGRAM is '/nowhere'"));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let offset = (port - 8002).to_string();
    let said = refused(script(&["up", "--offset", &offset], &dir).output().expect("it runs"));
    assert!(said.contains(&format!("{port} (aggregator)")), "{said}");
    assert!(!dir.exists(), "nothing was started");
    // A folder of other content, which --volumes would delete.
    std::fs::create_dir(&dir).expect("a folder");
    std::fs::write(dir.join("thesis"), "precious").expect("written");
    let said = refused(script(&["up"], &dir).output().expect("it runs"));
    assert!(said.contains("holds thesis"), "{said}");
}

#[test]
fn stacks_whose_offsets_are_multiples_of_100_share_no_port() {
    for (idx, one) in PORTS.iter().enumerate() {
        for other in &PORTS[..idx] {
            assert!(!one.abs_diff(*other).is_multiple_of(100), "{one} and {other}");
        }
    }
}

/// Processes that carry the mark of a stack.
fn marked(dir: &Path) -> usize {
    let mark = format!("GATEMETER_STACK={}", dir.display());
    let processes = std::fs::read_dir("/proc").expect("a list of processes").flatten();
    let environments = processes.filter_map(|each| std::fs::read(each.path().join("environ")).ok());
    environments.filter(|all| all.split(|b| *b == 0).any(|one| one == mark.as_bytes())).count()
}

#[test]
fn down_takes_with_it_what_an_up_that_was_killed_had_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().canonicalize().expect("it is there").join("stack");
    let offset = free_offset().to_string();
    let log = std::fs::File::create(folder.path().join("log")).expect("a log");
    let mut up = script(&["up", "--offset", &offset], &dir);
    let mut up = up.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("it runs");
    wait_for("the first service runs", || {
        if let Some(status) = up.try_wait().expect("a child") {
            let log = std::fs::read_to_string(folder.path().join("log"));
            panic!("up ended with {status}: {}", log.unwrap_or_default());
        }
        dir.join("run/kafka").exists()
    });
    up.kill().expect("it runs");
    up.wait().expect("a child");
    assert!(marked(&dir) > 0, "the broker goes on");
    let wrong = script(&["up", "--brokers", "3"], &dir).output().expect("it runs");
    assert!(refused(wrong).contains("another number of brokers than 3"));
    let wrong = script(&["down", "--offset", "7"], &dir).output().expect("it runs");
    assert!(refused(wrong).contains(&format!("has offset {offset}, not 7")));
    let down = script(&["down", "--volumes", "--offset", &offset], &dir).output();
    assert!(down.expect("it runs").status.success());
    assert_eq!(marked(&dir), 0, "nothing of it runs");
    assert!(!dir.exists(), "nothing of it is left");
}
