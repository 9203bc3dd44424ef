//! Real media: what comes out of the fixtures is what ffprobe finds in them.

#![expect(clippy::disallowed_methods, reason = "the crate reads no files, its tests read fixtures")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use kithara_demux::output::{Cue, Output, Packet};
use kithara_demux::track::{Codec, Track};
use kithara_demux::{
    Container, DemuxOptions, Demuxer, FirstTimestamp, Run, SegmentCheck, Sniff, first_timestamp, sniff,
};

/// What is to be found of one track: id, codec, packets, bytes of data, first and last presentation time.
type Facts = (u32, Codec, usize, usize, i64, i64);

fn read(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
}

/// The units of a folder, by the pattern of their names: `{}` stands for the number.
fn units(pattern: &str, count: usize) -> Vec<Bytes> {
    (0..count).map(|number| read(&pattern.replace("{}", &number.to_string()))).collect()
}

/// Everything found in a run.
#[derive(Default, PartialEq, Debug)]
struct Found {
    tracks: Vec<Track>,
    packets: BTreeMap<u32, Vec<Packet>>,
    /// The first packet of sound or pictures of each unit.
    firsts: Vec<(u32, i64)>,
    cues: Vec<Cue>,
}

fn demux(container: Container, init: Option<&Bytes>, units: &[Bytes], portion: usize) -> Found {
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    let mut run = Run::new(container);
    run.init = init.cloned();
    demuxer.start_run(run);
    let mut found = Found::default();
    for unit in units {
        let mut rest = unit.clone();
        let mut is_first = true;
        while !rest.is_empty() {
            demuxer.push(rest.split_to(portion.min(rest.len())));
            found.take(&mut demuxer, &mut is_first);
        }
        demuxer.end_unit();
        found.take(&mut demuxer, &mut is_first);
    }
    found
}

