//! Runs of MPEG-TS.

use std::collections::BTreeMap;

use super::{check, check_with};
use crate::frames::tests::{adts_frame, mp3_frame};
use crate::id3::tests::tag;
use crate::ts::packet::tests::packet;
use crate::ts::pes::tests::{pes, pes_with_dts};
use crate::ts::psi::tests::{pat, pmt};
use crate::{Container, Deliver, DemuxOptions, Run, Timestamp};

const PMT: u16 = 0x1000;
const VIDEO: u16 = 256;
const SOUND: u16 = 257;
const TAGS: u16 = 258;

/// Writes transport packets.
#[derive(Clone, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    counters: BTreeMap<u16, u8>,
}

impl Writer {
    /// A stream that begins with its tables.
    pub(super) fn of(streams: &[(u8, u16, &[u8])]) -> Self {
        Self::default().section(0, &pat(PMT)).section(PMT, &pmt(0, streams))
    }

    fn section(self, pid: u16, section: &[u8]) -> Self {
        self.payload(pid, &[&[0], section].concat())
    }

    /// A PES packet or a section with its pointer, cut into packets.
    pub(super) fn payload(mut self, pid: u16, payload: &[u8]) -> Self {
        for (index, part) in payload.chunks(184).enumerate() {
            self = self.packet(pid, index == 0, part);
        }
        self
    }

    fn packet(mut self, pid: u16, unit_start: bool, payload: &[u8]) -> Self {
        let counter = self.counters.entry(pid).or_default();
        self.bytes.extend_from_slice(&packet(pid, unit_start, *counter, payload));
        *counter = (*counter + 1) & 0x0F;
        self
    }

