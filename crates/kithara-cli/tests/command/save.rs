//! Bytes: everything, exact, wherever they go and wherever they come from.

use std::{fmt::Write, thread, time::Duration};

use kithara_origin::{At, Fault, Link, Response, Rule, fixtures_dir};
use sha2::{Digest, Sha256};

use crate::{Run, fixtures, names, scratch, serve, text};

/// Path, segments, length and hash of the flat reading of each fixture, computed without any code of this project.
fn expected() -> Vec<(String, u64, u64, String)> {
    let list = std::fs::read_to_string(fixtures_dir().join("expected.tsv")).unwrap();
    let row = |line: &str| {
        let mut columns = line.split('\t').map(str::to_owned);
        let mut next = || columns.next().unwrap();
        (next(), next().parse().unwrap(), next().parse().unwrap(), next())
    };
    list.lines().map(row).collect()
}

fn expected_of(path: &str) -> (u64, String) {
    let row = expected().into_iter().find(|(name, ..)| name == path).unwrap();
    (row.2, row.3)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn every_fixture_is_saved_exactly_and_without_a_request_too_many() {
    for (path, segments, length, sha) in expected().into_iter().filter(|(path, ..)| !path.starts_with("demo/")) {
        let origin = serve(fixtures());
        let (dir, out) = scratch("out");
        let run = Run::of(["save", &origin.url(&path), text(&out), "--json"]).succeeded();
        let saved = std::fs::read(&out).unwrap();
        assert_eq!((saved.len() as u64, hash(&saved)), (length, sha), "{path}");
        assert_eq!(names(dir.path()), ["out"], "{path}: nothing else is left");
        let json = run.json();
        assert_eq!(json["bytes"], length, "{path}");
        assert_eq!(json["segments"], segments, "{path}");
        assert_eq!(json["complete"], true, "{path}");

        let log = origin.log();
        assert_eq!(json["requests"], log.len(), "{path}");
        assert!(log.iter().all(|request| request.method == "GET"), "{path}: only GET");
        let mut asked: Vec<_> = log.iter().map(|request| (&request.target, &request.range)).collect();
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), log.len(), "{path}: nothing is asked for twice");
    }
}

/// Saves a fixture over a road of this round trip time, and once more out of the cache.
fn check_slow((path, segments, length, sha): &(String, u64, u64, String), rtt: u64) {
    let origin = serve(fixtures().link(Link::new().rtt(Duration::from_millis(rtt))));
    let (dir, out) = scratch("out");
    let cache = dir.path().join("cache");
    for is_cold in [true, false] {
        origin.clear_log();
        let args = ["save", &origin.url(path), text(&out), "--cache", text(&cache), "--json"];
        let json = Run::of(args).succeeded().json();
        let saved = std::fs::read(&out).unwrap();
        let what = format!("{path} at {rtt} ms, cold: {is_cold}");
        assert_eq!((saved.len() as u64, &hash(&saved)), (*length, sha), "{what}");
        assert_eq!(json["from_store"], if is_cold { 0 } else { *segments }, "{what}");
        let log = origin.log();
        let media = log.iter().filter(|request| !request.path.ends_with(".m3u8") && !request.path.ends_with(".bin"));
        assert_eq!(media.count() > 0, is_cold, "{what}: {log:?}");
    }
}

#[test]
fn every_fixture_is_exact_over_a_slow_road_and_the_second_time() {
    let all: Vec<_> = expected().into_iter().filter(|(path, ..)| !path.starts_with("demo/")).collect();
    // They wait most of the time: side by side they take no longer than one does.
    thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(move || part.iter().for_each(|row| check_slow(row, 20)));
        }
        let far = ["ts_aac", "ts_rotate", "fmp4_aes_init", "fmp4_byterange", "mp3"];
        let far = all.iter().filter(move |(path, ..)| far.iter().any(|folder| path.starts_with(&format!("{folder}/"))));
        scope.spawn(move || far.for_each(|row| check_slow(row, 100)));
    });
}

