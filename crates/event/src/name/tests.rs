//! Unit tests of `name`.

use super::*;

#[test]
fn namespaces_follow_the_contract() {
    for good in ["wechat", "a", "Team-1/x_y.z:9", &"n".repeat(64)] {
        assert_eq!(check_namespace(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("", NamespaceError::Empty),
        ("1a", NamespaceError::FirstLetter),
        ("-a", NamespaceError::FirstLetter),
        ("ä", NamespaceError::FirstLetter),
        ("a b", NamespaceError::Letter),
        ("a\"} 1", NamespaceError::Letter),
        ("a\u{0}", NamespaceError::Letter),
        ("all", NamespaceError::Reserved),
        ("none", NamespaceError::Reserved),
        ("other", NamespaceError::Reserved),
        (&"n".repeat(65), NamespaceError::TooLong),
    ] {
        assert_eq!(check_namespace(bad), Err(why), "{bad}");
    }
}

#[test]
fn labels_that_are_not_well_formed_become_other() {
    for good in ["gpt-4o", "/v1/chat/completions", "@cf/meta/llama-3", "ft:gpt-4o:org::id"] {
        assert_eq!(Label::settle(good).as_str(), good);
    }
    for bad in ["", "a b", "\"", "a\\", "a\n", "é", &"x".repeat(129)] {
        assert_eq!(Label::settle(bad).as_str(), OTHER, "{bad:?}");
    }
}

#[test]
fn labels_have_letters_digits_and_these_signs_of_ascii() {
    for byte in 0..=u8::MAX {
        let is_good = byte.is_ascii_alphanumeric() || b"-_.:/@+{}*~#=,()[]".contains(&byte);
        assert_eq!(is_label_bytes(&[byte]), is_good, "{byte:#x}");
    }
}
