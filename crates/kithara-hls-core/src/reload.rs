//! When a media playlist is loaded again (RFC 8216bis section 6.3.4).

use std::time::Duration;

use crate::{playlist::MediaPlaylist, time::Tick};

/// Loads are never closer together than this, not even after errors: an origin in trouble is not hammered.
pub const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// What the last load of a playlist brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It differs from the one before, or is the first.
    Changed,
    /// It is the one we had.
    Unchanged,
    /// It could not be had; this many times in a row.
    Failed(u32),
}

/// When a playlist is to be loaded again, and what is known about when its segments appear.
///
/// A segment appears when the encoder has finished it, so the *n*-th appears at some fixed moment plus the time at which
/// it ends. Each load shows that all listed segments had appeared; the earliest such moment is the best guess, and a load
/// is best timed a little after the next segment should have appeared: too early costs half a target duration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// The least of (time of a load minus end of what it listed), in nanoseconds.
    appeared: Option<i128>,
    /// The same before a load that came too early, if that was the last one.
    before_miss: Option<i128>,
}

/// How long after its likely appearance a segment is asked for: durations vary by a frame or two from segment to segment.
pub const MARGIN: Duration = Duration::from_millis(60);

impl Pace {
    /// Learns from a load that began at `started` and listed segments up to `end` of presentation time.
    pub fn learn(&mut self, started: Tick, end: Duration) {
        let seen = i128::from(started.as_nanos()) - i128::try_from(end.as_nanos()).unwrap_or(i128::MAX);
        self.appeared = Some(self.appeared.map_or(seen, |known| known.min(seen)));
        self.before_miss = None;
    }

    /// Learns from a load that began at `started` and did not list the segment of `duration` that ends at `next` yet: it
    /// appears later than that. One that is much later than it should be tells of an origin in trouble, not of its pace.
    pub fn miss(&mut self, started: Tick, next: Duration, duration: Duration) {
        let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        let seen = i128::from(started.as_nanos()) - nanos(next);
        let Some(known) = self.appeared else { return };
        if seen.saturating_sub(known) > nanos(duration / 4) {
            self.appeared = self.before_miss.take().or(self.appeared);
        } else {
            self.before_miss.get_or_insert(known);
            self.appeared = Some(known.max(seen));
        }
    }

    /// Forgets what was learned: the encoder began anew, or the clock stood still.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// When something that ends at `end` should have appeared.
    #[must_use]
    pub fn appears(&self, end: Duration) -> Option<Tick> {
        let nanos = self.appeared?.checked_add(i128::try_from(end.as_nanos()).ok()?)?;
        u64::try_from(nanos.max(0)).ok().map(Tick::from_nanos)
    }

    /// When to load `playlist` again, or `None` if it never changes. It ends at `end`, and its last load began at
    /// `started`. `jitter`, from 0 to 1, spreads the repeats of many clients after errors.
    ///
    /// After a change the wait is the duration of the last segment, or a little longer if the next one should appear a
    /// little later. An unchanged playlist is asked for after half a target duration, or when the next segment should have
    /// appeared, if that is within a target duration; a failed load is repeated with
    /// doubling waits up to one target duration.
    #[must_use]
    pub fn next_load(
        &self,
        playlist: &MediaPlaylist,
        end: Duration,
        last: Loaded,
        started: Tick,
        jitter: f64,
    ) -> Option<Tick> {
        if !playlist.is_live() {
            return None;
        }
        let target = playlist.target_duration;
        let due = match last {
            Loaded::Changed => {
                let duration =
                    playlist.segments.last().map_or(target, |segment| segment.duration.min(target.saturating_mul(2)));
                let wait = started + duration;
                let likely = self.appears(end.saturating_add(duration)).map(|at| at + MARGIN);
                // A guess that lies further off is none.
                let soon = likely.filter(|at| at.since(wait) <= target / 4);
                soon.map_or(wait, |at| at.max(wait))
            }
            Loaded::Unchanged => {
                // Where the next segment is not expected before, asking earlier would only lead to asking later than it.
                let duration = playlist.segments.last().map_or(target, |segment| segment.duration);
                let wait = started + target / 2;
                let likely = self.appears(end.saturating_add(duration)).map(|at| at + MARGIN);
                let soon = likely.filter(|at| at.since(wait) <= target / 2);
                soon.map_or(wait, |at| at.max(wait))
            }
            Loaded::Failed(times) => {
                let most = MIN_INTERVAL.saturating_mul(1 << times.min(8)).min(target);
                started + most.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
            }
        };
        Some(due.max(started + MIN_INTERVAL))
    }
}

