//! What comes out of the workspace's fixtures and of progressive files: how much, and which tones when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use std::time::Duration;

use kithara_decode::{DecodeErrorKind, Output, PcmSpec, Player, SoundCodec};
use kithara_stream::Container::{self, Adts, Fmp4, Mp3, MpegTs};
use support::{
    MONO_44, STEREO_48, Script, Segment, bytes_feed, check_tones, difference, file_feed, frame_len, hear, hear_as,
    joined, media, segments, units,
};

const STEREO_44: PcmSpec = PcmSpec { sample_rate: 44_100, channels: 2 };
const MONO_16: PcmSpec = PcmSpec { sample_rate: 16_000, channels: 1 };

/// Frames are what ffmpeg decodes of the same stream; `delay` is the encoder's priming where nothing signals it.
#[track_caller]
fn check_units(folder: &str, container: Container, spec: PcmSpec, frames: usize, delay: usize) {
    let heard = hear(units(Script::new(segments(folder, container)))).unwrap();
    assert_eq!(heard.frames(), [(spec, frames)], "{folder}");
    check_tones(&heard.stretches[0].1, spec, 0, delay);
}

#[test]
fn aac_comes_out_of_every_container_alike() {
    check_units("fmp4_aac", Fmp4, STEREO_48, 236_544, 1024);
    check_units("ts_aac", MpegTs, STEREO_48, 236_544, 1024);
    check_units("ts_av", MpegTs, STEREO_48, 236_544, 1024);
    check_units("adts", Adts, STEREO_48, 236_544, 1024);
    let alike = [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("adts", Adts)]
        .map(|(folder, container)| hear(units(Script::new(segments(folder, container)))).unwrap().only().1);
    assert!(alike[0] == alike[1] && alike[0] == alike[2]);
}

/// ffmpeg gives the same where there are no checksums, and nothing but errors where there are; ExoPlayer and hls.js take
/// a frame for one block of 1,024 samples, so that most of the sound is lost and what is left comes too early.
#[test]
fn blocks_that_share_a_frame_are_heard_as_if_each_had_a_frame_of_its_own() {
    let whole = segments("adts", Adts);
    let (spec, want) = hear(units(Script::new(whole.clone()))).unwrap().only();
    for is_checked in [false, true] {
        let segments =
            whole.iter().map(|segment| Segment { bytes: joined(&segment.bytes, is_checked).into(), ..segment.clone() });
        let (heard_spec, heard) = hear(units(Script::new(segments.collect()))).unwrap().only();
        assert_eq!(heard_spec, spec);
        assert!(heard == want, "{is_checked}: {} of {} samples", heard.len(), want.len());
    }
}

#[test]
fn blocks_that_share_a_frame_are_heard_in_files_as_well() {
    let (spec, want) = hear(file_feed("tones.aac")).unwrap().only();
    for is_checked in [false, true] {
        let (heard_spec, heard) = hear(bytes_feed(&joined(&media("tones.aac"), is_checked))).unwrap().only();
        assert_eq!(heard_spec, spec);
        assert!(heard == want, "{is_checked}: {} of {} samples", heard.len(), want.len());
    }
}

/// The first block of the sixth frame is none that can be decoded, nor one that can be passed over.
#[test]
fn what_follows_a_block_without_an_end_is_silence_and_the_next_frame_is_heard_at_its_time() {
    let (spec, want) = hear(file_feed("tones.aac")).unwrap().only();
    let mut bytes = joined(&media("tones.aac"), false);
    let sixth = (0..5).fold(0, |at, _| at + frame_len(&bytes[at..]));
    // Coupling, of which nobody but a decoder of more than low complexity knows the end.
    bytes[sixth + 7] = 0b0100_0000;
    let segment = Segment {
        container: Adts,
        init: None,
        bytes: bytes.into(),
        duration: Duration::from_millis(2900),
        is_discontinuity: false,
    };
    let (heard_spec, heard) = hear(units(Script::new(vec![segment]))).unwrap().only();
    assert_eq!((heard_spec, heard.len()), (spec, want.len()));
    let of_frame = |frame: usize| frame * 4 * 1024 * 2..(frame + 1) * 4 * 1024 * 2;
    assert!(heard[of_frame(4)] == want[of_frame(4)]);
    assert!(heard[of_frame(5)].iter().all(|sample| *sample == 0.0));
    // Bands are filled with noise of the decoder's own, which goes on from where it was.
    assert!(difference(&heard[of_frame(7)], &want[of_frame(7)]) < 0.01);
}

