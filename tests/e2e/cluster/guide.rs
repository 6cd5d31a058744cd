//! The examples of the quick guide, run as they stand there on the ports of the stack.
//!
//! A `sh` block holds commands with blank lines between them; what follows `# =>` must be in the
//! answer of the command before it. A `promql` block holds queries, which must have rows. A block
//! below `<!-- not run: reason -->` is passed over.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::gatemeter::{DEADLINE, LOOK_EVERY, program, repository, wait_for};
use crate::queries::rows;
use crate::stack::Stack;

/// Fewer would mean that the guide was not read.
const EXAMPLES_MIN: usize = 25;

struct Example {
    text: String,
    expected: Vec<String>,
}

/// Examples of the blocks in a language.
fn examples(guide: &str, language: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let (mut is_inside, mut is_run) = (false, true);
    for line in guide.lines() {
        if is_inside && line == "```" {
            (is_inside, is_run) = (false, true);
        } else if is_inside {
            let last = found.last_mut().expect("a block has begun");
            match line.strip_prefix("# => ") {
                Some(fragment) => last.expected.push(fragment.to_owned()),
                None if line.is_empty() => found.push(Example::new()),
                None => {
                    last.text.push_str(line);
                    last.text.push('\n');
                }
            }
        } else if line.starts_with("<!-- not run:") {
            is_run = false;
        } else if line.starts_with("```") {
            is_inside = is_run && line == format!("```{language}");
            if is_inside {
                found.push(Example::new());
            }
            is_run = true;
        }
    }
    found.retain(|example| !example.text.is_empty());
    found
}

impl Example {
    fn new() -> Example {
        Example { text: String::new(), expected: Vec::new() }
    }
}

/// A command with the addresses of the stack.
fn on_the_stack(stack: &Stack, command: &str) -> String {
    let ports = [
        ("frontend", 3000),
        ("api", 8001),
        ("aggregator", 8002),
        ("ingest", 8003),
        ("gateway", 8080),
        ("prometheus", 9090),
    ];
    let mut command = command.replace("target/release/gatemeter", program());
    for (name, port) in ports {
        let ours = format!("127.0.0.1:{}", stack.port(name));
        command = command.replace(&format!("localhost:{port}"), &ours);
    }
    assert!(!command.contains("localhost"), "a port that nobody knows: {command}");
    command
}

/// What a command of the guide prints.
fn run(command: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", command])
        .current_dir(repository("."))
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn every_example_answers_as_the_guide_says(stack: &Stack) {
    let guide = std::fs::read_to_string(repository("docs/quick-guide.md")).expect("the guide");
    let commands = examples(&guide, "sh");
    let queries = examples(&guide, "promql");
    assert!(commands.len() + queries.len() > EXAMPLES_MIN, "the guide has examples");
    for example in &commands {
        assert!(!example.expected.is_empty(), "what does it answer? {}", example.text);
        let command = on_the_stack(stack, &example.text);
        let end = Instant::now() + DEADLINE;
        loop {
            let answer = run(&command);
            if example.expected.iter().all(|fragment| answer.contains(fragment.as_str())) {
                break;
            }
            let is_late = Instant::now() >= end;
            assert!(!is_late, "{command}answers otherwise: {answer}\n{}", stack.logs());
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
    for example in &queries {
        wait_for(&example.text, || !rows(stack, example.text.trim()).is_empty());
    }
    stack.recount();
}

#[test]
fn the_guide_has_the_same_examples_in_both_languages() {
    let read = |name: &str| std::fs::read_to_string(repository(name)).expect("a guide");
    let (english, chinese) = (read("docs/quick-guide.md"), read("docs/quick-guide.zh-CN.md"));
    for language in ["sh", "promql"] {
        let texts = |guide: &str| -> Vec<(String, Vec<String>)> {
            let all = examples(guide, language).into_iter();
            all.map(|example| (example.text, example.expected)).collect()
        };
        assert!(!texts(&english).is_empty());
        assert_eq!(texts(&english), texts(&chinese), "{language}");
    }
}

#[test]
fn blocks_are_read_with_what_they_answer_and_marked_ones_are_passed_over() {
    let guide = "text\n```sh\ncurl \\\n  a\n# => b\n# => c\n\ncurl d\n# => e\n```\n\
                 <!-- not run: no engine -->\n```sh\ndocker\n```\n\
                 ```promql\nup\n\nrate(x[5m])\n```\n";
    let commands = examples(guide, "sh");
    let texts: Vec<&str> = commands.iter().map(|example| example.text.as_str()).collect();
    assert_eq!(texts, ["curl \\\n  a\n", "curl d\n"]);
    assert_eq!(commands[0].expected, ["b", "c"]);
    assert_eq!(examples(guide, "promql").len(), 2);
}
