//! The two kinds of store behind one face.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::AssetsError;
use crate::event::LossReason;
use crate::fate::Fate;
use crate::key::ResourceKey;
use crate::memory::{Memory, MemorySpan};
use crate::meta::Meta;
use crate::shared::Shared;
use crate::span_writer::Sink;
use crate::spans::Span;
use crate::ticket::Ticket;

#[derive(Clone, Debug)]
pub(crate) enum Medium {
    Memory(Arc<Memory>),
}

/// A span that is open for reading. It stays readable when the store evicts it.
#[derive(Debug)]
pub(crate) enum OpenSpan {
    Memory(Arc<MemorySpan>),
}

/// Why a span that should be there could not be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    Corrupt,
    Io(io::Error),
}

impl Medium {
    pub(crate) fn shared(&self) -> &Shared {
        match self {
            Self::Memory(memory) => &memory.shared,
        }
    }

    /// Looks on the medium for a span of `key` that begins at `start` and that the index does not know. True when there was one.
    pub(crate) fn probe(&self, _key: &ResourceKey, _start: u64) -> bool {
        match self {
            Self::Memory(_) => false,
        }
    }

    /// Makes sure that what the index says of `key` can be relied on.
    pub(crate) fn know(&self, _key: &ResourceKey) {
        match self {
            Self::Memory(_) => {}
        }
    }

    /// The span that holds `offset`, from the index or else from the medium. Counts as a use.
    pub(crate) fn find(&self, key: &ResourceKey, offset: u64) -> Option<Span> {
        self.know(key);
        let stamp = self.shared().next_stamp();
        let listed = || {
            self.shared().resource(key, |resource| {
                resource.touch(stamp);
                resource.spans.at(offset)
            })
        };
        listed()
            .flatten()
            .or_else(|| self.probe(key, offset).then(listed).flatten().flatten())
    }

    /// The one span of a resource that is present as a whole in one piece. Counts as a use.
    pub(crate) fn find_whole(&self, key: &ResourceKey) -> Option<Span> {
        self.find(key, 0);
        self.shared().resource(key, |resource| {
            let first = resource.spans.as_slice().first().copied();
            first.filter(|span| span.start == 0 && resource.total() == Some(span.len))
        })?
    }

    /// Takes a span out that could not be read.
    ///
    /// # Errors
    /// The span may be right, but the disk cannot be read.
    pub(crate) fn fault(
        &self,
        key: &ResourceKey,
        span: Span,
        fault: ReadFault,
    ) -> Result<(), AssetsError> {
        match self {
            Self::Memory(_) => unreachable!("memory can be read: {key} {span:?} {fault:?}"),
        }
    }

    pub(crate) fn open(
        &self,
        key: &ResourceKey,
        span: Span,
    ) -> Result<Option<OpenSpan>, AssetsError> {
        match self {
            Self::Memory(memory) => Ok(memory.open(key, span.start).map(OpenSpan::Memory)),
        }
    }

    pub(crate) fn sink(
        &self,
        key: &ResourceKey,
        start: u64,
        meta: Meta,
        pieces: bool,
        fate: Fate,
    ) -> Sink {
        match self {
            Self::Memory(memory) => Sink::memory(memory, key, start, meta, pieces, fate),
        }
    }

    /// Replaces the resource by `bytes`, whatever it was.
    pub(crate) fn put(&self, key: &ResourceKey, bytes: &[u8], meta: Meta) -> Ticket<()> {
        self.shared().fates.abandon(key);
        match self {
            Self::Memory(memory) => Ticket::ready(memory.put(key, bytes, meta)),
        }
    }

    pub(crate) fn remove(&self, key: &ResourceKey) {
        self.shared().fates.abandon(key);
        match self {
            Self::Memory(memory) => memory.remove(key, LossReason::Removed),
        }
    }
}

impl OpenSpan {
    pub(crate) fn start(&self) -> u64 {
        match self {
            Self::Memory(span) => span.start,
        }
    }

    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Self::Memory(span) => &span.meta,
        }
    }

    /// At least one and at most `max` bytes from `offset`, which lies within the span; never beyond the block of `offset`.
    pub(crate) fn read(&mut self, offset: u64, max: usize) -> Result<Bytes, ReadFault> {
        match self {
            Self::Memory(span) => {
                let from = usize::try_from(offset - span.start)
                    .expect("spans in memory are shorter than memory");
                let to = span.bytes.len().min(from.saturating_add(max));
                Ok(span.bytes.slice(from..to))
            }
        }
    }
}
