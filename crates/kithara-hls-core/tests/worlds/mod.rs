//! Worlds that several tests play in.

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
