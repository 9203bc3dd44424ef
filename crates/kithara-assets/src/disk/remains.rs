//! What is left of assets that store nothing: labels, which may be URLs, and lease files.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::disk::layout::remove_file;
use crate::disk::ledger::Ledger;
use crate::disk::lock::EvictionLock;
use crate::disk::root::Root;
use crate::key::AssetId;

/// Removes remains, in steps of bounded length.
#[derive(Debug)]
pub(crate) struct Remains {
    /// What is younger stays: its asset may be about to be stored.
    age: Duration,
    /// Still to be looked at; `None` before they were listed.
    left: Option<Vec<AssetId>>,
}

/// How old remains have to be that nobody asks to be removed now.
const AGE: Duration = Duration::from_secs(24 * 3600);

impl Remains {
    pub(crate) const fn old() -> Self {
        Self { age: AGE, left: None }
    }

    pub(crate) const fn all() -> Self {
        Self { age: Duration::ZERO, left: None }
    }

    /// Whether somebody asked for all of them to be removed.
    pub(crate) const fn are_all(&self) -> bool {
        self.age.is_zero()
    }

    /// Looks at about so many. False when none is left.
    pub(crate) fn step(&mut self, ledger: &Ledger, assets: usize) -> bool {
        let root = &ledger.root;
        let left = self.left.get_or_insert_with(|| list(root));
        for asset in left.split_off(left.len().saturating_sub(assets)) {
            if let Err(error) = remove(root, asset, self.age) {
                tracing::debug!(%asset, %error, "remains of an asset stay");
            }
        }
        !left.is_empty()
    }
}

/// The assets that have a label or a lease file, and are not in the index.
fn list(root: &Root) -> Vec<AssetId> {
    let mut assets = BTreeSet::new();
    for folder in [root.layout.labels(), root.layout.leases()] {
        if let Err(error) = add_names(&mut assets, &folder) {
            tracing::debug!(%error, "remains of assets cannot be listed");
        }
    }
    root.shared.read(|index| assets.retain(|asset| index.asset(asset).is_none()));
    assets.into_iter().collect()
}

fn add_names(assets: &mut BTreeSet<AssetId>, folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        assets.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AssetId>().ok()));
    }
    Ok(())
}

/// Removes what is left of an asset that stores nothing, that nobody leases and that is not pinned.
fn remove(root: &Root, asset: AssetId, age: Duration) -> io::Result<()> {
    let layout = &root.layout;
    let (label, lease) = (layout.label(asset), layout.lease(asset));
    if [&label, &lease].into_iter().any(|path| is_younger(path, age)) || is_stored(root, asset) {
        return Ok(());
    }
    let Some(held) = EvictionLock::take(&root.shared.leases, layout, asset)? else { return Ok(()) };
    // Somebody may have leased and stored it since.
    if is_stored(root, asset) {
        return Ok(());
    }
    let removed = remove_file(&label);
    held.end_asset();
    removed
}

/// Whether something of an asset is there that is none of its remains, or nobody can know.
fn is_stored(root: &Root, asset: AssetId) -> bool {
    let listed = root.shared.read(|index| index.asset(&asset).is_some());
    listed || root.is_pinned_on_disk(asset) || root.layout.asset(asset).try_exists().unwrap_or(true)
}

/// Whether a file was written less than `age` ago.
fn is_younger(path: &Path, age: Duration) -> bool {
    let written = path.metadata().and_then(|metadata| metadata.modified());
    let passed = written.map(|written| SystemTime::now().duration_since(written).unwrap_or_default());
    passed.is_ok_and(|passed| passed < age)
}
