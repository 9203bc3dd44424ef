//! Locks between processes. The kernel takes them away from a process that dies.

use std::collections::HashMap;
use std::fs::{File, Metadata, TryLockError};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::layout::{Layout, create_dir, private_file, remove_file};
use crate::key::AssetId;
use crate::lease::{Eviction, LeaseTable};

/// A file that is locked until this is dropped.
///
/// Closing it would not do: a process that was forked a moment ago has it open, too, and keeps the lock until it runs a
/// program of its own.
#[derive(Debug)]
pub(crate) struct Locked(File);

impl Locked {
    /// `None` while somebody else has the lock.
    ///
    /// # Errors
    /// Files cannot be locked on this file system.
    pub(crate) fn try_exclusively(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Where that fails, closing it is what is left.
        let _ = self.0.unlock();
    }
}

/// An exclusive lock on a file. It ends when dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: Locked,
    path: PathBuf,
}

impl FileLock {
    /// Takes the lock if nobody has it, making the file if it is not there.
    ///
    /// # Errors
    /// The file cannot be made, or not be locked on this file system.
    pub(crate) fn try_take(path: PathBuf) -> io::Result<Option<Self>> {
        let file = private_file().read(true).write(true).create(true).truncate(false).open(&path)?;
        Self::try_lock(file, path)
    }

    /// As [`FileLock::try_take`], trying once more after each pause while somebody has it.
    pub(crate) fn take_within(path: &Path, pauses: &[Duration]) -> io::Result<Option<Self>> {
        let mut pauses = pauses.iter();
        loop {
            let taken = Self::try_take(path.to_owned())?;
            match pauses.next() {
                Some(pause) if taken.is_none() => std::thread::sleep(*pause),
                _ => return Ok(taken),
            }
        }
    }

    /// Takes the lock if the file is there and nobody has it.
    ///
    /// # Errors
    /// The file is not there, cannot be opened, or not be locked on this file system.
    pub(crate) fn try_take_existing(path: PathBuf) -> io::Result<Option<Self>> {
        let file = private_file().read(true).write(true).open(&path)?;
        Self::try_lock(file, path)
    }

    fn try_lock(file: File, path: PathBuf) -> io::Result<Option<Self>> {
        // Somebody may have removed the file between opening and locking it: then the lock is on nothing.
        let locked = Locked::try_exclusively(file)?.filter(|file| is_at(file, &path));
        Ok(locked.map(|file| Self { file, path }))
    }

    /// Removes the file while it is locked, so that who waits for it notices.
    pub(crate) fn remove(self) -> io::Result<()> {
        // Without inode numbers nobody could notice.
        if cfg!(unix) { remove_file(&self.path) } else { Ok(()) }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The locked file itself: the lock lasts as long as that is open.
    pub(crate) fn into_parts(self) -> (Locked, PathBuf) {
        (self.file, self.path)
    }
}

/// Leases of this process, told to other processes by shared locks on one file per asset.
#[derive(Debug, Default)]
pub(crate) struct LeaseFiles {
    /// Locked for a look at the map only. An entry is removed when nobody else has it.
    held: Mutex<HashMap<AssetId, Arc<LeaseFile>>>,
}

/// The file of one asset, if it could be locked. Itself locked while leases of the asset are taken and given back; never by
/// eviction.
type LeaseFile = Mutex<Option<Locked>>;

impl LeaseFiles {
    /// Leases `asset`, waiting for an eviction step of this process, and for one of another as long as [`PATIENCE`] says.
    /// Whoever is at it longer may not go on at all: the lease then holds within this process only, until somebody here
    /// leases the asset once more.
    pub(crate) fn acquire(&self, table: &LeaseTable, layout: &Layout, asset: AssetId) {
        let patience = if table.acquire(asset) { PATIENCE } else { &[] };
        let held = self.file(asset);
        let mut file = lock(&held);
        if file.is_some() {
            return;
        }
        match lock_shared(&layout.lease(asset), patience) {
            Ok(Some(locked)) => *file = Some(locked),
            Ok(None) => tracing::warn!(%asset, "another process evicts and does not end: it is not told of a lease"),
            // A directory that cannot be written, or a file system without locks: the lease holds within this process.
            Err(error) => tracing::debug!(%asset, %error, "a lease cannot be told to other processes"),
        }
    }

