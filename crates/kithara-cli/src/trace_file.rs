//! Where a trace goes.

use std::{
    fs::{self, File},
    io::{self, Write},
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
    /// A place for a trace.
    ///
    /// # Errors
    /// There cannot be a file at `path`. What else may keep it from being written shows with the first line.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::disk("cannot write", path, &error);
        if path.is_dir() {
            return Err(cannot(io::ErrorKind::IsADirectory.into()));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), |folder| fs::metadata(folder).map(|_| ())).map_err(cannot)?;
        Ok(Self { path: path.to_owned(), file: None })
    }
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
