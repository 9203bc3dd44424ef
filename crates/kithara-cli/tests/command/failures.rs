//! What fails is told in words, with a number for scripts, and leaves nothing behind.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use kithara_origin::{At, Fault, Response, Rule, Site};

use crate::{Run, fixtures, names, scratch, serve, text};

/// Saves `url`; wants this status, and these words among those on standard error.
#[track_caller]
fn check(url: &str, status: i32, words: &[&str]) {
    let (dir, out) = scratch("out");
    let run = Run::of(["save", url, text(&out), "--json", "--patience", "1"]);
    assert_eq!(run.status, Some(status), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "`{word}` is missing in: {}", run.stderr);
    }
    assert!(run.stderr.starts_with("kithara: "), "{}", run.stderr);
    assert_eq!(names(dir.path()), Vec::<String>::new(), "nothing is left");
    assert_eq!(run.json()["exit_status"], status);
}

#[test]
fn what_is_not_there_is_status_4() {
    let origin = serve(fixtures());
    check(&origin.url("/nothing.m3u8"), 4, &["/nothing.m3u8", "404", "try:"]);
    let holed = serve(fixtures().rule(Rule::on("seg2").then(Response::new(404))));
    check(&holed.url("/ts_aac/index.m3u8"), 4, &["seg2.ts", "404", "--on-missing skip"]);
    for status in [401, 403, 410] {
        let origin = serve(Site::new().route("/a.m3u8", move |_| Response::new(status)));
        check(&origin.url("/a.m3u8"), 4, &["/a.m3u8", &status.to_string(), "try:"]);
    }
}

#[test]
fn a_server_that_is_not_there_is_status_3() {
    // A port that was free a moment ago refuses connections.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&format!("http://{addr}/a.m3u8"), 3, &["no connection", "attempts", "try:"]);
}

