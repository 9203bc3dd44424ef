//! What the store tells those who watch it. Events report; they never command.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use crate::error::AssetsErrorKind;
use crate::key::{AssetId, ResourceKey};

/// Something that happened in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// `range` of the resource became present.
    Committed {
        /// Of which resource.
        key: ResourceKey,
        /// The bytes of the span; some of them may have been present before.
        range: Range<u64>,
    },
    /// `range` of the resource is not present any more, except where another span covers it.
    Lost {
        /// Of which resource.
        key: ResourceKey,
        /// The bytes of the span.
        range: Range<u64>,
        /// What took it away.
        reason: LossReason,
    },
    /// The store cannot write for now: it goes on as "not caching", and what it has can still be read. Sent once until
    /// [`StoreEvent::Recovered`].
    Degraded {
        /// Why it cannot write.
        reason: AssetsErrorKind,
    },
    /// The store writes again.
    Recovered,
    /// The wall clock shows an earlier time than before. The order in which resources were used is kept; what was stored later than
    /// now is stale.
    ClockWentBack {
        /// By how much.
        by: Duration,
    },
}

/// Why a span is not present any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// Room was needed, or it was not used for longer than it may be kept.
    Evicted,
    /// Somebody asked for it: removal, or invalidation.
    Removed,
    /// Another version of the resource, or a longer span, took its place.
    Replaced,
    /// Its checksum was wrong.
    Corrupt,
    /// Its file is gone or cannot be read.
    Gone,
}

impl StoreEvent {
    fn asset(&self) -> Option<AssetId> {
        match self {
            Self::Committed { key, .. } | Self::Lost { key, .. } => Some(key.asset()),
            Self::Degraded { .. } | Self::Recovered | Self::ClockWentBack { .. } => None,
        }
    }
}

/// What a subscriber wants to be called.
pub(crate) type Callback = Arc<dyn Fn(&StoreEvent) + Send + Sync>;

/// Keeps a callback registered. Dropping it ends that; a call that is under way on another thread still finishes.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    observers: Weak<Observers>,
    asset: Option<AssetId>,
    id: u64,
}

/// Callbacks with the number of their subscription.
type Registered = Vec<(u64, Callback)>;

/// The callbacks of one store.
#[derive(Default)]
pub(crate) struct Observers {
    next: AtomicU64,
    /// By asset; those of the whole store under `None`. Changed by subscribers, read by whoever sends an event.
    callbacks: RwLock<HashMap<Option<AssetId>, Registered>>,
}

impl Observers {
    pub(crate) fn subscribe(self: &Arc<Self>, asset: Option<AssetId>, callback: Callback) -> Subscription {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut callbacks = self.callbacks.write().unwrap_or_else(PoisonError::into_inner);
        callbacks.entry(asset).or_default().push((id, callback));
        Subscription { observers: Arc::downgrade(self), asset, id }
    }

    /// Calls who is concerned. No lock is held meanwhile, so a callback may use the store.
    pub(crate) fn send(&self, event: &StoreEvent) {
        for callback in self.concerned(event) {
            callback(event);
        }
    }

    fn concerned(&self, event: &StoreEvent) -> Vec<Callback> {
        let callbacks = self.callbacks.read().unwrap_or_else(PoisonError::into_inner);
        let concerns = |asset: &Option<AssetId>| asset.is_none() || event.asset().is_none() || *asset == event.asset();
        if callbacks.is_empty() {
            return Vec::new();
        }
        callbacks
            .iter()
            .filter(|(asset, _)| concerns(asset))
            .flat_map(|(_, all)| all)
            .map(|(_, one)| Arc::clone(one))
            .collect()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(observers) = self.observers.upgrade() else {
            return;
        };
        let mut callbacks = observers.callbacks.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_asset) = callbacks.get_mut(&self.asset) {
            of_asset.retain(|(id, _)| *id != self.id);
            if of_asset.is_empty() {
                callbacks.remove(&self.asset);
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("asset", &self.asset).finish_non_exhaustive()
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observers")
    }
}
