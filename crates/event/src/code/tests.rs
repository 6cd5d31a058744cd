//! Unit tests of `code`.

use super::*;

#[test]
fn outcomes_follow_the_contract() {
    for (status, outcome) in [
        (100, "success"),
        (200, "success"),
        (399, "success"),
        (400, "client_error"),
        (401, "client_error"),
        (408, "timeout"),
        (429, "rate_limited"),
        (499, "client_closed"),
        (500, "server_error"),
        (502, "upstream_unreachable"),
        (503, "server_error"),
        (504, "timeout"),
        (599, "server_error"),
    ] {
        assert_eq!(Outcome::of(status, None).word(), outcome, "{status}");
    }
}

#[test]
fn the_producers_word_makes_an_error_of_any_status_and_nothing_makes_a_success_of_one() {
    for own in ErrorType::EACH {
        for status in [100, 200, 206, 302, 399, 400, 429, 504] {
            let outcome = Outcome::of(status, Some(*own));
            assert_eq!((outcome.error_type(), outcome.fits(status)), (Some(*own), true));
        }
    }
    for status in 100..=599 {
        assert!(Outcome::of(status, None).fits(status), "{status}");
        assert_eq!(Outcome::Success.fits(status), status < 400, "{status}");
    }
}

#[test]
fn error_types_and_outcomes_share_their_numbers_and_words() {
    for error in ErrorType::EACH {
        let outcome = Outcome::from_code(error.code()).expect("an outcome");
        assert_eq!((outcome.word(), outcome.error_type()), (error.word(), Some(*error)));
    }
    assert_eq!(Outcome::Success.error_type(), None);
}

#[test]
fn methods_settle_in_any_case() {
    assert_eq!(Method::settle("post"), Method::Post);
    assert_eq!(Method::settle("PROPFIND"), Method::Other);
}
