//! Comparing the index with the files: when journals are missing, broken, or end without a farewell.

use std::collections::{HashSet, VecDeque};
use std::fs::{DirEntry, ReadDir};
use std::io;
use std::time::SystemTime;

use crate::disk::layout::parse_span;
use crate::disk::ledger::Ledger;
use crate::disk::root::Root;
use crate::event::LossReason;
use crate::index::{Asset, State};
use crate::key::{AssetId, ResourceKey, ResourceName};
use crate::meta::UnixMillis;
use crate::spans::Span;

/// A walk through all assets, in steps of bounded length.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Still to be visited.
    assets: VecDeque<AssetId>,
    current: Option<Visit>,
    /// Folders that could not be read.
    unreadable: usize,
}

/// An asset that is being compared.
#[derive(Debug)]
struct Visit {
    asset: AssetId,
    files: ReadDir,
    seen: HashSet<(ResourceName, u64)>,
    /// Not all of its folder could be read.
    is_unreadable: bool,
}

impl Walk {
    /// A walk through the assets that have a folder or an entry in the index.
    pub(crate) fn begin(root: &Root) -> Self {
        let mut assets: HashSet<AssetId> = root.shared.read(|index| index.assets().map(|(id, _)| *id).collect());
        let listed = list_assets(root).map(|present| assets.extend(present));
        let mut walk = Self { assets: assets.into_iter().collect(), current: None, unreadable: 0 };
        if let Err(error) = listed {
            walk.could_not_read(root, &error);
        }
        walk
    }

    /// How many folders could not be read so far.
    pub(crate) const fn unreadable(&self) -> usize {
        self.unreadable
    }

    fn could_not_read(&mut self, root: &Root, error: &io::Error) {
        root.could_not_look(error);
        self.unreadable += usize::from(error.kind() != io::ErrorKind::NotFound);
    }

    /// Compares about `files` files. False when the walk is at its end.
    pub(crate) fn step(&mut self, ledger: &mut Ledger, files: usize) -> bool {
        let Some(visit) = &mut self.current else {
            let Some(asset) = self.assets.pop_front() else { return false };
            // A folder that is gone has no files: all its entries are wrong.
            match std::fs::read_dir(ledger.root.layout.asset(asset)) {
                Ok(files) => self.current = Some(Visit { asset, files, seen: HashSet::new(), is_unreadable: false }),
                Err(error) => {
                    self.could_not_read(&ledger.root, &error);
                    forget_missing(ledger, asset, &HashSet::new());
                }
            }
            return true;
        };
        for _ in 0..files {
            match visit.files.next() {
                Some(Ok(entry)) => visit.compare(&ledger.root, &entry),
                Some(Err(error)) => {
                    ledger.root.could_not_look(&error);
                    visit.is_unreadable = true;
                }
                None => {
                    forget_missing(ledger, visit.asset, &visit.seen);
                    self.unreadable += usize::from(visit.is_unreadable);
                    self.current = None;
                    return true;
                }
            }
        }
        true
    }
}

impl Visit {
    fn compare(&mut self, root: &Root, entry: &DirEntry) {
        let name = entry.file_name();
        let Some((key, start)) = name.to_str().and_then(|name| parse_span(self.asset, name)) else { return };
        self.seen.insert((key.name, start));
        root.resolve(&key);
        if !root.shared.resource(&key, |resource| lists(resource.spans.as_slice(), start)).unwrap_or_default() {
            root.take_in(&key, start);
        }
    }
}

/// Fills an empty index from names and sizes alone: no file is opened, which is what makes it quick.
pub(crate) fn list_files(root: &Root) -> io::Result<()> {
    for asset in list_assets(root)? {
        // What is in the others is there all the same.
        if let Err(error) = list_files_of(root, asset) {
            root.could_not_look(&error);
        }
    }
    Ok(())
}

fn list_files_of(root: &Root, asset: AssetId) -> io::Result<()> {
    for entry in std::fs::read_dir(root.layout.asset(asset))? {
        let entry = entry?;
        let Some((key, start)) = entry.file_name().to_str().and_then(|name| parse_span(asset, name)) else {
            continue;
        };
        let metadata = entry.metadata()?;
        let written = UnixMillis::from(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)).0;
        // A time far ahead is none of a use: it would let all that follow be later, for good.
        let written = root.shared.use_of_commit(written);
        root.shared.stamps_follow(written);
        root.shared.uses_follow(written);
        root.shared.write(|index| index.admit_unread(&key, start, metadata.len(), written));
    }
    Ok(())
}

pub(crate) fn list_assets(root: &Root) -> io::Result<Vec<AssetId>> {
    let mut assets = Vec::new();
    for entry in std::fs::read_dir(root.layout.assets())? {
        assets.extend(entry?.file_name().to_str().and_then(|name| name.parse::<AssetId>().ok()));
    }
    Ok(assets)
}

/// Removes entries whose file was not seen and is not there.
fn forget_missing(ledger: &mut Ledger, asset: AssetId, seen: &HashSet<(ResourceName, u64)>) {
    for (key, spans) in listed(&ledger.root, asset) {
        for span in spans.iter().filter(|span| !seen.contains(&(key.name, span.start))) {
            // It may have come since the folder was listed.
            if matches!(ledger.root.layout.span(&key, span.start).try_exists(), Ok(false)) {
                let stamp = ledger.root.shared.next_stamp();
                ledger.remove_span(&key, span, LossReason::Gone, stamp);
            }
        }
    }
    ledger.remove_remains(asset);
    ledger.tell();
}

fn listed(root: &Root, asset: AssetId) -> Vec<(ResourceKey, Vec<Span>)> {
    root.shared.read(|index| {
        let resources = index.asset(&asset).into_iter().flat_map(Asset::resources);
        let known = resources.filter(|(_, resource)| resource.state != State::Removing);
        known.map(|(name, resource)| (ResourceKey { asset, name: *name }, resource.spans.as_slice().to_vec())).collect()
    })
}

fn lists(spans: &[Span], start: u64) -> bool {
    spans.binary_search_by_key(&start, |span| span.start).is_ok()
}
