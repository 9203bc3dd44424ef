//! The store as an application sees it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::{Callback, StoreEvent, Subscription};
use crate::key::{AssetId, ResourceKey};
use crate::maintain::{self, AssetSummary, GcOptions, GcReport, ResourceSummary, Usage, Verified};
use crate::medium::Medium;
use crate::memory::Memory;
use crate::meta::UnixMillis;
use crate::options::{DiskOptions, MemoryOptions};
use crate::resource::{AtomicResource, StreamingResource};
use crate::ticket::Ticket;

/// A cache of assets, in memory or in a directory. A clone is the same store.
///
/// Dropping the last handle of a store on disk waits until what was ordered is written: at most what the queue holds.
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
    /// The time by which it says when something was stored: the wall clock, but it never goes back, and what is committed after this call
    /// is later.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.medium.shared().next_stamp())
    }

    /// A store that lives in memory and ends with its last clone.
    #[must_use]
    pub fn memory(options: MemoryOptions) -> Self {
        Self { medium: Medium::Memory(Arc::new(Memory::new(options))) }
    }

    /// Opens the store in `dir`, which is made if it is not there. Any number of stores and processes may share a
    /// directory.
    ///
    /// A directory that cannot be written gives a store that reads what is there and caches nothing more.
    ///
    /// # Errors
    /// There is no directory and it cannot be made.
    pub fn open(dir: impl AsRef<Path>, options: DiskOptions) -> Result<Self, AssetsError> {
        let disk = Disk::open(dir.as_ref(), options)?;
        Ok(Self { medium: Medium::Disk(Arc::new(disk)) })
    }

    /// Whether `other` is a clone of this one. Two that were opened in one directory are not.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (&self.medium, &other.medium) {
            (Medium::Memory(one), Medium::Memory(other)) => Arc::ptr_eq(one, other),
            (Medium::Disk(one), Medium::Disk(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether it is in a directory, and so outlives the process.
    #[must_use]
    pub const fn is_on_disk(&self) -> bool {
        matches!(self.medium, Medium::Disk(_))
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

    /// Keeps `asset` from being evicted until the lease is dropped or the process ends. May wait for the end of one
    /// eviction step: of this process, and up to 31 ms for one of another. Who does not end by then is not told of the
    /// lease, which holds within this process until the asset is leased here once more.
    pub fn lease(&self, asset: &AssetId) -> Lease {
        self.medium.lease(*asset);
        Lease { medium: self.medium.clone(), asset: *asset }
    }

    /// Keeps `asset` until [`AssetStore::unpin`], across restarts: for what is kept offline. It may wait as
    /// [`AssetStore::lease`] does.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn pin(&self, asset: &AssetId) -> Result<(), AssetsError> {
        self.set_pinned(asset, true)
    }

    /// Lets `asset` be evicted again.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn unpin(&self, asset: &AssetId) -> Result<(), AssetsError> {
        self.set_pinned(asset, false)
    }

    /// True between [`AssetStore::pin`] and [`AssetStore::unpin`], in whichever process; and where the directory cannot be
    /// asked.
    #[must_use]
    pub fn is_pinned(&self, asset: &AssetId) -> bool {
        match &self.medium {
            Medium::Memory(memory) => memory.shared.read(|index| index.asset(asset).is_some_and(|asset| asset.pinned)),
            Medium::Disk(disk) => disk.root.is_pinned_on_disk(*asset),
        }
    }

    /// Remembers what the application calls `asset`, for lists, while something of it is stored, leased or pinned. At most 4 KiB; it must hold no secret.
    ///
    /// # Errors
    /// The text is too long, or the directory cannot be written.
    pub fn set_label(&self, asset: &AssetId, label: &str) -> Result<(), AssetsError> {
        match &self.medium {
            Medium::Memory(memory) => memory.set_label(*asset, label),
            Medium::Disk(disk) => disk.set_label(*asset, label),
        }
    }

    /// What the application calls `asset`; `None` where it never said, or that cannot be read.
    #[must_use]
    pub fn label(&self, asset: &AssetId) -> Option<String> {
        self.medium.label(*asset)
    }

    /// Calls `callback` with what happens to `asset` and to the store as a whole, until the subscription is dropped.
    ///
    /// Where the store is degraded already, that is told at once. Later it is called on whichever thread made it
    /// happen, after it happened, and should be short; it may use the store, but must not wait for tickets and should
    /// not own a clone of the store.
    pub fn observe(&self, asset: &AssetId, callback: impl Fn(&StoreEvent) + Send + Sync + 'static) -> Subscription {
        self.subscribe(Some(*asset), Arc::new(callback))
    }

    /// Calls `callback` with everything that happens; see [`AssetStore::observe`].
    pub fn observe_all(&self, callback: impl Fn(&StoreEvent) + Send + Sync + 'static) -> Subscription {
        self.subscribe(None, Arc::new(callback))
    }

    /// Why the store does not write at present; `None` while all is well.
    #[must_use]
    pub fn degraded(&self) -> Option<AssetsErrorKind> {
        match &self.medium {
            Medium::Memory(_) => None,
            Medium::Disk(disk) => disk.root.health.reason(),
        }
    }

    /// Why something in the directory could not be read since the store was opened, so that there may be more than the lists
    /// show; `None` where all could. What can be read again later is found when it is asked for.
    #[must_use]
    pub fn unreadable(&self) -> Option<AssetsErrorKind> {
        match &self.medium {
            Medium::Memory(_) => None,
            Medium::Disk(disk) => disk.root.why_missed(),
        }
    }

    /// Answers when everything ordered before is carried out.
    pub fn flush(&self) -> Ticket<()> {
        match &self.medium {
            Medium::Memory(_) => Ticket::ready(Ok(())),
            Medium::Disk(disk) => disk.flush(),
        }
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let limit = match &self.medium {
            Medium::Memory(memory) => memory.capacity(),
            Medium::Disk(disk) => disk.root.options.quota,
        };
        let (bytes, resources) = self.medium.shared().read(|index| (index.stored(), index.resources()));
        Usage { bytes, limit, resources }
    }

    /// All assets of which something is present or that are pinned, the least recently used first.
    #[must_use]
    pub fn assets(&self) -> Vec<AssetSummary> {
        maintain::assets(&self.medium)
    }

    /// All resources of `asset` of which something is present, the least recently used first.
    #[must_use]
    pub fn resources(&self, asset: &AssetId) -> Vec<ResourceSummary> {
        maintain::resources(&self.medium, *asset)
    }

    /// Reads everything and checks it, files that a crash or a lost journal kept out of the index included; what is not
    /// right becomes a hole. `progress` is called after each resource and may end it.
    ///
    /// Blocks the thread, for as long as reading all takes. The files are compared with the index on the thread that writes: what is
    /// fetched meanwhile may not be stored, and an observer, which that thread calls, must not ask for it.
    pub fn verify(&self, mut progress: impl FnMut(&Verified) -> ControlFlow<()>) -> Verified {
        maintain::verify(&self.medium, &mut progress)
    }

    /// Removes what nobody needs: what is beyond the limits and not leased or pinned, files that processes left behind
    /// when they died, labels of assets of which nothing is stored, leased or pinned, and the history in the journals. What kept it from doing all of that is in the report.
    ///
    /// # Errors
    /// In the ticket: [`Closed`](AssetsErrorKind::Closed).
    pub fn gc(&self, options: GcOptions) -> Ticket<GcReport> {
        match &self.medium {
            Medium::Memory(memory) => Ticket::ready(Ok(memory.gc(options))),
            Medium::Disk(disk) => disk.gc(options),
        }
    }

    /// Removes `asset` with everything in it. Answers with the bytes that were freed.
    ///
    /// # Errors
    /// In the ticket: [`Held`](AssetsErrorKind::Held) where it is leased or pinned, in whichever process; what the file system
    /// says where that cannot be asked, or files stay.
    pub fn remove_asset(&self, asset: &AssetId) -> Ticket<u64> {
        match &self.medium {
            Medium::Memory(memory) => Ticket::ready(memory.remove_asset(*asset)),
            Medium::Disk(disk) => disk.remove_asset(*asset),
        }
    }

    fn set_pinned(&self, asset: &AssetId, pinned: bool) -> Result<(), AssetsError> {
        match &self.medium {
            Medium::Memory(memory) => {
                memory.shared.write(|index| index.set_pinned(asset, pinned));
                Ok(())
            }
            Medium::Disk(disk) => disk.set_pinned(*asset, pinned),
        }
    }

    fn subscribe(&self, asset: Option<AssetId>, callback: Callback) -> Subscription {
        let subscription = self.medium.shared().observers.subscribe(asset, Arc::clone(&callback));
        if let Some(reason) = self.degraded() {
            callback(&StoreEvent::Degraded { reason });
        }
        subscription
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
        self.medium.release(self.asset);
    }
}
