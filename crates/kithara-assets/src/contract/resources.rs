//! What a resource promises.

use std::time::Duration;

use bytes::Bytes;

use super::{Make, Wanted, assert_reads, commit, key, pattern, roomy, try_commit, version};
use crate::format::BLOCK;
use crate::{AssetsErrorKind, AtomicResource, Clock, Meta, UnixMillis, WriteOutcome};

pub(super) fn absent_is_not_empty(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    assert_eq!(read(&atomic), None);
    atomic.write(b"", &Meta::default()).wait().expect("written");
    assert_eq!(read(&atomic), Some((Vec::new(), Meta::default())));

    let streaming = store.streaming(&key("a", "segment"));
    assert_eq!((streaming.total_len(), streaming.spans(), streaming.meta().expect("readable")), (None, vec![], None));
    assert_eq!(streaming.holes(3..7), [3..7]);
    assert!(!streaming.contains(0..1) && streaming.contains(5..5));
    assert_eq!(streaming.read_span(0, 10).expect("readable"), None);
    let nothing = streaming.writer(0, Meta::default()).commit(Some(10)).wait();
    assert_eq!(nothing.expect_err("nothing was written").kind(), AssetsErrorKind::Abandoned);
    streaming.writer(0, Meta::default()).commit(Some(0)).wait().expect("an empty resource");
    assert_eq!(streaming.total_len(), Some(0));
    assert!(streaming.meta().expect("readable").is_some());
}

pub(super) fn an_atomic_resource_is_replaced_as_a_whole(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    let meta = Meta { content_type: Some("x/y".into()), stored_at: UnixMillis(5), ..version("\"1\"") };
    let meta = meta.with_base_url(&"https://a.example/p/x.m3u8".parse().expect("a URL"));
    for (bytes, meta) in [(vec![1; 70_000], &meta), (vec![2; 10], &version("\"2\"")), (vec![3; 600_000], &meta)] {
        atomic.write(&bytes, meta).wait().expect("written");
        assert_eq!(read(&atomic), Some((bytes, meta.clone())));
    }
    let shown = format!("{store:?} {atomic:?} {:?}", store.lease(&atomic.key().asset()));
    assert!(shown.len() < 300, "Debug shows nothing of what is stored: {shown}");
    atomic.remove();
    assert_eq!(read(&atomic), None);
    atomic.write(b"again", &meta).wait().expect("written");
    assert_eq!(read(&atomic), Some((b"again".to_vec(), meta)));
}

pub(super) fn an_atomic_resource_has_a_largest_size(make: Make<'_>) {
    let store = roomy(make);
    let atomic = store.atomic(&key("a", "playlist"));
    let large = vec![0; usize::try_from(AtomicResource::MAX_LEN).expect("a small number") + 1];
    let refused = atomic.write(&large, &Meta::default()).wait().expect_err("too large");
    assert_eq!(refused.kind(), AssetsErrorKind::TooLarge);
    assert_eq!(read(&atomic), None);
}

pub(super) fn a_span_is_there_when_it_is_committed_and_not_before(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let len = 3 * BLOCK as u64 + 1;
    let mut writer = resource.writer(0, version("\"1\""));
    for chunk in pattern(1, 0..len).chunks(100_000) {
        assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        assert_eq!(resource.holes(0..len), [0..len]);
    }
    assert_eq!((writer.start(), writer.position()), (0, len));
    assert_eq!(writer.commit(Some(len)).wait().expect("committed"), 0..len);
    assert_eq!((resource.total_len(), resource.spans()), (Some(len), vec![0..len]));
    assert_eq!(resource.meta().expect("readable"), Some(version("\"1\"")));
    assert_reads(&resource, 1, 0..len);
    assert_reads(&resource.clone(), 1, len - 1..len);
    assert_eq!(resource.read_span(len, 1).expect("readable"), None);
    assert_eq!(resource.read_at(len, &mut [0; 4]).expect("readable"), None);
    assert_eq!(resource.read_at(len - 2, &mut [0; 4]).expect("readable"), Some(2));
}

