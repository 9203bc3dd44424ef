//! Leaving a failing origin in peace: a circuit breaker and a retry budget, both pure.
//!
//! A [`Breaker`] is *closed* while its origin answers. When several failures in a row come from more than one resource
//! (one resource that fails says nothing about its origin) it *opens*: nothing is sent until a pause is over, then one
//! *probe* finds out whether the origin is back. A failed probe doubles the pause, any success closes the breaker.
//!
//! A [`RetryBudget`] bounds how often requests are repeated in vain, whatever the resources and reasons.

use std::time::{Duration, Instant};

/// When an origin is left in peace, and how many retries it has to bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row, of at least two resources, that open the breaker. Default: 6.
    pub threshold: u32,
    /// The first pause. Default: 1 s.
    pub pause: Duration,
    /// The longest pause; it doubles with each failed probe. Default: 4 s.
    pub max_pause: Duration,
    /// Retries an origin gets at once, if need be; those of a fetch that ended well do not count. Default: 20.
    pub retry_burst: u32,
    /// The time after which each of these may be used again. Default: 2 s, that is 30 retries a minute for ever.
    pub retry_interval: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            threshold: 6,
            pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(4),
            retry_burst: 20,
            retry_interval: Duration::from_secs(2),
        }
    }
}

/// Whether a request may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Go,
    /// Yes, and its outcome decides for all others.
    Probe,
    /// Not before this time has passed; then ask again.
    Wait(Duration),
}

/// The circuit breaker of one origin. Reads no clock: `now` is an argument and must not go back.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed {
        failures: u32,
        resource: Option<u64>,
        several: bool,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// A probe is under way. If nothing is heard of it until `until`, another one may go.
    Probing {
        until: Instant,
        pause: Duration,
    },
}

const HEALTHY: State = State::Closed { failures: 0, resource: None, several: false };

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: HEALTHY }
    }

    /// Whether nothing bad is known of the origin.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0, .. })
    }

    /// Whether somebody finds out at the moment how the origin is.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// Asks to send a request.
    pub fn admit(&mut self, now: Instant) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Go,
            State::Open { until, .. } | State::Probing { until, .. } if now < until => Admission::Wait(until - now),
            State::Open { pause, .. } | State::Probing { pause, .. } => {
                self.state = State::Probing { until: now + self.policy.max_pause, pause };
                Admission::Probe
            }
        }
    }

    /// The origin answered.
    pub fn succeeded(&mut self) {
        self.state = HEALTHY;
    }

    /// The origin failed to answer for `resource` (any number that tells resources apart), as a probe or not.
    pub fn failed(&mut self, now: Instant, resource: u64, probe: bool) {
        self.state = match self.state {
            State::Closed { failures, resource: known, several } => {
                let failures = failures.saturating_add(1);
                let several = several || known.is_some_and(|known| known != resource);
                if several && failures >= self.policy.threshold {
                    State::Open { until: now + self.policy.pause, pause: self.policy.pause }
                } else {
                    State::Closed { failures, resource: Some(resource), several }
                }
            }
            State::Probing { pause, .. } if probe => {
                let pause = pause.saturating_mul(2).min(self.policy.max_pause);
                State::Open { until: now + pause, pause }
            }
            // Sent before the breaker opened: nothing new.
            late => late,
        };
    }
}

/// How many retries an origin still has to bear: a bucket of [`retry_burst`](BreakerPolicy::retry_burst) tokens that
/// gets a new one each [`retry_interval`](BreakerPolicy::retry_interval). Reads no clock.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    burst: Duration,
    interval: Duration,
    /// When the bucket will be full again.
    full_at: Instant,
}

impl RetryBudget {
    /// A full bucket.
    #[must_use]
    pub fn new(policy: &BreakerPolicy, now: Instant) -> Self {
        let interval = policy.retry_interval;
        Self { burst: interval.saturating_mul(policy.retry_burst.max(1)), interval, full_at: now }
    }

