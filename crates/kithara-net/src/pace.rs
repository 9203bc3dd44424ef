//! How fast an origin was lately, and what that asks of a body: pure.
//!
//! A connection can be much slower than all others to the same origin: a server that is about to die, a path that loses
//! packets. Such a *laggard* moves too much to have stalled and too little to be of use, and another connection goes on
//! where it stood, at the price of one request.

use std::time::Duration;

/// What the bodies of one origin moved at, while somebody waited for them.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// In bytes per second, of which [`COUNTED`] count at most; `None` while nothing is known.
    average: Option<u64>,
}

impl Pace {
    /// A body moved so many bytes in so much time.
    pub(crate) fn seen(&mut self, bytes: u64, waited: Duration) {
        if bytes >= ENOUGH {
            let rate = rate(bytes, waited);
            self.average = Some(self.average.map_or(rate, |average| average.midpoint(rate)));
        }
    }

    /// Even other connections were no faster: this is what the origin, or the link, gives now.
    pub(crate) fn slowed(&mut self, bytes: u64, waited: Duration) {
        self.average = Some(rate(bytes, waited));
    }

    /// Bytes a body has to move in `window` so as not to be a laggard: one in `share` of what is known, and zero where
    /// nothing is known, or `share` is zero.
    pub(crate) fn least(&self, window: Duration, share: u32) -> u64 {
        let average = u128::from(self.average.unwrap_or(0));
        let least = (average * window.as_millis() / 1000).checked_div(u128::from(share));
        least.and_then(|least| u64::try_from(least).ok()).unwrap_or(0)
    }
}

fn rate(bytes: u64, waited: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000 / waited.as_micros().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX).min(COUNTED)
}

/// What becomes of a body that was a laggard for one more stall window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lag {
    /// It goes on over another connection.
    Change,
    /// So it does, and what it moved at is taken for the pace of the origin: this many connections are no chance.
    ChangeAndSlow,
    /// It is waited for.
    Bear,
}

impl Lag {
    /// After `windows` of them in all, over all its connections: another connection after each of the first three, then
    /// each time their number has doubled, so that a body finds a good connection when there is one, and a link that is
    /// slow itself is left in peace.
    pub(crate) fn after(windows: u32) -> Self {
        match windows {
            0..=3 => Self::Change,
            _ if windows.is_multiple_of(3) && (windows / 3).is_power_of_two() => Self::ChangeAndSlow,
            _ => Self::Bear,
        }
    }
}

/// Stall windows after which a body is no longer held against the pace of its origin: with them it had six connections
/// more.
pub(crate) const MOST_LAGGING: u32 = 24;

/// A body of fewer bytes tells about round trips, not about the pace.
const ENOUGH: u64 = 16 << 10;

/// What counts of a rate, in bytes per second. Bytes that lay ready when they were asked for seem to come at any rate.
const COUNTED: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(5);

    fn least(seen: &[(u64, u64)]) -> u64 {
        let mut pace = Pace::default();
        seen.iter().for_each(|(bytes, millis)| pace.seen(*bytes, Duration::from_millis(*millis)));
        pace.least(WINDOW, 32)
    }

    #[test]
    fn what_is_asked_of_a_body_follows_from_those_before_it_within_bounds() {
        assert_eq!(least(&[]), 0, "nothing is known");
        assert_eq!(least(&[(10_000, 1)]), 0, "a small body tells nothing");
        assert_eq!(least(&[(1 << 30, 0)]), 20 << 10, "no more than 4 KiB/s are asked for");
        assert_eq!(least(&[(64_000, 2_000)]), 5_000, "a thirty-second of 32 kB/s");
        assert_eq!(least(&[(64_000, 2_000), (64_000, 4_000)]), 3_750);
    }

    #[test]
    fn a_laggard_changes_after_each_of_three_windows_and_then_at_doubling_distances() {
        let changes: Vec<_> = (1..=MOST_LAGGING).filter(|windows| Lag::after(*windows) != Lag::Bear).collect();
        assert_eq!(changes, [1, 2, 3, 6, 12, 24], "5, 10, 15, 30, 60 and 120 s with the default window");
        let slow: Vec<_> = (1..=MOST_LAGGING).filter(|windows| Lag::after(*windows) == Lag::ChangeAndSlow).collect();
        assert_eq!(slow, [6, 12, 24]);
    }

    #[test]
    fn a_link_that_became_slow_is_taken_as_it_is() {
        let mut pace = Pace::default();
        pace.seen(1 << 20, Duration::from_secs(1));
        pace.slowed(10_000, WINDOW);
        assert_eq!(pace.least(WINDOW, 32), 312);
        assert_eq!(pace.least(WINDOW, 0), 0, "switched off");
    }
}
