//! One slow link for a player and its downloads, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode, header};
use kithara_fetch::{FetchOptions, FetchRequest, Fetcher, PlaybackGate, Priority};
use kithara_net::retry::Patience;
use kithara_net::transport::{Transport, WireError, WireRequest, WireResponse};
use kithara_net::{Client, NetworkOptions};
use tokio::time::{Instant, sleep, sleep_until};

use crate::support::*;

/// 2 Mbit/s, shared by all connections in the order in which they send.
const RATE: u64 = 250_000;
/// What lies in the buffers of a connection, which no client can take back.
const CHUNK: u64 = 16 << 10;

#[derive(Clone)]
struct SlowLink {
    free: Arc<Mutex<Instant>>,
    sent: Arc<Mutex<Vec<(String, u64)>>>,
}

impl SlowLink {
    fn new() -> Self {
        Self { free: Arc::new(Mutex::new(Instant::now())), sent: Arc::default() }
    }

    /// When `len` bytes are through.
    fn book(&self, path: &str, len: u64) -> Instant {
        self.sent.lock().unwrap().push((path.to_owned(), len));
        let mut free = self.free.lock().unwrap();
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(len as f64 / RATE as f64);
        *free
    }

    fn bytes_of(&self, prefix: &str) -> u64 {
        self.sent.lock().unwrap().iter().filter(|(path, _)| path.starts_with(prefix)).map(|(_, len)| len).sum()
    }
}

impl Transport for SlowLink {
    /// `/NAME/LEN` is a resource of so many bytes.
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let (link, path) = (self.clone(), request.url.path().to_owned());
        Box::pin(async move {
            sleep(ms(40)).await;
            let len: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
            let body = unfold((link, path, len), |(link, path, left)| async move {
                let len = left.min(CHUNK);
                if len == 0 {
                    return None;
                }
                sleep_until(link.book(&path, len)).await;
                Some((Ok(Bytes::from(vec![7; len as usize])), (link, path, left - len)))
            });
            let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, len.into())]);
            let status = StatusCode::OK;
            Ok(WireResponse { status, headers, body: body.boxed(), remote: None, multiplexed: false })
        })
    }
}

/// Seconds of a segment, and media to keep ahead.
const SEGMENT: f64 = 4.0;
const GOAL: f64 = 20.0;

/// Plays `count` segments of `rate` bytes a second, and answers with the time to the first one and the time stood still
/// after it.
async fn play(fetcher: &Fetcher, mut gate: PlaybackGate, rate: f64, count: usize) -> (Duration, Duration) {
    let len = (rate * SEGMENT) as u64;
    let (begun, mut heard_until, mut stalled) = (Instant::now(), None::<Instant>, Duration::ZERO);
    let ahead = |heard: Option<Instant>| heard.map_or(0.0, |at| at.duration_since(Instant::now()).as_secs_f64());
    let mut start = Duration::ZERO;
    for number in 0..count {
        gate.set_below_goal(ahead(heard_until) < GOAL);
        if ahead(heard_until) >= GOAL {
            sleep(Duration::from_secs_f64(ahead(heard_until) - GOAL + 0.001)).await;
            gate.set_below_goal(true);
        }
        let url = format!("http://h/play/{number}/{len}");
        let class = if ahead(heard_until) > 0.0 { Priority::Playback } else { Priority::Demand };
        let request = FetchRequest { class, patience: Some(Patience::default()), ..request_of(&url) };
        fetcher.fetch(request).collect(u64::MAX).await.unwrap();
        let now = Instant::now();
        let from = match heard_until {
            None => {
                start = begun.elapsed();
                now
            }
            Some(until) => {
                stalled += now.saturating_duration_since(until);
                until.max(now)
            }
        };
        heard_until = Some(from + Duration::from_secs_f64(SEGMENT));
        gate.set_below_goal(ahead(heard_until) < GOAL);
    }
    (start, stalled)
}

#[tokio::test(start_paused = true)]
async fn a_player_with_four_downloads_on_a_slow_link_never_stalls() {
    // A video of 1.6 Mbit/s, which leaves little, and music of 256 kbit/s, which leaves much.
    for (media, may_load) in [(200_000.0, 0.05), (32_000.0, 0.5)] {
        let link = SlowLink::new();
        let client = Client::with_transport(NetworkOptions::default(), Arc::new(link.clone()));
        let fetcher = Fetcher::new(client, None, FetchOptions::default());
        let downloads: Vec<_> = (0..4)
            .map(|number| {
                let url = format!("http://h/load/{number}/{}", 200 << 20);
                let request = FetchRequest { class: Priority::Download, ..request_of(&url) };
                let mut delivery = fetcher.fetch(request);
                tokio::spawn(async move { while delivery.chunk().await.unwrap().is_some() {} })
            })
            .collect();
        // They fill the link before anybody plays.
        sleep(ms(5_000)).await;
        assert!(link.bytes_of("/load") > RATE * 4, "{}", link.bytes_of("/load"));
        let begun = Instant::now();
        let before = link.bytes_of("/load");
        let (start, stalled) = play(&fetcher, fetcher.playback_gate(), media, 75).await;
        let alone = Duration::from_secs_f64(media * SEGMENT / RATE as f64);
        assert!(start < alone + ms(700), "the first segment takes {alone:?} alone, and took {start:?}");
        assert_eq!(stalled, Duration::ZERO, "{media} bytes a second");
        // And they were not starved for it: what playback leaves is theirs.
        let share = (link.bytes_of("/load") - before) as f64 / (begun.elapsed().as_secs_f64() * RATE as f64);
        assert!(share > may_load, "{share} of the link went to downloads");
        downloads.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