impl Found {
    fn take(&mut self, demuxer: &mut Demuxer, is_first: &mut bool) {
        while let Some(output) = demuxer.poll() {
            match output.unwrap() {
                Output::Tracks(tracks) => self.tracks = tracks,
                Output::Cue(cue) => self.cues.push(cue),
                Output::Packet(packet) => {
                    if std::mem::take(is_first) {
                        self.firsts.push((packet.track.0, packet.pts));
                    }
                    self.packets.entry(packet.track.0).or_default().push(packet);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn facts(&self) -> Vec<Facts> {
        let facts = self.packets.iter().map(|(id, packets)| {
            let codec = self.tracks.iter().find(|track| track.id.0 == *id).map(|track| track.codec);
            let bytes = packets.iter().map(|packet| packet.data.len()).sum();
            (*id, codec.unwrap(), packets.len(), bytes, packets[0].pts, packets[packets.len() - 1].pts)
        });
        facts.collect()
    }
}

/// Checks that units are recognised, whole, begin where they say, and hold what they should, in portions of any size.
#[track_caller]
fn check(container: Container, init: Option<&str>, units: &[Bytes], want: &[Facts]) -> Found {
    let init = init.map(read);
    let found = demux(container, init.as_ref(), units, usize::MAX);
    assert_eq!(found.facts(), want);
    for portion in [61, 1000] {
        assert_eq!(demux(container, init.as_ref(), units, portion), found, "in portions of {portion}");
    }
    for (unit, (track, first)) in units.iter().zip(&found.firsts) {
        assert_eq!(sniff(unit, true), Sniff::Media(container));
        let timescale = found.tracks.iter().find(|known| known.id.0 == *track).unwrap().timescale;
        let FirstTimestamp::At(start) = first_timestamp(container, init.as_deref(), unit) else {
            panic!("no first timestamp")
        };
        if want.len() == 1 {
            assert_eq!((start.value, start.timescale), (*first, timescale));
        }
        assert_eq!(whole(container, unit), Ok(()));
        assert!(whole(container, &unit[..unit.len() - 1]).is_err());
    }
    found
}

fn whole(container: Container, unit: &[u8]) -> Result<(), kithara_demux::Incomplete> {
    let mut check = SegmentCheck::new(container);
    unit.chunks(777).for_each(|chunk| check.push(chunk));
    assert_eq!(check.stray(), None, "{container}");
    check.finish()
}

/// Checks how much time the units of a folder have, in microseconds, and that each has less when it is cut at one of its seams.
#[track_caller]
fn check_covered(container: Container, init: Option<&Bytes>, units: &[Bytes], seams: &[usize], want: &[u64]) {
    let mut header = SegmentCheck::new(Container::Fmp4);
    header.push(init.map_or(&[], |init| init));
    let covered = |unit: &[u8]| {
        let mut check = SegmentCheck::new(container);
        unit.chunks(777).for_each(|chunk| check.push(chunk));
        check.covered(header.clocks()).map(|it| u64::try_from(it.as_micros()).unwrap())
    };
    assert_eq!(units.iter().map(|unit| covered(unit).unwrap()).collect::<Vec<_>>(), want, "{container}");
    for seam in seams {
        assert_eq!(whole(container, &units[0][..*seam]), Ok(()), "{container} ends whole at {seam}");
        assert!(covered(&units[0][..*seam]).unwrap() < want[0], "{container} cut at {seam}");
    }
}

/// The seams of packed audio: where frames end that are not the last; they are told by the two bytes they begin with.
fn seams_of(container: Container, unit: &[u8], sync: [u8; 2]) -> Vec<usize> {
    (1..unit.len()).filter(|at| unit[*at..].starts_with(&sync) && whole(container, &unit[..*at]).is_ok()).collect()
}

#[test]
fn units_have_the_time_that_their_playlist_says_and_less_where_they_are_cut_at_a_seam() {
    let adts = units("adts/seg{}.aac", 5);
    let seams = seams_of(Container::Adts, &adts[0], [0xFF, 0xF1]);
    assert!(seams.len() > 20, "{seams:?}");
    check_covered(Container::Adts, None, &adts, &seams, &[1_002_666, 1_002_666, 1_002_666, 1_002_666, 917_333]);
    let mp3 = units("mp3/seg{}.mp3", 5);
    let seams = seams_of(Container::Mp3, &mp3[0], [0xFF, 0xFB]);
    assert!(seams.len() > 20, "{seams:?}");
    check_covered(Container::Mp3, None, &mp3, &seams, &[1_018_775, 992_653, 992_653, 1_018_775, 914_285]);
    let init = read("fmp4_aac/init.mp4");
    let fmp4 = units("fmp4_aac/seg{}.m4s", 5);
    check_covered(Container::Fmp4, Some(&init), &fmp4, &[], &[1_002_666, 1_002_666, 1_002_666, 1_002_666, 910_666]);
    // Two fragments, as low latency has them.
    let both: Bytes = [&fmp4[0][..], &fmp4[1]].concat().into();
    check_covered(Container::Fmp4, Some(&init), &[both], &[fmp4[0].len()], &[2_005_333]);
}

const AAC: Codec = Codec::Aac;

#[test]
fn transport_streams_of_sound() {
    let found = check(
        Container::MpegTs,
        None,
        &units("ts_aac/seg{}.ts", 5),
        &[(256, AAC, 231, 31_540 - 231 * 7, 126_000, 567_600)],
    );
    let audio = found.tracks[0].audio.unwrap();
    assert_eq!((audio.sample_rate, audio.channels, &found.tracks[0].config[..]), (48_000, 2, &[0x11, 0x90][..]));
}

#[test]
fn transport_streams_of_sound_and_pictures() {
    let found = check(
        Container::MpegTs,
        None,
        &units("ts_av/seg{}.ts", 5),
        &[(256, Codec::H264, 49, 3890, 144_000, 567_000), (257, AAC, 231, 31_540 - 231 * 7, 142_080, 583_680)],
    );
    let video = &found.packets[&256];
    assert!(video.iter().all(|packet| packet.dts <= packet.pts));
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    assert_eq!(video.iter().filter(|packet| packet.is_keyframe).count(), 5);
    check(
        Container::MpegTs,
        None,
        &units("av_master/iframes/seg{}.ts", 5),
        &[(256, Codec::H264, 5, 3003, 126_000, 486_000)],
    );
}

#[test]
fn transport_streams_on_both_sides_of_a_discontinuity() {
    let first = units("ts_discontinuity/a_seg{}.ts", 3);
    check(Container::MpegTs, None, &first, &[(256, AAC, 137, 18_719 - 137 * 7, 126_000, 387_120)]);
    let second = units("ts_discontinuity/b_seg{}.ts", 3);
    let found = check(Container::MpegTs, None, &second, &[(256, AAC, 126, 19_322 - 126 * 7, 126_000, 387_225)]);
    let audio = found.tracks[0].audio.unwrap();
    assert_eq!((audio.sample_rate, audio.channels), (44_100, 1));
}

#[test]
fn fragments_of_all_codecs() {
    let fmp4 = |folder: &str, count, want: Facts| {
        let init = format!("{folder}/init.mp4");
        check(Container::Fmp4, Some(&init), &units(&format!("{folder}/seg{{}}.m4s"), count), &[want])
    };
    fmp4("fmp4_aac", 5, (1, AAC, 231, 29_923, 0, 235_520));
    let flac = fmp4("fmp4_flac", 2, (1, Codec::Flac, 27, 41_093, 0, 29_952));
    assert_eq!((flac.tracks[0].config.len(), flac.tracks[0].audio.unwrap().sample_rate), (34, 16_000));
    let alac = fmp4("fmp4_alac", 2, (1, Codec::Alac, 8, 56_423, 0, 28_672));
    assert_eq!((alac.tracks[0].config.len(), alac.tracks[0].audio.unwrap().sample_rate), (24, 16_000));
    fmp4("fmp4_mp3", 5, (1, Codec::Mp3, 189, 29_623, 0, 216_576));
    let video = fmp4("av_master/video", 5, (1, Codec::H264, 49, 3411, 2048, 50_176));
    let size = video.tracks[0].video.unwrap();
    assert_eq!((size.width, size.height), (64, 36));
    fmp4("av_master/audio_de", 5, (1, AAC, 231, 32_040, 0, 235_520));
}

#[test]
fn fragments_on_both_sides_of_a_discontinuity() {
    let part = |letter: &str, want: Facts| {
        let init = format!("fmp4_discontinuity/{letter}_init.mp4");
        let units = units(&format!("fmp4_discontinuity/{letter}_seg{{}}.m4s"), 3);
        check(Container::Fmp4, Some(&init), &units, &[want]);
    };
    part("a", (1, AAC, 137, 17_760, 0, 139_264));
    part("b", (1, AAC, 126, 18_440, 0, 128_000));
}

#[test]
fn ranges_of_one_file() {
    let file = read("fmp4_byterange/all.mp4");
    let want = [(1, AAC, 231, 29_923, 0, 235_520)];
    check(Container::Fmp4, None, std::slice::from_ref(&file), &want);
    let ranges = [765..7273, 7273..13_697, 13_697..20_103, 20_103..26_471, 26_471..32_584];
    let units: Vec<_> = ranges.into_iter().map(|range| file.slice(range)).collect();
    let found = demux(Container::Fmp4, Some(&file.slice(..765)), &units, usize::MAX);
    assert_eq!(found.facts(), want);
}

#[test]
fn packed_audio() {
    let adts = (0, AAC, 231, 29_923, 0, 360_960 + 42 * 1920);
    check(Container::Adts, None, &units("adts/seg{}.aac", 5), &[adts]);
    let mp3 = (0, Codec::Mp3, 189, 39_497, 0, 362_057 + 79_935);
    let found = check(Container::Mp3, None, &units("mp3/seg{}.mp3", 5), &[mp3]);
    let starts: Vec<_> = found.firsts.iter().map(|(_, start)| *start).collect();
    assert_eq!(starts, [0, 0x1_662A, 0x2_C325, 0x4_201F, 0x5_8649]);
}

/// Frames of up to `count` of these blocks each, without checksums and so without the places of the blocks.
fn joined(blocks: &[Bytes], config: &[u8], count: usize) -> Bytes {
    let (rate_index, channels) = ((config[0] & 7) << 1 | config[1] >> 7, config[1] >> 3 & 15);
    let mut out = Vec::new();
    for blocks in blocks.chunks(count) {
        let len = 7 + blocks.iter().map(Bytes::len).sum::<usize>();
        let (channels, last) = (channels << 6 | (len >> 11) as u8, blocks.len() as u8 - 1);
        out.extend([
            0xFF,
            0xF1,
            0x40 | rate_index << 2,
            channels,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1F,
            0xFC | last,
        ]);
        blocks.iter().for_each(|block| out.extend_from_slice(block));
    }
    out.into()
}

/// Of two encoders, at five rates: long and short windows, noise, intensity, noise shaping and band replication.
#[test]
fn blocks_that_follow_one_another_without_their_places_are_told_apart() {
    let media = |name: &str| read(&format!("../crates/kithara-decode/tests/media/{name}"));
    let own = |name: &str| demux(Container::Adts, None, &[media(name)], usize::MAX);
    let fmp4 = |folder: &str, name: &str, count| {
        let init = read(&format!("{folder}/{name}init.mp4"));
        demux(Container::Fmp4, Some(&init), &units(&format!("{folder}/{name}seg{{}}.m4s"), count), usize::MAX)
    };
    for found in [
        fmp4("fmp4_aac", "", 5),
        fmp4("fmp4_discontinuity", "b_", 3),
        fmp4("av_clicks/audio_de", "", 7),
        demux(Container::MpegTs, None, &units("ts_aac/seg{}.ts", 5), usize::MAX),
        own("tones.aac"),
        own("low_rate.aac"),
        own("he_v1.aac"),
        own("he_v2.aac"),
    ] {
        let want: Vec<_> = found.packets.values().flatten().map(|packet| packet.data.clone()).collect();
        for count in 1..=4 {
            let again = demux(Container::Adts, None, &[joined(&want, &found.tracks[0].config, count)], 1000);
            assert!(again.packets[&0].iter().map(|packet| &packet.data).eq(&want), "{count} of {:?}", found.tracks);
        }
    }
}

#[test]
fn subtitles() {
    let found = demux(Container::WebVtt, None, &units("av_master/subs_en/subs{}.vtt", 2), usize::MAX);
    let cues: Vec<_> = found.cues.iter().map(|cue| (cue.start, cue.end, &cue.text[..])).collect();
    let across = (180_000, 315_000, "Across the boundary");
    assert_eq!(cues, [(45_000, 135_000, "First cue"), across, across, (360_000, 441_000, "Last cue")]);
}
