//! Low latency over HTTP: a session that follows a packager part by part. The packager's clock is moved by hand, from part to part
//! and only when the session waits for the next one; so what is compared is bytes and requests, and no time.

mod support;

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kithara_hls::{
    Hls, HlsEvent, HlsOptions, HlsSession, MediaSegment,
    hls_core::{
        playlist::RenditionId,
        session::{MediaId, Track},
    },
};
use kithara_origin::{
    At, Clock, Ending, Fault, Logged, Origin, Packager, Published, Recording, Response, Rule, Site, fixtures_dir,
};
use kithara_stream::{ReadAt, Source};
use support::{in_time, quick};
use tokio::{sync::watch, task::JoinHandle};

const PATH: &str = "a/index.m3u8";

/// A packager with an origin, whose clock stands until it is moved.
struct Stage {
    origin: Origin,
    clock: Clock,
    packager: Packager,
}

impl Stage {
    fn of(packager: Packager, change: impl FnOnce(Site) -> Site) -> Self {
        let clock = Clock::manual();
        let site = Site::new().low_latency("/live", &packager).clock(clock.clone());
        let origin = Origin::start(change(site)).expect("a port is free");
        Self { origin, clock, packager }
    }

    /// Five seconds of sound, one of them there at the beginning, in parts of 192 ms.
    fn sound(packager: impl FnOnce(Packager) -> Packager, change: impl FnOnce(Site) -> Site) -> Self {
        let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).expect("the fixture is committed");
        Self::of(packager(Packager::new(Duration::from_millis(200)).start(2).rendition(PATH, &sound)), change)
    }

    fn session(&self, path: &str, options: HlsOptions) -> HlsSession {
        Hls::session(&self.origin.url(&format!("/live/{path}")), options.into()).expect("a URL")
    }

    /// Parts that are not there at the beginning.
    fn coming(&self, path: &str) -> Vec<Published> {
        let all = self.packager.schedule(path);
        all.into_iter().filter(|published| !published.at.is_zero()).collect()
    }

    /// Publishes what is recorded until `at`.
    fn advance_to(&self, at: Duration) {
        let begun = self.packager.begun().expect("a playlist was asked for");
        self.clock.advance((begun + at).saturating_sub(self.clock.elapsed()));
    }

    /// Waits until a request for such a thing is held.
    async fn until_held(&self, wanted: impl Fn(&Logged) -> bool) {
        let is_held = |entry: &Logged| entry.is_held && entry.ended.is_none() && wanted(entry);
        let held = self.origin.until(|origin| origin.log().iter().any(is_held));
        in_time(held).await;
    }

    /// Waits until the session waits for the next part: until a reload is held that will be for as long as the clock stands.
    async fn until_awaited(&self, wanted: impl Fn(&Logged) -> bool) {
        self.until_held(|entry| self.waits(entry) && wanted(entry)).await;
    }

    /// Whether what a reload asks for is not published yet.
    fn waits(&self, entry: &Logged) -> bool {
        let number =
            |name: &str| entry.query.as_deref()?.split('&').find_map(|pair| pair.strip_prefix(name))?.parse().ok();
        let (Some(msn), Some(begun)) = (number("_HLS_msn="), self.packager.begun()) else { return false };
        let path = entry.path.trim_start_matches("/live/");
        let schedule = self.packager.schedule(path);
        let segments = schedule.last().expect("it has parts").msn + 1;
        let (lap, msn) = (msn / segments, msn % segments);
        let part = number("_HLS_part=").unwrap_or(u64::MAX);
        let of_segment = schedule.iter().filter(|published| published.msn == msn);
        // Without such a part its segment has its last one, or is over.
        let Some(asked) = of_segment.take_while(|published| published.part as u64 <= part).last() else { return false };
        let media = self.packager.length(path).saturating_mul(u32::try_from(lap).expect("few laps")) + asked.start;
        // Times are rounded down, and this one must lie in the part.
        self.packager
            .published_at(path, media + Duration::from_micros(1))
            .is_some_and(|at| begun + at > self.clock.elapsed())
    }

    fn requests(&self, wanted: impl Fn(&Logged) -> bool) -> Vec<Logged> {
        self.origin.log().into_iter().filter(|entry| wanted(entry)).collect()
    }
}