#[test]
fn other_codecs_come_out_of_segments() {
    check_units("mp3", Mp3, STEREO_44, 217_728, 1105);
    check_units("fmp4_mp3", Fmp4, STEREO_44, 217_728, 1105);
    check_units("fmp4_flac", Fmp4, MONO_16, 30_400, 0);
    check_units("fmp4_alac", Fmp4, MONO_16, 30_400, 0);
}

#[test]
fn of_several_tracks_one_is_heard_that_can_be_decoded() {
    // Twenty packets of AAC; of the first one, which is priming, only MP4 tells.
    for (name, container, packets) in [("two.ts", MpegTs, 20), ("two.mp4", Fmp4, 19)] {
        let segment = Segment {
            container,
            init: None,
            bytes: media(name),
            duration: Duration::from_millis(400),
            is_discontinuity: false,
        };
        let heard = hear(units(Script::new(vec![segment]))).unwrap();
        assert_eq!(heard.frames(), [(PcmSpec { sample_rate: 48_000, channels: 1 }, packets * 1024)], "{name}");
    }
}

#[test]
fn a_change_of_format_is_a_boundary() {
    for (folder, container) in [("fmp4_discontinuity", Fmp4), ("ts_discontinuity", MpegTs)] {
        let heard = hear(units(Script::new(segments(folder, container)))).unwrap();
        assert_eq!(heard.frames(), [(STEREO_48, 140_288), (MONO_44, 129_024)], "{folder}");
        check_tones(&heard.stretches[0].1, STEREO_48, 0, 1024);
        check_tones(&heard.stretches[1].1, MONO_44, 0, 1024);
    }
}

#[test]
fn a_change_of_format_is_not_heard_where_the_format_is_fixed() {
    for (folder, container) in [("fmp4_discontinuity", Fmp4), ("ts_discontinuity", MpegTs)] {
        let feed = || units(Script::new(segments(folder, container)));
        let (spec, samples) = hear_as(feed(), STEREO_48).unwrap().only();
        // 129,024 frames at 44.1 kHz are 140,434.3 at 48 kHz.
        assert_eq!((spec, samples.len() / 2), (STEREO_48, 140_288 + 140_434), "{folder}");
        check_tones(&samples[..140_288 * 2], STEREO_48, 0, 1024);
        let second: Vec<f32> = samples[140_288 * 2..].chunks_exact(2).map(|frame| frame[1]).collect();
        check_tones(&second, PcmSpec { channels: 1, ..STEREO_48 }, 0, 1024 * 48_000 / 44_100);
        let (_, samples) = hear_as(feed(), MONO_44).unwrap().only();
        // 140,288 frames at 48 kHz are 128,889.6 at 44.1 kHz.
        assert_eq!(samples.len(), 128_890 + 129_024, "{folder}");
    }
}

#[track_caller]
fn check_file(name: &str, spec: PcmSpec, frames: usize, delay: usize) {
    let heard = hear(file_feed(name)).unwrap();
    assert_eq!(heard.frames(), [(spec, frames)], "{name}");
    check_tones(&heard.stretches[0].1, spec, 0, delay);
}

#[test]
fn progressive_files_come_out_as_signalled() {
    check_file("tones.wav", PcmSpec { sample_rate: 8000, channels: 1 }, 15_200, 0);
    check_file("tones.flac", MONO_16, 30_400, 0);
    check_file("tones.ogg", STEREO_44, 127_890, 0);
    // The header of LAME says how much was added at both ends.
    check_file("tones.mp3", STEREO_44, 127_919, 0);
    // So does an edit list, whether it comes in front of the media or behind.
    check_file("tones.m4a", STEREO_48, 139_200, 0);
    check_file("fast.m4a", STEREO_48, 139_200, 0);
    check_file("alac.m4a", MONO_16, 30_400, 0);
    // Nothing says so in ADTS.
    check_file("tones.aac", STEREO_48, 140_288, 1024);
    check_file("low_rate.aac", PcmSpec { sample_rate: 22_050, channels: 1 }, 43_008, 1024);
}

fn boxed(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let len = u32::try_from(payload.len() + 8).unwrap();
    [&len.to_be_bytes()[..], kind, &payload].concat()
}

fn place_of(file: &[u8], kind: &[u8; 4]) -> usize {
    file.windows(4).rposition(|window| window == kind).unwrap() - 4
}

