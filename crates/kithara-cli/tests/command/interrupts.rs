//! Being stopped: cleanly, and without losing what cannot be had again.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kithara_origin::{At, Fault, Live, Origin, Response, Rule, Site};

use crate::{finished, fixtures, kithara, names, scratch, serve, text};

fn start(args: &[&str]) -> Child {
    kithara(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// SIGHUP, unless these tests were started to outlive their terminal, and with them what they start.
#[cfg(unix)]
fn hangup() -> Option<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    (ignored & 1 == 0).then_some("-HUP")
}

/// Waits until the origin was asked for a path that ends like this.
fn until_asked(origin: &Origin, end: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(origin.until(|origin| origin.log().iter().any(|request| request.path.ends_with(end))));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_save_without_a_trace_of_it() {
    for name in ["-INT", "-TERM"].into_iter().chain(hangup()) {
        // The third segment never ends.
        let hold = Fault::stall(At::Fraction(0.5), Duration::from_secs(600));
        let origin = serve(fixtures().rule(Rule::on("seg2").then(hold)));
        let (dir, out) = scratch("out.ts");
        let child = start(&["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--json"]);
        until_asked(&origin, "seg2.ts");
        signal(&child, name);
        let run = finished(child);
        assert_eq!(run.status, Some(130), "{}", run.stderr);
        assert_eq!((&run.json()["complete"], &run.json()["exit_status"]), (&false.into(), &130.into()));
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_recording_and_keeps_it() {
    ["-INT"].into_iter().chain(hangup()).for_each(keeps_a_recording);
}

/// A recording that is ended by this signal is kept.
#[cfg(unix)]
fn keeps_a_recording(name: &str) {
    let origin = serve(fixtures().live("*", Live::event().start(2).speed(4.0).without_end()));
    let (dir, out) = scratch("out.ts");
    let child = start(&["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--json"]);
    // Not listed at first: by then the playlist was loaded again.
    until_asked(&origin, "seg2.ts");
    signal(&child, name);
    let run = finished(child).succeeded();
    assert_eq!(names(dir.path()), ["out.ts"]);
    let bytes = std::fs::metadata(&out).unwrap().len();
    assert_eq!(run.json()["bytes"], bytes);
    assert!(bytes > 7_000, "at least the first segment");
    let saved = std::fs::read(&out).unwrap();
    let recorded: Vec<Vec<u8>> = (0..5)
        .map(|n| std::fs::read(kithara_origin::fixtures_dir().join(format!("ts_aac/seg{n}.ts"))).unwrap())
        .collect();
    assert!(recorded.concat().starts_with(&saved), "what was recorded is the stream's beginning");
}

/// More than a pipe holds.
fn long() -> Origin {
    let packet = [&[0x47, 0x1f, 0xff, 0x10][..], &[0xff; 184]].concat();
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n#EXT-X-ENDLIST\n";
    serve(Site::new().bytes("/a.m3u8", playlist).bytes("/a.ts", packet.repeat(20_000)))
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_save_whose_reader_stands_still() {
    for name in ["-INT", "-TERM"] {
        let origin = long();
        let mut child = start(&["save", &origin.url("/a.m3u8"), "-"]);
        let mut paused = child.stdout.take().unwrap();
        paused.read_exact(&mut [0]).unwrap();
        signal(&child, name);
        // It does not read on: the pipe stays full.
        let run = finished(child);
        assert_eq!(run.status, Some(130), "{}", run.stderr);
        drop(paused);
    }
}

#[cfg(unix)]
#[test]
fn a_slow_reader_gets_all_of_a_save() {
    let origin = long();
    let mut child = start(&["save", &origin.url("/a.m3u8"), "-"]);
    let (mut out, mut read) = (child.stdout.take().unwrap(), Vec::new());
    out.read_to_end(&mut read).unwrap();
    assert_eq!(finished(child).status, Some(0));
    assert_eq!(read.len(), 20_000 * 188);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_every_command_quietly() {
    let origin = long();
    let (dir, out) = scratch("out.ts");
    let (url, trace) = (origin.url("/a.m3u8"), dir.path().join("trace"));
    crate::Run::of(["save", &url, text(&out), "--trace", text(&trace)]).succeeded();
    std::fs::remove_file(&out).unwrap();
    let commands: [&[&str]; 5] = [
        &["save", &url, "-"],
        &["save", &url, "-", "--json"],
        &["save", &url, text(&out), "--json"],
        &["replay", text(&trace), "--from", "1", "--json"],
        &["probe", &url, "--json"],
    ];
    for command in commands {
        let mut child = start(command);
        drop(child.stdout.take());
        let run = finished(child).succeeded();
        assert!(!run.stderr.contains("kithara:"), "{command:?}: {}", run.stderr);
    }
    assert_eq!(names(dir.path()), ["out.ts", "trace"]);
}

/// The same five seconds, over and over: far more than is fetched ahead of who plays them.
#[cfg(unix)]
fn long_playlist() -> String {
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n".to_owned();
    for round in 0..40 {
        list.push_str("#EXT-X-DISCONTINUITY\n");
        (0..5).for_each(|segment| list.push_str(&format!("#EXTINF:1.0,\nseg{segment}.ts?n={round}\n")));
    }
    list + "#EXT-X-ENDLIST\n"
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_playback_and_what_was_written_is_a_whole_file() {
    let (list, hold) = (long_playlist(), Fault::stall(At::Fraction(0.5), Duration::from_secs(600)));
    let site = fixtures().route("/ts_aac/long.m3u8", move |_| Response::ok(list.clone()));
    let origin = serve(site.rule(Rule::on("seg0.ts").when(|request| request.param("n") == Some("30")).then(hold)));
    let (dir, out) = scratch("out.wav");
    let output = format!("wav:{}", text(&out));
    let child = start(&["play", &origin.url("/ts_aac/long.m3u8"), "--output", &output, "--no-cache", "--json"]);
    // Asked for only when most of what comes before it was played.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let is_asked = |origin: &Origin| origin.log().iter().any(|request| request.query.as_deref() == Some("n=30"));
    runtime.block_on(origin.until(is_asked));
    signal(&child, "-INT");
    let run = finished(child);
    assert_eq!(run.status, Some(130), "{}", run.stderr);
    assert_eq!((&run.json()["complete"], &run.json()["exit_status"]), (&false.into(), &130.into()));
    assert_eq!(names(dir.path()), ["out.wav"]);
    let bytes = std::fs::read(&out).unwrap();
    let stated = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    assert_eq!(stated as usize + 8, bytes.len());
    assert!(bytes.len() > 48_000 * 4 * 60, "{}", bytes.len());
}

#[cfg(unix)]
#[test]
fn ctrl_c_before_the_first_sample_leaves_what_was_there() {
    let hold = Fault::stall(At::Byte(0), Duration::from_secs(600));
    let origin = serve(fixtures().rule(Rule::on("seg0.ts").then(hold)));
    let (dir, out) = scratch("out.wav");
    std::fs::write(&out, b"a song of old").unwrap();
    let output = format!("wav:{}", text(&out));
    let child = start(&["play", &origin.url("/ts_aac/index.m3u8"), "--output", &output, "--no-cache"]);
    until_asked(&origin, "seg0.ts");
    signal(&child, "-INT");
    assert_eq!(finished(child).status, Some(130));
    assert_eq!(names(dir.path()), ["out.wav"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"a song of old");
}
