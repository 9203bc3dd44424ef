//! What both kinds of store have in common: the index, who watches, who waits, who holds.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::event::{LossReason, Observers, StoreEvent};
use crate::fate::Fates;
use crate::index::{Index, Resource};
use crate::key::ResourceKey;
use crate::lease::LeaseTable;
use crate::meta::Clock;
use crate::spans::Span;

/// Uses closer together than this are one use for the journal: 10 min, in milliseconds.
const SAME_USE: u64 = 10 * 60 * 1000;

/// A clock is corrected by less than this, a day in milliseconds: a use that is later than now by more was not.
pub(crate) const AHEAD: u64 = 24 * 3600 * 1000;

/// A clock that is corrected by no more than this did not go back, in milliseconds.
const CLOCK_SLACK: u64 = 1000;

/// What callers, and the writer thread of a store on disk, work on.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Written by commits, removals and probes, each for less than a microsecond; read by every lookup.
    index: RwLock<Index>,
    pub(crate) observers: Arc<Observers>,
    pub(crate) leases: LeaseTable,
    pub(crate) fates: Fates,
    pub(crate) clock: Clock,
    /// The last stamp given out. Stamps are wall time where that goes forward, and never go back.
    stamp: AtomicU64,
    /// The last stamp of a use. As those, but it goes back with a clock that was far ahead: uses grow old.
    uses: AtomicU64,
    /// It went back, so that there may be uses that are far ahead.
    uses_ahead: AtomicBool,
    /// Uses were brought back, of which the journal does not tell.
    uses_moved: AtomicBool,
    /// What the clock showed when the last stamp was given out.
    shown: AtomicU64,
    /// Grows when bytes that could be read cannot be read any more: what a reader holds open must be looked up again.
    losses: AtomicU64,
    commits: Mutex<Commits>,
    committed: Condvar,
}

/// What those who wait for a range go by.
#[derive(Debug, Default)]
struct Commits {
    count: u64,
    waiting: usize,
}

