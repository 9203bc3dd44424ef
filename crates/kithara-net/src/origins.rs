//! What the client remembers of each origin it has talked to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use url::Url;

use crate::breaker::{Admission, Breaker, BreakerPolicy, RetryBudget};
use crate::options::Timeouts;
use crate::pace::Pace;
use crate::{ErrorKind, Origin};

/// Most origins remembered; beyond it those that nobody uses and nothing bad is known of are forgotten.
const MOST: usize = 256;

/// The known origins of a client.
pub(crate) struct Origins {
    policy: BreakerPolicy,
    known: Mutex<HashMap<Origin, Arc<KnownOrigin>>>,
}

/// One origin's breaker and budget. Every fetch to it writes here, under a lock held for no longer than a decision.
pub(crate) struct KnownOrigin {
    health: Mutex<Health>,
    /// Wakes those who wait for the breaker when it closes.
    changed: Notify,
    /// Tells resources apart by all of their URL, of which nothing is kept: the key is drawn by chance.
    resources: RandomState,
}

struct Health {
    breaker: Breaker,
    budget: RetryBudget,
    multiplexed: bool,
    pace: Pace,
}

impl Origins {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, known: Mutex::default() }
    }

    /// What is known of `origin`.
    pub(crate) fn get(&self, origin: &Origin) -> Arc<KnownOrigin> {
        let mut known = lock(&self.known);
        if let Some(found) = known.get(origin) {
            return Arc::clone(found);
        }
        if known.len() >= MOST {
            known.retain(|_, origin| Arc::strong_count(origin) > 1 || !origin.is_healthy());
        }
        if known.len() >= MOST {
            // That many failing origins at once: forgetting one costs it a few requests.
            let idle = known.iter().find(|(_, origin)| Arc::strong_count(origin) == 1);
            if let Some(idle) = idle.map(|(origin, _)| origin.clone()) {
                known.remove(&idle);
            }
        }
        let new = Arc::new(KnownOrigin::new(&self.policy));
        known.insert(origin.clone(), Arc::clone(&new));
        new
    }
}

impl KnownOrigin {
    fn new(policy: &BreakerPolicy) -> Self {
        let health = Health {
            breaker: Breaker::new(policy.clone()),
            budget: RetryBudget::new(policy, Instant::now().into_std()),
            multiplexed: false,
            pace: Pace::default(),
        };
        Self { health: Mutex::new(health), changed: Notify::new(), resources: RandomState::new() }
    }

    fn is_healthy(&self) -> bool {
        lock(&self.health).breaker.is_healthy()
    }

    /// Waits until a request may go out, at most `longest`; then `Err` with the pause that is left. `Ok(true)` is a
    /// probe.
    pub(crate) async fn admitted(&self, longest: Duration) -> Result<bool, Duration> {
        let give_up = Instant::now() + longest;
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let (admission, is_probing) = {
                let breaker = &mut lock(&self.health).breaker;
                (breaker.admit(now.into_std()), breaker.is_probing())
            };
            let wait = match admission {
                Admission::Go => return Ok(false),
                Admission::Probe => return Ok(true),
                Admission::Wait(wait) => wait,
            };
            // How a probe ends shows at any moment, mostly long before it is taken for lost.
            if now + wait > give_up && (!is_probing || now >= give_up) {
                return Err(wait);
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(give_up.min(now + wait)) => {}
            }
        }
    }

    /// The origin answered, over a connection that carries many exchanges or not.
    pub(crate) fn answered(&self, multiplexed: bool) {
        let mut health = lock(&self.health);
        health.breaker.succeeded();
        health.multiplexed = multiplexed;
        drop(health);
        self.changed.notify_waiters();
    }

    /// The origin did not answer for `url`, or only to say that it is in trouble.
    pub(crate) fn failed(&self, url: &Url, probe: bool) {
        let resource = self.resources.hash_one(url);
        lock(&self.health).breaker.failed(Instant::now().into_std(), resource, probe);
        if probe {
            self.changed.notify_waiters();
        }
    }

    /// Takes a retry from the origin's budget; see [`RetryBudget::take`].
    pub(crate) fn take_retry(&self, at: Instant, longest: Duration) -> Option<Duration> {
        lock(&self.health).budget.take(at.into_std(), longest)
    }

    /// Retries led to what was asked for; see [`RetryBudget::give_back`].
    pub(crate) fn give_back_retries(&self, count: u32) {
        lock(&self.health).budget.give_back(count);
    }

    /// A body moved so many bytes while it was waited for.
    pub(crate) fn moved(&self, bytes: u64, waited: Duration) {
        lock(&self.health).pace.seen(bytes, waited);
    }

    /// A body was no faster on other connections.
    pub(crate) fn slowed(&self, bytes: u64, waited: Duration) {
        lock(&self.health).pace.slowed(bytes, waited);
    }

    /// What a body has to move within the stall window so as not to be a laggard; see [`Timeouts::laggard`].
    pub(crate) fn least_progress(&self, timeouts: &Timeouts) -> u64 {
        lock(&self.health).pace.least(timeouts.stall, timeouts.laggard)
    }

    /// Whether one connection to the origin carries everything.
    pub(crate) fn is_multiplexed(&self) -> bool {
        lock(&self.health).multiplexed
    }
}

/// Whether a failure speaks of the origin rather than of one resource.
pub(crate) fn blames_origin(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Dns
            | ErrorKind::Connect
            | ErrorKind::ConnectTimeout
            | ErrorKind::Disconnected
            | ErrorKind::Protocol
            | ErrorKind::FirstByteTimeout
            | ErrorKind::Throttled
            | ErrorKind::ServerError
    )
}

/// A poisoned lock only says that some thread panicked; the state behind ours is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_number_of_known_origins_is_bounded() {
        let origins = Origins::new(BreakerPolicy::default());
        let origin = |n: usize| Origin::of(&format!("http://h{n}/").parse().unwrap()).unwrap();
        let held = origins.get(&origin(0));
        for n in 0..3 * MOST {
            let url = format!("http://h{n}/").parse().unwrap();
            origins.get(&origin(n)).failed(&url, false);
        }
        assert!(lock(&origins.known).len() <= MOST);
        assert!(Arc::ptr_eq(&held, &origins.get(&origin(0))), "what is in use is kept");
    }
}
