//! The one thread that writes: drafts become spans, chores are done in between.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::disk::draft::{Draft, Piece};
use crate::disk::job::{End, Job};
use crate::disk::publisher::{Publication, Publisher};
use crate::disk::queue::Taken;
use crate::disk::recover::Restored;
use crate::disk::root::Root;
use crate::disk::run::Run;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::format::BLOCK;
use crate::key::ResourceKey;
use crate::meta::Meta;
use crate::offer::Rule;

/// The state of the writer thread.
#[derive(Debug)]
pub(crate) struct Writer {
    publisher: Publisher,
    drafts: HashMap<u64, Draft>,
}

impl Writer {
    pub(crate) fn new(root: Arc<Root>, run: Run, restored: Restored) -> Self {
        Self { publisher: Publisher::new(root, run, restored), drafts: HashMap::new() }
    }

    /// Takes jobs until the store is closed and nothing is left to do.
    pub(crate) fn run(mut self) {
        let root = Arc::clone(self.publisher.root());
        let _closing = Closing(&root);
        loop {
            let idle = if self.publisher.has_chores() { Some(Instant::now()) } else { self.next_piece() };
            match root.queue.take(idle) {
                Taken::Job(job) => self.carry_out(job),
                Taken::Starved => self.flush_all(),
                Taken::Idle => self.publisher.do_chore(),
                Taken::Closed => break,
            }
            self.commit_due_pieces();
            if root.queue.is_empty() {
                self.publisher.write_out();
            }
        }
        self.publisher.close();
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Data { id, begin, bytes } => self.take_data(id, begin, bytes),
            Job::Expect { id, total } => {
                if let Some(draft) = self.drafts.get_mut(&id) {
                    draft.expected = Some(total);
                }
            }
            Job::End { id, begin, end } => self.end(id, begin, end),
            Job::Put { key, meta, bytes, answer } => answer.answer(self.put(&key, &meta, bytes)),
            Job::Remove { key } => self.publisher.remove(&key),
            Job::RemoveAsset { asset, answer } => answer.answer(self.publisher.remove_asset(asset)),
            Job::Note(record) => self.publisher.record(record),
            Job::Gc { options, answer } => answer.answer(Ok(self.publisher.gc(&options))),
            Job::Compare { answer } => answer.answer(Ok(self.publisher.compare())),
            Job::Flush { answer } => {
                self.publisher.write_out();
                answer.answer(Ok(()));
            }
        }
    }

    /// When the next piece is to be committed, however small it is.
    fn next_piece(&self) -> Option<Instant> {
        let time = self.publisher.root().options.piece_time;
        let begun = self.drafts.values().filter(|draft| draft.pieces).filter_map(|draft| draft.piece().since);
        begun.min().and_then(|since| since.checked_add(time))
    }

    fn take_data(&mut self, id: u64, begin: Option<Draft>, bytes: Bytes) {
        let root = Arc::clone(self.publisher.root());
        let Some(draft) = self.begin(id, begin) else {
            root.queue.release(Piece::cost_of(bytes.len()));
            return;
        };
        // Only what becomes present piece by piece does so by the clock.
        let now = draft.pieces.then(Instant::now);
        draft.piece_mut().push(bytes, now);
        let piece = draft.piece();
        let due = now.is_some_and(|now| piece.len() >= root.options.piece_bytes.max(1) || is_due(&root, piece, now));
        if due {
            self.commit_piece(id);
        } else if piece.pending_len() >= BLOCK || self.holds_much() {
            self.flush(id);
        }
    }

    /// True while drafts in memory take half of the room there is for data.
    fn holds_much(&self) -> bool {
        let held: usize = self.drafts.values().map(|draft| draft.piece().pending_cost()).sum();
        held > self.publisher.root().options.queue_bytes / 2
    }

    /// The draft `id`; `None` where it was given up.
    fn begin(&mut self, id: u64, begin: Option<Draft>) -> Option<&mut Draft> {
        if let Some(draft) = begin {
            self.drafts.insert(id, draft);
        }
        if self.drafts.get(&id)?.fate.get() == Some(&AssetsErrorKind::Abandoned) {
            self.give_up(id, AssetsErrorKind::Abandoned);
        }
        self.drafts.get_mut(&id)
    }

    /// Writes what a draft has in memory to its file.
    fn flush(&mut self, id: u64) {
        let Some(mut draft) = self.drafts.remove(&id) else { return };
        let written = self.publisher.flush(draft.piece_mut());
        self.drafts.insert(id, draft);
        if let Err(error) = written {
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

    /// Drops a draft and tells its writer.
    fn give_up(&mut self, id: u64, reason: AssetsErrorKind) {
        if let Some(mut draft) = self.drafts.remove(&id) {
            // An earlier reason stands.
            let _ = draft.fate.set(reason);
            self.publisher.drop_piece(draft.take_piece());
        }
    }

    fn end(&mut self, id: u64, begin: Option<Draft>, end: End) {
        self.begin(id, begin);
        let draft = self.drafts.remove(&id);
        match (draft, end) {
            (Some(draft), End::Commit { total, answer, .. }) => answer.answer(self.commit(draft, total)),
            (Some(draft), End::Keep) => self.keep(draft),
            (Some(mut draft), End::Discard) => self.publisher.drop_piece(draft.take_piece()),
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
        let total = total.or(draft.expected);
        if piece.len() == 0 && piece.start > draft.start {
            // All pieces are present already; only the length is new.
            self.publisher.note_total(&draft.key, total)?;
            return Ok(draft.start..end);
        }
        self.publisher.publish(publication(&draft, total), piece).map(|_| draft.start..end)
    }

    /// Keeps what can be kept of a draft whose writer went away.
    fn keep(&mut self, mut draft: Draft) {
        let mut piece = draft.take_piece();
        let cut = if draft.pieces { Ok(()) } else { self.publisher.keep_whole_blocks(&mut piece) };
        if cut.is_err() || piece.len() == 0 {
            return self.publisher.drop_piece(piece);
        }
        // Nobody waits to hear whether it could be kept; a failing disk was told.
        let _ = self.publisher.publish(publication(&draft, draft.expected), piece);
    }

    fn commit_piece(&mut self, id: u64) {
        let Some(mut draft) = self.drafts.remove(&id) else { return };
        let piece = draft.take_piece();
        match self.publisher.publish(publication(&draft, draft.expected), piece) {
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
        if !self.drafts.values().any(|draft| draft.pieces) {
            return;
        }
        let now = Instant::now();
        let is_due = |draft: &Draft| draft.pieces && is_due(self.publisher.root(), draft.piece(), now);
        let due: Vec<u64> = self.drafts.iter().filter(|(_, draft)| is_due(draft)).map(|(id, _)| *id).collect();
        for id in due {
            self.commit_piece(id);
        }
    }

    fn put(&mut self, key: &ResourceKey, meta: &Meta, bytes: Bytes) -> Result<(), AssetsError> {
        let total = Some(bytes.len() as u64);
        let mut piece = Piece::new(0);
        piece.push(bytes, None);
        self.publisher.publish(Publication { key, meta, fate: None, total, rule: Rule::Replace }, piece).map(|_| ())
    }
}

/// Lets nobody wait for a writer thread that is gone, in whichever way it went.
struct Closing<'a>(&'a Root);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

const COMMITTING: &str = "committing a span";

fn publication(draft: &Draft, total: Option<u64>) -> Publication<'_> {
    Publication { key: &draft.key, meta: &draft.meta, fate: Some(&draft.fate), total, rule: Rule::Commit }
}

fn is_due(root: &Root, piece: &Piece, now: Instant) -> bool {
    piece.since.is_some_and(|since| now.saturating_duration_since(since) >= root.options.piece_time)
}
