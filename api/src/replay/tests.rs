//! Waiting for ingest has an end.

use std::time::Instant;

use service::letters::LetterAddress;

use super::*;

fn request(n: u64) -> ReplayRequest {
    let letter = |offset| LetterAddress { generation: 1, partition: 0, offset, index: 0 };
    ReplayRequest { letters: (0..n).map(letter).collect() }
}

#[tokio::test]
async fn an_ingest_that_never_answers_ends_in_503_and_the_next_request_has_its_turn() {
    let resend: Resend = Arc::new(|letters: Vec<LetterAddress>| {
        Box::pin(async move {
            if letters.len() > 1 {
                std::future::pending::<()>().await;
            }
            Ok(ReplayResult { accepted: letters.len(), rejected: Vec::new() })
        })
    });
    let wait_max = Duration::from_millis(50);
    let replays = Replays { wait_max, ..Replays::new(Some(resend)) };
    let began = Instant::now();
    let (one, other) = tokio::join!(replays.send(request(2)), replays.send(request(2)));
    for refused in [one, other] {
        let error = refused.expect_err("nothing answers");
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.message().starts_with("ingest did not answer within"), "{error:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    let sent = replays.send(request(1)).await.expect("it is answered");
    assert_eq!(sent.accepted, 1);
}

#[tokio::test]
async fn without_a_way_it_is_said_what_to_configure() {
    let error = Replays::new(None).send(request(1)).await.expect_err("there is no way");
    assert_eq!(error.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(error.message().contains("api.ingest_url"), "{error:?}");
}