impl Shared {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            index: RwLock::default(),
            observers: Arc::default(),
            leases: LeaseTable::default(),
            fates: Fates::default(),
            clock,
            stamp: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            uses_ahead: AtomicBool::new(false),
            uses_moved: AtomicBool::new(false),
            shown: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            commits: Mutex::default(),
            committed: Condvar::new(),
        }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut Index) -> R) -> R {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn resource<R>(&self, key: &ResourceKey, look: impl FnOnce(&Resource) -> R) -> Option<R> {
        self.read(|index| index.get(key).map(look))
    }

    /// A stamp later than all before, and not before the wall clock.
    ///
    /// So a clock that was once far ahead is followed for ever: what was committed then must stay older than what takes
    /// its place, in every journal and footer. Ages are told by uses, see [`Shared::next_use`].
    pub(crate) fn next_stamp(&self) -> u64 {
        let now = self.clock.now().0;
        let before = self.shown.swap(now, Ordering::Relaxed);
        // Another thread may have looked at it later than this one.
        let is_back = |now: u64| before > now.saturating_add(CLOCK_SLACK);
        if is_back(now) && is_back(self.clock.now().0) {
            self.clock_went_back(before - now);
        }
        let advance = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self.stamp.fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance).unwrap_or_else(|last| last);
        now.max(last.saturating_add(1))
    }

    fn clock_went_back(&self, millis: u64) {
        let by = Duration::from_millis(millis);
        tracing::warn!(
            ?by,
            "the clock went back: the order of use is kept, what was stored later than now counts as old"
        );
        self.observers.send(&StoreEvent::ClockWentBack { by });
    }

    /// The stamp of a use of what is about to be entered. Called without the index.
    pub(crate) fn use_stamp(&self) -> u64 {
        let stamp = self.next_use();
        self.settle_uses();
        stamp
    }

    /// A stamp later than those of all uses before, and not before the wall clock; but for uses that are far ahead of that,
    /// which [`Shared::settle_uses`] brings back.
    fn next_use(&self) -> u64 {
        let now = self.clock.now().0;
        let is_ahead = |last: u64| last > now.saturating_add(AHEAD);
        let next = |last: u64| if is_ahead(last) { now } else { now.max(last.saturating_add(1)) };
        let last = self.uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        let last = last.unwrap_or_else(|last| last);
        if is_ahead(last) {
            self.uses_ahead.store(true, Ordering::Relaxed);
        }
        next(last)
    }

    /// Brings uses back that a clock far ahead left, if it went back. Called without the index.
    pub(crate) fn settle_uses(&self) {
        if self.uses_ahead.load(Ordering::Relaxed) && self.uses_ahead.swap(false, Ordering::Relaxed) {
            self.bring_uses_back();
        }
    }

    /// Lets all uses that are far ahead be of a moment ago, in their order.
    pub(crate) fn bring_uses_back(&self) {
        let now = self.clock.now().0;
        if self.read(|index| index.bring_uses_back(now, now.saturating_add(AHEAD))) {
            self.uses_moved.store(true, Ordering::Relaxed);
        }
    }

    /// Whether uses were brought back since this was asked last.
    pub(crate) fn take_uses_moved(&self) -> bool {
        self.uses_moved.load(Ordering::Relaxed) && self.uses_moved.swap(false, Ordering::Relaxed)
    }

    /// Lets the next use be later than `stamp`, which an earlier process gave, or this one.
    pub(crate) fn uses_follow(&self, stamp: u64) {
        self.uses.fetch_max(stamp, Ordering::Relaxed);
    }

    /// When something was used that was committed then and of whose use nothing else is known.
    pub(crate) fn use_of_commit(&self, committed: u64) -> u64 {
        let now = self.clock.now().0;
        if committed > now.saturating_add(AHEAD) { now } else { committed }
    }

    /// Notes that a resource is used. True when that is worth a place in the journal. Whoever calls it settles uses when it
    /// has let go of the index.
    pub(crate) fn touch(&self, resource: &Resource) -> bool {
        let (used, now) = (resource.used(), self.clock.now().0);
        let is_latest = used == self.uses.load(Ordering::Relaxed) && used <= now.saturating_add(AHEAD);
        // A reader comes back for every few bytes: only a use that changes the order, or comes much later, takes a new
        // stamp.
        if is_latest && now.saturating_sub(used) < SAME_USE {
            return false;
        }
        let stamp = self.next_use();
        if used > stamp.saturating_add(AHEAD) {
            resource.bring_use_back(used, stamp);
        }
        resource.touch(stamp);
        stamp.abs_diff(used) >= SAME_USE
    }

    /// Lets the next stamp be later than `stamp`, which an earlier process gave.
    pub(crate) fn stamps_follow(&self, stamp: u64) {
        self.stamp.fetch_max(stamp, Ordering::Relaxed);
    }

    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::Acquire)
    }

    /// Tells that these spans were taken out of the index.
    pub(crate) fn lost(&self, key: &ResourceKey, spans: &[Span], reason: LossReason) {
        self.tell(self.note_lost(key, spans, reason));
    }

    /// Lets readers look again, for these spans were taken out of the index. Answers with what is to be told.
    #[must_use]
    pub(crate) fn note_lost(&self, key: &ResourceKey, spans: &[Span], reason: LossReason) -> Vec<StoreEvent> {
        if !spans.is_empty() {
            self.losses.fetch_add(1, Ordering::Release);
        }
        spans.iter().map(|span| StoreEvent::Lost { key: *key, range: span.range(), reason }).collect()
    }

    /// Calls those who watch. Nothing may be held meanwhile that a callback may wait for: a lock, or the right to evict.
    pub(crate) fn tell(&self, events: Vec<StoreEvent>) {
        events.iter().for_each(|event| self.observers.send(event));
    }

    /// Tells that this span was put into the index.
    pub(crate) fn committed(&self, key: &ResourceKey, range: Range<u64>) {
        let event = self.note_committed(key, range);
        self.observers.send(&event);
    }

    /// Wakes who waits for a span that was put into the index. Answers with what is to be told.
    #[must_use]
    pub(crate) fn note_committed(&self, key: &ResourceKey, range: Range<u64>) -> StoreEvent {
        let mut commits = self.lock_commits();
        commits.count += 1;
        let waited_for = commits.waiting > 0;
        drop(commits);
        if waited_for {
            self.committed.notify_all();
        }
        StoreEvent::Committed { key: *key, range }
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u64 {
        self.lock_commits().count
    }

    /// Blocks until `done` says yes, asking once and after every commit. False when `deadline` came first.
    pub(crate) fn wait_until(&self, deadline: Option<Instant>, done: impl Fn() -> bool) -> bool {
        let mut commits = self.lock_commits();
        loop {
            let seen = commits.count;
            drop(commits);
            if done() {
                return true;
            }
            commits = self.lock_commits();
            while commits.count == seen {
                let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                if left.is_some_and(|left| left.is_zero()) {
                    return false;
                }
                commits.waiting += 1;
                commits = match left {
                    None => self.committed.wait(commits).unwrap_or_else(PoisonError::into_inner),
                    Some(left) => self.committed.wait_timeout(commits, left).unwrap_or_else(PoisonError::into_inner).0,
                };
                commits.waiting -= 1;
            }
        }
    }

    fn lock_commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
