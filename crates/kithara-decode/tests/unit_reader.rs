//! Units through stock symphonia: the same sound as the decoder of this crate gives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod support;

use kithara_decode::UnitReader;
use kithara_stream::{
    Container::{self, Adts, Fmp4, MpegTs},
    Feed, RunReason, UnitBody,
};
use support::{MONO_44, STEREO_48, Script, difference, hear, segments, units};
use symphonia::core::{
    codecs::audio::{AudioDecoder, AudioDecoderOptions},
    errors::Error,
    formats::{FormatReader, SeekMode, SeekTo, TrackType},
    units::{Time, Timestamp},
};

/// Codecs fill bands with noise of their own, which depends on where they begin.
const NOISE: f64 = 1e-3;

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the wire broke")]
struct Lost;

fn open(script: Script) -> UnitReader {
    let Feed::Units(feed) = units(script) else { panic!("a script is a feed of units") };
    UnitReader::open(feed).unwrap()
}

fn decoder(reader: &UnitReader) -> Box<dyn AudioDecoder> {
    let track = reader.default_track(TrackType::Audio).unwrap();
    let params = track.codec_params.as_ref().unwrap().audio().unwrap();
    let options = AudioDecoderOptions::default().gapless(false);
    symphonia::default::get_codecs().make_audio_decoder(params, &options).unwrap()
}

/// What is heard up to the end or an error, trims taken off, and where its first frame lies.
fn play(reader: &mut UnitReader) -> (Vec<f32>, Option<i64>, Option<Error>) {
    let (mut decoder, mut heard, mut buffer, mut start) = (decoder(reader), Vec::new(), Vec::new(), None);
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return (heard, start, None),
            Err(error) => return (heard, start, Some(error)),
        };
        let frames = decoder.decode(&packet).unwrap();
        let channels = frames.spec().channels().count();
        frames.copy_to_vec_interleaved::<f32>(&mut buffer);
        let trims = [packet.trim_start, packet.trim_end].map(|trim| usize::try_from(trim.get()).unwrap() * channels);
        let kept = &buffer[trims[0].min(buffer.len())..buffer.len().saturating_sub(trims[1])];
        if !kept.is_empty() {
            start.get_or_insert(packet.pts.get());
        }
        heard.extend_from_slice(kept);
    }
}

#[track_caller]
fn check(folder: &str, container: Container, breaks: impl Fn(usize) -> Option<RunReason> + Copy) {
    let want = hear(units(Script::new(segments(folder, container)))).unwrap().only().1;
    let (heard, start, error) = play(&mut open(Script::with_breaks(segments(folder, container), breaks)));
    assert!(error.is_none(), "{folder}: {error:?}");
    assert_eq!((heard.len(), start), (want.len(), Some(0)), "{folder}");
    assert!(heard == want, "{folder}: other sound");
}

#[test]
fn every_container_gives_the_same_sound() {
    for (folder, container) in
        [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("adts", Adts), ("mp3", Container::Mp3), ("fmp4_flac", Fmp4)]
    {
        check(folder, container, |_| None);
        check(folder, container, |index| (index > 0).then_some(RunReason::Switch));
    }
}

#[test]
fn a_unit_that_is_delivered_again_is_trimmed_away() {
    let want = hear(units(Script::new(segments("fmp4_aac", Fmp4)))).unwrap().only().1;
    let (heard, _, error) = play(&mut open(Script::new(segments("fmp4_aac", Fmp4)).cut(2, 2000)));
    assert!(error.is_none());
    assert_eq!(heard.len(), want.len());
}

#[test]
fn another_configuration_asks_for_new_decoders() {
    let mut reader = open(Script::new(segments("fmp4_discontinuity", Fmp4)));
    let rate = |reader: &UnitReader| reader.tracks()[0].time_base.unwrap().denom.get();
    assert_eq!(rate(&reader), STEREO_48.sample_rate);
    let (before, _, error) = play(&mut reader);
    assert!(matches!(error, Some(Error::ResetRequired)), "{error:?}");
    assert_eq!(rate(&reader), MONO_44.sample_rate);
    let (after, start, error) = play(&mut reader);
    assert!(error.is_none(), "{error:?}");
    assert!(!before.is_empty() && !after.is_empty());
    let seconds = start.unwrap() as f64 / f64::from(MONO_44.sample_rate);
    assert!((2.9..3.1).contains(&seconds), "it goes on where the first ended: {seconds}");
}

#[test]
fn a_seek_gives_the_sound_from_there() {
    for (folder, container) in [("fmp4_aac", Fmp4), ("ts_aac", MpegTs), ("mp3", Container::Mp3)] {
        let script = || Script::new(segments(folder, container));
        let whole = hear(units(script())).unwrap().only().1;
        let mut reader = open(script());
        let rate = i64::from(reader.tracks()[0].time_base.unwrap().denom.get());
        let time = Time::from_nanos(3_300_000_000);
        let sought = reader.seek(SeekMode::Accurate, SeekTo::Time { time, track_id: None }).unwrap();
        assert_eq!(sought.required_ts, Timestamp::new(rate * 33 / 10), "{folder}");
        assert!(sought.actual_ts <= sought.required_ts, "{folder}: {sought:?}");
        let (heard, start, error) = play(&mut reader);
        assert!(error.is_none(), "{folder}: {error:?}");
        assert_eq!(start, Some(sought.actual_ts.get()), "{folder}");
        // Whole frames of two channels, counted from the end, which both have.
        let wanted = whole.len() - usize::try_from(sought.required_ts.get()).unwrap() * 2;
        assert!(heard.len() >= wanted, "{folder}");
        let off = difference(&heard[heard.len() - wanted..], &whole[whole.len() - wanted..]);
        assert!(off <= NOISE, "{folder}: off by {off}");
    }
}

#[test]
fn beyond_the_end_is_out_of_range_and_back_plays_again() {
    let mut reader = open(Script::new(segments("fmp4_aac", Fmp4)));
    let to = |seconds: i64| SeekTo::Time { time: Time::from_nanos(seconds * 1_000_000_000), track_id: None };
    assert!(matches!(reader.seek(SeekMode::Accurate, to(3600)), Err(Error::SeekError(_))));
    assert!(reader.seek(SeekMode::Accurate, to(0)).is_ok());
    assert!(!play(&mut reader).0.is_empty());
}

#[test]
fn an_error_of_the_feed_is_the_error_of_the_reader() {
    let (writer, body) = UnitBody::channel();
    writer.fail(Lost);
    let script = Script::new(segments("fmp4_aac", Fmp4)).with_body(1, body);
    let (heard, _, error) = play(&mut open(script));
    assert!(!heard.is_empty());
    let Some(Error::IoError(error)) = error else { panic!("{error:?}") };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(below) = cause.and_then(std::error::Error::source) {
        cause = Some(below);
    }
    assert_eq!(cause.unwrap().to_string(), "the wire broke");
}
