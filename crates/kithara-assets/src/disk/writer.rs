//! The one thread that writes: drafts become spans, chores are done in between.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::disk::chores::Chores;
use crate::disk::draft::{Draft, Piece};
use crate::disk::job::{End, Job};
use crate::disk::layout::{Layout, create_dir, remove_file};
use crate::disk::ledger::Ledger;
use crate::disk::lock::EvictionLock;
use crate::disk::queue::Taken;
use crate::disk::recover::Restored;
use crate::disk::room::Room;
use crate::disk::root::Root;
use crate::disk::share;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::fate::Fate;
use crate::format::{BLOCK, Record};
use crate::index::{Admission, Index, Judgement, Offer, Resource, Rule};
use crate::key::{AssetId, ResourceKey};
use crate::meta::Meta;
use crate::spans::Span;

/// The state of the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    ledger: Ledger,
    room: Room,
    chores: Chores,
    drafts: HashMap<u64, Draft>,
}

/// What a span is to be published as.
#[derive(Clone, Copy)]
struct Publication<'a> {
    key: &'a ResourceKey,
    meta: &'a Meta,
    fate: Option<&'a Fate>,
    total: Option<u64>,
    rule: Rule,
}

impl Writer {
    pub(crate) fn new(root: Arc<Root>, restored: Restored) -> Self {
        let mut chores = Chores::after_start(&restored);
        chores.limits(root.options.quota, root.options.max_age);
        Self { ledger: Ledger::new(root, restored), room: Room::default(), chores, drafts: HashMap::new() }
    }

