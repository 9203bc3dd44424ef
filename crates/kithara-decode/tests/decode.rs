//! What comes out of the workspace's fixtures and of progressive files: how much, and which tones when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use kithara_decode::{DecodeErrorKind, Output, PcmSpec, Player, SoundCodec};
use kithara_stream::Container::{self, Adts, Fmp4, Mp3, MpegTs};
use support::{MONO_44, STEREO_48, Script, check_tones, file_feed, hear, hear_as, segments, units};

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

#[test]
fn other_codecs_come_out_of_segments() {
    check_units("mp3", Mp3, STEREO_44, 217_728, 1105);
    check_units("fmp4_mp3", Fmp4, STEREO_44, 217_728, 1105);
    check_units("fmp4_flac", Fmp4, MONO_16, 30_400, 0);
    check_units("fmp4_alac", Fmp4, MONO_16, 30_400, 0);
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
    let bytes = |bytes: &'static [u8]| kithara_stream::Feed::Bytes(Box::new(kithara_stream::BytesSource::from(bytes)));
    let error = hear(bytes(b"<html>no sound in here, only words that go on and on</html>")).unwrap_err();
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
