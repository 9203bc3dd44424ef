//! The two kinds of store behind one face.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskWriter, SpanFile};
use crate::error::AssetsError;
use crate::event::LossReason;
use crate::fate::Fate;
use crate::index::{Resource, State};
use crate::key::{AssetId, ResourceKey};
use crate::memory::{Memory, MemorySpan, MemoryWriter};
use crate::meta::Meta;
use crate::resource::StoredVersion;
use crate::shared::Shared;
use crate::span_writer::Sink;
use crate::spans::Span;
use crate::ticket::Ticket;

/// Where a store keeps its bytes.
#[derive(Clone)]
pub(crate) enum Medium {
    Memory(Arc<Memory>),
    Disk(Arc<Disk>),
}

/// A span that is open for reading. It stays readable when the store evicts it.
#[derive(Debug)]
pub(crate) enum OpenSpan {
    Memory(Arc<MemorySpan>),
    File(Box<SpanFile>),
}

/// A span that the index has, and what its resource is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) span: Span,
    pub(crate) version: StoredVersion,
}

/// Why a span that should be there could not be read.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// Its bytes are not those that were written.
    Corrupt,
    /// They were written for another resource, and nobody here knows why they have this name: another process may.
    Unproven,
    /// The disk said no.
    Io(io::Error),
}

/// Shows which kind it is and nothing of what is in it: that may be keys.
impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Memory",
            Self::Disk(_) => "Disk",
        })
    }
}

impl Medium {
    pub(crate) fn shared(&self) -> &Shared {
        match self {
            Self::Memory(memory) => &memory.shared,
            Self::Disk(disk) => &disk.root.shared,
        }
    }

