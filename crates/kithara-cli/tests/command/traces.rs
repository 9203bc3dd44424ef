//! A trace that was recorded is replayed to the same decisions.

use kithara_origin::{At, Fault, Response, Rule};

use crate::{Run, fixtures, scratch, serve, text};

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
    assert!(String::from_utf8(run.stdout).unwrap().contains("recorded `"));
}

#[test]
fn what_is_no_trace_is_said_to_be_none() {
    let (_dir, trace) = scratch("trace");
    std::fs::write(&trace, "hello\n").unwrap();
    let run = Run::of(["replay", text(&trace)]);
    assert_eq!(run.status, Some(5), "{}", run.stderr);
    assert_eq!(Run::of(["replay", "/no/such/trace"]).status, Some(7));
}
