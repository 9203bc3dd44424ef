//! Small resources in one piece: freshness, conditions, what is stored, who shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use kithara_assets::{AssetStore, Clock, UnixMillis};
use kithara_fetch::{
    Ask, AskReason, CacheUse, FetchErrorKind, FetchOptions, FetchRequest, Located, Provider, Resolution, Seal,
    UrlResolver, Whole, WholeRequest,
};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};

use crate::support::*;

/// A clock that stands until it is moved.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::from_fn(move || UnixMillis(hands.load(Ordering::SeqCst)))
    }
}

fn world(replies: impl IntoIterator<Item = Reply>, store: &AssetStore, hands: &Hands) -> World {
    let options = FetchOptions { clock: hands.clock(), ..FetchOptions::default() };
    World::with(ScriptedTransport::new().on(URL, replies), Some(store), options)
}

async fn whole(world: &World, request: impl Into<WholeRequest>) -> Whole {
    world.fetcher.fetch_whole(request).await.unwrap()
}

#[track_caller]
fn check(whole: &Whole, provider: Provider, bytes: &str) {
    assert_eq!((whole.head.provider, whole.bytes.as_deref()), (provider, Some(bytes.as_bytes())));
    assert_eq!(whole.head.len, Some(bytes.len() as u64));
}