#[test]
fn a_server_that_is_silent_is_waited_for_as_long_as_there_is_patience() {
    let origin = serve(fixtures().rule(Rule::on("*.m3u8").then(Fault::stall(At::Byte(0), Duration::from_secs(600)))));
    let began = Instant::now();
    check(&origin.url("/ts_aac/index.m3u8"), 3, &["try:"]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_playlist_is_status_5() {
    let html = "<html><body>Please log in</body></html>";
    let origin = serve(Site::new().bytes("/a.m3u8", html).bytes("/empty.m3u8", ""));
    check(&origin.url("/a.m3u8"), 5, &["/a.m3u8", "try:"]);
    check(&origin.url("/empty.m3u8"), 5, &["/empty.m3u8"]);
    let origin = serve(fixtures());
    check(&origin.url("/mp3/seg0.mp3"), 5, &["/mp3/seg0.mp3", "a single file is for `kithara play`"]);
}

#[test]
fn media_that_cannot_be_decrypted_is_status_6() {
    let origin = serve(fixtures().bytes("/ts_aes/key.bin", [7_u8; 16].to_vec()));
    check(&origin.url("/ts_aes/index.m3u8"), 6, &["try:"]);
    let origin = serve(fixtures().bytes("/ts_aes/key.bin", "too short"));
    check(&origin.url("/ts_aes/index.m3u8"), 6, &["16 bytes"]);
    let origin =
        serve(fixtures().rewrite("*.m3u8", |_, text| Some(text.replace("METHOD=AES-128", "METHOD=SAMPLE-AES"))));
    check(&origin.url("/ts_aes/index.m3u8"), 6, &["not supported"]);
}

#[test]
fn what_is_no_media_is_status_6() {
    let origin = serve(fixtures().rule(Rule::on("seg0").then(Response::ok("<html>busy</html>"))));
    check(&origin.url("/ts_aac/index.m3u8"), 6, &["seg0.ts", "not media"]);
}

#[test]
fn a_place_that_cannot_be_written_is_status_7() {
    let run = Run::of(["save", "demo", "/no/such/folder/out.mp4"]);
    assert_eq!(run.status, Some(7), "{}", run.stderr);
    assert!(run.stderr.contains("/no/such/folder/out.mp4"), "{}", run.stderr);
}

#[test]
fn mistakes_on_the_command_line_are_status_2() {
    let (dir, out) = scratch("out");
    let lines: [&[&str]; 11] = [
        &["play", "demo", "--output", "null", "-H", "Host: other"],
        &["save", "demo", text(&out), "--key-header", "range: bytes=0-"],
        &["probe", "demo", "--header", "If-None-Match: \"a\""],
        &["save", "demo"],
        &["save", "demo", "x", "--variant", "finest"],
        &["save", "demo", "x", "--cache", "c", "--no-cache"],
        &["save", "demo", "x", "--parallel", "0"],
        &["save", "ftp://h/a.m3u8", text(&out)],
        &["save", "demo", text(&out), "--variant", "9"],
        &["save", "demo", text(&out), "--header", "no colon"],
        &["play"],
    ];
    for line in lines {
        let run = Run::of(line);
        assert_eq!(run.status, Some(2), "{line:?}: {}", run.stderr);
    }
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn help_teaches_with_examples() {
    let commands = ["", "play", "save", "probe", "replay", "cache", "cache ls", "cache verify", "cache gc", "cache rm"];
    for command in commands {
        let line: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let run = Run::of(&line).succeeded();
        let text = String::from_utf8(run.stdout).unwrap();
        let example = format!("Examples:\n  kithara {command}");
        assert!(text.contains(&example), "{line:?}: {text}");
    }
    let told = String::from_utf8(Run::of(["play", "--help"]).succeeded().stdout).unwrap();
    assert!(told.contains("single file of sound"), "{told}");
    let told = String::from_utf8(Run::of(["save", "--help"]).succeeded().stdout).unwrap();
    assert!(told.contains("replaced"), "{told}");
    let run = Run::of(["--help"]).succeeded();
    assert!(String::from_utf8(run.stdout).unwrap().contains("Exit status:"));
}

#[test]
fn no_secret_is_shown_however_much_is_told() {
    let origin = serve(fixtures().rule(Rule::on("seg9").then(Response::new(403))));
    let (dir, out) = scratch("out");
    let trace = dir.path().join("trace");
    let url = origin.url("/ts_aes/index.m3u8?token=hunter2").replace("http://", "http://alice:hunter3@");
    let args =
        ["save", &url, text(&out), "-vvv", "-H", "X-Key: hunter4", "--query", "sig=hunter5", "--trace", text(&trace)];
    let run = Run::of(args.into_iter().chain(["--patience", "0"]));
    assert_eq!(run.status, Some(4), "{}", run.stderr);
    let told = run.stderr + &std::fs::read_to_string(&trace).unwrap();
    for secret in ["hunter2", "hunter3", "hunter4", "hunter5"] {
        let line = told.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is shown");
    }
}

#[test]
fn no_secret_is_shown_of_what_is_no_url() {
    let (dir, out) = scratch("out");
    let file = dir.path().join("a");
    std::fs::write(&file, "#EXTM3U\n").unwrap();
    let url = "http://alice:hunter2@h:99999/a?sig=hunter3#hunter4";
    let lines: [&[&str]; 4] = [
        &["play", url, "--output", "null", "--no-cache", "--json"],
        &["save", url, text(&out), "--json"],
        &["probe", url, "--json"],
        &["probe", text(&file), "--base", url, "--json"],
    ];
    for line in lines {
        let run = Run::of(line);
        assert_eq!(run.status, Some(2), "{line:?}: {}", run.stderr);
        let told = run.stderr + std::str::from_utf8(&run.stdout).unwrap();
        assert!(!told.contains("hunter"), "{line:?}: {told}");
    }
    assert_eq!(names(dir.path()), ["a"]);
}
