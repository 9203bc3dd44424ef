//! The cache beside a session: how much it may take, and what is said when it takes nothing.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::Args;
use indicatif::HumanBytes;
use kithara::fetch::assets::{
    AssetStore, AssetsError, AssetsErrorKind, DiskOptions,
    event::{StoreEvent, Subscription},
};

use crate::{line::Line, quantity::bytes};

/// How the cache is kept.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Let the folder of the cache take this much (500M, 5G): what was not used for the longest time goes first [default: 1G]
    #[arg(long, value_name = "SIZE", value_parser = bytes, conflicts_with = "no_cache")]
    pub(crate) quota: Option<u64>,
}

impl StoreArgs {
    /// Opens the cache in `dir`. As long as the subscription lives, it is said once when nothing more is kept.
    ///
    /// # Errors
    /// The folder cannot be a cache.
    pub(crate) fn open(
        &self,
        dir: &Path,
        options: DiskOptions,
        line: &Line,
    ) -> Result<(AssetStore, Subscription), AssetsError> {
        let options = DiskOptions { quota: self.quota.unwrap_or(options.quota), ..options };
        let store = AssetStore::open(dir, options.clone())?;
        let (is_told, line, dir) = (AtomicBool::new(false), line.clone(), dir.to_owned());
        let watch = store.observe_all(move |event| {
            if let StoreEvent::Degraded { reason } = event
                && !is_told.swap(true, Ordering::Relaxed)
            {
                line.note(&format!("nothing more is kept in {}: {}", dir.display(), why(*reason, &options)));
            }
        });
        Ok((store, watch))
    }
}

/// Why nothing is kept.
fn why(reason: AssetsErrorKind, options: &DiskOptions) -> String {
    match reason {
        AssetsErrorKind::Full => {
            let (quota, free) = (HumanBytes(options.quota), HumanBytes(options.free_space));
            format!("no room; it may take {quota}, and {free} of the disk stay free")
        }
        AssetsErrorKind::Denied => "it may not be written".to_owned(),
        _ => "the file system failed; -v says how".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_with_the_numbers_they_depend_on() {
        let options = DiskOptions { quota: 5 << 20, free_space: 256 << 20, ..DiskOptions::default() };
        let full = why(AssetsErrorKind::Full, &options);
        assert!(full.contains("5.00 MiB") && full.contains("256.00 MiB"), "{full}");
        assert!(why(AssetsErrorKind::Denied, &options).contains("may not be written"));
        assert!(why(AssetsErrorKind::Io, &options).contains("-v"));
    }
}