#[track_caller]
fn check_demo(variant: &str, path: &str) {
    let (_dir, out) = scratch("demo.mp4");
    Run::of(["save", "demo", text(&out), "--variant", variant]).succeeded();
    let saved = std::fs::read(&out).unwrap();
    assert_eq!((saved.len() as u64, hash(&saved)), expected_of(path), "--variant {variant}");
}

#[test]
fn the_variant_is_the_one_that_was_asked_for() {
    check_demo("best", "demo/128k/index.m3u8");
    check_demo("worst", "demo/32k/index.m3u8");
    check_demo("1", "demo/64k/index.m3u8");
    check_demo("100k", "demo/64k/index.m3u8");
    check_demo("1000000", "demo/128k/index.m3u8");
    check_demo("1k", "demo/32k/index.m3u8");
}

#[test]
fn standard_output_gets_the_stream_and_nothing_else() {
    let run = Run::of(["save", "demo", "-", "--json"]).succeeded();
    assert_eq!((run.stdout.len() as u64, hash(&run.stdout)), expected_of("demo/128k/index.m3u8"));
    let last = run.stderr.lines().last().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(last).unwrap()["bytes"], run.stdout.len());
}

#[test]
fn the_sound_of_a_film_is_saved_without_its_video() {
    let origin = serve(fixtures());
    let (_dir, out) = scratch("out.mp4");
    let run =
        Run::of(["save", &origin.url("/av_master/master.m3u8"), text(&out), "--audio-only", "--json"]).succeeded();
    assert_eq!(hash(&std::fs::read(&out).unwrap()), expected_of("av_master/audio_en/index.m3u8").1);
    assert!(run.json()["variant"]["rendition"].is_number(), "{}", run.json());
    assert!(origin.log().iter().all(|request| !request.path.contains("/video/")));
}

#[test]
fn a_cache_serves_the_second_time() {
    let origin = serve(fixtures());
    let (dir, out) = scratch("out.ts");
    let cache = dir.path().join("cache");
    let args = ["save", &origin.url("/ts_aes/index.m3u8"), text(&out), "--cache", text(&cache), "--json"];
    Run::of(args).succeeded();
    origin.clear_log();
    let run = Run::of(args).succeeded();
    assert_eq!(hash(&std::fs::read(&out).unwrap()), expected_of("ts_aes/index.m3u8").1);
    assert_eq!(run.json()["from_store"], 5);
    assert!(origin.log().iter().all(|request| !request.path.contains("seg")), "{:?}", origin.log());
}

#[test]
fn faults_on_the_way_do_not_show_in_the_file() {
    let site = fixtures()
        .rule(Rule::on("seg1").first(1).then(Response::new(503)))
        .rule(Rule::on("seg2").nth(1).then(Fault::truncate(At::Fraction(0.5))))
        .rule(Rule::on("seg3").first(1).then(Response::ok("<html>busy</html>")));
    let origin = serve(site);
    let (_dir, out) = scratch("out.ts");
    let run = Run::of(["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--json"]).succeeded();
    assert_eq!(hash(&std::fs::read(&out).unwrap()), expected_of("ts_aac/index.m3u8").1);
    assert!(run.json()["retries"].as_u64().unwrap() >= 3, "{}", run.json());
}

#[test]
fn a_missing_segment_is_left_out_only_when_that_is_wanted() {
    let origin = serve(fixtures().rule(Rule::on("seg2").then(Response::new(404))));
    let url = origin.url("/ts_aac/index.m3u8");
    let (dir, out) = scratch("out.ts");
    assert_eq!(Run::of(["save", &url, text(&out), "--patience", "0"]).status, Some(4));
    assert_eq!(names(dir.path()), Vec::<String>::new());

    let run = Run::of(["save", &url, text(&out), "--on-missing", "skip", "--patience", "0", "--json"]).succeeded();
    let parts = ["seg0.ts", "seg1.ts", "seg3.ts", "seg4.ts"];
    let whole: Vec<u8> =
        parts.iter().flat_map(|part| std::fs::read(fixtures_dir().join("ts_aac").join(part)).unwrap()).collect();
    assert_eq!(std::fs::read(&out).unwrap(), whole);
    assert_eq!((&run.json()["skipped"], &run.json()["complete"]), (&1.into(), &false.into()));
    assert!(run.stderr.contains("segment 2 of v0, at 2.005 s, is left out"), "{}", run.stderr);
}

