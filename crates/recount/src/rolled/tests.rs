//! Unit tests of `rolled`: roll-ups made by hand of rows made by hand.

use super::*;
use crate::labels::{Consumer, Row, Short};

fn row_of(namespace: &str, is_final: bool, outcome: &'static str, source: &'static str) -> Row {
    Row {
        namespace: namespace.to_owned(),
        upstream: "openai".to_owned(),
        model: "m".to_owned(),
        method: "POST",
        endpoint: "/v1".to_owned(),
        status: 200,
        outcome,
        tier: "standard",
        source,
        is_final,
        limited_by: None,
    }
}

/// Attempts of 3 us each with 1 input token, 2 output tokens and a cost of 5.
fn sums(n: i128) -> Sums {
    let mut sums = Sums::default();
    for (name, number) in Sums::names().iter().zip(&mut sums.0) {
        *number = match name.as_str() {
            "n" | "duration_0" | "ttft_3" | "input_uncached" => n,
            "duration_us" => 3 * n,
            "output_text" => 2 * n,
            "cost_nano" => 5 * n,
            _ => 0,
        };
    }
    sums
}

/// Rows of one day and the next, of which half an hour is rolled up.
fn rows() -> Rows {
    let mut rows = Rows::default();
    for (quarter, row, n) in [
        (95, row_of("a", true, "success", "reported"), 1),
        (96, row_of("a", true, "success", "reported"), 10),
        (97, row_of("a", true, "timeout", "estimated"), 100),
        (97, row_of("b", false, "timeout", "reported"), 1_000),
        (98, row_of("a", true, "success", "reported"), 10_000),
    ] {
        let Row { namespace, upstream, outcome, source, is_final, .. } = row.clone();
        let model = "m".to_owned();
        let consumer = Consumer { namespace: namespace.clone(), consumer: "ann".to_owned(), model };
        let short = Short { namespace, upstream, outcome, source, is_final };
        rows.minutes.insert((quarter * 15 + 4, short), sums(n).of_minute());
        rows.used.insert((quarter, consumer), Sums::of_used([n as i64, n as i64, 0, 0, 0, 0, 0]));
        rows.quarters.insert((quarter, row), sums(n));
    }
    rows
}

/// What is rolled up of them: everything but the first quarter-hour, which may be cut off, and the
/// last one.
fn rolled() -> RollUps {
    let day = |row: Row, n| (format!("day 1 {row}"), sums(n));
    let used = |namespace: &str, n: i64| {
        let consumer = Consumer {
            namespace: namespace.to_owned(),
            consumer: "ann".to_owned(),
            model: "m".to_owned(),
        };
        (format!("day 1 {consumer}"), Sums::of_used([n, n, 0, 0, 0, 0, 0]))
    };
    let numbers = |is_quarter: bool, [requests, errors, estimated, all]: [i128; 4]| {
        let mut numbers = Numbers::new();
        for name in Sums::names() {
            let name = name.as_str();
            if name == "n" {
                numbers.extend([("requests".into(), requests), ("errors".into(), errors)]);
                continue;
            }
            if (name.starts_with("ttft_") || name.starts_with("tpot_")) && !is_quarter {
                continue;
            }
            let sum = match name {
                "duration_us" => 3 * requests,
                "duration_0" => requests,
                "ttft_3" | "input_uncached" => all,
                "output_text" => 2 * all,
                "cost_nano" => 5 * all,
                _ => 0,
            };
            numbers.insert(name.to_owned(), sum);
            if name.starts_with("input_") || name.starts_with("output_") {
                let sum = sum / all.max(1) * estimated;
                numbers.insert(format!("estimated_{name}"), sum);
            }
        }
        numbers
    };
    let each = [
        ("", 96, [10, 0, 0, 10]),
        ("a", 96, [10, 0, 0, 10]),
        ("", 97, [100, 100, 100, 1_100]),
        ("a", 97, [100, 100, 100, 100]),
        ("b", 97, [0, 0, 0, 1_000]),
    ];
    let quarter = |(name, at, sums)| (named("quarter", name, at), numbers(true, sums));
    let minute = |(name, at, sums)| (named("minute", name, at * 15 + 4), numbers(false, sums));
    RollUps {
        quarters: (96, 98),
        minutes: (96 * 15, 98 * 15),
        used: (96, 98),
        days: BTreeMap::from([
            day(row_of("a", true, "success", "reported"), 10),
            day(row_of("a", true, "timeout", "estimated"), 100),
            day(row_of("b", false, "timeout", "reported"), 1_000),
        ]),
        used_days: BTreeMap::from([used("a", 110), used("b", 1_000)]),
        namespace_quarters: each.into_iter().map(quarter).collect(),
        namespace_minutes: each.into_iter().map(minute).collect(),
    }
}

fn differences(rolled: &RollUps) -> Differences {
    let mut differences = Differences::default();
    rolled.compare(&mut differences, &rows());
    differences
}

#[test]
fn roll_ups_of_the_rows_agree_with_them() {
    assert_eq!(differences(&rolled()), Differences::default());
}

#[test]
fn every_other_number_is_a_difference() {
    let mut n_planted = 0;
    let mut check = |planted: RollUps, place: &str| {
        let found = differences(&planted);
        assert_eq!((found.n, found.kept[0].place), (1, place), "{:?}", found.kept);
        n_planted += 1;
    };
    for idx in 0..Sums::names().len() {
        let mut planted = rolled();
        planted.days.values_mut().last().expect("days").0[idx] += 1;
        check(planted, "ledger day");
    }
    for day in rolled().used_days.keys() {
        let mut planted = rolled();
        planted.used_days.remove(day);
        check(planted, "ledger consumer day");
    }
    for (row, numbers) in rolled().namespace_quarters {
        for name in numbers.keys() {
            let mut planted = rolled();
            let numbers = planted.namespace_quarters.get_mut(&row).expect("a row");
            *numbers.get_mut(name).expect("a number") -= 1;
            check(planted, "ledger namespace quarter");
        }
    }
    for (row, numbers) in rolled().namespace_minutes {
        for name in numbers.keys() {
            let mut planted = rolled();
            planted.namespace_minutes.get_mut(&row).expect("a row").remove(name);
            check(planted, "ledger namespace minute");
        }
    }
    assert!(n_planted > 300, "{n_planted}");
}
