//! Unit tests of `key_file`.

use super::*;
use crate::auth::Verifier;

#[test]
fn first_start_makes_a_key_and_the_next_one_reads_it() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("ingest.key");
    let made = ensure_key(&path).expect("the folder is empty");
    assert!(made.created);
    let text = fs::read_to_string(&path).expect("the file is there");
    let key = text.trim_end();
    assert_eq!(key.len(), KEY_LETTERS);
    assert!(Verifier::new(made.sha256).is_key(key));
    let mode = fs::metadata(&path).expect("the file is there").permissions().mode();
    assert_eq!(mode & 0o777, MODE);
    let read = ensure_key(&path).expect("the key is whole");
    assert_eq!(read, KeyFile { created: false, sha256: made.sha256 });
    assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 1);
}

#[test]
fn crash_before_the_name_was_given_leaves_room_for_a_whole_key() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("ingest.key");
    fs::write(beside(&path), "half a k").expect("a left-over");
    assert!(ensure_key(&path).expect("a whole key").created);
    assert!(!beside(&path).exists());
}

#[test]
fn two_keys_are_never_the_same() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let one = ensure_key(&dir.path().join("admin.key")).expect("made");
    let two = ensure_key(&dir.path().join("ingest.key")).expect("made");
    assert_ne!(one.sha256, two.sha256);
}

#[test]
fn file_is_never_replaced_whatever_it_holds() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("ingest.key");
    let longer = URL_SAFE_NO_PAD.encode([7_u8; 64]);
    for content in [&b""[..], b"too short", b"\xff\xfe", longer.as_bytes()] {
        fs::write(&path, content).expect("a file");
        let error = ensure_key(&path).expect_err("it holds no key").to_string();
        assert!(error.contains("does not hold a key") && error.contains("delete it"));
        assert_eq!(fs::read(&path).expect("still there"), content);
    }
}

#[test]
fn key_that_an_editor_saved_again_is_the_same_key() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("ingest.key");
    let made = ensure_key(&path).expect("made");
    let key = fs::read_to_string(&path).expect("the file is there");
    for text in [format!("\u{feff}{}\r\n", key.trim()), format!("{} \t\n\n", key.trim())] {
        fs::write(&path, text).expect("a file");
        assert_eq!(ensure_key(&path).expect("a key").sha256, made.sha256);
    }
    let folder = dir.path().join("folder.key");
    fs::create_dir(&folder).expect("a folder");
    let error = ensure_key(&folder).expect_err("a folder is no key").to_string();
    assert!(error.contains("cannot read the key file") && error.contains("folder.key"));
}

#[test]
fn file_that_holds_another_key_or_none_misleads() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let path = dir.path().join("ingest.key");
    let made = ensure_key(&path).expect("made");
    assert_eq!(misleads(&path, made.sha256), None);
    fs::remove_file(&path).expect("it is there");
    assert_eq!(misleads(&path, made.sha256), None);
    ensure_key(&path).expect("another one");
    let told = misleads(&path, made.sha256).expect("it is another one");
    assert!(told.starts_with("the key in ") && told.ends_with("is another one"), "{told}");
    fs::write(&path, "no key").expect("a file");
    let told = misleads(&path, made.sha256).expect("it holds none");
    assert!(told.contains("does not hold a key") && !told.contains("no key"), "{told}");
}

#[test]
fn folder_that_is_missing_is_named() {
    let dir = tempfile::tempdir().expect("a temp folder");
    let error = ensure_key(&dir.path().join("gone/ingest.key")).expect_err("no folder");
    assert!(error.to_string().contains("cannot make the key file"));
    assert!(error.to_string().contains("gone/ingest.key"));
}
