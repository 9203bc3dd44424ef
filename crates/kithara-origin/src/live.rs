//! Live playlists made from VOD playlists: what a packager would have written by now.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use crate::{
    date::rfc3339,
    playlist::resolve,
    request::Request,
    response::Response,
    vod::{Vod, VodSegment},
};

/// How VOD playlists are shown as live ones, by the site's clock.
///
/// Time begins at the first request for a playlist under the pattern given to [`Site::live`](crate::Site::live), for all of them
/// together, and anew for each session of [`Sessions`](crate::access::Sessions). A segment appears when all of it would have been
/// recorded; before that (and long after it) its URL answers 404. Multivariant playlists are served as they are.
///
/// ```
/// use kithara_origin::{Live, Site};
///
/// // Six segments of a window, three at the start, at four times the speed.
/// let live = Live::sliding(6).start(3).speed(4.0);
/// Site::new().dir("/", "www").live("*", live);
/// ```
#[derive(Clone, Debug)]
pub struct Live {
    window: Option<usize>,
    keep: usize,
    start: usize,
    speed: f64,
    early: Duration,
    stale: Vec<(Duration, Duration)>,
    restart: Option<Duration>,
    is_looped: bool,
    ends: bool,
    is_dated: bool,
    state: Arc<Mutex<State>>,
}

/// What requests have told so far. Shared by clones.
#[derive(Debug, Default)]
struct State {
    /// When time began on the site's clock, by session.
    epochs: HashMap<Option<String>, Duration>,
    /// When segments exist, since the epoch, by path.
    presence: HashMap<String, Presence>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Presence {
    from: Duration,
    until: Option<Duration>,
}

/// Segments after which a looped playlist stops growing: a bound on the work for one request.
const MAX_LOOPED: usize = 1_000_000;

impl Live {
    /// A playlist that grows and keeps everything (`EXT-X-PLAYLIST-TYPE:EVENT`).
    pub fn event() -> Self {
        Self {
            window: None,
            keep: 0,
            start: 3,
            speed: 1.0,
            early: Duration::ZERO,
            stale: Vec::new(),
            restart: None,
            is_looped: false,
            ends: true,
            is_dated: false,
            state: Arc::default(),
        }
    }

    /// A playlist that lists the newest `window` segments.
    pub fn sliding(window: usize) -> Self {
        Self { window: Some(window.max(1)), keep: usize::MAX, ..Self::event() }
    }

    /// Segments there at the beginning. Default: 3.
    #[must_use]
    pub fn start(mut self, segments: usize) -> Self {
        self.start = segments;
        self
    }

    /// How many seconds of media a second of the clock records. Default: 1.0; what is not positive counts as that.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        self
    }

    /// Segments that still exist behind a sliding window. Default: all.
    #[must_use]
    pub fn keep(mut self, segments: usize) -> Self {
        self.keep = segments;
        self
    }

    /// Lists each segment this long before it exists. Default: zero.
    #[must_use]
    pub fn announce_early(mut self, time: Duration) -> Self {
        self.early = time;
        self
    }

    /// Freezes the playlists for `time`, from `after` on; segments go on appearing. May be given several times.
    #[must_use]
    pub fn stale(mut self, after: Duration, time: Duration) -> Self {
        self.stale.push((after, time));
        self
    }

    /// Restarts the encoder after this time: everything begins anew, with media sequence number 0.
    #[must_use]
    pub fn restart_after(mut self, time: Duration) -> Self {
        self.restart = Some(time);
        self
    }

    /// Plays the segments again and again, with a discontinuity before each lap and a query parameter (`lap`) that makes their URLs
    /// differ; never ends, but stops growing at a million segments.
    #[must_use]
    pub fn looped(mut self) -> Self {
        self.is_looped = true;
        self
    }

    /// Never writes `EXT-X-ENDLIST`, even when the last segment is there.
    #[must_use]
    pub fn without_end(mut self) -> Self {
        self.ends = false;
        self
    }

    /// Writes `EXT-X-PROGRAM-DATE-TIME` before each segment: the wall time at which its recording began.
    #[must_use]
    pub fn dated(mut self) -> Self {
        self.is_dated = true;
        self
    }

