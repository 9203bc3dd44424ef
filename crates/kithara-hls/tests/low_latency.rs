//! Low latency over HTTP, by a clock that is moved by hand: nothing is there before it is published, and each part is read
//! before the next one is.

mod support;

use std::{collections::BTreeMap, future::poll_fn, time::Duration};

use bytes::Bytes;
use kithara_hls::{
    Hls, HlsOptions, MediaSegment, Segments,
    hls_core::session::{LiveOptions, Track},
};
use kithara_origin::{
    At, Clock, Ending, Fault, Origin, Packager, Published, Recording, Response, Rule, Site, fixtures_dir,
};
use kithara_stream::{ChunkAt, Source};
use support::{PATIENCE, quick, serve};
use tokio::sync::watch;

const SOUND: &str = "sound/index.m3u8";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Five segments of a second, each of six parts; the first two are there at the beginning.
struct Stage {
    origin: Origin,
    clock: Clock,
    packager: Packager,
}

impl Stage {
    fn new(change: impl FnOnce(Packager) -> Packager, site: impl FnOnce(Site) -> Site) -> Self {
        let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).expect("the fixture is committed");
        let packager = change(Packager::new(ms(200)).start(2).rendition(SOUND, &sound));
        let clock = Clock::manual();
        let origin = serve(site(Site::new().low_latency("/live", &packager).clock(clock.clone())));
        Self { origin, clock, packager }
    }

    /// Parts that are published while the stream is read.
    fn coming(&self) -> Vec<Published> {
        self.packager.schedule(SOUND).into_iter().filter(|part| !part.at.is_zero()).collect()
    }

    fn advance_to(&self, at: Duration) {
        let begun = self.packager.begun().expect("the playlist was asked for");
        self.clock.advance((begun + at).saturating_sub(self.clock.elapsed()));
    }

    /// Requests for media, by name.
    fn requests(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for entry in self.origin.log() {
            let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
            *count.entry(name).or_default() += 1;
        }
        count
    }

    /// Plays all of it: after each part is published it is read, and then the next one is. Returns what was read.
    async fn play(&self, options: HlsOptions) -> Vec<u8> {
        let session = Hls::session(&self.origin.url("/live/sound/index.m3u8"), options.into()).expect("a URL");
        let segments = session.segments(Track::Main).await.expect("it opens");
        let (told, mut heard) = watch::channel(0);
        let reader = tokio::spawn(read(segments, told));
        for part in self.coming() {
            let before = part.bytes.start;
            wait(&mut heard, before, &session).await;
            self.advance_to(part.at);
        }
        let bytes = tokio::time::timeout(PATIENCE, reader).await.expect("it ends").expect("nothing panics");
        session.close().await;
        bytes
    }
}

async fn wait(heard: &mut watch::Receiver<usize>, bytes: usize, session: &kithara_hls::HlsSession) {
    let there = tokio::time::timeout(PATIENCE, heard.wait_for(|heard| *heard >= bytes)).await;
    assert!(there.is_ok_and(|there| there.is_ok()), "{bytes} bytes are waited for: {:?}", session.status());
}

/// The bytes of a segment from `at` on that are there, waiting for the next ones; none behind its end.
async fn chunk(segment: &MediaSegment, at: &mut u64) -> Option<Bytes> {
    loop {
        poll_fn(|cx| segment.body.poll_ready(cx, *at..*at + 1)).await.expect("the body goes on");
        match segment.body.chunk_at(*at).expect("the body goes on") {
            ChunkAt::Bytes(bytes) => {
                *at += bytes.len() as u64;
                return Some(bytes);
            }
            ChunkAt::Pending => {}
            ChunkAt::End => return None,
        }
    }
}

/// Reads everything, and tells how many bytes of the recording it has come to.
async fn read(mut segments: Segments, told: watch::Sender<usize>) -> Vec<u8> {
    let (mut all, mut skipped) = (Vec::new(), None);
    while let Some(segment) = segments.next().await.expect("the stream goes on") {
        let init = segment.init.clone().unwrap_or_default();
        if skipped.is_none() {
            skipped = Some(segment.msn.0);
            all.extend_from_slice(&init);
        }
        let mut at = 0;
        while let Some(bytes) = chunk(&segment, &mut at).await {
            all.extend_from_slice(&bytes);
            let _ = told.send(all.len());
        }
    }
    assert_eq!(skipped, Some(0), "these tests begin at the first segment");
    all
}

