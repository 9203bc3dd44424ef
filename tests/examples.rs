//! Each example is run as a user would run it, against a server on loopback.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::{
    f64::consts::TAU,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use kithara_origin::{Origin, Response, Site, demo, fixtures_dir};

/// The program that cargo built from `examples/NAME.rs`, beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // This test is target/PROFILE/deps/examples-HASH.
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(path.exists(), "{} is not built: `cargo test` or `cargo build --examples` does it", path.display());
    path
}

fn run(name: &str, args: &[&str]) -> Output {
    Command::new(example(name)).args(args).output().unwrap()
}

/// What a successful run prints.
#[track_caller]
fn printed(name: &str, args: &[&str]) -> String {
    let output = run(name, args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?} failed: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn fixtures() -> Origin {
    Origin::start(Site::new().dir("/", fixtures_dir())).unwrap()
}

/// A WAV file of 16-bit samples.
struct Wav {
    rate: u32,
    channels: usize,
    samples: Vec<i16>,
}

impl Wav {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!((&bytes[..4], &bytes[8..16], &bytes[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let data = &bytes[44..];
        assert_eq!(word(40) as usize, data.len(), "the header names the length");
        let samples = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        Self { rate: word(24), channels: usize::from(bytes[22]), samples }
    }

    fn seconds(&self) -> f64 {
        (self.samples.len() / self.channels) as f64 / f64::from(self.rate)
    }

    /// How loud `frequency` is in the left channel, in the middle half of a second (Goertzel's algorithm).
    fn level(&self, second: usize, frequency: f64) -> f64 {
        let rate = self.rate as usize;
        let from = second * rate + rate / 4;
        let left = self.samples[from * self.channels..].iter().step_by(self.channels).take(rate / 2);
        let factor = 2.0 * (TAU * frequency / rate as f64).cos();
        let (a, b) = left.fold((0.0, 0.0), |(a, b), sample| (f64::from(*sample) + factor * a - b, a));
        (a * a + b * b - factor * a * b).sqrt()
    }
}

/// Plays a fixture with an example that writes WAV; its left tone has 400 Hz in the first second and 100 Hz more in each that follows.
#[track_caller]
fn check_wav_of(name: &str, path: &str, rate: u32, channels: usize, seconds: usize) {
    let origin = fixtures();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.wav");
    printed(name, &[&origin.url(path), out.to_str().unwrap()]);
    let wav = Wav::read(&out);
    assert_eq!((wav.rate, wav.channels), (rate, channels), "{path}");
    let length = wav.seconds();
    // Encoders put up to three frames of silence in front, and fill the last one.
    assert!((length - seconds as f64).abs() < 0.15, "{path}: {length} s");
    for second in 0..seconds {
        let tone = 400.0 + 100.0 * second as f64;
        let (there, beside) = (wav.level(second, tone), wav.level(second, tone + 100.0));
        assert!(there > 10.0 * beside, "{path}: second {second} has {there} at {tone} Hz and {beside} beside it");
    }
}

#[track_caller]
fn check_wav(path: &str, rate: u32, channels: usize, seconds: usize) {
    check_wav_of("play_wav", path, rate, channels, seconds);
}

#[test]
fn wav_writes_streams_and_files() {
    check_wav_of("wav", "/ts_aac/index.m3u8", 48_000, 2, 5);
    check_wav_of("wav", "/fmp4_flac/index.m3u8", 16_000, 1, 2);
    check_wav_of("wav", "/mp3/seg0.mp3", 44_100, 2, 1);
}

#[test]
fn blocking_listens_from_a_time_on() {
    let origin = Origin::start(demo()).unwrap();
    let text = printed("blocking", &[&origin.url("/master.m3u8"), "17.5"]);
    let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
    // Exact to the sample: 956,416 frames at 48 kHz, of which the first 17.5 s are left out.
    assert!((seconds - (956_416.0 / 48_000.0 - 17.5)).abs() < 0.001, "{text}");
    assert!(text.contains(" from 17.500 s on"), "{text}");
}

#[test]
fn rodio_source_gives_every_sample_to_rodio() {
    let origin = Origin::start(demo()).unwrap();
    let text = printed("rodio_source", &[&origin.url("/master.m3u8")]);
    let (seconds, peak) = text.trim_end().split_once(" s, peak ").unwrap();
    assert_eq!(seconds, "19.925");
    let peak: f64 = peak.parse().unwrap();
    assert!(peak > 0.01 && peak < 0.51, "half as loud, and not silent: {text}");
}

#[test]
fn play_wav_plays_aac_in_fmp4() {
    check_wav("/fmp4_aac/index.m3u8", 48_000, 2, 5);
}

#[test]
fn play_wav_plays_encrypted_fmp4() {
    check_wav("/fmp4_aes/index.m3u8", 48_000, 2, 5);
    check_wav("/fmp4_aes_init/index.m3u8", 48_000, 2, 5);
}

#[test]
fn play_wav_plays_byte_ranges() {
    check_wav("/fmp4_byterange/index.m3u8", 48_000, 2, 5);
}

#[test]
fn play_wav_plays_packed_audio() {
    check_wav("/adts/index.m3u8", 48_000, 2, 5);
    check_wav("/mp3/index.m3u8", 44_100, 2, 5);
}

#[test]
fn play_wav_plays_lossless_audio() {
    check_wav("/fmp4_flac/index.m3u8", 16_000, 1, 2);
    check_wav("/fmp4_alac/index.m3u8", 16_000, 1, 2);
}

#[test]
fn play_wav_takes_the_audio_rendition_of_a_film() {
    check_wav("/av_master/master.m3u8", 48_000, 2, 5);
}

#[test]
fn play_wav_plays_the_demo() {
    let origin = Origin::start(demo()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("demo.wav");
    let text = printed("play_wav", &[&origin.url("/master.m3u8"), out.to_str().unwrap()]);
    assert!(text.starts_with("19.9"), "{text}");
    assert!((Wav::read(&out).seconds() - 19.92).abs() < 0.1);
}

#[test]
fn play_wav_says_what_went_wrong() {
    let origin = Origin::start(Site::new().route("/gone.m3u8", |_| Response::new(410))).unwrap();
    let output = run("play_wav", &[&origin.url("/gone.m3u8"), "/dev/null"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("410"));
}

#[test]
fn events_tells_the_story_of_a_stream() {
    let origin = Origin::start(demo()).unwrap();
    let text = printed("events", &[&origin.url("/master.m3u8")]);
    for part in ["variant applied", "segment start", "segment complete", "end of stream", "bytes read"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn custom_headers_opens_what_is_closed_to_others() {
    let site = Site::new().dir("/", fixtures_dir()).bearer("*", "sesame");
    let origin = Origin::start(site).unwrap();
    let url = origin.url("/ts_aac/index.m3u8");
    let text = printed("custom_headers", &[&url, "Authorization: Bearer sesame", "session=42"]);
    assert_eq!(text, "36284 bytes read\n");
    assert!(origin.log().iter().all(|request| request.query.as_deref() == Some("session=42")));
    assert!(origin.log().iter().all(|request| request.header("user-agent") == Some("my-player/1.0")));

    let refused = run("custom_headers", &[&url, "Authorization: Bearer wrong"]);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains("401") && !errors.contains("wrong"), "{errors}");
}

#[test]
fn segments_lists_runs_and_what_is_in_them() {
    let origin = fixtures();
    let text = printed("segments", &[&origin.url("/fmp4_discontinuity/index.m3u8")]);
    assert_eq!(text.matches("begins: ").count(), 2, "{text}");
    assert_eq!(text.matches("Fmp4").count(), 6, "{text}");
}

#[test]
fn symphonia_units_feeds_stock_decoders() {
    let origin = Origin::start(demo()).unwrap();
    let text = printed("symphonia_units", &[&origin.url("/master.m3u8")]);
    assert!(text.contains("19.9") && text.ends_with(" 0 resets\n"), "{text}");

    let origin = fixtures();
    let text = printed("symphonia_units", &[&origin.url("/fmp4_discontinuity/index.m3u8")]);
    assert!(text.ends_with(" 1 resets\n"), "{text}");
}

#[test]
fn key_processor_unwraps_keys() {
    let secret: [u8; 16] = std::array::from_fn(|at| at as u8);
    let key = std::fs::read(fixtures_dir().join("ts_aes/key.bin")).unwrap();
    let wrapped: Vec<u8> = key.iter().zip(secret).map(|(key, secret)| key ^ secret).collect();
    let answer = move |request: &kithara_origin::Request| match request.query.as_deref() {
        Some("app=example") => Response::ok(wrapped.clone()),
        _ => Response::new(403),
    };
    let site = Site::new().dir("/", fixtures_dir()).route("/ts_aes/key.bin", answer);
    let origin = Origin::start(site).unwrap();
    let url = origin.url("/ts_aes/index.m3u8");
    let text = printed("key_processor", &[&url, "000102030405060708090a0b0c0d0e0f"]);
    assert_eq!(text, "36284 bytes decrypted\n");
}

#[test]
fn every_example_is_short() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 100, "{} has {lines} lines", path.display());
    }
}

#[test]
fn subtitles_prints_cues_with_their_times() {
    let origin = fixtures();
    let text = printed("subtitles", &[&origin.url("/av_master/master.m3u8"), "en"]);
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    assert_eq!(
        lines,
        ["0.500     1.500  First cue", "2.000     3.500  Across the boundary", "4.000     4.900  Last cue"]
    );
}
