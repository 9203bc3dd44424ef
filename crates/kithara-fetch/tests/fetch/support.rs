//! What the tests stand on: stores, an origin in memory that counts open exchanges, and fetches in one line.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, unfold};
use kithara_assets::{
    AssetId, AssetStore, DiskOptions, MemoryOptions, Meta, Partition, ResourceKey, StreamingResource, Validators,
    WriteOutcome,
};
use kithara_fetch::{Delivery, FetchError, FetchOptions, FetchRequest, Fetcher};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::transport::{Transport, WireError, WireRequest, WireResponse};
use kithara_net::{Client, NetworkOptions, Proxy};
use tempfile::TempDir;
use tokio::time::Instant;

pub(crate) const URL: &str = "http://h/a";
pub(crate) const DIGITS: &str = "0123456789";

/// A store, and the directory it lives in.
pub(crate) struct Stores {
    pub(crate) store: AssetStore,
    _directory: Option<TempDir>,
}

/// One store of each kind.
pub(crate) fn both_stores() -> [Stores; 2] {
    let directory = TempDir::new().unwrap();
    let options = DiskOptions { free_space: 0, ..DiskOptions::default() };
    let disk = AssetStore::open(directory.path(), options).unwrap();
    [memory_store(), Stores { store: disk, _directory: Some(directory) }]
}

pub(crate) fn memory_store() -> Stores {
    Stores { store: AssetStore::memory(MemoryOptions::default()), _directory: None }
}

/// A fetcher on an origin in memory.
pub(crate) struct World {
    pub(crate) origin: ScriptedTransport,
    pub(crate) fetcher: Fetcher,
    open: Arc<AtomicUsize>,
    begun: Instant,
}

impl World {
    pub(crate) fn new(origin: ScriptedTransport, store: Option<&AssetStore>) -> Self {
        Self::with(origin, store, FetchOptions::default())
    }

    pub(crate) fn with(origin: ScriptedTransport, store: Option<&AssetStore>, options: FetchOptions) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let wire = Counting { origin: origin.clone(), open: Arc::clone(&open) };
        let client = Client::with_transport(NetworkOptions::default(), Arc::new(wire));
        Self { origin, fetcher: Fetcher::new(client, store.cloned(), options), open, begun: Instant::now() }
    }

    /// An origin that serves the same bytes for ever.
    pub(crate) fn serving(bytes: impl Into<Bytes>, store: Option<&AssetStore>) -> Self {
        Self::new(ScriptedTransport::new().on(URL, [Reply::resource(bytes)]), store)
    }

    pub(crate) async fn bytes(&self, request: FetchRequest) -> Result<Bytes, FetchError> {
        self.fetcher.fetch(request).collect(u64::MAX).await
    }

    /// The `Range` of each request so far; `all` where there was none.
    pub(crate) fn ranges(&self) -> Vec<String> {
        let range = |sent: &kithara_net::transport::scripted::Sent| {
            sent.header("range").map_or("all", |range| range.trim_start_matches("bytes=")).to_owned()
        };
        self.origin.requests().iter().map(range).collect()
    }

    /// When each request was sent, in milliseconds.
    pub(crate) fn times(&self) -> Vec<u128> {
        self.origin.requests().iter().map(|sent| (sent.at - self.begun).as_millis()).collect()
    }

    /// The path of each request, in order.
    pub(crate) fn paths(&self) -> String {
        self.origin.requests().iter().map(|sent| sent.request.url.path().trim_start_matches('/').to_owned()).collect()
    }

    /// Exchanges whose body is held by somebody.
    pub(crate) fn open_exchanges(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// Counts the bodies that are held.
struct Counting {
    origin: ScriptedTransport,
    open: Arc<AtomicUsize>,
}

struct Held(Arc<AtomicUsize>);

impl Held {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(open))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Transport for Counting {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let held = Held::new(&self.open);
        let answer = self.origin.send(request);
        Box::pin(async move {
            let WireResponse { status, headers, body, remote, multiplexed } = answer.await?;
            let body = unfold((body, held), |(mut body, held)| async move { Some((body.next().await?, (body, held))) });
            Ok(WireResponse { status, headers, body: body.boxed(), remote, multiplexed })
        })
    }
}

pub(crate) fn key_of(url: &str) -> ResourceKey {
    ResourceKey::named(AssetId::named(&Partition::new("tests"), "asset"), url)
}

/// All of `url`, stored under its own name.
pub(crate) fn request_of(url: &str) -> FetchRequest {
    FetchRequest { key: Some(key_of(url)), ..FetchRequest::new(url.parse().unwrap()) }
}

pub(crate) fn request() -> FetchRequest {
    request_of(URL)
}

pub(crate) fn resource(store: &AssetStore) -> StreamingResource {
    store.streaming(&key_of(URL))
}

/// The ETag that [`Reply::resource`] gives these bytes.
pub(crate) async fn etag_of(bytes: impl Into<Bytes>) -> String {
    let mut delivery = World::serving(bytes, None).fetcher.fetch(FetchRequest::new(URL.parse().unwrap()));
    delivery.head().await.unwrap().validators.etag.unwrap()
}

pub(crate) fn meta(etag: Option<&str>) -> Meta {
    let mut meta = Meta::default().with_base_url(&URL.parse().unwrap());
    meta.validators = Validators { etag: etag.map(str::to_owned), last_modified: None };
    meta
}

/// Puts a part of `bytes` into the store.
pub(crate) async fn put(store: &AssetStore, bytes: &[u8], range: Range<usize>, total: Option<u64>, etag: Option<&str>) {
    let mut writer = resource(store).writer(range.start as u64, meta(etag));
    assert_eq!(writer.write(Bytes::copy_from_slice(&bytes[range])), WriteOutcome::Accepted);
    writer.commit(total).await.unwrap();
}

/// Waits until the store has what it was given, and the transfers have taken notice.
pub(crate) async fn settle(store: &AssetStore) {
    // First those that were cancelled let go of what they write, then the store writes it, then those that wait for it go on.
    for _ in 0..2 {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        store.flush().await.unwrap();
    }
}

/// The next bytes; there must be some.
pub(crate) async fn next(delivery: &mut Delivery) -> Bytes {
    delivery.chunk().await.unwrap().unwrap()
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Bytes without a short period.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len).map(|n| (n.wrapping_mul(31) % 251) as u8).collect()
}

/// So many bytes of the pattern that an origin serves under this number.
pub(crate) fn pattern_of(number: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    kithara_origin::pattern_bytes(number, 0, &mut bytes);
    bytes
}

/// A fetcher over real connections with a store in this folder, which commits pieces of 100 kB.
pub(crate) fn fetcher_on(dir: &Path) -> Fetcher {
    let options = DiskOptions { free_space: 0, piece_bytes: 100_000, ..DiskOptions::default() };
    let store = AssetStore::open(dir, options).unwrap();
    let client = Client::new(NetworkOptions { proxy: Proxy::None, ..NetworkOptions::default() }).unwrap();
    Fetcher::new(client, Some(store), FetchOptions::default())
}