    pub(crate) fn release(&self, table: &LeaseTable, asset: AssetId) {
        if !table.release(asset) {
            return;
        }
        let held = self.file(asset);
        let mut file = lock(&held);
        // Somebody may have leased it since, and found the file locked.
        if !table.is_leased(&asset) {
            *file = None;
        }
        drop(file);
        drop(held);
        let mut held = lock(&self.held);
        // Others get it through this map only, which is locked.
        let is_idle = |file: &mut Arc<LeaseFile>| {
            Arc::get_mut(file).is_some_and(|file| file.get_mut().unwrap_or_else(PoisonError::into_inner).is_none())
        };
        if held.get_mut(&asset).is_some_and(is_idle) {
            held.remove(&asset);
        }
    }

    fn file(&self, asset: AssetId) -> Arc<LeaseFile> {
        Arc::clone(lock(&self.held).entry(asset).or_default())
    }
}

/// How long to wait between attempts to tell other processes of a lease: 31 ms in all, for a player calls from the thread
/// that its tasks run on. An eviction step takes a few.
const PATIENCE: &[Duration] = &[
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a lock could not be had because files cannot be locked on this file system. Every other error (no descriptor is
/// left, no permission) says nothing of who has the lock.
pub(crate) fn means_no_locks(error: &io::Error) -> bool {
    // What a server of a network file system without locks answers, which has no kind of its own (ENOLCK).
    let no_lock_server = if cfg!(any(target_os = "linux", target_os = "android")) { 37 } else { 77 };
    let no_locks = cfg!(unix) && error.raw_os_error() == Some(no_lock_server);
    // The last is what some file systems answer instead of the first.
    no_locks || matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

/// The right to evict from an asset, against this process and all others.
#[derive(Debug)]
pub(crate) struct EvictionLock<'a> {
    // Dropped in this order: other processes may go on before this one may.
    file: Option<FileLock>,
    _eviction: Eviction<'a>,
}

impl<'a> EvictionLock<'a> {
    /// `None` while the asset is leased.
    ///
    /// # Errors
    /// Leases of other processes cannot be asked for, and there may be some.
    pub(crate) fn take(table: &'a LeaseTable, layout: &Layout, asset: AssetId) -> io::Result<Option<Self>> {
        let Some(eviction) = table.evict(asset) else { return Ok(None) };
        let taken = match FileLock::try_take(layout.lease(asset)) {
            // Nobody can lease by a file in a folder that is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create_dir(&layout.leases()).and_then(|()| FileLock::try_take(layout.lease(asset)))
            }
            taken => taken,
        };
        match taken {
            Ok(file) => Ok(file.map(|file| Self { file: Some(file), _eviction: eviction })),
            // Where leases cannot be told, no other process has one.
            Err(error) if means_no_locks(&error) => Ok(Some(Self { file: None, _eviction: eviction })),
            Err(error) => Err(error),
        }
    }

    /// Ends the right and removes the lease file, for nothing of the asset is left.
    pub(crate) fn end_asset(self) {
        if let Some(Err(error)) = self.file.map(FileLock::remove) {
            tracing::debug!(%error, "a lease file stays behind");
        }
    }
}

/// Locks the file with others who do so. `None` where somebody had it exclusively before and after each pause.
fn lock_shared(path: &Path, pauses: &[Duration]) -> io::Result<Option<Locked>> {
    let mut pauses = pauses.iter();
    loop {
        let file = private_file().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock_shared() {
            Ok(()) => {
                let file = Locked(file);
                if is_at(&file, path) {
                    return Ok(Some(file));
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        match pauses.next() {
            Some(pause) => std::thread::sleep(*pause),
            None => return Ok(None),
        }
    }
}

/// True if `path` still names this open file.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), path.metadata()) {
        (Ok(open), Ok(named)) => inode(&open) == inode(&named),
        _ => false,
    }
}

/// What tells a file from all others there are. `None` where the system does not say.
#[cfg(unix)]
pub(crate) fn inode(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
pub(crate) fn inode(_metadata: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(not(unix))]
pub(crate) fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// True if a file still has a name: for one that nobody renames this tells as much as [`is_at`], and needs no path.
#[cfg(unix)]
pub(crate) fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

#[cfg(not(unix))]
pub(crate) fn has_name(_file: &File) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Partition;

    /// The folders of an empty store.
    fn folders() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), 1);
        layout.create().unwrap();
        (dir, layout)
    }

    #[test]
    fn a_lease_of_one_store_stops_eviction_by_another() {
        let (_dir, layout) = folders();
        let asset = AssetId::named(&Partition::default(), "a");
        let (ours, theirs) = (LeaseTable::default(), LeaseTable::default());
        let files = LeaseFiles::default();
        files.acquire(&ours, &layout, asset);
        files.acquire(&ours, &layout, asset);
        assert!(EvictionLock::take(&theirs, &layout, asset).unwrap().is_none());
        files.release(&ours, asset);
        assert!(EvictionLock::take(&theirs, &layout, asset).unwrap().is_none());
        files.release(&ours, asset);
        let lock = EvictionLock::take(&theirs, &layout, asset).unwrap().unwrap();
        assert!(EvictionLock::take(&ours, &layout, asset).unwrap().is_none());
        lock.end_asset();
        assert!(!layout.lease(asset).exists() || cfg!(not(unix)));
    }