/// A file whose `moov` comes last, with this note of iTunes, and without its edit list unless that stays.
fn noted(name: &str, note: &str, keeps_edits: bool) -> Vec<u8> {
    let mut file = media(name).to_vec();
    let words = |kind: &[u8; 4], text: &[u8]| boxed(kind, &[&[0; 4], text]);
    let data = boxed(b"data", &[&[0, 0, 0, 1, 0, 0, 0, 0], note.as_bytes()]);
    let item = boxed(b"----", &[&words(b"mean", b"com.apple.iTunes"), &words(b"name", b"iTunSMPB"), &data]);
    let handler = boxed(b"hdlr", &[&[0; 8], b"mdirappl", &[0; 9]]);
    let notes = boxed(b"udta", &[&boxed(b"meta", &[&[0; 4], &handler, &boxed(b"ilst", &[&item])])]);
    let (moov, old) = (place_of(&file, b"moov"), place_of(&file, b"udta"));
    assert!(moov < old && place_of(&file, b"mdat") < moov, "offsets of the media stay");
    file.truncate(old);
    file.extend(notes);
    let len = u32::try_from(file.len() - moov).unwrap();
    file[moov..moov + 4].copy_from_slice(&len.to_be_bytes());
    if !keeps_edits {
        let edits = place_of(&file, b"edts");
        file[edits + 4..edits + 8].copy_from_slice(b"free");
    }
    file
}

#[test]
fn what_itunes_notes_is_heard_where_no_edit_list_says_it() {
    let heard = |note: &str, keeps_edits| hear(bytes_feed(&noted("tones.m4a", note, keeps_edits))).unwrap().only();
    let whole = hear(file_feed("tones.m4a")).unwrap().only().1;
    // 137 packets of 1024, of which 1024 samples come before and 64 after the 139,200 that were encoded.
    let (spec, samples) = heard(" 00000000 00000400 00000040 0000000000021FC0 00000000 00000000", false);
    assert_eq!((spec, samples.len() / 2), (STEREO_48, 139_200));
    check_tones(&samples, spec, 0, 0);
    assert!(samples == whole, "the same as an edit list gives");
    // Half a second in the middle: the note decides, to the sample.
    let (_, samples) = heard(" 00000000 0000BF80 000106C0 0000000000005DC0", false);
    assert_eq!(samples.len() / 2, 24_000);
    assert!(samples == whole[(49_024 - 1024) * 2..][..48_000]);
    let (_, samples) = heard(" 00000000 00000000 00000000 0000000000000000", false);
    assert_eq!(samples.len() / 2, 140_288, "a note that says nothing takes nothing away");
    let (_, samples) = heard(" 00000000 0000BF80 000106C0 0000000000005DC0", true);
    assert_eq!(samples.len() / 2, 139_200, "an edit list is the better word");
}

#[test]
fn files_say_how_long_they_are() {
    for (name, millis) in [
        ("tones.wav", 1900),
        ("tones.flac", 1900),
        ("tones.ogg", 2900),
        ("tones.mp3", 2900),
        ("tones.m4a", 2900),
        ("alac.m4a", 1900),
    ] {
        let (player, mut reader) = Player::start(file_feed(name), &Default::default()).unwrap();
        support::hear_all(&mut reader).unwrap();
        assert_eq!(player.duration().unwrap().as_millis(), millis, "{name}");
        assert_eq!(player.position(), reader.position(), "{name}");
        assert_eq!(reader.position().as_millis(), millis, "{name}");
    }
}

/// MPEG audio says at best in a header how many frames there are, and that holds of what the header was made for.
#[test]
fn mpeg_files_are_heard_to_their_last_frame() {
    let mono = PcmSpec { sample_rate: 22_050, channels: 1 };
    // Guessed by the first frames, which are loud, it would be half as long.
    assert_eq!(hear(file_feed("guess.mp3")).unwrap().frames(), [(mono, 98 * 576)]);
    let whole = media("tones.mp3");
    let header = 45 + 208;
    assert_eq!(hear(bytes_feed(&whole[header..])).unwrap().frames(), [(STEREO_44, 113 * 1152)], "without a header");
    // Of the second file, nothing tells that its delay and its padding are none of the sound.
    let twice = [&whole[..], &whole[..]].concat();
    assert_eq!(hear(bytes_feed(&twice)).unwrap().frames(), [(STEREO_44, 127_919 + 113 * 1152)], "two in one");
}

#[test]
fn a_file_that_is_longer_than_thought_says_so_in_the_end() {
    let (player, mut reader) = Player::start(file_feed("guess.mp3"), &Default::default()).unwrap();
    support::hear_all(&mut reader).unwrap();
    assert_eq!(player.duration().unwrap().as_millis(), 98 * 576 * 1000 / 22_050);
}

