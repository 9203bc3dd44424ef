//! Live playlists, signed URLs, sessions and generated URLs, by a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod client;

use std::time::Duration;

use client::get;
use kithara_origin::{
    Clock, Live, Origin, Site,
    access::{Generating, SecureLink, Sessions},
};

const VOD: &str =
    "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nseg0.ts\n#EXTINF:2,\nseg1.ts\n#EXTINF:2,\nseg2.ts\n#EXT-X-ENDLIST\n";

fn site() -> Site {
    let segments = (0..3).map(|n| (format!("/media/seg{n}.ts"), format!("segment {n}")));
    segments.fold(Site::new().bytes("/media/index.m3u8", VOD), |site, (path, text)| site.bytes(&path, text))
}

fn start(site: Site) -> (Origin, Clock) {
    let clock = Clock::manual();
    (Origin::start(site.clock(clock.clone())).unwrap(), clock)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The URI lines of the playlist at `path`.
fn listed(origin: &Origin, path: &str) -> Vec<String> {
    let answer = get(origin, path, "");
    answer.text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn live_playlists_grow_and_segments_exist_when_recorded() {
    let (origin, clock) = start(site().live("/media/*", Live::sliding(2).start(1).keep(0)));
    clock.advance(seconds(100));
    let status = |n| get(&origin, &format!("/media/seg{n}.ts"), "").status();
    assert_eq!(listed(&origin, "/media/index.m3u8"), ["seg0.ts"], "time begins at the first request");
    assert_eq!([status(0), status(1), status(2)], [200, 404, 404]);
    clock.advance(seconds(4));
    let etag = get(&origin, "/media/index.m3u8", "").header("etag").unwrap().to_owned();
    assert_eq!(listed(&origin, "/media/index.m3u8"), ["seg1.ts", "seg2.ts"]);
    assert_eq!([status(0), status(1), status(2)], [404, 200, 200]);
    let unchanged = get(&origin, "/media/index.m3u8", &format!("If-None-Match: {etag}"));
    assert_eq!(unchanged.status(), 304);
}

#[test]
fn a_segment_may_be_announced_before_it_exists() {
    let (origin, clock) = start(site().live("*", Live::event().start(1).announce_early(seconds(2))));
    assert_eq!(listed(&origin, "/media/index.m3u8"), ["seg0.ts", "seg1.ts"]);
    assert_eq!(get(&origin, "/media/seg1.ts", "").status(), 404);
    clock.advance(seconds(2));
    assert_eq!(get(&origin, "/media/seg1.ts", "").text(), "segment 1");
}

#[test]
fn playlists_hand_out_signatures_that_expire() {
    let link = SecureLink::new("secret", seconds(60));
    let (origin, clock) = start(site().secure_link("*.ts", &link));
    assert_eq!(get(&origin, "/media/seg0.ts", "").status(), 403);
    let signed = listed(&origin, "/media/index.m3u8").remove(0);
    let status = |uri: &str| get(&origin, &format!("/media/{uri}"), "").status();
    assert_eq!(status(&signed), 200);
    clock.advance(seconds(60));
    assert_eq!(status(&signed), 200, "valid to the last second");
    clock.advance(seconds(1));
    assert_eq!(status(&signed), 410);
    let again = listed(&origin, "/media/index.m3u8").remove(0);
    assert_eq!(status(&again), 200, "a reloaded playlist is signed anew");
    let moved = again.replace("seg0", "seg1");
    assert_eq!(status(&moved), 403);
}

#[test]
fn a_bearer_is_demanded_of_the_manifest_only() {
    let (origin, _) = start(site().bearer("*.m3u8", "abc.def.ghi"));
    let without = get(&origin, "/media/index.m3u8", "");
    assert_eq!((without.status(), without.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(get(&origin, "/media/index.m3u8", "Authorization: Bearer abc.def.ghj").status(), 401);
    assert_eq!(get(&origin, "/media/index.m3u8", "Authorization: Bearer abc.def.ghi").status(), 200);
    assert_eq!(get(&origin, "/media/seg0.ts", "").status(), 200);
}

#[test]
fn idle_sessions_are_forgotten_and_each_has_its_own_time() {
    let sessions = Sessions::new(seconds(10));
    let site = site().sessions("/s", "/media", &sessions).live("/media/*", Live::event().start(1));
    let (origin, clock) = start(site);
    let first = get(&origin, "/s/new/index.m3u8?a=%20b", "");
    assert_eq!((first.status(), first.header("location")), (302, Some("/s/s1/index.m3u8?a=%20b")));
    assert_eq!(listed(&origin, "/s/s1/index.m3u8"), ["seg0.ts"]);
    clock.advance(seconds(8));
    assert_eq!(get(&origin, "/s/s1/seg2.ts", "").text(), "segment 2");
    let second = get(&origin, "/s/new", "");
    assert_eq!(second.text(), "{\"session\":\"s2\",\"base\":\"/s/s2/\"}");
    assert_eq!(listed(&origin, "/s/s2/index.m3u8"), ["seg0.ts"], "a new session begins at its own zero");
    assert_eq!(get(&origin, "/s/s2/seg2.ts", "").status(), 404);
    clock.advance(seconds(8));
    assert_eq!(get(&origin, "/s/s1/index.m3u8", "").status(), 200, "requests keep it alive");
    clock.advance(seconds(11));
    assert_eq!(get(&origin, "/s/s1/index.m3u8", "").status(), 410);
    assert_eq!(get(&origin, "/s/unknown/index.m3u8", "").status(), 410);
    assert_eq!(sessions.begun(), 2);
}

#[test]
fn urls_are_generated_by_count_or_by_time() {
    let link = SecureLink::new("secret", seconds(60));
    let by_count = Generating::new("/media/seg0.ts").ready_after_requests(2).status(503).signed(&link);
    let by_time = Generating::new("http://cdn/x").ready_after_requests(0).ready_after(seconds(5));
    let (origin, clock) =
        start(site().secure_link("*.ts", &link).generating("/count", by_count).generating("/time", by_time));
    for _ in 0..2 {
        let busy = get(&origin, "/count", "");
        assert_eq!((busy.status(), busy.header("retry-after")), (503, Some("2")));
        assert_eq!(busy.text(), "{\"status\":\"generating\",\"retry_after\":2}");
        assert_eq!(busy.header("content-type"), Some("application/json"));
    }
    let ready = get(&origin, "/count", "");
    let target = ready.text().split("http://x").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert_eq!(get(&origin, target, "").text(), "segment 0");
    assert_eq!(get(&origin, "/time", "").status(), 202);
    clock.advance(seconds(5));
    assert_eq!(get(&origin, "/time", "").text(), "{\"status\":\"ready\",\"url\":\"http://cdn/x\"}");
}