#[tokio::test(start_paused = true)]
async fn a_fresh_resource_is_used_and_an_old_one_confirmed() {
    for Stores { store, .. } in &both_stores() {
        let hands = Hands::default();
        hands.advance(1_000);
        let aged = Reply::resource(DIGITS).header("cache-control", "max-age=60").header("age", "10");
        let world = world([aged.clone(), Reply::resource(DIGITS).header("cache-control", "max-age=60")], store, &hands);
        check(&whole(&world, request()).await, Provider::Network, DIGITS);
        settle(store).await;
        hands.advance(49);
        check(&whole(&world, request()).await, Provider::Store, DIGITS);
        assert_eq!(world.ranges().len(), 1, "fresh for 60 s less the age of 10 s");
        hands.advance(2);
        check(&whole(&world, request()).await, Provider::Confirmed, DIGITS);
        assert!(world.origin.requests()[1].header("if-none-match").is_some());
        settle(store).await;
        hands.advance(50);
        check(&whole(&world, request()).await, Provider::Store, DIGITS);
        assert_eq!(world.ranges().len(), 2, "the answer made it fresh again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_keeps_its_base_or_is_not_stored() {
    // (where the document is found, its base from the store; nothing where that is a secret)
    let table = [
        ("http://cdn/v/main.m3u8", Some("http://cdn/v/main.m3u8")),
        ("http://cdn/hdntl=exp=1~hmac=s3cr3t/v/main.m3u8", Some("http://cdn/v/main.m3u8")),
        ("http://cdn/token/s3cr3t/v/main.m3u8", None),
        ("http://cdn/auth/main.m3u8", Some("http://cdn/auth/main.m3u8")),
    ];
    for (found, base) in table {
        for Stores { store, .. } in &both_stores() {
            let fresh = Reply::resource(DIGITS).header("cache-control", "max-age=60");
            let origin = ScriptedTransport::new().on(URL, [Reply::redirect(302, found)]).on(found, [fresh]);
            let world = World::new(origin, Some(store));
            check(&whole(&world, request()).await, Provider::Network, DIGITS);
            settle(store).await;
            let again = whole(&world, request()).await;
            let want = if base.is_some() { Provider::Store } else { Provider::Network };
            check(&again, want, DIGITS);
            assert_eq!(again.head.url.as_str(), base.unwrap_or(found), "{found}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nothing_ended_is_not_stored_unless_somebody_can_tell() {
    for (tells, again) in [(None, Provider::Network), (Some(false), Provider::Network), (Some(true), Provider::Store)] {
        for Stores { store, .. } in &both_stores() {
            let cut = Reply::resource(DIGITS).header("cache-control", "max-age=60").announces(None);
            let world = world([cut], store, &Hands::default());
            let store_if =
                tells.map(|tells| Arc::new(move |_: &Bytes| tells) as Arc<dyn Fn(&Bytes) -> bool + Send + Sync>);
            for provider in [Provider::Network, again] {
                let request = WholeRequest { store_if: store_if.clone(), ..request().into() };
                check(&whole(&world, request).await, provider, DIGITS);
                settle(store).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_changed_replaces_the_stored_one() {
    for Stores { store, .. } in &both_stores() {
        let world = world([Reply::resource("old"), Reply::resource(DIGITS)], store, &Hands::default());
        check(&whole(&world, request()).await, Provider::Network, "old");
        settle(store).await;
        check(&whole(&world, request()).await, Provider::Network, DIGITS);
        settle(store).await;
        let offline = FetchRequest { cache: CacheUse::OfflineOnly, ..request() };
        check(&whole(&world, offline).await, Provider::Store, DIGITS);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_has_it_learns_that_it_has_not_changed() {
    let Stores { store, .. } = &memory_store();
    let world = world([Reply::resource(DIGITS)], store, &Hands::default());
    let first = whole(&world, request()).await;
    let unless = Some(first.head.validators.clone());
    let second = whole(&world, WholeRequest { unless, ..request().into() }).await;
    assert!(second.bytes.is_none() && second.head.not_modified);
    let third = whole(&world, WholeRequest { unless: Some(Default::default()), ..request().into() }).await;
    check(&third, Provider::Network, DIGITS);
}

#[tokio::test(start_paused = true)]
async fn stored_first_starts_at_once_and_offline_only_misses() {
    let Stores { store, .. } = &memory_store();
    let hands = Hands::default();
    let world = world([Reply::resource(DIGITS).header("cache-control", "max-age=1")], store, &hands);
    let with = |cache| FetchRequest { cache, ..request() };
    let miss = world.fetcher.fetch_whole(with(CacheUse::OfflineOnly)).await.unwrap_err();
    assert_eq!(miss.kind(), FetchErrorKind::OfflineMiss);
    check(&whole(&world, with(CacheUse::StoredFirst)).await, Provider::Network, DIGITS);
    hands.advance(1_000_000);
    check(&whole(&world, with(CacheUse::StoredFirst)).await, Provider::Store, DIGITS);
    check(&whole(&world, with(CacheUse::OfflineOnly)).await, Provider::Store, DIGITS);
    assert_eq!(world.ranges().len(), 1);
    check(&whole(&world, with(CacheUse::WriteOnly)).await, Provider::Network, DIGITS);
    check(&whole(&world, with(CacheUse::Bypass)).await, Provider::Network, DIGITS);
    assert!(world.origin.requests().iter().all(|sent| sent.header("if-none-match").is_none()));
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_stored_is_not() {
    let Stores { store, .. } = &memory_store();
    let world = world([Reply::resource(DIGITS).header("cache-control", "no-store")], store, &Hands::default());
    whole(&world, request()).await;
    let offline = FetchRequest { cache: CacheUse::OfflineOnly, ..request() };
    assert!(world.fetcher.fetch_whole(offline).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn secrets_are_taken_out_before_storing_and_such_bytes_are_never_confirmed() {
    let Stores { store, .. } = &memory_store();
    let fresh = Reply::resource("seg.ts?token=secret").header("cache-control", "max-age=60");
    let world = world([fresh], store, &Hands::default());
    let request = |cache| WholeRequest {
        store_as: Some(Arc::new(|_: &Bytes| Bytes::from_static(b"seg.ts"))),
        ..FetchRequest { cache, ..request() }.into()
    };
    check(&whole(&world, request(CacheUse::ReadWrite)).await, Provider::Network, "seg.ts?token=secret");
    check(&whole(&world, request(CacheUse::StoredFirst)).await, Provider::Store, "seg.ts");
    check(&whole(&world, request(CacheUse::ReadWrite)).await, Provider::Network, "seg.ts?token=secret");
    assert!(world.origin.requests().iter().all(|sent| sent.header("if-none-match").is_none()));
}

/// Turns every bit, and remembers with which number.
struct Turned(u8);

impl Seal for Turned {
    fn seal(&self, bytes: &[u8]) -> Option<Bytes> {
        Some(std::iter::once(self.0).chain(bytes.iter().map(|byte| !byte)).collect())
    }

    fn open(&self, stored: &[u8]) -> Option<Bytes> {
        let (first, rest) = stored.split_first()?;
        (*first == self.0).then(|| rest.iter().map(|byte| !byte).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_is_read_with_the_same_secret_only() {
    for Stores { store, .. } in &both_stores() {
        let hands = Hands::default();
        let secret = Reply::resource(DIGITS).header("cache-control", "no-store");
        let world = world([secret.clone(), secret.clone(), Reply::status(304), secret], store, &hands);
        let request =
            |number| WholeRequest { seal: Some(Arc::new(Turned(number))), keep_no_store: true, ..request().into() };
        check(&whole(&world, request(1)).await, Provider::Network, DIGITS);
        settle(store).await;
        let (stored, _) = store.atomic(&key_of(URL)).read().unwrap().unwrap();
        assert!(!stored.windows(4).any(|window| window == b"3456"), "not readable");
        check(&whole(&world, request(2)).await, Provider::Network, DIGITS);
        settle(store).await;
        check(&whole(&world, request(2)).await, Provider::Confirmed, DIGITS);
        settle(store).await;
        let offline =
            WholeRequest { request: FetchRequest { cache: CacheUse::OfflineOnly, ..self::request() }, ..request(2) };
        check(&whole(&world, offline.clone()).await, Provider::Store, DIGITS);
        let other = WholeRequest { seal: Some(Arc::new(Turned(3))), ..offline };
        assert_eq!(world.fetcher.fetch_whole(other).await.unwrap_err().kind(), FetchErrorKind::OfflineMiss);
    }
}

#[tokio::test(start_paused = true)]
async fn gzip_is_asked_for_only_where_it_is_wanted() {
    // `#EXTM3U` and a line feed, forty times.
    const ZIPPED: [u8; 32] = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 83, 118, 141, 8, 241, 53, 14, 229, 82, 30, 165, 201, 162, 1, 230, 99, 147,
        149, 64, 1, 0, 0,
    ];
    let zipped = Reply::status(200).body(ZIPPED.to_vec()).header("content-encoding", "gzip");
    let world = World::new(ScriptedTransport::new().on(URL, [zipped, Reply::resource(DIGITS)]), None);
    let text = whole(&world, WholeRequest { gzip: true, ..request().into() }).await;
    check(&text, Provider::Network, &"#EXTM3U\n".repeat(40));
    whole(&world, request()).await;
    let asked: Vec<Option<bool>> = world
        .origin
        .requests()
        .iter()
        .map(|sent| sent.header("accept-encoding").map(|codings| codings.contains("gzip")))
        .collect();
    assert!(matches!(asked[..], [Some(true), Some(false) | None]), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn two_who_ask_at_once_send_one_request() {
    let slow = || ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).after(ms(100))]);
    let world = World::new(slow(), None);
    let (one, two) = (world.fetcher.fetch_whole(request()), world.fetcher.fetch_whole(request()));
    let (one, two) = tokio::join!(one, two);
    check(&one.unwrap(), Provider::Network, DIGITS);
    check(&two.unwrap(), Provider::Network, DIGITS);
    assert_eq!(world.ranges().len(), 1);
    whole(&world, request()).await;
    assert_eq!(world.ranges().len(), 2, "what has ended is not joined");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_takes_nothing_from_who_stays() {
    let world = World::new(ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).in_chunks(1, ms(100))]), None);
    let mut leaving = Box::pin(world.fetcher.fetch_whole(request()));
    let staying = tokio::spawn(world.fetcher.fetch_whole(request()));
    tokio::time::timeout(ms(250), &mut leaving).await.unwrap_err();
    drop(leaving);
    check(&staying.await.unwrap().unwrap(), Provider::Network, DIGITS);
    assert_eq!(world.ranges().len(), 1);

    let abandoned = tokio::time::timeout(ms(250), world.fetcher.fetch_whole(request())).await;
    assert!(abandoned.is_err());
    assert_eq!(world.open_exchanges(), 0, "the last one to leave cancels");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_kept() {
    let world = World::new(ScriptedTransport::new().on(URL, [Reply::resource(DIGITS).after(ms(5_000))]), None);
    let begun = tokio::time::Instant::now();
    let request = FetchRequest { deadline: Some(ms(700)), ..request() };
    let error = world.fetcher.fetch_whole(request).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (FetchErrorKind::Deadline, ms(700)));
}

#[tokio::test(start_paused = true)]
async fn who_joins_late_has_all_of_its_time() {
    let replies = [Reply::resource(DIGITS).after(ms(5_000)), Reply::resource(DIGITS).after(ms(300))];
    let world = World::new(ScriptedTransport::new().on(URL, replies), None);
    let request = FetchRequest { deadline: Some(ms(700)), ..request() };
    let first = tokio::spawn(world.fetcher.fetch_whole(request.clone()));
    let with_first = tokio::spawn(world.fetcher.fetch_whole(request.clone()));
    tokio::time::sleep(ms(600)).await;
    check(&whole(&world, request).await, Provider::Network, DIGITS);
    for outcome in [first.await.unwrap(), with_first.await.unwrap()] {
        assert_eq!(outcome.unwrap_err().kind(), FetchErrorKind::Deadline);
    }
    assert_eq!(world.times(), [0, 700]);
}

#[tokio::test(start_paused = true)]
async fn a_range_of_a_whole_is_refused() {
    let world = World::serving(DIGITS, None);
    let error = world.fetcher.fetch_whole(FetchRequest { range: Some(0..5), ..request() }).await.unwrap_err();
    assert_eq!(error.kind(), FetchErrorKind::InvalidRequest);
}

/// Signs every URL with a number that grows.
#[derive(Default)]
struct Signer(AtomicU64);

impl UrlResolver for Signer {
    fn resolve<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Resolution> {
        assert_eq!((ask.reason, ask.attempt), (AskReason::Request, 1));
        let mut url = ask.url.clone();
        url.set_query(Some(&format!("sig={}", self.0.fetch_add(1, Ordering::SeqCst))));
        let headers = HeaderMap::from_iter([(http::header::COOKIE, "session=1".parse().unwrap())]);
        Box::pin(std::future::ready(Resolution::Located(Located { url, headers })))
    }
}

#[tokio::test(start_paused = true)]
async fn a_resolver_signs_every_request_and_the_resource_stays_the_same() {
    let Stores { store, .. } = &memory_store();
    let origin = ScriptedTransport::new().otherwise(|_| Reply::resource(DIGITS));
    let world = World::new(origin, Some(store));
    let signer: Arc<dyn UrlResolver> = Arc::new(Signer::default());
    let signed = |range| FetchRequest { range, resolver: Some(Arc::clone(&signer)), ..request() };
    assert_eq!(world.bytes(signed(Some(0..4))).await.unwrap(), "0123");
    assert_eq!(world.bytes(signed(None)).await.unwrap(), DIGITS);
    let queries: Vec<_> =
        world.origin.requests().iter().map(|sent| sent.request.url.query().unwrap().to_owned()).collect();
    assert_eq!(queries, ["sig=0", "sig=1"]);
    assert_eq!(world.ranges(), ["0-3", "4-9"], "one resource, however it is signed");
    assert!(world.origin.requests().iter().all(|sent| sent.header("cookie") == Some("session=1")));
    whole(&world, FetchRequest { cache: CacheUse::WriteOnly, ..signed(None) }).await;
    assert_eq!(world.origin.requests()[2].request.url.query(), Some("sig=2"));
}
