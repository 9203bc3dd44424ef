//! The store in memory: bounded by bytes, gone with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::fate::Fate;
use crate::format::BLOCK;
use crate::index::{Admission, Offer, Rule};
use crate::key::{AssetId, ResourceKey};
use crate::meta::Meta;
use crate::options::MemoryOptions;
use crate::shared::Shared;
use crate::spans::Span;

#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) shared: Shared,
    capacity: u64,
    piece_bytes: u64,
    /// The bytes of what the index lists, by resource and start. Locked before the index, never the other way round.
    spans: Mutex<Held>,
}

/// By resource and start.
type Held = HashMap<(ResourceKey, u64), Arc<MemorySpan>>;

#[derive(Debug)]
pub(crate) struct MemorySpan {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
    pub(crate) meta: Meta,
}

/// One span on its way into memory. Its bytes are copied, for a `Bytes` from the network may pin far more than it shows.
#[derive(Debug)]
pub(crate) struct MemoryWriter {
    memory: Arc<Memory>,
    key: ResourceKey,
    meta: Meta,
    /// Offset of the first byte in `buffer`.
    start: u64,
    buffer: Vec<u8>,
    pieces: bool,
    fate: Fate,
}

impl Memory {
    pub(crate) fn new(options: MemoryOptions) -> Self {
        Self {
            shared: Shared::new(options.clock),
            capacity: options.capacity,
            piece_bytes: options.piece_bytes.max(1),
            spans: Mutex::default(),
        }
    }

    pub(crate) fn open(&self, key: &ResourceKey, start: u64) -> Option<Arc<MemorySpan>> {
        self.lock().get(&(*key, start)).map(Arc::clone)
    }

    pub(crate) fn put(
        &self,
        key: &ResourceKey,
        bytes: &[u8],
        meta: Meta,
    ) -> Result<(), AssetsError> {
        let total = Some(bytes.len() as u64);
        self.commit(
            key,
            0,
            Bytes::copy_from_slice(bytes),
            meta,
            total,
            Rule::Replace,
        )
    }

    pub(crate) fn remove(&self, key: &ResourceKey, reason: LossReason) {
        let mut spans = self.lock();
        let gone = self.shared.write(|index| index.remove(key));
        for span in &gone {
            spans.remove(&(*key, span.start));
        }
        drop(spans);
        self.shared.lost(key, &gone, reason);
    }

    fn commit(
        &self,
        key: &ResourceKey,
        start: u64,
        bytes: Bytes,
        meta: Meta,
        total: Option<u64>,
        rule: Rule,
    ) -> Result<(), AssetsError> {
        let len = bytes.len() as u64;
        if len > self.capacity {
            return Err(AssetsError::new(AssetsErrorKind::Full, COMMITTING));
        }
        let span = Span {
            start,
            len,
            stored: len,
        };
        let mark = meta.validators.mark();
        let offer = Offer {
            span,
            total,
            mark,
            fingerprint: 0,
            stamp: self.shared.next_stamp(),
            rule,
        };
        let mut spans = self.lock();
        let gone = match self.shared.write(|index| index.admit(key, &offer)) {
            Admission::Redundant => return Ok(()),
            Admission::Conflict => {
                return Err(AssetsError::new(AssetsErrorKind::Conflict, COMMITTING));
            }
            Admission::Admitted { gone } => gone,
        };
        for old in &gone {
            spans.remove(&(*key, old.start));
        }
        spans.insert((*key, start), Arc::new(MemorySpan { start, bytes, meta }));
        let evicted = self.make_room(&mut spans, key, start);
        drop(spans);
        self.shared.lost(key, &gone, LossReason::Replaced);
        self.shared.committed(key, span.range());
        for (key, span) in evicted {
            self.shared.lost(&key, &[span], LossReason::Evicted);
        }
        Ok(())
    }

    /// Evicts until the capacity is kept, sparing the span that was just committed and, as long as there is anything else, leased assets.
    fn make_room(&self, spans: &mut Held, new: &ResourceKey, at: u64) -> Vec<(ResourceKey, Span)> {
        let mut evicted = Vec::new();
        for spare_leased in [true, false] {
            let may_go = |asset: &AssetId| !spare_leased || !self.shared.leases.is_leased(asset);
            while self.shared.read(|index| index.stored() > self.capacity) {
                let before = evicted.len();
                for victim in self
                    .shared
                    .read(|index| index.oldest(VICTIMS, u64::MAX, may_go))
                {
                    self.evict(
                        spans,
                        &victim.key,
                        (*new == victim.key).then_some(at),
                        &mut evicted,
                    );
                }
                if evicted.len() == before {
                    break;
                }
            }
        }
        evicted
    }

    fn evict(
        &self,
        spans: &mut Held,
        key: &ResourceKey,
        spared: Option<u64>,
        evicted: &mut Vec<(ResourceKey, Span)>,
    ) {
        let all = self
            .shared
            .resource(key, |resource| resource.spans.as_slice().to_vec())
            .unwrap_or_default();
        for span in all.into_iter().filter(|span| Some(span.start) != spared) {
            if self.shared.read(|index| index.stored() <= self.capacity) {
                return;
            }
            self.shared
                .write(|index| index.remove_span(key, span.start));
            spans.remove(&(*key, span.start));
            evicted.push((*key, span));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryWriter {
    pub(crate) fn new(
        memory: &Arc<Memory>,
        key: &ResourceKey,
        start: u64,
        meta: Meta,
        pieces: bool,
        fate: Fate,
    ) -> Self {
        Self {
            memory: Arc::clone(memory),
            key: *key,
            meta,
            start,
            buffer: Vec::new(),
            pieces,
            fate,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), AssetsErrorKind> {
        if (self.buffer.len() + bytes.len()) as u64 > self.memory.capacity {
            return Err(AssetsErrorKind::Full);
        }
        self.buffer.extend_from_slice(bytes);
        if self.pieces && self.buffer.len() as u64 >= self.memory.piece_bytes {
            return self.flush(None).map_err(|error| error.kind());
        }
        Ok(())
    }

    pub(crate) fn commit(mut self, total: Option<u64>) -> Result<(), AssetsError> {
        if self.buffer.is_empty() && total != Some(self.start) {
            return Err(AssetsError::new(AssetsErrorKind::Abandoned, COMMITTING));
        }
        self.flush(total)
    }

    /// Commits whole blocks of what came, as the store on disk does.
    pub(crate) fn abort(mut self) {
        let whole = self.buffer.len() / BLOCK * BLOCK;
        self.buffer.truncate(whole);
        if !self.buffer.is_empty() {
            // Nobody asked for these bytes to be kept, so nobody is told why they were not.
            let _ = self.flush(None);
        }
    }

    fn flush(&mut self, total: Option<u64>) -> Result<(), AssetsError> {
        if let Some(reason) = self.fate.get() {
            return Err(AssetsError::new(*reason, COMMITTING));
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer).into_boxed_slice());
        let start = self.start;
        self.start += bytes.len() as u64;
        self.memory.commit(
            &self.key,
            start,
            bytes,
            self.meta.clone(),
            total,
            Rule::Commit,
        )
    }
}

const COMMITTING: &str = "committing a span to memory";
/// Victims looked for at a time.
const VICTIMS: usize = 64;
