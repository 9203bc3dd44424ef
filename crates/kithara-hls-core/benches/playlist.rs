//! Playlists of 10,000 segments: the first parse beside other parsers, and a reload with one new segment.
//!
//! The work is not the same. `quick-m3u8` reads lines and keeps none; we check and resolve what they mean and keep a
//! snapshot; `m3u8-rs` keeps a model too.

#![allow(missing_docs)]

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kithara_hls_core::playlist::{MediaPlaylist, ParseOptions, Playlist, parse};
use quick_m3u8::{Reader, config::ParsingOptions};
use url::Url;

const SEGMENTS: usize = 10_000;

/// What most playlists are: durations and names.
fn plain(first: usize, count: usize) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for at in first..first + count {
        writeln!(text, "#EXTINF:9.00{},\nsegment_{at:05}.ts", at % 10).expect("a string takes all");
    }
    text
}

/// Nearly everything a segment can have: keys, sections, dates, rates, titles, byte ranges, date ranges, signed URLs.
fn rich(first: usize, count: usize) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        first.div_ceil(100)
    );
    for at in first..first + count {
        segment(&mut text, at, at == first).expect("a string takes all");
    }
    text
}

fn segment(text: &mut String, at: usize, is_first: bool) -> std::fmt::Result {
    if at.is_multiple_of(10) || is_first {
        let key = at / 10;
        writeln!(
            text,
            "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.com/k/{key}?token=abcdef\",IV=0x{key:032X}"
        )?;
    }
    if at.is_multiple_of(100) {
        writeln!(text, "#EXT-X-DISCONTINUITY")?;
    }
    if at.is_multiple_of(100) || is_first {
        writeln!(text, "#EXT-X-MAP:URI=\"init_{}.mp4\",BYTERANGE=\"720@0\"", at / 100)?;
    }
    if at.is_multiple_of(50) {
        writeln!(
            text,
            "#EXT-X-DATERANGE:ID=\"ad-{at}\",START-DATE=\"2026-01-01T00:00:00.000Z\",DURATION=30.0,X-AD=\"x\""
        )?;
    }
    let (hour, minute, second) = (at / 3600 % 24, at / 60 % 60, at % 60);
    writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T{hour:02}:{minute:02}:{second:02}.500Z")?;
    writeln!(text, "#EXT-X-BITRATE:{}\n#EXTINF:6.006,title {at}", 1000 + at % 100)?;
    writeln!(text, "#EXT-X-BYTERANGE:{}@{}", 100_000 + at, at * 200_000)?;
    writeln!(text, "https://cdn.example.com/path/to/media/segment_{:05}.m4s?sig=0123456789abcdef", at / 20)
}

fn base() -> Url {
    "https://cdn.example.com/a/b/c/index.m3u8?token=1".parse().expect("a URL")
}

fn snapshot(text: &str, previous: Option<&MediaPlaylist>) -> MediaPlaylist {
    let options = ParseOptions { previous, ..ParseOptions::default() };
    match parse(text.as_bytes(), &base(), &options) {
        Ok(Playlist::Media(playlist)) => playlist,
        other => unreachable!("a media playlist: {other:?}"),
    }
}

fn first_parse(criterion: &mut Criterion) {
    for (name, text) in [("plain", plain(0, SEGMENTS)), ("rich", rich(0, SEGMENTS))] {
        let mut group = criterion.benchmark_group(format!("first parse, {name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("kithara", |bencher| bencher.iter(|| snapshot(black_box(&text), None)));
        group.bench_function("quick-m3u8", |bencher| {
            bencher.iter(|| {
                let mut reader = Reader::from_str(black_box(&text), ParsingOptions::default());
                let mut lines = 0;
                while let Ok(Some(line)) = reader.read_line() {
                    black_box(&line);
                    lines += 1;
                }
                lines
            });
        });
        group.bench_function("m3u8-rs", |bencher| {
            bencher.iter(|| m3u8_rs::parse_media_playlist_res(black_box(text.as_bytes())).map(|it| it.segments.len()));
        });
        group.finish();
    }
}

fn reload(criterion: &mut Criterion) {
    type Text = fn(usize, usize) -> String;
    for (name, text) in [("plain", plain as Text), ("rich", rich as Text)] {
        let previous = snapshot(&text(0, SEGMENTS), None);
        let mut group = criterion.benchmark_group(format!("reload, {name}"));
        for (change, text) in
            [("one segment more", text(0, SEGMENTS + 1)), ("the window slid by one", text(1, SEGMENTS))]
        {
            group.bench_function(change, |bencher| bencher.iter(|| snapshot(black_box(&text), Some(&previous))));
        }
        group.finish();
    }
}

criterion_group!(benches, first_parse, reload);
criterion_main!(benches);
