//! What an application may choose.

use std::time::Duration;

use crate::meta::Clock;

/// Options of a store in memory.
#[derive(Clone, Debug)]
pub struct MemoryOptions {
    /// Bytes kept, at most. The least recently used go first; those of leased assets only when nothing else is left,
    /// those of pinned assets never. As many again may be held by writers before they commit; what would be more is not
    /// cached. Default: 8 MiB.
    pub capacity: u64,
    /// Progressive resources are committed in pieces of this many bytes. Default: 1 MiB.
    pub piece_bytes: u64,
    /// Where wall time comes from. Default: the system's clock.
    pub clock: Clock,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { capacity: 8 << 20, piece_bytes: 1 << 20, clock: Clock::default() }
    }
}

/// Options of a store on disk.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Bytes the files of the store may take, at most, over all processes that share the directory. The least recently
    /// used go first; those of leased and pinned assets never: when nothing else is left, the store stops caching. One
    /// span may take half of it. While another process evicts, the quota may be exceeded by an eighth, and by a
    /// sixteenth for each process that writes at the same time. Default: 1 GiB.
    pub quota: u64,
    /// Bytes of the file system that stay free: below them the store evicts its own files and then stops caching.
    /// Default: 256 MiB.
    pub free_space: u64,
    /// Resources not used for this long are removed, however much room there is; those of leased and pinned assets
    /// stay. `None`: they are kept. Default: 30 days.
    ///
    /// Ages are told by a clock that goes back only where the system's was ahead by more than a day: what was used until then
    /// counts as used just now. What was used before that time counts as old at once while the system's clock is ahead. The
    /// quota, and the order in which resources go, do not depend on it.
    pub max_age: Option<Duration>,
    /// Bytes that may wait for the disk, at most. Beyond them a span is given up rather than a reader delayed. Default:
    /// 8 MiB.
    pub queue_bytes: usize,
    /// Progressive resources are committed whenever this many bytes have come. Default: 1 MiB.
    pub piece_bytes: u64,
    /// Progressive resources are committed this long after their first uncommitted byte, however few have come.
    /// Default: 2 s.
    pub piece_time: Duration,
    /// Whole resources with equal content (compared byte by byte) and different URLs become one file with several
    /// names, where the file system can do that. The validators of such a resource are those of no URL: they are empty.
    /// Default: true.
    pub share_equal_content: bool,
    /// How long a store that could not write waits before it tries again. Default: 30 s.
    pub retry_after: Duration,
    /// Where wall time comes from. Default: the system's clock.
    pub clock: Clock,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            quota: 1 << 30,
            free_space: 256 << 20,
            max_age: Some(Duration::from_secs(30 * 24 * 3600)),
            queue_bytes: 8 << 20,
            piece_bytes: 1 << 20,
            piece_time: Duration::from_secs(2),
            share_equal_content: true,
            retry_after: Duration::from_secs(30),
            clock: Clock::default(),
        }
    }
}
