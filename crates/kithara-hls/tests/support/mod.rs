//! What the tests of sessions share: the truth, short limits, and readers that cannot hang a test.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of this")]

use std::{error::Error, future::poll_fn, io, ops::Range, time::Duration};

use kithara_hls::{
    Hls, HlsError, HlsOptions, HlsParams, HlsSource, RequestOptions,
    fetch::net::{
        NetworkOptions, Proxy, Timeouts,
        breaker::BreakerPolicy,
        retry::{Patience, RetryPolicy},
    },
    hls_core::session::PlaybackOptions,
};
use kithara_origin::{Logged, Origin, Site, fixtures_dir};
use kithara_stream::{ReadAt, Source, SourceFactory};
use url::Url;

/// Longer than anything takes that is not hung.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A site with all fixtures.
pub fn fixtures() -> Site {
    Site::new().dir("/", fixtures_dir())
}

/// An origin that serves `site`.
pub fn serve(site: Site) -> Origin {
    Origin::start(site).expect("a port is free")
}

/// A file of the fixtures.
pub fn file(path: &str) -> Vec<u8> {
    std::fs::read(fixtures_dir().join(path)).expect("the fixture is committed")
}

/// Files of one fixture, joined.
pub fn joined(folder: &str, names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| file(&format!("{folder}/{name}"))).collect()
}

/// What the flat reading of a fixture must be, from its clear twin.
pub fn truth(fixture: &str) -> Vec<u8> {
    match fixture {
        "ts_aac" | "ts_aes" | "ts_rotate" => joined("ts_aac", &["seg0.ts", "seg1.ts", "seg2.ts", "seg3.ts", "seg4.ts"]),
        "fmp4_aac" | "fmp4_aes" | "fmp4_aes_init" => {
            joined("fmp4_aac", &["init.mp4", "seg0.m4s", "seg1.m4s", "seg2.m4s", "seg3.m4s", "seg4.m4s"])
        }
        "fmp4_byterange" => file("fmp4_byterange/all.mp4"),
        "fmp4_discontinuity" => joined(
            fixture,
            &[
                "a_init.mp4",
                "a_seg0.m4s",
                "a_seg1.m4s",
                "a_seg2.m4s",
                "b_init.mp4",
                "b_seg0.m4s",
                "b_seg1.m4s",
                "b_seg2.m4s",
            ],
        ),
        "adts" => joined("adts", &["seg0.aac", "seg1.aac", "seg2.aac", "seg3.aac", "seg4.aac"]),
        "mp3" => joined("mp3", &["seg0.mp3", "seg1.mp3", "seg2.mp3", "seg3.mp3", "seg4.mp3"]),
        folder => joined(folder, &["init.mp4", "seg0.m4s", "seg1.m4s", "seg2.m4s", "seg3.m4s", "seg4.m4s"]),
    }
}

/// The playlist of a fixture at `origin`.
pub fn playlist(origin: &Origin, fixture: &str) -> String {
    origin.url(&format!("/{fixture}/index.m3u8"))
}

/// Options that give up in a second or two where the defaults take half a minute.
pub fn quick() -> HlsOptions {
    HlsOptions {
        playback: PlaybackOptions {
            refetch_backoff: Duration::from_millis(5),
            patience: Duration::from_millis(200),
            ready_timeout: Duration::from_millis(200),
            ..PlaybackOptions::default()
        },
        network: NetworkOptions {
            timeouts: Timeouts {
                first_byte: Duration::from_millis(600),
                stall: Duration::from_millis(400),
                ..Timeouts::default()
            },
            retry: RetryPolicy {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(100),
                ..RetryPolicy::default()
            },
            breaker: BreakerPolicy {
                pause: Duration::from_millis(20),
                max_pause: Duration::from_millis(50),
                ..BreakerPolicy::default()
            },
            proxy: Proxy::None,
            ..NetworkOptions::default()
        },
        request: RequestOptions {
            deadline: Duration::from_secs(3),
            patience: Patience { attempts: 8, max_elapsed: Duration::from_secs(3) },
            ..RequestOptions::default()
        },
        ..HlsOptions::default()
    }
}

/// Opens `url`, or says why not.
pub async fn try_open(url: &str, params: impl Into<HlsParams>) -> Result<HlsSource, HlsError> {
    in_time(Hls::open(url, params.into())).await
}

