//! Unit tests of `chunks`.

use super::*;

#[test]
fn clients_come_in_the_order_of_their_numbers_and_need_both_files() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
    let fault = || format!("{:#}", chunks(folder.path()).unwrap_err());
    assert!(fault().contains("has no chunk-N-trace.csv"), "{}", fault());
    for name in ["README.md", "chunk-x-trace.csv", "chunk-70000-trace.csv", "chunk-1-other.csv"] {
        put(name);
    }
    for name in ["chunk-10-trace.csv", "chunk-10-dataset.json.gz", "chunk-9-trace.csv.gz"] {
        put(name);
    }
    assert!(fault().contains("chunk-9-trace.csv.gz has no counterpart"), "{}", fault());
    put("chunk-9-dataset.json");
    let found = chunks(folder.path()).unwrap();
    assert_eq!(found.iter().map(|chunk| chunk.number).collect::<Vec<_>>(), [9, 10]);
    assert!(found[1].dataset.ends_with("chunk-10-dataset.json.gz"));
    put("chunk-9-trace.csv");
    assert!(fault().contains("are the same file of a client"), "{}", fault());
    assert!(chunks(&folder.path().join("none")).is_err());
}