/// Reads to the first byte of the last of so many laps, and tells how many bytes it has come to. Answers with the initialization
/// section of each.
async fn read_laps(mut segments: Segments, told: watch::Sender<usize>, laps: usize) -> Vec<Vec<u8>> {
    let (mut inits, mut all) = (Vec::<Vec<u8>>::new(), 0);
    while let Some(segment) = segments.next().await.expect("the stream goes on") {
        if segment.run_start.is_some() {
            let init = segment.init.clone().expect("it is fMP4").to_vec();
            all += init.len();
            inits.push(init);
        }
        let mut at = 0;
        while let Some(bytes) = chunk(&segment, &mut at).await {
            all += bytes.len();
            let _ = told.send(all);
            if inits.len() == laps {
                return inits;
            }
        }
    }
    inits
}

/// From the beginning: what is read is then all of it.
fn from_beginning() -> HlsOptions {
    let start = kithara_hls::hls_core::session::LiveStart::Beginning;
    HlsOptions { live: LiveOptions { start, ..LiveOptions::default() }, ..quick() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_is_read_before_the_next_one_is_published() {
    let stage = Stage::new(|packager| packager, |site| site);
    let bytes = stage.play(from_beginning()).await;
    assert!(bytes == stage.packager.content(SOUND), "{} bytes", bytes.len());
    let requests = stage.requests();
    let again: Vec<_> = requests.iter().filter(|(name, count)| name.ends_with(".m4s") && **count > 1).collect();
    assert!(again.is_empty(), "{again:?}");
    for msn in 2..5 {
        assert!(!requests.contains_key(&format!("seg{msn}.m4s")), "its parts were read: {requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_are_ranges_of_their_segment_come_with_one_request_each() {
    let stage = Stage::new(Packager::by_range, |site| site);
    let bytes = stage.play(from_beginning()).await;
    assert!(bytes == stage.packager.content(SOUND), "{} bytes", bytes.len());
    let requests = stage.requests();
    for msn in 2..5 {
        assert_eq!(requests.get(&format!("seg{msn}.m4s")), Some(&1), "{requests:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_that_are_replanned_cost_nothing_but_a_request() {
    let stage = Stage::new(|packager| packager.replanned(2, 3).replanned(3, 0), |site| site);
    let bytes = stage.play(from_beginning()).await;
    assert!(bytes == stage.packager.content(SOUND), "{} bytes", bytes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_initialization_section_that_is_hinted_at_is_there_before_its_segment_and_asked_for_once() {
    for by_range in [false, true] {
        let change = |packager: Packager| if by_range { packager.by_range() } else { packager };
        let stage = Stage::new(|packager| change(packager.looped().renewed()), |site| site);
        let session =
            Hls::session(&stage.origin.url("/live/sound/index.m3u8"), from_beginning().into()).expect("a URL");
        let segments = session.segments(Track::Main).await.expect("it opens");
        let (told, mut heard) = watch::channel(0);
        let reader = tokio::spawn(read_laps(segments, told, 2));
        for part in stage.coming() {
            wait(&mut heard, part.bytes.start, &session).await;
            stage.advance_to(part.at);
        }
        // All of the lap is published and nothing of the next: its section was asked for while it was not there.
        let lap = stage.packager.content(SOUND).len();
        wait(&mut heard, lap, &session).await;
        assert_eq!(stage.requests().get("init1.mp4"), Some(&1), "it is hinted at: {:?}", stage.requests());
        let begun = stage.packager.length(SOUND);
        for part in stage.packager.schedule(SOUND) {
            let media = begun + part.start + Duration::from_micros(1);
            stage.advance_to(stage.packager.published_at(SOUND, media).expect("laps go on"));
            if part.msn > 0 {
                break;
            }
        }
        let inits = tokio::time::timeout(PATIENCE, reader).await.expect("it ends").expect("nothing panics");
        session.close().await;
        let init = stage.packager.content(SOUND)[..inits[0].len()].to_vec();
        assert!(inits.len() == 2 && inits.iter().all(|it| *it == init), "{inits:?}");
        assert_eq!(stage.requests().get("init1.mp4"), Some(&1), "{:?}", stage.requests());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_break_off_are_refused_or_reset_come_whole() {
    let faults = [
        Rule::on("*/seg2.1.m4s").first(1).then(Fault::Cut { at: At::Byte(700), ending: Ending::Reset }),
        Rule::on("*/seg2.4.m4s").first(1).then(Response::new(503)),
        Rule::on("*/seg3.2.m4s").first(1).then(Response::new(404)),
    ];
    let stage = Stage::new(|packager| packager, |site| faults.into_iter().fold(site, Site::rule));
    let bytes = stage.play(from_beginning()).await;
    assert!(bytes == stage.packager.content(SOUND), "{} bytes", bytes.len());
}
