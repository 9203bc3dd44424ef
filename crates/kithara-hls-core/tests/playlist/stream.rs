//! A live stream whose playlists can be written for any window, in full or as a delta update.

use std::fmt::Write;
use std::ops::Range;

use proptest::prelude::*;

/// What is special about a segment.
#[derive(Clone, Debug, Default)]
pub struct Features {
    pub millis: u32,
    /// The key from this segment on; 0 for none.
    pub key: Option<u8>,
    pub map: Option<u8>,
    pub bitrate: Option<u16>,
    pub discontinuity: bool,
    pub date: bool,
    pub gap: bool,
    pub title: bool,
    pub byte_range: bool,
    pub implied_offset: bool,
    pub date_range: bool,
    /// Whether its date range says of the duration something else than others of the same ID.
    pub other_duration: bool,
    /// Whether a line of it breaks a rule.
    pub broken: bool,
    pub unknown: bool,
    pub absolute: bool,
    pub parts: u8,
}

pub fn features() -> impl Strategy<Value = Features> {
    let rare = || prop::bool::weighted(0.1);
    let switches = (rare(), rare(), rare(), rare(), rare(), rare(), rare(), rare(), rare());
    let faults = (any::<bool>(), prop::bool::weighted(0.05));
    let values = (1..9000u32, prop::option::weighted(0.05, 0..3u8), prop::option::weighted(0.05, 0..3u8));
    (values, prop::option::weighted(0.05, 1..900u16), switches, faults, 0..3u8).prop_map(
        |(values, bitrate, switches, (other_duration, broken), parts)| {
            let (millis, key, map) = values;
            let (discontinuity, date, gap, title, byte_range, implied_offset, date_range, unknown, absolute) = switches;
            Features {
                millis,
                key,
                map,
                bitrate,
                discontinuity,
                date,
                gap,
                title,
                byte_range: byte_range || implied_offset,
                implied_offset,
                date_range,
                other_duration,
                broken,
                unknown,
                absolute,
                parts,
            }
        },
    )
}

/// The stream, and where its numbers begin.
#[derive(Clone, Debug)]
pub struct Stream {
    pub first: u64,
    /// EXT-X-VERSION, which may be too low.
    pub version: u8,
    pub segments: Vec<Features>,
}

pub fn stream(len: Range<usize>) -> impl Strategy<Value = Stream> {
    let segments = prop::collection::vec(features(), len);
    (0..1000u64, prop::sample::select(vec![1, 4, 9]), segments).prop_map(|(first, version, segments)| Stream {
        first,
        version,
        segments,
    })
}

/// Segments behind the last of a window that parts are listed of.
const WITH_PARTS: usize = 3;

impl Stream {
    /// The playlist whose segments are those of `window`.
    pub fn full(&self, window: Range<usize>) -> String {
        self.text(window, None)
    }

    /// A delta update of that playlist which leaves out the first `skipped` segments.
    pub fn delta(&self, window: Range<usize>, skipped: usize) -> String {
        self.text(window, Some(skipped))
    }

