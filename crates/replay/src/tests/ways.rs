//! Runs that go two ways.

use super::*;

#[tokio::test]
async fn every_other_copy_goes_the_second_way() {
    let (first, second) = (Fake::start(|_| Act::Answer).await, Fake::start(|_| Act::Answer).await);
    let words = format!("{MIXED} --also http://{}", second.address);
    let (code, report) = run(&words, &first).await;
    assert_eq!(code, ExitCode::SUCCESS);
    let copies = report["events"]["duplicate"].as_u64().unwrap();
    // To a receiver that has only copies each is new.
    let (here, there) = (first.tally().events, second.tally().events);
    assert_eq!(here.duplicate + there.counted, copies);
    assert!(here.duplicate.abs_diff(there.counted) <= 60, "{here:?} {there:?}");
    assert_eq!((here.counted, there.late, there.rejected), (3_000, 0, 0));
    let none = Setup::from_args(&args("synthetic --also http://127.0.0.1:9"), Wall::now().as_us());
    assert!(none.unwrap_err().to_string().contains("--duplicates"));
}
