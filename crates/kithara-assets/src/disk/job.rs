//! What the writer thread is told to do, and the end of the queue that writers of spans hold.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::disk::draft::{Draft, Piece};
use crate::disk::root::Root;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::fate::Fate;
use crate::format::Record;
use crate::key::{AssetId, ResourceKey};
use crate::maintain::{GcOptions, GcReport};
use crate::meta::Meta;
use crate::ticket::{Answer, Ticket, ticket};

/// One thing to do for the writer thread.
#[derive(Debug)]
pub(crate) enum Job {
    /// The next bytes of a draft; the first ones bring the draft with them.
    Data { id: u64, begin: Option<Draft>, bytes: Bytes },
    /// A draft that began is part of a resource of this length.
    Expect { id: u64, total: u64 },
    /// A draft ends. One that never had bytes comes with its end.
    End { id: u64, begin: Option<Draft>, end: End },
    /// An atomic resource is stored.
    Put { key: ResourceKey, meta: Box<Meta>, bytes: Bytes, answer: Answer<()> },
    /// The files of a resource are removed. Nobody finds it in the index any more.
    Remove { key: ResourceKey },
    /// An asset is removed, if nobody holds it. Answers with the bytes that were freed.
    RemoveAsset { asset: AssetId, answer: Answer<u64> },
    /// Something for the journal that readers noticed.
    Note(Record),
    /// All chores are done now.
    Gc { options: GcOptions, answer: Answer<GcReport> },
    /// The index is compared with the files. Answers with how many folders could not be read.
    Compare { answer: Answer<usize> },
    /// Answers when everything before it was done.
    Flush { answer: Answer<()> },
}

/// How a draft ends.
#[derive(Debug)]
pub(crate) enum End {
    /// It becomes present.
    Commit { total: Option<u64>, fate: Fate, answer: Answer<Range<u64>> },
    /// What can be kept of it is kept.
    Keep,
    /// Nothing is kept.
    Discard,
}

/// The side of a draft that its writer holds.
#[derive(Debug)]
pub(crate) struct DiskWriter {
    root: Arc<Root>,
    id: u64,
    fate: Fate,
    pieces: bool,
    /// When the writer thread was woken for a piece: it has to know of it before its time is over.
    woken: Option<Instant>,
    /// Until it is sent with the first bytes.
    begin: Option<Draft>,
}

impl DiskWriter {
    pub(crate) fn new(root: &Arc<Root>, key: &ResourceKey, start: u64, meta: Meta, pieces: bool, fate: Fate) -> Self {
        let draft = Draft::new(*key, start, meta, pieces, Arc::clone(&fate));
        Self { root: Arc::clone(root), id: root.draft_id(), fate, pieces, woken: None, begin: Some(draft) }
    }

    /// Lets the draft know how long its resource is. Called once.
    pub(crate) fn expect_total(&mut self, total: u64) {
        match &mut self.begin {
            Some(draft) => draft.expected = Some(total),
            // One for each draft at most, so it needs no more of a bound than the end of a draft.
            None => self.root.order_end(Job::Expect { id: self.id, total }),
        }
    }

    /// Hands bytes over, if there is room.
    pub(crate) fn write(&mut self, bytes: Bytes) -> Result<(), AssetsErrorKind> {
        self.check()?;
        let (cost, urgent, job) = self.data(bytes);
        self.root.queue.push_data(cost, urgent, job).map_err(|(refused, job)| {
            if let Job::Data { begin, .. } = job {
                self.begin = begin;
            }
            refused.into()
        })
    }

    /// Hands bytes over, waiting for room.
    pub(crate) fn write_blocking(&mut self, bytes: Bytes) -> Result<(), AssetsErrorKind> {
        self.check()?;
        let (cost, urgent, job) = self.data(bytes);
        self.root.queue.push_data_blocking(cost, urgent, job).map_err(Into::into)
    }

    /// Ready when there may be room for `len` bytes, or it would be in vain to wait.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        self.root.queue.poll_room(cx, Piece::cost_of(len))
    }

    pub(crate) fn commit(self, total: Option<u64>) -> Ticket<Range<u64>> {
        if let Err(kind) = self.check() {
            self.abort(End::Discard);
            return Ticket::ready(Err(AssetsError::new(kind, "committing a span")));
        }
        let (answer, ticket) = ticket();
        let (fate, root) = (Arc::clone(&self.fate), Arc::downgrade(&self.root));
        self.end(End::Commit { total, fate, answer });
        ticket.hurried_by(move || {
            if let Some(root) = root.upgrade() {
                root.queue.hurry();
            }
        })
    }

    /// Ends the draft without making it present as a whole. One that sent nothing just goes.
    pub(crate) fn abort(self, end: End) {
        if self.begin.is_none() {
            self.end(end);
        }
    }

    fn end(mut self, end: End) {
        let begin = self.begin.take();
        self.root.order_end(Job::End { id: self.id, begin, end });
    }

    fn check(&self) -> Result<(), AssetsErrorKind> {
        self.root.health.obstacle(Instant::now).map_or(Ok(()), Err)
    }

    /// Whether the writer thread is to be woken for a piece, and notes that it is.
    fn is_to_wake(&mut self, now: Instant) -> bool {
        let pause = self.root.options.piece_time / 4;
        let wakes = self.woken.is_none_or(|woken| now.saturating_duration_since(woken) >= pause);
        if wakes {
            self.woken = Some(now);
        }
        wakes
    }

    fn data(&mut self, bytes: Bytes) -> (usize, bool, Job) {
        let urgent = self.pieces && self.is_to_wake(Instant::now());
        let cost = Piece::cost_of(bytes.len());
        (cost, urgent, Job::Data { id: self.id, begin: self.begin.take(), bytes })
    }
}
