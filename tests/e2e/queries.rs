//! Questions to the Prometheus of a stack, in PromQL.

use std::fmt::Write as _;

use serde_json::Value;

use crate::gatemeter::get;
use crate::stack::Stack;

/// Rows of a query at this moment.
pub fn rows(stack: &Stack, query: &str) -> Vec<Value> {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() {
            path.push(byte.into());
        } else {
            write!(path, "%{byte:02X}").expect("a string takes everything");
        }
    }
    let answer = get(stack.port("prometheus"), &path, &[]).expect("Prometheus answers");
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let mut answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    match answer["data"]["result"].take() {
        Value::Array(rows) => rows,
        other => panic!("{query}: {other}"),
    }
}
