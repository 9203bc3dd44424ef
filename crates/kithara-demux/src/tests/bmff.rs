//! Runs of fMP4.

use bytes::Bytes;

use super::{check, check_with};
use crate::bmff::event::tests::{emsg_v0, emsg_v1};
use crate::bmff::movie::tests::{aac_trak, moov, trak};
use crate::bmff::sample_entry::tests::{esds, picture_entry, sound_entry};
use crate::bmff::tests::{mp4_box, mp4_full_box};
use crate::output::Output;
use crate::{Container, Deliver, DemuxOptions, Demuxer, Run, Timestamp};

fn run(traks: &[&[u8]]) -> Run {
    Run { init: Some(moov(traks).into()), ..Run::new(Container::Fmp4) }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A `trun` with a data offset and sizes.
fn trun(offset: i32, sizes: &[u32]) -> Vec<u8> {
    mp4_full_box(b"trun", 0, 0x201, &[&words(&[sizes.len() as u32, offset.cast_unsigned()]), &words(sizes)])
}

/// A `traf` that counts from its `moof`, with samples of 1024 ticks.
fn traf(id: u32, time: u64, truns: &[u8]) -> Vec<u8> {
    let header = mp4_full_box(b"tfhd", 0, 0x2_0008, &[&words(&[id, 1024])]);
    let time = mp4_full_box(b"tfdt", 1, 0, &[&time.to_be_bytes()]);
    mp4_box(b"traf", &[&header, &time, truns])
}

/// A `moof` whose `traf`s are built once the offset of the media data is known.
fn moof(build: impl Fn(i32) -> Vec<u8>) -> Vec<u8> {
    let len = mp4_box(b"moof", &[&build(0)]).len();
    mp4_box(b"moof", &[&build(len as i32 + 8)])
}

/// A fragment of one track and its media data.
pub(super) fn fragment(id: u32, time: u64, sizes: &[u32]) -> Vec<u8> {
    let total = sizes.iter().sum::<u32>() as usize;
    [moof(|at| traf(id, time, &trun(at, sizes))), mdat(total)].concat()
}

fn mdat(len: usize) -> Vec<u8> {
    mp4_box(b"mdat", &[&vec![0xAB; len]])
}

const TRACKS: &str = "tracks 1 AAC 48000x2 eng";

#[test]
fn fragments_are_timed_by_their_decode_time_and_the_offset_of_the_run() {
    let first = [mp4_box(b"styp", &[b"msdh\0\0\0\0"]), fragment(1, 0, &[10, 20]), fragment(1, 2048, &[30])].concat();
    let second = fragment(1, 48_000, &[5]);
    let run = Run { offset: Timestamp::mpeg(90_000), ..run(&[&aac_trak(1, &[])]) };
    check(
        &run,
        &[&first, &second],
        &[TRACKS, "1 @48000 +1024 [10]", "1 @49024 +1024 [20]", "1 @50048 +1024 [30]", "1 @96000 +1024 [5]"],
    );
}

#[test]
fn samples_share_the_memory_they_arrived_in_and_come_before_the_unit_is_whole() {
    let unit = Bytes::from(fragment(1, 0, &[10, 20]));
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    demuxer.start_run(run(&[&aac_trak(1, &[])]));
    demuxer.push(unit.slice(..unit.len() - 1));
    let found: Vec<_> = std::iter::from_fn(|| demuxer.poll()).collect();
    let [Ok(Output::Tracks(_)), Ok(Output::Packet(packet))] = &found[..] else { panic!("{found:?}") };
    assert_eq!(packet.data.as_ptr(), unit[unit.len() - 30..].as_ptr());
}

#[test]
fn interleaved_tracks_come_in_the_order_of_their_bytes() {
    let video = trak(2, 90_000, b"vide", &[], &picture_entry(b"avc1", 64, 36, &mp4_box(b"avcC", &[b"c"])));
    let head = moof(|at| {
        let sound = traf(1, 0, &[trun(at + 7, &[3]), trun(at + 7 + 3 + 4, &[5])].concat());
        let pictures = traf(2, 900, &[trun(at, &[7]), trun(at + 10, &[4])].concat());
        [sound, pictures].concat()
    });
    check(
        &run(&[&aac_trak(1, &[]), &video]),
        &[&[head, mdat(19)].concat()],
        &[
            "tracks 1 AAC 48000x2 eng, 2 H.264 eng",
            "2 @900 +1024 [7]",
            "1 @0 +1024 [3]",
            "2 @1924 +1024 [4]",
            "1 @1024 +1024 [5]",
        ],
    );
}

#[test]
fn a_run_without_a_place_lies_behind_the_one_before_it() {
    let behind = mp4_full_box(b"trun", 0, 0x200, &[&words(&[2, 4, 5])]);
    let head = moof(|at| traf(1, 0, &[trun(at + 2, &[3]), behind.clone()].concat()));
    check(
        &run(&[&aac_trak(1, &[])]),
        &[&[head, mdat(14)].concat()],
        &[TRACKS, "1 @0 +1024 [3]", "1 @1024 +1024 [4]", "1 @2048 +1024 [5]"],
    );
}

#[test]
fn each_sample_may_state_everything() {
    let entries = words(&[100, 6, 0x200_0000, 50, 200, 7, 0x101_0000, (-50_i32).cast_unsigned()]);
    let head = moof(|at| {
        let trun = mp4_full_box(b"trun", 1, 0xF01, &[&words(&[2, at.cast_unsigned()]), &entries]);
        let header = mp4_full_box(b"tfhd", 0, 0x2_0000, &[&words(&[1])]);
        mp4_box(b"traf", &[&header, &mp4_full_box(b"tfdt", 0, 0, &[&words(&[1000])]), &trun])
    });
    let video = trak(1, 90_000, b"vide", &[], &picture_entry(b"hvc1", 64, 36, &[]));
    check(
        &run(&[&video]),
        &[&[head, mdat(13)].concat()],
        &["tracks 1 HEVC eng", "1 @1050 dts 1000 +100 [6]", "1 @1050 dts 1100 +200 [7] -"],
    );
}

#[test]
fn sizes_and_durations_may_come_from_the_header_alone() {
    let mvex = mp4_box(b"mvex", &[&mp4_full_box(b"trex", 0, 0, &[&words(&[1, 1, 512, 9, 0])])]);
    let head = moof(|at| {
        let header = mp4_full_box(b"tfhd", 0, 0x2_0000, &[&words(&[1])]);
        mp4_box(b"traf", &[&header, &mp4_full_box(b"trun", 0, 1, &[&words(&[2, at.cast_unsigned()])])])
    });
    // Without `tfdt` a fragment goes on where the one before ended.
    let unit = [head.clone(), mdat(18), head, mdat(18)].concat();
    check(
        &run(&[&aac_trak(1, &[]), &mvex]),
        &[&unit],
        &[TRACKS, "1 @0 +512 [9]", "1 @512 +512 [9]", "1 @1024 +512 [9]", "1 @1536 +512 [9]"],
    );
}

#[test]
fn a_run_that_promises_samples_without_bytes_gives_none() {
    let head = moof(|at| {
        let header = mp4_full_box(b"tfhd", 0, 0x2_0018, &[&words(&[1, 1024, 0])]);
        mp4_box(b"traf", &[&header, &mp4_full_box(b"trun", 0, 1, &[&words(&[u32::MAX, at.cast_unsigned()])])])
    });
    check(&run(&[&aac_trak(1, &[])]), &[&[head, mdat(9)].concat()], &[TRACKS, "damage Malformed 1 [0]"]);
}

#[test]
fn places_in_a_larger_file_are_understood() {
    // Two fragments of a file of which only the end is this unit.
    let head = |base: u64| {
        let header = mp4_full_box(b"tfhd", 0, 0x9, &[&words(&[1]), &base.to_be_bytes(), &words(&[1024])]);
        mp4_box(b"moof", &[&mp4_box(b"traf", &[&header, &mp4_full_box(b"trun", 0, 0x200, &[&words(&[2, 4, 5])])])])
    };
    for base in [5_000_000, 76, 3] {
        let unit = [head(base), mdat(9)].concat();
        check(&run(&[&aac_trak(1, &[])]), &[&unit], &[TRACKS, "1 @0 +1024 [4]", "1 @1024 +1024 [5]"]);
    }
}

#[test]
fn priming_in_front_of_an_edit_is_trimmed_and_lies_before_zero() {
    let unit = fragment(1, 0, &[3, 4, 5]);
    check(
        &run(&[&aac_trak(1, &[(1536, 0)])]),
        &[&unit],
        &[TRACKS, "1 @-1536 +1024 [3] trim 1024/0", "1 @-512 +1024 [4] trim 512/0", "1 @512 +1024 [5]"],
    );
}

#[test]
fn padding_is_trimmed_where_itunes_notes_it() {
    let note = b"\0\0\0\x01\0\0\0\0 00000000 00000400 00000300 0000000000000500";
    let item = mp4_box(b"----", &[&mp4_full_box(b"name", 0, 0, &[b"iTunSMPB"]), &mp4_box(b"data", &[note])]);
    let udta = mp4_box(b"udta", &[&mp4_full_box(b"meta", 0, 0, &[&mp4_box(b"ilst", &[&item])])]);
    check(
        &run(&[&aac_trak(1, &[]), &udta]),
        &[&fragment(1, 0, &[3, 4, 5])],
        &[
            "tracks 1 AAC 48000x2 eng 1024/768",
            "1 @-1024 +1024 [3] trim 1024/0",
            "1 @0 +1024 [4]",
            "1 @1024 +1024 [5] trim 0/768",
        ],
    );
}

#[test]
fn trim_counts_samples_where_the_clock_is_another() {
    let entry = sound_entry(b"mp4a", 2, 24_000, &esds(&[0x2B, 0x11, 0x88, 0x00]));
    let track = trak(1, 24_000, b"soun", &[(512, 0)], &entry);
    check(&run(&[&track]), &[&fragment(1, 0, &[3])], &["tracks 1 AAC 48000x2 eng", "1 @-512 +1024 [3] trim 1024/0"]);
}

#[test]
fn events_are_timed_by_their_unit_or_by_media_time() {
    let unit = |time| [emsg_v1(7000), emsg_v0(250), fragment(1, time, &[3])].concat();
    let run = Run { offset: Timestamp::mpeg(90_000), ..run(&[&aac_trak(1, &[])]) };
    check(
        &run,
        &[&unit(48_000), &unit(96_000)],
        &[
            TRACKS,
            "urn:scheme value 9 @8000/1000 [7]",
            "urn:scheme value 9 @2250/1000 +5 [7]",
            "1 @96000 +1024 [3]",
            "urn:scheme value 9 @8000/1000 [7]",
            "urn:scheme value 9 @3250/1000 +5 [7]",
            "1 @144000 +1024 [3]",
        ],
    );
    let options =
        DemuxOptions { deliver: Deliver { metadata: false, ..Deliver::default() }, ..DemuxOptions::default() };
    check_with(&options, &run, &[&unit(0)], &[TRACKS, "1 @48000 +1024 [3]"]);
}

#[test]
fn a_second_header_takes_over_and_times_go_on() {
    let mono = trak(1, 48_000, b"soun", &[], &sound_entry(b"mp4a", 1, 48_000, &esds(&[0x11, 0x88])));
    let untimed = moof(|at| {
        let header = mp4_full_box(b"tfhd", 0, 0x2_0008, &[&words(&[1, 1024])]);
        mp4_box(b"traf", &[&header, &trun(at, &[4])])
    });
    let unit = [fragment(1, 0, &[3]), moov(&[&aac_trak(1, &[])]), moov(&[&mono]), untimed, mdat(4)].concat();
    check(
        &run(&[&aac_trak(1, &[])]),
        &[&unit],
        &[TRACKS, "1 @0 +1024 [3]", "tracks 1 AAC 48000x1 eng", "1 @1024 +1024 [4]"],
    );
}

#[test]
fn a_clear_lead_in_front_of_encrypted_samples_is_delivered() {
    let sinf = mp4_box(b"sinf", &[&mp4_box(b"frma", &[b"mp4a"])]);
    let clear = sound_entry(b"mp4a", 2, 48_000, &esds(&[0x11, 0x90]));
    let encrypted = sound_entry(b"enca", 2, 48_000, &[esds(&[0x11, 0x90]), sinf].concat());
    let track = trak(1, 48_000, b"soun", &[], &[clear, encrypted].concat());
    let second = moof(|at| {
        let header = mp4_full_box(b"tfhd", 0, 0x2_000A, &[&words(&[1, 2, 1024])]);
        mp4_box(b"traf", &[&header, &trun(at, &[4])])
    });
    check(
        &run(&[&track]),
        &[&[fragment(1, 0, &[3]), second, mdat(4)].concat()],
        &[TRACKS, "1 @0 +1024 [3]", "tracks 1 AAC encrypted 48000x2 eng", "error the samples are encrypted (AAC)"],
    );
}

#[test]
fn a_clear_lead_is_delivered_whichever_entry_comes_first() {
    let sinf = mp4_box(b"sinf", &[&mp4_box(b"frma", &[b"mp4a"])]);
    let clear = sound_entry(b"mp4a", 2, 48_000, &esds(&[0x11, 0x90]));
    let encrypted = sound_entry(b"enca", 2, 48_000, &[esds(&[0x11, 0x90]), sinf].concat());
    let track = trak(1, 48_000, b"soun", &[], &[encrypted, clear].concat());
    let lead = moof(|at| {
        let header = mp4_full_box(b"tfhd", 0, 0x2_000A, &[&words(&[1, 2, 1024])]);
        mp4_box(b"traf", &[&header, &trun(at, &[4])])
    });
    let lead = [lead, mdat(4)].concat();
    let refused = ["tracks 1 AAC encrypted 48000x2 eng", "error the samples are encrypted (AAC)"];
    let want = [&[TRACKS, "1 @0 +1024 [4]", "1 @1024 +1024 [4]"], &refused[..]].concat();
    check(&run(&[&track]), &[&lead, &[lead.clone(), fragment(1, 2048, &[3])].concat()], &want);
    // What names no entry is in the one of the header.
    check(&run(&[&track]), &[&fragment(1, 0, &[3])], &[&[TRACKS], &refused[..]].concat());
}

#[test]
fn a_run_needs_a_header_it_can_read() {
    let unit = fragment(1, 0, &[3]);
    let error = |run: &Run, want: &[&str]| check(run, &[&unit], want);
    error(&Run::new(Container::Fmp4), &["error media without the header that describes it"]);
    error(&run(&[]), &["error the structure of the file is broken"]);
    error(
        &Run { init: Some(Bytes::from_static(b"\0\0\0\x02oops")), ..run(&[]) },
        &["error the structure of the file is broken"],
    );
    let unknown = trak(1, 48_000, b"soun", &[], &sound_entry(b"dtsx", 2, 48_000, &[]));
    error(&run(&[&unknown]), &["tracks 1 \"dtsx\" unsupported 48000x2 eng", "error no supported codec (\"dtsx\")"]);
    let options = DemuxOptions { max_header_len: 64, ..DemuxOptions::default() };
    check_with(&options, &run(&[&aac_trak(1, &[])]), &[&unit], &["error the media header is too large"]);
}

#[test]
fn a_cut_unit_is_told_and_the_next_one_is_whole() {
    let unit = fragment(1, 0, &[10, 20]);
    check(
        &run(&[&aac_trak(1, &[])]),
        &[&unit[..unit.len() - 5], &fragment(1, 5000, &[4])],
        &[TRACKS, "1 @0 +1024 [10]", "damage Cut - [15]", "1 @5000 +1024 [4]"],
    );
}

#[test]
fn samples_outside_of_the_media_data_are_told() {
    let head = moof(|at| traf(1, 0, &[trun(at, &[3]), trun(at + 3, &[50]), trun(4, &[6])].concat()));
    check(
        &run(&[&aac_trak(1, &[])]),
        &[&[head, mdat(9)].concat()],
        &[TRACKS, "damage Malformed 1 [0]", "1 @0 +1024 [3]", "damage Malformed 1 [0]"],
    );
}

#[test]
fn media_data_may_be_open_padded_or_split() {
    let head = moof(|at| traf(1, 0, &[trun(at + 2, &[3]), trun(at + 7 + 8, &[4])].concat()));
    let unit = [head, mdat(7), mp4_box(b"free", &[]), b"\0\0\0\0mdat12345".to_vec()].concat();
    let mut open = unit.clone();
    // The `free` box goes, so that the second run begins right behind the header of the open box.
    open.drain(unit.len() - 21..unit.len() - 13);
    check(&run(&[&aac_trak(1, &[])]), &[&open], &[TRACKS, "1 @0 +1024 [3]", "1 @1024 +1024 [4]"]);
}

#[test]
fn samples_too_large_are_passed_over() {
    let options = DemuxOptions { max_packet_len: 100, ..DemuxOptions::default() };
    check_with(
        &options,
        &run(&[&aac_trak(1, &[])]),
        &[&fragment(1, 0, &[5, 101, 6])],
        &[TRACKS, "1 @0 +1024 [5]", "damage TooLarge 1 [101]", "1 @2048 +1024 [6]"],
    );
}

#[test]
fn text_in_samples_becomes_cues() {
    let entry = mp4_box(b"wvtt", &[&[0; 8], &mp4_box(b"vttC", &[b"WEBVTT"])]);
    let shown = mp4_box(b"vttc", &[&mp4_box(b"sttg", &[b"line:0"]), &mp4_box(b"payl", &[b"Hi"])]);
    let empty = mp4_box(b"vtte", &[]);
    let sizes = [empty.len() as u32, shown.len() as u32];
    let unit = [moof(|at| traf(1, 0, &trun(at, &sizes))), mp4_box(b"mdat", &[&empty, &shown])].concat();
    check(
        &run(&[&trak(1, 1000, b"text", &[], &entry)]),
        &[&unit],
        &["tracks 1 WebVTT eng", "1 @1024..2048 \"\" \"line:0\" \"Hi\""],
    );
}
