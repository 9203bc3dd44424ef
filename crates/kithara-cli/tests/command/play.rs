//! `kithara play`: sound into files and pipes.

use std::{fs, path::Path};

use kithara_origin::{Response, Rule};
use serde_json::Value;

use crate::{Run, fixtures, kithara, names, scratch, serve, text};

/// Frames of the demo stream.
const DEMO: u64 = 956_416;

fn play(args: &[&str]) -> Run {
    Run::of(["play"].iter().chain(args))
}

fn last_object(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Channels, rate, bits and bytes of samples, by the header of a WAV file.
fn wav_facts(path: &Path) -> (u16, u32, u16, u64) {
    let bytes = fs::read(path).unwrap();
    assert_eq!((&bytes[..4], &bytes[8..12], &bytes[72..76]), (&b"RIFF"[..], &b"WAVE"[..], &b"data"[..]));
    let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let long = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(long(4) as usize + 8, bytes.len());
    let data = u64::from(long(76));
    assert_eq!(80 + data, bytes.len() as u64);
    (short(58), long(60), short(70), data)
}

#[test]
fn the_demo_is_played_to_nothing_as_fast_as_it_comes() {
    let run = play(&["demo", "--output", "null", "--json"]).succeeded();
    let facts = run.json();
    assert_eq!((&facts["frames"], &facts["complete"], &facts["codec"]), (&DEMO.into(), &true.into(), &"AAC".into()));
    assert_eq!((&facts["segments"], &facts["requests"], &facts["stalls"]), (&5.into(), &9.into(), &0.into()));
    assert!(facts["first_sample_seconds"].as_f64().unwrap() < facts["seconds"].as_f64().unwrap());
    assert!(run.stderr.starts_with("played 19.9 s"), "{}", run.stderr);
}

#[test]
fn a_wav_file_holds_every_sample_in_the_format_asked_for() {
    for (args, want) in [
        (&[][..], (2, 48_000, 16, DEMO * 4)),
        (&["--format", "s24le"], (2, 48_000, 24, DEMO * 6)),
        (&["--format", "f32le", "--channels", "1"], (1, 48_000, 32, DEMO * 4)),
        (&["--start", "10", "--for", "2.5"], (2, 48_000, 16, 480_000)),
    ] {
        let (dir, out) = scratch("out.wav");
        let output = format!("wav:{}", text(&out));
        play(&[&["demo", "--output", &output], args].concat()).succeeded();
        assert_eq!(wav_facts(&out), want, "{args:?}");
        assert_eq!(names(dir.path()), ["out.wav"]);
    }
}

#[test]
fn raw_samples_go_to_standard_output_and_the_facts_to_standard_error() {
    let run = play(&["demo", "--output", "raw:-", "--format", "s16le", "--rate", "24000", "--channels", "2", "--json"]);
    let run = run.succeeded();
    let frames = run.stdout.len() as u64 / 4;
    assert!(frames.abs_diff(DEMO / 2) <= 2, "{frames}");
    assert_eq!(last_object(&run.stderr)["written"], run.stdout.len());
    let piped = play(&["demo", "--output", "wav:-", "--for", "1"]).succeeded();
    assert_eq!(piped.stdout.len(), 80 + 48_000 * 4);
    assert_eq!(piped.stdout[4..8], [0xFF; 4], "nobody can go back to state a length");
}

#[test]
fn a_start_is_exact_to_the_sample() {
    let raw =
        |args: &[&str]| play(&[&["demo", "--output", "raw:-", "--format", "f32le"], args].concat()).succeeded().stdout;
    let (whole, late) = (raw(&[]), raw(&["--start", "7.25"]));
    let cut = &whole[348_000 * 8..];
    assert_eq!(late.len(), cut.len());
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let off = late.chunks_exact(4).zip(cut.chunks_exact(4)).map(|(a, b)| (float(a) - float(b)).abs());
    assert!(off.fold(0.0, f32::max) < 0.05);
}

#[cfg(unix)]
#[test]
fn whoever_stops_listening_makes_no_error() {
    let mut child = kithara(["play", "demo", "--output", "raw:-"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    crate::finished(child).succeeded();
}

#[test]
fn a_cache_answers_the_second_time() {
    let origin = serve(fixtures());
    let (_dir, cache) = scratch("cache");
    let url = origin.url("/ts_aac/index.m3u8");
    let play = || play(&[&url, "--output", "null", "--json", "--cache", text(&cache)]).succeeded().json();
    let (first, second) = (play(), play());
    assert_eq!((&first["from_store"], &second["from_store"]), (&0.into(), &5.into()));
    assert_eq!(first["frames"], second["frames"]);
}

#[test]
fn a_segment_that_is_not_there_is_named_and_left_out_where_that_is_allowed() {
    let missing = || serve(fixtures().rule(Rule::on("seg2.ts").then(Response::new(404))));
    let args = ["--output", "null", "--no-cache", "--patience", "0", "--json"];
    let origin = missing();
    let failed = play(&[&[origin.url("/ts_aac/index.m3u8").as_str()], &args[..]].concat());
    assert_eq!(failed.status, Some(4), "{}", failed.stderr);
    let origin = missing();
    let url = origin.url("/ts_aac/index.m3u8");
    let skipped = play(&[&[url.as_str()], &args[..], &["--on-missing", "skip"]].concat()).succeeded();
    assert_eq!(skipped.json()["skipped"], 1);
    assert!(skipped.stderr.contains("segment 2 of v0 is left out: 1.003 s at 2.005 s"), "{}", skipped.stderr);
}

#[test]
fn where_nothing_was_heard_the_file_that_was_there_stays() {
    let origin = serve(fixtures().rule(Rule::on("seg0.ts").then(Response::new(404))));
    let (dir, out) = scratch("keep.wav");
    fs::write(&out, b"a song of old").unwrap();
    let output = format!("wav:{}", text(&out));
    let url = origin.url("/ts_aac/index.m3u8");
    let failed = play(&[&url, "--output", &output, "--no-cache", "--patience", "0"]);
    assert_eq!(failed.status, Some(4), "{}", failed.stderr);
    assert_eq!(fs::read(&out).unwrap(), b"a song of old");
    // The song has 1.0 s, the demo 20 s.
    for url in [origin.url("/mp3/seg0.mp3"), "demo".to_owned()] {
        let late = play(&[&url, "--start", "60", "--output", &output, "--no-cache"]);
        assert_eq!(late.status, Some(2), "{}", late.stderr);
        assert!(late.stderr.contains("the stream ends before 60 s"), "{}", late.stderr);
        assert_eq!(fs::read(&out).unwrap(), b"a song of old");
    }
    assert_eq!(names(dir.path()), ["keep.wav"]);
}

#[test]
fn a_progressive_file_plays_as_well() {
    let origin = serve(fixtures());
    let run = play(&[&origin.url("/mp3/seg0.mp3"), "--output", "null", "--no-cache", "--json"]).succeeded();
    assert!(run.json()["frames"].as_u64().unwrap() > 40_000);
}

#[test]
fn what_cannot_be_played_ends_with_the_status_of_its_class() {
    let origin = serve(fixtures().route("/page", |_| Response::html("<html>")));
    for (url, status) in [("/page", 5), ("/none.mp3", 4)] {
        let run = play(&[&origin.url(url), "--output", "null", "--no-cache", "--patience", "0"]);
        assert_eq!(run.status, Some(status), "{url}: {}", run.stderr);
    }
    assert_eq!(play(&["demo", "--output", "mp3:out"]).status, Some(2));
    let run = play(&["demo", "--output", "null", "--variant", "7"]);
    assert_eq!(run.status, Some(2), "{}", run.stderr);
}

#[test]
fn the_summary_tells_what_was_played_and_what_it_cost() {
    let origin = serve(kithara_origin::demo());
    let url = origin.url("/master.m3u8");
    for (which, id, bandwidth) in [("0", 0, 35_840), ("100k", 1, 67_296), ("best", 2, 131_936)] {
        origin.clear_log();
        let args = [&url, "--output", "null", "--no-cache", "--json", "--variant", which];
        let run = play(&args).succeeded();
        let facts = run.json();
        assert_eq!(facts["played"], serde_json::json!([{ "variant": id, "bandwidth": bandwidth }]), "{which}");
        let log = origin.log();
        assert_eq!(facts["requests"], log.len(), "{which}");
        assert_eq!(facts["bytes"], log.iter().map(|request| request.bytes_sent).sum::<u64>(), "{which}: {log:?}");
        assert!(
            run.stderr.trim_end().ends_with(&format!("variant {id} ({} kbit/s)", bandwidth / 1000)),
            "{}",
            run.stderr
        );
    }
    let origin = serve(fixtures());
    let url = origin.url("/av_clicks/master.m3u8");
    let run = play(&[&url, "--output", "null", "--no-cache", "--json", "--audio", "de"]).succeeded();
    assert_eq!(run.json()["played"][0]["name"], "Deutsch", "{}", run.json());
    assert!(run.stderr.contains("rendition Deutsch"), "{}", run.stderr);
}

#[cfg(not(feature = "device"))]
#[test]
fn without_a_device_time_passes_as_if_there_were_one_and_null_waits_for_nothing() {
    let facts = play(&["demo", "--for", "1.5", "--json"]).succeeded().json();
    // A device holds a tenth of a second, which needs not be over.
    let seconds = facts["seconds"].as_f64().unwrap() - facts["first_sample_seconds"].as_f64().unwrap();
    assert!(seconds >= 1.39, "{facts}");
    assert!((facts["played_seconds"].as_f64().unwrap() - 1.5).abs() < 1e-6, "{facts}");
    let facts = play(&["demo", "--output", "null", "--json"]).succeeded().json();
    assert!(facts["seconds"].as_f64().unwrap() < facts["played_seconds"].as_f64().unwrap(), "{facts}");
}

#[cfg(not(feature = "device"))]
#[test]
fn a_build_without_devices_says_how_to_get_them() {
    let run = play(&["demo", "--output", "device"]);
    assert_eq!(run.status, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("--features device"), "{}", run.stderr);

    let run = play(&["demo", "--for", "0.2", "--json"]).succeeded();
    assert_eq!(run.json()["frames"], 9600);
    let first = run.stderr.lines().next().unwrap();
    assert!(first.contains("in real time to nothing") && first.contains("--features device"), "{}", run.stderr);
}

/// Runs with a device of ALSA that takes everything and is not heard.
#[cfg(all(feature = "device", target_os = "linux"))]
#[track_caller]
fn play_on_null_device(args: &[&str]) -> Run {
    let (_dir, config) = scratch("asoundrc");
    fs::write(&config, "pcm.!default { type null }\nctl.!default { type null }\n").unwrap();
    kithara(["play"].iter().chain(args)).env("ALSA_CONFIG_PATH", &config).output().unwrap().into()
}

#[cfg(all(feature = "device", target_os = "linux"))]
#[test]
fn the_demo_is_played_on_a_device() {
    let facts = play_on_null_device(&["demo", "--output", "device", "--json"]).succeeded().json();
    // A device has a rate of its own.
    let seconds = facts["frames"].as_f64().unwrap() / facts["sample_rate"].as_f64().unwrap();
    assert!((seconds - DEMO as f64 / 48_000.0).abs() < 0.001, "{facts}");
    assert_eq!(facts["complete"], true);

    let facts = play_on_null_device(&["demo", "--for", "1.5", "--json"]).succeeded().json();
    assert_eq!(facts["frames"].as_f64().unwrap(), facts["sample_rate"].as_f64().unwrap() * 1.5);
    assert_eq!(play_on_null_device(&["demo", "--rate", "8000"]).status, Some(2));
}
