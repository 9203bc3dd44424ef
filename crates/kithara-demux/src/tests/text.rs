//! Runs of subtitles.

use super::{check, check_with};
use crate::{Container, DemuxOptions, Run, Timestamp};

#[test]
fn cues_are_placed_by_the_map_and_the_offset() {
    let unit = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:01.000\n\nSTYLE\n::cue {}\n\nid\n00:02.000 --> 00:03.500 line:0\nTwo\nlines\n";
    let run = Run { offset: Timestamp::mpeg(-810_000), ..Run::new(Container::WebVtt) };
    check(
        &run,
        &[unit.as_bytes(), b"WEBVTT\n\n00:00.500 --> 00:01.000\nx"],
        &[
            "tracks 0 WebVTT",
            "tracks 0 WebVTT",
            "0 @180000..315000 \"id\" \"line:0\" \"Two\\nlines\"",
            "tracks 0 WebVTT",
            "0 @-765000..-720000 \"\" \"\" \"x\"",
        ],
    );
}

#[test]
fn a_map_of_33_bits_wraps_like_every_clock() {
    let unit = b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90000,LOCAL:00:00:00.000\n\n00:01.000 --> 00:02.000\nx";
    let run =
        Run { offset: Timestamp::mpeg(-(1 << 33)), start: Some(Timestamp::mpeg(0)), ..Run::new(Container::WebVtt) };
    check(&run, &[unit], &["tracks 0 WebVTT", "tracks 0 WebVTT", "0 @180000..270000 \"\" \"\" \"x\""]);
}

#[test]
fn a_bare_document_is_one_packet_at_the_start_of_the_run() {
    let run = Run { start: Some(Timestamp::mpeg(900)), ..Run::new(Container::Ttml) };
    check(&run, &[b"<tt/>", b"", b"<tt></tt>"], &["tracks 0 TTML", "0 @900 [5]", "0 @900 [9]"]);
}

#[test]
fn a_document_too_large_is_passed_over() {
    let options = DemuxOptions { max_packet_len: 8, ..DemuxOptions::default() };
    check_with(
        &options,
        &Run::new(Container::Ttml),
        &[b"<tt>1234</tt>", b"<tt/>"],
        &["tracks 0 TTML", "damage TooLarge 0 [13]", "0 @0 [5]"],
    );
}