fn is_reload(entry: &Logged) -> bool {
    entry.path.ends_with(".m3u8") && entry.target.contains("_HLS_msn=")
}

fn is_part(entry: &Logged) -> bool {
    entry.path.ends_with(".m4s") && entry.path.matches('.').count() == 2
}

/// What a reader has read of a track.
#[derive(Clone, Debug, Default)]
struct Heard {
    segments: Vec<HeardSegment>,
    /// The reader came to the end of the stream.
    is_over: bool,
    broken: Option<String>,
}

#[derive(Clone)]
struct HeardSegment {
    media: MediaId,
    msn: u64,
    bytes: Vec<u8>,
    is_whole: bool,
}

impl fmt::Debug for HeardSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.is_whole { "" } else { ".." };
        write!(f, "{:?} {} ({} bytes{end})", self.media, self.msn, self.bytes.len())
    }
}

/// A reader of a track that takes what comes.
struct Reader {
    heard: watch::Receiver<Heard>,
    session: Arc<HlsSession>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    fn follow(session: HlsSession, track: Track) -> Self {
        let session = Arc::new(session);
        let (tell, heard) = watch::channel(Heard::default());
        let task = tokio::spawn(listen(session.clone(), track, tell));
        Self { heard, session, task }
    }

    /// Waits until what was read is as wanted.
    async fn until(&mut self, wanted: impl FnMut(&Heard) -> bool) -> Heard {
        let found = in_time(self.heard.wait_for(wanted)).await.map(|heard| heard.clone());
        found.unwrap_or_else(|_| unreachable!("the reader has ended: {:?}", self.heard.borrow()))
    }

    /// Waits until so many bytes of a segment have been read.
    async fn until_read(&mut self, msn: u64, bytes: usize) {
        let is_there = |segment: &HeardSegment| segment.msn == msn && segment.bytes.len() >= bytes;
        let heard = self.until(|heard| heard.broken.is_some() || heard.segments.iter().any(is_there)).await;
        assert!(heard.broken.is_none(), "{heard:?}");
    }

    async fn read_to_end(&mut self) -> Heard {
        let heard = self.until(|heard| heard.is_over).await;
        assert!(heard.broken.is_none(), "{heard:?}");
        heard
    }
}

async fn listen(session: Arc<HlsSession>, track: Track, tell: watch::Sender<Heard>) {
    let outcome = async {
        let mut segments = session.segments(track).await.map_err(|error| error.to_string())?;
        while let Some(segment) = segments.next().await.map_err(|error| error.to_string())? {
            let (media, msn) = (segment.variant, segment.msn.0);
            tell.send_modify(|heard| {
                heard.segments.push(HeardSegment { media, msn, bytes: Vec::new(), is_whole: false });
            });
            // A segment that was left for a place sought, or for another rendition, is not read to its end.
            let _ = read_body(&segment, &tell).await;
        }
        Ok::<(), String>(())
    };
    let broken = outcome.await.err();
    tell.send_modify(|heard| (heard.is_over, heard.broken) = (true, broken));
}

/// Reads a segment while it grows.
async fn read_body(segment: &MediaSegment, tell: &watch::Sender<Heard>) -> Result<(), String> {
    let mut at = 0;
    loop {
        let mut buf = [0; 4096];
        let ready = poll_fn(|cx| segment.body.poll_ready(cx, at..at + 1)).await;
        match ready.and_then(|()| segment.body.read_at(at, &mut buf)).map_err(|error| error.to_string())? {
            ReadAt::Bytes(count) => {
                at += count as u64;
                tell.send_modify(|heard| last(heard).bytes.extend_from_slice(&buf[..count]));
            }
            ReadAt::Pending => tokio::task::yield_now().await,
            ReadAt::End => {
                tell.send_modify(|heard| last(heard).is_whole = true);
                return Ok(());
            }
        }
    }
}

