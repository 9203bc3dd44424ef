//! Putting bytes into the store while they arrive.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::disk::{DiskWriter, End};
use crate::error::{AssetsError, AssetsErrorKind};
use crate::fate::Fate;
use crate::key::ResourceKey;
use crate::medium::Medium;
use crate::memory::MemoryWriter;
use crate::meta::Meta;
use crate::ticket::Ticket;

/// Writes one run of bytes of a resource, from a start onwards.
///
/// Nothing of it can be read before it is committed. Every call but [`SpanWriter::write_blocking`] returns at once: on
/// disk the bytes are handed over by reference count to the one thread that writes.
///
/// Dropped without [`SpanWriter::commit`] or [`SpanWriter::discard`], a writer keeps the whole blocks of 256 KiB it has
/// (of a progressive resource, all bytes it has): they are as true as any, and a resumed fetch asks for the rest only.
pub struct SpanWriter {
    medium: Medium,
    key: ResourceKey,
    start: u64,
    position: u64,
    /// What was said by [`SpanWriter::expect_total`].
    expected: Option<u64>,
    fate: Fate,
    /// `None` once it was committed, discarded or given up.
    sink: Option<Sink>,
}

/// What became of bytes that were handed to a [`SpanWriter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a writer that gave up stores nothing more"]
pub enum WriteOutcome {
    /// They are on their way.
    Accepted,
    /// They are not, and nothing later will be: this span is not cached. What the writer had before is kept as if it
    /// were dropped.
    GaveUp(AssetsErrorKind),
}

/// Where the bytes of a writer go.
#[derive(Debug)]
pub(crate) enum Sink {
    Memory(MemoryWriter),
    Disk(DiskWriter),
}

impl SpanWriter {
    pub(crate) fn new(medium: &Medium, key: &ResourceKey, start: u64, meta: Meta, pieces: bool) -> Self {
        let fate = medium.shared().fates.begin(key);
        let sink = medium.sink(key, start, meta, pieces, Arc::clone(&fate));
        Self { medium: medium.clone(), key: *key, start, position: start, expected: None, fate, sink: Some(sink) }
    }

    /// Offset of the first byte in the resource.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the byte that is written next.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Notes the length of the whole resource, as the origin announced it: whatever becomes present of this span without
    /// a commit that names a length carries this one, be it a piece, or what is kept when the writer is dropped. So what
    /// was left half is never joined with the rest of a resource of another length. Pieces that are present already stay
    /// as they are.
    ///
    /// It is best said before the first bytes. What was said first stands. A commit that names another length is judged
    /// by what is present by then: see [`SpanWriter::commit`].
    pub fn expect_total(&mut self, total_len: u64) {
        if self.expected.is_some() {
            return;
        }
        self.expected = Some(total_len);
        match &mut self.sink {
            Some(Sink::Memory(writer)) => writer.expect_total(total_len),
            Some(Sink::Disk(writer)) => writer.expect_total(total_len),
            None => {}
        }
    }

    /// Hands over the next bytes without waiting. When the queue of the disk is full, this span is given up: a reader
    /// is never delayed.
    pub fn write(&mut self, bytes: Bytes) -> WriteOutcome {
        self.hand_over(bytes, |sink, bytes| match sink {
            Sink::Memory(writer) => writer.write(&bytes),
            Sink::Disk(writer) => writer.write(bytes),
        })
    }

    /// Hands over the next bytes, blocking the thread while the queue of the disk is full: for downloads, where the
    /// disk sets the pace.
    pub fn write_blocking(&mut self, bytes: Bytes) -> WriteOutcome {
        self.hand_over(bytes, |sink, bytes| match sink {
            Sink::Memory(writer) => writer.write(&bytes),
            Sink::Disk(writer) => writer.write_blocking(bytes),
        })
    }

