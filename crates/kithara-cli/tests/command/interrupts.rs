//! Being stopped: cleanly, and without losing what cannot be had again.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

use kithara_origin::{At, Fault, Live, Origin, Rule, Site};

use crate::{finished, fixtures, kithara, names, scratch, serve, text};

fn start(args: &[&str]) -> Child {
    kithara(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Waits until the origin was asked for a path that ends like this.
fn until_asked(origin: &Origin, end: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(origin.until(|origin| origin.log().iter().any(|request| request.path.ends_with(end))));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_save_without_a_trace_of_it() {
    for name in ["-INT", "-TERM"] {
        // The third segment never ends.
        let hold = Fault::stall(At::Fraction(0.5), Duration::from_secs(600));
        let origin = serve(fixtures().rule(Rule::on("seg2").then(hold)));
        let (dir, out) = scratch("out.ts");
        let child = start(&["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--json"]);
        until_asked(&origin, "seg2.ts");
        signal(&child, name);
        let run = finished(child);
        assert_eq!(run.status, Some(130), "{}", run.stderr);
        assert_eq!(run.json()["complete"], false);
        assert_eq!(names(dir.path()), Vec::<String>::new());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_recording_and_keeps_it() {
    let origin = serve(fixtures().live("*", Live::event().start(2).speed(4.0).without_end()));
    let (dir, out) = scratch("out.ts");
    let child = start(&["save", &origin.url("/ts_aac/index.m3u8"), text(&out), "--json"]);
    // Not listed at first: by then the playlist was loaded again.
    until_asked(&origin, "seg2.ts");
    signal(&child, "-INT");
    let run = finished(child).succeeded();
    assert_eq!(names(dir.path()), ["out.ts"]);
    let bytes = std::fs::metadata(&out).unwrap().len();
    assert_eq!(run.json()["bytes"], bytes);
    assert!(bytes > 7_000, "at least the first segment");
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
fn a_reader_that_goes_away_ends_the_save() {
    let origin = serve(fixtures());
    let mut child = start(&["save", &origin.url("/ts_aac/index.m3u8"), "-"]);
    drop(child.stdout.take());
    assert_eq!(finished(child).status, Some(7));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_playback_and_what_was_written_is_a_whole_file() {
    let hold = Fault::stall(At::Fraction(0.5), Duration::from_secs(600));
    let origin = serve(fixtures().rule(Rule::on("seg2").then(hold)));
    let (dir, out) = scratch("out.wav");
    let output = format!("wav:{}", text(&out));
    let child = start(&["play", &origin.url("/ts_aac/index.m3u8"), "--output", &output, "--no-cache", "--json"]);
    until_asked(&origin, "seg2.ts");
    signal(&child, "-INT");
    let run = finished(child);
    assert_eq!(run.status, Some(130), "{}", run.stderr);
    assert_eq!(names(dir.path()), ["out.wav"]);
    let bytes = std::fs::read(&out).unwrap();
    let stated = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    assert_eq!(stated as usize + 8, bytes.len());
}