    /// The live playlist in place of the VOD playlist `text` that was asked for; `None` when it is no media playlist.
    pub(crate) fn rewrite(&self, request: &Request, text: &str) -> Option<String> {
        let vod = Vod::parse(text)?;
        let mut state = self.state();
        let epoch = *state.epochs.entry(request.session.clone()).or_insert(request.at);
        let elapsed = request.at.saturating_sub(epoch);
        state.presence.extend(self.presence(&vod, &request.path));
        let begun = request.wall.checked_sub(self.since_restart(elapsed)).unwrap_or(request.wall);
        Some(self.playlist(&vod, elapsed, begun))
    }

    /// The 404 for a segment that is not there at this time.
    pub(crate) fn guard(&self, request: &Request) -> Option<Response> {
        let state = self.state();
        let presence = state.presence.get(&request.path)?;
        let epoch = state.epochs.get(&request.session).copied().unwrap_or(request.at);
        let now = self.since_restart(request.at.saturating_sub(epoch));
        let exists = presence.from <= now && presence.until.is_none_or(|until| now < until);
        (!exists).then(|| Response::new(404))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn since_restart(&self, elapsed: Duration) -> Duration {
        self.restart.and_then(|at| elapsed.checked_sub(at)).unwrap_or(elapsed)
    }

    /// The time the playlist shows: real time, but for its frozen spans.
    fn shown(&self, elapsed: Duration) -> Duration {
        let frozen = self.stale.iter().find(|(after, time)| elapsed >= *after && elapsed < after.saturating_add(*time));
        self.since_restart(frozen.map_or(elapsed, |(after, _)| *after))
    }

    /// How long `media` takes to be recorded.
    fn recording(&self, media: Duration) -> Duration {
        Duration::try_from_secs_f64(media.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }

    /// When segment `index` appears, given the media between the end of the starting ones and its own end.
    fn appears(&self, index: usize, media: Duration) -> Duration {
        if index < self.start { Duration::ZERO } else { self.recording(media) }
    }

    /// When each segment of `vod` exists, by path. A looped one exists from its first lap on.
    fn presence(&self, vod: &Vod, playlist: &str) -> Vec<(String, Presence)> {
        let mut media = Duration::ZERO;
        let mut from = Vec::with_capacity(vod.segments.len());
        for (index, segment) in vod.segments.iter().enumerate() {
            if index >= self.start {
                media = media.saturating_add(segment.duration);
            }
            from.push(self.appears(index, media));
        }
        let until = |index: usize| {
            let window = self.window.filter(|_| !self.is_looped)?;
            from.get(index.checked_add(window)?.checked_add(self.keep)?).copied()
        };
        let paths = vod.segments.iter().map(|segment| resolve(playlist, &segment.uri));
        let ranged = vod.segments.iter().any(|segment| segment.is_ranged);
        // Ranges of one file cannot come and go one by one.
        let paths = paths.enumerate().filter(|_| !ranged);
        paths.filter_map(|(index, path)| Some((path?, Presence { from: from[index], until: until(index) }))).collect()
    }

    /// What the playlist says after `elapsed`, of a recording that began at wall time `begun`.
    fn playlist(&self, vod: &Vod, elapsed: Duration, begun: SystemTime) -> String {
        let now = self.shown(elapsed).saturating_add(self.early);
        let listed = self.count(vod, now);
        let first = self.window.map_or(0, |window| listed.saturating_sub(window));
        let all = !self.is_looped && listed == vod.segments.len();
        let mut text = String::from("#EXTM3U\n");
        for line in &vod.header {
            text.extend([line, "\n"]);
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}");
        let passed = (0..first).filter(|index| self.is_discontinuous(vod, *index)).count();
        if passed > 0 {
            let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{passed}");
        }
        if self.window.is_none() {
            text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n");
        }
        for index in first..listed {
            self.write_segment(&mut text, vod, index, index == first, begun);
        }
        if all && self.ends {
            text.push_str("#EXT-X-ENDLIST\n");
        }
        text
    }

    /// How many segments have appeared by `now`.
    fn count(&self, vod: &Vod, now: Duration) -> usize {
        let lap = vod.segments.len();
        let limit = if self.is_looped && !vod.lap().is_zero() { MAX_LOOPED } else { lap };
        let mut count = self.start.min(limit);
        let mut media = Duration::ZERO;
        while count < limit {
            media = media.saturating_add(vod.segments[count % lap].duration);
            if self.recording(media) > now {
                break;
            }
            count += 1;
        }
        count
    }

    fn is_discontinuous(&self, vod: &Vod, index: usize) -> bool {
        let in_lap = index % vod.segments.len();
        vod.segments[in_lap].is_discontinuous || (in_lap == 0 && index > 0)
    }

    fn write_segment(&self, text: &mut String, vod: &Vod, index: usize, is_first: bool, begun: SystemTime) {
        let lap = index / vod.segments.len();
        let segment: &VodSegment = &vod.segments[index % vod.segments.len()];
        if self.is_discontinuous(vod, index) {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if is_first || (lap > 0 && index.is_multiple_of(vod.segments.len())) {
            // Keys and maps that were written before the window began still hold.
            text.extend(vod.in_force(index % vod.segments.len()).flat_map(|line| [line, "\n"]));
        } else {
            text.extend(segment.state.iter().flat_map(|line| [line.as_str(), "\n"]));
        }
        if self.is_dated {
            let media = vod.lap().saturating_mul(u32::try_from(lap).unwrap_or(u32::MAX)).saturating_add(segment.start);
            let date = begun.checked_add(self.recording(media)).unwrap_or(begun);
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", rfc3339(date));
        }
        text.extend(segment.lines.iter().flat_map(|line| [line.as_str(), "\n"]));
        text.push_str(&segment.uri);
        if lap > 0 {
            let _ = write!(text, "{}lap={lap}", if segment.uri.contains('?') { '&' } else { '?' });
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOD: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-MAP:URI=\"i\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
        #EXTINF:2,\na\n#EXTINF:2,\nb\n#EXT-X-DISCONTINUITY\n#EXTINF:2,\nc\n#EXTINF:1,\nd\n#EXT-X-ENDLIST\n";

    /// The lines of the playlist after so many milliseconds, but for header and `EXTINF`s, joined by spaces.
    #[track_caller]
    fn check(live: &Live, at_ms: u64, want: &str) {
        let vod = Vod::parse(VOD).unwrap();
        let text = live.playlist(&vod, Duration::from_millis(at_ms), SystemTime::UNIX_EPOCH);
        assert!(text.starts_with("#EXTM3U\n#EXT-X-TARGETDURATION:2\n"), "{text}");
        let lines = text.lines().skip(2).filter(|line| !line.starts_with("#EXTINF"));
        let short = lines.map(|line| line.trim_start_matches("#EXT-X-")).collect::<Vec<_>>().join(" ");
        assert_eq!(short, want, "after {at_ms} ms");
    }

    const START: &str = "MAP:URI=\"i\" KEY:METHOD=AES-128,URI=\"k\"";

    #[test]
    fn events_grow_and_end() {
        let live = Live::event().start(1);
        let head = format!("MEDIA-SEQUENCE:0 PLAYLIST-TYPE:EVENT {START}");
        check(&live, 1999, &format!("{head} a"));
        check(&live, 2000, &format!("{head} a b"));
        check(&live, 4000, &format!("{head} a b DISCONTINUITY c"));
        check(&live, 5000, &format!("{head} a b DISCONTINUITY c d ENDLIST"));
        check(&live.clone().without_end(), 5000, &format!("{head} a b DISCONTINUITY c d"));
        check(&live.speed(2.0), 1000, &format!("{head} a b"));
    }

    #[test]
    fn windows_slide_with_keys_and_maps() {
        let live = Live::sliding(2).start(2);
        check(&live, 0, &format!("MEDIA-SEQUENCE:0 {START} a b"));
        check(&live, 2000, &format!("MEDIA-SEQUENCE:1 {START} b DISCONTINUITY c"));
        check(&live, 3000, &format!("MEDIA-SEQUENCE:2 DISCONTINUITY {START} c d ENDLIST"));
        let one = Live::sliding(1).start(2);
        check(&one, 3000, &format!("MEDIA-SEQUENCE:3 DISCONTINUITY-SEQUENCE:1 {START} d ENDLIST"));
    }

    #[test]
    fn playlists_freeze_announce_and_restart() {
        let seconds = Duration::from_secs;
        let live = Live::sliding(9).start(1).stale(seconds(1), seconds(2));
        check(&live, 2999, &format!("MEDIA-SEQUENCE:0 {START} a"));
        check(&live, 3000, &format!("MEDIA-SEQUENCE:0 {START} a b"));
        let live = Live::sliding(9).start(1).announce_early(seconds(1));
        check(&live, 1000, &format!("MEDIA-SEQUENCE:0 {START} a b"));
        let live = Live::sliding(1).start(1).restart_after(seconds(3));
        check(&live, 2999, &format!("MEDIA-SEQUENCE:1 {START} b"));
        check(&live, 3000, &format!("MEDIA-SEQUENCE:0 {START} a"));
    }

    #[test]
    fn laps_are_told_apart() {
        let live = Live::sliding(2).start(4).looped();
        check(
            &live,
            2000,
            &format!("MEDIA-SEQUENCE:3 DISCONTINUITY-SEQUENCE:1 {START} d DISCONTINUITY {START} a?lap=1"),
        );
        check(
            &live,
            9000,
            &format!("MEDIA-SEQUENCE:7 DISCONTINUITY-SEQUENCE:3 {START} d?lap=1 DISCONTINUITY {START} a?lap=2"),
        );
    }

    #[test]
    fn dates_are_those_of_the_recording() {
        let live = Live::sliding(1).start(4).looped().dated();
        check(
            &live,
            0,
            &format!("MEDIA-SEQUENCE:3 DISCONTINUITY-SEQUENCE:1 {START} PROGRAM-DATE-TIME:1970-01-01T00:00:06.000Z d"),
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_and_no_time_is_too_strange(
            text in r"(#EXTINF:[0-9]{0,22}(\.[0-9])?,\n(#EXT-X-BYTERANGE:[0-9@]{0,24}\n)?[a-z?]{0,2}\n|#EXT-X-(KEY|MAP|DISCONTINUITY):?\n){0,6}",
            (window, start, at) in (0_usize..4, 0_usize..9, 0_u64..u64::MAX),
            (is_looped, is_dated) in (proptest::bool::ANY, proptest::bool::ANY),
        ) {
            let mut live = Live::sliding(window).start(start).keep(window);
            live.is_looped = is_looped;
            live.is_dated = is_dated;
            if let Some(vod) = Vod::parse(&format!("#EXTM3U\n{text}")) {
                let playlist = live.playlist(&vod, Duration::from_millis(at), SystemTime::UNIX_EPOCH);
                proptest::prop_assert!(Vod::parse(&playlist).is_none_or(|vod| vod.segments.len() <= window.max(1)));
                live.presence(&vod, "/x/index.m3u8");
            }
        }
    }

    #[track_caller]
    fn check_presence(live: &Live, want: [(u64, Option<u64>); 4]) {
        let vod = Vod::parse(VOD).unwrap();
        let got = live.presence(&vod, "/x/index.m3u8");
        let names: Vec<_> = got.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, ["/x/a", "/x/b", "/x/c", "/x/d"]);
        let seconds = |(from, until): (u64, Option<u64>)| Presence {
            from: Duration::from_secs(from),
            until: until.map(Duration::from_secs),
        };
        assert_eq!(got.into_iter().map(|(_, presence)| presence).collect::<Vec<_>>(), want.map(seconds));
    }

    #[test]
    fn segments_come_and_go() {
        check_presence(&Live::event().start(2), [(0, None), (0, None), (2, None), (3, None)]);
        check_presence(&Live::sliding(1).start(2).keep(1), [(0, Some(2)), (0, Some(3)), (2, None), (3, None)]);
        check_presence(&Live::sliding(1).start(1), [(0, None), (2, None), (4, None), (5, None)]);
    }
}
