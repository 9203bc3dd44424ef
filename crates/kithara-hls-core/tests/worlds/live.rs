//! Live playlists in virtual time.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use kithara_hls_core::{
    BitRate,
    sim::{Answer, World},
    time::{Tick, WallTime},
};

use super::FOUR;

/// A live playlist of segments of 4 s, and what happens to it. Segment *n* is the file `seg<n>`, of a second encoder
/// `again<n>`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Live {
    /// Segments there at the beginning.
    pub(crate) start: u64,
    /// Segments listed at most; zero is an EVENT playlist.
    pub(crate) window: u64,
    /// After so many segments there is an end.
    pub(crate) end: Option<u64>,
    /// Nothing changes for a while: from this second on, for so many.
    pub(crate) stale: Option<(u64, u64)>,
    /// A second encoder takes over then.
    pub(crate) restart: Option<u64>,
    /// The number of the first segment.
    pub(crate) first: u64,
    /// Each segment has its date.
    pub(crate) dated: bool,
    /// Each segment begins a new media timeline.
    pub(crate) broken: bool,
    /// This one does, and no EXT-X-DISCONTINUITY-SEQUENCE counts it.
    pub(crate) breaks_at: Option<u64>,
    /// Every third answer shows the state of 8 s ago.
    pub(crate) lagging: bool,
    /// A segment is dropped by the server as soon as it left the window.
    pub(crate) drops: bool,
    /// Tags of the whole playlist.
    pub(crate) header: &'static str,
}

impl Live {
    pub(crate) fn event(start: u64) -> Self {
        Self { start, ..Self::default() }
    }

    pub(crate) fn sliding(window: u64) -> Self {
        Self { start: window, window, ..Self::default() }
    }

    /// The world that has it at `path`, with segments beside it.
    pub(crate) fn world(self, world: World, path: &str) -> World {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let bytes = BitRate::from_kbps(128).bytes_in(FOUR);
        let answer = |n: u64| match self.drops {
            true => Answer::Brief(bytes, Tick::from_millis((n + 1 + self.window - self.start) * 4_000)),
            false => Answer::Bytes(bytes),
        };
        let names = (0..6_000).flat_map(|n| [(n, format!("seg{n}")), (n, format!("again{n}"))]);
        let world = names.fold(world, |world, (n, name)| world.with(&format!("{folder}/{name}"), answer(n)));
        world.with(path, Answer::Live(Arc::new(move |now| self.text(now))))
    }

    fn text(&self, now: Tick) -> String {
        let mut at = Duration::from_nanos(now.as_nanos());
        if let Some((from, time)) = self.stale.map(|(from, time)| (secs(from), secs(time)))
            && (from..from + time).contains(&at)
        {
            at = from;
        }
        if self.lagging && (at.as_millis() / 1_500) % 3 == 2 {
            at = at.saturating_sub(secs(8));
        }
        let (name, begun) = match self.restart.map(secs).filter(|restart| at >= *restart) {
            Some(restart) => ("again", restart),
            None => ("seg", Duration::ZERO),
        };
        let start = if begun.is_zero() { self.start } else { 1 };
        let listed = start + (at - begun).as_secs() / 4;
        let listed = self.end.map_or(listed, |end| listed.min(end));
        let oldest = if self.window == 0 { 0 } else { listed.saturating_sub(self.window) };
        let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:4\n");
        text.push_str(self.header);
        if self.window == 0 {
            text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", self.first + oldest).expect("a string takes it");
        if self.broken && oldest > 0 {
            writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", oldest - 1).expect("a string takes it");
        }
        for n in oldest..listed {
            if self.broken && n > 0 || self.breaks_at == Some(n) {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            if self.dated {
                let date = begun.as_millis() + u128::from(n) * 4_000;
                let date = WallTime::from_millis(1_800_000_000_000 + i64::try_from(date).expect("it is small"));
                writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}").expect("a string takes it");
            }
            writeln!(text, "#EXTINF:4,\n{name}{n}").expect("a string takes it");
        }
        if self.end.is_some_and(|end| listed == end) {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