    /// Hands over the next bytes, waiting while the queue of the disk is full: for downloads under a runtime. Dropping
    /// the future hands nothing over.
    pub async fn write_paced(&mut self, bytes: Bytes) -> WriteOutcome {
        loop {
            std::future::poll_fn(|cx| self.poll_room(cx, bytes.len())).await;
            let chunk = bytes.clone();
            let sent = self.try_hand_over(chunk, |sink, bytes| match sink {
                Sink::Memory(writer) => writer.write(&bytes),
                Sink::Disk(writer) => writer.write(bytes),
            });
            match sent {
                Ok(()) => return WriteOutcome::Accepted,
                // Somebody else was quicker. Where the writer thread gave up, there is nothing to wait for.
                Err(AssetsErrorKind::QueueFull) if self.fate.get().is_none() => {}
                Err(reason) => return self.give_up(reason),
            }
        }
    }

    /// Ends the span and makes it present, all at once. `total_len` is the length of the whole resource, where it is
    /// known; without it, what [`SpanWriter::expect_total`] was told.
    ///
    /// The ticket answers with the range of the span (all that was written) when it can be read.
    ///
    /// # Errors
    /// In the ticket: [`Conflict`](AssetsErrorKind::Conflict) where length or version disagree with spans that are
    /// present and this one is not the whole resource, or the span is longer than `total_len`, [`Abandoned`](AssetsErrorKind::Abandoned) where the resource was
    /// invalidated meanwhile or nothing was written (an empty resource says so with `Some(0)`), and whatever made the
    /// writer give up.
    pub fn commit(mut self, total_len: Option<u64>) -> Ticket<Range<u64>> {
        let range = self.start..self.position;
        let refused = |kind| Ticket::ready(Err(AssetsError::new(kind, COMMITTING)));
        match (self.fate.get(), self.sink.take()) {
            (None, Some(Sink::Memory(writer))) => Ticket::ready(writer.commit(total_len).map(|()| range)),
            (None, Some(Sink::Disk(writer))) => writer.commit(total_len),
            (None, None) => refused(AssetsErrorKind::Abandoned),
            (Some(reason), sink) => {
                self.sink = sink;
                refused(*reason)
            }
        }
    }

    /// Throws everything away that is not committed yet: the bytes proved to be wrong.
    pub fn discard(mut self) {
        // Where it was given up before, the first reason stands.
        let _ = self.fate.set(AssetsErrorKind::Abandoned);
        if let Some(Sink::Disk(writer)) = self.sink.take() {
            writer.abort(End::Discard);
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        match &self.sink {
            Some(Sink::Disk(writer)) if self.fate.get().is_none() => writer.poll_room(cx, len),
            _ => Poll::Ready(()),
        }
    }

    fn hand_over(
        &mut self,
        bytes: Bytes,
        send: impl FnOnce(&mut Sink, Bytes) -> Result<(), AssetsErrorKind>,
    ) -> WriteOutcome {
        match self.try_hand_over(bytes, send) {
            Ok(()) => WriteOutcome::Accepted,
            Err(reason) => self.give_up(reason),
        }
    }

    fn try_hand_over(
        &mut self,
        bytes: Bytes,
        send: impl FnOnce(&mut Sink, Bytes) -> Result<(), AssetsErrorKind>,
    ) -> Result<(), AssetsErrorKind> {
        if let Some(reason) = self.fate.get() {
            return Err(*reason);
        }
        let position = self.position.checked_add(bytes.len() as u64).ok_or(AssetsErrorKind::InvalidRange)?;
        let sink = self.sink.as_mut().ok_or(AssetsErrorKind::Abandoned)?;
        if !bytes.is_empty() {
            send(sink, bytes)?;
        }
        self.position = position;
        Ok(())
    }

    fn give_up(&mut self, reason: AssetsErrorKind) -> WriteOutcome {
        self.close();
        WriteOutcome::GaveUp(*self.fate.get_or_init(|| reason))
    }

    fn close(&mut self) {
        match self.sink.take() {
            Some(Sink::Memory(writer)) => writer.abort(),
            Some(Sink::Disk(writer)) => writer.abort(End::Keep),
            None => {}
        }
    }
}

impl Drop for SpanWriter {
    fn drop(&mut self) {
        self.close();
        self.medium.shared().fates.end(&self.key, &self.fate);
    }
}

impl fmt::Debug for SpanWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SpanWriter");
        out.field("key", &self.key).field("start", &self.start).field("position", &self.position);
        out.field("gave_up", &self.fate.get()).finish_non_exhaustive()
    }
}

const COMMITTING: &str = "committing a span";