    /// Takes jobs until the store is closed and nothing is left to do.
    pub(crate) fn run(mut self) {
        let root = Arc::clone(&self.ledger.root);
        let _closing = Closing(&root);
        loop {
            let idle = if self.chores.are_left() { Some(Instant::now()) } else { self.next_piece() };
            match root.queue.take(idle) {
                Taken::Job(job) => self.carry_out(job),
                Taken::Starved => self.flush_all(),
                Taken::Idle => self.chores.step(&mut self.ledger, &mut self.room),
                Taken::Closed => break,
            }
            self.commit_due_pieces();
        }
        self.ledger.close();
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Data { id, begin, bytes } => self.take_data(id, begin, bytes),
            Job::End { id, begin, end } => self.end(id, begin, end),
            Job::Put { key, meta, bytes, answer } => answer.answer(self.put(&key, &meta, bytes)),
            Job::Remove { key } => self.remove(&key),
            Job::RemoveAsset { asset, answer } => answer.answer(self.remove_asset(asset)),
            Job::Note(record) => self.ledger.record(&[record]),
            Job::Gc { options, answer } => {
                answer.answer(Ok(self.chores.all(&mut self.ledger, &mut self.room, &options)));
            }
            Job::Flush { answer } => answer.answer(Ok(())),
        }
    }

    /// When the next piece is to be committed, however small it is.
    fn next_piece(&self) -> Option<Instant> {
        let time = self.ledger.root.options.piece_time;
        let begun = self.drafts.values().filter(|draft| draft.pieces).filter_map(|draft| draft.piece().since);
        begun.min().map(|since| since + time)
    }

    fn take_data(&mut self, id: u64, begin: Option<Box<Draft>>, bytes: Bytes) {
        let root = Arc::clone(&self.ledger.root);
        let now = Instant::now();
        let Some(draft) = self.begin(id, begin) else {
            root.queue.release(Piece::cost_of(bytes.len()));
            return;
        };
        draft.piece_mut().push(bytes, now);
        let piece = draft.piece();
        let due = draft.pieces && (piece.len() >= root.options.piece_bytes.max(1) || is_due(&root, piece, now));
        if due {
            self.commit_piece(id);
        } else if piece.pending_len() >= BLOCK || self.holds_much() {
            self.flush(id);
        }
    }

    /// True while drafts in memory take half of the room there is for data.
    fn holds_much(&self) -> bool {
        let held: usize = self.drafts.values().map(|draft| draft.piece().pending_cost()).sum();
        held > self.ledger.root.options.queue_bytes / 2
    }

    /// The draft `id`; `None` where it was given up.
    fn begin(&mut self, id: u64, begin: Option<Box<Draft>>) -> Option<&mut Draft> {
        if let Some(draft) = begin {
            self.drafts.insert(id, *draft);
        }
        if self.drafts.get(&id)?.fate.get() == Some(&AssetsErrorKind::Abandoned) {
            self.give_up(id, AssetsErrorKind::Abandoned);
        }
        self.drafts.get_mut(&id)
    }

    /// Writes what a draft has in memory to its file.
    fn flush(&mut self, id: u64) {
        let Some(mut draft) = self.drafts.remove(&id) else { return };
        let written = self.try_flush(draft.piece_mut());
        self.drafts.insert(id, draft);
        if let Err(error) = written {
            self.failed(&error);
            self.give_up(id, error.kind());
        }
    }

    /// Writes what all drafts have in memory, for somebody waits for room.
    fn flush_all(&mut self) {
        let pending = self.drafts.iter().filter(|(_, draft)| draft.piece().pending_len() > 0);
        for id in pending.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.flush(id);
        }
    }

    fn try_flush(&mut self, piece: &mut Piece) -> Result<(), AssetsError> {
        let root = Arc::clone(&self.ledger.root);
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

    /// Drops a draft and tells its writer.
    fn give_up(&mut self, id: u64, reason: AssetsErrorKind) {
        if let Some(mut draft) = self.drafts.remove(&id) {
            // An earlier reason stands.
            let _ = draft.fate.set(reason);
            let piece = draft.take_piece();
            self.drop_piece(piece);
        }
    }

    fn drop_piece(&mut self, piece: Piece) {
        self.room.undrafted(piece.written_len());
        self.ledger.root.queue.release(piece.pending_cost());
    }

    fn end(&mut self, id: u64, begin: Option<Box<Draft>>, end: End) {
        self.begin(id, begin);
        let draft = self.drafts.remove(&id);
        match (draft, end) {
            (Some(draft), End::Commit { total, answer, .. }) => answer.answer(self.commit(draft, total)),
            (Some(draft), End::Keep) => self.keep(draft),
            (Some(mut draft), End::Discard) => {
                let piece = draft.take_piece();
                self.drop_piece(piece);
            }
            (None, End::Commit { fate, answer, .. }) => {
                let reason = fate.get().copied().unwrap_or(AssetsErrorKind::Abandoned);
                answer.answer(Err(AssetsError::new(reason, COMMITTING)));
            }
            (None, End::Keep | End::Discard) => {}
        }
    }

    fn commit(&mut self, mut draft: Draft, total: Option<u64>) -> Result<Range<u64>, AssetsError> {
        let piece = draft.take_piece();
        let end = piece.start + piece.len();
        if piece.len() == 0 && piece.start > draft.start {
            // All pieces are present already; only the length is new.
            self.note_total(&draft.key, total)?;
            return Ok(draft.start..end);
        }
        let publication =
            Publication { key: &draft.key, meta: &draft.meta, fate: Some(&draft.fate), total, rule: Rule::Commit };
        self.publish(publication, piece).map(|_| draft.start..end)
    }

    fn note_total(&mut self, key: &ResourceKey, total: Option<u64>) -> Result<(), AssetsError> {
        let Some(total) = total else { return Ok(()) };
        let shared = &self.ledger.root.shared;
        if !shared.write(|index| index.set_total(key, total)) {
            return Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING));
        }
        // A span that is recorded once more brings its resource's length.
        let last = shared.read(|index| index.records(key).pop());
        self.ledger.record(last.as_slice());
        Ok(())
    }

    /// Keeps what can be kept of a draft whose writer went away.
    fn keep(&mut self, mut draft: Draft) {
        let mut piece = draft.take_piece();
        if !draft.pieces {
            let (written, cost) = (piece.written_len(), piece.pending_cost());
            let cut = piece.keep_whole_blocks();
            self.room.undrafted(written - piece.written_len());
            self.ledger.root.queue.release(cost - piece.pending_cost());
            if cut.is_err() {
                self.drop_piece(piece);
                return;
            }
        }
        if piece.len() == 0 {
            return self.drop_piece(piece);
        }
        let publication = Publication {
            key: &draft.key,
            meta: &draft.meta,
            fate: Some(&draft.fate),
            total: None,
            rule: Rule::Commit,
        };
        // Nobody waits to hear whether it could be kept; a failing disk was told.
        let _ = self.publish(publication, piece);
    }

    fn commit_piece(&mut self, id: u64) {
        let Some(mut draft) = self.drafts.remove(&id) else { return };
        let piece = draft.take_piece();
        let publication = Publication {
            key: &draft.key,
            meta: &draft.meta,
            fate: Some(&draft.fate),
            total: None,
            rule: Rule::Commit,
        };
        match self.publish(publication, piece) {
            Ok(_) => {
                self.drafts.insert(id, draft);
            }
            Err(error) => {
                // An earlier reason stands.
                let _ = draft.fate.set(error.kind());
            }
        }
    }

    fn commit_due_pieces(&mut self) {
        let now = Instant::now();
        let is_due = |draft: &Draft| draft.pieces && is_due(&self.ledger.root, draft.piece(), now);
        let due: Vec<u64> = self.drafts.iter().filter(|(_, draft)| is_due(draft)).map(|(id, _)| *id).collect();
        for id in due {
            self.commit_piece(id);
        }
    }

    fn put(&mut self, key: &ResourceKey, meta: &Meta, bytes: Bytes) -> Result<(), AssetsError> {
        let total = Some(bytes.len() as u64);
        let mut piece = Piece::new(0);
        piece.push(bytes, Instant::now());
        self.publish(Publication { key, meta, fate: None, total, rule: Rule::Replace }, piece).map(|_| ())
    }

    /// Makes a piece present. Whatever happens, its bytes are no longer counted as waiting or drafted.
    fn publish(&mut self, publication: Publication<'_>, mut piece: Piece) -> Result<Span, AssetsError> {
        let (cost, written) = (piece.pending_cost(), piece.written_len());
        let published = self.try_publish(publication, &mut piece);
        drop(piece);
        self.room.undrafted(written);
        self.ledger.root.queue.release(cost);
        if let Err(error) = &published {
            self.failed(error);
        }
        published
    }

    fn try_publish(&mut self, publication: Publication<'_>, piece: &mut Piece) -> Result<Span, AssetsError> {
        let Publication { key, meta, fate, rule, .. } = publication;
        let root = Arc::clone(&self.ledger.root);
        let abandoned = fate.is_some_and(|fate| fate.get() == Some(&AssetsErrorKind::Abandoned));
        let total = publication.total.or_else(|| root.shared.resource(key, Resource::total).flatten());
        if abandoned || (piece.len() == 0 && (piece.start, total) != (0, Some(0))) {
            return Err(AssetsError::new(AssetsErrorKind::Abandoned, COMMITTING));
        }
        let span = Span { start: piece.start, len: piece.len(), stored: piece.len() };
        let mark = meta.validators.mark();
        let stamp = root.shared.next_stamp();
        let mut offer = Offer { span, total, mark, fingerprint: 0, committed: stamp, stamp, rule };
        match root.shared.read(|index| index.judge(key, &offer)) {
            Judgement::Redundant => return Ok(span),
            Judgement::Conflict => return Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING)),
            Judgement::Join | Judgement::Replace => {}
        }
        let path = root.layout.span(key, span.start);
        if root.options.share_equal_content && rule == Rule::Commit && share::is_worth_it(&offer) {
            offer.fingerprint = piece.fingerprint();
            match share::link(&root, &offer, piece, &path) {
                share::Linked::Yes { stored } => return self.enter(key, Offer { mark: 0, ..stored_as(offer, stored) }),
                // Two files cannot be counted as one.
                share::Linked::No => offer.fingerprint = 0,
                share::Linked::First => {}
            }
        }
        let footer = piece.footer(key, meta, total, stamp);
        let footer = footer.ok_or(AssetsError::new(AssetsErrorKind::TooLarge, COMMITTING))?;
        let more = piece.pending_len() as u64 + footer.len() as u64;
        self.room.ensure(&mut self.ledger, more)?;
        let stored = self.with_folders(|| piece.seal(&mut || root.layout.temporary(), &footer))?;
        let offer = stored_as(offer, stored);
        // The record comes first: a process that dies in between leaves an entry without a file, which is a hole, and never a file that
        // nobody counts.
        self.ledger.record(&[offer.record(key)]);
        name(piece, &root.layout, key, &path).map_err(|error| AssetsError::io(COMMITTING, error))?;
        self.admit(key, &offer)
    }

    /// Records and admits a span whose file has its name.
    fn enter(&mut self, key: &ResourceKey, offer: Offer) -> Result<Span, AssetsError> {
        self.ledger.record(&[offer.record(key)]);
        self.admit(key, &offer)
    }

    fn admit(&mut self, key: &ResourceKey, offer: &Offer) -> Result<Span, AssetsError> {
        let admission = self.ledger.admit(key, offer);
        self.ledger.root.health.worked(&self.ledger.root.shared.observers);
        if self.ledger.is_worth_compacting() {
            self.chores.compact();
        }
        match admission {
            Admission::Admitted { .. } | Admission::Redundant => Ok(offer.span),
            Admission::Conflict => {
                // It was invalidated between the judgement and now.
                self.ledger.remove_span(key, &offer.span, LossReason::Removed);
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

    fn remove(&mut self, key: &ResourceKey) {
        let removed = self.remove_files(key);
        if let Err(error) = removed {
            tracing::debug!(%key, %error, "the files of a resource cannot be removed");
        }
        let stamp = self.ledger.root.shared.next_stamp();
        self.ledger.record(&[Record::Removed { key: *key, stamp }]);
        self.ledger.root.shared.write(|index| index.end_removal(key));
    }

    /// Removes all files of a resource, those that the index does not know included.
    fn remove_files(&self, key: &ResourceKey) -> io::Result<()> {
        let folder = self.ledger.root.layout.asset(key.asset);
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

    fn remove_asset(&mut self, asset: AssetId) -> Result<u64, AssetsError> {
        let root = Arc::clone(&self.ledger.root);
        let pinned = root.is_pinned_on_disk(asset);
        let held = EvictionLock::take(&root.shared.leases, &root.layout, asset).filter(|_| !pinned);
        let held = held.ok_or(AssetsError::new(AssetsErrorKind::Held, "removing an asset"))?;
        let before = root.shared.read(Index::stored);
        for key in root.shared.read(|index| index.keys_of(&asset)) {
            root.shared.fates.abandon(&key);
            let spans = root.shared.resource(&key, |resource| resource.spans.as_slice().to_vec()).unwrap_or_default();
            self.ledger.remove(&key, &spans, LossReason::Removed);
        }
        // Files that the index does not know go with their folder.
        let removed = match std::fs::remove_dir_all(root.layout.asset(asset)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => remove_file(&root.layout.label(asset)),
        };
        let freed = before.saturating_sub(root.shared.read(Index::stored));
        let removed = removed.map(|()| freed).map_err(|error| AssetsError::io("removing an asset", error));
        held.end_asset();
        removed
    }

    /// Notes a failure of the disk; other failures concern one span only.
    fn failed(&self, error: &AssetsError) {
        if matches!(error.kind(), AssetsErrorKind::Full | AssetsErrorKind::Denied | AssetsErrorKind::Io) {
            self.ledger.root.health.failed(error, Instant::now(), &self.ledger.root.shared.observers);
        }
    }
}

/// Lets nobody wait for a writer thread that is gone, in whichever way it went.
struct Closing<'a>(&'a Root);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

const WRITING: &str = "writing a span";
const COMMITTING: &str = "committing a span";

const fn stored_as(offer: Offer, stored: u64) -> Offer {
    Offer { span: Span { stored, ..offer.span }, ..offer }
}

fn is_due(root: &Root, piece: &Piece, now: Instant) -> bool {
    piece.since.is_some_and(|since| now.saturating_duration_since(since) >= root.options.piece_time)
}

/// Gives a sealed file its name, making the folder of its asset if it is the first.
fn name(piece: &mut Piece, layout: &Layout, key: &ResourceKey, path: &Path) -> io::Result<()> {
    match piece.publish(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_dir(&layout.asset(key.asset))?;
            piece.publish(path)
        }
        published => published,
    }
}
