//! Arbitrary and damaged input: nothing panics, and portions make no difference.

use bytes::Bytes;
use proptest::prelude::*;

use super::bmff::fragment;
use super::demux;
use super::ts::Writer;
use crate::bmff::event::tests::emsg_v0;
use crate::bmff::movie::tests::{aac_trak, moov, trak};
use crate::bmff::sample_entry::tests::picture_entry;
use crate::frames::tests::{adts_frame, mp3_frame};
use crate::frames::xing::tests::info_frame;
use crate::id3::tests::timestamp_tag;
use crate::ts::pes::tests::{pes, pes_with_dts};
use crate::{Container, DemuxOptions, FirstTimestamp, Run, SegmentCheck, first_timestamp, sniff};

const CONTAINERS: [Container; 8] = [
    Container::MpegTs,
    Container::Fmp4,
    Container::Adts,
    Container::Mp3,
    Container::Ac3,
    Container::Eac3,
    Container::WebVtt,
    Container::Ttml,
];

/// A good unit of each container, with all kinds of things inside.
fn sample(container: Container) -> Vec<u8> {
    match container {
        Container::MpegTs => {
            let frames: Vec<u8> = (0..5).flat_map(|n| adts_frame(100 + n)).collect();
            let picture = [&[0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x65, 0x88][..], &[0x33; 400]].concat();
            Writer::of(&[(0x0F, 257, b"\x0A\x04eng\0"), (0x1B, 256, &[]), (0x15, 258, &[])])
                .payload(256, &pes_with_dts(0xE0, 9000, 3000, &picture))
                .sound(3000, &frames)
                .payload(258, &pes(0xBD, 3000, true, &timestamp_tag(5)))
                .payload(256, &pes(0xE0, 6000, true, &picture))
                .sound(12_600, &frames)
                .bytes
        }
        Container::Fmp4 => {
            let video = trak(2, 90_000, b"vide", &[], &picture_entry(b"avc1", 64, 36, &[]));
            let header = moov(&[&aac_trak(1, &[(1024, 0)]), &video]);
            [header, emsg_v0(5), fragment(1, 0, &[30, 40, 50]), fragment(2, 7, &[60]), fragment(1, 3072, &[9])].concat()
        }
        Container::Adts => [timestamp_tag(7), adts_frame(50), adts_frame(60), timestamp_tag(8), adts_frame(70)].concat(),
        Container::Mp3 => [timestamp_tag(7), info_frame(2, 576, 700), mp3_frame(), mp3_frame()].concat(),
        Container::Ac3 | Container::Eac3 => {
            let mut first = vec![0x0B, 0x77, 0x00, 0x1F, 0x3F, 0x86];
            first.resize(64, 1);
            let mut other = first.clone();
            other[2] = 0x40;
            [&first[..], &other, &first, &first, &other].concat()
        }
        Container::WebVtt => {
            b"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:01.000\n\nid\n00:02.000 --> 00:03.500 line:0\nTwo\nlines\n\n00:04.000 --> 00:05.000\nx\n"
                .to_vec()
        }
        _ => b"<?xml version='1.0'?><tt xmlns='http://www.w3.org/ns/ttml'></tt>".to_vec(),
    }
}

/// Runs everything over `units` and checks that portions make no difference.
fn check(container: Container, units: &[Vec<u8>], portion: usize) {
    let run = Run { init: Some(Bytes::from(units[0].clone())), ..Run::new(container) };
    for run in [Run::new(container), run] {
        let options = DemuxOptions { max_packet_len: 2000, max_header_len: 4000, ..DemuxOptions::default() };
        let units: Vec<_> = units.iter().map(Vec::as_slice).collect();
        let whole = demux(options.clone(), run.clone(), &units, usize::MAX);
        assert_eq!(demux(options, run, &units, portion), whole, "{container} in portions of {portion}");
    }
    for unit in units {
        let _ = sniff(unit, true);
        let first = first_timestamp(container, Some(&units[0]), unit);
        assert_ne!(first, FirstTimestamp::At(crate::Timestamp::mpeg(i64::MIN)));
        let judge = |portion: usize| {
            let mut check = SegmentCheck::new(container);
            unit.chunks(portion).for_each(|chunk| check.push(chunk));
            let order = (check.sure(), check.open(), check.stray(), check.has_movie(), check.has_fragment());
            assert!(check.sure() <= check.stray().map_or(unit.len() as u64, |stray| stray.at));
            (check.covered(None), check.covered(check.clocks()), order, check.finish())
        };
        assert_eq!(judge(portion), judge(usize::MAX), "{container} in portions of {portion}");
    }
}

#[test]
fn good_units_are_judged_whole_and_recognised() {
    for container in CONTAINERS {
        let unit = sample(container);
        let mut whole = SegmentCheck::new(container);
        whole.push(&unit);
        assert_eq!(whole.finish(), Ok(()), "{container}");
        let recognised = sniff(&unit, true);
        let same = recognised == crate::Sniff::Media(container) || container == Container::Ac3;
        assert!(same, "{container}: {recognised:?}");
        check(container, &[unit.clone(), unit], 13);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn noise_is_survived(
        container in prop::sample::select(&CONTAINERS[..]),
        units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..3),
        portion in 1_usize..300,
    ) {
        check(container, &units, portion);
    }

    #[test]
    fn damaged_units_are_survived(
        container in prop::sample::select(&CONTAINERS[..]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        gap in (any::<prop::sample::Index>(), 0_usize..200),
        portion in 1_usize..300,
    ) {
        let good = sample(container);
        let mut bad = good.clone();
        for (at, value) in damage {
            let at = at.index(bad.len());
            bad[at] ^= value;
        }
        let mut short = good.clone();
        short.truncate(cut.index(good.len()));
        let mut holed = good.clone();
        let from = gap.0.index(good.len());
        holed.drain(from..(from + gap.1).min(good.len()));
        check(container, &[good, bad, short, holed], portion);
    }
}
