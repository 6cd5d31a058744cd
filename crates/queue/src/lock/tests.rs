//! Unit tests of `lock`.

use super::*;

#[test]
fn second_lock_is_refused_and_names_directory_and_holder() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let first = DirectoryLock::acquire(&dir).unwrap();
    let error = DirectoryLock::acquire(&dir).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(dir.to_str().unwrap()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(first);
    DirectoryLock::acquire(&dir).unwrap();
}

#[test]
fn dropped_lock_is_free_although_a_copy_of_its_file_is_open() {
    let temp = tempfile::tempdir().unwrap();
    let first = DirectoryLock::acquire(temp.path()).unwrap();
    // What a child has between fork and exec: another descriptor of the same open file.
    let copy = first.file.try_clone().unwrap();
    drop(first);
    DirectoryLock::acquire(temp.path()).unwrap();
    drop(copy);
}
