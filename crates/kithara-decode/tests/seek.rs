//! Seeks land on the very sample, whatever the container.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may")]

mod support;

use std::time::Duration;

use kithara_decode::{DecodeOptions, Output, Pcm, PcmReader, PcmSpec, Player};
use kithara_stream::{Container, Feed, RunReason};
use support::{
    Gate, STEREO_48, Script, bytes_feed, difference, file_feed, hear, joined, media, read_exact, segments, units,
};

/// Frames compared behind each target.
const COMPARED: usize = 700;

/// Frames to both sides of a target among which the one that was hit is looked for.
const SEARCHED: usize = 48;

/// Root mean square by which what is heard may differ: AAC fills bands with noise of the decoder's own, which goes on
/// from where it was. One sample beside the target it is five times this.
const NOISE: f64 = 0.01;

/// A small generator of numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Seeks to 100 frames and compares what is heard there with what is heard there without a seek. Prints by how many frames
/// the worst one missed, which `--nocapture` shows.
#[track_caller]
fn check(name: &str, feed: impl Fn() -> Feed, tolerance: f64) {
    let (spec, whole) = hear(feed()).unwrap().only();
    let width = usize::from(spec.channels);
    let frames = whole.len() / width;
    let (player, mut reader) = Player::start(feed(), &DecodeOptions::default()).unwrap();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut worst = 0;
    for _ in 0..100 {
        let frame = dice.below(frames - COMPARED);
        player.seek(spec.duration_of(frame as u64));
        let heard = read_exact(&mut reader, COMPARED * width);
        let off = |at: usize| difference(&heard, &whole[at * width..]);
        assert!(off(frame) <= tolerance, "{name}: off by {} at frame {frame} of {frames}", off(frame));
        let places = frame.saturating_sub(SEARCHED)..=(frame + SEARCHED).min(frames - COMPARED);
        let nearest = if off(frame) == 0.0 { Some(frame) } else { places.min_by(|a, b| off(*a).total_cmp(&off(*b))) };
        worst = worst.max(nearest.unwrap().abs_diff(frame));
        let position = spec.duration_of((frame + COMPARED) as u64);
        assert!(reader.position().abs_diff(position) < Duration::from_nanos(3), "{name}: {:?}", reader.position());
    }
    println!("{name:16} 100 seeks, worst error {worst} samples");
    assert_eq!(worst, 0, "{name}");
}

#[track_caller]
fn check_units(folder: &str, container: Container) {
    let tolerance = if folder.contains("mp3") || folder.contains("lac") { 0.0 } else { NOISE };
    check(folder, || units(Script::new(segments(folder, container))), tolerance);
}

#[track_caller]
fn check_file(name: &str) {
    let is_aac = ["tones.m4a", "fast.m4a", "tones.aac"].contains(&name);
    check(name, || file_feed(name), if is_aac { NOISE } else { 0.0 });
}

#[test]
fn a_hundred_seeks_in_units_are_exact_to_the_sample() {
    check_units("fmp4_aac", Container::Fmp4);
    check_units("ts_aac", Container::MpegTs);
    check_units("adts", Container::Adts);
    check_units("mp3", Container::Mp3);
    check_units("fmp4_mp3", Container::Fmp4);
    check_units("fmp4_flac", Container::Fmp4);
    check_units("fmp4_alac", Container::Fmp4);
}

#[test]
fn a_hundred_seeks_in_files_are_exact_to_the_sample() {
    check_file("tones.wav");
    check_file("tones.flac");
    check_file("tones.ogg");
    check_file("tones.mp3");
    check_file("tones.m4a");
    check_file("fast.m4a");
    check_file("alac.m4a");
    check_file("tones.aac");
    check_file("guess.mp3");
    // Frames of four blocks.
    check("tones.aac joined", || bytes_feed(&joined(&media("tones.aac"), false)), NOISE);
}

/// Decoding begins two seconds in front of the target: here with a long block behind a short one, which lasts less than what
/// a decoder makes of it on its own.
#[test]
fn a_seek_that_begins_to_decode_behind_a_short_block_lands_on_its_sample() {
    let (spec, whole) = hear(file_feed("blocks.ogg")).unwrap().only();
    let (player, mut reader) = Player::start(file_feed("blocks.ogg"), &DecodeOptions::default()).unwrap();
    for frame in (88_200..92_800).step_by(97) {
        player.seek(spec.duration_of(frame as u64));
        assert_eq!(difference(&read_exact(&mut reader, COMPARED * 2), &whole[frame * 2..]), 0.0, "{frame}");
    }
}

/// All links of one format, and the last one of another.
#[test]
fn seeks_find_every_stream_of_a_file() {
    let heard = hear(file_feed("chained.ogg")).unwrap();
    let (player, mut reader) = Player::start(file_feed("chained.ogg"), &DecodeOptions::default()).unwrap();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for _ in 0..100 {
        let (start, (spec, samples)) = match dice.below(2) {
            0 => (Duration::ZERO, &heard.stretches[0]),
            _ => (Duration::from_millis(2500), &heard.stretches[1]),
        };
        let width = usize::from(spec.channels);
        let frame = dice.below(samples.len() / width - COMPARED);
        player.seek(start + spec.duration_of(frame as u64));
        let heard = read_exact(&mut reader, COMPARED * width);
        assert_eq!(difference(&heard, &samples[frame * width..]), 0.0, "{spec} {frame}");
    }
}

