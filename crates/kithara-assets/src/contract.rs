//! What every store promises, as tests: for whoever wants to see a store keep its promises with other options or on
//! another file system.
//!
//! Each case makes its stores with a closure, so that it begins with an empty one, and panics where a promise is
//! broken.

// Lists of ranges are what is compared here.
#![allow(clippy::single_range_in_vec_init)]

mod resources;
mod stores;

use std::ops::Range;

use bytes::Bytes;

use crate::{
    AssetId, AssetStore, AssetsErrorKind, Clock, Meta, Partition, ResourceKey, StreamingResource, Validators,
    WriteOutcome,
};

/// What a store under test has to be made with.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The quota or capacity.
    pub bytes: u64,
    /// Bytes of a piece of a progressive resource.
    pub piece_bytes: u64,
    /// The clock.
    pub clock: Clock,
}

/// Makes an empty store.
pub type Make<'a> = &'a dyn Fn(Wanted) -> AssetStore;

/// One promise: its name, and the check that panics where it is broken.
pub type Case = (&'static str, fn(Make<'_>));

/// Runs all cases.
///
/// # Panics
/// A promise is broken.
pub fn check_all(make: Make<'_>) {
    for (_, check) in CASES {
        check(make);
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    ("absent is not empty", resources::absent_is_not_empty),
    ("an atomic resource is replaced as a whole", resources::an_atomic_resource_is_replaced_as_a_whole),
    ("an atomic resource has a largest size", resources::an_atomic_resource_has_a_largest_size),
    (
        "a span is there when it is committed and not before",
        resources::a_span_is_there_when_it_is_committed_and_not_before,
    ),
    ("spans come in any order and may overlap", resources::spans_come_in_any_order_and_may_overlap),
    ("a dropped writer keeps whole blocks", resources::a_dropped_writer_keeps_whole_blocks),
    ("a discarded writer keeps nothing", resources::a_discarded_writer_keeps_nothing),
    (
        "a progressive resource becomes present piece by piece",
        resources::a_progressive_resource_becomes_present_piece_by_piece,
    ),
    ("what is kept of a resource has its announced length", resources::what_is_kept_has_the_announced_length),
    ("versions and lengths are not mixed", resources::versions_and_lengths_are_not_mixed),
    ("a whole resource takes the place of parts", resources::a_whole_resource_takes_the_place_of_parts),
    ("nothing survives an invalidation", resources::nothing_survives_an_invalidation),
    ("a reader is handed one version", resources::a_reader_is_handed_one_version),
    ("who waits for a range is woken", resources::who_waits_for_a_range_is_woken),
    ("a handle writes where it is told", resources::a_handle_writes_where_it_is_told),
    ("the least recently used goes first", stores::the_least_recently_used_goes_first),
    ("what is leased or pinned stays", stores::what_is_leased_or_pinned_stays),
    ("who watches is told", stores::who_watches_is_told),
    ("who is told of a loss may lease", stores::who_is_told_of_a_loss_may_lease),
    ("lists show what is there", stores::lists_show_what_is_there),
    ("gc and removal respect holders", stores::gc_and_removal_respect_holders),
    ("readers and writers are in nobody's way", stores::readers_and_writers_are_in_nobodys_way),
];

/// A store with room for everything a case does.
fn roomy(make: Make<'_>) -> AssetStore {
    make(Wanted { bytes: 64 << 20, piece_bytes: 1 << 20, clock: Clock::default() })
}

fn asset(name: &str) -> AssetId {
    AssetId::named(&Partition::new("contract"), name)
}

fn key(asset_name: &str, name: &str) -> ResourceKey {
    ResourceKey::named(asset(asset_name), name)
}

/// The bytes at `range` of a resource: no two offsets and no two seeds look alike for long.
fn pattern(seed: u64, range: Range<u64>) -> Vec<u8> {
    range.map(|at| (at.wrapping_mul(0x9e37_79b9).wrapping_add(seed << 3) >> 5) as u8).collect()
}

fn version(etag: &str) -> Meta {
    Meta { validators: Validators { etag: Some(etag.into()), last_modified: None }, ..Meta::default() }
}

/// Commits `range` of the pattern `seed`.
fn commit(resource: &StreamingResource, seed: u64, range: Range<u64>, total: Option<u64>) -> Range<u64> {
    try_commit(resource, &Meta::default(), seed, range, total).expect("the span can be committed")
}

fn try_commit(
    resource: &StreamingResource,
    meta: &Meta,
    seed: u64,
    range: Range<u64>,
    total: Option<u64>,
) -> Result<Range<u64>, AssetsErrorKind> {
    let mut writer = resource.writer(range.start, meta.clone());
    let bytes = pattern(seed, range);
    for chunk in bytes.chunks(50_000) {
        if let WriteOutcome::GaveUp(reason) = writer.write_blocking(Bytes::copy_from_slice(chunk)) {
            return Err(reason);
        }
    }
    writer.commit(total).wait().map_err(|error| error.kind())
}

/// Reads all of `range`, in reads of odd sizes, and checks it against the pattern.
#[track_caller]
fn assert_reads(resource: &StreamingResource, seed: u64, range: Range<u64>) {
    let mut at = range.start;
    while at < range.end {
        let max = usize::try_from((range.end - at).min(99_991)).expect("a small number");
        let bytes = resource.read_span(at, max).expect("readable").expect("present");
        assert!(!bytes.is_empty() && bytes.len() <= max, "{} bytes of {max}", bytes.len());
        assert!(bytes == pattern(seed, at..at + bytes.len() as u64), "wrong bytes at {at}");
        at += bytes.len() as u64;
    }
    let mut all = vec![0; usize::try_from(range.end - range.start).expect("a small number")];
    let read = resource.read_at(range.start, &mut all).expect("readable");
    assert_eq!(read, Some(all.len()));
    assert!(all == pattern(seed, range), "wrong bytes");
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{DiskOptions, MemoryOptions};

    fn on_disk(edit: fn(&mut DiskOptions)) {
        for (name, check) in CASES {
            println!("{name}");
            let dirs = Mutex::new(Vec::new());
            check(&|wanted| {
                let dir = tempfile::tempdir().unwrap();
                let Wanted { bytes, piece_bytes, clock } = wanted;
                let mut options =
                    DiskOptions { quota: bytes, piece_bytes, clock, free_space: 0, ..DiskOptions::default() };
                edit(&mut options);
                let store = AssetStore::open(dir.path(), options).unwrap();
                dirs.lock().unwrap().push(dir);
                store
            });
        }
    }

    #[test]
    fn the_store_in_memory_keeps_its_promises() {
        check_all(&|wanted| {
            let Wanted { bytes, piece_bytes, clock } = wanted;
            AssetStore::memory(MemoryOptions { capacity: bytes, piece_bytes, clock })
        });
    }

    #[test]
    fn the_store_on_disk_keeps_its_promises() {
        on_disk(|_| {});
    }

    #[test]
    fn the_store_on_disk_keeps_them_through_a_narrow_queue() {
        on_disk(|options| {
            options.queue_bytes = 60_000;
            options.share_equal_content = false;
        });
    }
}
