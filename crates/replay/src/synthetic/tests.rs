//! Unit tests of `synthetic`.

use super::*;

#[test]
fn every_request_has_its_final_attempt_even_at_the_end_of_the_run() {
    for count in [1, 2, 3, 50, 500] {
        let mut source = Synthetic::new(Draw::new(count, 5), "r");
        let mut open = false;
        for event_idx in 0..count {
            let facts = source.next(count - event_idx);
            open = facts.effect.attempt == Attempt::Retried;
        }
        assert!(!open, "a run of {count} ends inside a request");
    }
}

#[test]
fn the_stream_holds_every_shape_of_event() {
    let mut source = Synthetic::new(Draw::new(1, 5), "r");
    let all: Vec<Facts> = (0..5_000).map(|n| source.next(5_000 - n)).collect();
    let any = |test: &dyn Fn(&Facts) -> bool| all.iter().any(test);
    assert!(any(&|facts| facts.effect.tokens.is_none() && facts.effect.status == 200));
    assert!(any(&|facts| facts.effect.attempt == Attempt::Retried));
    assert!(any(&|facts| facts.link.contains("\"attempt\":2,\"final\":true")));
    assert!(any(&|facts| facts.effect.status == 200 && facts.effect.outcome != Outcome::Success));
    assert!(any(&|facts| facts.effect.model.is_none()));
    for word in ["ttft_ms", "cache_read", "cache_write", "reasoning", "limited_by", "batch"] {
        assert!(any(&|facts| facts.fields.contains(word)), "{word}");
    }
    for facts in &all {
        let Some(tokens) = facts.effect.tokens else { continue };
        assert!(tokens.cache_read + tokens.cache_write <= tokens.input);
        assert!(tokens.reasoning <= tokens.output);
    }
}
