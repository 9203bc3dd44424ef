//! The low-latency packager over HTTP, by a clock that is moved by hand: what is held, what is refused, and what exists when.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod client;

use std::time::Duration;

use aes::{
    Aes128,
    cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7},
};
use client::{Answer, Client, dechunk, get};
use kithara_origin::{Clock, Logged, Origin, Packager, Published, Recording, Response, Rule, Site, fixtures_dir};

const PLAYLIST: &str = "/live/a/index.m3u8";

/// A stream of sound: five segments of a second, each with five parts of 192 ms and a short one.
struct Stage {
    origin: Origin,
    clock: Clock,
    packager: Packager,
}

impl Stage {
    fn new(change: impl FnOnce(Packager) -> Packager) -> Self {
        Self::with(change, |site| site)
    }

    /// A packager as `change` makes it, whose first playlist was asked for just now.
    fn with(change: impl FnOnce(Packager) -> Packager, site: impl FnOnce(Site) -> Site) -> Self {
        let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8")).unwrap();
        let packager = change(Packager::new(ms(200)).start(1).rendition("a/index.m3u8", &sound));
        let clock = Clock::manual();
        clock.advance(ms(12_345));
        let origin = Origin::start(site(Site::new().low_latency("/live", &packager).clock(clock.clone()))).unwrap();
        let stage = Self { origin, clock, packager };
        assert_eq!(stage.get(PLAYLIST).status(), 200);
        assert_eq!(stage.packager.begun(), Some(ms(12_345)));
        stage
    }

    fn get(&self, target: &str) -> Answer {
        get(&self.origin, target, "")
    }

    fn status(&self, target: &str) -> u16 {
        self.get(target).status()
    }

    fn playlist(&self, query: &str) -> String {
        let answer = self.get(&format!("{PLAYLIST}{query}"));
        assert_eq!(answer.status(), 200, "{query}");
        answer.text().to_owned()
    }

    /// Moves the clock so far from the beginning.
    fn advance_to(&self, at: Duration) {
        let now = self.clock.elapsed() - self.packager.begun().unwrap();
        self.clock.advance(at.checked_sub(now).unwrap());
    }

    /// When the part is published, and where it lies.
    fn part(&self, msn: u64, part: usize) -> Published {
        let schedule = self.packager.schedule("a/index.m3u8");
        schedule.into_iter().find(|published| (published.msn, published.part) == (msn, part)).unwrap()
    }

    fn part_bytes(&self, msn: u64, part: usize) -> Vec<u8> {
        self.packager.content("a/index.m3u8")[self.part(msn, part).bytes].to_vec()
    }

    fn segment_bytes(&self, msn: u64) -> Vec<u8> {
        (0..6).flat_map(|part| self.part_bytes(msn, part)).collect()
    }

    /// Sends a request on a connection of its own, and waits until it is held.
    async fn held(&self, target: &str, fields: &str) -> Client {
        let client = self.sent(target, fields);
        self.logged(target, |entry| entry.is_held).await;
        client
    }

