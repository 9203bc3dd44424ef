use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::failure::Failure;

/// Where a stream is written.
///
/// A file appears under its name when it is kept, and takes the place of one that was there; until then it has a name of
/// its own beside it, and is removed when it is dropped. Standard output and devices are written as they are.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// For messages.
    shown: PathBuf,
    partial: Option<Partial>,
    /// By all handles on it.
    written: Arc<AtomicU64>,
}

/// A file that is not whole yet.
#[derive(Debug)]
struct Partial {
    path: PathBuf,
    target: PathBuf,
    is_kept: bool,
}

impl Output {
    /// Opens `path`, where `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let shown = path.to_owned();
        if path.as_os_str() == "-" {
            let shown = PathBuf::from("standard output");
            let file = stdout().map_err(|error| Failure::disk("cannot open", &shown, &error))?;
            return Ok(Self { file, shown, partial: None, written: Arc::default() });
        }
        let cannot = |error| Failure::disk("cannot write", path, &error);
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(Failure::usage(format!("{} is a folder", path.display()))),
            Ok(there) if !there.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(cannot)?;
                Ok(Self { file, shown, partial: None, written: Arc::default() })
            }
            there => {
                // A link stays a link: what it points to is replaced.
                let target = if there.is_ok() { path.canonicalize().map_err(cannot)? } else { shown.clone() };
                let (partial, file) = Partial::create(target).map_err(cannot)?;
                Ok(Self { file, shown, partial: Some(partial), written: Arc::default() })
            }
        }
    }

    /// Whether a write never waits for another program.
    pub(crate) fn is_file(&self) -> bool {
        self.partial.is_some()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Another handle on the same output, to write from a thread that may be kept waiting. The file, if it is one, stays this
    /// handle's to keep.
    pub(crate) fn second(&self) -> Result<Self, Failure> {
        let file = self.file.try_clone().map_err(|error| Failure::disk("cannot write", &self.shown, &error))?;
        Ok(Self { file, shown: self.shown.clone(), partial: None, written: Arc::clone(&self.written) })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.try_write(bytes).map_err(|error| Failure::disk("cannot write", &self.shown, &error))
    }

    /// As [`Output::write`], for whoever has a use for the reason.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// How it is called in messages.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    /// Replaces bytes that were written, in a file; what is written next still goes to the end.
    pub(crate) fn patch(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let Self { file, .. } = self;
        let patched = file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(bytes));
        let patched = patched.and_then(|()| file.seek(SeekFrom::End(0)));
        patched.map(|_| ()).map_err(|error| Failure::disk("cannot write", &self.shown, &error))
    }

    /// Gives the file its name.
    pub(crate) fn keep(self) -> Result<(), Failure> {
        let Self { file, shown, partial, .. } = self;
        // Closed first: some systems do not rename open files.
        drop(file);
        let kept = partial.map_or(Ok(()), Partial::keep);
        kept.map_err(|error| Failure::disk("cannot write", &shown, &error))
    }
}

impl Partial {
    fn create(target: PathBuf) -> io::Result<(Self, File)> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        for number in 0..u32::MAX {
            let mut partial = OsString::from(".");
            partial.push(name);
            partial.push(format!(".{}.{number}.part", std::process::id()));
            let path = target.with_file_name(partial);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path, target, is_kept: false }, file)),
                // Left behind by a process that had our number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn keep(mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            // Whoever removed it before us did what we want.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What becomes of words on standard output. Whoever reads them, a pager perhaps, may have seen enough: that is no failure.
pub(crate) fn told(told: io::Result<()>) -> Result<(), Failure> {
    match told {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told.map_err(|error| Failure::disk("cannot write to", "standard output".as_ref(), &error)),
    }
}

/// Standard output itself: std's handle looks for line ends in every chunk.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// Standard output itself: std's handle looks for line ends in every chunk.
#[cfg(windows)]
fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.mp4");
        let mut output = Output::create(&path).unwrap();
        output.write(b"whole").unwrap();
        assert!(!path.exists(), "not before it is whole");
        output.keep().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["out.mp4"]);
    }

    #[test]
    fn a_file_that_is_given_up_leaves_nothing_and_spares_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.mp4");
        fs::write(&path, b"old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write(b"half").unwrap();
        drop(output);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["out.mp4"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&path, b"old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write(b"new").unwrap();
        output.keep().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let failure = Output::create(dir.path()).unwrap_err();
        assert!(failure.to_string().ends_with("is a folder"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_and_not_replaced() {
        let mut output = Output::create(Path::new("/dev/null")).unwrap();
        output.write(b"gone").unwrap();
        output.keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
