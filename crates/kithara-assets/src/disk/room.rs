//! Whether there is room to write: under the quota, and above the free space that is left to others.

use std::time::{Duration, Instant};

use crate::disk::evict::{Evictor, Goal, Progress, Until};
use crate::disk::ledger::Ledger;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::index::Index;

/// Watches over quota and free space. Lives on the writer thread.
#[derive(Debug, Default)]
pub(crate) struct Room {
    evictor: Evictor,
    /// Bytes in temporary files.
    drafted: u64,
    /// Bytes that may be written before the file system is asked again how much is free.
    allowance: u64,
    /// Bytes written since other processes were heard.
    unheard: u64,
    /// Pauses between attempts to evict where another process is at it.
    patience: &'static [Duration],
    /// What kept the last chores from being done.
    obstacle: Option<AssetsErrorKind>,
}

/// This part of the quota is evicted at a time, at least.
const SLACK: u64 = 64;
/// This part of the quota may be exceeded while another process evicts.
const TOLERANCE: u64 = 8;
/// This part of the quota may be written before other processes are heard.
const UNHEARD: u64 = 16;
/// Bytes written between two questions to the file system, at most.
const MAX_ALLOWANCE: u64 = 4 << 20;
/// Files removed between two jobs, at most.
const STEP_FILES: usize = 64;
/// How long somebody waits who asks for chores to be done now, where another process is at it: half a second in all. An
/// eviction step takes a few milliseconds.
const PATIENCE: &[Duration] = &[
    Duration::from_millis(4),
    Duration::from_millis(16),
    Duration::from_millis(64),
    Duration::from_millis(128),
    Duration::from_millis(256),
];

impl Room {
    /// Makes sure that `bytes` more may be written, evicting what is needed.
    ///
    /// # Errors
    /// What the file system says where nobody can know whether others evict. [`AssetsErrorKind::Full`] where nothing more may
    /// be evicted, [`AssetsErrorKind::Busy`] where another process is at it, [`AssetsErrorKind::TooLarge`] where an empty
    /// store would be too small.
    pub(crate) fn ensure(&mut self, ledger: &mut Ledger, bytes: u64) -> Result<(), AssetsError> {
        let quota = ledger.root.options.quota;
        if bytes > quota {
            return Err(AssetsError::new(AssetsErrorKind::TooLarge, ROOM));
        }
        self.hear(ledger, bytes, quota);
        let excess = |room: &Self, ledger: &Ledger| room.used(ledger).saturating_add(bytes).saturating_sub(quota);
        if excess(self, ledger) > 0 {
            // More than is missing, for asking all other processes has a price of its own.
            let target = quota.saturating_sub(self.drafted).saturating_sub(bytes.max(quota / SLACK));
            let evicted = self.evict(ledger, Until::Stored(target), usize::MAX);
            let left = excess(self, ledger);
            // What was missing may be there although more could not be had.
            let busy = left > 0 && evicted? == Progress::Busy;
            if left > 0 && !(busy && left <= quota / TOLERANCE) {
                let kind = if busy { AssetsErrorKind::Busy } else { AssetsErrorKind::Full };
                return Err(AssetsError::new(kind, ROOM));
            }
        }
        self.ensure_free(ledger, bytes)
    }

    /// Learns what other processes wrote, if there are any, for the quota is one for all.
    fn hear(&mut self, ledger: &mut Ledger, bytes: u64, quota: u64) {
        self.unheard = self.unheard.saturating_add(bytes);
        if self.unheard <= quota / UNHEARD {
            return;
        }
        self.unheard = 0;
        if !ledger.root.is_alone() {
            // Others go by what was written here.
            ledger.write_out();
            ledger.news();
            ledger.tell();
        }
    }

    /// Notes that so many bytes were written to temporary files.
    pub(crate) const fn drafted(&mut self, bytes: u64) {
        self.drafted = self.drafted.saturating_add(bytes);
    }

    /// Notes that so many bytes of temporary files are none any more: removed, or counted as spans.
    pub(crate) const fn undrafted(&mut self, bytes: u64) {
        self.drafted = self.drafted.saturating_sub(bytes);
    }

