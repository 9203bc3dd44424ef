//! Making drafts present, and resources absent: what the writer thread does with files.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::disk::chores::Chores;
use crate::disk::draft::Piece;
use crate::disk::layout::{Layout, create_dir, remove_file};
use crate::disk::ledger::Ledger;
use crate::disk::lock::EvictionLock;
use crate::disk::recover::Restored;
use crate::disk::room::Room;
use crate::disk::root::Root;
use crate::disk::run::Run;
use crate::disk::share::{self, Linked};
use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::fate::Fate;
use crate::format::Record;
use crate::index::{Index, Resource};
use crate::key::{AssetId, ResourceKey};
use crate::maintain::{GcOptions, GcReport};
use crate::meta::Meta;
use crate::offer::{Admission, Judgement, Offer, Rule};
use crate::spans::Span;

/// Changes what is on the disk. Lives on the writer thread.
#[derive(Debug)]
pub(crate) struct Publisher {
    ledger: Ledger,
    room: Room,
    chores: Chores,
}

/// What a span is to be published as.
#[derive(Clone, Copy)]
pub(crate) struct Publication<'a> {
    pub(crate) key: &'a ResourceKey,
    pub(crate) meta: &'a Meta,
    pub(crate) fate: Option<&'a Fate>,
    pub(crate) total: Option<u64>,
    pub(crate) rule: Rule,
}

impl Publisher {
    pub(crate) fn new(root: Arc<Root>, run: Run, restored: Restored) -> Self {
        let chores = Chores::after_start(&restored, &root.options);
        Self { ledger: Ledger::new(root, run, restored), room: Room::default(), chores }
    }

    pub(crate) const fn root(&self) -> &Arc<Root> {
        &self.ledger.root
    }

    /// Writes what a piece has in memory to its temporary file.
    pub(crate) fn flush(&mut self, piece: &mut Piece) -> Result<(), AssetsError> {
        let written = self.try_flush(piece);
        self.note_failure(&written);
        written
    }

    fn try_flush(&mut self, piece: &mut Piece) -> Result<(), AssetsError> {
        let root = Arc::clone(self.root());
        if piece.len() > root.options.quota / 2 {
            return Err(AssetsError::new(AssetsErrorKind::TooLarge, WRITING));
        }
        let (pending, cost) = (piece.pending_len() as u64, piece.pending_cost());
        self.room.ensure(&mut self.ledger, pending)?;
        self.with_folders(|| piece.flush(&mut || root.layout.temporary()))?;
        self.room.drafted(pending);
        root.queue.release(cost);
        Ok(())
    }

    /// Makes a piece present. Whatever happens, its bytes are no longer counted as waiting or drafted.
    pub(crate) fn publish(&mut self, publication: Publication<'_>, mut piece: Piece) -> Result<Span, AssetsError> {
        let (cost, written) = (piece.pending_cost(), piece.written_len());
        let published = self.try_publish(publication, &mut piece);
        drop(piece);
        self.room.undrafted(written);
        self.root().queue.release(cost);
        self.note_failure(&published);
        published
    }

    /// Lets go of a piece that will not become present.
    pub(crate) fn drop_piece(&mut self, piece: Piece) {
        self.room.undrafted(piece.written_len());
        self.root().queue.release(piece.pending_cost());
    }

    /// Cuts a piece to its whole blocks.
    pub(crate) fn keep_whole_blocks(&mut self, piece: &mut Piece) -> io::Result<()> {
        let (written, cost) = (piece.written_len(), piece.pending_cost());
        let cut = piece.keep_whole_blocks();
        self.room.undrafted(written - piece.written_len());
        self.root().queue.release(cost - piece.pending_cost());
        cut
    }

