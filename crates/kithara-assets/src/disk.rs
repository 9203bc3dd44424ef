//! The store on disk.
//!
//! Callers read files themselves. Everything that writes goes through one queue to one thread, so that no caller ever
//! waits for a disk, index and files change in one order, and eviction is in nobody's way.

mod chores;
mod draft;
mod evict;
mod health;
mod job;
mod journal;
mod layout;
mod ledger;
mod lock;
mod publisher;
mod queue;
mod recover;
mod remains;
mod room;
mod root;
mod run;
mod share;
mod span_file;
mod walk;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;

pub(crate) use self::job::{DiskWriter, End};
pub(crate) use self::root::Root;
pub(crate) use self::span_file::SpanFile;

use self::draft::Piece;
use self::job::Job;
use self::layout::{Layout, private_file, remove_file};
use self::queue::Refused;
use self::recover::Restored;
use self::run::Run;
use self::writer::Writer;
use crate::error::{AssetsError, AssetsErrorKind};
use crate::event::LossReason;
use crate::key::{AssetId, ResourceKey};
use crate::maintain::{GcOptions, GcReport};
use crate::memory::MAX_LABEL;
use crate::meta::Meta;
use crate::options::DiskOptions;
use crate::ticket::{Ticket, ticket};

/// An open store on disk. Dropped, it finishes what was ordered.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) root: Arc<Root>,
    /// `None` once it was joined.
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    pub(crate) fn open(dir: &Path, options: DiskOptions) -> Result<Self, AssetsError> {
        let layout = Layout::new(dir, ledger::fresh_id());
        let made = layout.create();
        if made.is_err() && !dir.is_dir() {
            made.map_err(|error| AssetsError::io(OPENING, error))?;
            return Err(AssetsError::new(AssetsErrorKind::Denied, OPENING));
        }
        let root = Arc::new(Root::new(layout, options));
        let is_new = made.unwrap_or_else(|error| {
            root.health.failed(&AssetsError::io(OPENING, error), Instant::now(), &root.shared.observers);
            false
        });
        let run = Run::begin(&root.layout);
        // Others may have come since it was made.
        let is_new = is_new && journal::list(&root.layout).is_ok_and(|journals| journals.is_empty());
        let restored = if is_new { Restored::made(&root.layout) } else { restore(&root) };
        let writer = Writer::new(Arc::clone(&root), run, restored);
        let thread = std::thread::Builder::new().name("kithara-assets".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| AssetsError::io(OPENING, error))?;
        // Nobody but this function can have set it before.
        let _ = root.writer.set(thread.thread().id());
        Ok(Self { root, thread: Some(thread) })
    }

    pub(crate) fn put(&self, key: &ResourceKey, bytes: &[u8], meta: Meta) -> Ticket<()> {
        if let Some(reason) = self.root.health.obstacle(Instant::now) {
            return Ticket::ready(Err(AssetsError::new(reason, PUTTING)));
        }
        let (answer, waiting) = ticket();
        let job = Job::Put { key: *key, meta: Box::new(meta), bytes: Bytes::copy_from_slice(bytes), answer };
        match self.root.queue.push_data(Piece::cost_of(bytes.len()), true, job) {
            Ok(()) => waiting,
            Err((refused, _)) => Ticket::ready(Err(AssetsError::new(refused.into(), PUTTING))),
        }
    }

    pub(crate) fn remove(&self, key: &ResourceKey) {
        let gone = self.root.shared.write(|index| index.begin_removal(key));
        self.root.shared.lost(key, &gone, LossReason::Removed);
        self.root.order(Job::Remove { key: *key });
    }

    pub(crate) fn remove_asset(&self, asset: AssetId) -> Ticket<u64> {
        let (answer, waiting) = ticket();
        self.root.order(Job::RemoveAsset { asset, answer });
        waiting
    }

    pub(crate) fn gc(&self, options: GcOptions) -> Ticket<GcReport> {
        let (answer, waiting) = ticket();
        self.root.order(Job::Gc { options, answer });
        waiting
    }

    /// Answers with how many folders could not be read.
    pub(crate) fn compare(&self) -> Ticket<usize> {
        let (answer, waiting) = ticket();
        self.root.order(Job::Compare { answer });
        waiting
    }

    pub(crate) fn flush(&self) -> Ticket<()> {
        let (answer, waiting) = ticket();
        self.root.order(Job::Flush { answer });
        waiting
    }

    pub(crate) fn set_pinned(&self, asset: AssetId, pinned: bool) -> Result<(), AssetsError> {
        let root = &self.root;
        // Whoever evicts asks for the pin when nobody can lease any more: so it is there before that, or after.
        root.lease_files.acquire(&root.shared.leases, &root.layout, asset);
        let path = root.layout.pin(asset);
        let done = if pinned { write_small(&path, b"") } else { remove_file(&path) };
        if done.is_ok() {
            root.shared.write(|index| index.set_pinned(&asset, pinned));
        }
        root.release_lease(asset);
        done.map_err(|error| AssetsError::io("pinning an asset", error))
    }

    pub(crate) fn set_label(&self, asset: AssetId, label: &str) -> Result<(), AssetsError> {
        if label.len() > MAX_LABEL {
            return Err(AssetsError::new(AssetsErrorKind::TooLarge, "labelling an asset"));
        }
        let written = write_small(&self.root.layout.label(asset), label.as_bytes());
        written.map_err(|error| AssetsError::io("labelling an asset", error))
    }

    pub(crate) fn label(&self, asset: AssetId) -> Option<String> {
        let path = self.root.layout.label(asset);
        let len = path.metadata().ok()?.len();
        if len > MAX_LABEL as u64 { None } else { std::fs::read_to_string(path).ok() }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.root.queue.close();
        let Some(thread) = self.thread.take() else { return };
        // The last clone of a store may be dropped by a callback on that very thread, which then ends by itself.
        if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
            tracing::error!("the writer thread of the cache panicked");
        }
    }
}

