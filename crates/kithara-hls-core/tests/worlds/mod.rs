//! Worlds that several tests play in.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod live;
pub(crate) mod low_latency;
pub(crate) mod packager;

use std::time::Duration;

use kithara_hls_core::{
    BitRate,
    session::FailureKind,
    sim::{Fault, World},
};
use url::Url;

/// The length of every segment.
pub(crate) const FOUR: Duration = Duration::from_secs(4);

/// Where the stream is.
pub(crate) fn url() -> Url {
    Url::parse("http://origin.test/main.m3u8").expect("a URL")
}

/// Three variants of 15 segments of 4 s.
pub(crate) fn ladder(world: World) -> World {
    let world = world.with_text(
        "/main.m3u8",
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\nlow/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=128000\nmid/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=256000\nhigh/index.m3u8\n",
    );
    let rates = [("low", 64_000), ("mid", 128_000), ("high", 256_000)];
    rates
        .into_iter()
        .fold(world, |world, (name, rate)| world.with_vod(&format!("/{name}/index.m3u8"), 15, FOUR, BitRate(rate)))
}

/// Something that goes wrong from one request on, a number of times.
pub(crate) fn fault(path: &str, from: u32, times: u32, kind: FailureKind, status: Option<u16>) -> Fault {
    Fault { path: path.into(), from, times, kind, status, after: Duration::from_millis(50) }
}

/// Two variants of 15 segments of 4 s with a picture, two languages of sound in segments of 3 s, English subtitles in
/// segments of 10 s.
pub(crate) fn renditions(world: World) -> World {
    let world = world.with_text(
        "/main.m3u8",
        "#EXTM3U\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,URI=\"en/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch\",LANGUAGE=\"de\",AUTOSELECT=YES,URI=\"de/index.m3u8\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",URI=\"subs/index.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=320x180,AUDIO=\"a\",SUBTITLES=\"s\"\nlow/index.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360,AUDIO=\"a\",SUBTITLES=\"s\"\nhigh/index.m3u8\n",
    );
    let streams = [
        ("low", 15, 4_000, 250_000),
        ("high", 15, 4_000, 800_000),
        ("en", 20, 3_000, 50_000),
        ("de", 19, 3_200, 50_000),
        ("subs", 6, 10_000, 500),
    ];
    streams.into_iter().fold(world, |world, (name, segments, millis, rate)| {
        world.with_vod(&format!("/{name}/index.m3u8"), segments, Duration::from_millis(millis), BitRate(rate))
    })
}

/// The same ladder on two pathways, with sound of their own, and a server that steers.
pub(crate) fn pathways(world: World) -> World {
    let mut text = String::from("#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer\",PATHWAY-ID=\"A\"\n");
    for id in ["A", "B"] {
        let host = format!("http://{}.test", id.to_lowercase());
        text += &format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{id}\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,\
             URI=\"{host}/en/index.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=320x180,PATHWAY-ID=\"{id}\",AUDIO=\"{id}\"\n\
             {host}/low/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=640x360,PATHWAY-ID=\"{id}\",AUDIO=\"{id}\"\n\
             {host}/high/index.m3u8\n"
        );
    }
    renditions(world).with_text("/main.m3u8", &text)
}

/// What a steering server says.
pub(crate) fn steering(ttl: u32, priority: &str) -> String {
    format!("{{\"VERSION\":1,\"TTL\":{ttl},\"PATHWAY-PRIORITY\":[{priority}]}}")
}