    fn try_publish(&mut self, publication: Publication<'_>, piece: &mut Piece) -> Result<Span, AssetsError> {
        let Publication { key, meta, fate, rule, .. } = publication;
        let root = Arc::clone(self.root());
        let abandoned = fate.is_some_and(|fate| fate.get() == Some(&AssetsErrorKind::Abandoned));
        let total = publication.total.or_else(|| root.shared.resource(key, Resource::total).flatten());
        if abandoned || (piece.len() == 0 && (piece.start, total) != (0, Some(0))) {
            return Err(AssetsError::new(AssetsErrorKind::Abandoned, COMMITTING));
        }
        let mark = meta.validators.mark();
        let stamp = root.shared.next_stamp();
        let span = Span { start: piece.start, len: piece.len(), stored: piece.len(), committed: stamp };
        let mut offer = Offer { span, total, mark, fingerprint: 0, stamp: root.shared.use_stamp(), rule };
        root.resolve(key);
        match root.shared.read(|index| index.judge(key, &offer)) {
            Judgement::Redundant => return Ok(span),
            Judgement::Conflict => return Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING)),
            Judgement::Join | Judgement::Replace | Judgement::Renew => {}
        }
        let path = root.layout.span(key, span.start);
        if root.options.share_equal_content && rule == Rule::Commit && share::is_worth_it(&offer) {
            offer.fingerprint = piece.fingerprint();
            match share::link(&root, &offer, piece, &path) {
                Linked::Yes { stored } => return self.enter(key, Offer { mark: 0, ..stored_as(offer, stored) }),
                // Two files cannot be counted as one.
                Linked::No => offer.fingerprint = 0,
                Linked::First => {}
            }
        }
        let footer = piece.footer(key, meta, total, stamp);
        let footer = footer.ok_or(AssetsError::new(AssetsErrorKind::TooLarge, COMMITTING))?;
        let more = piece.pending_len() as u64 + footer.len() as u64;
        self.room.ensure(&mut self.ledger, more)?;
        let in_folder = |act: &mut dyn FnMut() -> io::Result<Option<u64>>| in_folder(&root.layout, key, act);
        let stored = match self.with_folders(|| in_folder(&mut || piece.create(&path, &footer)))? {
            Some(stored) => stored,
            None => {
                let stored = self.with_folders(|| piece.seal(&mut || root.layout.temporary(), &footer))?;
                let named = in_folder(&mut || piece.publish(&path).map(|()| None));
                named.map_err(|error| AssetsError::io(COMMITTING, error))?;
                stored
            }
        };
        self.enter(key, stored_as(offer, stored))
    }

    /// Records and admits a span whose file has its name.
    fn enter(&mut self, key: &ResourceKey, offer: Offer) -> Result<Span, AssetsError> {
        self.ledger.record(&[offer.record(key)]);
        self.admit(key, &offer)
    }

    fn admit(&mut self, key: &ResourceKey, offer: &Offer) -> Result<Span, AssetsError> {
        let admission = self.ledger.admit(key, offer);
        self.root().health.worked(&self.root().shared.observers);
        if self.ledger.is_worth_compacting() || self.root().shared.take_uses_moved() {
            self.chores.compact();
        }
        match admission {
            Admission::Admitted { .. } | Admission::Redundant => Ok(offer.span),
            Admission::Conflict => {
                // It was invalidated between the judgement and now.
                let stamp = self.root().shared.next_stamp();
                self.ledger.remove_span(key, &offer.span, LossReason::Removed, stamp);
                self.ledger.tell();
                Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING))
            }
        }
    }

    /// Does something with files, once more if it failed because somebody removed the folders of the store.
    fn with_folders<T>(&mut self, mut act: impl FnMut() -> io::Result<T>) -> Result<T, AssetsError> {
        let done = match act() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.chores.walk();
                self.ledger.restore_folders().and_then(|()| act())
            }
            done => done,
        };
        done.map_err(|error| AssetsError::io(WRITING, error))
    }

    /// Notes the length of a resource that is present already.
    pub(crate) fn note_total(&mut self, key: &ResourceKey, total: Option<u64>) -> Result<(), AssetsError> {
        let Some(total) = total else { return Ok(()) };
        let shared = &self.root().shared;
        if !shared.write(|index| index.set_total(key, total)) {
            return Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING));
        }
        // A span that is recorded once more brings its resource's length.
        let last = shared.read(|index| index.records(key).pop());
        self.ledger.record(last.as_slice());
        Ok(())
    }

    /// Removes the files of a resource that is on its way out.
    pub(crate) fn remove(&mut self, key: &ResourceKey) {
        // Of before the files go: what another process puts in their place is later.
        let stamp = self.root().shared.next_stamp();
        let removed = self.remove_files(key);
        if let Err(error) = removed {
            tracing::debug!(%key, %error, "the files of a resource cannot be removed");
        }
        self.ledger.record(&[Record::Removed { key: *key, stamp }]);
        self.root().shared.write(|index| index.end_removal(key));
        self.root().health.retry_now();
    }

    /// Removes all files of a resource, those that the index does not know included.
    fn remove_files(&self, key: &ResourceKey) -> io::Result<()> {
        let folder = self.root().layout.asset(key.asset);
        let prefix = format!("{}.", key.name);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes an asset, if nobody holds it. Answers with the bytes that were freed.
    pub(crate) fn remove_asset(&mut self, asset: AssetId) -> Result<u64, AssetsError> {
        let root = Arc::clone(self.root());
        let held = EvictionLock::take(&root.shared.leases, &root.layout, asset);
        let held = held.map_err(|error| AssetsError::io(REMOVING, error))?;
        // Asked now: whoever pins it leases it meanwhile.
        let held = held.filter(|_| !root.is_pinned_on_disk(asset));
        let held = held.ok_or(AssetsError::new(AssetsErrorKind::Held, REMOVING))?;
        let before = root.shared.read(Index::stored);
        let stamp = root.shared.next_stamp();
        for key in root.shared.read(|index| index.keys_of(&asset)) {
            root.shared.fates.abandon(&key);
            let spans = root.shared.resource(&key, |resource| resource.spans.as_slice().to_vec()).unwrap_or_default();
            self.ledger.remove(&key, &spans, LossReason::Removed, stamp);
        }
        // Files that the index does not know go with their folder.
        let removed = match std::fs::remove_dir_all(root.layout.asset(asset)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => remove_file(&root.layout.label(asset)),
        };
        let freed = before.saturating_sub(root.shared.read(Index::stored));
        let removed = removed.map(|()| freed).map_err(|error| AssetsError::io(REMOVING, error));
        held.end_asset();
        self.chores.remove_remains();
        self.ledger.tell();
        root.health.retry_now();
        removed
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.ledger.record(&[record]);
    }

    pub(crate) fn gc(&mut self, options: &GcOptions) -> GcReport {
        let report = self.chores.all(&mut self.ledger, &mut self.room, options);
        self.root().health.retry_now();
        report
    }

    /// Compares the index with the files, at once. Answers with how many folders could not be read.
    pub(crate) fn compare(&mut self) -> usize {
        Chores::compare(&mut self.ledger)
    }

    /// What was recorded is where others find it.
    pub(crate) fn write_out(&mut self) {
        self.ledger.write_out();
    }

    pub(crate) fn has_chores(&self) -> bool {
        self.chores.are_left()
    }

    /// Does a little of what there is to do when nobody wants anything.
    pub(crate) fn do_chore(&mut self) {
        self.chores.step(&mut self.ledger, &mut self.room);
    }

    /// Nothing more will be asked.
    pub(crate) fn close(&mut self) {
        self.chores.close(&mut self.ledger, &mut self.room);
        self.ledger.close();
    }

    /// Notes a failure of the disk; other failures concern one span only.
    fn note_failure<T>(&self, outcome: &Result<T, AssetsError>) {
        let Err(error) = outcome else { return };
        if matches!(error.kind(), AssetsErrorKind::Full | AssetsErrorKind::Denied | AssetsErrorKind::Io) {
            self.root().health.failed(error, Instant::now(), &self.root().shared.observers);
        }
    }
}

const WRITING: &str = "writing a span";
const COMMITTING: &str = "committing a span";
const REMOVING: &str = "removing an asset";

const fn stored_as(offer: Offer, stored: u64) -> Offer {
    Offer { span: Span { stored, ..offer.span }, ..offer }
}

/// Makes a file in the folder of its asset, and the folder if it is the first.
fn in_folder<T>(layout: &Layout, key: &ResourceKey, act: &mut dyn FnMut() -> io::Result<T>) -> io::Result<T> {
    match act() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(&layout.asset(key.asset))?;
            act()
        }
        done => done,
    }
}