impl From<Refused> for AssetsErrorKind {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::QueueFull,
            Refused::Closed => Self::Closed,
        }
    }
}

/// Fills the index: from the journals, or from the folders where there is none.
fn restore(root: &Root) -> Restored {
    let restored = recover::restore(&root.layout, &root.shared);
    let restored = restored.unwrap_or_else(|error| {
        root.could_not_look(&error);
        Restored::nothing()
    });
    if restored.unread
        && let Err(error) = walk::list_files(root)
    {
        root.could_not_look(&error);
    }
    if let Err(error) = root.refresh_pins() {
        tracing::debug!(%error, "the pins cannot be listed");
    }
    restored
}

/// Writes a file whose content matters less than its being there: it is not replaced at once.
fn write_small(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = private_file().write(true).create(true).truncate(true).open(path)?;
    io::Write::write_all(&mut file, content)
}

const OPENING: &str = "opening a store";
const PUTTING: &str = "storing an atomic resource";

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::key::Partition;

    #[test]
    fn who_pins_waits_for_an_eviction_that_has_asked_for_the_pin() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), DiskOptions::default()).unwrap();
        let asset = AssetId::named(&Partition::default(), "a");
        let evicting = disk.root.shared.leases.evict(asset).unwrap();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                disk.set_pinned(asset, true).unwrap();
                tell.send(()).unwrap();
            });
            let early = told.recv_timeout(Duration::from_millis(50));
            let pinned = disk.root.is_pinned_on_disk(asset);
            drop(evicting);
            assert!(early.is_err() && !pinned);
            told.recv_timeout(Duration::from_secs(20)).unwrap();
        });
        assert!(disk.root.is_pinned_on_disk(asset) && !disk.root.shared.leases.is_leased(&asset));
    }
}
