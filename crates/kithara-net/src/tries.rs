//! The attempts of one fetch: counted, timed, and repeated as the policy says.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Shared;
use crate::origins::KnownOrigin;
use crate::request::{Attempt, AttemptObserver};
use crate::retry::{Patience, Tried, Verdict, first_byte_limit};
use crate::{ErrorKind, NetError, Origin};

/// How often a fetch was tried, and what follows from that.
pub(crate) struct Tries {
    pub(crate) clock: Clock,
    observer: Option<AttemptObserver>,
    /// Attempts of the whole fetch.
    total: u32,
    /// Attempts since bytes last arrived.
    fruitless: u32,
    /// When the next attempt may go; kept here so that a cancelled wait is not a skipped one.
    next_at: Option<Instant>,
    last_failure: Option<NetError>,
    /// Whose budget the retries were taken from, and how many: those of the origin that failed last.
    spent: Option<(Arc<KnownOrigin>, u32)>,
}

/// Since when a fetch runs, and until when it may.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    progress_at: Instant,
    deadline: Option<Duration>,
    patience: Option<Patience>,
}

impl Tries {
    pub(crate) fn new(
        deadline: Option<Duration>,
        patience: Option<Patience>,
        observer: Option<AttemptObserver>,
    ) -> Self {
        let started = Instant::now();
        let clock = Clock { started, progress_at: started, deadline, patience };
        Self { clock, observer, total: 0, fruitless: 0, next_at: None, last_failure: None, spent: None }
    }

    /// Waits until the next attempt may go, and counts it.
    pub(crate) async fn next(&mut self) {
        if let Some(at) = self.next_at {
            tokio::time::sleep_until(at).await;
            self.next_at = None;
        }
        self.total += 1;
        self.fruitless += 1;
    }

    /// Bytes arrived that stay whatever happens next: time and attempts count anew.
    pub(crate) fn progressed(&mut self) {
        self.fruitless = 0;
        self.clock.progress_at = Instant::now();
    }

    /// All that was asked for is there: what was tried on the way was not tried in vain.
    pub(crate) fn succeeded(&mut self) {
        if let Some((origin, count)) = self.spent.take() {
            origin.give_back_retries(count);
        }
    }

    /// Judges a failed attempt: `Ok` when another one is due (after [`next`](Self::next)), else the error to report.
    pub(crate) fn failed(
        &mut self,
        shared: &Shared,
        failure: NetError,
        origin: Option<&Origin>,
        position: u64,
    ) -> Result<(), NetError> {
        // A failure after progress is the first one of a new row.
        self.fruitless = self.fruitless.max(1);
        // An open circuit lets nothing through.
        let sent = self.total.saturating_sub(u32::from(failure.kind() == ErrorKind::CircuitOpen));
        let failure = failure.tried(sent, self.clock.started.elapsed(), self.clock.progress_at.elapsed());
        let wait = self.wait(shared, &failure, origin);
        self.tell(&failure, position, wait);
        match wait {
            Some(wait) => {
                self.next_at = Some(Instant::now() + wait);
                self.last_failure = Some(failure);
                Ok(())
            }
            None => Err(self.explained(failure)),
        }
    }

    fn wait(&mut self, shared: &Shared, failure: &NetError, origin: Option<&Origin>) -> Option<Duration> {
        // The pause of an open circuit was waited for already, as far as the patience went.
        if failure.kind() == ErrorKind::CircuitOpen {
            return None;
        }
        let tried = Tried {
            failure: failure.kind(),
            attempt: self.fruitless,
            retry_after: failure.retry_after(),
            elapsed: self.clock.progress_at.elapsed(),
            left: self.clock.left(),
        };
        let verdict = shared.options.retry.verdict(&tried, self.clock.patience.as_ref(), rand::random());
        let Verdict::Retry(wait) = verdict else {
            return None;
        };
        let longest = self.clock.longest_wait().unwrap_or(shared.options.retry.cap).saturating_sub(wait);
        let late = match origin {
            Some(origin) => self.spend(shared.origins.get(origin), Instant::now() + wait, longest)?,
            None => Duration::ZERO,
        };
        Some(wait + late)
    }

    /// Takes a retry at `at` from the origin's budget, and remembers that.
    fn spend(&mut self, origin: Arc<KnownOrigin>, at: Instant, longest: Duration) -> Option<Duration> {
        let late = origin.take_retry(at, longest)?;
        let before = self.spent.take().filter(|(known, _)| Arc::ptr_eq(known, &origin));
        self.spent = Some((origin, before.map_or(0, |(_, count)| count) + 1));
        Some(late)
    }

    fn tell(&self, failure: &NetError, position: u64, wait: Option<Duration>) {
        let kind = failure.kind();
        match wait {
            Some(wait) => tracing::debug!(attempt = self.total, position, ?wait, "{kind}, trying again"),
            None => tracing::debug!(attempt = self.total, position, "{kind}, giving up"),
        }
        if let (Some(observer), Some(url)) = (&self.observer, failure.url()) {
            let (url, number, status) = (url.clone(), self.total, failure.status());
            observer(&Attempt { url, number, kind, status, position, wait });
        }
    }

    /// The error to report: one that only says that time or the origin's credit ran out is explained by the failure
    /// before it.
    fn explained(&mut self, failure: NetError) -> NetError {
        let out_of_time = self.clock.left().is_some_and(|left| left.is_zero());
        let (failure, cause) = match failure.kind() {
            ErrorKind::CircuitOpen | ErrorKind::Deadline => (failure, self.last_failure.take()),
            kind if kind.is_transient() && out_of_time => {
                let deadline = self.clock.deadline_error().like(&failure);
                (deadline, Some(failure))
            }
            _ => (failure, None),
        };
        match cause {
            Some(cause) => failure.caused_by(Arc::new(cause)),
            None => failure,
        }
    }
}

impl Clock {
    /// Time until the deadline; zero when it has passed.
    pub(crate) fn left(&self) -> Option<Duration> {
        Some(self.deadline?.saturating_sub(self.started.elapsed()))
    }

    /// The error of a fetch whose deadline has passed.
    pub(crate) fn deadline_error(&self) -> NetError {
        NetError::new(ErrorKind::Deadline).with_limit(self.deadline.unwrap_or_default())
    }

    /// How long the next exchange may wait for its first byte.
    pub(crate) fn first_byte_limit(&self, limit: Duration) -> Duration {
        first_byte_limit(limit, self.progress_at.elapsed(), self.patience.as_ref(), self.left())
    }

    /// How long may be waited for anything but the origin's answer: what is left of patience and deadline, `None`
    /// without either.
    fn longest_wait(&self) -> Option<Duration> {
        let patience = self.patience.map(|patience| patience.max_elapsed.saturating_sub(self.progress_at.elapsed()));
        [patience, self.left()].into_iter().flatten().min()
    }

    /// How long a pause of the origin's circuit breaker is waited for: not at all without patience.
    pub(crate) fn longest_pause(&self) -> Duration {
        if self.patience.is_none() { Duration::ZERO } else { self.longest_wait().unwrap_or_default() }
    }
}
