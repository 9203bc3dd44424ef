//! Where things are in the directory of a store.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::{AssetId, ResourceKey, ResourceName};

/// The paths of one store. Every name in them is made of hexadecimal digits that we hashed or drew.
#[derive(Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    /// Names the temporary files of this run, and the file that is locked while it lasts.
    run: u64,
    temporary: AtomicU64,
}

/// The folders of a store.
const ASSETS: &str = "assets";
const JOURNALS: &str = "journals";
const LEASES: &str = "leases";
const PINS: &str = "pins";
const LABELS: &str = "labels";
const TEMPORARY: &str = "tmp";

impl Layout {
    pub(crate) fn new(dir: &Path, run: u64) -> Self {
        Self { root: dir.join("v1"), run, temporary: AtomicU64::new(0) }
    }

    /// Makes the folders that are not there. True where the store itself was not: nothing is in it but what others put
    /// there from now on, of which their journals tell.
    pub(crate) fn create(&self) -> io::Result<bool> {
        self.root.parent().map_or(Ok(()), create_dir)?;
        let is_new = match private_dir().create(&self.root) {
            Ok(()) => true,
            Err(_) if self.root.is_dir() => false,
            Err(error) => return Err(error),
        };
        for folder in [ASSETS, JOURNALS, LEASES, PINS, LABELS, TEMPORARY] {
            create_dir(&self.root.join(folder))?;
        }
        Ok(is_new)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Locked by whoever evicts or compacts.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn assets(&self) -> PathBuf {
        self.root.join(ASSETS)
    }

    pub(crate) fn asset(&self, asset: AssetId) -> PathBuf {
        self.root.join(ASSETS).join(asset.to_string())
    }

    pub(crate) fn span(&self, key: &ResourceKey, start: u64) -> PathBuf {
        // One allocation, for a store asks for it at every lookup: folders, two names of 32 digits, and a number.
        let mut path = OsString::with_capacity(self.root.as_os_str().len() + ASSETS.len() + 2 * 32 + 16 + 4);
        path.push(&self.root);
        let mut path = PathBuf::from(path);
        path.push(ASSETS);
        path.push(key.asset.digits(&mut [0; 32]));
        path.push(key.name.digits(&mut [0; 32]));
        let mut path = path.into_os_string();
        // Into room that is there: this cannot fail.
        let _ = write!(path, ".{start:x}");
        path.into()
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.root.join(JOURNALS)
    }

    pub(crate) fn journal(&self, id: u64) -> PathBuf {
        self.root.join(JOURNALS).join(format!("{id:016x}"))
    }

    /// Where a journal is before it is complete.
    pub(crate) fn new_journal(&self, id: u64) -> PathBuf {
        self.root.join(JOURNALS).join(format!("new-{id:016x}"))
    }

    pub(crate) fn leases(&self) -> PathBuf {
        self.root.join(LEASES)
    }

    pub(crate) fn lease(&self, asset: AssetId) -> PathBuf {
        self.leases().join(asset.to_string())
    }

    pub(crate) fn pins(&self) -> PathBuf {
        self.root.join(PINS)
    }

    pub(crate) fn pin(&self, asset: AssetId) -> PathBuf {
        self.root.join(PINS).join(asset.to_string())
    }

    pub(crate) fn labels(&self) -> PathBuf {
        self.root.join(LABELS)
    }

    pub(crate) fn label(&self, asset: AssetId) -> PathBuf {
        self.root.join(LABELS).join(asset.to_string())
    }

    pub(crate) fn temporaries(&self) -> PathBuf {
        self.root.join(TEMPORARY)
    }

    /// Locked by the run while it lasts.
    pub(crate) fn run_lock(&self) -> PathBuf {
        self.lock_of(self.run)
    }

    /// A path nobody else uses, which tells whose it is.
    pub(crate) fn temporary(&self) -> PathBuf {
        let count = self.temporary.fetch_add(1, Ordering::Relaxed);
        self.root.join(TEMPORARY).join(format!("{:016x}-{count:x}", self.run))
    }

    /// What the run that made the temporary file `name` locks while it lasts; `None` where it is this one. A name that
    /// tells nothing is that of nobody.
    pub(crate) fn owner(&self, name: &str) -> Option<PathBuf> {
        let run = name.split('-').next().and_then(parse_hex).unwrap_or(0);
        (run != self.run).then(|| self.lock_of(run))
    }

    /// The run whose lock is the temporary file `name`, if it is another.
    pub(crate) fn other_run(&self, name: &str) -> Option<u64> {
        parse_hex(name).filter(|run| *run != self.run)
    }

    pub(crate) fn lock_of(&self, run: u64) -> PathBuf {
        self.root.join(TEMPORARY).join(format!("{run:016x}"))
    }

    /// Is there while the run is the only one.
    pub(crate) fn alone(&self) -> PathBuf {
        self.alone_of(self.run)
    }

    /// That of another. It is swept like its temporary files.
    pub(crate) fn alone_of(&self, run: u64) -> PathBuf {
        self.root.join(TEMPORARY).join(format!("{run:016x}-alone"))
    }
}

/// The resource and start that a file in an asset's folder is named after.
pub(crate) fn parse_span(asset: AssetId, name: &str) -> Option<(ResourceKey, u64)> {
    let (resource, start) = name.split_once('.')?;
    let name: ResourceName = resource.parse().ok()?;
    Some((ResourceKey { asset, name }, parse_hex(start)?))
}

/// A number as we write it: lower case, no sign, no surplus zero but for padding.
pub(crate) fn parse_hex(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u64::from_str_radix(text, 16).ok() } else { None }
}

/// Makes a folder, if it is not there, with those it lies in.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    private_dir().recursive(true).create(path)
}

/// Options for a folder that only its owner may enter, for it may hold keys and private content.
fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Options for a file that only its owner may read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Removes a file. That it was gone before is no failure.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Partition;

    #[test]
    fn span_names_come_back() {
        let key = ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b");
        let layout = Layout::new(Path::new("/x"), 7);
        for start in [0, 1, 255, u64::MAX] {
            let path = layout.span(&key, start);
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(parse_span(key.asset, name), Some((key, start)));
            assert_eq!(path.parent().unwrap(), layout.asset(key.asset));
        }
        for name in ["", ".", "a.0", &format!("{}.", key.name), &format!("{}.+1", key.name), &format!("{}.G", key.name)]
        {
            assert_eq!(parse_span(key.asset, name), None, "{name}");
        }
    }

    #[test]
    fn temporary_files_tell_their_owner_except_to_their_own_run() {
        let (layout, later) = (Layout::new(Path::new("/x"), 7), Layout::new(Path::new("/x"), 8));
        for path in [layout.temporary(), layout.run_lock(), layout.alone()] {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!((layout.owner(name), later.owner(name)), (None, Some(layout.run_lock())));
        }
        assert_eq!(layout.owner("rubbish"), Some(layout.lock_of(0)));
    }
}
