//! Runs of packed audio.

use super::{check, check_with};
use crate::frames::tests::{adts_frame, mp3_frame};
use crate::frames::xing::tests::info_frame;
use crate::id3::tests::{tag, timestamp_tag};
use crate::{Container, DemuxOptions, Run, Timestamp};

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

/// A frame that borrows no bits.
fn first_mp3() -> Vec<u8> {
    let mut frame = mp3_frame();
    frame[4..6].fill(0);
    frame
}

#[test]
fn segments_cut_out_of_one_encoding_are_heard_whole_although_each_describes_itself() {
    let unit = |frames, delay, padding| [info_frame(frames, delay, padding), mp3(frames as usize)].concat();
    check(
        &Run::new(Container::Mp3),
        &[&unit(2, 576, 0), &unit(1, 0, 0), &unit(1, 3567, 792)],
        &[
            "tracks 0 MP3",
            "tracks 0 MP3 44100x2 1105/0",
            "0 @0 +2351 [417] trim 1105/0",
            "0 @2351 +2351 [417]",
            "0 @4702 +2351 [417]",
            "0 @7053 +2351 [417] trim 0/263",
        ],
    );
}

#[test]
fn segments_that_were_encoded_each_for_itself_are_trimmed_each_for_itself() {
    let unit = [info_frame(2, 576, 1000), first_mp3(), mp3_frame()].concat();
    check(
        &Run::new(Container::Mp3),
        &[&unit, &unit],
        &[
            "tracks 0 MP3",
            "tracks 0 MP3 44100x2 1105/471",
            "0 @0 +2351 [417] trim 1105/0",
            "0 @2351 +2351 [417] trim 0/471",
            "0 @4702 +2351 [417] trim 1105/0",
            "0 @7053 +2351 [417] trim 0/471",
        ],
    );
    // The same when one begins there.
    let run = Run { start: Some(Timestamp::mpeg(4702)), ..Run::new(Container::Mp3) };
    check(
        &run,
        &[&unit],
        &[
            "tracks 0 MP3",
            "tracks 0 MP3 44100x2 1105/471",
            "0 @4702 +2351 [417] trim 1105/0",
            "0 @7053 +2351 [417] trim 0/471",
        ],
    );
}

#[test]
fn what_a_note_does_not_tell_of_is_heard() {
    let frames = |want: &[&str]| {
        let head = ["tracks 0 MP3", "tracks 0 MP3 44100x2 1105/471", "0 @0 +2351 [417] trim 1105/0"];
        head.iter().chain(want).map(ToString::to_string).collect::<Vec<_>>()
    };
    let want = frames(&["0 @2351 +2351 [417] trim 0/471", "0 @4702 +2351 [417]", "0 @7053 +2351 [417]"]);
    let want: Vec<_> = want.iter().map(String::as_str).collect();
    // Behind the file that describes itself others follow that do not, in units of their own or not.
    let (first, more) = ([info_frame(2, 576, 1000), mp3(2)].concat(), mp3(2));
    check(&Run::new(Container::Mp3), &[&first, &more], &want);
    check(&Run::new(Container::Mp3), &[&[first, more].concat()], &want);
    // Of one file that is cut into units, the first one tells of all of them.
    let first = [info_frame(4, 576, 1000), mp3(2)].concat();
    let want = frames(&["0 @2351 +2351 [417]", "0 @4702 +2351 [417]", "0 @7053 +2351 [417] trim 0/471"]);
    let want: Vec<_> = want.iter().map(String::as_str).collect();
    check(&Run::new(Container::Mp3), &[&first, &mp3(2)], &want);
}

#[test]
fn a_note_by_itunes_in_every_unit_counts_in_the_first() {
    let note = tag(&[(b"COMM", b"\0engiTunSMPB\0 00000000 00000400 00000100 0000000000000300")]);
    let unit = [note, adts_frame(5), adts_frame(6)].concat();
    check(
        &Run::new(Container::Adts),
        &[&unit, &unit],
        &[
            "tracks 0 AAC",
            "tracks 0 AAC 1024/256",
            "id3 @0/90000 [77]",
            "tracks 0 AAC 48000x2 1024/256",
            "0 @0 +1920 [5] trim 1024/0",
            "0 @1920 +1920 [6] trim 0/256",
            "id3 @3840/90000 [77]",
            "0 @3840 +1920 [5]",
            "0 @5760 +1920 [6]",
        ],
    );
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

/// A frame of two blocks of 48 kHz, with or without checksums.
fn two_blocks(is_checked: bool, body: &[u8]) -> Vec<u8> {
    let len = body.len() + 7;
    let second = if is_checked { 0xF0 } else { 0xF1 };
    let mut frame = vec![0xFF, second, 0x4C, 0x80, (len >> 3) as u8, (len << 5) as u8 | 0x1F, 0xFD];
    frame.extend_from_slice(body);
    frame
}

#[test]
fn blocks_of_one_frame_are_packets_each() {
    let checked = two_blocks(true, b"\0\x07CSAAAAAssBBBss");
    check(
        &Run::new(Container::Adts),
        &[&[checked, adts_frame(50)].concat()],
        &["tracks 0 AAC", "tracks 0 AAC 48000x2", "0 @0 +1920 [5]", "0 @1920 +1920 [3]", "0 @3840 +1920 [50]"],
    );
    let plain = two_blocks(false, b"\xC4\0\x01\xC0BBB");
    check(
        &Run::new(Container::Adts),
        &[&[plain, adts_frame(50)].concat()],
        &["tracks 0 AAC", "tracks 0 AAC 48000x2", "0 @0 +1920 [4]", "0 @1920 +1920 [3]", "0 @3840 +1920 [50]"],
    );
}

#[test]
fn a_block_that_cannot_be_found_takes_its_time_and_is_told() {
    let plain = two_blocks(false, b"AAAAABBB");
    check(
        &Run::new(Container::Adts),
        &[&[plain, adts_frame(50)].concat()],
        &["tracks 0 AAC", "tracks 0 AAC 48000x2", "0 @0 +1920 [8]", "damage Malformed 0 [0]", "0 @3840 +1920 [50]"],
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
fn a_tag_that_is_cut_takes_nothing_of_the_next_unit() {
    let mut tag = b"ID3\x04\0\0\0\0\x10\0".to_vec();
    tag.resize(10 + 500, 0xFF);
    let options = DemuxOptions { max_packet_len: 1000, ..DemuxOptions::default() };
    let unit = [adts_frame(50), tag].concat();
    let want = [
        "tracks 0 AAC",
        "tracks 0 AAC 48000x2",
        "0 @0 +1920 [50]",
        "damage Cut 0 [0]",
        "0 @1920 +1920 [60]",
        "0 @3840 +1920 [61]",
    ];
    check_with(&options, &Run::new(Container::Adts), &[&unit, &[adts_frame(60), adts_frame(61)].concat()], &want);
}

#[test]
fn whole_file_formats_are_not_demuxed_here() {
    check(&Run::new(Container::Wav), &[b"RIFF"], &["error not a segment format"]);
}