#[test]
fn headers_and_queries_reach_the_origin() {
    let origin = serve(fixtures().bearer("*", "sesame"));
    let (_dir, out) = scratch("out.ts");
    let url = origin.url("/ts_aes/index.m3u8");
    let args = ["save", &url, text(&out), "-H", "Authorization: Bearer sesame", "--query", "a=%2F", "--query", "b=2"];
    Run::of(args).succeeded();
    assert!(origin.log().iter().all(|request| request.query.as_deref() == Some("a=%2F&b=2")));
}

#[test]
fn an_existing_file_is_replaced_when_the_new_one_is_whole() {
    let (_dir, out) = scratch("demo.mp4");
    std::fs::write(&out, "old").unwrap();
    Run::of(["save", "demo", text(&out)]).succeeded();
    assert_eq!(std::fs::metadata(&out).unwrap().len(), expected_of("demo/128k/index.m3u8").0);
}

#[test]
fn an_audio_rendition_is_saved_by_language_name_or_number() {
    for (wanted, folder) in [("de", "audio_de"), ("Deutsch", "audio_de"), ("1", "audio_de"), ("eng", "audio_en")] {
        let origin = serve(fixtures());
        let (_dir, out) = scratch("out");
        let url = origin.url("/av_clicks/master.m3u8");
        let json = Run::of(["save", &url, text(&out), "--audio", wanted, "--json"]).succeeded().json();
        let saved = std::fs::read(&out).unwrap();
        let path = format!("av_clicks/{folder}/index.m3u8");
        assert_eq!((saved.len() as u64, hash(&saved)), expected_of(&path), "{wanted}");
        assert_eq!(json["variant"]["name"], if folder == "audio_de" { "Deutsch" } else { "English" });
        let log = origin.log();
        let foreign = |path: &str| path != "/av_clicks/master.m3u8" && !path.contains(folder);
        assert!(log.iter().all(|request| !foreign(&request.path)), "{wanted}: nothing else is loaded: {log:?}");
    }
}

