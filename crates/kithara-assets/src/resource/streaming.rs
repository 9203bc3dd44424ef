//! Large things that come in pieces: segments and files.

use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::error::{AssetsError, AssetsErrorKind};
use crate::index::Resource;
use crate::key::ResourceKey;
use crate::medium::{Found, Medium, OpenSpan};
use crate::meta::{Meta, UnixMillis};
use crate::resource::StoredVersion;
use crate::span_writer::{SpanWriter, WriteOutcome};
use crate::spans::Span;
use crate::ticket::Ticket;

/// A resource as a set of committed spans; what is not there is a hole.
///
/// A committed span never changes: its bytes are those that were written, checked again before they are served, or they
/// are not there. Reads never wait for a writer. A clone reads independently.
pub struct StreamingResource {
    medium: Medium,
    key: ResourceKey,
    /// What the last read opened. Locked by reads through this handle only.
    open: Mutex<Option<Open>>,
    /// The writer behind [`StreamingResource::write_at`]. Locked by these calls only.
    writer: Mutex<Option<SpanWriter>>,
}

/// What is present of a range of a resource, and what is known of it: the answer of [`StreamingResource::present`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// What is known of the bytes beside them; `None` where there are none, or they cannot be read.
    pub meta: Option<Meta>,
    /// Length of the whole resource, where the store knows it.
    pub total_len: Option<u64>,
    /// Absent byte ranges, in order, within the resource as far as its length is known.
    pub holes: Vec<Range<u64>>,
    /// When the first span was committed, by the [clock of the store](crate::AssetStore::now); `None` where nothing is present.
    pub committed: Option<UnixMillis>,
    /// The version that all of this is of; `None` where nothing is present.
    pub version: Option<StoredVersion>,
}

#[derive(Debug)]
struct Open {
    span: OpenSpan,
    /// What the index knew when it was opened.
    listed: Span,
    /// [`Shared::losses`](crate::shared::Shared::losses) when it was opened.
    losses: u64,
}

impl StreamingResource {
    pub(crate) fn new(medium: Medium, key: ResourceKey) -> Self {
        Self { medium, key, open: Mutex::default(), writer: Mutex::default() }
    }

    /// The key this resource was asked for with.
    #[must_use]
    pub const fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// Length of the whole resource, where the store knows it.
    #[must_use]
    pub fn total_len(&self) -> Option<u64> {
        self.medium.know(&self.key);
        self.medium.shared().resource(&self.key, Resource::total).flatten()
    }

    /// Notes the length of the whole resource before all of it is present. It is remembered with the spans that are
    /// committed later.
    ///
    /// # Errors
    /// [`Conflict`](AssetsErrorKind::Conflict) where another length is known, or more is present.
    pub fn set_total_len(&self, len: u64) -> Result<(), AssetsError> {
        self.medium.know(&self.key);
        let agrees = self.medium.shared().write(|index| index.set_total(&self.key, len));
        agrees
            .then_some(())
            .ok_or_else(|| AssetsError::new(AssetsErrorKind::Conflict, "noting the length of a resource"))
    }

