//! Which runs have a store open: that they live, and that they know of each other.
//!
//! A run locks a file of its own while it lasts. Whoever comes later finds that file and leaves a mark for its run, so that
//! a run without a mark is the only one, and need not look on the disk for what others may have put there.

use std::io;

use crate::disk::layout::{Layout, private_file, remove_file};
use crate::disk::lock::FileLock;

/// This run, as others see it.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` where it cannot be told to others.
    lock: Option<FileLock>,
    /// It met no other run, and will be told of those that come.
    pub(crate) is_first: bool,
}

/// Attempts to take a lock that nobody else should want.
const TRIES: usize = 4;

impl Run {
    /// Tells other runs of this one. It must be done before their journals are read: a run that is not met has said there
    /// all that it had to say.
    pub(crate) fn begin(layout: &Layout) -> Self {
        // Whoever sweeps may hold a lock that is new for a moment, and take it away.
        let lock = (0..TRIES).find_map(|_| FileLock::try_take(layout.run_lock()).ok().flatten());
        let met = meet(layout).unwrap_or_else(|error| {
            tracing::debug!(%error, "other processes that use the cache cannot be told of this one");
            true
        });
        Self { is_first: lock.is_some() && !met, lock }
    }

    /// Makes the lock again where somebody took its folder away, and with it all marks.
    pub(crate) fn renew(&mut self, layout: &Layout) -> io::Result<()> {
        self.is_first = false;
        self.lock = FileLock::try_take(layout.run_lock())?.or(self.lock.take());
        Ok(())
    }

    /// The run is over.
    pub(crate) fn end(&mut self, layout: &Layout) {
        let removed = self.lock.take().map_or(Ok(()), FileLock::remove).and_then(|()| remove_file(&layout.mark()));
        if let Err(error) = removed {
            tracing::debug!(%error, "the lock of this run stays behind");
        }
    }
}

/// Leaves a mark for every other run that lives. True where there is one.
fn meet(layout: &Layout) -> io::Result<bool> {
    let mut met = false;
    for entry in std::fs::read_dir(layout.temporaries())? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| layout.other_run(name)) else { continue };
        match FileLock::try_take_existing(layout.lock_of(other)) {
            // It is dead, and what it left is swept. Or it is so young that it has no lock yet: then it takes another, and
            // meets this one.
            Ok(Some(lock)) => lock.remove()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It lives, or nobody can know.
            Ok(None) | Err(_) => {
                met = true;
                private_file().write(true).create(true).truncate(false).open(layout.mark_of(other))?;
            }
        }
    }
    Ok(met)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn layouts(dir: &Path) -> [Layout; 3] {
        let layouts = [6, 7, 8].map(|run| Layout::new(dir, run));
        layouts[0].create().unwrap();
        layouts
    }

    #[test]
    fn of_two_runs_at_least_the_first_is_told_of_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, three] = layouts(dir.path());
        let mut first = Run::begin(&one);
        assert!(first.is_first);
        assert!(!one.mark().exists(), "it is alone");
        let mut second = Run::begin(&two);
        assert!(!second.is_first);
        assert!(one.mark().exists(), "it is told");
        first.end(&one);
        second.end(&two);
        assert_eq!(std::fs::read_dir(one.temporaries()).unwrap().count(), 0, "nothing stays");
        assert!(Run::begin(&three).is_first);
    }

    #[test]
    fn a_dead_run_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let [dead, living, _] = layouts(dir.path());
        std::fs::write(dead.run_lock(), b"").unwrap();
        assert!(Run::begin(&living).is_first);
    }

    #[test]
    fn a_run_that_lost_its_lock_or_cannot_take_one_is_never_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, _] = layouts(dir.path());
        let mut run = Run::begin(&one);
        std::fs::remove_dir_all(one.temporaries()).unwrap();
        assert!(!Run::begin(&two).is_first, "nobody can be told");
        one.create().unwrap();
        run.renew(&one).unwrap();
        assert!(!run.is_first, "who came meanwhile could leave no mark");
        assert!(one.run_lock().exists());
    }
}
