//! Subtitles, timed metadata and date ranges on one timeline.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "all of this is a test, its helpers too")]

use std::time::Duration;

use bytes::Bytes;
use kithara::{
    metadata::{
        Assets, Crossing, Extent, Metadata, TimedEvent,
        demux::{Container, DemuxOptions, Demuxer, Run, Timestamp},
    },
    playlist::{MediaPlaylist, ParseOptions, Playlist, parse},
};
use url::Url;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Feeds units of one run; each begins at a time.
fn feed(metadata: &mut Metadata, run: Run, units: &[(u64, Vec<u8>)]) {
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    demuxer.start_run(run);
    for (start, unit) in units {
        metadata.unit(ms(*start));
        demuxer.push(Bytes::copy_from_slice(unit));
        demuxer.end_unit();
        while let Some(output) = demuxer.poll() {
            metadata.output(&output.unwrap());
        }
    }
}

fn vtt(cues: &str) -> Vec<u8> {
    format!("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n{cues}").into_bytes()
}

/// Presentation time begins where media time is ten seconds.
fn text_run() -> Run {
    Run { offset: Timestamp::mpeg(-900_000), ..Run::new(Container::WebVtt) }
}

/// The cues: start, end and text, in order.
fn cues(metadata: &Metadata) -> Vec<(u64, u64, String)> {
    let all = metadata.between(Duration::ZERO..ms(3_600_000));
    all.filter_map(|entry| match (&entry.value, entry.extent) {
        (TimedEvent::Cue(cue), Extent::Until(end)) => {
            Some((entry.start.as_millis() as u64, end.as_millis() as u64, cue.text.clone()))
        }
        _ => None,
    })
    .collect()
}

#[test]
fn a_cue_repeated_in_each_segment_it_spans_is_one() {
    let mut metadata = Metadata::default();
    let spanning = "00:03.000 --> 00:06.000\nBoth\n";
    let units = [(0, vtt(spanning)), (4_000, vtt(&format!("{spanning}\n00:07.000 --> 00:07.500\nNext\n")))];
    feed(&mut metadata, text_run(), &units);
    assert_eq!(cues(&metadata), [(3_000, 6_000, "Both".to_owned()), (7_000, 7_500, "Next".to_owned())]);
    assert_eq!(metadata.active_at(ms(5_000)).len(), 1);
    assert!(metadata.active_at(ms(6_000)).is_empty());
}

#[test]
fn a_cue_cut_at_the_edge_of_segments_is_joined() {
    let mut metadata = Metadata::default();
    let units = [
        (0, vtt("00:03.000 --> 00:04.000\nLong\n")),
        (4_000, vtt("00:04.000 --> 00:08.000\nLong\n")),
        (8_000, vtt("00:08.000 --> 00:09.000\nLong\n\n00:09.000 --> 00:10.000\nLong\n")),
    ];
    feed(&mut metadata, text_run(), &units);
    assert_eq!(cues(&metadata), [(3_000, 9_000, "Long".to_owned()), (9_000, 10_000, "Long".to_owned())]);
}

#[test]
fn timed_text_documents_pass_as_they_are() {
    let mut metadata = Metadata::default();
    let document = b"<tt xmlns=\"http://www.w3.org/ns/ttml\"/>".to_vec();
    let run = Run { start: Some(Timestamp::mpeg(180_000)), ..Run::new(Container::Ttml) };
    feed(&mut metadata, run, &[(2_000, document.clone())]);
    let found: Vec<_> = metadata.between(ms(2_000)..ms(2_001)).collect();
    assert!(matches!(&found[..], [entry] if entry.value == TimedEvent::Document(document.clone().into())));
}

/// An ID3 tag with the media time of the first sample and a text.
fn id3(ticks: u64, text: &str) -> Vec<u8> {
    let frame = |id: &[u8; 4], body: &[u8]| [&id[..], &(body.len() as u32).to_be_bytes(), &[0, 0], body].concat();
    let owner = [&b"com.apple.streaming.transportStreamTimestamp\0"[..], &ticks.to_be_bytes()].concat();
    let text = [&[3][..], b"\0", text.as_bytes()].concat();
    let frames = [frame(b"PRIV", &owner), frame(b"TXXX", &text)].concat();
    [&b"ID3\x04\0\0"[..], &[0, 0, (frames.len() >> 7) as u8, (frames.len() & 0x7F) as u8], &frames].concat()
}

