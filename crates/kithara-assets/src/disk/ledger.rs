//! Keeps index, journal, files and watchers in step. Lives on the writer thread.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use crate::disk::journal::{self, Journal, Others};
use crate::disk::layout::remove_file;
use crate::disk::lock::FileLock;
use crate::disk::recover::{self, Restored};
use crate::disk::root::Root;
use crate::disk::run::Run;
use crate::event::{LossReason, StoreEvent};
use crate::format::Record;
use crate::index::{Index, Resource, State};
use crate::key::{AssetId, ResourceKey};
use crate::offer::{Admission, Offer};
use crate::spans::Span;

/// The bookkeeping of the writer thread.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) root: Arc<Root>,
    journal: Option<Journal>,
    /// Records that are still to be appended.
    unwritten: Vec<Record>,
    /// What those who watch are still to be told: see [`Ledger::tell`].
    untold: Vec<StoreEvent>,
    /// Spans in whose place another process put others, under other names: their files may still be there.
    covered: Vec<(ResourceKey, Span)>,
    others: Others,
    run: Run,
    /// Something was not recorded: whoever opens the store next has to look at the disk.
    gap: bool,
    /// What was recorded before may not be what is on the disk, and nobody has looked yet.
    doubtful: bool,
    /// When the store was opened, others had it open, or nobody can know.
    met: bool,
}

/// A journal with this many records more than twice the spans there are is worth compacting.
const SURPLUS: u64 = 8192;
/// Records that are appended together, at most.
const AT_ONCE: usize = 64;

impl Ledger {
    pub(crate) fn new(root: Arc<Root>, run: Run, restored: Restored) -> Self {
        let ledger = Self {
            root,
            met: restored.met || run.met,
            run,
            gap: restored.journal.is_none(),
            doubtful: restored.doubtful || restored.unread,
            journal: restored.journal,
            unwritten: Vec::new(),
            untold: Vec::new(),
            covered: restored.covered,
            others: restored.others,
        };
        ledger.judge_index();
        ledger
    }

    /// Lets readers know whether the index tells of every file, but for those of other runs.
    fn judge_index(&self) {
        self.root.set_index_complete(!self.doubtful && !self.met);
    }

    /// The files were compared with the index.
    pub(crate) fn compared(&mut self) {
        self.doubtful = false;
        self.judge_index();
    }