    fn sent(&self, target: &str, fields: &str) -> Client {
        let mut client = Client::connect(&self.origin);
        client.send(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n"));
        client
    }

    /// Waits until the log has such an entry.
    async fn logged(&self, target: &str, mut wanted: impl FnMut(&Logged) -> bool) {
        let mut found = |origin: &Origin| origin.log().iter().any(|entry| entry.target == target && wanted(entry));
        self.origin.until(&mut found).await;
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[tokio::test]
async fn a_request_for_the_hinted_part_is_held_until_the_part_is_published() {
    let stage = Stage::new(|packager| packager);
    let text = stage.playlist("");
    assert!(text.ends_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg1.0.m4s\"\n"), "{text}");
    let mut hinted = stage.held("/live/a/seg1.0.m4s", "").await;
    assert_eq!(stage.status("/live/a/seg1.1.m4s"), 404, "it is not hinted");
    stage.advance_to(stage.part(1, 0).at - ms(1));
    assert!(stage.origin.requests_of("/live/a/seg1.0.m4s")[0].ended.is_none());
    stage.advance_to(stage.part(1, 0).at);
    let answer = hinted.read(true);
    assert_eq!((answer.status(), answer.body), (200, stage.part_bytes(1, 0)));
    let entry = &stage.origin.requests_of("/live/a/seg1.0.m4s")[0];
    assert!(entry.is_held && entry.status == 200, "{entry:?}");
    assert_eq!(stage.status("/live/a/seg1.m4s"), 404, "a segment is there with its last part");
    stage.advance_to(stage.part(1, 5).at);
    assert_eq!(stage.get("/live/a/seg1.m4s").body, stage.segment_bytes(1));
}

#[test]
fn any_moment_has_a_part_and_a_date() {
    let stage = Stage::new(Packager::looped);
    let (packager, path) = (&stage.packager, "a/index.m3u8");
    let part = stage.part(2, 3);
    assert_eq!(packager.published_at(path, part.start), Some(part.at));
    assert_eq!(packager.published_at(path, part.start + packager.length(path)), Some(part.at + packager.length(path)));
    assert_eq!(packager.published_at(path, Duration::ZERO), Some(Duration::ZERO), "it was there at the beginning");
    let begun = stage.clock.wall();
    assert_eq!(packager.media_at(begun), Some(packager.history()));
    assert_eq!(packager.media_at(begun - ms(1500)), None);
}

#[test]
fn parts_and_segments_are_the_recording() {
    let stage = Stage::new(|packager| packager);
    stage.advance_to(ms(60_000));
    let mut all = stage.get("/live/a/init.mp4").body;
    for msn in 0..5 {
        all.extend(stage.get(&format!("/live/a/seg{msn}.m4s")).body);
    }
    assert_eq!(all, stage.packager.content("a/index.m3u8"));
    let schedule = stage.packager.schedule("a/index.m3u8");
    assert_eq!(schedule.last().unwrap().bytes.end, all.len());
    let last = stage.get("/live/a/seg4.2.m4s");
    assert_eq!((last.status(), &last.body[4..8], last.header("content-type")), (200, &b"moof"[..], Some("video/mp4")));
    assert!(stage.playlist("").ends_with("seg4.m4s\n#EXT-X-ENDLIST\n"));
}

#[tokio::test]
async fn a_reload_is_held_until_the_playlist_lists_what_it_asks_for() {
    let stage = Stage::new(|packager| packager);
    let part = format!("{PLAYLIST}?_HLS_msn=1&_HLS_part=1");
    let segment = format!("{PLAYLIST}?_HLS_msn=1");
    let (mut for_part, mut for_segment) = (stage.held(&part, "").await, stage.held(&segment, "").await);
    stage.advance_to(stage.part(1, 0).at);
    assert!(stage.origin.log().iter().filter(|entry| entry.is_held).all(|entry| entry.ended.is_none()));
    stage.advance_to(stage.part(1, 1).at);
    let text = for_part.read(true).text().to_owned();
    assert!(text.contains("seg1.1.m4s\",INDEPENDENT") && text.ends_with("seg1.2.m4s\"\n"), "{text}");
    stage.advance_to(stage.part(1, 5).at);
    assert!(for_segment.read(true).text().contains("\nseg1.m4s\n"));
    // What is listed is not waited for, and neither is a part behind the last one of a segment that is listed.
    assert_eq!(stage.playlist("?_HLS_msn=0&_HLS_part=3"), stage.playlist(""));
    let next = format!("{PLAYLIST}?_HLS_msn=1&_HLS_part=6");
    let mut for_next = stage.held(&next, "").await;
    stage.advance_to(stage.part(2, 0).at);
    assert!(for_next.read(true).text().contains("seg2.0.m4s\",INDEPENDENT"));
}

#[test]
fn reloads_too_far_ahead_are_refused_until_the_stream_has_ended() {
    let stage = Stage::new(|packager| packager);
    for query in ["_HLS_msn=3", "_HLS_msn=1&_HLS_part=16", "_HLS_part=0", "_HLS_msn=x"] {
        assert_eq!(stage.status(&format!("{PLAYLIST}?{query}")), 400, "{query}");
    }
    stage.advance_to(ms(10_000));
    assert!(stage.playlist("?_HLS_msn=99&_HLS_skip=YES").ends_with("#EXT-X-ENDLIST\n"));
}

#[tokio::test]
async fn a_reload_that_waited_for_three_target_durations_gets_503() {
    let stage = Stage::new(|packager| packager.stale(ms(100), ms(60_000)));
    stage.advance_to(ms(500));
    let mut waiting = stage.held(&format!("{PLAYLIST}?_HLS_msn=1&_HLS_part=0"), "").await;
    stage.advance_to(ms(3499));
    assert!(stage.origin.log().last().unwrap().ended.is_none());
    stage.advance_to(ms(3500));
    assert_eq!(waiting.read(true).status(), 503);
    stage.advance_to(ms(60_100));
    assert!(stage.playlist("").ends_with("#EXT-X-ENDLIST\n"), "it catches up");
}

#[tokio::test]
async fn a_reload_that_waits_when_the_stream_ends_gets_the_last_playlist() {
    let stage = Stage::new(|packager| packager);
    stage.advance_to(stage.part(4, 3).at);
    let mut waiting = stage.held(&format!("{PLAYLIST}?_HLS_msn=5&_HLS_part=1"), "").await;
    stage.advance_to(stage.part(4, 4).at - ms(1));
    assert!(stage.origin.log().last().unwrap().ended.is_none());
    stage.advance_to(stage.part(4, 4).at);
    assert!(waiting.read(true).text().ends_with("#EXT-X-ENDLIST\n"));
}

#[test]
fn a_server_that_cannot_hold_or_skip_answers_at_once_and_in_full() {
    let stage = Stage::new(|packager| packager.looped().without_blocking().without_skipping());
    stage.advance_to(ms(10_000));
    let text = stage.playlist("?_HLS_msn=99&_HLS_part=99&_HLS_skip=YES");
    assert_eq!(text, stage.playlist(""));
    assert!(!text.contains("EXT-X-SKIP") && !text.contains("CAN-"), "{text}");
}

#[test]
fn a_delta_says_how_many_segments_it_leaves_out() {
    let stage = Stage::new(Packager::looped);
    stage.advance_to(ms(10_000));
    let (full, delta) = (stage.playlist(""), stage.playlist("?_HLS_skip=YES"));
    let segments = |text: &str| text.matches("#EXTINF").count();
    let skipped =
        delta.split("SKIPPED-SEGMENTS=").nth(1).unwrap().split('\n').next().unwrap().parse::<usize>().unwrap();
    assert_eq!((skipped, segments(&delta)), (4, segments(&full) - 4), "{delta}");
    assert!(full.ends_with(delta.split_once(&format!("SEGMENTS={skipped}\n")).unwrap().1));
}

#[test]
fn parts_go_three_target_durations_after_their_tags_and_segments_after_the_window() {
    let stage = Stage::new(|packager| packager.looped().window(4));
    let published = |end: u64| ms(end) - ms(1003);
    // Segment 0 ends at 1003 ms; its parts are listed until three seconds later, and can be had for three more.
    for (at, status) in [(1003 + 3000, 200), (1003 + 6000 - 200, 200), (1003 + 6000 + 200, 404)] {
        stage.advance_to(published(at));
        assert_eq!(stage.status("/live/a/seg0.0.m4s"), status, "at {at}");
    }
    assert!(!stage.playlist("").contains("seg0.m4s"));
    assert_eq!(stage.status("/live/a/seg0.m4s"), 404);
    assert_eq!(stage.status("/live/a/seg3.m4s"), 200);
    let stage = Stage::new(|packager| packager.looped().window(8));
    stage.advance_to(published(1003 + 6200));
    assert_eq!((stage.status("/live/a/seg0.0.m4s"), stage.status("/live/a/seg0.m4s")), (404, 200));
}

#[tokio::test]
async fn a_range_without_end_is_sent_part_by_part_until_the_segment_is_whole() {
    let stage = Stage::new(Packager::by_range);
    let text = stage.playlist("");
    assert!(text.ends_with("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"seg1.m4s\",BYTERANGE-START=0\n"), "{text}");
    let mut growing = stage.sent("/live/a/seg1.m4s", "Range: bytes=0-9007199254740991\r\n");
    let mut sent = 0;
    for part in 0..6 {
        let published = stage.part(1, part);
        stage.advance_to(published.at);
        sent += published.bytes.len() as u64;
        stage.logged("/live/a/seg1.m4s", |entry| entry.bytes_sent >= sent).await;
        assert_eq!(stage.origin.log().last().unwrap().bytes_sent, sent, "part {part} and no more");
    }
    let answer = growing.read(true);
    assert_eq!((answer.status(), answer.header("content-range")), (206, Some("bytes 0-9007199254740991/*")));
    assert_eq!(dechunk(&answer.body), (stage.segment_bytes(1), true));
}

#[tokio::test]
async fn a_range_is_held_until_its_last_byte_is_there_and_an_open_one_until_its_first() {
    let stage = Stage::new(Packager::by_range);
    let (first, second) = (stage.part_bytes(1, 0), stage.part_bytes(1, 1));
    let last = first.len() + second.len() - 1;
    let mut both = stage.held("/live/a/seg1.m4s", &format!("Range: bytes=0-{last}\r\n")).await;
    stage.advance_to(stage.part(1, 0).at);
    let open = get(&stage.origin, "/live/a/seg1.m4s", "Range: bytes=4-");
    assert_eq!(open.header("content-range"), Some(format!("bytes 4-{}/*", first.len() - 1).as_str()));
    assert_eq!(open.body, first[4..]);
    assert_eq!(stage.status("/live/a/seg1.0.m4s"), 404, "parts are no resources of their own");
    stage.advance_to(stage.part(1, 1).at);
    let answer = both.read(true);
    assert_eq!((answer.status(), answer.body), (206, [first, second].concat()));
    stage.advance_to(stage.part(1, 5).at);
    let whole = stage.segment_bytes(1);
    let rest = get(&stage.origin, "/live/a/seg1.m4s", "Range: bytes=10-9007199254740991");
    let range = format!("bytes 10-{}/{}", whole.len() - 1, whole.len());
    assert_eq!((rest.header("content-range"), &rest.body[..]), (Some(range.as_str()), &whole[10..]));
}

#[tokio::test]
async fn a_trickled_part_comes_as_it_is_recorded() {
    let stage = Stage::new(Packager::trickled);
    let mut part = stage.sent("/live/a/seg1.0.m4s", "");
    let mut segment = stage.sent("/live/a/seg1.m4s", "");
    for path in ["/live/a/seg1.0.m4s", "/live/a/seg1.m4s"] {
        stage.logged(path, |entry| entry.status == 200).await;
    }
    let bytes = stage.part_bytes(1, 0);
    stage.advance_to(stage.part(1, 0).at / 2);
    let half = bytes.len() as u64 / 2;
    stage.logged("/live/a/seg1.0.m4s", |entry| entry.bytes_sent >= half).await;
    assert_eq!(stage.origin.requests_of("/live/a/seg1.0.m4s")[0].bytes_sent, half);
    stage.advance_to(stage.part(1, 5).at);
    let answer = part.read(true);
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    assert_eq!(dechunk(&answer.body), (bytes, true));
    assert_eq!(dechunk(&segment.read(true).body), (stage.segment_bytes(1), true));
    let late = stage.get("/live/a/seg1.0.m4s");
    assert_eq!((late.header("transfer-encoding"), late.body.len()), (None, stage.part(1, 0).bytes.len()));
}

#[test]
fn encrypted_parts_are_slices_of_the_encrypted_segment() {
    let key = *b"0123456789abcdef";
    let stage = Stage::new(|packager| packager.encrypted("/key.bin", key));
    let text = stage.playlist("");
    assert!(text.contains("#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/key.bin\"\n"), "{text}");
    stage.advance_to(ms(4000));
    let parts: Vec<_> = (0..6).map(|part| stage.get(&format!("/live/a/seg3.{part}.m4s")).body).collect();
    assert!(parts.iter().all(|part| part.len() % 16 == 0 && !part.is_empty()));
    let segment = stage.get("/live/a/seg3.m4s").body;
    assert_eq!(parts.concat(), segment);
    let cipher = cbc::Decryptor::<Aes128>::new(&key.into(), &3_u128.to_be_bytes().into());
    assert_eq!(cipher.decrypt_padded_vec::<Pkcs7>(&segment).unwrap(), stage.segment_bytes(3));
}

#[test]
fn a_cache_serves_old_playlists_and_says_how_old_they_are() {
    let stage = Stage::new(|packager| packager.looped().cached(ms(5000)));
    let fresh = stage.playlist("");
    for (at, age) in [(999, "0"), (4999, "4"), (5000, "0"), (7500, "2")] {
        stage.advance_to(ms(at));
        let answer = stage.get(PLAYLIST);
        assert_eq!(answer.header("age"), Some(age), "after {at} ms");
        assert_eq!(answer.text() == fresh, at < 5000, "after {at} ms");
    }
    // What is asked for by directives is as old as what it asks for.
    let answer = stage.get(&format!("{PLAYLIST}?_HLS_msn=4&_HLS_part=0"));
    let age = ms(7500) - stage.part(4, 0).at;
    assert_eq!(answer.header("age"), Some(age.as_secs().to_string().as_str()));
    assert!(answer.text().ends_with("seg4.1.m4s\"\n"), "{}", answer.text());
    assert_eq!(Stage::new(|packager| packager).get(PLAYLIST).header("age"), None);
}

#[tokio::test]
async fn lost_parts_and_plans_that_changed_are_404_when_that_is_known() {
    let stage = Stage::new(|packager| packager.gap(1, 1).replanned(1, 2));
    stage.advance_to(stage.part(1, 0).at);
    let mut lost = stage.held("/live/a/seg1.1.m4s", "").await;
    stage.advance_to(stage.part(1, 1).at);
    assert_eq!(lost.read(true).status(), 404);
    let text = stage.playlist("");
    assert!(text.contains("seg1.1.m4s\",INDEPENDENT=YES,GAP=YES") && text.ends_with("plan1.2.m4s\"\n"), "{text}");
    assert_eq!(stage.status("/live/a/seg1.2.m4s"), 404, "another one was hinted");
    let mut planned = stage.held("/live/a/plan1.2.m4s", "").await;
    stage.advance_to(stage.part(1, 2).at);
    assert_eq!(planned.read(true).status(), 404);
    assert_eq!(stage.get("/live/a/seg1.2.m4s").body, stage.part_bytes(1, 2));
    stage.advance_to(stage.part(1, 5).at);
    assert_eq!(stage.get("/live/a/seg1.m4s").body, stage.segment_bytes(1), "the segment is whole in the end");
}

#[test]
fn faults_are_played_on_what_would_be_held() {
    let busy = Rule::on("seg1.0").first(1).then(Response::new(503));
    let stage = Stage::with(|packager| packager, |site| site.rule(busy));
    assert_eq!(stage.status("/live/a/seg1.0.m4s"), 503);
    stage.advance_to(stage.part(1, 0).at);
    assert_eq!(stage.status("/live/a/seg1.0.m4s"), 200);
}

#[tokio::test]
async fn a_client_that_leaves_is_not_waited_for() {
    let stage = Stage::new(|packager| packager);
    let waiting = stage.held("/live/a/seg1.0.m4s", "").await;
    drop(waiting);
    stage.origin.until(|origin| origin.connections().open == 0).await;
}

/// The decode time of the first fragment.
fn decode_time(segment: &[u8]) -> u64 {
    let at = segment.windows(4).position(|four| four == b"tfdt").unwrap();
    u64::from_be_bytes(segment[at + 8..at + 16].try_into().unwrap())
}

#[test]
fn time_goes_on_from_lap_to_lap() {
    let stage = Stage::new(|packager| packager.looped().start(5));
    stage.advance_to(ms(6000));
    let (first, again) = (stage.get("/live/a/seg2.m4s").body, stage.get("/live/a/seg7.m4s").body);
    let lap = decode_time(&again) - decode_time(&first);
    let media: u64 =
        [1.002_667_f64, 1.002_667, 1.002_667, 1.002_667, 0.910_667].iter().map(|s| (s * 48_000.0).round() as u64).sum();
    assert_eq!(lap, media);
    assert!(!stage.playlist("").contains("DISCONTINUITY"));
}

#[test]
fn a_presentation_is_published_with_its_renditions_in_step() {
    let packager = Packager::new(ms(200)).presentation(fixtures_dir().join("av_master/master.m3u8")).unwrap();
    let clock = Clock::manual();
    let origin = Origin::start(Site::new().low_latency("/", &packager).clock(clock.clone())).unwrap();
    let master = get(&origin, "/master.m3u8", "").text().to_owned();
    assert!(master.contains("AUDIO=\"audio\"\nvideo/index.m3u8\n"), "{master}");
    assert!(!master.contains("SUBTITLES") && !master.contains("I-FRAME"), "{master}");
    assert_eq!(get(&origin, "/video/index.m3u8", "").status(), 200);
    clock.advance(ms(450));
    for (path, reports) in [
        ("/video/index.m3u8", ["../audio_en/index.m3u8", "../audio_de/index.m3u8"]),
        ("/audio_de/index.m3u8", ["../audio_en/index.m3u8", "../video/index.m3u8"]),
    ] {
        let text = get(&origin, path, "").text().to_owned();
        for report in reports {
            let line = format!("#EXT-X-RENDITION-REPORT:URI=\"{report}\",LAST-MSN=3,LAST-PART=1\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
    let sound = get(&origin, "/audio_en/seg3.1.m4s", "");
    assert_eq!((sound.status(), &sound.body[4..8]), (200, &b"moof"[..]));
}

#[test]
fn transport_streams_are_published_too() {
    let video = Recording::open(fixtures_dir().join("ts_av/index.m3u8")).unwrap();
    let packager = Packager::new(ms(250)).start(1).rendition("index.m3u8", &video).by_range();
    let clock = Clock::manual();
    let origin = Origin::start(Site::new().low_latency("/ts", &packager).clock(clock.clone())).unwrap();
    let text = get(&origin, "/ts/index.m3u8", "").text().to_owned();
    assert!(
        text.contains("#EXT-X-PART:DURATION=0.200000,URI=\"seg0.ts\",BYTERANGE=\"1316@0\",INDEPENDENT=YES\n"),
        "{text}"
    );
    assert!(text.contains("PART-TARGET=0.200000\n"), "as long as the parts are: {text}");
    clock.advance(ms(60_000));
    let files = (0..5).flat_map(|index| std::fs::read(fixtures_dir().join(format!("ts_av/seg{index}.ts"))).unwrap());
    assert_eq!(packager.content("index.m3u8"), files.collect::<Vec<_>>());
    assert_eq!(get(&origin, "/ts/seg4.ts", "").body, std::fs::read(fixtures_dir().join("ts_av/seg4.ts")).unwrap());
}

#[test]
fn media_that_cannot_be_cut_are_refused_with_a_reason() {
    for (path, reason) in [
        ("fmp4_aes/index.m3u8", "encrypted"),
        ("fmp4_byterange/index.m3u8", "byte ranges"),
        ("fmp4_discontinuity/index.m3u8", "several initialization sections"),
        ("adts/index.m3u8", "no transport stream"),
        ("none.m3u8", "cannot read"),
    ] {
        let error = Recording::open(fixtures_dir().join(path)).unwrap_err().to_string();
        assert!(error.contains(reason), "{path}: {error}");
    }
}
