//! Leases within one process: who holds an asset, and who is just evicting from it.

use std::collections::HashMap;
use std::sync::PoisonError;

// The model checker brings its own primitives, and runs the tests below under every interleaving of them.
#[cfg(loom)]
use loom::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Condvar, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use crate::key::AssetId;

/// Counts the leases of each asset and keeps them apart from eviction: while an asset is leased nobody evicts from it,
/// and while somebody evicts from it nobody gets a lease.
#[derive(Debug, Default)]
pub(crate) struct LeaseTable {
    /// Assets without an entry are neither leased nor being evicted from.
    holds: Mutex<HashMap<AssetId, Hold>>,
    eviction_ended: Condvar,
    /// Grows when a lease ends, which is when more may be evicted than before.
    ended: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum Hold {
    /// Never zero.
    Leased(u32),
    Evicting,
}

/// The right to evict from one asset. It ends when dropped.
#[derive(Debug)]
pub(crate) struct Eviction<'a> {
    table: &'a LeaseTable,
    asset: AssetId,
}

impl LeaseTable {
    /// Adds a lease, waiting for an eviction step that is under way. True when it is the first of its asset.
    pub(crate) fn acquire(&self, asset: AssetId) -> bool {
        let mut holds = self.lock();
        while holds.get(&asset) == Some(&Hold::Evicting) {
            holds = self.eviction_ended.wait(holds).unwrap_or_else(PoisonError::into_inner);
        }
        let Some(Hold::Leased(count)) = holds.get_mut(&asset) else {
            holds.insert(asset, Hold::Leased(1));
            return true;
        };
        *count += 1;
        false
    }

    /// How many leases ended so far.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Takes a lease away. True when it was the last of its asset.
    pub(crate) fn release(&self, asset: AssetId) -> bool {
        self.ended.fetch_add(1, Ordering::Relaxed);
        let mut holds = self.lock();
        match holds.get_mut(&asset) {
            Some(Hold::Leased(count)) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(Hold::Leased(_)) => holds.remove(&asset).is_some(),
            _ => false,
        }
    }

    pub(crate) fn is_leased(&self, asset: &AssetId) -> bool {
        matches!(self.lock().get(asset), Some(Hold::Leased(_)))
    }

    /// The right to evict from `asset`, unless it is leased.
    pub(crate) fn evict(&self, asset: AssetId) -> Option<Eviction<'_>> {
        let mut holds = self.lock();
        if holds.contains_key(&asset) {
            return None;
        }
        holds.insert(asset, Hold::Evicting);
        Some(Eviction { table: self, asset })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AssetId, Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Eviction<'_> {
    fn drop(&mut self) {
        self.table.lock().remove(&self.asset);
        self.table.eviction_ended.notify_all();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::key::Partition;

    #[test]
    fn leases_are_counted_and_keep_eviction_away() {
        let asset = AssetId::named(&Partition::default(), "a");
        let table = LeaseTable::default();
        assert!(table.acquire(asset));
        assert!(!table.acquire(asset));
        assert!(table.evict(asset).is_none());
        assert!(!table.release(asset));
        assert!(table.is_leased(&asset));
        assert!(table.release(asset));
        assert!(!table.is_leased(&asset));
        let eviction = table.evict(asset);
        assert!(eviction.is_some() && table.evict(asset).is_none());
        drop(eviction);
        assert!(table.acquire(asset));
    }
}

#[cfg(all(test, loom))]
mod model {
    use std::sync::Arc;
    // Not the model's: they only watch, and are looked at where the table lets threads change.
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use loom::thread;

    use super::*;
    use crate::key::Partition;

    fn asset() -> AssetId {
        AssetId::named(&Partition::default(), "a")
    }

    /// Two threads lease, one evicts: whoever leases sees no eviction, and nobody waits for ever.
    #[test]
    fn nobody_evicts_what_somebody_leases() {
        loom::model(|| {
            let table = Arc::new(LeaseTable::default());
            let (evicting, leases) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
            let threads = [(), ()].map(|()| {
                let (table, evicting, leases) = (Arc::clone(&table), Arc::clone(&evicting), Arc::clone(&leases));
                thread::spawn(move || {
                    table.acquire(asset());
                    leases.fetch_add(1, Ordering::SeqCst);
                    assert!(!evicting.load(Ordering::SeqCst));
                    // A point where others run while the lease is held.
                    assert!(table.is_leased(&asset()) && !evicting.load(Ordering::SeqCst));
                    leases.fetch_sub(1, Ordering::SeqCst);
                    table.release(asset());
                })
            });
            if let Some(eviction) = table.evict(asset()) {
                evicting.store(true, Ordering::SeqCst);
                // And one where others run while the eviction goes on.
                assert!(!table.is_leased(&asset()) && leases.load(Ordering::SeqCst) == 0);
                evicting.store(false, Ordering::SeqCst);
                drop(eviction);
            }
            let _ = threads.map(|thread| thread.join().unwrap());
            assert!(!table.is_leased(&asset()) && table.evict(asset()).is_some());
        });
    }

    /// However leases come and go, for each that is told to be the first one is told to be the last.
    #[test]
    fn first_and_last_come_in_pairs() {
        loom::model(|| {
            let table = Arc::new(LeaseTable::default());
            let threads = [(), ()].map(|()| {
                let table = Arc::clone(&table);
                thread::spawn(move || {
                    let first = table.acquire(asset());
                    (first, table.release(asset()))
                })
            });
            let [(first, last), (other_first, other_last)] = threads.map(|thread| thread.join().unwrap());
            assert_eq!(usize::from(first) + usize::from(other_first), usize::from(last) + usize::from(other_last));
            assert!(first || other_first);
        });
    }
}
