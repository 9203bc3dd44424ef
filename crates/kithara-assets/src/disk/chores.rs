//! What the writer thread does when nobody wants anything: sweep, compare, expire, trim, compact.

use std::collections::VecDeque;
use std::time::Duration;

use crate::disk::layout::remove_file;
use crate::disk::ledger::Ledger;
use crate::disk::lock::FileLock;
use crate::disk::recover::Restored;
use crate::disk::remains::Remains;
use crate::disk::room::Room;
use crate::disk::walk::Walk;
use crate::error::AssetsErrorKind;
use crate::maintain::{GcOptions, GcReport};
use crate::options::DiskOptions;

/// Chores to be done, one small step at a time.
#[derive(Debug, Default)]
pub(crate) struct Chores {
    left: VecDeque<Chore>,
}

#[derive(Debug)]
enum Chore {
    /// Temporary files of processes that died are removed.
    Sweep,
    /// Files in whose place others came are removed.
    Uncover,
    /// The index is compared with the files.
    Walk(Option<Walk>),
    /// What was not used for long is removed.
    Expire { unused_for: Duration, begun: bool },
    /// The quota is kept.
    Trim { quota: u64 },
    /// What is left of assets that store nothing is removed.
    Remains(Remains),
    /// The journals become one, without history.
    Compact,
}

/// Files compared between two jobs, at most.
const STEP_FILES: usize = 64;

impl Chores {
    /// What a store has to do when it was opened.
    pub(crate) fn after_start(restored: &Restored, options: &DiskOptions) -> Self {
        let mut chores = Self::default();
        if restored.is_new {
            return chores;
        }
        chores.left.push_back(Chore::Sweep);
        if !restored.covered.is_empty() {
            chores.left.push_back(Chore::Uncover);
        }
        if restored.doubtful || restored.unread {
            chores.left.push_back(Chore::Walk(None));
        }
        if restored.merge || restored.unread {
            chores.left.push_back(Chore::Compact);
        }
        chores.limits(options.quota, options.max_age);
        chores.left.push_back(Chore::Remains(Remains::old()));
        chores
    }

    fn limits(&mut self, quota: u64, unused_for: Option<Duration>) {
        self.left.extend(unused_for.map(|unused_for| Chore::Expire { unused_for, begun: false }));
        self.left.push_back(Chore::Trim { quota });
    }

    /// What the index says may not be what is on the disk.
    pub(crate) fn walk(&mut self) {
        if !self.left.iter().any(|chore| matches!(chore, Chore::Walk(_))) {
            self.left.push_back(Chore::Walk(None));
        }
    }

    /// An asset was removed, and nothing of what is gone is to stay.
    pub(crate) fn remove_remains(&mut self) {
        self.left.retain(|chore| !matches!(chore, Chore::Remains(_)));
        self.left.push_back(Chore::Remains(Remains::all()));
    }

    pub(crate) fn compact(&mut self) {
        if !self.left.iter().any(|chore| matches!(chore, Chore::Compact)) {
            self.left.push_back(Chore::Compact);
        }
    }

    /// The store is closed: a journal that is worth compacting is not left for whoever opens it next, even if there was
    /// never an idle moment for it, nor remains that are to go with an asset. Everything else is found again by the next
    /// store.
    pub(crate) fn close(&mut self, ledger: &mut Ledger, room: &mut Room) {
        for mut chore in self.left.drain(..) {
            match &chore {
                Chore::Compact => drop(chore.step(ledger, room)),
                Chore::Remains(remains) if remains.are_all() => while chore.step(ledger, room) {},
                _ => {}
            }
        }
    }

    pub(crate) fn are_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Does a little of the first chore.
    pub(crate) fn step(&mut self, ledger: &mut Ledger, room: &mut Room) {
        let Some(mut chore) = self.left.pop_front() else { return };
        if chore.step(ledger, room) {
            self.left.push_front(chore);
        }
        if ledger.is_doubtful() {
            self.walk();
        }
        if ledger.root.shared.take_uses_moved() {
            // The journal tells of uses that were not.
            self.compact();
        }
    }

