//! A trace that was recorded is replayed to the same decisions.

use kithara_origin::{At, Fault, Response, Rule};

use crate::{Run, fixtures, names, scratch, serve, text};

#[test]
fn a_recorded_session_replays_and_a_changed_one_does_not() {
    let site = fixtures()
        .rule(Rule::on("seg1").first(1).then(Response::ok("<html>busy</html>")))
        .rule(Rule::on("seg2").nth(1).then(Fault::truncate(At::Fraction(0.5))));
    let origin = serve(site);
    let (dir, trace) = scratch("trace");
    let out = dir.path().join("out.ts");
    Run::of(["save", &origin.url("/ts_rotate/index.m3u8"), text(&out), "--trace", text(&trace)]).succeeded();

    let run = Run::of(["replay", text(&trace), "--json"]).succeeded();
    let json = run.json();
    assert!(json["actions"].as_u64().unwrap() > 10 && json["events"].as_u64().unwrap() > 10, "{json}");

    let run = Run::of(["replay", text(&trace), "--from", "1"]).succeeded();
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(shown.contains(" < ") && shown.contains(" * ") && shown.contains(" > "), "{shown}");

    // Another session: one that fetches one segment at a time.
    let changed =
        std::fs::read_to_string(&trace).unwrap().replacen("\"parallel_fetches\":4", "\"parallel_fetches\":1", 1);
    std::fs::write(&trace, changed).unwrap();
    let run = Run::of(["replay", text(&trace), "--json"]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    assert!(run.json()["differs_at"].as_u64().unwrap() > 1);
    assert_eq!(run.json()["exit_status"], 1);
    assert!(String::from_utf8(run.stdout).unwrap().contains("recorded `"));
}

#[test]
fn playback_is_recorded_too() {
    let (_dir, trace) = scratch("trace");
    let args = ["play", "demo", "--output", "null", "--start", "7", "--trace", text(&trace)];
    Run::of(args).succeeded();
    let json = Run::of(["replay", text(&trace), "--json"]).succeeded().json();
    assert!(json["actions"].as_u64().unwrap() > 10 && json["events"].as_u64().unwrap() > 10, "{json}");
}

#[test]
fn a_file_leaves_no_trace_that_cannot_be_replayed() {
    let origin = serve(fixtures());
    let (dir, trace) = scratch("trace");
    let out = format!("wav:{}", text(&dir.path().join("out.wav")));
    let args =
        ["play", &origin.url("/mp3/seg0.mp3"), "--output", &out, "--no-cache", "--json", "--trace", text(&trace)];
    let refused = Run::of(args);
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--trace: ") && refused.stderr.contains("single file"), "{}", refused.stderr);
    assert_eq!(refused.json()["error"]["class"], "usage");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    // The trace of another day stays.
    std::fs::write(&trace, "of old").unwrap();
    assert_eq!(Run::of(args).status, Some(2));
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "of old");
}

#[test]
fn what_probe_loaded_replays() {
    let (dir, trace) = scratch("trace");
    let replayed = |args: &[&str], inputs: u64| {
        Run::of(["probe"].iter().chain(args).chain(&["--trace", text(&trace)]));
        let json = Run::of(["replay", text(&trace), "--json"]).succeeded().json();
        assert_eq!(json["inputs"], inputs, "{args:?}");
        std::fs::read_to_string(&trace).unwrap()
    };
    // Two playlists: the list, of which a session takes the same variant, and that one's.
    let written = replayed(&["demo", "--variant", "worst"], 2);
    assert!(
        written.contains("\"variant_applied\":{\"track\":\"main\",\"from_variant\":null,\"to_variant\":0"),
        "{written}"
    );
    assert!(written.contains("\"playlist_updated\":{\"media\":{\"variant\":0},\"segments\":5"), "{written}");
    // With --lint those of all variants, and the one that is shown once more.
    replayed(&["demo", "--lint"], 5);

    // No secret stands in it.
    let origin = serve(fixtures());
    let url = origin.url("/ts_aes/index.m3u8?token=hunter2").replace("http://", "http://alice:hunter3@");
    let written = replayed(&[&url, "-H", "X-Key: hunter4", "--query", "sig=hunter5"], 1);
    assert!(written.contains("EXTINF") && !written.contains("hunter"), "{written}");

    // What no playlist is, is in the trace all the same: that is what somebody has to look at.
    let file = dir.path().join("page.m3u8");
    std::fs::write(&file, "<html>busy</html>").unwrap();
    assert!(replayed(&[text(&file)], 1).contains("busy"));
}

#[test]
fn a_place_where_no_trace_can_be_is_told_before_anything_is_done() {
    let (dir, out) = scratch("out.mp4");
    for place in [text(dir.path()), "/no/such/folder/trace"] {
        for args in [&["save", "demo", text(&out)][..], &["play", "demo", "--output", "null"], &["probe", "demo"]] {
            let run = Run::of(args.iter().chain(&["--trace", place]));
            assert_eq!(run.status, Some(7), "{args:?} {place}: {}", run.stderr);
            assert!(run.stderr.contains(place), "{}", run.stderr);
        }
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn what_is_no_trace_is_said_to_be_none() {
    let (_dir, trace) = scratch("trace");
    std::fs::write(&trace, "hello\n").unwrap();
    let run = Run::of(["replay", text(&trace)]);
    assert_eq!(run.status, Some(5), "{}", run.stderr);
    assert_eq!(Run::of(["replay", "/no/such/trace"]).status, Some(7));
}

#[test]
fn a_trace_takes_the_place_of_no_other_file() {
    let (dir, trace) = scratch("trace");
    let (wav, out) = (format!("wav:{}", text(&trace)), dir.path().join("out"));
    let commands: [&[&str]; 3] =
        [&["save", "demo", text(&out)], &["play", "demo", "--output", "null"], &["probe", "demo"]];
    for command in commands {
        let traced = || Run::of(command.iter().chain(&["--trace", text(&trace)]));
        std::fs::write(&trace, "a song of old").unwrap();
        let refused = traced();
        assert_eq!(refused.status, Some(2), "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("is no trace"), "{}", refused.stderr);
        assert_eq!(std::fs::read(&trace).unwrap(), b"a song of old");
        std::fs::write(&trace, "").unwrap();
        // An empty file, and then an earlier trace.
        for _ in 0..2 {
            traced().succeeded();
        }
        std::fs::remove_file(&trace).unwrap();
    }
    let dotted = dir.path().join("./trace");
    for command in [&["save", "demo", text(&dotted)][..], &["play", "demo", "--output", &wav]] {
        let run = Run::of(command.iter().chain(&["--trace", text(&trace)]));
        assert_eq!(run.status, Some(2), "{command:?}: {}", run.stderr);
        assert!(!trace.exists());
    }
}
