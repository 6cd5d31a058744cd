//! Damaged files: what the storage garbled is marked or refused, never served as good.

use super::*;

async fn filled(dir: &Path, n_records: u64) -> Vec<Bytes> {
    let queue = open(dir).await;
    let records: Vec<Bytes> = (0..n_records).map(|n| payload(n, 100 + n as usize * 50)).collect();
    queue.append(records.iter().cloned().map(record).collect()).await.unwrap();
    queue.close().await;
    records
}

#[tokio::test]
async fn garbled_row_is_marked_and_the_next_is_intact() {
    for garble in [
        "UPDATE log SET bytes = zeroblob(7) WHERE id = 2",
        "UPDATE log SET append_time_us = append_time_us + 1 WHERE id = 2",
        "UPDATE log SET crc32c = crc32c + 1 WHERE id = 2",
        "UPDATE log SET (append_time_us, crc32c, bytes) =
            (SELECT append_time_us, crc32c, bytes FROM log WHERE id = 3) WHERE id = 2",
    ] {
        let temp = tempfile::tempdir().unwrap();
        let records = filled(temp.path(), 3).await;
        sql(&mut stranger(temp.path()).await, garble).await;
        let queue = open(temp.path()).await;
        let found = queue.read(0, 0, usize::MAX).await.unwrap();
        let intact: Vec<bool> = found.iter().map(|r| r.intact).collect();
        assert_eq!(intact, [true, false, true], "{garble}");
        assert_eq!((&found[0].bytes, &found[2].bytes), (&records[0], &records[2]));
        queue.close().await;
    }
}

#[tokio::test]
async fn flipped_bytes_in_the_file_are_never_served_as_good() {
    let temp = tempfile::tempdir().unwrap();
    let records = filled(temp.path(), 60).await;
    let file = std::fs::read(temp.path().join(schema::FILE)).unwrap();
    let mut n_noticed = 0;
    for seed in 0..60u64 {
        let copy = tempfile::tempdir().unwrap();
        let noise = payload(seed, 64);
        let place = u64::from_le_bytes(noise[..8].try_into().unwrap()) as usize;
        let mut garbled = file.clone();
        let len = garbled.len();
        for (n, byte) in noise[8..].iter().enumerate() {
            garbled[(place + n) % len] ^= byte;
        }
        std::fs::write(copy.path().join(schema::FILE), garbled).unwrap();
        let Ok(reader) = Queue::open_embedded_read_only(copy.path()).await else {
            n_noticed += 1;
            continue;
        };
        for (offset, expected) in records.iter().enumerate() {
            match reader.read(0, offset as u64, 1).await {
                Ok(found) if found[0].intact => assert_eq!(&found[0].bytes, expected),
                Ok(_) | Err(_) => n_noticed += 1,
            }
        }
        reader.close().await;
    }
    assert!(n_noticed > 30, "the damage was hardly met: {n_noticed}");
}

#[tokio::test]
async fn missing_row_in_the_middle_is_a_hole() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), 5).await;
    sql(&mut stranger(temp.path()).await, "DELETE FROM log WHERE id IN (3, 4)").await;
    let queue = open(temp.path()).await;
    assert_eq!(queue.read(0, 0, usize::MAX).await.unwrap().len(), 2);
    let hole = queue.read(0, 2, usize::MAX).await.unwrap_err();
    assert!(matches!(hole, QueueError::Hole { offset: 2, next: 4 }), "{hole:?}");
    assert_eq!(queue.read(0, 4, usize::MAX).await.unwrap().len(), 1);
    queue.close().await;
}

#[tokio::test]
async fn file_that_contradicts_itself_is_not_opened() {
    for damage in [
        "DELETE FROM log WHERE id = 1",
        "DELETE FROM log WHERE id = 5",
        "DELETE FROM log",
        "DELETE FROM meta",
        "UPDATE meta SET low = 99",
        "UPDATE sqlite_sequence SET seq = 4",
        "DELETE FROM sqlite_sequence",
    ] {
        let temp = tempfile::tempdir().unwrap();
        filled(temp.path(), 5).await;
        sql(&mut stranger(temp.path()).await, damage).await;
        let error = Queue::open_embedded(temp.path(), options()).await.unwrap_err();
        assert!(matches!(error, QueueError::Corrupt { .. }), "{damage}: {error}");
        let error = Queue::open_embedded_read_only(temp.path()).await.unwrap_err();
        assert!(matches!(error, QueueError::Corrupt { .. }), "{damage}: {error}");
    }
}

#[tokio::test]
async fn file_of_a_newer_format_is_not_opened() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), 1).await;
    sql(&mut stranger(temp.path()).await, "UPDATE meta SET format = 2").await;
    let error = Queue::open_embedded(temp.path(), options()).await.unwrap_err();
    assert!(matches!(error, QueueError::Format { found: 2, known: 1, .. }), "{error}");
}

#[tokio::test]
async fn file_that_is_no_database_is_not_opened() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join(schema::FILE), payload(1, 9_000)).unwrap();
    let error = Queue::open_embedded(temp.path(), options()).await.unwrap_err();
    assert!(matches!(error, QueueError::Sql { .. }), "{error}");
}