/// Bytes that come when they are let in, so that one seek finds the other on its way.
#[test]
fn a_seek_that_interrupts_another_lands_on_its_sample() {
    for (name, tolerance) in [("tones.mp3", 0.0), ("tones.aac", NOISE)] {
        let (spec, whole) = hear(file_feed(name)).unwrap().only();
        let bytes = media(name);
        let gate = Gate::new(bytes.clone(), bytes.len() as u64 * 7 / 8 + 50);
        let (player, mut reader) = Player::start(gate.feed(), &DecodeOptions::default()).unwrap();
        read_exact(&mut reader, 64);
        player.seek(Duration::from_millis(2700));
        gate.wait_for_reader();
        player.seek(Duration::from_millis(2800));
        gate.open();
        let heard = read_exact(&mut reader, 1000);
        let off = difference(&heard, &whole[spec.sample_rate as usize * 28 / 10 * 2..]);
        assert!(off <= tolerance, "{name}: off by {off}");
    }
}

#[test]
fn a_stream_begins_where_it_is_told_to() {
    let start = Some(Duration::from_millis(1250));
    let feed = || units(Script::new(segments("ts_aac", Container::MpegTs)));
    let (_player, mut reader) = Player::start(feed(), &DecodeOptions { start, ..DecodeOptions::default() }).unwrap();
    let heard = read_exact(&mut reader, 2000);
    let (_, whole) = hear(feed()).unwrap().only();
    assert!(difference(&heard, &whole[60_000 * 2..]) <= NOISE);
}

#[test]
fn a_seek_beyond_the_end_ends_and_a_seek_back_plays_again() {
    for feed in
        [units(Script::new(segments("fmp4_aac", Container::Fmp4))), file_feed("tones.m4a"), file_feed("tones.mp3")]
    {
        let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
        read_exact(&mut reader, 100);
        player.seek(Duration::from_secs(60));
        assert_eq!(end(&mut reader), 0);
        assert_eq!(reader.read(&mut [0.0; 8]).unwrap(), Pcm::End, "the end lasts");
        player.seek(Duration::from_secs(1));
        read_exact(&mut reader, 100);
        assert!(reader.position() > Duration::from_secs(1));
        assert!(end(&mut reader) > 1000);
    }
}

/// Samples up to the end.
fn end(reader: &mut PcmReader) -> usize {
    let mut samples = 0;
    loop {
        match reader.read(&mut [0.0; 1000]).unwrap() {
            Pcm::End => return samples,
            Pcm::Samples(count) => samples += count,
            Pcm::SpecChanged(_) => {}
        }
    }
}

#[test]
fn seeks_across_formats_tell_the_format_that_comes() {
    let feed = units(Script::new(segments("fmp4_discontinuity", Container::Fmp4)));
    let (player, mut reader) = Player::start(feed, &DecodeOptions::default()).unwrap();
    let mut buffer = [0.0; 64];
    let mono = PcmSpec { sample_rate: 44_100, channels: 1 };
    for (seconds, spec) in [(0, STEREO_48), (4, mono), (5, mono), (1, STEREO_48), (4, mono)] {
        player.seek(Duration::from_secs(seconds));
        while !matches!(reader.read(&mut buffer).unwrap(), Pcm::Samples(_)) {}
        assert_eq!(reader.spec(), Some(spec), "{seconds}");
        assert!(reader.position().abs_diff(Duration::from_secs(seconds)) < Duration::from_millis(10));
    }
}

#[test]
fn a_seek_with_a_fixed_format_lands_on_the_time() {
    let spec = PcmSpec { sample_rate: 44_100, channels: 2 };
    let feed = units(Script::new(segments("fmp4_aac", Container::Fmp4)));
    let options = DecodeOptions { output: Output::Fixed(spec), ..DecodeOptions::default() };
    let (player, mut reader) = Player::start(feed, &options).unwrap();
    // 1,024 frames of priming are part of the sound here.
    let delay = 1024 * 44_100 / 48_000;
    for second in [3, 1, 2] {
        player.seek(Duration::from_secs(second));
        let heard = read_exact(&mut reader, 44_100 * 2);
        support::check_tones(&heard, spec, second as usize * 44_100, delay);
    }
}

#[test]
fn only_the_last_of_many_seeks_is_heard() {
    let feed = || units(Script::with_breaks(segments("ts_aac", Container::MpegTs), |_| Some(RunReason::Switch)));
    let (_, whole) = hear(feed()).unwrap().only();
    let (player, mut reader) = Player::start(feed(), &DecodeOptions::default()).unwrap();
    for round in 0..50 {
        for millis in [100, 3000, 700, 4000 - round * 10] {
            player.seek(Duration::from_millis(millis));
        }
        let frame = (4000 - round as usize * 10) * 48;
        assert!(difference(&read_exact(&mut reader, 64), &whole[frame * 2..]) <= NOISE, "{round}");
    }
}
