//! Unit tests of `rights`.

use super::*;

#[test]
fn file_that_may_not_be_written_is_refused_with_its_path() {
    let folder = tempfile::tempdir().expect("a temp folder");
    let dir = folder.path();
    check(dir).expect("files that are not there yet are made");
    for (name, error, words) in [
        ("queue.db", Errno::ACCESS, "Permission denied"),
        ("queue.db-shm", Errno::ROFS, "Read-only file system"),
        ("ledger.db", Errno::PERM, "Operation not permitted"),
        ("ledger.db-wal", Errno::ACCESS, "Permission denied"),
    ] {
        std::fs::write(dir.join(name), "kept").expect("a file");
        check(dir).expect("everything may be written");
        assert_eq!(std::fs::read(dir.join(name)).expect("a file"), b"kept");
        let may_not = |path: &Path, wanted| match path.ends_with(name) {
            true => Err(error.into()),
            false => may(path, wanted),
        };
        let told = format!("{:#}", check_by(dir, may_not).expect_err(name));
        assert!(told.contains(&format!("{name} cannot")) && told.contains(words), "{told}");
    }
    // Root may write whatever has no rights, but no folder.
    std::fs::create_dir(dir.join("queue.db-wal")).expect("a folder");
    let told = format!("{:#}", check(dir).expect_err("it is no file"));
    assert!(told.contains("queue.db-wal cannot be read and written: Is a directory"), "{told}");
    let told = check_by(dir, |_, _| Err(Errno::ACCESS.into())).expect_err("nothing is made");
    assert!(told.to_string().starts_with("nothing can be made in the data folder"), "{told}");
}
