//! What a session leaves in the store, in logs and in traces, and what it takes from the store again.

mod support;

use std::{
    io::{self, Write},
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use kithara_hls::{
    Hls, HlsEvent, HlsOptions, HlsParams, KeyCache, SealingKey,
    fetch::{
        FetchOptions, FetchRequest, Fetcher, Priority,
        assets::{AssetStore, BaseUrl, DiskOptions, MemoryOptions, UrlIdentity},
        net::{Client, RedactedUrl},
    },
    hls_core::trace::Redactor,
};
use kithara_origin::{At, Fault, Origin, Response, Rule, fixtures_dir};
use support::{
    asked, assert_exact, file, fixtures, open, playlist, quick, read_all, read_range, serve, truth, try_open,
};
use tracing_subscriber::fmt::format::FmtSpan;

fn store(dir: &Path) -> AssetStore {
    let options = DiskOptions { free_space: 0, ..DiskOptions::default() };
    AssetStore::open(dir, options).expect("the folder can be written")
}

fn with_keys(cache: KeyCache) -> HlsOptions {
    let mut options = quick();
    options.key.cache = cache;
    options
}

/// Reads the whole stream through a store of its own handle, which is closed afterwards.
async fn play(url: &str, options: HlsOptions, dir: &Path) {
    let source = open(url, HlsParams { store: Some(store(dir)), ..HlsParams::from(options) }).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    source.session().close().await;
}

/// All files below a folder.
fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![(path.clone(), std::fs::read(&path).expect("a file"))],
    };
    entries.flat_map(read).collect()
}

fn holds(dir: &Path, secret: &[u8]) -> bool {
    files(dir).iter().any(|(_, bytes)| bytes.windows(secret.len()).any(|window| window == secret))
}

