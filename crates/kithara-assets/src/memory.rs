//! The store in memory: bounded by bytes, gone with the process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::fate::Fate;
use crate::format::BLOCK;
use crate::index::{Index, Resource};
use crate::key::{AssetId, ResourceKey};
use crate::maintain::{GcOptions, GcReport};
use crate::medium::ReadFault;
use crate::meta::Meta;
use crate::offer::{Admission, Offer, Rule};
use crate::options::MemoryOptions;
use crate::shared::Shared;
use crate::spans::Span;

/// An open store in memory.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) shared: Shared,
    capacity: u64,
    piece_bytes: u64,
    /// The bytes of what the index lists, by resource and start. Locked before the index, never the other way round.
    spans: Mutex<Held>,
    labels: Mutex<HashMap<AssetId, String>>,
    /// Bytes all writers together hold that are not committed. Written by every writer.
    uncommitted: AtomicU64,
}

/// By resource and start.
type Held = HashMap<(ResourceKey, u64), Arc<MemorySpan>>;

/// A committed span.
#[derive(Debug)]
pub(crate) struct MemorySpan {
    start: u64,
    bytes: Bytes,
    pub(crate) meta: Meta,
    /// Stamp of the commit; zero before it.
    committed: u64,
}

/// One span on its way into memory. Its bytes are copied, for a `Bytes` from the network may pin far more than it
/// shows.
#[derive(Debug)]
pub(crate) struct MemoryWriter {
    memory: Arc<Memory>,
    key: ResourceKey,
    meta: Meta,
    /// Offset of the first byte of all.
    first: u64,
    /// Offset of the first byte in `buffer`.
    start: u64,
    buffer: Vec<u8>,
    /// What it has of [`Memory::uncommitted`].
    counted: u64,
    pieces: bool,
    /// Length of the whole resource, as it was announced.
    expected: Option<u64>,
    fate: Fate,
}

/// What is to become present.
struct Commit<'a> {
    key: &'a ResourceKey,
    span: MemorySpan,
    total: Option<u64>,
    rule: Rule,
    fate: Option<&'a Fate>,
}

impl Memory {
    pub(crate) fn new(options: MemoryOptions) -> Self {
        Self {
            shared: Shared::new(options.clock),
            capacity: options.capacity,
            piece_bytes: options.piece_bytes.min(options.capacity).max(1),
            spans: Mutex::default(),
            labels: Mutex::default(),
            uncommitted: AtomicU64::new(0),
        }
    }

    pub(crate) const fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(crate) fn open(&self, key: &ResourceKey, span: Span) -> Option<Arc<MemorySpan>> {
        self.lock().get(&(*key, span.start)).filter(|held| held.committed == span.committed).map(Arc::clone)
    }

    pub(crate) fn put(&self, key: &ResourceKey, bytes: &[u8], meta: Meta) -> Result<(), AssetsError> {
        let total = Some(bytes.len() as u64);
        let span = MemorySpan { start: 0, bytes: Bytes::copy_from_slice(bytes), meta, committed: 0 };
        self.commit(Commit { key, span, total, rule: Rule::Replace, fate: None })
    }

    pub(crate) fn remove(&self, key: &ResourceKey, reason: LossReason) {
        let gone = self.take(key);
        self.shared.lost(key, &gone, reason);
    }

    /// Takes out a resource, of which those who watch are still to be told.
    fn take(&self, key: &ResourceKey) -> Vec<Span> {
        let mut spans = self.lock();
        let gone = self.shared.write(|index| index.remove(key));
        for span in &gone {
            spans.remove(&(*key, span.start));
        }
        gone
    }