    /// Compares the index with all files, now. Answers with how many folders could not be read.
    pub(crate) fn compare(ledger: &mut Ledger) -> usize {
        let mut walk = Walk::begin(&ledger.root);
        while walk.step(ledger, STEP_FILES) {}
        ledger.compared();
        walk.unreadable()
    }

    /// Does everything, now.
    pub(crate) fn all(&mut self, ledger: &mut Ledger, room: &mut Room, options: &GcOptions) -> GcReport {
        room.begin_chores();
        ledger.news();
        ledger.tell();
        let count = |ledger: &Ledger| ledger.root.shared.read(|index| (index.resources(), index.stored()));
        let (resources, stored) = count(ledger);
        let limits = &ledger.root.options;
        let (quota, unused_for) = (options.quota.unwrap_or(limits.quota), options.unused_for.or(limits.max_age));
        // Limits that were queued before are not what was asked for.
        self.left.retain(|chore| !matches!(chore, Chore::Expire { .. } | Chore::Trim { .. }));
        self.left.extend([Chore::Sweep, Chore::Walk(None)]);
        self.limits(quota, unused_for);
        self.remove_remains();
        self.left.push_back(Chore::Compact);
        while self.are_left() {
            self.step(ledger, room);
        }
        let (resources_left, stored_left) = count(ledger);
        GcReport {
            resources: resources.saturating_sub(resources_left),
            bytes: stored.saturating_sub(stored_left),
            bytes_left: stored_left,
            obstacle: room.end_chores(),
        }
    }
}

impl Chore {
    /// Does a little. False when nothing is left.
    fn step(&mut self, ledger: &mut Ledger, room: &mut Room) -> bool {
        match self {
            Self::Sweep => {
                if let Err(error) = sweep(ledger) {
                    tracing::debug!(%error, "temporary files cannot be swept");
                }
                false
            }
            Self::Uncover => {
                if let Err(error) = ledger.uncover() {
                    tracing::debug!(%error, "files in whose place others came stay");
                }
                false
            }
            Self::Walk(walk) => {
                let more = walk.get_or_insert_with(|| Walk::begin(&ledger.root)).step(ledger, STEP_FILES);
                if !more {
                    ledger.compared();
                }
                more
            }
            Self::Expire { unused_for, begun } => {
                if !std::mem::replace(begun, true) {
                    ledger.root.shared.bring_uses_back();
                }
                let now = ledger.root.shared.clock.now().0;
                let age = u64::try_from(unused_for.as_millis()).unwrap_or(u64::MAX);
                room.expire(ledger, now.saturating_sub(age))
            }
            Self::Trim { quota } => room.trim(ledger, *quota),
            Self::Remains(remains) => remains.step(ledger, STEP_FILES),
            Self::Compact => {
                match ledger.compact(room.patience()) {
                    Ok(true) => {}
                    Ok(false) => room.note_obstacle(AssetsErrorKind::Busy),
                    Err(error) => {
                        tracing::debug!(%error, "the journals cannot be compacted");
                        room.note_obstacle(AssetsErrorKind::of(&error));
                    }
                }
                false
            }
        }
    }
}