#[test]
fn streams_that_follow_each_other_in_one_file_are_all_heard() {
    let heard = hear(file_feed("chained.ogg")).unwrap();
    let mono = PcmSpec { sample_rate: 22_050, channels: 1 };
    assert_eq!(heard.frames(), [(STEREO_44, 52_920 + 57_330), (mono, 19_845)]);
    let first = &heard.stretches[0].1;
    check_tones(&first[..52_920 * 2], STEREO_44, 0, 0);
    check_tones(&first[52_920 * 2..], STEREO_44, 0, 0);
    let (player, mut reader) = Player::start(file_feed("chained.ogg"), &Default::default()).unwrap();
    support::hear_all(&mut reader).unwrap();
    assert_eq!(reader.position().as_millis(), 3400);
    assert_eq!(player.duration().unwrap().as_millis(), 3400);
}

/// Bytes of a WAV file: eight channels, a ramp in each.
fn wide_wav(is_rf64: bool) -> Vec<u8> {
    let frames = 500_u32;
    let data: Vec<u8> = (0..frames * 8).flat_map(|at| (at as i16).to_le_bytes()).collect();
    let size = |len: usize| if is_rf64 { u32::MAX } else { u32::try_from(len).unwrap() };
    let mut wav = if is_rf64 { b"RF64".to_vec() } else { b"RIFF".to_vec() };
    wav.extend(size(4 + 36 + 48 + 8 + data.len()).to_le_bytes());
    wav.extend_from_slice(b"WAVE");
    wav.extend_from_slice(if is_rf64 { b"ds64\x1C\0\0\0" } else { b"JUNK\x1C\0\0\0" });
    wav.extend_from_slice(&(4 + 36 + 48 + 8 + data.len() as u64).to_le_bytes());
    wav.extend_from_slice(&(data.len() as u64).to_le_bytes());
    wav.extend_from_slice(&[0; 12]);
    // EXTENSIBLE: the speakers of 7.1, and integers.
    wav.extend_from_slice(b"fmt \x28\0\0\0\xFE\xFF\x08\0\x80\xBB\0\0\0\xB8\x0B\0\x10\0\x10\0\x16\0\x10\0\x3F\x06\0\0");
    wav.extend_from_slice(b"\x01\0\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71");
    wav.extend_from_slice(b"data");
    wav.extend(size(data.len()).to_le_bytes());
    wav.extend(data);
    wav
}

#[test]
fn wav_files_of_many_channels_and_of_64_bit_sizes_are_heard() {
    for is_rf64 in [false, true] {
        let (spec, samples) = hear(bytes_feed(&wide_wav(is_rf64))).unwrap().only();
        assert_eq!(spec, PcmSpec { sample_rate: 48_000, channels: 8 });
        let want: Vec<f32> = (0..4000_i16).map(|at| f32::from(at) / 32_768.0).collect();
        assert!(samples == want, "{is_rf64}: {} samples", samples.len());
        let stereo = hear_as(bytes_feed(&wide_wav(is_rf64)), STEREO_48).unwrap().only().1;
        assert_eq!(stereo.len(), 1000);
    }
}

#[test]
fn a_file_is_mixed_and_resampled_to_a_fixed_format() {
    let spec = PcmSpec { sample_rate: 48_000, channels: 2 };
    let (_, samples) = hear_as(file_feed("tones.mp3"), spec).unwrap().only();
    assert_eq!(samples.len() / 2, 139_232);
    check_tones(&samples, spec, 0, 0);
    let (_, samples) = hear_as(file_feed("tones.wav"), spec).unwrap().only();
    assert_eq!(samples.len() / 2, 91_200);
    let left: Vec<f32> = samples.iter().copied().step_by(2).collect();
    check_tones(&left, PcmSpec { channels: 1, ..spec }, 0, 0);
}

#[test]
fn what_cannot_be_decoded_is_refused_by_kind() {
    let error = hear(bytes_feed(b"<html>no sound in here, only words that go on and on</html>")).unwrap_err();
    assert!(matches!(error.kind(), DecodeErrorKind::Container | DecodeErrorKind::Feed), "{error}");
    let zero = PcmSpec { sample_rate: 0, channels: 2 };
    let options = kithara_decode::DecodeOptions { output: Output::Fixed(zero), ..Default::default() };
    assert_eq!(Player::start(file_feed("tones.wav"), &options).unwrap_err().kind(), DecodeErrorKind::Output);
}

#[test]
fn stats_tell_what_was_decoded() {
    let (player, mut reader) = Player::start(file_feed("tones.m4a"), &Default::default()).unwrap();
    support::hear_all(&mut reader).unwrap();
    let stats = player.stats();
    assert_eq!((stats.codec, stats.decoded), (Some(SoundCodec::Aac), Some(STEREO_48)));
    assert_eq!((stats.packets, stats.damaged, stats.decoders, stats.underruns), (137, 0, 1, 0));
}