    pub(super) fn sound(self, pts: u64, frames: &[u8]) -> Self {
        self.payload(SOUND, &pes(0xC0, pts, true, frames))
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// What was written since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

fn run() -> Run {
    Run::new(Container::MpegTs)
}

const AAC: &[(u8, u16, &[u8])] = &[(0x0F, SOUND, b"\x0A\x04eng\0")];

fn frames(count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| adts_frame(100)).collect()
}

/// An access unit of H.264: delimiter, then a slice with `len` bytes behind its header.
fn h264(is_key: bool, len: usize) -> Vec<u8> {
    let slice = if is_key { 0x65 } else { 0x41 };
    [&[0, 0, 0, 1, 9, 0xF0, 0, 0, 1, slice, 0x88][..], &vec![0x33; len]].concat()
}

#[test]
fn frames_get_their_times_from_the_packet_they_begin_in() {
    let unit = Writer::of(AAC).sound(126_000, &frames(3)).sound(200_000, &frames(1)).bytes;
    check(
        &run(),
        &[&unit],
        &[
            "tracks 257 AAC eng",
            "tracks 257 AAC 48000x2 eng",
            "257 @126000 +1920 [100]",
            "257 @127920 +1920 [100]",
            "257 @129840 +1920 [100]",
            "257 @200000 +1920 [100]",
        ],
    );
}

#[test]
fn a_frame_may_begin_in_one_packet_and_one_unit_and_end_in_the_next() {
    let all = frames(4);
    let mut writer = Writer::of(AAC).sound(0, &all[..150]);
    let first = writer.take();
    let second = writer.sound(5000, &all[150..]).bytes;
    check(
        &run(),
        &[&first, &second],
        &[
            "tracks 257 AAC eng",
            "tracks 257 AAC 48000x2 eng",
            "257 @0 +1920 [100]",
            "257 @1920 +1920 [100]",
            "257 @5000 +1920 [100]",
            "257 @6920 +1920 [100]",
        ],
    );
}

#[test]
fn times_run_on_over_the_wrap_on_all_tracks_and_the_offset_is_added() {
    let wrap = 1 << 33;
    let unit = Writer::of(&[(0x0F, SOUND, &[]), (0x1B, VIDEO, &[])])
        .sound(wrap - 1920, &frames(2))
        .payload(VIDEO, &pes(0xE0, 10, false, &h264(true, 5)))
        .sound(1920, &frames(1));
    let run = Run { offset: Timestamp::mpeg(1000 - wrap as i64), ..run() };
    check(
        &run,
        &[&unit.bytes],
        &[
            "tracks 257 AAC, 256 H.264",
            "tracks 257 AAC 48000x2, 256 H.264",
            "257 @-920 +1920 [100]",
            "257 @1000 +1920 [100]",
            "257 @2920 +1920 [100]",
            "256 @1010 [16]",
        ],
    );
}

#[test]
fn a_run_that_starts_behind_the_wrap_is_placed_by_its_start() {
    let unit = Writer::of(AAC).sound(90_000, &frames(1)).bytes;
    let offset = Timestamp::mpeg(-((1 << 33) - 90_000));
    let run = Run { offset, start: Some(Timestamp::mpeg(185_000)), ..run() };
    check(&run, &[&unit], &["tracks 257 AAC eng", "tracks 257 AAC 48000x2 eng", "257 @180000 +1920 [100]"]);
}

#[test]
fn a_lost_packet_costs_what_was_open_and_is_told() {
    let mut writer = Writer::of(AAC).sound(0, &frames(2));
    let first = writer.take();
    let mut lossy = writer.sound(9000, &frames(3));
    lossy.bytes.drain(188..376);
    let rest = lossy.sound(20_000, &frames(2)).bytes;
    check(
        &run(),
        &[&[&first[..], &rest].concat()],
        &[
            "tracks 257 AAC eng",
            "tracks 257 AAC 48000x2 eng",
            "257 @0 +1920 [100]",
            "257 @1920 +1920 [100]",
            "257 @9000 +1920 [100]",
            "damage Continuity 257 [63]",
            "257 @20000 +1920 [100]",
            "257 @21920 +1920 [100]",
        ],
    );
}

#[test]
fn a_packet_sent_twice_counts_once_and_null_packets_do_not_count() {
    let unit = Writer::of(AAC).sound(0, &frames(1)).bytes;
    let last = unit[unit.len() - 188..].to_vec();
    let null = packet(0x1FFF, false, 9, &[0; 184]);
    check(
        &run(),
        &[&[&unit[..], &last, &null].concat()],
        &["tracks 257 AAC eng", "tracks 257 AAC 48000x2 eng", "257 @0 +1920 [100]"],
    );
}

#[test]
fn counters_may_start_anew_in_each_unit() {
    let first = Writer::of(AAC).sound(0, &frames(1)).bytes;
    let second = Writer::of(AAC).sound(1920, &frames(1)).bytes;
    check(
        &run(),
        &[&first, &second],
        &["tracks 257 AAC eng", "tracks 257 AAC 48000x2 eng", "257 @0 +1920 [100]", "257 @1920 +1920 [100]"],
    );
}

#[test]
fn packets_in_front_of_the_program_map_are_kept_until_it_comes() {
    let tables = Writer::of(AAC).bytes;
    let sound = Writer::default().sound(0, &frames(1)).bytes;
    check(
        &run(),
        &[&[&tables[..188], &sound, &tables[188..]].concat()],
        &["tracks 257 AAC eng", "tracks 257 AAC 48000x2 eng", "257 @0 +1920 [100]"],
    );
    check(&run(), &[&sound], &["error media without the header that describes it"]);
}

#[test]
fn an_init_section_may_hold_the_tables() {
    let init = Writer::of(AAC).bytes;
    let unit = Writer::default().sound(0, &frames(1)).bytes;
    let run = Run { init: Some(init.into()), ..run() };
    check(&run, &[&unit], &["tracks 257 AAC eng", "tracks 257 AAC 48000x2 eng", "257 @0 +1920 [100]"]);
}

#[test]
fn encrypted_and_unsupported_streams_are_told_apart() {
    let error = |streams: &[(u8, u16, &[u8])], want: &[&str]| check(&run(), &[&Writer::of(streams).bytes], want);
    error(&[(0xCF, SOUND, &[])], &["tracks 257 AAC encrypted", "error the samples are encrypted (AAC)"]);
    error(&[(0x11, SOUND, &[])], &["tracks 257 AAC in LATM unsupported", "error no supported codec (AAC in LATM)"]);
    error(
        &[(0x82, SOUND, &[])],
        &["tracks 257 stream type 0x82 unsupported", "error no supported codec (stream type 0x82)"],
    );
    error(&[(0xCF, SOUND, &[]), (0x1B, VIDEO, &[])], &["tracks 257 AAC encrypted, 256 H.264"]);
}

#[test]
fn what_is_not_asked_for_does_not_make_a_run_playable() {
    let options = DemuxOptions { deliver: Deliver::SOUND, ..DemuxOptions::default() };
    let unit = Writer::of(&[(0xCF, SOUND, &[]), (0x1B, VIDEO, &[])]).bytes;
    check_with(
        &options,
        &run(),
        &[&unit],
        &["tracks 257 AAC encrypted, 256 H.264", "error the samples are encrypted (AAC)"],
    );
    let unit = Writer::of(&[(0x1B, VIDEO, &[])]).payload(VIDEO, &pes(0xE0, 0, false, &h264(true, 9))).bytes;
    check_with(&options, &run(), &[&unit], &["tracks 256 H.264"]);
}

#[test]
fn scrambled_packets_make_a_track_encrypted() {
    let mut unit = Writer::of(AAC).sound(0, &frames(1)).bytes;
    unit[2 * 188 + 3] |= 0x80;
    check(
        &run(),
        &[&unit],
        &["tracks 257 AAC eng", "tracks 257 AAC encrypted eng", "error the samples are encrypted (AAC)"],
    );
}

#[test]
fn junk_between_packets_is_passed_over() {
    let mut writer = Writer::of(AAC);
    let tables = writer.take();
    let unit = Writer::default().raw(b"junk in front").raw(&tables).raw(&[0xAA; 50]);
    let unit = unit.raw(&writer.sound(0, &frames(2)).bytes);
    check(
        &run(),
        &[&unit.bytes],
        &[
            "damage Junk - [13]",
            "tracks 257 AAC eng",
            "damage Junk - [50]",
            "tracks 257 AAC 48000x2 eng",
            "257 @0 +1920 [100]",
            "257 @1920 +1920 [100]",
        ],
    );
}

#[test]
fn a_unit_cut_inside_of_a_packet_is_told() {
    let unit = Writer::of(AAC).sound(0, &frames(1)).bytes;
    check(&run(), &[&unit[..unit.len() - 8]], &["tracks 257 AAC eng", "damage Cut - [180]"]);
}

#[test]
fn a_unit_cut_between_packets_costs_the_frame_that_was_open() {
    let first = Writer::of(AAC).sound(0, &frames(4)).bytes;
    let second = Writer::of(AAC).sound(9000, &frames(1)).bytes;
    check(
        &run(),
        &[&first[..3 * 188], &second],
        &[
            "tracks 257 AAC eng",
            "tracks 257 AAC 48000x2 eng",
            "257 @0 +1920 [100]",
            "damage Cut 257 [63]",
            "257 @9000 +1920 [100]",
        ],
    );
}

#[test]
fn pictures_are_put_together_across_packets_and_come_in_decoding_order() {
    let (first, second, third) = (h264(true, 300), h264(false, 20), h264(false, 30));
    // The second PES packet begins in the middle of the first picture and holds the beginning of the second one.
    let (head, tail) = first.split_at(200);
    let unit = Writer::of(&[(0x1B, VIDEO, &[])])
        .payload(VIDEO, &pes_with_dts(0xE0, 9000, 3000, head))
        .payload(VIDEO, &pes_with_dts(0xE0, 15_000, 6000, &[tail, &second].concat()))
        .payload(VIDEO, &pes(0xE0, 12_000, false, &third));
    check(
        &run(),
        &[&unit.bytes],
        &["tracks 256 H.264", "256 @9000 dts 3000 [311]", "256 @15000 dts 6000 [31] -", "256 @12000 [41] -"],
    );
}

#[test]
fn a_picture_without_a_time_of_its_own_stays_with_the_one_before() {
    let fields = [h264(true, 10), h264(false, 10)].concat();
    let unit = Writer::of(&[(0x1B, VIDEO, &[])]).payload(VIDEO, &pes(0xE0, 0, false, &fields)).bytes;
    check(&run(), &[&unit], &["tracks 256 H.264", "256 @0 [42]"]);
}

#[test]
fn pictures_too_large_are_passed_over() {
    let options = DemuxOptions { max_packet_len: 1000, ..DemuxOptions::default() };
    let unit = Writer::of(&[(0x1B, VIDEO, &[])])
        .payload(VIDEO, &pes(0xE0, 0, false, &h264(true, 3000)))
        .payload(VIDEO, &pes(0xE0, 3000, false, &h264(false, 20)));
    check_with(
        &options,
        &run(),
        &[&unit.bytes],
        &["tracks 256 H.264", "damage TooLarge 256 [3011]", "256 @3000 [31] -"],
    );
}

#[test]
fn tags_are_timed_even_when_they_span_packets() {
    let (short, long) = (tag(&[(b"TIT2", b"\0song")]), tag(&[(b"PRIV", &[7; 300])]));
    let unit = Writer::of(&[(0x0F, SOUND, &[]), (0x15, TAGS, &[])])
        .payload(TAGS, &pes(0xBD, 90_000, true, &short))
        .payload(TAGS, &pes(0xBD, 180_000, true, &long))
        .payload(TAGS, &pes(0xBD, 270_000, true, b"no tag at all"));
    check(
        &run(),
        &[&unit.bytes],
        &["tracks 257 AAC, 258 ID3", "id3 @90000/90000 [25]", "id3 @180000/90000 [320]", "damage Junk 258 [13]"],
    );
}

#[test]
fn a_new_program_map_changes_the_tracks_and_keeps_what_goes_on() {
    let unit = Writer::of(&[(0x0F, SOUND, &[])]).sound(0, &frames(1)[..60]);
    let unit = unit.section(PMT, &pmt(1, &[(0x0F, SOUND, &[]), (0x15, TAGS, &[])]));
    let unit = unit.payload(SOUND, &pes(0xC0, 1920, true, &[&frames(1)[60..], &frames(1)].concat()));
    check(
        &run(),
        &[&unit.bytes],
        &[
            "tracks 257 AAC",
            "tracks 257 AAC, 258 ID3",
            "tracks 257 AAC 48000x2, 258 ID3",
            "257 @0 +1920 [100]",
            "257 @1920 +1920 [100]",
        ],
    );
}

#[test]
fn a_change_of_format_is_announced_in_front_of_the_first_packet_of_it() {
    let mut mono = adts_frame(100);
    mono[2] = 0x50;
    mono[3] = mono[3] & 0x3F | 0x40;
    let unit = Writer::of(&[(0x0F, SOUND, &[])]).sound(0, &[frames(1), mono].concat()).bytes;
    check(
        &run(),
        &[&unit],
        &[
            "tracks 257 AAC",
            "tracks 257 AAC 48000x2",
            "257 @0 +1920 [100]",
            "tracks 257 AAC 44100x1",
            "257 @1920 +2090 [100]",
        ],
    );
}

#[test]
fn other_codecs_of_sound_are_framed() {
    let mp3 = Writer::of(&[(0x03, SOUND, &[])]).sound(0, &[mp3_frame(), mp3_frame()].concat()).bytes;
    check(
        &run(),
        &[&mp3],
        &["tracks 257 MP3", "tracks 257 MP3 44100x2", "257 @0 +2351 [417]", "257 @2351 +2351 [417]"],
    );
    let mut ac3 = vec![0x0B, 0x77, 0, 0, 0x00, 0x40, 0x40];
    ac3.resize(128, 0);
    let unit = Writer::of(&[(0x81, SOUND, &[])]).payload(SOUND, &pes(0xBD, 0, true, &[&ac3[..], &ac3].concat())).bytes;
    check(
        &run(),
        &[&unit],
        &["tracks 257 AC-3", "tracks 257 AC-3 48000x2", "257 @0 +2880 [128]", "257 @2880 +2880 [128]"],
    );
    let opus = [&b"\x7F\xE0\x05\xFC1234"[..], b"\x7F\xF0\x03\x01\x38\xFC12"].concat();
    let unit =
        Writer::of(&[(0x06, SOUND, b"\x05\x04Opus\x7F\x02\x80\x02")]).payload(SOUND, &pes(0xBD, 0, true, &opus)).bytes;
    check(
        &run(),
        &[&unit],
        &["tracks 257 Opus", "tracks 257 Opus 48000x2", "257 @0 +1800 [5]", "257 @1800 +1800 [3] trim 312/0"],
    );
}
