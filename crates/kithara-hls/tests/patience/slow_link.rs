//! One slow link for a session that is listened to and for four downloads, all through one fetcher, in real time.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::support::{in_time, open, url};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream::unfold};
use http::{HeaderMap, StatusCode, header};
use kithara_hls::{
    HlsOptions, HlsParams, HlsSource,
    fetch::{
        FetchOptions, FetchRequest, Fetcher, Priority,
        net::{
            Client, NetworkOptions,
            transport::{Transport, WireError, WireRequest, WireResponse},
        },
    },
};
use kithara_stream::{ReadAt, Source};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// 2 Mbit/s, shared by all connections in the order in which they send.
const RATE: u64 = 250_000;
/// What lies in the buffers of a connection, which no client can take back.
const CHUNK: usize = 16 << 10;
/// Segments of a second each, 800 kbit/s.
const SEGMENTS: u64 = 10;
const SEGMENT: usize = 532 * 188;
const LOAD: usize = 8 << 20;

/// The link, and the origin behind it.
#[derive(Clone)]
struct SlowLink {
    free: Arc<Mutex<Instant>>,
    sent: watch::Sender<Sent>,
}

/// Bytes that were sent.
#[derive(Clone, Copy, Default)]
struct Sent {
    played: usize,
    loaded: usize,
}

impl SlowLink {
    fn new() -> Self {
        Self { free: Arc::new(Mutex::new(Instant::now())), sent: watch::Sender::default() }
    }

    /// When `len` bytes are through.
    fn book(&self, path: &str, len: usize) -> Instant {
        self.sent.send_modify(|sent| match path.starts_with("/play/") {
            true => sent.played += len,
            false => sent.loaded += len,
        });
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(len as f64 / RATE as f64);
        *free
    }

    fn sent(&self) -> Sent {
        *self.sent.borrow()
    }
}

fn content(path: &str) -> Bytes {
    match path {
        "/play/index.m3u8" => {
            let segments: String = (0..SEGMENTS).map(|number| format!("#EXTINF:1,\n{number}.ts\n")).collect();
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}#EXT-X-ENDLIST\n").into()
        }
        path if path.starts_with("/play/") => segment(path).into(),
        _ => vec![7; LOAD].into(),
    }
}

/// Packets without a programme, and of each segment its own.
fn segment(path: &str) -> Vec<u8> {
    let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[path.as_bytes()["/play/".len()]; 184]].concat();
    packet.repeat(SEGMENT / packet.len())
}

impl Transport for SlowLink {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let (link, path) = (self.clone(), request.url.path().to_owned());
        Box::pin(async move {
            sleep(Duration::from_millis(40)).await;
            let content = content(&path);
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, content.len().into())]);
            let body = unfold((link, path, content), |(link, path, mut left)| async move {
                if left.is_empty() {
                    return None;
                }
                let chunk = left.split_to(left.len().min(CHUNK));
                sleep_until(link.book(&path, chunk.len())).await;
                Some((Ok(chunk), (link, path, left)))
            });
            Ok(WireResponse { status: StatusCode::OK, headers, body: body.boxed(), remote: None, multiplexed: false })
        })
    }
}

/// Reads `len` bytes at `at`, waiting for them.
async fn read(source: &HlsSource, at: usize, len: usize) -> Vec<u8> {
    let (mut all, end) = (Vec::new(), (at + len) as u64);
    while all.len() < len {
        let mut buf = vec![0; len - all.len()];
        let from = (at + all.len()) as u64;
        in_time(poll_fn(|cx| source.poll_ready(cx, from..end))).await.expect("it plays");
        if let ReadAt::Bytes(count) = source.read_at(from, &mut buf).expect("it plays") {
            all.extend_from_slice(&buf[..count]);
        }
    }
    all
}

/// What an output holds ready, so that a thread that comes late is not heard.
const OUTPUT: Duration = Duration::from_millis(250);
/// How much is read at once.
const TICK: Duration = Duration::from_millis(100);

/// Listens to all of it. Answers with the time to the first bytes, and how long there was nothing to hear after them.
async fn listen(source: &HlsSource, begun: Instant) -> (Duration, Duration) {
    let tick = SEGMENT / 10;
    let (mut heard, mut due, mut stalled) = (read(source, 0, tick).await, Instant::now() + OUTPUT, Duration::ZERO);
    let start = begun.elapsed();
    let whole: Vec<u8> = (0..SEGMENTS).flat_map(|number| segment(&format!("/play/{number}.ts"))).collect();
    while heard.len() < whole.len() {
        let more = read(source, heard.len(), tick.min(whole.len() - heard.len())).await;
        heard.extend(more);
        let late = Instant::now().saturating_duration_since(due);
        stalled += late;
        due += late + TICK;
        // The output takes it when what it holds is heard.
        sleep_until(due - OUTPUT).await;
    }
    assert!(heard == whole, "byte for byte");
    (start, stalled)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_beside_four_downloads_on_a_slow_link_never_stalls() {
    let link = SlowLink::new();
    let client = Client::with_transport(NetworkOptions::default(), Arc::new(link.clone()));
    let fetcher = Fetcher::new(client, None, FetchOptions::default());
    let load = |number: u64| FetchRequest {
        class: Priority::Download,
        ..FetchRequest::new(url(&format!("http://h/load/{number}")))
    };
    let downloads: Vec<_> = (0..4)
        .map(|number| {
            let mut delivery = fetcher.fetch(load(number));
            tokio::spawn(async move { while delivery.chunk().await.expect("it goes on").is_some() {} })
        })
        .collect();
    // They fill the link before anybody listens.
    let mut filling = link.sent.subscribe();
    in_time(filling.wait_for(|sent| sent.loaded > 8 * CHUNK)).await.expect("the link is there");
    let mut options = HlsOptions::default();
    options.playback.buffer_goal = Duration::from_secs(3);
    let (begun, before) = (Instant::now(), link.sent().loaded);
    let params = HlsParams { fetcher: Some(fetcher), ..HlsParams::from(options) };
    let source = open("http://h/play/index.m3u8", params).await;
    let (start, stalled) = listen(&source, begun).await;
    let all = begun.elapsed().as_secs_f64() * RATE as f64;
    let (played, loaded) = (link.sent().played as f64 / all, (link.sent().loaded - before) as f64 / all);
    println!(
        "first bytes after {start:?}, stalled for {stalled:?}; {played:.2} of the link played, {loaded:.2} loaded"
    );
    assert!(start < Duration::from_secs(1), "the first bytes took {start:?}");
    assert_eq!(stalled, Duration::ZERO);
    // What playback leaves is theirs.
    assert!(loaded > 0.9 * (1.0 - played), "{loaded:.2} of the link went to downloads, and {played:.2} to playback");
    downloads.iter().for_each(tokio::task::JoinHandle::abort);
}