    fn text(&self, window: Range<usize>, skipped: Option<usize>) -> String {
        let mut text = format!("#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:9\n", self.version);
        writeln!(text, "#EXT-X-PART-INF:PART-TARGET=1").unwrap();
        let discontinuities = self.segments[..window.start].iter().filter(|it| it.discontinuity).count();
        let msn = self.first + window.start as u64;
        writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{msn}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}").unwrap();
        if let Some(skipped) = skipped {
            writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}").unwrap();
        } else {
            self.in_force(&mut text, window.start);
        }
        for at in window.start..window.start + skipped.unwrap_or(0) {
            if self.segments[at].date_range {
                self.date_range(&mut text, at);
            }
        }
        for at in window.start + skipped.unwrap_or(0)..window.end {
            self.segment(&mut text, at, at == window.start, at + WITH_PARTS >= window.end);
        }
        writeln!(text, "#EXT-X-PART:DURATION=1,URI=\"next.0.m4s\"").unwrap();
        text
    }

    /// Tags of earlier segments that still apply.
    fn in_force(&self, text: &mut String, at: usize) {
        let before = &self.segments[..at];
        if let Some(key) = before.iter().rev().find_map(|it| it.key) {
            write_key(text, key);
        }
        if let Some(map) = before.iter().rposition(|it| it.map.is_some()) {
            // The section was declared under the keys of its time: they stand before it, the present ones behind it.
            let keys = before[..=map].iter().rev().find_map(|it| it.key).unwrap_or(0);
            write_key(text, keys);
            write_map(text, before[map].map.unwrap());
            write_key(text, before.iter().rev().find_map(|it| it.key).unwrap_or(0));
        }
        if let Some(rate) = before.iter().rev().find_map(|it| it.bitrate) {
            writeln!(text, "#EXT-X-BITRATE:{rate}").unwrap();
        }
    }

    fn segment(&self, text: &mut String, at: usize, is_first: bool, with_parts: bool) {
        let it = &self.segments[at];
        if it.discontinuity {
            writeln!(text, "#EXT-X-DISCONTINUITY").unwrap();
        }
        if let Some(key) = it.key {
            write_key(text, key);
        }
        if let Some(map) = it.map {
            write_map(text, map);
        }
        if let Some(rate) = it.bitrate {
            writeln!(text, "#EXT-X-BITRATE:{rate}").unwrap();
        }
        if it.date {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z", at / 60 % 60, at % 60).unwrap();
        }
        if it.date_range {
            self.date_range(text, at);
        }
        if it.unknown && !is_first {
            writeln!(text, "#EXT-X-CUE-OUT:{at}").unwrap();
        }
        if with_parts {
            for part in 0..it.parts {
                writeln!(text, "#EXT-X-PART:DURATION=0.5,URI=\"{at}.{part}.m4s\"").unwrap();
            }
        }
        if it.broken {
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:about {at}").unwrap();
        }
        if it.gap {
            writeln!(text, "#EXT-X-GAP").unwrap();
        }
        let title = if it.title { "a title" } else { "" };
        writeln!(text, "#EXTINF:{}.{:03},{title}", it.millis / 1000, it.millis % 1000).unwrap();
        let continues = it.implied_offset && !is_first && self.segments[at - 1].byte_range;
        match (it.byte_range, continues) {
            (true, true) => writeln!(text, "#EXT-X-BYTERANGE:1000").unwrap(),
            (true, false) => writeln!(text, "#EXT-X-BYTERANGE:1000@{}", self.offset(at)).unwrap(),
            (false, _) => {}
        }
        let host = if it.absolute { "https://cdn.example.com/" } else { "" };
        writeln!(text, "{host}{at}.m4s").unwrap();
    }

    /// Where the range of a segment begins: implied offsets continue the ranges before them.
    fn offset(&self, at: usize) -> u64 {
        match at.checked_sub(1) {
            Some(before) if self.segments[at].implied_offset && self.segments[before].byte_range => {
                self.offset(before) + 1000
            }
            _ => 77,
        }
    }

    fn date_range(&self, text: &mut String, at: usize) {
        // Neighbours speak of one range, and some ranges break a rule: their violations have a line.
        let (id, start) =
            (at / 2, if (at / 2).is_multiple_of(3) { "" } else { ",START-DATE=\"2026-01-01T00:00:00Z\"" });
        let duration = 1 + u8::from(self.segments[at].other_duration);
        writeln!(text, "#EXT-X-DATERANGE:ID=\"{id}\"{start},DURATION={duration},X-{at}={at}").unwrap();
    }
}

fn write_key(text: &mut String, key: u8) {
    match key {
        0 => writeln!(text, "#EXT-X-KEY:METHOD=NONE").unwrap(),
        key => writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"k{key}\",IV=0x{key:032x}").unwrap(),
    }
}

fn write_map(text: &mut String, map: u8) {
    writeln!(text, "#EXT-X-MAP:URI=\"init{map}.mp4\",BYTERANGE=\"10@{map}\"").unwrap();
}