/// Opens `url`.
pub async fn open(url: &str, params: impl Into<HlsParams>) -> HlsSource {
    try_open(url, params).await.expect("it opens")
}

/// What `work` gives; a test that hangs fails here.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("nothing hangs")
}

/// Reads up to `range.end`, the end of the stream or an error, without blocking a thread.
pub async fn read_range(source: &impl Source, range: Range<u64>) -> (Vec<u8>, Option<io::Error>) {
    let (mut all, mut buf) = (Vec::new(), [0; 1500]);
    loop {
        let at = range.start + all.len() as u64;
        let room = usize::try_from(range.end - at).map_or(buf.len(), |left| left.min(buf.len()));
        if room == 0 {
            return (all, None);
        }
        let ready = in_time(poll_fn(|cx| source.poll_ready(cx, at..range.end))).await;
        match ready.and_then(|()| source.read_at(at, &mut buf[..room])) {
            Ok(ReadAt::Bytes(count)) => all.extend_from_slice(&buf[..count]),
            // Ready, and taken back: asked again, the wait decides.
            Ok(ReadAt::Pending) => tokio::task::yield_now().await,
            Ok(ReadAt::End) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

/// Reads everything, up to the end of the stream or an error.
pub async fn read_all(source: &impl Source) -> (Vec<u8>, Option<io::Error>) {
    read_range(source, 0..u64::MAX).await
}

/// Opens, reads everything and compares.
#[track_caller]
pub fn assert_exact(read: &(Vec<u8>, Option<io::Error>), truth: &[u8], what: &str) {
    assert!(read.1.is_none(), "{what}: {:?} after {} of {} bytes", read.1, read.0.len(), truth.len());
    assert_eq!(read.0.len(), truth.len(), "{what}: the length");
    let wrong = read.0.iter().zip(truth).position(|(got, want)| got != want);
    assert_eq!(wrong, None, "{what}: the first wrong byte");
}

/// The session's own error inside what a reader was told.
#[track_caller]
pub fn ours(error: &io::Error) -> &HlsError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HlsError>());
    inner.unwrap_or_else(|| unreachable!("{error:?} carries no error of the session"))
}

/// An error and everything below it, as text.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let below = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    below.map(ToString::to_string).collect::<Vec<_>>().join(" < ")
}

/// The bytes a request asked for, of a resource of `len` bytes.
pub fn asked(request: &Logged, len: u64) -> Range<u64> {
    let Some(range) = &request.range else { return 0..len };
    let range = range.strip_prefix("bytes=").expect("only byte ranges are asked for");
    let (start, end) = range.split_once('-').expect("a range has two ends");
    let number = |text: &str| text.parse::<u64>().expect("a range has numbers");
    match (start, end) {
        ("", suffix) => len.saturating_sub(number(suffix))..len,
        (start, "") => number(start)..len,
        (start, end) => number(start)..number(end) + 1,
    }
}

/// The last place before `limit` where one PES packet ends and another begins: a cut that a container cannot see.
pub fn seam(segment: &[u8], limit: usize) -> u64 {
    let pid = |packet: &[u8]| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
    let begins = |packet: &&[u8]| {
        packet[1] & 0x40 != 0 && pid(packet) >= 0x100 && packet[4..].windows(4).any(|it| it == [0, 0, 1, 0xc0])
    };
    let mut packets = segment.chunks_exact(188).take(limit / 188).enumerate();
    let last = packets.rfind(|(_, packet)| begins(packet));
    last.map_or(0, |(at, _)| 188 * at as u64)
}

/// The last place up to `limit` where a frame of ADTS begins: a cut that a container cannot see.
pub fn adts_seam(segment: &[u8], limit: usize) -> usize {
    let mut at = 0;
    // The ID3 tag in front.
    if segment.starts_with(b"ID3") {
        at = 10 + segment[6..10].iter().fold(0, |len, byte| len << 7 | usize::from(*byte));
    }
    loop {
        let len = usize::from(segment[at + 3] & 3) << 11
            | usize::from(segment[at + 4]) << 3
            | usize::from(segment[at + 5] >> 5);
        if at + len > limit {
            return at;
        }
        at += len;
    }
}

/// A session's URL as `Url`.
pub fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
