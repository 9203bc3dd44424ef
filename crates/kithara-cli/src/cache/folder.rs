//! Where the cache is.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::failure::{Class, Failure};

/// The folder that was named, or the default one; it must be there and be a cache.
pub(super) fn existing(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let dir = match named {
        Some(dir) => dir.to_path_buf(),
        None => default_folder()
            .ok_or_else(|| Failure::usage("the system names no folder for caches: give one with --cache"))?,
    };
    // Opening would make it; whoever only looks makes nothing.
    if dir.join("v1").is_dir() {
        return Ok(dir);
    }
    let failure = Failure::new(Class::Missing, format!("there is no cache at {}", dir.display()));
    Err(failure.with_hint("name its folder with --cache; `kithara save --cache DIR` makes one"))
}

/// `kithara` in the user's folder for caches.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let from = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Caches"))
    } else {
        from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")))
    };
    caches.map(|caches| caches.join("kithara"))
}
