//! Keys over time: new bytes at the same URL, new signatures for the same key, and answers that are no keys.

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use kithara_hls::{
    DeliveredKey, HlsEvent, HlsOptions, HlsParams, HlsSource, KeyCache, KeyProcessor, KeyRefused,
    fetch::assets::{AssetStore, MemoryOptions},
};
use kithara_origin::{Origin, Response, Rule};
use support::{assert_exact, file, fixtures, open, playlist, quick, read_all, serve, truth};
use tokio::sync::broadcast::error::TryRecvError;

const KEY: &str = "/ts_aes/key.bin";

fn kept(cache: KeyCache) -> HlsOptions {
    let mut options = quick();
    options.key.cache = cache;
    options
}

fn shared() -> AssetStore {
    AssetStore::memory(MemoryOptions::default())
}

async fn opened(origin: &Origin, options: HlsOptions, store: &AssetStore) -> HlsSource {
    let params = HlsParams { store: Some(store.clone()), ..HlsParams::from(options) };
    open(&playlist(origin, "ts_aes"), params).await
}

/// The events about keys so far: whether each was there, and known already.
fn told(source: &HlsSource) -> Vec<(bool, bool)> {
    let mut events = source.session().events();
    let mut all = Vec::new();
    loop {
        match events.try_recv() {
            Ok(HlsEvent::KeyFetch { success, cached, .. }) => all.push((success, cached)),
            Ok(_) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return all,
            Err(TryRecvError::Lagged(missed)) => unreachable!("{missed} events were missed"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_fit_is_asked_for_again() {
    let stale = Response::ok(vec![7; 16]).with_header("cache-control", "max-age=86400");
    for cache in [KeyCache::Memory, KeyCache::Disk] {
        let origin = serve(fixtures().rule(Rule::on(KEY).first(1).then(stale.clone())));
        let (store, what) = (shared(), format!("{cache:?}"));
        let source = opened(&origin, kept(cache.clone()), &store).await;
        assert_exact(&read_all(&source).await, &truth("ts_aes"), &what);
        assert_eq!(origin.requests_of(KEY).len(), 2, "{what}: once more for all segments");
        drop(source);
        // What was stored of the first answer is not there any more.
        let source = opened(&origin, kept(cache), &store).await;
        assert_exact(&read_all(&source).await, &truth("ts_aes"), &what);
    }
}

/// Sixteen bytes that are no key look like one until something is decrypted with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_does_not_fit_for_a_while_is_asked_for_until_it_does() {
    let mut options = kept(KeyCache::Memory);
    options.playback.patience = Duration::from_secs(10);
    let origin = serve(fixtures().rule(Rule::on(KEY).first(6).then(Response::ok(vec![7; 16]))));
    let source = opened(&origin, options, &shared()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "ts_aes");
}

/// What a playlist says of a key: METHOD, IV, KEYFORMAT, KEYFORMATVERSIONS.
type Said = (String, Option<[u8; 16]>, String, String);

/// Notes what it is told of each key.
#[derive(Clone, Default)]
struct Attentive(Arc<Mutex<Vec<Said>>>);

impl KeyProcessor for Attentive {
    fn process(&self, delivered: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused> {
        let (method, iv) = (delivered.method.to_owned(), delivered.iv.copied());
        let (format, versions) = (delivered.keyformat.to_owned(), delivered.keyformatversions.to_owned());
        self.0.lock().expect("no panic").push((method, iv, format, versions));
        delivered.bytes.try_into().map_err(|_| KeyRefused("not sixteen bytes".into()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_is_told_all_attributes_of_the_key() {
    let iv = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128.to_be_bytes();
    let stated = "METHOD=AES-128,URI=\"key.bin\",KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1/3\"";
    let text = String::from_utf8(file("fmp4_aes/index.m3u8")).expect("UTF-8");
    let versions = text.replace("METHOD=AES-128,URI=\"key.bin\"", stated);
    assert_ne!(versions, text);
    let origin = serve(fixtures().bytes("/fmp4_aes/versions.m3u8", versions));
    let cases = [
        ("ts_aes", "index", None, "1"),
        ("fmp4_aes", "index", Some(iv), "1"),
        ("fmp4_aes", "versions", Some(iv), "1/3"),
    ];
    for (fixture, name, iv, versions) in cases {
        let (seen, mut options) = (Attentive::default(), quick());
        options.key.processor = Some(Arc::new(seen.clone()));
        let source = open(&origin.url(&format!("/{fixture}/{name}.m3u8")), options).await;
        assert_exact(&read_all(&source).await, &truth(fixture), name);
        let said = ("AES-128".to_owned(), iv, "identity".to_owned(), versions.to_owned());
        assert_eq!(*seen.0.lock().expect("no panic"), [said], "{fixture}");
    }
}

/// Takes anything for a key.
struct Credulous;

impl KeyProcessor for Credulous {
    fn process(&self, delivered: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused> {
        Ok(std::array::from_fn(|idx| delivered.bytes.get(idx).copied().unwrap_or_default()))
    }
}

fn page() -> Response {
    Response::html("<html>Please log in</html>").with_header("cache-control", "max-age=86400")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_key_is_not_stored() {
    let origin = serve(fixtures().rule(Rule::on(KEY).then(page())));
    let store = shared();
    let source = opened(&origin, kept(KeyCache::Disk), &store).await;
    let (_, error) = read_all(&source).await;
    assert!(error.is_some(), "there was no key");
    drop(source);
    origin.clear_rules();
    let source = opened(&origin, kept(KeyCache::Disk), &store).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the second session");
    assert_eq!(told(&source), [(true, false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_key_that_is_none_is_fetched_anew_at_once() {
    let origin = serve(fixtures().rule(Rule::on(KEY).then(page())));
    let store = shared();
    let mut credulous = kept(KeyCache::Disk);
    credulous.key.processor = Some(Arc::new(Credulous));
    let source = opened(&origin, credulous, &store).await;
    assert!(read_all(&source).await.1.is_some(), "it decrypts nothing");
    drop(source);
    let before = origin.requests_of(KEY).len() as u64;
    origin.clear_rules();
    let source = opened(&origin, kept(KeyCache::Disk), &store).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the second session");
    assert_eq!(origin.requests_of(KEY).len() as u64, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_say_when_a_key_was_in_the_store() {
    let fresh = Response::ok(file("ts_aes/key.bin")).with_header("cache-control", "max-age=86400");
    let origin = serve(fixtures().route(KEY, move |_| fresh.clone()));
    let store = shared();
    for cached in [false, true] {
        let source = opened(&origin, kept(KeyCache::Disk), &store).await;
        assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
        assert_eq!(told(&source), [(true, cached)]);
    }
    assert_eq!(origin.requests_of(KEY).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_signed_anew_for_each_segment_is_fetched_once() {
    let text = String::from_utf8(file("ts_aes/index.m3u8")).expect("UTF-8");
    let key = text.lines().find(|line| line.starts_with("#EXT-X-KEY")).expect("a key").to_owned();
    let mut signed = 0;
    let lines = text.lines().map(|line| {
        if !line.starts_with("#EXTINF") {
            return line.to_owned();
        }
        signed += 1;
        format!("{}\n{line}", key.replace("key.bin", &format!("key.bin?token=s{signed}")))
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    let origin = serve(fixtures().bytes("/ts_aes/index.m3u8", text));
    let source = opened(&origin, kept(KeyCache::Memory), &shared()).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    let (keys, told) = (origin.requests_of(KEY).len(), told(&source));
    assert_eq!((signed, told.len(), told.iter().filter(|(success, _)| *success).count()), (5, 5, 5));
    assert_eq!((keys, told.iter().filter(|(_, cached)| !cached).count()), (1, 1), "{told:?}");
}
