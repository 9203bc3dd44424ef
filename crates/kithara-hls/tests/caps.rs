//! Every class of resource has a size that is not exceeded: what is larger ends in an error that says so, and no more of it
//! is read than that, with or without a length that warns.

mod support;

use std::{
    future::poll_fn,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use kithara_hls::{
    Hls, HlsError, HlsParams, HlsSession,
    fetch::net::{
        Client,
        transport::{Transport, WireError, WireRequest, WireResponse},
    },
    hls_core::session::{FailureKind, Track},
};
use kithara_stream::{ChunkAt, Source, UnitBody};
use support::{in_time, quick};

/// Bytes of a chunk of the endless body.
const CHUNK: usize = 64 << 10;
const MIB: u64 = 1 << 20;

/// An origin of small texts and one endless resource.
struct Hostile {
    texts: Vec<(&'static str, String)>,
    endless: &'static str,
    first: Bytes,
    then: Bytes,
    /// Announced length, if any.
    length: Option<u64>,
    /// Bytes of the endless body that were taken.
    taken: Arc<AtomicU64>,
}

impl Transport for Hostile {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let path = request.url.path().to_owned();
        let mut headers = http::HeaderMap::new();
        let (status, body) = if path == self.endless {
            if let Some(length) = self.length {
                headers.insert(http::header::CONTENT_LENGTH, length.into());
            }
            let (taken, then) = (Arc::clone(&self.taken), self.then.clone());
            let chunks = stream::iter([self.first.clone()]).chain(stream::repeat(then));
            let counted = chunks.map(move |chunk| {
                taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                Ok(chunk)
            });
            (200, counted.boxed())
        } else {
            let text = self.texts.iter().find(|(name, _)| *name == path);
            let body = text.map(|(_, text)| Bytes::from(text.clone())).unwrap_or_default();
            (if text.is_some() { 200 } else { 404 }, stream::iter([Ok(body)]).boxed())
        };
        let status = http::StatusCode::from_u16(status).expect("a status");
        async move { Ok(WireResponse { status, headers, body, remote: None, multiplexed: false }) }.boxed()
    }
}

/// What is endless: its path, its first bytes, and the bytes that follow for ever.
struct Endless(&'static str, Vec<u8>, Vec<u8>);

/// A session on a hostile origin, and the count of the bytes taken from it.
fn session(endless: &Endless, length: Option<u64>, texts: &[(&'static str, &str)]) -> (HlsSession, Arc<AtomicU64>) {
    let Endless(path, first, then) = endless;
    let taken = Arc::new(AtomicU64::new(0));
    let origin = Hostile {
        texts: texts.iter().map(|(name, text)| (*name, (*text).to_owned())).collect(),
        endless: path,
        first: first.clone().into(),
        then: then.clone().into(),
        length,
        taken: Arc::clone(&taken),
    };
    let options = quick();
    let client = Client::with_transport(options.network.clone(), Arc::new(origin));
    let params = HlsParams { client: Some(client), no_store: true, ..HlsParams::from(options) };
    (Hls::session("http://h/index.m3u8", params).expect("a URL"), taken)
}

/// Reads until it fails.
async fn failure(session: &HlsSession) -> HlsError {
    let mut segments = match session.segments(Track::Main).await {
        Ok(segments) => segments,
        Err(error) => return error,
    };
    loop {
        match in_time(segments.next()).await {
            Err(error) => return error,
            Ok(None) => unreachable!("it has an end"),
            Ok(Some(segment)) => {
                if let Some(error) = drain(&segment.body).await {
                    return error.into();
                }
            }
        }
    }
}

/// Reads a body to its end, keeping nothing.
async fn drain(body: &UnitBody) -> Option<io::Error> {
    let mut at = 0;
    loop {
        let ready = in_time(poll_fn(|cx| body.poll_ready(cx, at..u64::MAX))).await;
        match ready.and_then(|()| body.chunk_at(at)) {
            Ok(ChunkAt::Bytes(bytes)) => {
                at += bytes.len() as u64;
                body.release(at);
            }
            // Ready, and taken back: asked again, the wait decides.
            Ok(ChunkAt::Pending) => tokio::task::yield_now().await,
            Ok(ChunkAt::End) => return None,
            Err(error) => return Some(error),
        }
    }
}

/// Whether it says that something was too large.
fn says_too_large(error: &HlsError) -> bool {
    match error {
        HlsError::SegmentNotFound { failure, .. } => failure.cause.kind == FailureKind::TooLarge,
        HlsError::KeyProcessing { source: Some(source), .. } => says_too_large(source),
        HlsError::Net(error) => error.kind() == kithara_hls::fetch::net::ErrorKind::TooLarge,
        HlsError::Fetch(error) => error.to_string().contains("larger than allowed"),
        _ => false,
    }
}

async fn check(class: &str, cap: u64, endless: Endless, texts: &[(&'static str, &str)]) {
    let (session, taken) = self::session(&endless, None, texts);
    let error = failure(&session).await;
    assert!(says_too_large(&error), "{class}: {error:?}");
    let read = taken.load(Ordering::Relaxed);
    assert!(read > cap && read <= cap + CHUNK as u64, "{class}: {read} bytes were read");

    let (session, taken) = self::session(&endless, Some(cap + 1), texts);
    let error = failure(&session).await;
    assert!(says_too_large(&error), "{class}, announced: {error:?}");
    assert_eq!(taken.load(Ordering::Relaxed), 0, "{class}: what is announced is not read at all");
}

/// Packets of a transport stream without payload.
fn packets() -> Vec<u8> {
    let mut packet = [0xff; 188];
    packet[..4].copy_from_slice(&[0x47, 0x1f, 0xff, 0x10]);
    packet.repeat(CHUNK / 188)
}

fn lines() -> Vec<u8> {
    b"#\n".repeat(CHUNK / 2)
}

const MEDIA: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nseg.ts\n#EXT-X-ENDLIST\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist() {
    let endless = || Endless("/index.m3u8", b"#EXTM3U\n".to_vec(), lines());
    check("playlist", 16 * MIB, endless(), &[]).await;
    let multivariant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nmedia.m3u8\n";
    let endless = Endless("/media.m3u8", b"#EXTM3U\n".to_vec(), lines());
    check("media playlist", 16 * MIB, endless, &[("/index.m3u8", multivariant)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key() {
    let text = MEDIA.replace("#EXTINF", "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF");
    let segment = "x".repeat(160);
    let endless = Endless("/key", vec![7; 16], vec![7; CHUNK]);
    check("key", 64 << 10, endless, &[("/index.m3u8", &text), ("/seg.ts", &segment)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_initialization_section() {
    let text = MEDIA.replace("#EXTINF", "#EXT-X-MAP:URI=\"init\"\n#EXTINF");
    // A box that is free, and has a terabyte.
    let mut first = b"\0\0\0\x18ftypiso5\0\0\0\0iso5dash\0\0\0\x01free".to_vec();
    first.extend((1_u64 << 40).to_be_bytes());
    let endless = Endless("/init", first, vec![0; CHUNK]);
    check("init", 8 * MIB, endless, &[("/index.m3u8", &text)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment() {
    let endless = Endless("/seg.ts", packets(), packets());
    check("segment", 256 * MIB, endless, &[("/index.m3u8", MEDIA)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_steering_server_says() {
    let multivariant = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering\",PATHWAY-ID=\"a\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\nmedia.m3u8\n";
    let endless = Endless("/steering", b"{".to_vec(), vec![b' '; CHUNK]);
    let texts = [("/index.m3u8", multivariant), ("/media.m3u8", MEDIA)];
    let (session, taken) = session(&endless, None, &texts);
    let mut events = session.events();
    let mut segments = session.segments(Track::Main).await.expect("the session lives");
    // It is no reason not to play: that the segment is not there is, and takes as long as the patience.
    assert!(in_time(segments.next()).await.is_err());
    tokio::time::timeout(Duration::from_secs(1), events.recv()).await.expect("it told").expect("it lives");
    let read = taken.load(Ordering::Relaxed);
    assert!(read > 0 && read <= (256 << 10) + CHUNK as u64, "{read} bytes were read");
}