    /// What is known of the bytes beside them, from one of the spans; `None` where there is none.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn meta(&self) -> Result<Option<Meta>, AssetsError> {
        self.medium.know(&self.key);
        let first =
            self.medium.shared().resource(&self.key, |resource| resource.spans.as_slice().first().copied()).flatten();
        let Some(span) = first else { return Ok(None) };
        let mut open = self.lock_open();
        Ok(self.open(&mut open, span)?.map(|span| span.meta().clone()))
    }

    /// What is present of `range`, in one look at the medium where the index knows nothing: that is what a store costs
    /// whoever finds nothing in it.
    #[must_use]
    pub fn present(&self, range: Range<u64>) -> Present {
        if !self.medium.know(&self.key) {
            let holes = self.holes_from(1, &range);
            if self.version().is_none() {
                return Present { holes, ..Present::default() };
            }
        }
        for _ in 0..LOOKS {
            let before = self.version();
            let meta = self.meta().ok().flatten();
            let total_len = self.total_len();
            let end = range.end.min(total_len.unwrap_or(u64::MAX));
            let holes = self.holes(range.start.min(end)..end);
            let first = |resource: &Resource| resource.spans.as_slice().first().map(|span| UnixMillis(span.committed));
            let committed = self.medium.shared().resource(&self.key, first).flatten();
            let version = self.version();
            let generation = |version: Option<StoredVersion>| version.map(|version| version.generation);
            if generation(before) == generation(version) {
                return Present { meta, total_len, holes, committed, version };
            }
        }
        // It changes faster than it can be looked at.
        let holes = if range.is_empty() { Vec::new() } else { vec![range] };
        Present { holes, ..Present::default() }
    }

    /// The version of what is present; `None` where nothing is. See [`StreamingResource::read_span_of`].
    #[must_use]
    pub fn version(&self) -> Option<StoredVersion> {
        self.medium.know(&self.key);
        self.medium.shared().resource(&self.key, Resource::version).flatten()
    }

    /// Present byte ranges, in order, neither touching nor overlapping.
    #[must_use]
    pub fn spans(&self) -> Vec<Range<u64>> {
        self.medium.know(&self.key);
        self.follow();
        self.medium.shared().resource(&self.key, |resource| resource.spans.ranges()).unwrap_or_default()
    }

    /// Absent byte ranges within `range`, in order.
    #[must_use]
    pub fn holes(&self, range: Range<u64>) -> Vec<Range<u64>> {
        self.holes_from(range.start, &range)
    }

    /// The holes of `range`, after looking on the medium where those begin that begin at `from` or later.
    fn holes_from(&self, mut from: u64, range: &Range<u64>) -> Vec<Range<u64>> {
        loop {
            let holes = self.listed_holes(range);
            let Some(hole) = holes.iter().find(|hole| hole.start >= from) else {
                return holes;
            };
            from = hole.start + u64::from(!self.medium.probe(&self.key, hole.start));
        }
    }

    /// Absent byte ranges within `range`, in order, after looking at the medium: a span whose file is gone or not
    /// sealed is a hole. Blocks of data are not read. For questions whose answer must hold when the origin cannot be
    /// asked any more.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn confirmed_holes(&self, range: Range<u64>) -> Result<Vec<Range<u64>>, AssetsError> {
        let holes = self.holes(range.clone());
        let listed = self.medium.shared().resource(&self.key, |resource| resource.spans.as_slice().to_vec());
        let wanted = |span: &Span| span.start < range.end && range.start < span.end();
        let mut all_there = true;
        for span in listed.unwrap_or_default().into_iter().filter(wanted) {
            all_there &= self.medium.open(&self.key, span)?.is_some();
        }
        Ok(if all_there { holes } else { self.holes(range) })
    }

    /// True when every byte of `range` is present.
    #[must_use]
    pub fn contains(&self, range: Range<u64>) -> bool {
        let mut from = range.start;
        loop {
            match self.listed_holes(&range).first() {
                None => return true,
                Some(hole) if hole.start >= from && self.medium.probe(&self.key, hole.start) => from = hole.start,
                Some(_) => return false,
            }
        }
    }

    /// Copies present bytes from `offset` into `buf`: as many as there are without a hole, at most all it takes, and all of
    /// one version. `None` where `offset` is a hole or the end.
    ///
    /// # Errors
    /// The disk cannot be read. Playback goes on as if the answer were `None`.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<Option<usize>, AssetsError> {
        let (mut filled, mut version) = (0, None);
        while filled < buf.len() {
            match self.read(version.as_ref(), offset + filled as u64, buf.len() - filled) {
                Ok(Some((bytes, of))) => {
                    buf[filled..filled + bytes.len()].copy_from_slice(&bytes);
                    filled += bytes.len();
                    version = Some(of);
                }
                Ok(None) if filled == 0 => return Ok(None),
                Ok(None) => break,
                Err(error) if error.kind() == AssetsErrorKind::Changed => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Some(filled))
    }

    /// Present bytes from `offset`, at least one and at most `max`: less than asked for at the end of a block of 256
    /// KiB, of a span, or of the resource. `None` where `offset` is a hole or the end.
    ///
    /// # Errors
    /// The disk cannot be read. Playback goes on as if the answer were `None`.
    pub fn read_span(&self, offset: u64, max: usize) -> Result<Option<Bytes>, AssetsError> {
        Ok(self.read(None, offset, max)?.map(|(bytes, _)| bytes))
    }

    /// As [`StreamingResource::read_span`], of this version only: for those who read a resource in many steps, with time
    /// between them. What [`present`](StreamingResource::present) or [`version`](StreamingResource::version) said when
    /// they began stays true of all bytes they get.
    ///
    /// A version stays the same while spans of it come and go, as long as some are left; of resources with validators also
    /// when all of it went and came again. Where nothing tells, it counts as another one.
    ///
    /// # Errors
    /// [`Changed`](AssetsErrorKind::Changed) where the byte at `offset` is there, but of another version. The disk cannot
    /// be read.
    pub fn read_span_of(&self, version: &StoredVersion, offset: u64, max: usize) -> Result<Option<Bytes>, AssetsError> {
        Ok(self.read(Some(version), offset, max)?.map(|(bytes, _)| bytes))
    }

    /// Bytes and what version they are of, which is `wanted` where that is given.
    fn read(
        &self,
        wanted: Option<&StoredVersion>,
        offset: u64,
        max: usize,
    ) -> Result<Option<(Bytes, StoredVersion)>, AssetsError> {
        let mut open = self.lock_open();
        while let Some(Found { span: listed, version }) = self.medium.find(&self.key, offset) {
            if max == 0 && wanted.is_none() {
                return Ok(Some((Bytes::new(), version)));
            }
            let Some(span) = self.open(&mut open, listed)? else {
                continue;
            };
            let is_other = |wanted: &&StoredVersion| {
                wanted.generation != version.generation && !wanted.is_of(span.meta().validators.mark(), version.total)
            };
            if wanted.filter(is_other).is_some() {
                return Err(AssetsError::new(AssetsErrorKind::Changed, "reading a version of a resource"));
            }
            match span.read(offset, max) {
                Ok(bytes) => return Ok(Some((bytes, wanted.copied().unwrap_or(version)))),
                Err(fault) => self.medium.fault(&self.key, listed, fault)?,
            }
        }
        Ok(None)
    }

    /// Begins a span at `start` that becomes present as a whole when it is committed: a segment, or any range.
    #[must_use = "a writer that is dropped at once stores nothing"]
    pub fn writer(&self, start: u64, meta: Meta) -> SpanWriter {
        SpanWriter::new(&self.medium, &self.key, start, meta, false)
    }

    /// Begins to write at `start` what becomes present piece by piece, every 1 MiB or 2 s (see
    /// [`DiskOptions`](crate::DiskOptions)): a progressive file.
    #[must_use = "a writer that is dropped at once stores nothing"]
    pub fn piecewise_writer(&self, start: u64, meta: Meta) -> SpanWriter {
        SpanWriter::new(&self.medium, &self.key, start, meta, true)
    }

    /// Writes at `offset` through a writer that this handle keeps. Bytes that continue the last call extend its span;
    /// others begin a new one and let go of the old as [`SpanWriter`] does when dropped.
    pub fn write_at(&self, offset: u64, bytes: Bytes, meta: &Meta) -> WriteOutcome {
        let mut writer = self.lock_writer();
        if writer.as_ref().is_none_or(|writer| writer.position() != offset) {
            *writer = Some(self.writer(offset, meta.clone()));
        }
        writer.as_mut().map_or(WriteOutcome::GaveUp(AssetsErrorKind::Abandoned), |writer| writer.write(bytes))
    }

    /// Commits what [`StreamingResource::write_at`] wrote; see [`SpanWriter::commit`].
    pub fn commit(&self, total_len: Option<u64>) -> Ticket<Range<u64>> {
        match self.lock_writer().take() {
            Some(writer) => writer.commit(total_len),
            None => Ticket::ready(Err(AssetsError::new(AssetsErrorKind::Abandoned, "committing what was not written"))),
        }
    }

    /// Blocks the thread until every byte of `range` is present.
    ///
    /// # Errors
    /// [`TimedOut`](AssetsErrorKind::TimedOut) after `limit`; [`InvalidRange`](AssetsErrorKind::InvalidRange) where the
    /// resource is known to end before the range does.
    pub fn wait_range(&self, range: Range<u64>, limit: Duration) -> Result<(), AssetsError> {
        let beyond = || self.total_len().is_some_and(|total| total < range.end);
        // A limit beyond what the clock can name is no limit.
        let came = self
            .medium
            .shared()
            .wait_until(Instant::now().checked_add(limit), || self.contains(range.clone()) || beyond());
        let kind = match came {
            true if self.contains(range.clone()) => return Ok(()),
            true if beyond() => AssetsErrorKind::InvalidRange,
            _ => AssetsErrorKind::TimedOut,
        };
        Err(AssetsError::new(kind, "waiting for a range"))
    }

    /// Removes all spans and lets what is being written come to nothing: the origin has another version now. Nothing of
    /// the old one can be read when this returns.
    pub fn invalidate(&self) {
        self.medium.remove(&self.key);
        *self.lock_open() = None;
    }

    /// Probes the medium where each run of spans ends.
    fn follow(&self) {
        let _ = self.holes(0..self.total_len().unwrap_or(u64::MAX));
    }

    fn listed_holes(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        self.medium.know_before(&self.key, range.start);
        let holes = self.medium.shared().resource(&self.key, |resource| resource.spans.holes(range.clone()));
        holes.unwrap_or_else(|| if range.is_empty() { Vec::new() } else { vec![range.clone()] })
    }

    /// The open span for `listed`: that of the last read, if nothing was lost since.
    fn open<'a>(&self, open: &'a mut Option<Open>, listed: Span) -> Result<Option<&'a mut OpenSpan>, AssetsError> {
        let losses = self.medium.shared().losses();
        if !open.as_ref().is_some_and(|open| open.losses == losses && open.listed == listed) {
            *open = self.medium.open(&self.key, listed)?.map(|span| Open { span, listed, losses });
        }
        Ok(open.as_mut().map(|open| &mut open.span))
    }

    fn lock_open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writer(&self) -> MutexGuard<'_, Option<SpanWriter>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a resource is looked at that changes while it is.
const LOOKS: usize = 4;

impl Clone for StreamingResource {
    fn clone(&self) -> Self {
        Self::new(self.medium.clone(), self.key)
    }
}

impl fmt::Debug for StreamingResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingResource").field("key", &self.key).finish_non_exhaustive()
    }
}
