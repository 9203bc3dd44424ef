//! When to try again: a pure policy.
//!
//! The first attempts of a fetch follow each other quickly, with exponential backoff and full
//! jitter: most faults are over at once, and clients that failed together must not come back
//! together. A fetch with [`Patience`] then spreads its remaining attempts evenly over the time it
//! may take, so that an origin that is away for many seconds is survived with a handful of requests.

use std::time::Duration;

use crate::ErrorKind;

/// How failed attempts are repeated. A value: it reads no clock, draws no chance and sends nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts of a fetch without [`Patience`], the first included; also the number of quick ones of
    /// a fetch with it. At least 1. Default: 4.
    pub attempts: u32,
    /// Longest wait before the second attempt; it doubles with each further one. Default: 250 ms.
    pub base: Duration,
    /// Longest wait between two attempts, however many there were. Default: 8 s.
    pub cap: Duration,
    /// Longest wait an origin can ask for with `Retry-After`. Default: 30 s.
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(8),
            retry_after_cap: Duration::from_secs(30),
        }
    }
}

/// How long a fetch keeps trying while nothing arrives. Progress of a streamed body starts both bounds anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Most attempts, the first included: what an origin that never recovers has to bear. At
    /// least 1. Default: 8.
    pub attempts: u32,
    /// No attempt starts later than this after the last progress, and the waits are chosen so that
    /// the last one starts at 82 to 90 % of it: one that the origin asks for after the first ends there too, if not
    /// before. Default: 20 s.
    pub max_elapsed: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: 8, max_elapsed: Duration::from_secs(20) }
    }
}

impl Patience {
    /// When an attempt that is put off as long as possible starts: at 82 to 90 % of the time, by chance.
    fn last_start(&self, jitter: f64) -> Duration {
        self.max_elapsed.mul_f64(0.82 + 0.08 * jitter.clamp(0.0, 1.0))
    }
}

/// What is known when an attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What went wrong.
    pub failure: ErrorKind,
    /// Attempts since the last progress, this one included; from 1.
    pub attempt: u32,
    /// What the origin asked for with `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Time since the last progress.
    pub elapsed: Duration,
    /// Time left until the caller's deadline; `None` without one.
    pub left: Option<Duration>,
}

/// The answer to a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Try again after this wait.
    Retry(Duration),
    /// Report the failure.
    GiveUp,
}

impl RetryPolicy {
    /// What to do after a failed attempt. `jitter` is a random number in 0..=1.
    ///
    /// A wait that would end beyond the patience or the deadline is not begun: the caller learns of the failure
    /// while it can still do something else. Only where an origin was waited for already, the next wait it asks for
    /// is shortened to where the last attempt of the patience belongs, as long as that is ahead.
    #[must_use]
    pub fn verdict(&self, tried: &Tried, patience: Option<&Patience>, jitter: f64) -> Verdict {
        let attempts = patience.map_or(self.attempts, |patience| patience.attempts);
        if !tried.failure.is_transient() || tried.attempt >= attempts {
            return Verdict::GiveUp;
        }
        let backoff = match patience {
            Some(patience) if tried.attempt >= self.attempts => self.spread(tried, patience, jitter),
            _ => self.ceiling(tried.attempt).mul_f64(jitter.clamp(0.0, 1.0)),
        };
        let wait = match tried.retry_after {
            // A little later than asked, so that those who were told the same do not come as one.
            Some(asked) => {
                let told = asked.min(self.retry_after_cap) + self.base.mul_f64(jitter.clamp(0.0, 1.0));
                let until_last = patience.map(|patience| patience.last_start(jitter).saturating_sub(tried.elapsed));
                match until_last.filter(|left| !left.is_zero()) {
                    Some(left) if tried.attempt > 1 => told.min(left).max(backoff),
                    Some(left) if told > left => return Verdict::GiveUp,
                    _ => told.max(backoff),
                }
            }
            None => backoff,
        };
        let patience_left = patience.map(|patience| patience.max_elapsed.saturating_sub(tried.elapsed));
        let in_time = [patience_left, tried.left].into_iter().flatten().all(|left| wait < left);
        if in_time { Verdict::Retry(wait) } else { Verdict::GiveUp }
    }

    /// The longest quick wait after `attempt`: `base` doubled with each attempt, at most `cap`.
    fn ceiling(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// An even share of the time that is left for the attempts that are left.
    fn spread(&self, tried: &Tried, patience: &Patience, jitter: f64) -> Duration {
        let last_start = patience.max_elapsed.mul_f64(0.9);
        let attempts_left = patience.attempts.saturating_sub(tried.attempt).max(1);
        let share = last_start.saturating_sub(tried.elapsed) / attempts_left;
        share.min(self.cap).mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0)).max(self.base)
    }
}