/// When to load `playlist` again, which is followed part by part. Its last load began at `started`.
///
/// A server that can block answers when there is something new, so it is asked again at once, but not twice in half a part
/// target. Elsewhere the next part is asked for when it should be there, and more often than every 250 ms never.
#[must_use]
pub fn next_load_by_parts(
    playlist: &MediaPlaylist,
    part_target: Duration,
    last: Loaded,
    started: Tick,
) -> Option<Tick> {
    if !playlist.is_live() {
        return None;
    }
    let wait = match last {
        Loaded::Changed if playlist.server_control.can_block_reload => (part_target / 2).max(LEAST_BLOCKING),
        Loaded::Changed => part_target.max(MIN_INTERVAL),
        // It did not block, or could not for longer.
        Loaded::Unchanged => (part_target / 2).max(MIN_INTERVAL),
        // What plays is a second from its end: the third failure is not waited after longer than the first.
        Loaded::Failed(times) => {
            let doubled = MIN_INTERVAL.saturating_mul(1 << times.saturating_sub(3).min(8));
            doubled.min(playlist.target_duration).max(MIN_INTERVAL)
        }
    };
    Some(started + wait)
}

/// Loads that are answered when something is new are never closer together than this.
const LEAST_BLOCKING: Duration = Duration::from_millis(100);

/// How long something that is there may be on its way in a stream that is read by parts: half a part target, at least 200 ms,
/// and as long as a new connection and an answer take by the time in which answers usually begin; two part targets or a second
/// at most.
#[must_use]
pub fn part_way(part_target: Duration, round_trip: Duration) -> Duration {
    let most = part_target.saturating_mul(2).max(Duration::from_secs(1));
    (part_target / 2).max(Duration::from_millis(200)).max(round_trip.saturating_mul(4)).min(most)
}

/// How long the rest of something may be on its way when a part of it has come that the server sends at the same time: half
/// the [way](part_way), and at least 150 ms.
#[must_use]
pub fn rest_of_way(way: Duration) -> Duration {
    (way / 2).max(Duration::from_millis(150))
}

/// How long a load may take that is to be answered when the next part is there, so long `since` it was known not to be there,
/// and after so many loads that took too long: what is left of a part target, and the [way](part_way). The first of them may have been
/// lost; then the part is there by now, and the second load waits for the way only. After two it is the server that is slow.
#[must_use]
pub fn part_patience(
    playlist: &MediaPlaylist,
    part_target: Duration,
    way: Duration,
    since: Duration,
    failures: u32,
) -> Duration {
    let longest = playlist.target_duration.saturating_mul(3).max(Duration::from_secs(3));
    match failures {
        // A part that should be there is late, which says nothing of this load.
        0 => part_target.checked_sub(since).unwrap_or(part_target).saturating_add(way),
        1 => way,
        more => part_target.saturating_add(way).saturating_mul(more.min(16)).min(longest),
    }
}

/// How a playlist that should have changed counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// It has changed as it should.
    Fresh,
    /// It has not changed for 1.5 target durations (RFC 8216bis section 6.3.4).
    Late,
    /// It has not changed for 3 target durations: something else is tried.
    Frozen,
}

