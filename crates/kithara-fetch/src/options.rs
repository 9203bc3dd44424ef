//! What an app may choose.

use kithara_assets::Clock;

/// Options of a [`Fetcher`](crate::Fetcher).
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Transfers that move at once per origin; the others wait, or pause. At least 1. Default: 6.
    pub per_origin: usize,
    /// Bytes a transfer may be ahead of its fastest reader before it pauses, and a reader behind the fastest before it goes on alone.
    /// Memory of a transfer grows up to twice this. Default: 4 MiB.
    pub window: u64,
    /// Bytes all transfers together keep behind their readers, for readers who join late. Default: 8 MiB.
    pub retain: u64,
    /// Whether what the origin marks `no-store` is stored all the same: an app that keeps media for its user may decide so. Default: no.
    pub keep_no_store: bool,
    /// What a transfer does while the store can take no more. Downloads always wait. Default: [`StorePace::Skip`].
    pub store_pace: StorePace,
    /// Where wall time comes from; the store should have the same. Default: the system's clock.
    pub clock: Clock,
}

/// What a transfer does while the store can take no more: its queue is full, for the disk is slower than the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StorePace {
    /// It goes on, and what it is bringing is not stored: somebody is listening, and must not wait for a disk.
    Skip,
    /// It waits for the disk, so that everything is stored: for whoever takes bytes as fast as they come.
    Wait,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            per_origin: 6,
            window: 4 << 20,
            retain: 8 << 20,
            keep_no_store: false,
            store_pace: StorePace::Skip,
            clock: Clock::default(),
        }
    }
}
