//! Runs of packed audio.

use super::check;
use crate::frames::tests::{adts_frame, mp3_frame};
use crate::frames::xing::tests::info_frame;
use crate::id3::tests::{tag, timestamp_tag};
use crate::{Container, Run, Timestamp};

fn mp3(count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| mp3_frame()).collect()
}

#[test]
fn units_begin_at_the_time_in_their_tag() {
    let unit = |ticks| [timestamp_tag(ticks), adts_frame(50), adts_frame(60)].concat();
    let run = Run { offset: Timestamp::mpeg(-900_000), ..Run::new(Container::Adts) };
    check(
        &run,
        &[&unit(900_000), &unit(1_000_000)],
        &[
            "tracks 0 AAC",
            "id3 @0/90000 [88]",
            "tracks 0 AAC 48000x2",
            "0 @0 +1920 [50]",
            "0 @1920 +1920 [60]",
            "id3 @100000/90000 [88]",
            "0 @100000 +1920 [50]",
            "0 @101920 +1920 [60]",
        ],
    );
}

#[test]
fn units_without_a_time_follow_each_other_from_where_the_run_starts() {
    let unit = [adts_frame(50), adts_frame(60)].concat();
    let run = Run { start: Some(Timestamp::mpeg(500)), ..Run::new(Container::Adts) };
    check(
        &run,
        &[&unit, &unit],
        &[
            "tracks 0 AAC",
            "tracks 0 AAC 48000x2",
            "0 @500 +1920 [50]",
            "0 @2420 +1920 [60]",
            "0 @4340 +1920 [50]",
            "0 @6260 +1920 [60]",
        ],
    );
}

#[test]
fn the_frame_that_describes_a_file_is_no_sound_and_its_samples_are_trimmed() {
    let unit = [info_frame(3, 576, 1000), mp3(3)].concat();
    check(
        &Run::new(Container::Mp3),
        &[&unit],
        &[
            "tracks 0 MP3",
            "tracks 0 MP3 44100x2 1105/471",
            "0 @0 +2351 [417] trim 1105/0",
            "0 @2351 +2351 [417]",
            "0 @4702 +2351 [417] trim 0/471",
        ],
    );
}

#[test]
fn a_run_that_starts_in_the_middle_is_not_trimmed() {
    let unit = [info_frame(3, 576, 1000), mp3(1)].concat();
    let run = Run { start: Some(Timestamp::mpeg(90_000)), ..Run::new(Container::Mp3) };
    check(&run, &[&unit], &["tracks 0 MP3", "tracks 0 MP3 44100x2 1105/471", "0 @90000 +2351 [417]"]);
}

#[test]
fn a_note_by_itunes_is_trimmed_by() {
    let note = tag(&[(b"COMM", b"\0engiTunSMPB\0 00000000 00000500 00000100 0000000000000180")]);
    let unit = [note, adts_frame(5), adts_frame(6)].concat();
    check(
        &Run::new(Container::Adts),
        &[&unit],
        &[
            "tracks 0 AAC",
            "tracks 0 AAC 1280/256",
            "id3 @0/90000 [77]",
            "tracks 0 AAC 48000x2 1280/256",
            "0 @0 +1920 [5] trim 1024/0",
            "0 @1920 +1920 [6] trim 256/384",
        ],
    );
}

#[test]
fn junk_and_cut_frames_are_told() {
    let unit = [&b"junk"[..], &mp3(2), &mp3_frame()[..100]].concat();
    check(
        &Run::new(Container::Mp3),
        &[&unit, &mp3(1)],
        &[
            "tracks 0 MP3",
            "damage Junk 0 [4]",
            "tracks 0 MP3 44100x2",
            "0 @0 +2351 [417]",
            "0 @2351 +2351 [417]",
            "damage Cut 0 [100]",
            "0 @4702 +2351 [417]",
        ],
    );
}

#[test]
fn whole_file_formats_are_not_demuxed_here() {
    check(&Run::new(Container::Wav), &[b"RIFF"], &["error not a segment format"]);
}