    pub(crate) fn remove_asset(&self, asset: AssetId) -> Result<u64, AssetsError> {
        let pinned = self.shared.read(|index| index.asset(&asset).is_some_and(|asset| asset.pinned));
        let eviction = self.shared.leases.evict(asset).filter(|_| !pinned);
        let eviction = eviction.ok_or(AssetsError::new(AssetsErrorKind::Held, "removing an asset"))?;
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).remove(&asset);
        let keys = self.shared.read(|index| index.keys_of(&asset));
        keys.iter().for_each(|key| self.shared.fates.abandon(key));
        let gone: Vec<_> = keys.iter().map(|key| (key, self.take(key))).collect();
        // Whoever is told may lease the asset.
        drop(eviction);
        gone.iter().for_each(|(key, spans)| self.shared.lost(key, spans, LossReason::Removed));
        Ok(gone.iter().flat_map(|(_, spans)| spans).map(|span| span.stored).sum())
    }

    pub(crate) fn gc(&self, options: GcOptions) -> GcReport {
        let count = || self.shared.read(|index| (index.resources(), index.stored()));
        let (resources, stored) = count();
        let now = self.shared.clock.now().0;
        let age = options.unused_for.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let limits =
            [(Some(u64::MAX), options.quota.unwrap_or(self.capacity)), (age.map(|age| now.saturating_sub(age)), 0)];
        for (before, quota) in limits.into_iter().filter_map(|(before, quota)| Some((before?, quota))) {
            self.trim(before, quota);
        }
        let (resources_left, bytes_left) = count();
        GcReport { resources: resources - resources_left, bytes: stored - bytes_left, bytes_left, obstacle: None }
    }

    pub(crate) fn label(&self, asset: AssetId) -> Option<String> {
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).get(&asset).cloned()
    }

    pub(crate) fn set_label(&self, asset: AssetId, label: &str) -> Result<(), AssetsError> {
        if label.len() > MAX_LABEL {
            return Err(AssetsError::new(AssetsErrorKind::TooLarge, "labelling an asset"));
        }
        self.labels.lock().unwrap_or_else(PoisonError::into_inner).insert(asset, label.into());
        Ok(())
    }

    fn commit(&self, commit: Commit<'_>) -> Result<(), AssetsError> {
        let Commit { key, mut span, total, rule, fate } = commit;
        let refused = |kind| Err(AssetsError::new(kind, COMMITTING));
        let (start, len) = (span.start, span.bytes.len() as u64);
        if len > self.capacity {
            return refused(AssetsErrorKind::TooLarge);
        }
        let mut spans = self.lock();
        // Asked under the lock that a removal takes after it has told the fates.
        if let Some(reason) = fate.and_then(|fate| fate.get()) {
            return refused(*reason);
        }
        let known = self.shared.resource(key, Resource::total).flatten();
        let stamp = self.shared.next_stamp();
        let offer = Offer {
            span: Span { start, len, stored: len, committed: stamp },
            total: total.or(known),
            mark: span.meta.validators.mark(),
            fingerprint: 0,
            stamp: self.shared.use_stamp(),
            rule,
        };
        let gone = match self.shared.write(|index| index.admit(key, &offer)) {
            Admission::Redundant => return Ok(()),
            Admission::Conflict => return refused(AssetsErrorKind::Conflict),
            Admission::Admitted { gone } => gone,
        };
        for old in &gone {
            spans.remove(&(*key, old.start));
        }
        span.committed = stamp;
        spans.insert((*key, start), Arc::new(span));
        let evicted = self.make_room(&mut spans, (*key, start));
        drop(spans);
        self.shared.lost(key, &gone, LossReason::Replaced);
        self.shared.committed(key, offer.span.range());
        self.tell_evicted(&evicted);
        Ok(())
    }

    /// Evicts until the capacity is kept, sparing the span that was just committed and, as long as there is anything
    /// else, leased assets.
    fn make_room(&self, spans: &mut Held, new: (ResourceKey, u64)) -> Vec<(ResourceKey, Span)> {
        let unleased = |asset: &AssetId| !self.shared.leases.is_leased(asset);
        let mut evicted = self.evict(spans, Some(new), u64::MAX, self.capacity, &unleased);
        evicted.extend(self.evict(spans, Some(new), u64::MAX, self.capacity, &|_| true));
        evicted
    }

    /// Evicts what nobody leases and was used before `before`, down to `quota`.
    fn trim(&self, before: u64, quota: u64) {
        let unleased = |asset: &AssetId| !self.shared.leases.is_leased(asset);
        let evicted = self.evict(&mut self.lock(), None, before, quota, &unleased);
        self.tell_evicted(&evicted);
    }

    fn evict(
        &self,
        held: &mut Held,
        spared: Option<(ResourceKey, u64)>,
        before: u64,
        quota: u64,
        may_go: &dyn Fn(&AssetId) -> bool,
    ) -> Vec<(ResourceKey, Span)> {
        let mut evicted = Vec::new();
        loop {
            let (victims, count) = (self.shared.read(|index| index.oldest(VICTIMS, before, may_go)), evicted.len());
            for key in victims.iter().map(|victim| victim.key) {
                let spans = self.shared.resource(&key, |resource| resource.spans.as_slice().to_vec());
                for span in spans.unwrap_or_default().into_iter().filter(|span| spared != Some((key, span.start))) {
                    if self.shared.read(Index::stored) <= quota {
                        return evicted;
                    }
                    self.shared.write(|index| index.remove_span(&key, span.start));
                    held.remove(&(key, span.start));
                    evicted.push((key, span));
                }
            }
            if evicted.len() == count {
                return evicted;
            }
        }
    }

    fn tell_evicted(&self, evicted: &[(ResourceKey, Span)]) {
        for (key, span) in evicted {
            self.shared.lost(key, &[*span], LossReason::Evicted);
        }
    }

    /// Counts bytes that a writer is to hold, unless all writers together would then hold more than the store may.
    fn takes(&self, len: u64) -> bool {
        let sum = |held: u64| held.checked_add(len).filter(|sum| *sum <= self.capacity);
        self.uncommitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemorySpan {
    /// At least one and at most `max` bytes from `offset`.
    pub(crate) fn read(&self, offset: u64, max: usize) -> Result<Bytes, ReadFault> {
        let from = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = from.filter(|from| *from < self.bytes.len()).ok_or(ReadFault::Corrupt)?;
        Ok(self.bytes.slice(from..self.bytes.len().min(from.saturating_add(max))))
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
            first: start,
            start,
            buffer: Vec::new(),
            counted: 0,
            pieces,
            expected: None,
            fate,
        }
    }

    pub(crate) fn expect_total(&mut self, total: u64) {
        self.expected = Some(total);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), AssetsErrorKind> {
        if (self.buffer.len() + bytes.len()) as u64 > self.memory.capacity {
            return Err(AssetsErrorKind::TooLarge);
        }
        if !self.memory.takes(bytes.len() as u64) {
            return Err(AssetsErrorKind::Full);
        }
        self.counted += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.pieces && self.buffer.len() as u64 >= self.memory.piece_bytes {
            return self.flush(None).map_err(|error| error.kind());
        }
        Ok(())
    }

    pub(crate) fn commit(mut self, total: Option<u64>) -> Result<(), AssetsError> {
        let total = total.or(self.expected);
        let refused = |kind| Err(AssetsError::new(kind, COMMITTING));
        if !self.buffer.is_empty() || (self.start, total) == (0, Some(0)) {
            return self.flush(total);
        }
        if self.start == self.first {
            return refused(AssetsErrorKind::Abandoned);
        }
        // All pieces are present already; only the length is new.
        let agrees = |total| self.memory.shared.write(|index| index.set_total(&self.key, total));
        if total.is_none_or(agrees) { Ok(()) } else { refused(AssetsErrorKind::Conflict) }
    }

    /// Keeps what can be kept, as the store on disk does.
    pub(crate) fn abort(mut self) {
        if !self.pieces {
            self.buffer.truncate(self.buffer.len() / BLOCK * BLOCK);
        }
        if !self.buffer.is_empty() {
            // Nobody asked for these bytes to be kept, so nobody is told why they were not.
            let _ = self.flush(None);
        }
    }

    fn flush(&mut self, total: Option<u64>) -> Result<(), AssetsError> {
        let total = total.or(self.expected);
        let bytes = Bytes::from(std::mem::take(&mut self.buffer).into_boxed_slice());
        self.give_back();
        let start = self.start;
        self.start += bytes.len() as u64;
        let span = MemorySpan { start, bytes, meta: self.meta.clone(), committed: 0 };
        self.memory.commit(Commit { key: &self.key, span, total, rule: Rule::Commit, fate: Some(&self.fate) })
    }

    fn give_back(&mut self) {
        self.memory.uncommitted.fetch_sub(std::mem::take(&mut self.counted), Ordering::Relaxed);
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Bytes a label may have.
pub(crate) const MAX_LABEL: usize = 4 << 10;
const COMMITTING: &str = "committing a span to memory";
/// Victims looked for at a time.
const VICTIMS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AssetId, AssetStore, Meta, Partition, WriteOutcome};

    #[test]
    fn writers_together_hold_no_more_than_the_store_may() {
        let store = AssetStore::memory(MemoryOptions { capacity: 1000, ..MemoryOptions::default() });
        let asset = AssetId::named(&Partition::default(), "a");
        let writer = |name| store.streaming(&ResourceKey::named(asset, name)).writer(0, Meta::default());
        let write = |writer: &mut crate::SpanWriter, len| writer.write(vec![7; len].into());
        let [mut one, mut two, mut three] = ["one", "two", "three"].map(writer);
        assert_eq!(write(&mut one, 600), WriteOutcome::Accepted);
        assert_eq!(write(&mut two, 400), WriteOutcome::Accepted);
        assert_eq!(write(&mut two, 1), WriteOutcome::GaveUp(AssetsErrorKind::Full), "one has the rest");
        assert_eq!(write(&mut three, 400), WriteOutcome::Accepted, "what was given up is given back");
        assert!(one.commit(Some(600)).wait().is_ok());
        assert_eq!(write(&mut three, 600), WriteOutcome::Accepted, "what is committed is in the store");
        drop(three);
        assert_eq!(write(&mut writer("four"), 1000), WriteOutcome::Accepted, "a dropped writer holds nothing");
    }
}