    /// Evicts a little where the quota is exceeded: it was lowered, or other processes wrote, too. False when there is
    /// nothing to do.
    pub(crate) fn trim(&mut self, ledger: &mut Ledger, quota: u64) -> bool {
        if self.used(ledger) <= quota {
            return false;
        }
        let target = quota.saturating_sub(self.drafted);
        let progress = self.evict(ledger, Until::Stored(target), STEP_FILES);
        self.has_more(progress)
    }

    /// Evicts a little of what was not used since `before`. False when there is nothing to do.
    pub(crate) fn expire(&mut self, ledger: &mut Ledger, before: u64) -> bool {
        // Nobody is kept from evicting where there is nothing to do.
        if ledger.root.shared.read(|index| index.oldest(1, before, |_| true).is_empty()) {
            return false;
        }
        let goal = Goal { until: Until::Stored(0), before, files: STEP_FILES, patience: self.patience };
        let progress = self.evictor.evict(ledger, goal, Instant::now()).map_err(unknown);
        self.has_more(progress)
    }

    /// Chores are to be done now: where another process is at it, it is waited for.
    pub(crate) fn begin_chores(&mut self) {
        (self.patience, self.obstacle) = (PATIENCE, None);
    }

    /// The pauses between attempts to have the store for this process alone.
    pub(crate) const fn patience(&self) -> &'static [Duration] {
        self.patience
    }

    /// A chore could not be done. Others do not wait for the same once more.
    pub(crate) fn note_obstacle(&mut self, kind: AssetsErrorKind) {
        self.patience = &[];
        self.obstacle = self.obstacle.or(Some(kind));
    }

    /// The chores are done. Answers with what kept some of them from being so.
    pub(crate) fn end_chores(&mut self) -> Option<AssetsErrorKind> {
        self.patience = &[];
        self.obstacle.take()
    }

    /// Whether there is more to evict. What keeps a chore from it keeps nobody from writing.
    fn has_more(&mut self, progress: Result<Progress, AssetsError>) -> bool {
        match progress {
            Ok(Progress::Busy) => self.note_obstacle(AssetsErrorKind::Busy),
            Ok(progress) => return progress == Progress::More,
            Err(error) => {
                tracing::warn!(%error, "the store cannot be put in order");
                self.note_obstacle(error.kind());
            }
        }
        false
    }

    fn used(&self, ledger: &Ledger) -> u64 {
        ledger.root.shared.read(Index::stored).saturating_add(self.drafted)
    }

    fn evict(&mut self, ledger: &mut Ledger, until: Until, files: usize) -> Result<Progress, AssetsError> {
        let goal = Goal { until, before: u64::MAX, files, patience: self.patience };
        self.evictor.evict(ledger, goal, Instant::now()).map_err(unknown)
    }

    fn ensure_free(&mut self, ledger: &mut Ledger, bytes: u64) -> Result<(), AssetsError> {
        if bytes > self.allowance {
            let wanted = bytes.saturating_add(ledger.root.options.free_space);
            let (mut left, mut evicted) = (free(ledger)?, Ok(Progress::Exhausted));
            if left < wanted {
                evicted = self.evict(ledger, Until::Freed(wanted - left), usize::MAX);
                left = free(ledger)?;
            }
            if left < wanted {
                self.allowance = 0;
                let kind = if evicted? == Progress::Busy { AssetsErrorKind::Busy } else { AssetsErrorKind::Full };
                return Err(AssetsError::new(kind, ROOM));
            }
            self.allowance = bytes.saturating_add((left - wanted).min(MAX_ALLOWANCE));
        }
        self.allowance -= bytes;
        Ok(())
    }
}

/// Bytes that are free for us.
fn free(ledger: &Ledger) -> Result<u64, AssetsError> {
    fs4::available_space(ledger.root.layout.root()).map_err(|error| AssetsError::io("asking for free space", error))
}

fn unknown(error: std::io::Error) -> AssetsError {
    AssetsError::io("asking whether others make room", error)
}

const ROOM: &str = "making room";
