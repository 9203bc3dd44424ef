//! Reloads: what is taken over from the snapshot before must not show.

use kithara_hls_core::playlist::{MediaPlaylist, ParseOptions, Playlist, parse};
use proptest::prelude::*;

use super::stream::{Features, Stream, stream};
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
            let text = stream.full(start..start + 200);
            previous = again(&text, &previous);
            same(&previous, &media(&text));
        }
    }

    #[test]
    fn a_window_that_slides_by_any_number_of_segments(
        stream in stream(500..600),
        len in 100..300usize,
        steps in prop::collection::vec((1..130usize, 0..20usize), 1..8),
    ) {
        let (mut start, mut end) = (0, len);
        let mut previous = media(&stream.full(start..end));
        for (left, added) in steps {
            (start, end) = ((start + left).min(end - 1), (end + added).min(stream.segments.len()));
            let text = stream.full(start..end);
            previous = again(&text, &previous);
            same(&previous, &media(&text));
        }
    }

    #[test]
    fn a_window_that_slides_while_updates_leave_out_what_is_known(
        stream in stream(400..500),
        steps in prop::collection::vec((1..9usize, any::<bool>()), 20..40),
    ) {
        let (mut start, mut end) = (0, 200);
        let mut previous = media(&stream.full(start..end));
        for (step, is_delta) in steps {
            (start, end) = (start + step, (end + step).min(stream.segments.len()));
            let text = stream.full(start..end);
            if is_delta {
                previous = again(&stream.delta(start..end, end - start - 40), &previous);
                super::delta::same(previous.clone(), media(&text));
            } else {
                previous = again(&text, &previous);
                same(&previous, &media(&text));
            }
        }
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
    Stream { first: 0, version: 9, segments: vec![Features { millis: 4000, ..Default::default() }; len] }
}

/// How many segments of `found` stand in the text of `previous`.
fn shared(found: &MediaPlaylist, previous: &MediaPlaylist) -> usize {
    let place = |playlist: &MediaPlaylist, msn| playlist.segments.by_msn(msn).map(|it| it.uri.as_str().as_ptr());
    found.segments.iter().filter(|it| place(found, it.msn) == place(previous, it.msn)).count()
}

#[test]
fn what_the_window_leaves_of_a_block_is_shared() {
    let stream = plain(400);
    let mut previous = media(&stream.full(0..300));
    for start in 1..256 {
        let found = again(&stream.full(start..300), &previous);
        // Not the first segment, which stands behind the header, nor the block at the end.
        assert_eq!(shared(&found, &previous), 255 - start, "from {start}");
        previous = found;
    }
}

#[test]
fn what_an_update_leaves_of_a_block_is_shared_with_the_playlists_after_it() {
    let stream = plain(400);
    let merged = again(&stream.delta(10..310, 290), &media(&stream.full(0..300)));
    assert_eq!(shared(&again(&stream.full(11..310), &merged), &merged), 255 - 11);
}

#[test]
fn what_a_window_left_needs_no_version() {
    let mut stream = Stream { version: 3, ..plain(300) };
    stream.segments[5].byte_range = true;
    stream.segments[9].byte_range = true;
    let previous = media(&stream.full(0..300));
    assert_eq!(previous.violations.len(), 2, "{:?}", previous.violations);
    let text = stream.full(6..300);
    same(&again(&text, &previous), &media(&text));
    let text = text.replace("VERSION:3", "VERSION:1");
    same(&again(&text, &previous), &media(&text));
    stream.version = 4;
    let (previous, text) = (media(&stream.full(0..300)), stream.full(6..300));
    assert_eq!(shared(&again(&text, &previous), &previous), 255 - 6);
}

#[test]
fn what_a_window_left_does_not_count_for_how_long_a_playlist_may_play() {
    let text = |long: usize, window| {
        let text = plain(300).full(window);
        text.replace(&format!("4.000,\n{long}.m4s"), &format!("9000000000,\n{long}.m4s"))
    };
    let (before, after) = (text(5, 0..299), text(299, 6..300));
    same(&again(&after, &media(&before)), &media(&after));
}

