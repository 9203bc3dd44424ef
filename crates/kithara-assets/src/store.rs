//! The store as an application sees it.

use std::path::Path;
use std::sync::Arc;

use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::{StoreEvent, Subscription};
use crate::key::{AssetId, ResourceKey};
use crate::medium::Medium;
use crate::memory::Memory;
use crate::options::{DiskOptions, MemoryOptions};
use crate::resource::{AtomicResource, StreamingResource};
use crate::ticket::Ticket;

/// A cache of assets, in memory or in a directory. A clone is the same store.
#[derive(Clone, Debug)]
pub struct AssetStore {
    medium: Medium,
}

/// Keeps an asset from being evicted while it lives, by any process that shares the store.
#[must_use = "dropping a lease ends it"]
#[derive(Debug)]
pub struct Lease {
    medium: Medium,
    asset: AssetId,
}

impl AssetStore {
    /// A store that lives in memory and ends with its last clone.
    #[must_use]
    pub fn memory(options: MemoryOptions) -> Self {
        Self {
            medium: Medium::Memory(Arc::new(Memory::new(options))),
        }
    }

    /// Opens the store in `dir`, which is made if it is not there. Any number of stores and processes may share a directory.
    ///
    /// A directory that cannot be written gives a store that reads what is there and caches nothing more.
    ///
    /// # Errors
    /// There is no directory and it cannot be made.
    pub fn open(_dir: impl AsRef<Path>, _options: DiskOptions) -> Result<Self, AssetsError> {
        Err(AssetsError::new(
            AssetsErrorKind::Denied,
            "opening a store on disk",
        ))
    }

    /// The resource as a small whole thing: a playlist, a key.
    #[must_use]
    pub fn atomic(&self, key: &ResourceKey) -> AtomicResource {
        AtomicResource::new(self.medium.clone(), *key)
    }

    /// The resource as spans and holes: a segment, a file.
    #[must_use]
    pub fn streaming(&self, key: &ResourceKey) -> StreamingResource {
        StreamingResource::new(self.medium.clone(), *key)
    }

    /// Keeps `asset` from being evicted until the lease is dropped or the process ends. May wait for the end of one eviction step.
    pub fn lease(&self, asset: &AssetId) -> Lease {
        self.medium.shared().leases.acquire(*asset);
        Lease {
            medium: self.medium.clone(),
            asset: *asset,
        }
    }

    /// Keeps `asset` until [`AssetStore::unpin`], across restarts: for what is kept offline.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn pin(&self, asset: &AssetId) -> Result<(), AssetsError> {
        self.medium
            .shared()
            .write(|index| index.set_pinned(asset, true));
        Ok(())
    }

    /// Lets `asset` be evicted again.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn unpin(&self, asset: &AssetId) -> Result<(), AssetsError> {
        self.medium
            .shared()
            .write(|index| index.set_pinned(asset, false));
        Ok(())
    }

    /// True between [`AssetStore::pin`] and [`AssetStore::unpin`], in whichever process.
    #[must_use]
    pub fn is_pinned(&self, asset: &AssetId) -> bool {
        self.medium
            .shared()
            .read(|index| index.asset(asset).is_some_and(|asset| asset.pinned))
    }

    /// Calls `callback` with what happens to `asset` and to the store as a whole, until the subscription is dropped.
    ///
    /// It is called on whichever thread made it happen, after it happened, and should be short; it may use the store, but must not wait
    /// for tickets and should not own a clone of the store.
    pub fn observe(
        &self,
        asset: &AssetId,
        callback: impl Fn(&StoreEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.medium
            .shared()
            .observers
            .subscribe(Some(*asset), Arc::new(callback))
    }

    /// Calls `callback` with everything that happens; see [`AssetStore::observe`].
    pub fn observe_all(
        &self,
        callback: impl Fn(&StoreEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.medium
            .shared()
            .observers
            .subscribe(None, Arc::new(callback))
    }

    /// Answers when everything ordered before is carried out.
    pub fn flush(&self) -> Ticket<()> {
        match &self.medium {
            Medium::Memory(_) => Ticket::ready(Ok(())),
        }
    }
}

impl Lease {
    /// What is leased.
    #[must_use]
    pub const fn asset(&self) -> AssetId {
        self.asset
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.medium.shared().leases.release(self.asset);
    }
}
