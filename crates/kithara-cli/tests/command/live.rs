//! Streams that grow while they are saved.

use std::time::{Duration, Instant};

use kithara_origin::{Live, Response, Rule};

use crate::{Run, fixtures, names, scratch, serve, text};

/// The segments of the stream, in order.
fn segments() -> Vec<Vec<u8>> {
    let segment = |n| std::fs::read(kithara_origin::fixtures_dir().join(format!("ts_aac/seg{n}.ts"))).unwrap();
    (0..5).map(segment).collect()
}

#[track_caller]
fn check(live: Live, rule: Option<Rule>) {
    let site = fixtures().live("*", live);
    let origin = serve(match rule {
        Some(rule) => site.rule(rule),
        None => site,
    });
    let (dir, out) = scratch("out.ts");
    let url = origin.url("/ts_aac/index.m3u8");
    let run = Run::of(["save", &url, text(&out), "--json"]).succeeded();
    assert!(std::fs::read(&out).unwrap() == segments().concat(), "{}", run.stderr);
    assert_eq!(names(dir.path()), ["out.ts"]);
}

#[test]
fn an_event_is_saved_from_its_beginning_to_its_end() {
    check(Live::event().start(1), None);
}

#[test]
fn segments_that_are_announced_before_they_are_there_are_waited_for() {
    check(Live::event().start(1).announce_early(Duration::from_millis(700)), None);
}

#[test]
fn reloads_that_fail_cost_nothing() {
    let unwell = Rule::on("/ts_aac/index.m3u8").skip(2).first(2).then(Response::new(503));
    check(Live::event().start(1), Some(unwell));
}

#[test]
fn a_recording_ends_after_the_time_it_was_given_and_is_kept() {
    let origin = serve(fixtures().live("*", Live::sliding(3).start(3).looped()));
    let (dir, out) = scratch("out.ts");
    let began = Instant::now();
    let run = Run::of(["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--for", "1.5s"]).succeeded();
    assert!(began.elapsed() >= Duration::from_millis(1_500), "it ended early: {}", run.stderr);
    let (saved, segments) = (std::fs::read(&out).unwrap(), segments());
    // Segment after segment, from the one it began with, however often the stream begins anew.
    let goes_on = |first| {
        let all: Vec<u8> = segments.iter().cycle().skip(first).take(20).flatten().copied().collect();
        all.starts_with(&saved)
    };
    assert!(saved.len() > segments[0].len() && (0..5).any(goes_on), "{} bytes", saved.len());
    assert_eq!(names(dir.path()), ["out.ts"]);
}

#[test]
fn a_stream_that_has_ended_is_saved_whole_however_long_a_recording_may_be() {
    let origin = serve(fixtures());
    let (_dir, out) = scratch("out.ts");
    let url = origin.url("/ts_aac/index.m3u8");
    let run = Run::of(["save", &url, text(&out), "--for", "0.000001", "--json"]).succeeded();
    assert!(std::fs::read(&out).unwrap() == segments().concat(), "{}", run.stderr);
    assert_eq!(run.json()["complete"], true);
    assert!(run.stderr.contains("--for is for live streams"), "{}", run.stderr);
    for command in [&["save", &url, text(&out)][..], &["play", &url, "--output", "null"]] {
        assert_eq!(Run::of(command.iter().chain(&["--for", "0"])).status, Some(2), "{command:?}");
    }
}