impl Freshness {
    /// How `playlist` counts that last changed at `changed`.
    #[must_use]
    pub fn of(playlist: &MediaPlaylist, changed: Tick, now: Tick) -> Self {
        match now.since(changed) {
            _ if !playlist.is_live() => Self::Fresh,
            time if time >= Self::limit(playlist, Self::Frozen) => Self::Frozen,
            time if time >= Self::limit(playlist, Self::Late) => Self::Late,
            _ => Self::Fresh,
        }
    }

    /// After how long without a change it counts so.
    #[must_use]
    pub fn limit(playlist: &MediaPlaylist, freshness: Self) -> Duration {
        // A new segment may be as long as the target duration, and is seen at the next load after it appeared.
        let target = playlist.target_duration;
        match freshness {
            Self::Fresh => Duration::ZERO,
            Self::Late => target.saturating_add(target / 2),
            Self::Frozen => target.saturating_mul(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::playlist::{ParseOptions, Playlist, parse};

    fn playlist(durations: &[&str]) -> MediaPlaylist {
        let segments: String = durations.iter().map(|it| format!("#EXTINF:{it},\nseg\n")).collect();
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{segments}");
        let url = Url::parse("http://origin.test/live.m3u8").unwrap();
        match parse(text.as_bytes(), &url, &ParseOptions::default()).unwrap() {
            Playlist::Media(playlist) => playlist,
            Playlist::Multivariant(_) => panic!("segments are listed"),
        }
    }

    #[track_caller]
    fn check(durations: &[&str], last: Loaded, jitter: f64, want_ms: u64) {
        let started = Tick::from_millis(10_000);
        let playlist = playlist(durations);
        let due = Pace::default().next_load(&playlist, Duration::from_secs(8), last, started, jitter);
        assert_eq!(due, Some(Tick::from_millis(10_000 + want_ms)));
    }

    #[test]
    fn waits_are_measured_from_the_start_of_the_last_load() {
        check(&["4", "4"], Loaded::Changed, 0.0, 4_000);
        check(&["4", "1.5"], Loaded::Changed, 0.0, 1_500);
        check(&["4", "0.1"], Loaded::Changed, 0.0, 250);
        check(&["4", "4"], Loaded::Unchanged, 0.0, 2_000);
    }

    #[test]
    fn errors_are_followed_by_longer_waits_up_to_a_target_duration_and_never_by_less_than_250_ms() {
        check(&["4"], Loaded::Failed(1), 0.0, 250);
        check(&["4"], Loaded::Failed(1), 1.0, 500);
        check(&["4"], Loaded::Failed(3), 0.5, 1_500);
        check(&["4"], Loaded::Failed(u32::MAX), 1.0, 4_000);
    }

    #[test]
    fn the_next_segment_is_asked_for_a_little_after_it_appears() {
        let playlist = playlist(&["4", "4"]);
        let mut pace = Pace::default();
        let at = |ms| Tick::from_millis(ms);
        let load = |pace: &Pace, end, ms| {
            pace.next_load(&playlist, Duration::from_secs(end), Loaded::Changed, at(ms), 0.0).map(Tick::as_nanos)
        };
        pace.learn(at(10_000), Duration::from_secs(8));
        assert_eq!(load(&pace, 8, 10_000), Some(at(14_060).as_nanos()));
        // A load that was late does not make the next ones later.
        pace.learn(at(14_500), Duration::from_secs(12));
        assert_eq!(load(&pace, 12, 14_500), Some(at(18_500).as_nanos()), "not before a segment has passed");
        pace.learn(at(18_010), Duration::from_secs(16));
        assert_eq!(load(&pace, 16, 18_010), Some(at(22_060).as_nanos()));
    }

    #[test]
    fn a_playlist_that_stood_still_does_not_change_when_segments_are_asked_for() {
        let mut pace = Pace::default();
        let (at, secs) = (Tick::from_millis, Duration::from_secs);
        pace.learn(at(10_000), secs(8));
        pace.miss(at(14_060), secs(12), secs(4));
        assert_eq!(pace.appears(secs(12)), Some(at(14_060)), "a little later than was thought");
        for ms in [16_060, 18_060, 20_060] {
            pace.miss(at(ms), secs(12), secs(4));
        }
        pace.learn(at(22_070), secs(20));
        assert_eq!(
            pace.appears(secs(24)),
            Some(at(26_000)),
            "that it was late at first was the beginning of the trouble"
        );
    }

    #[track_caller]
    fn check_parts(control: &str, part_ms: u64, last: Loaded, want_ms: u64) {
        let mut playlist = playlist(&["4", "4"]);
        playlist.server_control.can_block_reload = control == "blocks";
        let due = next_load_by_parts(&playlist, Duration::from_millis(part_ms), last, Tick::from_millis(10_000));
        assert_eq!(due, Some(Tick::from_millis(10_000 + want_ms)));
    }

    #[test]
    fn a_server_that_blocks_is_asked_for_the_next_part_at_once_and_others_when_it_should_be_there() {
        check_parts("blocks", 400, Loaded::Changed, 200);
        check_parts("blocks", 40, Loaded::Changed, 100);
        check_parts("", 333, Loaded::Changed, 333);
        check_parts("", 100, Loaded::Changed, 250);
        check_parts("blocks", 1_000, Loaded::Unchanged, 500);
        check_parts("blocks", 333, Loaded::Unchanged, 250);
        check_parts("blocks", 333, Loaded::Failed(1), 250);
        check_parts("blocks", 333, Loaded::Failed(2), 250);
        check_parts("blocks", 333, Loaded::Failed(3), 250);
        check_parts("blocks", 333, Loaded::Failed(5), 1_000);
        check_parts("blocks", 333, Loaded::Failed(u32::MAX), 4_000);
    }

    #[test]
    fn a_load_that_blocks_is_given_a_part_and_the_way_then_the_way_and_then_more_each_time() {
        let wait_after = |since, part, failures| {
            let (since, part) = (Duration::from_millis(since), Duration::from_millis(part));
            part_patience(&playlist(&["4"]), part, part_way(part, Duration::ZERO), since, failures).as_millis()
        };
        let wait = |part, failures| wait_after(0, part, failures);
        assert_eq!([wait(333, 0), wait(333, 1), wait(333, 2), wait(333, 3)], [533, 200, 1_066, 1_599]);
        assert_eq!([wait(1_000, 0), wait(1_000, 1), wait(1_000, 99)], [1_500, 500, 12_000]);
        // The part is due by what came last, not by when it was asked for.
        assert_eq!([wait_after(133, 333, 0), wait_after(333, 333, 0), wait_after(133, 333, 1)], [400, 200, 200]);
        assert_eq!(wait_after(334, 333, 0), 533, "a part that is late may take as long as any");
        assert_eq!(part_way(Duration::from_millis(333), Duration::from_millis(200)), Duration::from_millis(800));
        assert_eq!(part_way(Duration::from_millis(333), Duration::from_secs(9)), Duration::from_secs(1));
    }

    #[test]
    fn a_playlist_that_ended_is_not_loaded_again() {
        let ended = MediaPlaylist { ended: true, ..playlist(&["4"]) };
        assert_eq!(Pace::default().next_load(&ended, Duration::ZERO, Loaded::Changed, Tick::ZERO, 0.0), None);
    }

    #[test]
    fn a_playlist_that_does_not_change_is_late_and_then_frozen() {
        let of = |ms| Freshness::of(&playlist(&["4"]), Tick::ZERO, Tick::from_millis(ms));
        assert_eq!([of(5_999), of(6_000), of(12_000)], [Freshness::Fresh, Freshness::Late, Freshness::Frozen]);
    }
}
