//! How far behind the live edge playback is, and at which rate it would come to where it should be.

use std::time::Duration;

use super::{LiveEvent, LiveOptions, MediaId, ReaderId, Session, live::hold_back, parts::readable};
use crate::{playlist::MediaPlaylist, time::Tick, timeline::Timeline};

/// The rate is changed by this much at most.
const MOST: f64 = 0.05;

/// What playback is off by should be gone after this many seconds, if [`MOST`] allows.
const WITHIN: f64 = 10.0;

/// The least that playback may be off by before a rate is suggested.
const LEAST_BAND: Duration = Duration::from_millis(200);

/// A rate that goes on is told again after this long.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// What was measured and suggested last.
#[derive(Debug, Default)]
pub(super) struct LatencyWatch {
    pub(super) latency: Option<Duration>,
    pub(super) target: Option<Duration>,
    /// The rate in hundredths, and when it was told.
    told: Option<(u32, Tick)>,
}

impl LatencyWatch {
    /// Takes a measurement and answers with the rate to tell, if there is one to tell.
    fn measured(&mut self, latency: Duration, target: Duration, band: Duration, now: Tick) -> Option<f64> {
        (self.latency, self.target) = (Some(latency), Some(target));
        let (in_force, at) = self.told.unwrap_or((100, now));
        let rate = rate(latency, target, band.max(LEAST_BAND), in_force);
        let is_news = rate != in_force || (rate != 100 && now.since(at) >= TOLD_EVERY);
        if is_news {
            self.told = Some((rate, now));
        }
        is_news.then(|| f64::from(rate) / 100.0)
    }
}

/// The rate in hundredths: playback that is off by more than `band` is led back to where it should be. At the edge media
/// appears part by part, so being up to a part late is the rule; being early risks a stall.
fn rate(latency: Duration, target: Duration, band: Duration, in_force: u32) -> u32 {
    let off = latency.as_secs_f64() - target.as_secs_f64();
    let band = band.as_secs_f64();
    let (early, late) = match in_force {
        100 => (-band / 2.0, band),
        // Once it is changed, it stays so until the middle is reached.
        101.. => (-band / 2.0, band / 2.0),
        _ => (0.0, band),
    };
    if (early..=late).contains(&off) {
        return 100;
    }
    let change = (off / WITHIN).clamp(-MOST, MOST);
    // At least a hundredth, in the right direction.
    let hundredths = (change.abs() * 100.0).round().max(1.0) as u32;
    if off > 0.0 { 100 + hundredths } else { 100 - hundredths }
}

/// How far behind the live edge playback should be.
pub(super) fn target_latency(snapshot: &MediaPlaylist, options: &LiveOptions, by_parts: bool) -> Duration {
    let least = match (by_parts, snapshot.part_target) {
        (true, Some(part_target)) => {
            // Less than two parts cannot be kept up (section 4.4.3.8).
            let stated = snapshot.server_control.part_hold_back.unwrap_or(part_target.saturating_mul(3));
            stated.max(part_target.saturating_mul(2))
        }
        _ => hold_back(snapshot),
    };
    options.target_latency.map_or(least, |wanted| wanted.max(least))
}

impl Session {
    /// A reader says how far playback has come.
    pub(super) fn watch_latency(&mut self, reader: ReaderId, position: Duration) {
        let now = self.tick();
        let Some(media) = self.readers.get(&reader).filter(|it| it.plays()).and_then(super::Reader::media) else {
            return;
        };
        let by_parts = self.plays_parts(media);
        if !by_parts && self.options.live.target_latency.is_none() {
            return;
        }
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        let Some(timeline) = timeline.filter(|timeline| timeline.snapshot().is_live()) else { return };
        let snapshot = timeline.snapshot();
        let step = snapshot.part_target.filter(|_| by_parts).unwrap_or(snapshot.target_duration);
        let latency = live_edge(timeline, step, now).saturating_sub(position);
        let target = target_latency(snapshot, &self.options.live, by_parts);
        if let Some(rate) = self.latency.measured(latency, target, step, now) {
            self.tell_live(LiveEvent::Latency { media, latency, target, rate });
        }
    }

    /// Whether a stream is read part by part near its live edge.
    pub(super) fn plays_parts(&self, id: MediaId) -> bool {
        let timeline = self.medias.get(&id).and_then(|media| media.timeline.as_ref());
        self.options.live.low_latency && timeline.is_some_and(|timeline| offers_parts(timeline.snapshot()))
    }
}

/// Whether a playlist that grows lists parts, and they can be read by themselves.
pub(super) fn offers_parts(snapshot: &MediaPlaylist) -> bool {
    let open = snapshot.incomplete.as_ref().filter(|open| !open.parts.is_empty());
    let open = open.map(|open| readable(&open.parts, &open.keys));
    let last = || snapshot.segments.last().map(|last| readable(last.parts, last.keys));
    let is_readable = open.or_else(last).unwrap_or(true);
    let is_offered = snapshot.part_target.is_some_and(|target| !target.is_zero());
    snapshot.is_live() && !snapshot.iframes_only && is_offered && is_readable
}

/// Presentation time that has been made by now: what is listed, and what was added since, which is less than `step`.
fn live_edge(timeline: &Timeline, step: Duration, now: Tick) -> Duration {
    timeline.edge().saturating_add(now.since(timeline.changed()).min(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(latency_ms: u64, in_force: u32, want: u32) {
        let ms = Duration::from_millis;
        assert_eq!(rate(ms(latency_ms), ms(1_000), ms(400), in_force), want);
    }

    #[test]
    fn playback_that_is_late_or_early_is_led_back_to_the_middle() {
        check(1_000, 100, 100);
        check(1_400, 100, 100);
        check(1_410, 100, 104);
        check(9_000, 100, 105);
        check(1_300, 104, 103);
        check(1_200, 104, 100);
        check(790, 100, 98);
        check(100, 100, 95);
        check(950, 98, 99);
        check(1_000, 98, 100);
    }

    #[test]
    fn a_rate_is_told_when_it_changes_and_every_five_seconds_while_it_lasts() {
        let ms = Duration::from_millis;
        let mut watch = LatencyWatch::default();
        let mut told = |latency, at| watch.measured(ms(latency), ms(1_000), ms(333), Tick::from_millis(at));
        assert_eq!(told(1_200, 0), None);
        assert_eq!(told(2_000, 100), Some(1.05));
        assert_eq!(told(1_900, 2_000), None);
        assert_eq!(told(1_800, 5_100), Some(1.05));
        assert_eq!(told(1_100, 6_000), Some(1.0));
        assert_eq!(told(1_100, 60_000), None);
    }
}