#[test]
fn an_audio_rendition_that_is_not_there_is_named_with_those_that_are() {
    let origin = serve(fixtures());
    let (dir, out) = scratch("out");
    let run = Run::of(["save", &origin.url("/av_clicks/master.m3u8"), text(&out), "--audio", "fr"]);
    assert_eq!(run.status, Some(2));
    let told = &run.stderr;
    assert!(told.contains("no audio rendition fr") && told.contains("1 Deutsch (de)"), "{told}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn a_segment_that_is_delivered_again_is_counted_once() {
    let broken = Rule::on("/ts_aes/seg8.ts").first(2).then(Fault::bad_padding());
    let busy = Rule::on("/ts_aac/seg1.ts").first(2).then(Response::ok("<html>busy</html>"));
    let origin = serve(fixtures().rule(broken).rule(busy));
    for path in ["/ts_aac/index.m3u8", "/ts_aes/index.m3u8"] {
        let (_dir, out) = scratch("out.ts");
        let run = Run::of(["save", &origin.url(path), text(&out), "--json"]).succeeded();
        assert_eq!(run.json()["segments"], 5, "{path}: {}", run.stderr);
    }
}

#[test]
fn nothing_at_all_is_no_success_and_replaces_nothing() {
    let list = |gap| format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n{gap}#EXT-X-ENDLIST\n");
    let gap = list("#EXT-X-GAP\n#EXTINF:9,\na.ts\n");
    let site = fixtures().bytes("/empty.m3u8", list("")).bytes("/gap.m3u8", gap);
    let missing = Rule::on("*.ts").then(Response::new(404));
    let origin = serve(site.rule(missing).rule(Rule::on("/fmp4_aac/seg*").then(Response::new(403))));
    let (dir, out) = scratch("keep");
    std::fs::write(&out, "old").unwrap();
    let wav = format!("wav:{}", text(&out));
    for (path, status) in [("/ts_aac/index.m3u8", 4), ("/fmp4_aac/index.m3u8", 4), ("/empty.m3u8", 5), ("/gap.m3u8", 5)]
    {
        let url = origin.url(path);
        let rest = ["--on-missing", "skip", "--patience", "0", "--json"];
        for command in [&["save", &url, text(&out)][..], &["play", &url, "--no-cache", "--output", &wav]] {
            let run = Run::of([command, &rest].concat());
            assert_eq!(run.status, Some(status), "{command:?}: {}", run.stderr);
            assert_eq!(run.json()["exit_status"], status, "{command:?}");
            assert_eq!(std::fs::read(&out).unwrap(), b"old", "{command:?}");
        }
    }
    assert_eq!(names(dir.path()), ["keep"]);
}

#[test]
fn keys_have_headers_and_a_query_of_their_own() {
    let keys = serve(fixtures().bearer("*key.bin", "sesame"));
    let there = format!("URI=\"{}\"", keys.url("/ts_aes/key.bin"));
    let origin = serve(fixtures().rewrite("*.m3u8", move |_, text| Some(text.replace("URI=\"key.bin\"", &there))));
    let (_dir, out) = scratch("out.ts");
    let url = origin.url("/ts_aes/index.m3u8");
    let save = ["save", &url, text(&out), "--patience", "0"];
    let refused = Run::of([&save[..], &["-H", "Authorization: Bearer sesame"]].concat());
    assert_eq!(refused.status, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("--key-header"), "{}", refused.stderr);

    let args = ["--key-header", "Authorization: Bearer sesame", "--key-query", "a=%2F", "--keys", "never"];
    Run::of([&save[..], &args].concat()).succeeded();
    assert_eq!(hash(&std::fs::read(&out).unwrap()), expected_of("ts_aes/index.m3u8").1);
    // At the server of the stream, the query of a key takes the place of the others' one.
    let origin = serve(fixtures());
    let url = origin.url("/ts_aes/index.m3u8");
    Run::of(["save", &url, text(&out), "--query", "b=2", "--key-query", "a=%2F"]).succeeded();
    let log = origin.log();
    let wanted = |path: &str| if path.ends_with("key.bin") { "a=%2F" } else { "b=2" };
    assert!(log.iter().all(|asked| asked.query.as_deref() == Some(wanted(&asked.path))), "{log:?}");
}

#[test]
fn cookies_are_sent_back_where_that_is_wanted() {
    let list = std::fs::read_to_string(fixtures_dir().join("ts_aac/index.m3u8")).unwrap();
    let baked = move || Response::ok(list.clone()).with_header("Set-Cookie", "id=7; Path=/");
    let site = fixtures().route("/ts_aac/baked.m3u8", move |_| baked());
    let is_known = |value: Option<&str>| value == Some("id=7");
    let origin =
        serve(site.guard("*.ts", move |asked| (!is_known(asked.header("cookie"))).then(|| Response::new(403))));
    let (_dir, out) = scratch("out.ts");
    let save = ["save", &origin.url("/ts_aac/baked.m3u8"), text(&out), "--patience", "0"];
    assert_eq!(Run::of(save).status, Some(4));
    Run::of([&save[..], &["--cookies", "--public-only"]].concat()).succeeded();
    assert_eq!(hash(&std::fs::read(&out).unwrap()), expected_of("ts_aac/index.m3u8").1);
    Run::of(["probe", &origin.url("/ts_aac/baked.m3u8"), "--cookies", "--public-only"]).succeeded();
}
