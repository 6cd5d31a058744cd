//! A difference that is planted in an answer about a range is found, and nothing else is.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::differ::Differences;
use crate::groups::of_rows;
use crate::labels::{Consumer, Row};
use crate::sums::{N_SUMS, Sums};
use crate::usage::Usage;
use crate::{against_usage, timings};

/// Quarter-hours of one set of labels: requests, a retry, failed requests, estimated tokens.
fn quarters() -> BTreeMap<(i64, Row), Sums> {
    let row = |outcome, source, is_final| Row {
        namespace: "a".to_owned(),
        upstream: "u".to_owned(),
        model: "m".to_owned(),
        method: "POST",
        endpoint: "/e".to_owned(),
        status: 200,
        outcome,
        tier: "standard",
        source,
        is_final,
        limited_by: None,
    };
    // Each number is another one, so that none can be taken for its neighbour.
    let sums = |n: i128| Sums(std::array::from_fn(|idx| n * (idx as i128 + 1)));
    BTreeMap::from([
        ((7, row("success", "reported", true)), sums(1)),
        ((7, row("success", "reported", false)), sums(100)),
        ((8, row("timeout", "estimated", true)), sums(10_000)),
    ])
}

/// The sum of a number, by its place: requests, retries and failed requests.
fn sum(idx: usize) -> [i64; 3] {
    assert!(idx < N_SUMS);
    [1, 100, 10_000].map(|n| n * (idx as i64 + 1))
}

fn total(idx: usize) -> i64 {
    sum(idx).iter().sum()
}

/// Whether something is found in an answer with one thing wrong.
fn is_found<T>(right: &Value, plant: impl Fn(&mut Value), compare: T) -> bool
where
    T: Fn(Value) -> Differences,
{
    let mut wrong = right.clone();
    plant(&mut wrong);
    assert_ne!(&wrong, right, "something is planted");
    compare(wrong).n > 0
}

#[test]
fn a_number_of_usage_by_labels_that_is_wrong_is_found() {
    let compare = |items: Value| {
        let items: Vec<_> = serde_json::from_value(items).expect("items");
        against_usage::compare_labels(&quarters(), &Usage { total: items.len() as i64, items })
    };
    // Sums are: attempts, duration, 17 + 1 + 18 numbers of histograms, five classes of tokens.
    let [uncached, read, written, text, reasoning] = [38, 39, 40, 41, 42];
    let (input, output) = (uncached..=written, text..=reasoning);
    let all = |classes: RangeInclusive<usize>| classes.map(total).sum::<i64>();
    let estimated = |classes: RangeInclusive<usize>| classes.map(|idx| sum(idx)[2]).sum::<i64>();
    let (in_estimated, out_estimated) = (estimated(input.clone()), estimated(output.clone()));
    let right = json!([{
        "namespace": "a", "upstream": "u", "model": "m", "endpoint": "/e", "status": 200,
        "requests": sum(0)[0] + sum(0)[2], "errors": sum(0)[2],
        "input": all(input.clone()), "output": all(output.clone()),
        "cache_read": total(read), "cache_write": total(written), "reasoning": total(reasoning),
        "cost_usd": 0.000444444, "estimated": in_estimated + out_estimated,
        "reported": all(input) + all(output) - in_estimated - out_estimated,
        "estimated_input": in_estimated, "estimated_output": out_estimated,
        "duration_sum_ms": 20.002,
    }]);
    assert_eq!(compare(right.clone()), Differences::default());
    let group = right[0].as_object().expect("an item");
    for (name, value) in group {
        let plant = |items: &mut Value| {
            items[0][name] = match value {
                Value::String(text) => json!(format!("{text}x")),
                Value::Number(n) if n.is_f64() => json!(n.as_f64().expect("a number") + 0.5),
                other => json!(other.as_i64().expect("a number") + 1),
            }
        };
        assert!(is_found(&right, plant, compare), "{name}");
    }
    assert!(is_found(&right, |items| items[0]["duration_sum_ms"] = json!(20.003), compare));
    assert!(is_found(&right, |items| *items = json!([]), compare));
    let twice = |items: &mut Value| *items = json!([items[0], items[0]]);
    assert!(is_found(&right, twice, compare));
}

#[test]
fn a_bucket_of_a_histogram_that_is_wrong_is_found() {
    let compare = |answers: Value| {
        let answers = serde_json::from_value(answers).expect("answers");
        timings::compare(&quarters(), &answers)
    };
    let answer = |first: usize, n: usize, is_of_final: bool| {
        let of = |idx: usize| sum(idx)[0] + sum(idx)[2] + if is_of_final { 0 } else { sum(idx)[1] };
        let counts: Vec<i64> = (first..first + n).map(of).collect();
        let early: Vec<i64> = counts.iter().map(|n| n / 3).collect();
        let late: Vec<i64> = counts.iter().zip(&early).map(|(n, early)| n - early).collect();
        let count: i64 = counts.iter().sum();
        json!({
            "counts": [early, late], "totals": {"count": count, "counts": counts},
            "as_of": {"version": 1},
        })
    };
    let right = json!([answer(2, 17, true), answer(20, 18, false), answer(45, 18, false)]);
    assert_eq!(compare(right.clone()), Differences::default());
    for metric in 0..3 {
        for path in ["totals/count", "totals/counts/0", "totals/counts/16", "counts/1/5"] {
            let plant = |answers: &mut Value| {
                let place = answers.pointer_mut(&format!("/{metric}/{path}")).expect("a number");
                *place = json!(place.as_i64().expect("a number") + 1);
            };
            assert!(is_found(&right, plant, compare), "{metric} {path}");
        }
        let shorter = |answers: &mut Value| {
            answers[metric]["totals"]["counts"].as_array_mut().expect("a list").pop();
        };
        assert!(is_found(&right, shorter, compare), "{metric}");
    }
}

#[test]
fn a_consumer_that_the_api_takes_for_another_is_found() {
    type Plant = fn(&mut Vec<Value>);
    let item = |(consumer, n): (&str, i64)| {
        json!({
            "namespace": "a", "consumer": consumer, "requests": n, "input": 3 * n, "output": n,
            "cache_read": n, "cache_write": 0, "reasoning": n, "cost_usd": 0.5,
        })
    };
    let names = [("zo\u{eb}", 1), ("zo\u{eb} ", 2), ("zoe\u{308}", 4)];
    let groups = names.iter().map(|(name, n)| {
        let labels = ("a".to_owned(), (*name).to_owned(), "m".to_owned());
        let labels = Consumer { namespace: labels.0, consumer: labels.1, model: labels.2 };
        ((7, labels), Sums::of_used([*n, 2 * n, *n, 0, 0, *n, 500_000_000]))
    });
    let groups = of_rows(&groups.collect());
    let asked = |plant: Plant| {
        let mut items: Vec<Value> = names.map(item).to_vec();
        plant(&mut items);
        let items = items.into_iter().map(|item| serde_json::from_value(item).unwrap()).collect();
        against_usage::compare_consumers(&groups, &Usage { items, total: 3 })
    };
    assert_eq!(asked(|_| {}), Differences::default());
    let plants: [Plant; 4] = [
        // What a collation does that pads.
        |items| {
            items.remove(1);
            items[0]["requests"] = json!(3);
        },
        |items| items[2]["consumer"] = json!("zo\u{eb}"),
        |items| items[2]["reasoning"] = json!(5),
        |items| items[0]["consumer"] = Value::Null,
    ];
    for plant in plants {
        assert_ne!(asked(plant).n, 0);
    }
}
