//! Unit tests of `text`.

use super::*;

#[test]
fn parts_are_kept_for_the_side_that_nobody_reported() {
    let mut text = Text::default();
    for part in Part::EACH {
        text.set(part, "\"x\"");
    }
    for (input, output) in [(None, None), (Some(0), None), (None, Some(0)), (Some(1), Some(1))] {
        let usage = Usage { input, output, ..Usage::default() };
        let left = text.lacking(&usage);
        for part in Part::EACH {
            let is_lacking = if part.is_sent() { input.is_none() } else { output.is_none() };
            let has = left.is_some_and(|left| left.get(part).is_some());
            assert_eq!(has, is_lacking, "{part:?} beside {usage:?}");
        }
    }
    assert_eq!(Text::default().lacking(&Usage::default()), None);
}