/// How long one attempt may wait for its first byte.
///
/// At most `limit`, and at most half of the time that is left of `patience` and deadline (but not less
/// than [`LEAST_FIRST_BYTE`]): an exchange that hangs must leave time for another one. Never beyond
/// the deadline itself.
#[must_use]
pub fn first_byte_limit(
    limit: Duration,
    elapsed: Duration,
    patience: Option<&Patience>,
    left: Option<Duration>,
) -> Duration {
    let patience_left = patience.map(|patience| patience.max_elapsed.saturating_sub(elapsed));
    let shortest = [patience_left, left].into_iter().flatten().min();
    let shared = shortest.map_or(limit, |left| limit.min((left / 2).max(LEAST_FIRST_BYTE)));
    left.map_or(shared, |left| shared.min(left))
}

/// The least time an attempt gets for its first byte, as long as the deadline allows it.
pub const LEAST_FIRST_BYTE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn tried(failure: ErrorKind, attempt: u32) -> Tried {
        Tried { failure, attempt, retry_after: None, elapsed: Duration::ZERO, left: None }
    }

    fn verdict(tried: &Tried, patience: Option<&Patience>, jitter: f64) -> Verdict {
        RetryPolicy::default().verdict(tried, patience, jitter)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_jitter_takes_all_of_them() {
        let policy = RetryPolicy { attempts: 20, ..RetryPolicy::default() };
        let table = [(1, 250), (2, 500), (3, 1000), (4, 2000), (5, 4000), (6, 8000), (7, 8000), (19, 8000)];
        for (attempt, ceiling) in table {
            let tried = tried(ErrorKind::ServerError, attempt);
            assert_eq!(policy.verdict(&tried, None, 1.0), Verdict::Retry(ms(ceiling)), "{attempt}");
            assert_eq!(policy.verdict(&tried, None, 0.5), Verdict::Retry(ms(ceiling / 2)), "{attempt}");
            assert_eq!(policy.verdict(&tried, None, 0.0), Verdict::Retry(ms(0)), "{attempt}");
        }
    }

    #[test]
    fn four_attempts_without_patience_eight_with_it() {
        let patience = Patience::default();
        for attempt in 1..10 {
            let tried = tried(ErrorKind::Connect, attempt);
            assert_eq!(verdict(&tried, None, 0.5) == Verdict::GiveUp, attempt >= 4, "{attempt}");
            let patient = verdict(&tried, Some(&patience), 0.5);
            assert_eq!(patient == Verdict::GiveUp, attempt >= 8, "{attempt}");
        }
    }

    #[test]
    fn answers_are_not_asked_for_again() {
        use ErrorKind::*;
        let answers = [
            InvalidRequest,
            Setup,
            Tls,
            Deadline,
            Unauthorized,
            Forbidden,
            NotFound,
            Gone,
            Rejected,
            RangeNotSatisfiable { total: None },
            RangeIgnored,
            Changed,
            TooLarge,
            Encoding,
            TooManyRedirects,
            RedirectLoop,
            RedirectRefused,
            AddressRefused,
            Authorizer,
        ];
        for kind in answers {
            assert_eq!(verdict(&tried(kind, 1), Some(&Patience::default()), 0.0), Verdict::GiveUp, "{kind:?}");
        }
        let faults = [
            Dns,
            Connect,
            ConnectTimeout,
            Disconnected,
            Protocol,
            FirstByteTimeout,
            Stall,
            Truncated,
            NotReady,
            Throttled,
            ServerError,
            InvalidRange,
            Corrupt,
            BadRedirect,
            CircuitOpen,
        ];
        for kind in faults {
            assert_eq!(verdict(&tried(kind, 1), None, 1.0), Verdict::Retry(ms(250)), "{kind:?}");
        }
    }

    #[track_caller]
    fn check_retry_after(asked: Duration, left: Option<Duration>, patience: Option<Patience>, want: Verdict) {
        let retry_after = Some(asked);
        let tried = Tried { retry_after, left, ..tried(ErrorKind::ServerError, 1) };
        assert_eq!(verdict(&tried, patience.as_ref(), 0.0), want);
    }

    #[test]
    fn retry_after_is_honoured_capped_and_kept_within_patience_and_deadline() {
        let patience = Some(Patience::default());
        let secs = Duration::from_secs;
        check_retry_after(secs(2), None, None, Verdict::Retry(secs(2)));
        check_retry_after(secs(2), Some(secs(3)), patience, Verdict::Retry(secs(2)));
        check_retry_after(secs(2), Some(secs(2)), None, Verdict::GiveUp);
        check_retry_after(secs(16), None, patience, Verdict::Retry(secs(16)));
        check_retry_after(secs(16), Some(secs(16)), patience, Verdict::GiveUp);
        // Whoever asks may know something better than to wait for so long.
        for beyond in [secs(17), secs(19), secs(20), secs(4000), Duration::MAX] {
            check_retry_after(beyond, None, patience, Verdict::GiveUp);
        }
        check_retry_after(secs(20), Some(secs(20)), None, Verdict::GiveUp);
        check_retry_after(secs(4000), None, None, Verdict::Retry(secs(30)));
        check_retry_after(Duration::MAX, None, None, Verdict::Retry(secs(30)));
    }

    #[test]
    fn a_short_retry_after_does_not_use_up_the_patience() {
        let retry_after = Some(Duration::from_secs(1));
        let tried = Tried { retry_after, elapsed: ms(3_000), ..tried(ErrorKind::ServerError, 4) };
        let want = Duration::from_secs(15) / 4;
        assert_eq!(verdict(&tried, Some(&Patience::default()), 1.0), Verdict::Retry(want));
    }

    #[test]
    fn a_long_retry_after_is_shortened_once_and_not_again_when_that_attempt_is_past() {
        let patience = Patience::default();
        let after = |elapsed, retry_after, jitter| {
            let tried = Tried { elapsed, retry_after: Some(retry_after), ..tried(ErrorKind::Throttled, 2) };
            verdict(&tried, Some(&patience), jitter)
        };
        let secs = Duration::from_secs;
        assert_eq!(after(secs(10), secs(60), 1.0), Verdict::Retry(secs(8)));
        assert_eq!(after(secs(18), secs(60), 1.0), Verdict::GiveUp);
        assert_eq!(after(ms(16_400), secs(60), 0.0), Verdict::GiveUp);
        assert_eq!(after(secs(18), secs(1), 0.0), Verdict::Retry(secs(1)), "that much is left");
    }

    /// Start times of the attempts of a fetch each of whose attempts fails after `takes`, with this `Retry-After`.
    fn starts(patience: &Patience, takes: Duration, retry_after: Option<Duration>, jitter: f64) -> Vec<Duration> {
        let mut starts = vec![Duration::ZERO];
        let mut elapsed = takes;
        loop {
            let attempt = u32::try_from(starts.len()).unwrap();
            let tried = Tried { elapsed, retry_after, ..tried(ErrorKind::ServerError, attempt) };
            let Verdict::Retry(wait) = verdict(&tried, Some(patience), jitter) else {
                return starts;
            };
            starts.push(elapsed + wait);
            elapsed += wait + takes;
        }
    }

    #[test]
    fn patience_covers_an_outage_of_fifteen_seconds_with_eight_requests_below_twenty() {
        for jitter in [0.0, 0.3, 0.7, 1.0] {
            for takes in [ms(0), ms(100), ms(600)] {
                let starts = starts(&Patience::default(), takes, None, jitter);
                assert_eq!(starts.len(), 8, "{jitter} {starts:?}");
                let after = starts.iter().find(|start| **start > ms(15_000)).expect("one after the outage");
                assert!(*after < ms(19_000), "{jitter} {starts:?}");
            }
        }
    }

    #[test]
    fn no_retry_after_that_fits_keeps_patience_from_covering_an_outage_of_fifteen_seconds() {
        for retry_after in (0..=15).map(Duration::from_secs) {
            for jitter in (0..=20).map(|step| f64::from(step) / 20.0) {
                for takes in [ms(0), ms(100), ms(600)] {
                    let starts = starts(&Patience::default(), takes, Some(retry_after), jitter);
                    let context = format!("{retry_after:?} {jitter} {takes:?} {starts:?}");
                    assert!(starts.len() <= 8, "{context}");
                    assert!(starts.iter().all(|start| *start < ms(20_000)), "{context}");
                    let after = starts.iter().find(|start| **start >= ms(15_000)).expect("one after the outage");
                    assert!(*after < ms(18_600), "{context}");
                    // No sooner than asked, but for what was shortened to the last attempt.
                    let short = starts.windows(2).find(|pair| pair[1] - pair[0] < retry_after);
                    assert!(short.is_none_or(|pair| pair[1] >= ms(16_400)), "{context}");
                }
            }
        }
    }

    #[test]
    fn hanging_exchanges_leave_time_for_others() {
        let patience = Patience::default();
        let mut elapsed = Duration::ZERO;
        let mut starts = Vec::new();
        while elapsed < patience.max_elapsed {
            starts.push(elapsed);
            elapsed += first_byte_limit(ms(10_000), elapsed, Some(&patience), None);
        }
        assert_eq!(starts, [ms(0), ms(10_000), ms(15_000), ms(18_000)]);
    }

    #[test]
    fn the_first_byte_limit_never_passes_the_deadline() {
        assert_eq!(first_byte_limit(ms(10_000), ms(0), None, None), ms(10_000));
        assert_eq!(first_byte_limit(ms(10_000), ms(0), None, Some(ms(12_000))), ms(6_000));
        assert_eq!(first_byte_limit(ms(10_000), ms(0), None, Some(ms(4_000))), ms(3_000));
        assert_eq!(first_byte_limit(ms(10_000), ms(0), None, Some(ms(1_000))), ms(1_000));
        assert_eq!(first_byte_limit(ms(2_000), ms(0), Some(&Patience::default()), None), ms(2_000));
    }
}