pub(super) fn spans_come_in_any_order_and_may_overlap(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "file"));
    let far = 1 << 40;
    for range in [200_000..300_000, far..far + 10, 0..100_000, 50_000..250_000] {
        commit(&resource, 2, range.clone(), None);
        assert_reads(&resource, 2, range);
    }
    assert_eq!(resource.spans(), [0..300_000, far..far + 10]);
    assert_eq!(resource.holes(10..far + 20), [300_000..far, far + 10..far + 20]);
    assert_eq!(resource.holes(0..300_000), []);
    assert_reads(&resource, 2, 0..300_000);
    assert_eq!(commit(&resource, 2, 1_000..2_000, None), 1_000..2_000, "what is there already may come again");
    assert_reads(&resource, 2, 0..300_000);
}

pub(super) fn a_dropped_writer_keeps_whole_blocks(make: Make<'_>) {
    let store = roomy(make);
    let block = BLOCK as u64;
    for (len, kept) in [(block - 1, 0), (block, block), (3 * block - 1, 2 * block)] {
        let resource = store.streaming(&key("a", &format!("dropped at {len}")));
        let mut writer = resource.writer(100, Meta::default());
        for chunk in pattern(3, 100..100 + len).chunks(70_001) {
            assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        }
        drop(writer);
        store.flush().wait().expect("flushed");
        let want = if kept > 0 { vec![100..100 + kept] } else { vec![] };
        assert_eq!(resource.spans(), want);
        assert_reads(&resource, 3, 100..100 + kept);
    }
}

pub(super) fn a_discarded_writer_keeps_nothing(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    for _ in 0..2 {
        let mut writer = resource.writer(0, Meta::default());
        for chunk in vec![b'<'; 4 * BLOCK].chunks(90_000) {
            assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
        }
        writer.discard();
        store.flush().wait().expect("flushed");
        assert_eq!(resource.spans(), []);
    }
    let len = BLOCK as u64;
    commit(&resource, 4, 0..len, Some(len));
    assert_reads(&resource, 4, 0..len);
}

pub(super) fn a_progressive_resource_becomes_present_piece_by_piece(make: Make<'_>) {
    let store = make(Wanted { bytes: 64 << 20, piece_bytes: 100_000, clock: Clock::default() });
    let resource = store.streaming(&key("a", "file"));
    let mut writer = resource.piecewise_writer(7, version("\"1\""));
    for chunk in pattern(5, 7..250_007).chunks(50_000) {
        assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
    }
    resource.wait_range(7..200_007, Duration::from_secs(20)).expect("two pieces come by themselves");
    drop(writer);
    store.flush().wait().expect("flushed");
    assert_eq!(resource.spans(), [7..250_007]);
    assert_reads(&resource, 5, 7..250_007);

    let mut writer = resource.piecewise_writer(250_007, version("\"1\""));
    assert_eq!(writer.write(pattern(5, 250_007..350_007).into()), WriteOutcome::Accepted);
    assert_eq!(writer.commit(Some(350_007)).wait().expect("only the length is new"), 250_007..350_007);
    assert_eq!((resource.total_len(), resource.spans()), (Some(350_007), vec![7..350_007]));
}