fn last(heard: &mut Heard) -> &mut HeardSegment {
    heard.segments.last_mut().expect("it was pushed before it is read")
}

/// Where the part ends in its segment.
fn end_in_segment(schedule: &[Published], published: &Published) -> usize {
    let first = schedule.iter().find(|other| other.msn == published.msn).expect("it has a first part");
    published.bytes.end - first.bytes.start
}

/// Where the segment ends in the recording.
fn segment_end(schedule: &[Published], msn: u64) -> usize {
    schedule.iter().filter(|other| other.msn == msn).map(|last| last.bytes.end).max().expect("it has parts")
}

/// The clear bytes of a segment.
fn segment(packager: &Packager, path: &str, msn: u64) -> Vec<u8> {
    let of_segment = packager.schedule(path).into_iter().filter(|published| published.msn == msn);
    let content = packager.content(path);
    of_segment.flat_map(|published| content[published.bytes].to_vec()).collect()
}

/// The clear bytes of a segment from each of its parts on: where playback begins, it may begin with any of them.
fn rests(packager: &Packager, path: &str, msn: u64) -> Vec<Vec<u8>> {
    let whole = segment(packager, path, msn);
    let parts = packager.schedule(path).into_iter().filter(|published| published.msn == msn);
    let left = parts.scan(whole.len(), |left, published| {
        let here = *left;
        *left -= published.bytes.len();
        Some(here)
    });
    left.map(|left| whole[whole.len() - left..].to_vec()).collect()
}

/// All that was read is what was published, from the first segment on and to the last.
#[track_caller]
fn assert_exact(stage: &Stage, path: &str, heard: &Heard) {
    let msns: Vec<_> = heard.segments.iter().map(|segment| segment.msn).collect();
    let last = stage.packager.schedule(path).last().expect("it has parts").msn;
    assert_eq!(msns, (msns[0]..=last).collect::<Vec<_>>(), "one segment after the other");
    assert!(heard.segments.iter().all(|heard| heard.is_whole), "{heard:?}");
    let (first, others) = heard.segments.split_first().expect("something is read");
    assert!(rests(&stage.packager, path, first.msn).contains(&first.bytes), "it begins with a part: {heard:?}");
    for heard in others {
        assert!(heard.bytes == segment(&stage.packager, path, heard.msn), "segment {}", heard.msn);
    }
}

/// Publishes part after part: the next one when the session waits for it and the one before it has been read.
async fn publish(stage: &Stage, path: &str, reader: &mut Reader) {
    let schedule = stage.packager.schedule(path);
    for published in stage.coming(path) {
        stage.until_awaited(|_| true).await;
        stage.advance_to(published.at);
        reader.until_read(published.msn, end_in_segment(&schedule, &published)).await;
    }
}

/// Publishes part after part whenever the session waits for the next one, whatever has been read.
async fn publish_unread(stage: &Stage, coming: &[Published]) {
    for published in coming {
        stage.until_awaited(|_| true).await;
        stage.advance_to(published.at);
    }
}

