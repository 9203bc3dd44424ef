//! Subtitles of a session, as text with times.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

use std::time::Duration;

use kithara::{
    Hls, HlsOptions, Subtitles,
    metadata::{Extent, TimedEvent},
    options::SubtitleMode,
};
use kithara_origin::{Origin, Site, fixtures_dir};

const PATIENCE: Duration = Duration::from_secs(60);

/// The subtitles of a stream: start, end where it has one, and text, in milliseconds.
async fn read(origin: &Origin, path: &str) -> Vec<(u128, Option<u128>, String)> {
    let mut options = HlsOptions::default();
    options.playback.subtitles.mode = SubtitleMode::On;
    let session = Hls::session(&origin.url(path), options.into()).unwrap();
    let mut subtitles = Subtitles::open(&session).await.unwrap();
    let mut found = Vec::new();
    while let Some(entry) = tokio::time::timeout(PATIENCE, subtitles.next()).await.unwrap().unwrap() {
        let end = match entry.extent {
            Extent::Until(end) => Some(end.as_millis()),
            _ => None,
        };
        let text = match entry.value {
            TimedEvent::Cue(cue) => cue.text,
            TimedEvent::Document(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        found.push((entry.start.as_millis(), end, text));
    }
    assert_eq!(tokio::time::timeout(PATIENCE, subtitles.next()).await.unwrap().unwrap(), None, "the end stays");
    session.close().await;
    found
}

/// A stream whose subtitles are these segments of two seconds.
fn origin(name: &str, segments: &[&str]) -> Origin {
    origin_of(name, 2, segments)
}

/// The same with segments of so many seconds.
fn origin_of(name: &str, seconds: usize, segments: &[&str]) -> Origin {
    let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"E\",AUTOSELECT=YES,DEFAULT=YES,URI=\"s.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1000,CODECS=\"mp4a.40.2\",SUBTITLES=\"s\"\nfmp4_aac/index.m3u8\n";
    let listed: String = (0..segments.len()).map(|n| format!("#EXTINF:{seconds},\n{n}.{name}\n")).collect();
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{seconds}\n{listed}#EXT-X-ENDLIST\n");
    let site = Site::new().dir("/", fixtures_dir()).bytes("/m.m3u8", master).bytes("/s.m3u8", playlist);
    let site = segments
        .iter()
        .enumerate()
        .fold(site, |site, (n, text)| site.bytes(&format!("/{n}.{name}"), (*text).to_owned()));
    Origin::start(site).unwrap()
}

fn cue(start: u128, end: u128, text: &str) -> (u128, Option<u128>, String) {
    (start, Some(end), text.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cues_that_are_repeated_in_each_segment_are_told_once() {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).unwrap();
    let found = read(&origin, "/av_master/master.m3u8").await;
    let want = [cue(500, 1_500, "First cue"), cue(2_000, 3_500, "Across the boundary"), cue(4_000, 4_900, "Last cue")];
    assert_eq!(found, want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cues_that_are_cut_at_the_edges_of_segments_are_told_whole() {
    let segments = [
        "WEBVTT\n\n00:00.500 --> 00:01.000\nOne\n\n00:01.500 --> 00:02.000\nLong\n",
        "WEBVTT\n\n00:02.000 --> 00:04.000\nLong\n",
        "WEBVTT\n\n00:04.000 --> 00:04.500\nLong\n\n00:05.000 --> 00:06.000\nThe end\n",
    ];
    let found = read(&origin("vtt", &segments), "/m.m3u8").await;
    assert_eq!(found, [cue(500, 1_000, "One"), cue(1_500, 4_500, "Long"), cue(5_000, 6_000, "The end")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_of_timed_text_pass_as_they_are() {
    let document =
        |text: &str| format!("<?xml version=\"1.0\"?><tt xmlns=\"http://www.w3.org/ns/ttml\"><p>{text}</p></tt>");
    let (one, two) = (document("one"), document("two"));
    let found = read(&origin("ttml", &[&one, &two]), "/m.m3u8").await;
    assert_eq!(
        found.iter().map(|(start, _, text)| (*start, text.clone())).collect::<Vec<_>>(),
        [(0, one), (2_000, two)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_sought_goes_on_there() {
    let segments: Vec<String> =
        (0..5).map(|n| format!("WEBVTT\n\n00:0{}.000 --> 00:0{}.500\ncue {n}\n", n * 2, n * 2)).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let origin = origin("vtt", &segments);
    let session = Hls::session(&origin.url("/m.m3u8"), HlsOptions::default().into()).unwrap();
    let mut subtitles = Subtitles::open(&session).await.unwrap();
    assert_eq!(subtitles.next().await.unwrap().unwrap().start, Duration::ZERO);
    session.seek(Duration::from_secs(6)).await.unwrap();
    let mut starts = Vec::new();
    while let Some(entry) = tokio::time::timeout(PATIENCE, subtitles.next()).await.unwrap().unwrap() {
        starts.push(entry.start.as_secs());
    }
    assert_eq!(starts, [6, 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_again_after_a_seek_is_told_again() {
    let origin =
        origin("vtt", &["WEBVTT\n\n00:00.500 --> 00:01.000\nOne\n", "WEBVTT\n\n00:02.500 --> 00:03.000\nTwo\n"]);
    let session = Hls::session(&origin.url("/m.m3u8"), HlsOptions::default().into()).unwrap();
    let mut subtitles = Subtitles::open(&session).await.unwrap();
    let mut next =
        async || tokio::time::timeout(PATIENCE, subtitles.next()).await.unwrap().unwrap().unwrap().start.as_millis();
    assert_eq!(next().await, 500);
    session.seek(Duration::ZERO).await.unwrap();
    assert_eq!([next().await, next().await], [500, 2_500]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_text_of_a_whole_film_may_be_one_segment() {
    let text: String = (0..3_500)
        .map(|n| format!("00:{:02}:{:02}.000 --> 00:{:02}:{:02}.500\nline {n}\n\n", n / 60, n % 60, n / 60, n % 60))
        .collect();
    let found = read(&origin("vtt", &[&format!("WEBVTT\n\n{text}")]), "/m.m3u8").await;
    assert!(found.iter().map(|(start, ..)| *start).eq((0..3_500).map(|n| n * 1_000)), "{}", found.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_seeks_after_the_end_hears_what_is_there() {
    let origin =
        origin("vtt", &["WEBVTT\n\n00:00.500 --> 00:01.000\nOne\n", "WEBVTT\n\n00:02.500 --> 00:03.000\nTwo\n"]);
    let session = Hls::session(&origin.url("/m.m3u8"), HlsOptions::default().into()).unwrap();
    let mut subtitles = Subtitles::open(&session).await.unwrap();
    for _ in 0..2 {
        let mut starts = Vec::new();
        while let Some(entry) = tokio::time::timeout(PATIENCE, subtitles.next()).await.unwrap().unwrap() {
            starts.push(entry.start.as_millis());
        }
        assert_eq!(starts, [500, 2_500]);
        subtitles.seek(Duration::ZERO);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_long_ago_is_not_told_again_at_the_end() {
    let segments: Vec<String> =
        (0..5).map(|n| format!("WEBVTT\n\n00:{0:02}:01.000 --> 00:{0:02}:02.000\ncue {n}\n", n * 10)).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let found = read(&origin_of("vtt", 600, &segments), "/m.m3u8").await;
    let starts: Vec<u128> = found.iter().map(|(start, ..)| *start).collect();
    assert_eq!(starts, [1_000, 601_000, 1_201_000, 1_801_000, 2_401_000]);
}