    #[test]
    fn who_evicts_and_does_not_end_keeps_nobody_from_playing() {
        let (_dir, layout) = folders();
        let [stuck, free] = ["a", "b"].map(|name| AssetId::named(&Partition::default(), name));
        let (ours, theirs) = (LeaseTable::default(), LeaseTable::default());
        let files = LeaseFiles::default();
        let suspended = EvictionLock::take(&theirs, &layout, stuck).unwrap().unwrap();
        let (done, leased) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                files.acquire(&ours, &layout, stuck);
                files.acquire(&ours, &layout, free);
                done.send(()).unwrap();
            });
            let came = leased.recv_timeout(Duration::from_secs(20));
            drop(suspended);
            came.unwrap();
        });
        assert!(EvictionLock::take(&ours, &layout, stuck).unwrap().is_none(), "it holds in this process");
        assert!(EvictionLock::take(&theirs, &layout, free).unwrap().is_none());
        files.acquire(&ours, &layout, stuck);
        assert!(EvictionLock::take(&theirs, &layout, stuck).unwrap().is_none(), "and is told when it can be");
        for asset in [stuck, stuck, free] {
            files.release(&ours, asset);
        }
        assert!(EvictionLock::take(&theirs, &layout, stuck).unwrap().is_some());
        assert!(lock(&files.held).is_empty());
    }

    #[test]
    fn leases_that_come_and_go_at_once_are_told_while_there_is_one() {
        let (_dir, layout) = folders();
        let asset = AssetId::named(&Partition::default(), "a");
        let (ours, theirs) = (LeaseTable::default(), LeaseTable::default());
        let files = LeaseFiles::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        files.acquire(&ours, &layout, asset);
                        assert!(EvictionLock::take(&theirs, &layout, asset).unwrap().is_none());
                        files.release(&ours, asset);
                    }
                });
            }
        });
        assert!(lock(&files.held).is_empty());
        assert!(EvictionLock::take(&theirs, &layout, asset).unwrap().is_some());
    }

    #[test]
    fn only_a_file_system_without_locks_means_that_nobody_has_one() {
        use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported, WouldBlock};
        for (kind, want) in [(Unsupported, true), (InvalidInput, true), (PermissionDenied, false), (WouldBlock, false)]
        {
            assert_eq!(means_no_locks(&kind.into()), want, "{kind}");
        }
        #[cfg(target_os = "linux")]
        for (number, want) in [(37, true), (95, true), (22, true), (24, false), (23, false), (13, false), (30, false)] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(means_no_locks(&error), want, "{error}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_not_evicted_from() {
        let (_dir, layout) = folders();
        let [unknown, free] = ["a", "b"].map(|name| AssetId::named(&Partition::default(), name));
        // What cannot be opened as a file, by root neither.
        std::fs::create_dir(layout.lease(unknown)).unwrap();
        let table = LeaseTable::default();
        assert!(EvictionLock::take(&table, &layout, unknown).is_err());
        assert!(table.evict(unknown).is_some(), "the attempt left nothing behind");
        assert!(EvictionLock::take(&table, &layout, free).unwrap().is_some());
        std::fs::remove_dir_all(layout.leases()).unwrap();
        assert!(EvictionLock::take(&table, &layout, free).unwrap().is_some(), "without a folder there are no leases");
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_ends_with_its_owner_although_a_child_still_has_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = FileLock::try_take(path.clone()).unwrap().unwrap();
        let as_a_child_has_it = lock.file.try_clone().unwrap();
        assert!(FileLock::try_take(path.clone()).unwrap().is_none());
        drop(lock);
        assert!(FileLock::try_take(path).unwrap().is_some());
        drop(as_a_child_has_it);
    }

    #[test]
    fn who_waited_for_a_file_that_was_removed_locks_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let lock = FileLock::try_take(path.clone()).unwrap().unwrap();
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| std::iter::repeat_with(|| lock_shared(&path, PATIENCE)).find_map(Result::unwrap));
            lock.remove().unwrap();
            let file = waiting.join().unwrap().unwrap();
            assert!(is_at(&file, &path));
        });
        assert!(FileLock::try_take(path).is_ok());
    }
}
