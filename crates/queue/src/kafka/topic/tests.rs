//! Unit tests of `topic`.

use super::*;

fn settings(changed: &str, value: &str) -> Vec<(String, String)> {
    let all = Layout::of_log(&KafkaOptions::default()).wanted.into_iter();
    all.map(|(name, wanted)| {
        let kept = wanted.value();
        (name.to_owned(), if name == changed { value.to_owned() } else { kept })
    })
    .collect()
}

fn check(changed: &str, value: &str) -> Result<(), String> {
    let layout = Layout::of_log(&KafkaOptions::default());
    check_settings(&layout, &settings(changed, value)).map_err(|error| error.to_string())
}

#[test]
fn topic_as_it_is_made_is_accepted() {
    assert_eq!(check("", ""), Ok(()));
}

#[test]
fn more_than_is_needed_is_accepted_and_less_is_not() {
    assert_eq!(check("retention.ms", "604800000"), Ok(()));
    assert_eq!(check("retention.ms", "-1"), Ok(()));
    assert_eq!(
        check("retention.ms", "604799999").unwrap_err(),
        "topic gatemeter.events.g1 has retention.ms 604799999 where 604800000 or more is \
         needed; change the topic, or the settings of this program"
    );
    assert!(check("min.insync.replicas", "1").is_err());
    assert_eq!(check("min.insync.replicas", "3"), Ok(()));
}

#[test]
fn what_would_spoil_counts_is_refused() {
    for (setting, value) in [
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("retention.bytes", "1000000"),
        ("max.message.bytes", "1048588"),
        ("unclean.leader.election.enable", "true"),
    ] {
        let error = check(setting, value).unwrap_err();
        assert!(error.contains(&format!("has {setting} {value} where")), "{error}");
    }
    let layout = Layout::of_log(&KafkaOptions::default());
    assert!(check_settings(&layout, &[]).is_err(), "what is not reported is not trusted");
}

#[test]
fn settings_are_asked_for_again_until_each_that_matters_is_reported() {
    let layout = Layout::of_raw(&KafkaOptions::default(), "gatemeter.raw");
    let of = |name: &str| vec![(name.to_owned(), "delete".to_owned())];
    assert!(!is_whole(&layout, &[]), "a broker that does not know the topic yet");
    assert!(!is_whole(&layout, &of("retention.ms")));
    assert!(is_whole(&layout, &of("cleanup.policy")));
}

#[test]
fn shape_must_be_the_one_that_was_frozen() {
    let layout = Layout::of_log(&KafkaOptions::default());
    let shape = |partitions, copies_min| Shape { partitions, copies_min };
    assert!(check_shape(&layout, shape(12, 3)).is_ok());
    assert!(check_shape(&layout, shape(12, 5)).is_ok());
    assert!(check_shape(&layout, shape(12, 2)).is_err());
    assert!(check_shape(&layout, shape(24, 3)).is_err());
    assert!(check_partitions(&layout, shape(12, 1)).is_ok());
}

#[test]
fn topic_of_others_may_be_laid_out_as_they_like_but_not_compacted() {
    let layout = Layout::of_raw(&KafkaOptions::default(), "gatemeter.raw");
    assert!(check_shape(&layout, Shape { partitions: 3, copies_min: 1 }).is_ok());
    let policy = |value: &str| vec![("cleanup.policy".to_owned(), value.to_owned())];
    assert!(check_settings(&layout, &policy("delete")).is_ok());
    let error = check_settings(&layout, &policy("compact")).unwrap_err().to_string();
    assert!(error.starts_with("topic gatemeter.raw has cleanup.policy compact"), "{error}");
}
