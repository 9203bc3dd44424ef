//! Streams that grow while they are saved.

use std::time::{Duration, Instant};

use kithara_origin::{Live, Response, Rule};

use crate::{Run, fixtures, names, scratch, serve, text};

/// What the whole stream reads as, by its expected length.
fn whole(path: &str) -> u64 {
    let list = std::fs::read_to_string(kithara_origin::fixtures_dir().join("expected.tsv")).unwrap();
    let row = list.lines().find(|line| line.starts_with(path)).unwrap();
    row.split('\t').nth(2).unwrap().parse().unwrap()
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
    assert_eq!(std::fs::metadata(&out).unwrap().len(), whole("ts_aac/"), "{}", run.stderr);
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
    assert!(std::fs::metadata(&out).unwrap().len() > 0);
    assert_eq!(names(dir.path()), ["out.ts"]);
}