    /// Names the journal of this process; zero where it has none.
    fn id(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::id)
    }

    /// Notes what happened; [`Ledger::write_out`] appends it. A process that dies in between leaves a journal without a
    /// farewell, so whoever opens the store next looks at the files.
    pub(crate) fn record(&mut self, records: &[Record]) {
        self.unwritten.extend_from_slice(records);
        if self.unwritten.len() >= AT_ONCE {
            self.write_out();
        }
    }

    /// Appends what was noted, all at once.
    pub(crate) fn write_out(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        if self.journal.is_none() {
            // It could not be written when the store was opened, and others could not be told of this run.
            self.begin_journal();
            self.renew_run();
        }
        let records = std::mem::take(&mut self.unwritten);
        let Some(journal) = &mut self.journal else { return };
        if let Err(error) = journal.append(&records) {
            if !self.gap {
                tracing::debug!(%error, "the journal has a gap: the next start will look at the files");
            }
            self.gap = true;
        }
    }

    /// Enters a file that has its name now, removes the files whose place it takes, and tells those who watch.
    pub(crate) fn admit(&mut self, key: &ResourceKey, offer: &Offer) -> Admission {
        let admission = self.root.shared.write(|index| index.admit(key, offer));
        if let Admission::Admitted { gone } = &admission {
            // One of them may have had the same name, and then its file is this one.
            for span in gone.iter().filter(|span| span.start != offer.span.start) {
                let record = Record::Gone { key: *key, start: span.start, stamp: self.root.shared.next_stamp() };
                self.unlink(key, span);
                self.record(&[record]);
            }
            self.lost(key, gone, LossReason::Replaced);
            let came = self.root.shared.note_committed(key, offer.span.range());
            self.untold.push(came);
            self.tell();
        }
        admission
    }

    fn lost(&mut self, key: &ResourceKey, spans: &[Span], reason: LossReason) {
        self.untold.extend(self.root.shared.note_lost(key, spans, reason));
    }

    /// Tells those who watch what happened, in that order. Not before locks and the right to evict are given back: a callback
    /// may lease what it was told of.
    pub(crate) fn tell(&mut self) {
        let events = std::mem::take(&mut self.untold);
        self.root.shared.tell(events);
    }

    /// Removes one span: its file, its entry, and its record. Whoever calls it tells.
    ///
    /// `stamp` is of before the file went: what another process puts in its place is later. One is enough for all that goes
    /// at once, for stamps that are taken faster than time goes run ahead of the clocks of others.
    pub(crate) fn remove_span(&mut self, key: &ResourceKey, span: &Span, reason: LossReason, stamp: u64) {
        let record = Record::Gone { key: *key, start: span.start, stamp: self.not_before(key, stamp) };
        self.unlink(key, span);
        if self.root.shared.write(|index| index.remove_span(key, span.start)).is_some() {
            self.lost(key, &[*span], reason);
        }
        self.record(&[record]);
    }

    /// As [`Ledger::remove_span`], of a resource whose spans are these.
    pub(crate) fn remove(&mut self, key: &ResourceKey, spans: &[Span], reason: LossReason, stamp: u64) {
        let stamp = self.not_before(key, stamp);
        spans.iter().for_each(|span| self.unlink(key, span));
        let gone = self.root.shared.write(|index| index.remove(key));
        self.lost(key, &gone, reason);
        self.record(&[Record::Removed { key: *key, stamp }]);
    }

    /// A stamp that says of all that is listed of a resource that it went later than it came: a reader may have found some of
    /// it since `stamp` was taken.
    fn not_before(&self, key: &ResourceKey, stamp: u64) -> u64 {
        self.root.shared.resource(key, |resource| resource.committed).map_or(stamp, |committed| committed.max(stamp))
    }

    /// Removes what is left of an asset when its last file is gone: its folder, and then its label.
    pub(crate) fn remove_remains(&self, asset: AssetId) {
        let layout = &self.root.layout;
        let gone = match std::fs::remove_dir(layout.asset(asset)) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => Ok(()),
            Err(error) => Err(error),
            Ok(()) if self.root.is_pinned_on_disk(asset) => Ok(()),
            Ok(()) => remove_file(&layout.label(asset)),
        };
        if let Err(error) = gone {
            tracing::debug!(%asset, %error, "remains of an asset stay");
        }
    }

    /// Learns what other processes did. Whoever calls it tells.
    pub(crate) fn news(&mut self) {
        if let Err(error) = self.root.refresh_pins() {
            tracing::debug!(%error, "the pins cannot be listed");
        }
        let (root, own) = (Arc::clone(&self.root), self.id());
        let (untold, covered) = (&mut self.untold, &mut self.covered);
        let told = self.others.news(&root.layout, own, |record| {
            root.shared.stamps_follow(record.stamp());
            record.used().into_iter().for_each(|used| root.shared.uses_follow(used));
            if recover::is_history(&root.layout, &root.shared, &record) {
                return;
            }
            let (taken, nothing) =
                root.shared.read(|index| (recover::takes(index, &record), recover::brings_nothing(index, &record)));
            covered.extend(nothing);
            let kept = recover::kept(taken, |key, span| recover::is_there(&root.layout, key, span));
            let Some(change) = root.shared.write(|index| recover::apply(index, &record, &kept)) else { return };
            covered.extend(change.covered().map(|span| (change.key, *span)));
            let reason = if change.came.is_some() { LossReason::Replaced } else { LossReason::Evicted };
            untold.extend(root.shared.note_lost(&change.key, &change.gone, reason));
            untold.extend(change.came.map(|span| root.shared.note_committed(&change.key, span.range())));
        });
        if let Err(error) = told {
            tracing::debug!(%error, "the journals of other processes cannot be read");
        }
    }

    /// Removes the files of spans in whose place others came. The caller holds the root lock, or there are no locks.
    pub(crate) fn remove_covered(&mut self) {
        for (key, span) in std::mem::take(&mut self.covered) {
            let lists = |resource: &Resource| resource.spans.beginning_at(span.start).is_some();
            if !self.root.shared.resource(&key, lists).unwrap_or(false) {
                self.root.drop_file(&key, &span);
            }
        }
    }

    /// As [`Ledger::remove_covered`], unless another process is at it: then it is done with the next eviction.
    pub(crate) fn uncover(&mut self) -> io::Result<()> {
        let lock = FileLock::try_take(self.root.layout.lock())?;
        if lock.is_some() {
            self.remove_covered();
        }
        Ok(())
    }

    /// True when most of the journal is history.
    pub(crate) fn is_worth_compacting(&self) -> bool {
        let spans = self.root.shared.read(Index::spans) as u64;
        self.journal.as_ref().is_some_and(|journal| journal.records() > 2 * spans + SURPLUS)
    }

    /// Writes what is there into a new journal and removes the old one, with those of dead processes. False where somebody
    /// else holds the root lock, before and after each pause: they do the same.
    pub(crate) fn compact(&mut self, pauses: &[Duration]) -> io::Result<bool> {
        let Some(lock) = FileLock::take_within(&self.root.layout.lock(), pauses)? else { return Ok(false) };
        let compacted = self.compact_alone();
        drop(lock);
        self.tell();
        compacted.map(|()| true)
    }

    fn compact_alone(&mut self) -> io::Result<()> {
        let layout = &Arc::clone(&self.root).layout;
        // The new journal tells of everything.
        self.write_out();
        self.news();
        self.remove_covered();
        let mut keys = self.keys_in_order();
        let shared = &self.root.shared;
        let mut records = keys.drain(..).flat_map(|(_, key)| shared.read(|index| index.records(&key)));
        let journal = Journal::create(layout, fresh_id(), &mut records)?;
        if let Some(old) = self.journal.replace(journal) {
            old.remove()?;
        }
        let own = self.id();
        let removed = journal::remove_dead(layout, own, &mut self.others, &mut self.doubtful);
        self.judge_index();
        removed
    }

    /// Whether the files are to be compared with the index.
    pub(crate) const fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Makes the folders again if somebody took them away, and begins a new journal.
    pub(crate) fn restore_folders(&mut self) -> io::Result<()> {
        self.root.layout.create()?;
        self.renew_run();
        self.restore_journal();
        Ok(())
    }

    fn restore_journal(&mut self) {
        self.write_out();
        if self.journal.as_ref().is_some_and(Journal::is_in_place) {
            return;
        }
        self.begin_journal();
    }

    fn renew_run(&mut self) {
        if let Err(error) = self.run.renew(&self.root.layout) {
            tracing::debug!(%error, "other processes that use the cache cannot be told of this one");
        }
    }

    /// Begins a journal that does not tell of everything: it has no farewell, so the next start looks at the files.
    fn begin_journal(&mut self) {
        match Journal::begin(&self.root.layout) {
            Ok(journal) => self.journal = Some(journal),
            Err(error) => tracing::debug!(%error, "no journal can be begun"),
        }
        self.gap = true;
    }

    /// The last record of a run that missed nothing.
    pub(crate) fn close(&mut self) {
        if !self.gap && !self.doubtful && !self.root.has_missed() {
            let stamp = self.root.shared.next_stamp();
            self.record(&[Record::Closed { stamp }]);
        }
        self.write_out();
        // In this order: who does not meet this run any more can read all that it had to say.
        self.journal = None;
        self.run.end(&self.root.layout);
    }

    /// All known resources in the order of their records: see [`Record::stamp`].
    fn keys_in_order(&self) -> Vec<(u64, ResourceKey)> {
        let mut keys = self.root.shared.read(|index| {
            let known = index.iter().filter(|(_, resource)| resource.state == State::Known);
            known.map(|(key, resource)| (resource.used().max(resource.committed), key)).collect::<Vec<_>>()
        });
        keys.sort_unstable();
        keys
    }

    /// Removes a file. One that cannot be removed is forgotten all the same: it takes room, but nobody can be served
    /// from it.
    fn unlink(&self, key: &ResourceKey, span: &Span) {
        if let Err(error) = remove_file(&self.root.layout.span(key, span.start)) {
            tracing::debug!(%key, start = span.start, %error, "a span cannot be removed");
        }
    }
}

/// A number nobody else has drawn.
pub(crate) fn fresh_id() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Each `RandomState` of a process has other keys, drawn from the system's randomness.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