    /// Takes a token for a retry planned for `at`. Returns how much later it may go (zero when there is a token by
    /// then); `None`, taking nothing, when that is more than `longest`.
    pub fn take(&mut self, at: Instant, longest: Duration) -> Option<Duration> {
        let full_at = self.full_at.max(at) + self.interval;
        let late = (full_at - at).saturating_sub(self.burst);
        if late > longest {
            return None;
        }
        self.full_at = full_at;
        Some(late)
    }

    /// Puts `count` tokens back: the retries they were taken for led to what was asked for. What helps every time is no
    /// burden, and an origin that fails now and then is not punished for the sum of it.
    pub fn give_back(&mut self, count: u32) {
        let earlier = self.full_at.checked_sub(self.interval.saturating_mul(count));
        // A bucket is not more than full: `take` counts from now on where this lies in the past.
        self.full_at = earlier.unwrap_or(self.full_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for resource in 0..6 {
            assert_eq!(breaker.admit(now), Admission::Go);
            breaker.failed(now, resource, false);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_of_several_resources_open_it() {
        let now = Instant::now();
        assert_eq!(opened(now).admit(now), Admission::Wait(secs(1)));
    }

    #[test]
    fn one_failing_resource_does_not_open_it() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for _ in 0..100 {
            breaker.failed(now, 7, false);
        }
        assert_eq!(breaker.admit(now), Admission::Go);
        breaker.failed(now, 8, false);
        assert_eq!(breaker.admit(now), Admission::Wait(secs(1)));
    }

    #[test]
    fn a_success_between_failures_keeps_it_closed() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        for resource in 0..100 {
            breaker.failed(now, resource, false);
            if resource % 5 == 4 {
                breaker.succeeded();
            }
            assert_eq!(breaker.admit(now), Admission::Go);
        }
    }

    #[test]
    fn one_probe_goes_when_the_pause_is_over_and_the_others_wait() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + secs(1)), Admission::Probe);
        assert_eq!(breaker.admit(now + secs(1)), Admission::Wait(secs(4)));
        breaker.succeeded();
        assert_eq!(breaker.admit(now + secs(1)), Admission::Go);
        assert!(breaker.is_healthy());
    }

    #[test]
    fn failed_probes_double_the_pause_up_to_the_cap() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for pause in [1, 2, 4, 4, 4] {
            assert_eq!(breaker.admit(now), Admission::Wait(secs(pause)));
            now += secs(pause);
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.failed(now, 1, true);
        }
    }

    #[test]
    fn a_probe_that_is_never_heard_of_again_is_replaced() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + secs(1)), Admission::Probe);
        assert_eq!(breaker.admit(now + secs(4)), Admission::Wait(secs(1)));
        assert_eq!(breaker.admit(now + secs(5)), Admission::Probe);
    }

    #[test]
    fn late_failures_of_earlier_requests_change_nothing() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failed(now + secs(1), 1, false);
        assert_eq!(breaker.admit(now + secs(1)), Admission::Probe);
        breaker.failed(now + secs(1), 1, false);
        assert_eq!(breaker.admit(now + secs(2)), Admission::Wait(secs(3)));
    }

    #[test]
    fn the_budget_gives_a_burst_and_then_a_trickle() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(&BreakerPolicy::default(), now);
        for _ in 0..20 {
            assert_eq!(budget.take(now, Duration::ZERO), Some(Duration::ZERO));
        }
        assert_eq!(budget.take(now, secs(1)), None);
        assert_eq!(budget.take(now, secs(2)), Some(secs(2)));
        assert_eq!(budget.take(now, secs(3)), None);
        assert_eq!(budget.take(now + secs(4), Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(budget.take(now + secs(3600), Duration::ZERO), Some(Duration::ZERO));
    }

    #[test]
    fn retries_that_helped_are_given_back_and_do_not_make_a_bucket_more_than_full() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(&BreakerPolicy::default(), now);
        for _ in 0..1000 {
            assert_eq!([(); 2].map(|()| budget.take(now, Duration::ZERO)), [Some(Duration::ZERO); 2]);
            budget.give_back(2);
        }
        budget.give_back(1000);
        for _ in 0..20 {
            assert_eq!(budget.take(now, Duration::ZERO), Some(Duration::ZERO));
        }
        assert_eq!(budget.take(now, Duration::ZERO), None);
    }
}