pub(super) fn what_is_kept_has_the_announced_length(make: Make<'_>) {
    let store = make(Wanted { bytes: 64 << 20, piece_bytes: 100_000, clock: Clock::default() });
    let block = BLOCK as u64;
    let accept = |writer: &mut crate::SpanWriter, range| {
        assert_eq!(writer.write_blocking(pattern(6, range).into()), WriteOutcome::Accepted);
    };
    for early in [true, false] {
        let dropped = store.streaming(&key("a", &format!("dropped, told early {early}")));
        let mut writer = dropped.writer(0, Meta::default());
        if early {
            writer.expect_total(2 * block);
        }
        accept(&mut writer, 0..block + 5);
        writer.expect_total(if early { 7 } else { 2 * block });
        drop(writer);
        store.flush().wait().expect("flushed");
        assert_eq!((dropped.spans(), dropped.total_len()), (vec![0..block], Some(2 * block)));
        let rest = |total| try_commit(&dropped, &Meta::default(), 6, block..block + 10, total);
        assert_eq!(rest(Some(block + 10)), Err(AssetsErrorKind::Conflict), "the rest of another version");
        assert_eq!(rest(None), Ok(block..block + 10));
    }

    let file = store.streaming(&key("a", "file"));
    let mut writer = file.piecewise_writer(0, Meta::default());
    writer.expect_total(250_000);
    accept(&mut writer, 0..100_000);
    file.wait_range(0..100_000, Duration::from_secs(20)).expect("a piece comes by itself");
    assert_eq!(file.total_len(), Some(250_000));
    accept(&mut writer, 100_000..150_000);
    let ended = writer.commit(Some(150_000)).wait();
    assert_eq!(ended.expect_err("the pieces are of another length").kind(), AssetsErrorKind::Conflict);
    assert_eq!((file.spans(), file.total_len()), (vec![0..100_000], Some(250_000)));

    for (total, want) in [(Some(9), Ok(Some(9))), (None, Ok(Some(12))), (Some(8), Err(AssetsErrorKind::Conflict))] {
        let resource = store.streaming(&key("a", &format!("committed with {total:?}")));
        let mut writer = resource.writer(0, Meta::default());
        writer.expect_total(12);
        accept(&mut writer, 0..9);
        let committed = writer.commit(total).wait().map_err(|error| error.kind());
        assert_eq!(committed.map(|_| resource.total_len()), want, "what a commit says goes");
    }
}

pub(super) fn versions_and_lengths_are_not_mixed(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "file"));
    let part = |etag, range, total| try_commit(&resource, &version(etag), 6, range, total);
    assert_eq!(part("\"1\"", 0..10, Some(100)), Ok(0..10));
    assert_eq!(part("\"2\"", 10..20, Some(100)), Err(AssetsErrorKind::Conflict));
    assert_eq!(part("\"1\"", 10..20, Some(99)), Err(AssetsErrorKind::Conflict));
    assert_eq!(part("\"1\"", 90..101, None), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&resource, &Meta::default(), 6, 20..30, None), Ok(20..30), "no validators, no objection");
    assert_eq!(resource.spans(), [0..10, 20..30]);

    let other = store.streaming(&key("a", "other"));
    assert_eq!(other.set_total_len(50).map_err(|error| error.kind()), Ok(()));
    assert_eq!(other.total_len(), Some(50));
    assert_eq!(other.set_total_len(51).map_err(|error| error.kind()), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&other, &Meta::default(), 6, 45..51, None), Err(AssetsErrorKind::Conflict));
    assert_eq!(try_commit(&other, &Meta::default(), 6, 45..50, None), Ok(45..50));
    assert_eq!(other.total_len(), Some(50));
}

pub(super) fn a_whole_resource_takes_the_place_of_parts(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    try_commit(&resource, &version("\"1\""), 7, 0..40_000, None).expect("committed");
    try_commit(&resource, &version("\"1\""), 7, 60_000..90_000, None).expect("committed");
    assert_reads(&resource, 7, 0..40_000);
    try_commit(&resource, &version("\"2\""), 8, 0..70_000, Some(70_000)).expect("committed");
    assert_eq!((resource.spans(), resource.total_len()), (vec![0..70_000], Some(70_000)));
    assert_reads(&resource, 8, 0..70_000);
    assert_eq!(resource.meta().expect("readable"), Some(version("\"2\"")));
}

pub(super) fn nothing_survives_an_invalidation(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    commit(&resource, 9, 0..40_000, Some(80_000));
    assert_reads(&resource, 9, 0..40_000);
    let reader = resource.clone();
    assert_reads(&reader, 9, 0..10);
    let mut late = resource.writer(40_000, Meta::default());
    assert_eq!(late.write(pattern(9, 40_000..80_000).into()), WriteOutcome::Accepted);
    resource.invalidate();
    assert_eq!((resource.spans(), resource.total_len()), (vec![], None));
    assert_eq!(reader.read_span(0, 10).expect("readable"), None);
    resource.set_total_len(30_000).expect("a new length");
    assert_eq!(late.write(Bytes::from_static(b"more")), WriteOutcome::GaveUp(AssetsErrorKind::Abandoned));
    assert!(late.commit(None).wait().is_err());
    commit(&resource, 10, 0..30_000, Some(30_000));
    assert_eq!(resource.spans(), [0..30_000]);
    assert_reads(&resource, 10, 0..30_000);
    assert_reads(&reader, 10, 0..30_000);
}