#[test]
fn tags_of_packed_audio_are_moments() {
    let mut metadata = Metadata::default();
    // One silent frame is enough of a body.
    let frame = [0xFF, 0xF1, 0x50, 0x80, 0x01, 0x1F, 0xFC, 0x21];
    let unit = |ticks, text| [id3(ticks, text), frame.to_vec()].concat();
    feed(&mut metadata, Run::new(Container::Adts), &[(0, unit(90_000, "one")), (0, unit(180_000, "two"))]);
    let starts: Vec<_> = metadata
        .between(Duration::ZERO..ms(10_000))
        .filter(|entry| matches!(entry.value, TimedEvent::Id3(_)) && entry.extent == Extent::Instant)
        .map(|entry| entry.start)
        .collect();
    assert_eq!(starts, [ms(1_000), ms(2_000)]);
}

/// An event message at a media time, in milliseconds.
fn emsg(time: u64, duration: u32) -> Vec<u8> {
    let numbers = [&1_000_u32.to_be_bytes()[..], &time.to_be_bytes(), &duration.to_be_bytes(), &9_u32.to_be_bytes()];
    let body = [&[1, 0, 0, 0][..], &numbers.concat(), b"urn:scheme\0value\0message"].concat();
    [&(body.len() as u32 + 8).to_be_bytes()[..], b"emsg", &body].concat()
}

#[test]
fn event_messages_of_fragments_are_held_once() {
    let fixture =
        |name: &str| std::fs::read(format!("{}/fixtures/fmp4_aac/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut metadata = Metadata::default();
    let run = Run { init: Some(fixture("init.mp4").into()), ..Run::new(Container::Fmp4) };
    let repeated = |segment: &str| [emsg(1_500, 500), fixture(segment)].concat();
    feed(&mut metadata, run, &[(0, repeated("seg0.m4s")), (0, repeated("seg1.m4s"))]);
    let all: Vec<_> = metadata.between(Duration::ZERO..ms(60_000)).collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].start, all[0].extent), (ms(1_500), Extent::Until(ms(2_000))));
    assert!(matches!(&all[0].value, TimedEvent::Message { id: 9, payload, .. } if payload == "message"));
}

fn base() -> Url {
    "https://example.com/live/index.m3u8".parse().unwrap()
}

fn playlist(ranges: &str) -> MediaPlaylist {
    let text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00Z\n#EXTINF:10,\na\n#EXTINF:10,\nb\n{ranges}"
    );
    match parse(text.as_bytes(), &base(), &ParseOptions::default()) {
        Ok(Playlist::Media(playlist)) => playlist,
        other => panic!("{other:?}"),
    }
}

fn range(id: &str, second: u32, more: &str) -> String {
    format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"2026-01-02T00:00:{second:02}Z\"{more}\n")
}

fn take(metadata: &mut Metadata, ranges: &str) {
    let playlist = playlist(ranges);
    let first = playlist.date_of(0).unwrap();
    metadata.playlist(&playlist, &base(), Duration::ZERO, |date| date.checked_since(first));
}

#[test]
fn date_ranges_and_interstitials_have_their_times() {
    let mut metadata = Metadata::default();
    let ad = ",CLASS=\"com.apple.hls.interstitial\",X-ASSET-LIST=\"ads.json\",DURATION=6,X-RESUME-OFFSET=0";
    take(&mut metadata, &(range("ad", 4, ad) + &range("open", 7, "") + &range("point", 8, ",DURATION=0")));
    let active = metadata.active_at(ms(5_000));
    let TimedEvent::Interstitial(interstitial) = &active[0].value else { panic!("{active:?}") };
    assert!(matches!(&interstitial.assets, Assets::List(url) if url.as_str() == "https://example.com/live/ads.json"));
    assert_eq!(metadata.active_at(ms(9_000)).len(), 2, "a range without an end goes on");
    assert_eq!(metadata.active_at(ms(11_000)).len(), 1);
    let met: Vec<bool> =
        metadata.crossings(ms(4_000)..ms(10_001)).iter().map(|it| matches!(it, Crossing::Enter(_))).collect();
    assert_eq!(met, [true, true, true, false]);
}

#[test]
fn an_update_ends_a_range_and_a_cancelled_one_goes() {
    let mut metadata = Metadata::default();
    take(&mut metadata, &(range("a", 4, "") + &range("b", 9, "")));
    take(&mut metadata, &(range("a", 4, "") + &range("a", 4, ",DURATION=2")));
    let all: Vec<_> = metadata.between(Duration::ZERO..ms(60_000)).collect();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].extent, Extent::Until(ms(6_000)));
}

#[test]
fn a_range_ends_where_the_next_of_its_class_begins() {
    let mut metadata = Metadata::default();
    let class = ",CLASS=\"c\",END-ON-NEXT=YES";
    take(&mut metadata, &(range("a", 2, class) + &range("other", 3, ",CLASS=\"d\"") + &range("b", 6, class)));
    let extents: Vec<_> = metadata.between(Duration::ZERO..ms(60_000)).map(|it| it.extent).collect();
    assert_eq!(extents, [Extent::Until(ms(6_000)), Extent::Open, Extent::Open]);
}
