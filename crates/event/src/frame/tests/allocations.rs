//! What columns, encoder and reader allocate once their buffers have grown: the bytes of a frame,
//! and nothing per event.

use super::*;

const N_EVENTS: u64 = 1_000;

/// Events with keys of their own and a few dozen tuples.
fn events() -> Vec<(Labels<'static>, Facts)> {
    let event = |n: u64| {
        let mut labels = labels(n as u8);
        labels.source = UsageSource::Reported;
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.to_le_bytes());
        let facts = Facts {
            key: Key(key),
            time_us: 1_700_000_000_000_000 + n.cast_signed() * 777,
            duration_us: 1_000 + n,
            ttft_us: Some(n),
            usage: Usage { input: Some(3), output: Some(5), ..Usage::default() },
            cost_nano: None,
            attempt: 0,
            fingerprint: n,
        };
        (labels, facts)
    };
    (0..N_EVENTS).map(event).collect()
}

/// How often something allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn columns_with_room_allocate_for_requested_models_alone() {
    let events = events();
    let all = columns(&events);
    let ids: Vec<LabelIds> = all.rows.iter().map(|row| row.ids).collect();
    let mut columns = EventColumns::with_capacity(events.len());
    let mut fill = |with_requested: bool| {
        columns.clear();
        allocations(|| {
            for (ids, (labels, facts)) in ids.iter().zip(&events) {
                let requested = labels.requested_model.filter(|_| with_requested);
                columns.push(ids, requested, None, facts).expect("room");
            }
        })
    };
    assert_eq!(fill(false), 0);
    // Texts and their ends grow by doubling, from nothing.
    assert!(fill(true) <= 20);
    assert_eq!(fill(true), 0, "what was cleared keeps its memory");
}

#[test]
fn columns_are_appended_without_allocations_once_they_have_room() {
    let one = columns(&events());
    let mut all = EventColumns::default();
    let mut append = || {
        all.clear();
        allocations(|| (0..4).for_each(|_| all.append(&one).expect("room")))
    };
    // 16 buffers, each of which grows a few times.
    assert!(append() <= 16 * 4);
    assert_eq!(append(), 0);
}

#[test]
fn encoder_allocates_the_bytes_of_the_frame_alone() {
    let columns = columns(&events());
    let mut encoder = FrameEncoder::default();
    for version in Version::EACH {
        let mut encode =
            || allocations(|| drop(encoder.encode(&columns, &TestTexts, stamp(), version)));
        // Its own buffers grow by doubling, from nothing.
        assert!(encode() <= 60);
        assert_eq!(encode(), 1);
    }
}

#[test]
fn reader_allocates_nothing_once_its_buffers_have_grown() {
    let mut reader = FrameReader::default();
    for version in Version::EACH {
        let record = build(&events(), version).encode(stamp());
        let mut read = || {
            allocations(|| {
                let view = reader.read(&record).expect("a frame");
                for idx in 0..view.len() {
                    let labels = view.labels(idx).expect("labels");
                    assert!(view.facts(idx, labels.source).is_some());
                }
            })
        };
        // 14 columns, 13 for the dictionary, and lists that grow by doubling.
        assert!(read() <= 60);
        assert_eq!(read(), 0);
    }
}