pub(super) fn a_reader_is_handed_one_version(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "without validators"));
    assert_eq!((resource.version(), resource.present(0..10).version), (None, None));
    commit(&resource, 9, 0..40_000, Some(80_000));
    let present = resource.present(0..80_000);
    assert_eq!((present.version, present.holes), (resource.version(), vec![40_000..80_000]));
    let first = present.version.expect("something is present");
    let read = |version, offset, max| {
        resource.read_span_of(version, offset, max).map(|bytes| bytes.map(Vec::from)).map_err(|error| error.kind())
    };
    assert_eq!(read(&first, 5, 10), Ok(Some(pattern(9, 5..15))));
    assert_eq!(read(&first, 40_000, 10), Ok(None), "a hole");
    commit(&resource, 9, 40_000..80_000, Some(80_000));
    assert_eq!(read(&first, 40_000, 10), Ok(Some(pattern(9, 40_000..40_010))), "what joins is of the same version");
    resource.invalidate();
    assert_eq!(read(&first, 5, 10), Ok(None), "nothing is there");
    commit(&resource, 10, 0..80_000, Some(80_000));
    for max in [0, 10] {
        assert_eq!(read(&first, 5, max), Err(AssetsErrorKind::Changed));
    }
    let second = resource.version().expect("something is present");
    assert_eq!(read(&second, 5, 10), Ok(Some(pattern(10, 5..15))));

    let resource = store.streaming(&key("a", "with validators"));
    let part = |etag, seed, range, total| try_commit(&resource, &version(etag), seed, range, total);
    assert_eq!(part("\"1\"", 11, 0..10, Some(30)), Ok(0..10));
    let first = resource.version().expect("something is present");
    resource.invalidate();
    assert_eq!(part("\"1\"", 11, 0..20, Some(30)), Ok(0..20));
    let read = |offset| {
        let read = resource.read_span_of(&first, offset, 5);
        read.map(|bytes| bytes.map(Vec::from)).map_err(|error| error.kind())
    };
    assert_eq!(read(10), Ok(Some(pattern(11, 10..15))), "validators say that it is the same");
    assert_eq!(part("\"2\"", 12, 0..30, Some(30)), Ok(0..30));
    assert_eq!(read(15), Err(AssetsErrorKind::Changed));
}

pub(super) fn who_waits_for_a_range_is_woken(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let waits = |range, limit| resource.wait_range(range, limit).map_err(|error| error.kind());
    assert_eq!(waits(0..1, Duration::ZERO), Err(AssetsErrorKind::TimedOut));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| waits(0..20, Duration::from_secs(20)));
        commit(&resource, 11, 0..10, None);
        commit(&resource, 11, 10..20, Some(20));
        assert_eq!(waiting.join().expect("no panic"), Ok(()));
    });
    assert_eq!(waits(5..15, Duration::ZERO), Ok(()));
    assert_eq!(waits(5..21, Duration::MAX), Err(AssetsErrorKind::InvalidRange));
}

pub(super) fn a_handle_writes_where_it_is_told(make: Make<'_>) {
    let store = roomy(make);
    let resource = store.streaming(&key("a", "segment"));
    let meta = Meta::default();
    for range in [0..10, 10..20_u64] {
        let bytes = Bytes::from(pattern(12, range.clone()));
        assert_eq!(resource.write_at(range.start, bytes, &meta), WriteOutcome::Accepted);
    }
    assert_eq!(resource.spans(), []);
    assert_eq!(resource.commit(None).wait().expect("committed"), 0..20);
    assert_eq!(resource.write_at(30, pattern(12, 30..40).into(), &meta), WriteOutcome::Accepted);
    assert_eq!(resource.commit(Some(40)).wait().expect("committed"), 30..40);
    assert_eq!(resource.spans(), [0..20, 30..40]);
    assert!(resource.commit(None).wait().is_err());
}

fn read(resource: &AtomicResource) -> Option<(Vec<u8>, Meta)> {
    resource.read().expect("readable").map(|(bytes, meta)| (bytes.to_vec(), meta))
}
