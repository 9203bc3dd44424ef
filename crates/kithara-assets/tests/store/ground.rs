//! What all tests stand on: resources whose bytes follow from their number.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use kithara_assets::event::{StoreEvent, Subscription};
use kithara_assets::{
    AssetId, AssetStore, AssetsErrorKind, DiskOptions, Meta, Partition, ResourceKey, StreamingResource, WriteOutcome,
};

pub(crate) const BLOCK: u64 = kithara_assets::format::BLOCK as u64;

/// Options that let the test alone decide what goes.
pub(crate) fn options() -> DiskOptions {
    DiskOptions { free_space: 0, max_age: None, quota: 256 << 20, ..DiskOptions::default() }
}

pub(crate) fn open(dir: &Path) -> AssetStore {
    AssetStore::open(dir, options()).unwrap()
}

pub(crate) fn asset(name: &str) -> AssetId {
    AssetId::named(&Partition::new("test"), name)
}

pub(crate) fn key(asset_name: &str, number: u64) -> ResourceKey {
    ResourceKey::named(asset(asset_name), &number.to_string())
}

/// The bytes at `range` of the resource `number`.
pub(crate) fn pattern(number: u64, range: Range<u64>) -> Vec<u8> {
    let mix = |word: u64| (word ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let words = range.start / 8..range.end.div_ceil(8);
    let bytes: Vec<u8> = words.flat_map(|word| (mix(word) >> 7).to_le_bytes()).collect();
    let from = usize::try_from(range.start % 8).unwrap();
    bytes[from..from + usize::try_from(range.end - range.start).unwrap()].to_vec()
}

pub(crate) fn try_write(
    resource: &StreamingResource,
    number: u64,
    range: Range<u64>,
    total: Option<u64>,
) -> Result<Range<u64>, AssetsErrorKind> {
    let mut writer = resource.writer(range.start, Meta::default());
    for chunk in pattern(number, range).chunks(60_000) {
        if let WriteOutcome::GaveUp(reason) = writer.write_blocking(Bytes::copy_from_slice(chunk)) {
            return Err(reason);
        }
    }
    writer.commit(total).wait().map_err(|error| error.kind())
}

/// Stores the resource `number` of `len` bytes.
pub(crate) fn write(store: &AssetStore, asset: &str, number: u64, len: u64) {
    try_write(&store.streaming(&key(asset, number)), number, 0..len, Some(len)).unwrap();
}

/// Reads everything that is present of the resource `number` and checks it. Answers with how much that is.
pub(crate) fn check_present(store: &AssetStore, asset: &str, number: u64) -> u64 {
    let resource = store.streaming(&key(asset, number));
    let mut count = 0;
    for span in resource.spans() {
        let mut at = span.start;
        while at < span.end {
            // It may have turned out to be damaged.
            let Some(bytes) = resource.read_span(at, usize::MAX).unwrap() else { break };
            assert!(bytes == pattern(number, at..at + bytes.len() as u64), "wrong bytes of {number} at {at}");
            at += bytes.len() as u64;
            count += bytes.len() as u64;
        }
    }
    count
}

/// Numbers in `numbers` whose resources are there as a whole.
pub(crate) fn whole(store: &AssetStore, asset: &str, numbers: Range<u64>) -> Vec<u64> {
    let is_whole = |number: &u64| {
        let present = check_present(store, asset, *number);
        present > 0 && store.streaming(&key(asset, *number)).total_len() == Some(present)
    };
    numbers.filter(is_whole).collect()
}

/// Runs a task on this thread.
pub(crate) fn block_on<T>(task: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut task = std::pin::pin!(task);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Everything a store says from now on.
pub(crate) struct Log {
    events: Arc<Mutex<Vec<StoreEvent>>>,
    _subscription: Subscription,
}

impl Log {
    pub(crate) fn of(store: &AssetStore) -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&events);
        let subscription = store.observe_all(move |event| log.lock().unwrap().push(event.clone()));
        Self { events, _subscription: subscription }
    }

    pub(crate) fn count(&self, wanted: impl Fn(&StoreEvent) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| wanted(event)).count()
    }
}

/// All files below `dir`, with their path from there.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let list = if entry.file_type().unwrap().is_dir() { &mut folders } else { &mut found };
            list.push(entry.path());
        }
    }
    found.sort();
    found
}

/// The files of spans.
pub(crate) fn span_files(dir: &Path) -> Vec<PathBuf> {
    files(&dir.join("v1/assets"))
}

/// A small generator of numbers, so that a test can be repeated from its seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