/// Requests for the key of `ts_aes`, by status, while the stream is played twice over one folder.
async fn key_requests(first: KeyCache, second: KeyCache, dir: &Path) -> (Origin, Vec<u16>) {
    let origin = serve(fixtures());
    for cache in [first, second] {
        play(&playlist(&origin, "ts_aes"), with_keys(cache), dir).await;
    }
    let log = origin.requests_of("/ts_aes/key.bin");
    (origin, log.iter().map(|request| request.status).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_kept_as_the_policy_says() {
    let key = file("ts_aes/key.bin");
    let sealed = |secret| KeyCache::Sealed(SealingKey::new([secret; 32]));
    let table = [
        ("memory", KeyCache::Memory, KeyCache::Memory, false, vec![200, 200]),
        ("disk", KeyCache::Disk, KeyCache::Disk, true, vec![200, 304]),
        ("sealed", sealed(1), sealed(1), false, vec![200, 304]),
        ("sealed with another secret", sealed(1), sealed(2), false, vec![200, 200]),
        ("sealed, then in the clear", sealed(1), KeyCache::Disk, true, vec![200, 200]),
    ];
    for (name, first, second, is_readable, statuses) in table {
        let dir = tempfile::tempdir().expect("a folder");
        let (_origin, asked) = key_requests(first, second, dir.path()).await;
        assert_eq!((asked, holds(dir.path(), &key)), (statuses, is_readable), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_never_kept_is_asked_for_again_when_it_is_needed() {
    let origin = serve(fixtures());
    let mut options = with_keys(KeyCache::Never);
    options.playback.parallel_fetches = 1;
    // A buffer of less than a segment: between two units nothing is under way.
    options.playback.buffer_bytes = 1;
    let source = open(&playlist(&origin, "ts_aes"), options).await;
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    let keys = origin.requests_of("/ts_aes/key.bin").len();
    let dir = tempfile::tempdir().expect("a folder");
    play(&playlist(&origin, "ts_aes"), with_keys(KeyCache::Never), dir.path()).await;
    assert!(!holds(dir.path(), &file("ts_aes/key.bin")));
    assert!((2..=6).contains(&keys), "{keys}: more than one, and no more than one for each segment");
}

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream whose every URI is signed.
fn signed() -> Origin {
    let text = String::from_utf8(file("ts_aes/index.m3u8")).expect("UTF-8");
    let text = text.replace(".ts", ".ts?md5=SEGMENT-SECRET&v=1").replace("key.bin", "key.bin?token=KEY-SECRET");
    let text =
        text.replace("#EXT-X-VERSION:3", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"md5\",VALUE=\"VARIABLE-SECRET\"");
    let fresh = Response::new(200).with_header("cache-control", "max-age=1000").with_body(text);
    let site = PATH_TOKENS.iter().fold(fixtures(), |site, token| {
        let again = fresh.clone();
        site.dir(token, fixtures_dir()).route(&format!("{token}/ts_aes/index.m3u8"), move |_| again.clone())
    });
    let site = site.route("/ts_aes/index.m3u8", move |_| fresh.clone());
    serve(site.rule(Rule::on("/ts_aes/seg8.ts").nth(1).then(Response::new(503))))
}

/// Signatures that stand in the path.
const PATH_TOKENS: [&str; 3] = [
    "/hdntl=exp=1700000000~acl=*~hmac=PATH-SECRET",
    "/token/PATH-SECRET",
    "/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.PATH-SECRET",
];

const SECRETS: [&str; 10] = [
    "PATH-SECRET",
    "SEGMENT-SECRET",
    "KEY-SECRET",
    "VARIABLE-SECRET",
    "OPENED-SECRET",
    "USER-SECRET",
    "PASSWORD-SECRET",
    "HEADER-SECRET",
    "QUERY-SECRET",
    "KEYHEADER-SECRET",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_in_anything_that_was_written() {
    let log = Page::default();
    let writer = log.clone();
    // For the whole process, since sessions run on threads of their own; the other tests here write to it, too.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .try_init();
    for token in PATH_TOKENS {
        shows_nothing_secret(token, &log).await;
    }
}

/// Plays what is signed by `token` and by everything else.
async fn shows_nothing_secret(token: &str, log: &Page) {
    let (origin, trace, dir) = (signed(), Page::default(), tempfile::tempdir().expect("a folder"));
    let url = origin.url(&format!("{token}/ts_aes/index.m3u8?token=OPENED-SECRET"));
    let url = url.replace("http://", "http://USER-SECRET:PASSWORD-SECRET@");
    let mut options = with_keys(KeyCache::Sealed(SealingKey::new([7; 32])));
    options.request = options.request.with_header("X-Account", "HEADER-SECRET").expect("a header");
    options.request.query = Some("sig=QUERY-SECRET".to_owned());
    options.key.headers.insert("x-key", "KEYHEADER-SECRET".parse().expect("a header"));
    let mut told = format!("{options:?}");

    let store = store(dir.path());
    let params =
        HlsParams { store: Some(store.clone()), trace: Some(Box::new(trace.clone())), ..HlsParams::from(options) };
    told += &format!("{params:?}");
    let source = try_open(&url, params).await.expect("it opens");
    let mut events = source.session().events();
    assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
    told += &format!("{source:?} {:?} {:?}", source.session(), store.assets());
    source.session().close().await;
    while let Ok(event) = events.recv().await {
        told += &format!("{event} {event:?}\n");
    }
    drop((source, store));

    let sent = origin.log();
    assert!(sent.iter().any(|request| request.target.contains("QUERY-SECRET")), "and yet they were sent");
    assert!(sent.iter().all(|request| request.target.contains("PATH-SECRET")), "in the path of all: {sent:?}");
    assert!(sent.iter().any(|request| request.header("x-key") == Some("KEYHEADER-SECRET")));
    let mut written = files(dir.path());
    assert!(written.len() > 7, "the store has the stream");
    written.push(("the log".into(), log.text()));
    written.push(("the trace".into(), trace.text()));
    written.push(("events and Debug".into(), told.into_bytes()));
    let key = file("ts_aes/key.bin");
    for (place, bytes) in &written {
        assert!(!bytes.is_empty() || place.starts_with(dir.path()), "{place:?} was written");
        for secret in SECRETS.iter().map(|secret| secret.as_bytes()).chain([key.as_slice()]) {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().find(|line| found && line.contains(&*String::from_utf8_lossy(secret)));
            assert!(!found, "{} in {place:?}: {line:?}", String::from_utf8_lossy(secret));
        }
    }
}

#[test]
fn all_who_show_or_keep_urls_agree_on_what_is_a_signature() {
    for signed in [
        "https://u:SECRET@h/v/a.ts",
        "https://h/v/a.ts?token=SECRET",
        "https://h/hdntl=exp=1~acl=*~hmac=SECRET/v/a.ts",
        "https://h/hdnts=exp=1~acl=/*~hmac=SECRET/v/a.ts",
        "https://h/hdnea=exp=1~hmac=SECRET~id=7/v/a.ts?x",
        "https://h/v/a.ts?auth=SECRET",
        "https://h/v/a.ts?v=1&Authorization=SECRET",
        "https://h/v/a.ts?api_key=SECRET&X-Amz-Signature=SECRET&password=SECRET",
    ] {
        let url = support::url(signed);
        let shown = RedactedUrl::new(&url).to_string();
        let traced = Redactor::new(1).url(&url).to_string();
        let named = UrlIdentity::default().canonical(&url);
        let written = UrlIdentity::default().unsigned(&signed.replace("u:SECRET@", ""));
        let based = BaseUrl::from(url).as_url().to_string();
        for text in [shown, traced, named, written, based] {
            assert!(!text.contains("SECRET") && text.contains("a.ts"), "{signed}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_stored_without_its_signatures_is_no_playlist_to_play_from() {
    let (origin, dir) = (signed(), tempfile::tempdir().expect("a folder"));
    for token in ["first", "second"] {
        play(&origin.url(&format!("/ts_aes/index.m3u8?token={token}")), quick(), dir.path()).await;
    }
    assert_eq!(origin.requests_of("/ts_aes/index.m3u8").len(), 2, "fresh as it was");
    let segments = origin.log().iter().filter(|request| request.path.ends_with(".ts")).count();
    assert_eq!(segments, 6, "five and one repeated: signed again, they are the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_plays_is_leased_and_named() {
    let (origin, dir) = (serve(fixtures()), tempfile::tempdir().expect("a folder"));
    let store = store(dir.path());
    let url = format!("{}?token=x", playlist(&origin, "ts_aac"));
    let source = open(&url, HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) }).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "the stream");
    let listed = |store: &AssetStore| {
        let asset = store.assets().pop().expect("something is stored");
        (asset.leased, asset.label.unwrap_or_default().starts_with(&playlist(&origin, "ts_aac")))
    };
    assert_eq!(listed(&store), (true, true));
    source.session().close().await;
    assert_eq!(listed(&store), (false, true));
}

/// What the origin sent of each path, as ranges of the resource. Playlists and keys are not counted: each session asks whether a
/// playlist has changed, and keeps keys for itself unless its options say otherwise.
fn sent(origin: &Origin) -> Vec<(String, Range<u64>)> {
    let log = origin.log();
    let media = log.iter().filter(|request| !request.path.ends_with(".m3u8") && !request.path.ends_with(".bin"));
    let range = |request: &kithara_origin::Logged| {
        let from = asked(request, u64::MAX).start;
        (request.path.clone(), from..from + request.bytes_sent)
    };
    let mut sent: Vec<_> = media.map(range).filter(|(_, range)| !range.is_empty()).collect();
    sent.sort_by(|one, other| (&one.0, one.1.start).cmp(&(&other.0, other.1.start)));
    sent
}

/// No byte of any resource was sent twice.
#[track_caller]
fn assert_once(origin: &Origin) {
    let sent = sent(origin);
    for pair in sent.windows(2) {
        let again = pair[0].0 == pair[1].0 && pair[0].1.end > pair[1].1.start;
        assert!(!again, "bytes were sent twice: {pair:?}\n{sent:#?}");
    }
}

/// Two sessions, opened side by side and read to their ends.
async fn both_play(stream: &str, urls: [&str; 2], params: [HlsParams; 2]) {
    let [first, second] = params;
    let (one, other) = tokio::join!(open(urls[0], first), open(urls[1], second));
    let (read, read_other) = tokio::join!(read_all(&one), read_all(&other));
    assert_exact(&read, &truth(stream), "one");
    assert_exact(&read_other, &truth(stream), "the other");
}

/// Slow enough for both to come while a segment is under way, where nothing is stored.
fn slow() -> Origin {
    serve(fixtures().rule(Rule::on("*.ts").then(Fault::Rate(400_000))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_of_one_url_ask_for_each_byte_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, client) = (store(dir.path()), Client::new(quick().network).expect("a client"));
    let fetcher =
        Fetcher::new(client.clone(), Some(AssetStore::memory(MemoryOptions::default())), FetchOptions::default());
    let table: [(&str, &dyn Fn() -> HlsParams); 6] = [
        ("nothing is given", &|| quick().into()),
        ("nothing, and no store", &|| HlsParams { no_store: true, ..HlsParams::from(quick()) }),
        ("a fetcher", &|| HlsParams { fetcher: Some(fetcher.clone()), ..HlsParams::from(quick()) }),
        ("a store", &|| HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) }),
        ("a client", &|| HlsParams { client: Some(client.clone()), ..HlsParams::from(quick()) }),
        ("a client, and no store", &|| HlsParams {
            client: Some(client.clone()),
            no_store: true,
            ..HlsParams::from(quick())
        }),
    ];
    for (what, params) in table {
        for stream in ["ts_aac", "ts_aes"] {
            let origin = slow();
            let url = playlist(&origin, stream);
            Box::pin(both_play(stream, [&url, &url], [params(), params()])).await;
            assert_once(&origin);
            assert_eq!(sent(&origin).len(), 5, "{what}, {stream}: one request for each segment");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_with_a_store_or_credentials_of_their_own_share_nothing() {
    let client = Client::new(quick().network).expect("a client");
    let named = |name| {
        let mut options = quick();
        options.request = options.request.with_header("X-Account", name).expect("a header");
        HlsParams { client: Some(client.clone()), ..HlsParams::from(options) }
    };
    let stored = || HlsParams { store: Some(AssetStore::memory(MemoryOptions::default())), ..HlsParams::from(quick()) };
    let apart: [(&str, [&str; 2], [HlsParams; 2]); 3] = [
        ("each with a store", ["", ""], [stored(), stored()]),
        ("each with a name", ["", ""], [named("one"), named("other")]),
        ("each with a token", ["?token=1", "?token=2"], [quick().into(), quick().into()]),
    ];
    for (what, queries, params) in apart {
        let origin = slow();
        let [one, other] = queries.map(|query| format!("{}{query}", playlist(&origin, "ts_aac")));
        Box::pin(both_play("ts_aac", [&one, &other], params)).await;
        assert_eq!(sent(&origin).len(), 10, "{what}: two requests for each segment");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_session_is_short_of_halts_the_downloads_of_another() {
    let late = std::time::Duration::from_millis(500);
    let list = "/ts_aac/index.m3u8";
    let site = fixtures().pattern("/load", 1, 1_000).rule(Rule::on(list).then(Fault::Latency(late)));
    let (origin, store) = (serve(site), AssetStore::memory(MemoryOptions::default()));
    let params = || HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) };
    let session = Hls::session(&playlist(&origin, "ts_aac"), params()).expect("it opens");
    support::in_time(origin.until(|origin| !origin.requests_of(list).is_empty())).await;
    let other = params().share_fetcher().expect("a fetcher");
    let download = |class| FetchRequest { class, ..FetchRequest::new(support::url(&origin.url("/load"))) };
    support::in_time(other.fetch(download(Priority::Download)).collect(1_000)).await.expect("it is there");
    let (listed, loaded) = (&origin.requests_of(list)[0], &origin.requests_of("/load")[0]);
    assert!(listed.ended.is_some_and(|ended| ended <= loaded.at), "{listed:?}, then {loaded:?}");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_off_anywhere_no_byte_of_ciphertext_is_fetched_twice() {
    let len = file("ts_aes/seg8.ts").len() as u64;
    // At block boundaries, beside them, within the first block and the last.
    for at in [1, 15, 16, 17, 4096, 5000, len / 2, len - 17, len - 16, len - 1] {
        let cut = |nth, at| Rule::on("/ts_aes/seg8.ts").nth(nth).then(Fault::truncate(At::Byte(at)));
        let origin = serve(fixtures().rule(cut(1, at)));
        let source = open(&playlist(&origin, "ts_aes"), quick()).await;
        assert_exact(&read_all(&source).await, &truth("ts_aes"), "the stream");
        assert_once(&origin);
        let parts: Vec<_> = sent(&origin).into_iter().filter(|(path, _)| path == "/ts_aes/seg8.ts").collect();
        assert_eq!(parts.iter().map(|(_, range)| range.clone()).collect::<Vec<_>>(), [0..at, at..len], "cut at {at}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_a_session_was_closed_is_stored_when_it_is() {
    let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
    let whole = packet.repeat(8_000);
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n";
    let stall = Rule::on("/a.ts").then(Fault::stall(At::Byte(1_400_000), std::time::Duration::from_secs(3600)));
    for _ in 0..10 {
        let origin = serve(
            kithara_origin::Site::new().bytes("/a.m3u8", playlist).bytes("/a.ts", whole.clone()).rule(stall.clone()),
        );
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(dir.path());
        let mut options = quick();
        options.network.timeouts.stall = std::time::Duration::from_secs(3600);
        let params = HlsParams { store: Some(store.clone()), ..HlsParams::from(options) };
        let source = open(&origin.url("/a.m3u8"), params).await;
        assert_eq!(read_range(&source, 0..1_399_000).await.0.len(), 1_399_000);
        support::in_time(source.session().close()).await;
        // Whole blocks of 256 KiB of what came.
        let stored = store.usage().bytes;
        assert!(stored >= 5 << 18, "{stored} bytes are stored");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_playlist_is_never_taken_from_the_store_however_fresh_it_is_called() {
    let dir = tempfile::tempdir().expect("a folder");
    let whole = String::from_utf8(file("ts_aac/index.m3u8")).expect("text");
    let growing = whole.replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "").replace("#EXT-X-ENDLIST", "");
    let first: String = growing.split_inclusive("#EXTINF").take(3).collect();
    let first = first.trim_end_matches("#EXTINF").to_owned();
    assert_eq!(first.matches("#EXTINF").count(), 2, "{first}");
    let fresh = |text: &str| Response::ok(text.to_owned()).with_header("Cache-Control", "max-age=3600");
    let list = || Rule::on("*/index.m3u8");
    let origin = serve(fixtures().rule(list().first(1).then(fresh(&first))).rule(list().skip(1).then(fresh(&growing))));
    let mut listed = Vec::new();
    for _ in 0..2 {
        let params = HlsParams { store: Some(store(dir.path())), ..HlsParams::from(quick()) };
        let source = open(&playlist(&origin, "ts_aac"), params).await;
        listed.push(source.session().status().window.expect("a playlist is there").1.as_secs());
        source.session().close().await;
    }
    assert!(listed[0] < listed[1], "the second session sees what there is now: {listed:?}");
}

/// Whatever is asked of a playlist is not answered.
fn holding() -> Rule {
    Rule::on("*.m3u8").then(Fault::Latency(std::time::Duration::from_secs(3600)))
}

fn over(dir: &Path, options: HlsOptions) -> HlsParams {
    let options = HlsOptions { stored_first: true, ..options };
    HlsParams { store: Some(store(dir)), ..HlsParams::from(options) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_played_before_its_origin_has_confirmed_the_playlists() {
    for path in ["/ts_aac/index.m3u8", "/multi/main.m3u8"] {
        let (origin, dir) = (serve(several()), tempfile::tempdir().expect("a folder"));
        let source = open(&origin.url(path), over(dir.path(), quick())).await;
        assert_exact(&read_all(&source).await, &truth("ts_aac"), path);
        source.session().close().await;
        origin.clear_log();
        origin.add_rule(holding());
        let source = open(&origin.url(path), over(dir.path(), quick())).await;
        assert_exact(&read_all(&source).await, &truth("ts_aac"), path);
        support::in_time(origin.until(|origin| !origin.requests_of(path).is_empty())).await;
        source.session().close().await;
        assert!(origin.log().iter().all(|request| request.path.ends_with(".m3u8")), "{:?}", origin.log());
    }
}

/// One stream, alone and as the only variant of several.
fn several() -> kithara_origin::Site {
    let named = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS=\"mp4a.40.2\"\n../ts_aac/index.m3u8\n";
    fixtures().bytes("/multi/main.m3u8", named)
}

/// Waits until the session has told of an error, which can be recovered from.
async fn told_of(source: &kithara_hls::HlsSource, events: &mut tokio::sync::broadcast::Receiver<HlsEvent>) {
    let told = async {
        while source.session().stats().errors == 0 {
            if let HlsEvent::Error { recoverable, .. } = events.recv().await.expect("the session lives") {
                assert!(recoverable);
            }
        }
    };
    support::in_time(told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_changed_meanwhile_is_told_and_played_the_next_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let other = String::from_utf8(file("ts_aac/index.m3u8")).expect("text");
    let shorter: Vec<&str> = other.split_inclusive("#EXTINF").collect();
    let shorter = shorter[..3].concat().trim_end_matches("#EXTINF").to_owned() + "#EXT-X-ENDLIST\n";
    let list = || Rule::on("/ts_aac/index.m3u8");
    let origin = serve(fixtures().rule(list().skip(1).then(Response::ok(shorter))));
    let url = playlist(&origin, "ts_aac");
    let whole = truth("ts_aac");
    for (len, is_told) in [(whole.len(), false), (whole.len(), true)] {
        let source = open(&url, over(dir.path(), quick())).await;
        let mut events = source.session().events();
        assert_exact(&read_all(&source).await, &whole[..len], "what was stored is played whole");
        if is_told {
            told_of(&source, &mut events).await;
        }
        source.session().close().await;
    }
    let source = open(&url, over(dir.path(), quick())).await;
    let read = read_all(&source).await;
    assert!(read.1.is_none() && whole.starts_with(&read.0) && read.0.len() < whole.len(), "{} bytes", read.0.len());
    source.session().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_is_gone_is_told_and_what_is_stored_is_played() {
    let (origin, dir) = (serve(fixtures()), tempfile::tempdir().expect("a folder"));
    let url = playlist(&origin, "ts_aac");
    let source = open(&url, over(dir.path(), quick())).await;
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "the stream");
    source.session().close().await;
    origin.shutdown();
    let source = open(&url, over(dir.path(), quick())).await;
    let mut events = source.session().events();
    assert_exact(&read_all(&source).await, &truth("ts_aac"), "the stream");
    told_of(&source, &mut events).await;
    source.session().close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playlists_that_were_signed_or_are_to_be_confirmed_first_wait_for_their_origin() {
    let dir = tempfile::tempdir().expect("a folder");
    let asking = HlsParams { store: Some(store(dir.path())), ..HlsParams::from(quick()) };
    for (origin, params) in [(signed(), over(dir.path(), quick())), (serve(fixtures()), asking)] {
        let url = playlist(&origin, "ts_aes");
        play(&url, quick(), dir.path()).await;
        origin.clear_log();
        origin.add_rule(holding());
        let opened = tokio::spawn(async move { try_open(&url, params).await.map(drop) });
        support::in_time(origin.until(|origin| origin.log().iter().any(|request| request.ended.is_none()))).await;
        // It gives up in a second or two, and was not opened by what is stored.
        assert!(support::in_time(opened).await.expect("nothing panics").is_err(), "nobody has confirmed it");
        assert!(origin.log().iter().all(|request| request.path.ends_with(".m3u8")), "{:?}", origin.log());
    }
}

/// Bytes of one of the runs of an encoder that gives its segments the same names in each.
fn made(run: usize, segment: usize) -> Vec<u8> {
    file(&format!("ts_aac/seg{}.ts", if run == 0 { segment } else { segment + 1 }))
}

/// Three segments, from this media sequence number on.
fn three(from: usize, ended: bool) -> String {
    let end = if ended { "#EXT-X-ENDLIST\n" } else { "" };
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n";
    let segments: String = (0..3).map(|number| format!("#EXTINF:1.002667,\nseg{number}.ts\n")).collect();
    format!("{head}#EXT-X-MEDIA-SEQUENCE:{from}\n{segments}{end}")
}

/// What an origin says of its segments.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    Nothing,
    Version,
    Lasting,
}

/// A stream that still grows when it is opened. Of the playlists that are asked for, counted from 0, `list` gives the text, and
/// `run` the run of its encoder that segments are of from then on. The second one is the first again until three segments were asked for.
fn encoder(
    says: Says,
    list: impl Fn(usize) -> String + Send + Sync + 'static,
    run: impl Fn(usize) -> usize + Send + Sync + 'static,
) -> Origin {
    let (lists, segments) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let site = fixtures().routes("/live/", move |request| {
        if request.path.ends_with(".m3u8") {
            let is_early = lists.load(Ordering::SeqCst) == 1 && segments.load(Ordering::SeqCst) < 3;
            return Response::ok(list(if is_early { 0 } else { lists.fetch_add(1, Ordering::SeqCst) }));
        }
        segments.fetch_add(1, Ordering::SeqCst);
        let number = (0..3).find(|number| request.path.ends_with(&format!("seg{number}.ts"))).expect("a segment");
        let answer = Response::ok(made(run(lists.load(Ordering::SeqCst) - 1), number));
        if says == Says::Lasting { answer.with_header("Cache-Control", "max-age=3600") } else { answer }
    });
    let nameless =
        Rule::on("/live/*").then(Fault::NoHeader("ETag".into())).then(Fault::NoHeader("Last-Modified".into()));
    serve(if says == Says::Version { site } else { site.rule(nameless) })
}

fn segments_asked(origin: &Origin) -> Vec<u16> {
    let log = origin.log();
    log.iter().filter(|request| request.path.ends_with(".ts")).map(|request| request.status).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_live_stream_left_under_the_same_names_is_not_played_again() {
    // (what the origin says, the run that the second session hears, statuses of what it asks for)
    let table = [
        (Says::Nothing, 1, vec![200; 3]),
        (Says::Version, 1, vec![200; 3]),
        (Says::Nothing, 0, vec![200; 3]),
        (Says::Version, 0, vec![304; 3]),
        (Says::Lasting, 0, vec![]),
    ];
    for (says, second, statuses) in table {
        let dir = tempfile::tempdir().expect("a folder");
        // Of one that ends, the second session would play the stored copy.
        let list = |asked| three(0, asked == 1 || asked > 3);
        let origin = encoder(says, list, move |asked| if asked > 1 { second } else { 0 });
        let url = playlist(&origin, "live");
        for run in [0, second] {
            let before = segments_asked(&origin).len();
            let source = open(&url, over(dir.path(), quick())).await;
            let want: Vec<u8> = (0..3).flat_map(|segment| made(run, segment)).collect();
            assert_exact(&read_all(&source).await, &want, &format!("run {run}, {says:?}"));
            source.session().close().await;
            let asked = segments_asked(&origin).split_off(before);
            let want = if before == 0 { vec![200; 3] } else { statuses.clone() };
            assert_eq!(asked, want, "run {run}, {says:?}: {:#?}", origin.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encoder_that_starts_anew_with_the_same_names_is_heard_and_not_its_former_run() {
    for says in [Says::Nothing, Says::Version, Says::Lasting] {
        let dir = tempfile::tempdir().expect("a folder");
        let list = |asked: usize| if asked == 0 { three(100, false) } else { three(0, asked > 1) };
        let origin = encoder(says, list, |asked| asked.min(1));
        let source = open(&playlist(&origin, "live"), over(dir.path(), quick())).await;
        let want: Vec<u8> = (0..2).flat_map(|run| (0..3).flat_map(move |segment| made(run, segment))).collect();
        assert_exact(&read_all(&source).await, &want, &format!("{says:?}: {:#?}", origin.log()));
        source.session().close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_encoder_made_before_it_began_anew_is_read_from_the_store() {
    let dir = tempfile::tempdir().expect("a folder");
    let anew =
        || three(0, false).replace("seg0", "seg3").replace("seg1", "seg4").replace("seg2.ts\n", "seg3.ts?again\n");
    let lists = AtomicUsize::new(0);
    let site = fixtures().route("/ts_aac/index.m3u8", move |_| {
        Response::ok(match lists.fetch_add(1, Ordering::SeqCst) {
            0 => three(100, false),
            1 => anew(),
            _ => anew() + "#EXT-X-ENDLIST\n",
        })
    });
    let origin = serve(site);
    let source = open(&playlist(&origin, "ts_aac"), over(dir.path(), quick())).await;
    let first: Vec<u8> = (0..3).flat_map(|segment| made(0, segment)).collect();
    let (all, error) = read_all(&source).await;
    assert!(error.is_none() && all.starts_with(&first) && all.len() > first.len(), "{:#?}", origin.log());
    let before = origin.log().len();
    let again = read_range(&source, 0..first.len() as u64).await;
    assert_exact(&again, &first, "the first run");
    assert_eq!(origin.log().len(), before, "{:#?}", origin.log());
    source.session().close().await;
}