/// Removes temporary files whose owner is gone.
fn sweep(ledger: &Ledger) -> std::io::Result<()> {
    let layout = &ledger.root.layout;
    for entry in std::fs::read_dir(layout.temporaries())? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(owner) = layout.owner(&name.to_string_lossy()) else { continue };
        match FileLock::try_take_existing(owner) {
            // The owner is dead. Its lock may be the entry itself, and then it is removed while it is held.
            Ok(Some(_)) => remove_file(&entry.path())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => remove_file(&entry.path())?,
            // It lives, or nobody can know.
            Ok(None) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::AssetStore;
    use crate::disk::layout::Layout;
    use crate::disk::publisher::Publisher;
    use crate::disk::restore;
    use crate::disk::root::Root;
    use crate::disk::run::Run;
    use crate::index::Index;
    use crate::key::{AssetId, Partition, ResourceKey};
    use crate::meta::Meta;

    /// A store in `dir` that was there before, as it is when it was opened.
    fn reopened(dir: &Path) -> Publisher {
        reopened_with(dir, DiskOptions::default())
    }

    fn reopened_with(dir: &Path, options: DiskOptions) -> Publisher {
        let layout = Layout::new(dir, 7);
        assert!(!layout.create().unwrap());
        let root = Arc::new(Root::new(layout, options));
        let run = Run::begin(&root.layout);
        let restored = restore(&root);
        Publisher::new(root, run, restored)
    }

    #[test]
    fn whatever_was_left_behind_without_a_journal_is_found_at_the_start() {
        let key = ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b");
        let leftovers: [fn(&Layout, &ResourceKey) -> std::path::PathBuf; 4] = [
            |layout, _| layout.temporary(),
            |layout, _| layout.run_lock(),
            |layout, _| layout.new_journal(5),
            |layout, key| layout.span(key, 0),
        ];
        for (number, leftover) in leftovers.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let dead = Layout::new(dir.path(), 6);
            assert!(dead.create().unwrap());
            let leftover = leftover(&dead, &key);
            std::fs::create_dir_all(leftover.parent().unwrap()).unwrap();
            std::fs::write(&leftover, b"cut").unwrap();
            let mut store = reopened(dir.path());
            while store.has_chores() {
                store.do_chore();
            }
            assert!(!leftover.exists(), "leftover {number}");
        }
    }

    #[test]
    fn what_is_asked_for_goes_before_the_limits_of_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let key = ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b");
        {
            let store = AssetStore::open(dir.path(), DiskOptions { free_space: 0, ..DiskOptions::default() }).unwrap();
            store.atomic(&key).write(&[1; 100_000], &Meta::default()).wait().unwrap();
        }
        let options = DiskOptions { quota: 50_000, max_age: Some(Duration::ZERO), ..DiskOptions::default() };
        let mut store = reopened_with(dir.path(), options);
        assert!(store.has_chores());
        let wanted = GcOptions { quota: Some(1 << 20), unused_for: Some(Duration::from_secs(3600)) };
        let report = store.gc(&wanted);
        assert_eq!((report.resources, store.root().shared.read(Index::resources)), (0, 1));
    }

    #[test]
    fn a_file_in_whose_place_another_process_put_more_is_removed() {
        // It is learnt from the journals at the start, or from the other process while that lives, or from the file alone.
        let ways = ["start", "news", "walk"].into_iter().flat_map(|way| [(way, false), (way, true)]);
        for (way, other_way) in ways {
            let dir = tempfile::tempdir().unwrap();
            let key = ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b");
            let open =
                || AssetStore::open(dir.path(), DiskOptions { free_space: 0, ..DiskOptions::default() }).unwrap();
            let (first, second) = (open(), open());
            let mut files = [(&first, 1000, 1000), (&second, 0, 3000)];
            if other_way {
                files.reverse();
            }
            for (store, start, len) in files {
                let mut writer = store.streaming(&key).writer(start, Meta::default());
                let _ = writer.write(vec![1; len].into());
                writer.commit(Some(9000)).wait().unwrap();
                store.flush().wait().unwrap();
            }
            let layout = Layout::new(dir.path(), 9);
            let [covered, whole] = [1000, 0].map(|start| layout.span(&key, start));
            assert!(covered.exists() && whole.exists());
            let used = || [covered.exists(), whole.exists()];
            match way {
                "news" => drop(first.gc(GcOptions::default()).wait().unwrap()),
                "start" => {
                    drop((first, second));
                    let mut store = reopened(dir.path());
                    while store.has_chores() {
                        store.do_chore();
                    }
                }
                _ => {
                    drop((first, second));
                    std::fs::remove_dir_all(layout.journals()).unwrap();
                    let mut store = reopened(dir.path());
                    while store.has_chores() {
                        store.do_chore();
                    }
                }
            }
            assert_eq!(used(), [false, true], "{way} {other_way}");
        }
    }
}