#[test]
fn a_date_range_contradicts_only_those_that_are_listed() {
    let mut stream = plain(300);
    for (at, other_duration) in [(10, false), (140, true)] {
        stream.segments[at] = Features { date_range: true, other_duration, ..stream.segments[at].clone() };
    }
    let text = |start| stream.full(start..300).replace("ID=\"70\"", "ID=\"5\"");
    let (all, rest) = (media(&text(0)), media(&text(11)));
    assert_eq!(all.violations.len(), rest.violations.len() + 1);
    same(&again(&text(11), &all), &rest);
    same(&again(&text(0), &rest), &all);
}

#[test]
fn another_part_target_matters_to_parts() {
    let text = |target: &str| {
        let text = plain(300).full(0..300).replace("PART-TARGET=1", &format!("PART-TARGET={target}"));
        text.replace("\n9.m4s\n", "\n9.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"p\"\n")
    };
    same(&again(&text("0.4"), &media(&text("1"))), &media(&text("0.4")));
}

#[test]
fn the_first_part_of_what_the_window_leaves_is_found() {
    let text = |start| {
        let text = plain(300).full(start..300).replace("#EXT-X-PART-INF:PART-TARGET=1\n", "");
        let part = |at: usize| (format!("\n{at}.m4s\n"), format!("\n{at}.m4s\n#EXT-X-PART:DURATION=1,URI=\"p\"\n"));
        [5, 9, 140].into_iter().map(part).fold(text, |text, (from, to)| text.replace(&from, &to))
    };
    let previous = media(&text(0));
    for start in [4, 6, 10, 128] {
        same(&again(&text(start), &previous), &media(&text(start)));
    }
}

#[test]
fn a_text_that_ends_with_a_block_has_its_last_line_there() {
    let text = |start| {
        let text = plain(256).full(start..256).replace("#EXT-X-TARGETDURATION:9\n", "");
        text.split("#EXT-X-PART:").next().unwrap().to_owned()
    };
    let previous = media(&text(0));
    for start in [0, 3] {
        same(&again(&text(start), &previous), &media(&text(start)));
    }
}

#[test]
fn other_line_ends_matter() {
    let lines = plain(300).full(0..300);
    let old_mac = lines.replace('\n', "\r");
    // The second segment begins a block that says no more than the first.
    let (head, rest) = old_mac.split_at(old_mac.find("0.m4s\r").unwrap() + 6);
    let mixed = format!("{}{rest}", head.replace('\r', "\n"));
    same(&again(&mixed, &media(&old_mac)), &media(&mixed));
    let cut = lines[..lines.find("127.m4s\n").unwrap() + 7].to_owned();
    let previous = media(&format!("{cut}\r"));
    let text = format!("{cut}\r\n{}", &lines[cut.len() + 1..]);
    same(&again(&text, &previous), &media(&text));
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
fn what_left_with_a_segment_matters_to_the_rest_of_its_block() {
    let rest = plain(300).full(5..300);
    let tags = ["KEY:METHOD=AES-128,URI=\"k\"", "MAP:URI=\"i\"", "BITRATE:900", "DISCONTINUITY"];
    for tag in tags {
        let all = plain(300).full(0..300).replace("\n2.m4s\n", &format!("\n2.m4s\n#EXT-X-{tag}\n"));
        same(&again(&rest, &media(&all)), &media(&rest));
    }
    let ranged = |text: &str, start: u32| {
        let text = text.replace("\n5.m4s", &format!("\n#EXT-X-BYTERANGE:10@{start}\n5.m4s"));
        text.replace("\n6.m4s", "\n#EXT-X-BYTERANGE:10\n6.m4s")
    };
    let previous = media(&ranged(&plain(300).full(0..300), 20));
    let found = again(&ranged(&rest, 50), &previous);
    assert_eq!(found.segments.get(1).unwrap().byte_range.map(|it| it.start), Some(60));
}

#[test]
fn a_date_that_left_dates_nothing() {
    let mut stream = plain(300);
    stream.segments[5].date = true;
    stream.segments[9].date_range = true;
    let previous = media(&stream.full(0..300));
    for start in [4, 6] {
        let text = stream.full(start..300);
        same(&again(&text, &previous), &media(&text));
    }
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