    /// Looks on the medium for a span that begins at `start` and that the index does not know. True when there was one.
    pub(crate) fn probe(&self, key: &ResourceKey, start: u64) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Disk(disk) => disk.root.probe(key, start),
        }
    }

    /// Makes the index say what it can about `key`. False where it has nothing to say, and nothing begins at zero.
    pub(crate) fn know(&self, key: &ResourceKey) -> bool {
        self.is_known(key) || self.probe(key, 0)
    }

    /// As [`Medium::know`], for those who will look at `offset` themselves.
    pub(crate) fn know_before(&self, key: &ResourceKey, offset: u64) {
        if offset > 0 {
            self.know(key);
        } else {
            self.is_known(key);
        }
    }

    /// True where the index has something to say about `key`, after it was read if it had only been listed.
    fn is_known(&self, key: &ResourceKey) -> bool {
        let state = self.shared().resource(key, |resource| resource.state);
        if let Self::Disk(disk) = self
            && state == Some(State::Unread)
        {
            disk.root.resolve(key);
        }
        state.is_some()
    }

    /// The span that holds `offset`, from the index or else from the medium. Counts as a use.
    pub(crate) fn find(&self, key: &ResourceKey, offset: u64) -> Option<Found> {
        self.know(key);
        let shared = self.shared();
        let listed =
            shared.resource(key, |resource| Found::at(resource, offset).map(|found| (found, shared.touch(resource))));
        shared.settle_uses();
        if let Some((found, worth_noting)) = listed.flatten() {
            self.note_use(key, worth_noting);
            return Some(found);
        }
        let probed = self.probe(key, offset);
        if probed { shared.resource(key, |resource| Found::at(resource, offset)).flatten() } else { None }
    }

    /// The one span of a resource that is present as a whole in one piece. Counts as a use.
    pub(crate) fn find_whole(&self, key: &ResourceKey) -> Option<Span> {
        self.know(key);
        let shared = self.shared();
        let (whole, worth_noting) = shared.resource(key, |resource| {
            let first = resource.spans.as_slice().first().copied();
            let whole = first.filter(|span| span.start == 0 && resource.total() == Some(span.len));
            (whole, shared.touch(resource))
        })?;
        shared.settle_uses();
        self.note_use(key, worth_noting);
        whole
    }

    fn note_use(&self, key: &ResourceKey, worth_noting: bool) {
        if let Self::Disk(disk) = self
            && worth_noting
        {
            disk.root.note_use(key);
        }
    }

    /// Opens a span that the index has. `None` where it is not what the index says, which was put right.
    pub(crate) fn open(&self, key: &ResourceKey, span: Span) -> Result<Option<OpenSpan>, AssetsError> {
        match self {
            Self::Memory(memory) => Ok(memory.open(key, span).map(OpenSpan::Memory)),
            Self::Disk(disk) => Ok(disk.root.open(key, span)?.map(Box::new).map(OpenSpan::File)),
        }
    }

    /// Takes out a span that could not be read.
    ///
    /// # Errors
    /// The span may be right, but the disk cannot be read.
    pub(crate) fn fault(&self, key: &ResourceKey, span: Span, fault: ReadFault) -> Result<(), AssetsError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Disk(disk) => disk.root.fault(key, span, fault).map(|_| ()),
        }
    }

    /// Reads a whole span, and takes it out if it is not right. Answers with why it was, if it was.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(crate) fn check(&self, key: &ResourceKey, span: Span) -> Result<Option<LossReason>, AssetsError> {
        // What is in memory is right while it is there.
        let Self::Disk(disk) = self else { return Ok(None) };
        let checked = match disk.root.open_or_why(key, span)? {
            Ok(file) => file.check(),
            Err(reason) => return Ok(Some(reason)),
        };
        checked.map_or_else(|fault| disk.root.fault(key, span, fault).map(Some), |()| Ok(None))
    }

    /// Lets the index know of all files there are. Answers with how many folders could not be read.
    pub(crate) fn compare(&self) -> Ticket<usize> {
        match self {
            Self::Memory(_) => Ticket::ready(Ok(0)),
            Self::Disk(disk) => disk.compare(),
        }
    }

    pub(crate) fn sink(&self, key: &ResourceKey, start: u64, meta: Meta, pieces: bool, fate: Fate) -> Sink {
        match self {
            Self::Memory(memory) => Sink::Memory(MemoryWriter::new(memory, key, start, meta, pieces, fate)),
            Self::Disk(disk) => Sink::Disk(DiskWriter::new(&disk.root, key, start, meta, pieces, fate)),
        }
    }

    /// Replaces the resource by `bytes`, whatever it was.
    pub(crate) fn put(&self, key: &ResourceKey, bytes: &[u8], meta: Meta) -> Ticket<()> {
        self.shared().fates.abandon(key);
        match self {
            Self::Memory(memory) => Ticket::ready(memory.put(key, bytes, meta)),
            Self::Disk(disk) => disk.put(key, bytes, meta),
        }
    }

    pub(crate) fn remove(&self, key: &ResourceKey) {
        self.shared().fates.abandon(key);
        match self {
            Self::Memory(memory) => {
                memory.remove(key, LossReason::Removed);
            }
            Self::Disk(disk) => disk.remove(key),
        }
    }

    pub(crate) fn lease(&self, asset: AssetId) {
        match self {
            Self::Memory(memory) => {
                memory.shared.leases.acquire(asset);
            }
            Self::Disk(disk) => disk.root.lease_files.acquire(&disk.root.shared.leases, &disk.root.layout, asset),
        }
    }

    pub(crate) fn release(&self, asset: AssetId) {
        match self {
            Self::Memory(memory) => {
                memory.shared.leases.release(asset);
            }
            Self::Disk(disk) => disk.root.release_lease(asset),
        }
    }

    pub(crate) fn label(&self, asset: AssetId) -> Option<String> {
        match self {
            Self::Memory(memory) => memory.label(asset),
            Self::Disk(disk) => disk.label(asset),
        }
    }
}

impl Found {
    fn at(resource: &Resource, offset: u64) -> Option<Self> {
        Some(Self { span: resource.spans.at(offset)?, version: resource.version()? })
    }
}

impl OpenSpan {
    pub(crate) fn meta(&self) -> &Meta {
        match self {
            Self::Memory(span) => &span.meta,
            Self::File(file) => file.meta(),
        }
    }

    /// At least one and at most `max` bytes from `offset`, which lies within the span; never beyond the block of
    /// `offset`.
    pub(crate) fn read(&mut self, offset: u64, max: usize) -> Result<Bytes, ReadFault> {
        match self {
            Self::Memory(span) => span.read(offset, max),
            Self::File(file) => file.read(offset, max),
        }
    }
}
