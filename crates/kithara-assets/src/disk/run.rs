//! Which runs have a store open: that they live, and that they know of each other.
//!
//! A run locks a file of its own while it lasts. One that meets no other leaves a sign that it is alone, and whoever comes
//! later takes the sign away: where it is, nobody else writes, and there is no need to look on the disk for what others may
//! have put there. Whatever happens to the folder, a sign that is gone is on the safe side.

use std::io;

use crate::disk::layout::{Layout, private_file, remove_file};
use crate::disk::lock::FileLock;

/// This run, as others see it.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` where it cannot be told to others.
    lock: Option<FileLock>,
    /// There were others when it began, or nobody can know.
    pub(crate) met: bool,
}

/// Attempts to take a lock that nobody else should want.
const TRIES: usize = 4;

impl Run {
    /// Tells other runs of this one. It must be done before their journals are read: a run that is not met has said there
    /// all that it had to say.
    pub(crate) fn begin(layout: &Layout) -> Self {
        let mut run = Self { lock: None, met: true };
        let told = run.take_lock(layout).and_then(|()| {
            // Before it looks for others: of two that begin at once, one takes the sign of the other, or both meet.
            private_file().write(true).create(true).truncate(false).open(layout.alone())?;
            meet(layout)
        });
        match told {
            Ok(Met::Nobody) => run.met = false,
            told => {
                let removed = remove_file(&layout.alone());
                if let Err(error) = told.map(|_| ()).and(removed) {
                    tracing::debug!(%error, "other processes that use the cache cannot be told of this one");
                }
            }
        }
        run
    }

    /// Tells other runs of this one where that was not possible before, or somebody took its lock away.
    pub(crate) fn renew(&mut self, layout: &Layout) -> io::Result<()> {
        let (locked, met) = (self.take_lock(layout), meet(layout));
        locked.and(met.map(|_| ()))
    }

    fn take_lock(&mut self, layout: &Layout) -> io::Result<()> {
        // Whoever sweeps may hold a lock that is new for a moment, and take it away.
        let taken = (0..TRIES).find_map(|_| FileLock::try_take(layout.run_lock()).ok().flatten());
        self.lock = taken.or(self.lock.take());
        if self.lock.is_some() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// The run is over.
    pub(crate) fn end(&mut self, layout: &Layout) {
        let removed = remove_file(&layout.alone()).and(self.lock.take().map_or(Ok(()), FileLock::remove));
        if let Err(error) = removed {
            tracing::debug!(%error, "the lock of this run stays behind");
        }
    }
}

enum Met {
    Nobody,
    Others,
}

/// Takes the sign of being alone from every other run that lives.
fn meet(layout: &Layout) -> io::Result<Met> {
    let (mut met, mut failed) = (Met::Nobody, Ok(()));
    for entry in std::fs::read_dir(layout.temporaries())? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| layout.other_run(name)) else { continue };
        match FileLock::try_take_existing(layout.lock_of(other)) {
            // It is dead, and what it left is swept. Or it is so young that it has no lock yet: then it takes another, and
            // meets this one.
            Ok(Some(lock)) => drop(lock),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It lives, or nobody can know.
            Ok(None) | Err(_) => {
                met = Met::Others;
                failed = remove_file(&layout.alone_of(other)).and(failed);
            }
        }
    }
    failed.map(|()| met)
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
    fn who_meets_nobody_is_alone_until_another_comes() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, three] = layouts(dir.path());
        let mut first = Run::begin(&one);
        assert!(one.alone().exists() && !first.met);
        let mut second = Run::begin(&two);
        assert!(!one.alone().exists() && !two.alone().exists() && second.met);
        first.end(&one);
        second.end(&two);
        assert!(cfg!(not(unix)) || std::fs::read_dir(one.temporaries()).unwrap().count() == 0, "nothing stays");
        let mut third = Run::begin(&three);
        assert!(three.alone().exists());
        third.end(&three);
        assert!(!three.alone().exists());
    }

    #[test]
    fn of_two_that_begin_at_once_none_takes_itself_for_the_only_one() {
        let dir = tempfile::tempdir().unwrap();
        layouts(dir.path());
        for number in 0..200 {
            let layouts = [2 * number + 10, 2 * number + 11].map(|run| Layout::new(dir.path(), run));
            let start = std::sync::Barrier::new(2);
            let begin = |layout| {
                start.wait();
                Run::begin(layout)
            };
            let mut runs = std::thread::scope(|scope| {
                let both = layouts.each_ref().map(|layout| scope.spawn(|| begin(layout)));
                both.map(|run| run.join().unwrap())
            });
            let alone = |at: usize| !runs[at].met && layouts[at].alone().exists();
            assert!(!alone(0) && !alone(1), "{number}");
            runs.iter_mut().zip(&layouts).for_each(|(run, layout)| run.end(layout));
        }
    }

    #[test]
    fn a_dead_run_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let [dead, living, _] = layouts(dir.path());
        std::fs::write(dead.run_lock(), b"").unwrap();
        let _run = Run::begin(&living);
        assert!(living.alone().exists());
    }

    #[test]
    fn who_could_not_be_told_of_is_told_of_later() {
        let dir = tempfile::tempdir().unwrap();
        let [hidden, other, _] = layouts(dir.path());
        // A folder where the lock should be: works against root, too.
        std::fs::create_dir(hidden.run_lock()).unwrap();
        let mut run = Run::begin(&hidden);
        std::fs::remove_dir(hidden.run_lock()).unwrap();
        let _other = Run::begin(&other);
        assert!(!hidden.alone().exists() && other.alone().exists());
        run.renew(&hidden).unwrap();
        assert!(hidden.run_lock().exists() && !other.alone().exists());
    }

    #[test]
    fn nobody_is_alone_where_the_folder_was_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, _] = layouts(dir.path());
        let mut run = Run::begin(&one);
        std::fs::remove_dir_all(one.root()).unwrap();
        one.create().unwrap();
        let _other = Run::begin(&two);
        assert!(!one.alone().exists(), "who came meanwhile could not know of it");
        run.renew(&one).unwrap();
        assert!(one.run_lock().exists() && !one.alone().exists() && !two.alone().exists());
    }
}
