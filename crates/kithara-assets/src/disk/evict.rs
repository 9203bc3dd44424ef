//! Making room: which resources go, and when nobody may touch them.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::disk::ledger::Ledger;
use crate::disk::lock::{EvictionLock, FileLock, means_no_locks};
use crate::disk::root::Root;
use crate::event::LossReason;
use crate::index::{Index, State, Victim};
use crate::key::{AssetId, ResourceKey};
use crate::spans::Span;

/// Chooses and removes the least recently used resources. Lives on the writer thread.
#[derive(Debug, Default)]
pub(crate) struct Evictor {
    /// Chosen, not yet removed; the least recently used first.
    victims: VecDeque<Victim>,
    /// Held by other processes when that was last asked.
    held_elsewhere: HashSet<AssetId>,
    /// Leases that had ended when the victims were chosen.
    leases_ended: u64,
    /// When nothing could be chosen, and how many commits there had been.
    fruitless: Option<(Instant, u64)>,
}

/// What resources have to go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    /// Stop when there is room enough.
    pub(crate) until: Until,
    /// Spare what was used at or after this stamp.
    pub(crate) before: u64,
    /// Stop after so many files, to come back later.
    pub(crate) files: usize,
    /// Pauses between attempts where another process is at it.
    pub(crate) patience: &'static [Duration],
}

/// When there is room enough. It is asked after the news of other processes came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// No more than so many bytes are stored.
    Stored(u64),
    /// So many bytes were freed.
    Freed(u64),
}

/// How far eviction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The goal is reached.
    Done,
    /// The files are used up, the goal is not reached.
    More,
    /// Nothing more may go.
    Exhausted,
    /// Another process is at it.
    Busy,
}

/// Resources chosen at a time.
const CHOICE: usize = 512;
/// How long to go without looking again when nothing could be chosen and nothing changed.
const REST: Duration = Duration::from_secs(1);

impl Evictor {
    /// # Errors
    /// Nobody can know whether others evict, or lease what would have to go.
    pub(crate) fn evict(&mut self, ledger: &mut Ledger, goal: Goal, now: Instant) -> io::Result<Progress> {
        let lock = match FileLock::take_within(&ledger.root.layout.lock(), goal.patience) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => return Ok(Progress::Busy),
            // Where locks do not work, or the store was taken away, nobody else is expected.
            Err(error) if means_no_locks(&error) || error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        ledger.news();
        ledger.remove_covered();
        let progress = self.evict_alone(ledger, goal, now);
        // Whoever evicts next has to know what is gone.
        ledger.write_out();
        drop(lock);
        ledger.tell();
        progress
    }

    fn evict_alone(&mut self, ledger: &mut Ledger, goal: Goal, now: Instant) -> io::Result<Progress> {
        let root = Arc::clone(&ledger.root);
        self.held_elsewhere.clear();
        let stored = || root.shared.read(Index::stored);
        let enough = match goal.until {
            Until::Stored(bytes) => bytes,
            Until::Freed(bytes) => stored().saturating_sub(bytes),
        };
        let stamp = root.shared.next_stamp();
        let (mut files, mut unknown) = (goal.files, Ok(Progress::Exhausted));
        while stored() > enough {
            let Some(victim) = self.next(ledger, goal.before, now) else {
                // It may be known the next time.
                self.fruitless = self.fruitless.filter(|_| unknown.is_ok());
                return unknown;
            };
            let spans = still_there(ledger, &victim);
            if spans.is_empty() {
                continue;
            }
            if files == 0 {
                self.victims.push_front(victim);
                return Ok(Progress::More);
            }
            let held = match hold(&root, victim.key.asset) {
                Ok(Some(held)) => held,
                // What cannot be asked counts as held; where nothing else can go, that is why.
                not_held => {
                    self.held_elsewhere.insert(victim.key.asset);
                    unknown = not_held.map_or_else(Err, |_| unknown);
                    continue;
                }
            };
            files = files.saturating_sub(remove(ledger, &victim.key, &spans, Limits { files, enough, stamp }));
            if root.shared.read(|index| index.asset(&victim.key.asset).is_none()) {
                ledger.remove_remains(victim.key.asset);
                held.end_asset();
            }
        }
        Ok(Progress::Done)
    }

    fn next(&mut self, ledger: &Ledger, before: u64, now: Instant) -> Option<Victim> {
        let leases = &ledger.root.shared.leases;
        let ended = leases.ended();
        if ended != self.leases_ended {
            *self = Self { leases_ended: ended, ..Self::default() };
        }
        while let Some(victim) = self.victims.pop_front() {
            if victim.used < before {
                return Some(victim);
            }
        }
        let commits = ledger.root.shared.commits();
        let is_vain = |(since, seen)| seen == commits && now.saturating_duration_since(since) < REST;
        if self.fruitless.is_some_and(is_vain) {
            return None;
        }
        let may_go = |asset: &AssetId| !leases.is_leased(asset) && !self.held_elsewhere.contains(asset);
        self.victims = ledger.root.shared.read(|index| index.oldest(CHOICE, before, may_go)).into();
        let next = self.victims.pop_front();
        if next.is_none() && before == u64::MAX {
            self.fruitless = Some((now, commits));
        }
        next
    }
}

/// The right to evict from an asset; `None` while somebody leases it, here or elsewhere, or it is pinned.
fn hold(root: &Root, asset: AssetId) -> io::Result<Option<EvictionLock<'_>>> {
    let held = EvictionLock::take(&root.shared.leases, &root.layout, asset)?;
    // Another process may have pinned it since.
    Ok(held.filter(|_| !root.is_pinned_on_disk(asset)))
}

/// The spans of a resource, unless it was used since it was chosen.
fn still_there(ledger: &Ledger, victim: &Victim) -> Vec<Span> {
    let spans = ledger.root.shared.resource(&victim.key, |resource| {
        let unused = resource.used() == victim.used && resource.state != State::Removing;
        if unused { resource.spans.as_slice().to_vec() } else { Vec::new() }
    });
    spans.unwrap_or_default()
}

/// How much of a resource goes.
#[derive(Clone, Copy)]
struct Limits {
    files: usize,
    /// Bytes that may be stored.
    enough: u64,
    /// Of before anything went.
    stamp: u64,
}

/// Removes spans from the first on, as many as are needed and allowed. Answers with how many.
fn remove(ledger: &mut Ledger, key: &ResourceKey, spans: &[Span], limits: Limits) -> usize {
    let Limits { files, enough, stamp } = limits;
    if let [span] = spans {
        ledger.remove(key, &[*span], LossReason::Evicted, stamp);
        return 1;
    }
    let mut removed = 0;
    for span in spans.iter().take(files) {
        if ledger.root.shared.read(|index| index.stored() <= enough) {
            break;
        }
        ledger.remove_span(key, span, LossReason::Evicted, stamp);
        removed += 1;
    }
    removed
}
