//! Reloads: what is taken over from the snapshot before must not show.

use kithara_hls_core::playlist::{MediaPlaylist, ParseOptions, Playlist, parse};
use proptest::prelude::*;

use super::stream::{Stream, stream};
use super::{base, media};

pub fn again(text: &str, previous: &MediaPlaylist) -> MediaPlaylist {
    let options = ParseOptions { previous: Some(previous), ..ParseOptions::default() };
    match parse(text.as_bytes(), &base(), &options).unwrap() {
        Playlist::Media(playlist) => playlist,
        Playlist::Multivariant(_) => panic!("the same kind as before"),
    }
}

/// Equal, and also where it does not count for equality.
#[track_caller]
pub fn same(found: &MediaPlaylist, wanted: &MediaPlaylist) {
    assert_eq!(found, wanted);
    let lines = |playlist: &MediaPlaylist| -> Vec<u32> {
        let unknown = playlist.unknown.iter().map(|tag| tag.line.0);
        playlist.violations.iter().map(|violation| violation.line.0).chain(unknown).collect()
    };
    assert_eq!(lines(found), lines(wanted));
    assert_eq!(found.segments.duration(), wanted.segments.duration());
    for index in 0..=found.segments.len() {
        assert_eq!(found.segments.start(index), wanted.segments.start(index));
    }
}

fn windows(len: usize) -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0..len, 1..len), 2..6)
}

proptest! {
    #![proptest_config(super::cases(16))]

    #[test]
    fn any_window_after_any_other(stream in stream(300..400), windows in windows(300)) {
        let mut previous = media(&stream.full(0..1));
        for (start, len) in windows {
            let text = stream.full(start..(start + len).min(stream.segments.len()));
            previous = again(&text, &previous);
            same(&previous, &media(&text));
        }
    }

    #[test]
    fn a_sliding_window(stream in stream(300..400), step in 1..5usize) {
        let mut previous = media(&stream.full(0..200));
        for start in (0..stream.segments.len() - 200).step_by(step) {
            previous = again(&stream.full(start..start + 200), &previous);
        }
        let start = (stream.segments.len() - 201) / step * step;
        same(&previous, &media(&stream.full(start..start + 200)));
    }

    #[test]
    fn another_stream_with_the_same_numbers(one in stream(150..300), mut other in stream(150..300)) {
        other.first = one.first;
        let previous = media(&one.full(0..one.segments.len()));
        let text = other.full(0..other.segments.len());
        same(&again(&text, &previous), &media(&text));
    }
}

fn plain(len: usize) -> Stream {
    Stream { first: 0, segments: vec![super::stream::Features { millis: 4000, ..Default::default() }; len] }
}

#[test]
fn a_text_that_ends_within_a_line_is_not_taken_over() {
    let cut = plain(128).full(0..128);
    let cut = cut.split("#EXT-X-PART:DURATION").next().unwrap().trim_end();
    let previous = media(cut);
    assert_eq!(again(&format!("{cut}?x=1\n"), &previous).segments.get(127).unwrap().uri.as_str(), "127.m4s?x=1");
}

#[test]
fn another_key_before_the_same_text_matters() {
    let text = |key: &str| plain(300).full(0..300).replace("#EXTINF:4.000,\n0.m4s", &format!("{key}#EXTINF:4,\n0.m4s"));
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n";
    let previous = media(&text(""));
    assert_eq!(again(&text(key), &previous).segments.get(299).unwrap().keys.len(), 1);
}

#[test]
fn another_address_matters() {
    let text = plain(300).full(0..300);
    let previous = media(&text);
    let moved = url::Url::parse("https://cdn.example.com/index.m3u8").unwrap();
    let options = ParseOptions { previous: Some(&previous), ..ParseOptions::default() };
    let Ok(Playlist::Media(moved)) = parse(text.as_bytes(), &moved, &options) else { panic!("a media playlist") };
    assert_eq!(moved.segments.get(200).unwrap().uri.url().as_str(), "https://cdn.example.com/200.m4s");
}

#[test]
fn another_target_duration_matters_to_segments_that_do_not_tell_theirs() {
    let text = |target: &str| {
        let text = plain(300).full(0..300).replace("#EXTINF:4.000,\n", "");
        text.replace("TARGETDURATION:9", &format!("TARGETDURATION:{target}"))
    };
    let previous = media(&text("9"));
    assert_eq!(again(&text("5"), &previous).segments.get(299).unwrap().duration.as_secs(), 5);
}