/// Whether it is the request for this part, as a resource of its own.
fn is_hinted(published: &Published, entry: &Logged) -> bool {
    entry.path == format!("/live/a/seg{}.{}.m4s", published.msn, published.part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_is_asked_for_before_it_exists_and_once_and_read_before_the_next_is_made() {
    let stage = Stage::sound(|packager| packager, |site| site);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    let schedule = stage.packager.schedule(PATH);
    for published in stage.coming(PATH) {
        stage.until_awaited(|_| true).await;
        stage.until_held(|entry| is_hinted(&published, entry)).await;
        stage.advance_to(published.at);
        reader.until_read(published.msn, end_in_segment(&schedule, &published)).await;
    }
    assert_exact(&stage, PATH, &reader.read_to_end().await);
    for published in stage.coming(PATH) {
        let requests = stage.requests(|entry| is_hinted(&published, entry));
        assert!(requests.len() == 1 && requests[0].is_held, "{published:?}: {requests:?}");
    }
    let segments = stage.requests(|entry| entry.path.ends_with(".m4s") && !is_part(entry));
    assert!(segments.iter().all(|entry| entry.path.as_str() < "/live/a/seg2.m4s"), "what came in parts: {segments:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_cost_no_byte() {
    for seed in 0..3 {
        let faults = [Response::new(503).into(), Fault::HangUp(Ending::Reset), Fault::truncate(At::Fraction(0.5))];
        let rules = faults.into_iter().map(|fault: Fault| Rule::on("*").chance(0.04).then(fault));
        let stage = Stage::sound(|packager| packager, |site| rules.fold(site.seed(seed), Site::rule));
        let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
        publish(&stage, PATH, &mut reader).await;
        assert_exact(&stage, PATH, &reader.read_to_end().await);
        let broken = stage.requests(|entry| !entry.fault.is_empty()).len();
        assert!(broken > 0, "seed {seed} plays no fault");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_segment_is_decrypted_part_by_part_where_it_is_one_resource_and_as_a_whole_where_not() {
    let key = *b"0123456789abcdef";
    let encrypted = |packager: Packager| packager.encrypted("/key.bin", key);
    let with_key = |site: Site| site.bytes("/key.bin", key.to_vec());
    let stage = Stage::sound(|packager| encrypted(packager).by_range(), with_key);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    let schedule = stage.packager.schedule(PATH);
    for published in stage.coming(PATH) {
        stage.until_awaited(|_| true).await;
        stage.advance_to(published.at);
        // What may be the last two blocks waits for what follows.
        let is_last = published.bytes.end == segment_end(&schedule, published.msn);
        let held = if is_last { 0 } else { 3 * 16 };
        reader.until_read(published.msn, end_in_segment(&schedule, &published) - held).await;
    }
    assert_exact(&stage, PATH, &reader.read_to_end().await);
    let stage = Stage::sound(encrypted, with_key);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    publish_unread(&stage, &stage.coming(PATH)).await;
    assert_exact(&stage, PATH, &reader.read_to_end().await);
    assert!(stage.requests(is_part).is_empty(), "a part says nothing about how the next one begins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_trickle_are_read_as_they_come() {
    let stage = Stage::sound(Packager::trickled, |site| site);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    publish(&stage, PATH, &mut reader).await;
    assert_exact(&stage, PATH, &reader.read_to_end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_lost_costs_the_rest_of_its_segment_and_nothing_else() {
    let stage = Stage::sound(|packager| packager.gap(3, 4), |site| site);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    publish_unread(&stage, &stage.coming(PATH)).await;
    let heard = reader.read_to_end().await;
    let whole: Vec<_> = heard.segments.iter().filter(|heard| heard.is_whole).map(|heard| heard.msn).collect();
    assert_eq!(whole, [1, 2, 4], "{heard:?}");
    let (first, others) = heard.segments.split_first().expect("something is read");
    assert!(rests(&stage.packager, PATH, first.msn).contains(&first.bytes), "it begins with a part: {heard:?}");
    for heard in others {
        let published = segment(&stage.packager, PATH, heard.msn);
        assert!(published.starts_with(&heard.bytes), "segment {}", heard.msn);
        assert_eq!(heard.is_whole, heard.bytes.len() == published.len(), "segment {}", heard.msn);
    }
}

/// The playlist of a stream that ended behind so many segments.
fn ended(packager: &Packager, path: &str, segments: u64) -> String {
    let schedule = packager.schedule(path);
    let start = |msn| schedule.iter().find(|part| part.msn == msn).map(|part| part.start.as_secs_f64());
    let listed = (0..segments).map(|msn| {
        let seconds = start(msn + 1).expect("it is not the last") - start(msn).expect("it has parts");
        format!("#EXTINF:{seconds:.6},\nseg{msn}.m4s\n")
    });
    let head = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n#EXT-X-PART-INF:PART-TARGET=0.2\n";
    format!("{head}#EXT-X-MAP:URI=\"init.mp4\"\n{}#EXT-X-ENDLIST\n", listed.collect::<String>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_while_its_last_part_is_half_there_ends_with_what_came() {
    let (half, has_ended) = ((3, 3), Arc::new(AtomicBool::new(false)));
    let text = Arc::new(OnceLock::<String>::new());
    let (tells, list) = (has_ended.clone(), text.clone());
    let stage = Stage::sound(
        |packager| packager,
        |site| {
            let stalls = Fault::stall(At::Fraction(0.5), Duration::from_secs(3600));
            let site = site.rule(Rule::on("*/seg3.3.m4s").then(stalls));
            site.rewrite("*/index.m3u8", move |_, _| list.get().filter(|_| tells.load(Ordering::SeqCst)).cloned())
        },
    );
    text.set(ended(&stage.packager, PATH, half.0)).expect("it is set once");
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    let mut events = reader.session.events();
    let schedule = stage.packager.schedule(PATH);
    for published in stage.coming(PATH) {
        stage.until_awaited(|_| true).await;
        stage.advance_to(published.at);
        let (place, end) = ((published.msn, published.part as u64), end_in_segment(&schedule, &published));
        if place == half {
            // The half that came is read, then nothing is listed of its segment any more.
            reader.until_read(published.msn, end - published.bytes.len() / 2 - 1).await;
            break;
        }
        reader.until_read(published.msn, end).await;
    }
    stage.until_awaited(|_| true).await;
    has_ended.store(true, Ordering::SeqCst);
    stage.clock.advance(Duration::from_millis(200));
    let heard = reader.read_to_end().await;
    let msns: Vec<_> = heard.segments.iter().map(|heard| (heard.msn, heard.is_whole)).collect();
    assert_eq!(msns, [(1, true), (2, true), (3, false)]);
    let (last, whole) = (&heard.segments[2].bytes, segment(&stage.packager, PATH, 3));
    assert!(whole.starts_with(last) && last.len() < whole.len(), "{} of {} bytes", last.len(), whole.len());
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let errors: Vec<_> = told.filter(|event| matches!(event, HlsEvent::Error { .. })).collect();
    assert!(errors.is_empty(), "nothing is missing that could be had: {errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_ask_for_what_is_new() {
    let stage = Stage::sound(|packager| packager.looped().start(12), |site| site);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    reader.until(|heard| !heard.segments.is_empty()).await;
    for step in 1..=12 {
        stage.until_awaited(|_| true).await;
        stage.advance_to(Duration::from_millis(192 * step));
    }
    stage.until_awaited(|_| true).await;
    let reloads = stage.requests(|entry| is_reload(entry) && entry.status == 200);
    let first = &stage.requests(|entry| entry.path.ends_with(".m3u8"))[0];
    assert!(!first.target.contains("_HLS_skip"), "{first:?}");
    assert!(reloads.len() >= 12 && reloads.iter().all(|entry| entry.target.contains("_HLS_skip=")), "{reloads:?}");
    assert!(reloads.iter().all(|entry| entry.bytes_sent < first.bytes_sent), "updates are shorter: {reloads:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_rendition_is_asked_for_where_the_report_says_that_it_is() {
    let packager = Packager::new(Duration::from_millis(200)).start(2);
    let packager = packager.presentation(fixtures_dir().join("av_master/master.m3u8")).expect("the fixture is clean");
    let stage = Stage::of(packager, |site| site);
    let mut reader = Reader::follow(stage.session("master.m3u8", quick()), Track::Audio);
    let coming = stage.coming("audio_en/index.m3u8");
    let (before, after) = coming.split_at(8);
    for published in before {
        stage.until_awaited(|entry| entry.path.contains("audio_en")).await;
        stage.advance_to(published.at);
    }
    let last = &before[7];
    let listed = format!("/live/audio_en/seg{}.{}.m4s", last.msn, last.part);
    in_time(stage.origin.until(|origin| origin.requests_of(&listed).iter().any(|entry| entry.ended.is_some()))).await;
    stage.until_awaited(|entry| entry.path.contains("audio_en")).await;
    in_time(reader.session.select_audio(RenditionId(1))).await.expect("there is such a rendition");
    let german = |entry: &Logged| entry.path == "/live/audio_de/index.m3u8";
    in_time(stage.origin.until(|origin| origin.log().iter().any(german))).await;
    let directives = format!("_HLS_msn={}&_HLS_part={}", last.msn, last.part);
    let first = &stage.requests(german)[0];
    assert!(first.target.ends_with(&directives), "{} instead of {directives}", first.target);
    for published in after {
        stage.until_awaited(|entry| entry.path.contains("audio_de")).await;
        stage.advance_to(published.at);
    }
    let heard = reader.read_to_end().await;
    let paths = ["audio_en/index.m3u8", "audio_de/index.m3u8"];
    let is_of = |segment: &HeardSegment, rendition| segment.media == MediaId::Rendition(RenditionId(rendition));
    assert!(is_of(&heard.segments[0], 0) && is_of(heard.segments.last().expect("it has some"), 1), "{heard:?}");
    let mut before = None;
    for heard in heard.segments.iter().filter(|heard| heard.is_whole) {
        let path = paths[usize::from(is_of(heard, 1))];
        let begins = before.replace(heard.media) != Some(heard.media);
        let is_as_published = match begins {
            true => rests(&stage.packager, path, heard.msn).contains(&heard.bytes),
            false => heard.bytes == segment(&stage.packager, path, heard.msn),
        };
        assert!(is_as_published, "segment {} of {path}", heard.msn);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_goes_back_into_the_window_and_returns_to_the_edge() {
    let stage = Stage::sound(|packager| packager, |site| site);
    let mut reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    let coming = stage.coming(PATH);
    let (before, after) = coming.split_at(9);
    publish_unread(&stage, before).await;
    stage.until_awaited(|_| true).await;
    in_time(reader.session.seek(Duration::ZERO)).await.expect("it is in the window");
    let back = reader.until(|heard| heard.segments.iter().any(|segment| segment.msn == 0 && segment.is_whole)).await;
    assert_eq!(
        back.segments.iter().find(|heard| heard.msn == 0).expect("found").bytes,
        segment(&stage.packager, PATH, 0)
    );
    let (_, edge) = reader.session.seekable().expect("it is live");
    in_time(reader.session.seek(edge)).await.expect("it is in the window");
    for published in after {
        stage.until_awaited(|_| true).await;
        stage.advance_to(published.at);
    }
    let heard = reader.read_to_end().await;
    let last = heard.segments.last().expect("it has some");
    assert!(last.msn == 4 && last.bytes == segment(&stage.packager, PATH, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_out_of_a_cache_is_tuned_in_from_by_its_age() {
    let stage = Stage::sound(|packager| packager.looped().start(12).cached(Duration::from_secs(5)), |site| site);
    let playlists = |log: &[Logged]| log.iter().filter(|entry| entry.path.ends_with(PATH)).count();
    // Somebody else's visit is what the cache remembers.
    let earlier = stage.session(PATH, quick());
    in_time(stage.origin.until(|origin| playlists(&origin.log()) > 0)).await;
    earlier.close().await;
    let before = stage.origin.log().len();
    stage.advance_to(Duration::from_secs(4));

    let _reader = Reader::follow(stage.session(PATH, quick()), Track::Main);
    in_time(stage.origin.until(|origin| origin.log()[before..].iter().any(is_part))).await;
    let log = stage.origin.log().split_off(before);
    let first_part = log.iter().position(is_part).expect("it was waited for");
    let asked: Vec<&str> = log[..first_part]
        .iter()
        .filter(|entry| entry.path.ends_with(PATH))
        .map(|entry| entry.target.as_str())
        .collect();
    let now = Duration::from_secs(4);
    let newest = stage.packager.schedule(PATH).iter().rev().find(|it| it.at <= now).expect("parts came").msn;
    let msn = |target: &str| -> Option<u64> { target.split_once("_HLS_msn=")?.1.split('&').next()?.parse().ok() };
    assert!(asked.len() >= 2 && msn(asked[0]).is_none(), "{asked:?}");
    assert!(msn(asked[1]).is_some_and(|msn| msn >= newest), "{newest} is there: {asked:?}");
}
