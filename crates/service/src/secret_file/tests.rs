//! Unit tests of `secret_file`.

use super::*;

type Read = fn(&Path) -> Result<String, Error>;

/// What comes of a file with these bytes.
fn of(read: Read, bytes: &[u8]) -> Result<String, String> {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("some.secret");
    std::fs::write(&path, bytes).expect("a file");
    read(&path).map_err(|error| {
        let shown = crate::error::chain(&error);
        assert!(shown.contains("some.secret"), "{shown}");
        assert!(!shown.contains("planted"), "{shown}");
        shown
    })
}

#[test]
fn what_editors_and_shells_leave_around_a_secret_is_no_part_of_it() {
    for around in ["planted", "planted\n", "planted\r\n", "planted \t\r\n\n", "planted  "] {
        for text in [around.to_owned(), format!("\u{feff}{around}")] {
            assert_eq!(of(read_key, text.as_bytes()).as_deref(), Ok("planted"), "{text:?}");
            assert_eq!(of(read_password, text.as_bytes()).as_deref(), Ok("planted"));
        }
    }
    assert_eq!(of(read_key, b"\xef\xbb\xbf \t planted\n").as_deref(), Ok("planted"));
    assert_eq!(of(read_password, " plän ted\r\n".as_bytes()).as_deref(), Ok(" plän ted"));
    let longest = "p".repeat(SECRET_BYTES_MAX);
    assert_eq!(of(read_key, format!("{longest}\r\n").as_bytes()), Ok(longest));
}

#[test]
fn what_can_be_no_secret_is_refused_with_the_file_and_the_reason() {
    let utf16 = |text: &str, mark: &[u8]| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        mark.iter().copied().chain(units).collect()
    };
    let both: [(&[u8], &str); 9] = [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf\r\n \t", "it is empty"),
        (&utf16("planted\n", b"\xff\xfe"), "UTF-16"),
        (&utf16("planted", b""), "UTF-16"),
        (b"planted\x07", "control characters"),
        (b"plan\x1bted", "control characters"),
        (b"planted\nplanted\n", "more than one line"),
        (&b"planted".repeat(586), "too large"),
        (&b"planted\n".repeat(5_000), "too large"),
    ];
    for (bytes, reason) in both {
        for read in [read_key as Read, read_password] {
            let error = of(read, bytes).expect_err("it is no secret");
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }
    for (text, reason) in [
        ("planted planted", "blanks inside"),
        ("plan\tted", "blanks inside"),
        ("pläntéd planted", "beyond ASCII"),
        ("planted\u{a0}", "beyond ASCII"),
        ("\u{200b}planted", "beyond ASCII"),
    ] {
        let error = of(read_key, text.as_bytes()).expect_err("it is no key");
        assert!(error.contains(reason), "{reason}: {error}");
    }
    let dir = tempfile::tempdir().expect("a temp folder");
    for path in [dir.path().to_owned(), dir.path().join("gone")] {
        let error = read_key(&path).expect_err("no file").to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}
