//! Where a trace goes.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// A file that is made when the first line of a trace is there: what has no session leaves none, and what was there stays.
#[derive(Debug)]
pub(crate) struct TraceFile {
    path: PathBuf,
    file: Option<File>,
}

impl TraceFile {
    /// A place for a trace, in place of an earlier one; `out` is where the command writes what it is for.
    ///
    /// # Errors
    /// There cannot be a file at `path`, or there is one that is no trace, or `out` is the same place. What else may keep it
    /// from being written shows with the first line.
    pub(crate) fn at(path: &Path, out: Option<&Path>) -> Result<Self, Failure> {
        let cannot = |error| Failure::disk("cannot write", path, &error);
        if path.is_dir() {
            return Err(cannot(io::ErrorKind::IsADirectory.into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), |folder| fs::metadata(folder).map(|_| ())).map_err(cannot)?;
        if out.is_some_and(|out| place(out) == place(path)) {
            return Err(Failure::usage(format!("--trace: {} is the output already", path.display())));
        }
        if path.is_file() && !may_go(path).map_err(cannot)? {
            let failure = Failure::usage(format!("--trace: {} is there and is no trace", path.display()));
            return Err(failure.with_hint("give another name, or remove it"));
        }
        Ok(Self { path: path.to_owned(), file: None })
    }
}

/// How traces begin.
const BEGINNING: &[u8] = b"{\"open\"";

/// Whether a file is a trace, or empty, so that nobody misses what a new trace takes the place of.
fn may_go(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning.is_empty() || beginning == BEGINNING)
}

/// Where a path leads, however it is written.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_folder = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

impl Write for TraceFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            none => none.insert(File::create(&self.path)?).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}
