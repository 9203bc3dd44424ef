//! Looking after a store: what is in it, whether it is right, what may go. These are the answers of
//! [`AssetStore`](crate::AssetStore) to those who ask.

use std::ops::{ControlFlow, Range};
use std::time::Duration;

use crate::error::AssetsErrorKind;
use crate::event::LossReason;
use crate::index::{Asset, Index, Resource};
use crate::key::{AssetId, ResourceKey};
use crate::medium::Medium;
use crate::meta::UnixMillis;

/// How much there is in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes on the medium, with what is stored beside the data. Files with several names count once.
    pub bytes: u64,
    /// Bytes there may be: the quota on disk, the capacity in memory.
    pub limit: u64,
    /// Resources of which something is present.
    pub resources: usize,
}

/// One asset, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetSummary {
    /// Which one.
    pub id: AssetId,
    /// What the application calls it; see [`AssetStore::set_label`](crate::AssetStore::set_label).
    pub label: Option<String>,
    /// Bytes on the medium, with what is stored beside the data. Files with several names count for each.
    pub bytes: u64,
    /// Resources of which something is present.
    pub resources: usize,
    /// When one of them was used last, as far as that was recorded.
    pub last_used: UnixMillis,
    /// It is never evicted.
    pub pinned: bool,
    /// It is not evicted now, for this process has a lease. Leases of other processes are not shown.
    pub leased: bool,
}

/// One resource, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSummary {
    /// Which one.
    pub key: ResourceKey,
    /// Present byte ranges.
    pub spans: Vec<Range<u64>>,
    /// Length of the whole resource, if it is known.
    pub total_len: Option<u64>,
    /// Bytes on the medium, with what is stored beside the data.
    pub bytes: u64,
    /// When it was used last, as far as that was recorded.
    pub last_used: UnixMillis,
}

/// How far [`AssetStore::verify`](crate::AssetStore::verify) has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Resources there are to check.
    pub resources: usize,
    /// Of these, checked.
    pub checked: usize,
    /// Bytes of data read and found right.
    pub good_bytes: u64,
    /// Bytes of spans that were not right, and are holes now. Files that were never finished, and small ones that are found
    /// broken before the index knows of them, are removed without being counted.
    pub bad_bytes: u64,
    /// Bytes of spans that went away before they were read, which says nothing of the disk: another process evicted or
    /// replaced them, or somebody deleted their files.
    pub gone_bytes: u64,
    /// Spans that could not be read, and were left alone.
    pub unreadable: usize,
    /// Folders that could not be read, of which nobody knows what is in them.
    pub unreadable_folders: usize,
}

/// What [`AssetStore::gc`](crate::AssetStore::gc) keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcOptions {
    /// Bytes that may stay. `None` stands for the store's own limit. Default: `None`.
    pub quota: Option<u64>,
    /// Resources not used for this long go. `None` stands for the store's own limit. Default: `None`.
    pub unused_for: Option<Duration>,
}

/// What [`AssetStore::gc`](crate::AssetStore::gc) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// Resources that went.
    pub resources: usize,
    /// Bytes that were freed.
    pub bytes: u64,
    /// Bytes that stayed.
    pub bytes_left: u64,
    /// What kept it from doing all that was asked for: [`Busy`](AssetsErrorKind::Busy) where another process was at it for more
    /// than half a second, else what the file system says.
    pub obstacle: Option<AssetsErrorKind>,
}

pub(crate) fn assets(medium: &Medium) -> Vec<AssetSummary> {
    let shared = medium.shared();
    let summary = |(id, asset): (&AssetId, &Asset)| {
        let present = || asset.resources().map(|(_, resource)| resource).filter(|resource| !resource.spans.is_empty());
        AssetSummary {
            id: *id,
            label: None,
            bytes: stored(present()),
            resources: present().count(),
            last_used: UnixMillis(present().map(Resource::used).max().unwrap_or_default()),
            pinned: asset.pinned,
            leased: shared.leases.is_leased(id),
        }
    };
    let mut assets: Vec<_> = shared.read(|index| index.assets().map(summary).collect());
    assets.retain(|asset| asset.resources > 0 || asset.pinned);
    for asset in &mut assets {
        asset.label = medium.label(asset.id);
    }
    assets.sort_by_key(|asset| (asset.last_used, asset.id));
    assets
}

pub(crate) fn resources(medium: &Medium, asset: AssetId) -> Vec<ResourceSummary> {
    let keys = medium.shared().read(|index| index.keys_of(&asset));
    for key in &keys {
        medium.know(key);
    }
    let summary = |index: &Index, key: &ResourceKey| {
        let resource = index.get(key).filter(|resource| !resource.spans.is_empty())?;
        Some(ResourceSummary {
            key: *key,
            spans: resource.spans.ranges(),
            total_len: resource.total(),
            bytes: stored(std::iter::once(resource)),
            last_used: UnixMillis(resource.used()),
        })
    };
    let present = |index: &Index| keys.iter().filter_map(|key| summary(index, key)).collect::<Vec<_>>();
    let mut resources = medium.shared().read(present);
    resources.sort_by_key(|resource| (resource.last_used, resource.key));
    resources
}

pub(crate) fn verify(medium: &Medium, progress: &mut dyn FnMut(&Verified) -> ControlFlow<()>) -> Verified {
    let unreadable_folders = medium.compare().wait().unwrap_or_else(|error| {
        tracing::debug!(%error, "the index is not compared with the files");
        0
    });
    let keys: Vec<ResourceKey> = medium.shared().read(|index| index.iter().map(|(key, _)| key).collect());
    let mut verified = Verified { resources: keys.len(), unreadable_folders, ..Verified::default() };
    for key in keys {
        medium.know(&key);
        let spans = medium.shared().resource(&key, |resource| resource.spans.as_slice().to_vec());
        for span in spans.unwrap_or_default() {
            match medium.check(&key, span) {
                Ok(None) => verified.good_bytes = verified.good_bytes.saturating_add(span.len),
                Ok(Some(LossReason::Corrupt)) => verified.bad_bytes = verified.bad_bytes.saturating_add(span.len),
                Ok(Some(_)) => verified.gone_bytes = verified.gone_bytes.saturating_add(span.len),
                Err(_) => verified.unreadable += 1,
            }
        }
        verified.checked += 1;
        if progress(&verified).is_break() {
            break;
        }
    }
    verified
}

/// Bytes on the medium, as far as can be counted: a journal may say anything.
pub(crate) fn stored<'a>(resources: impl Iterator<Item = &'a Resource>) -> u64 {
    let spans = resources.flat_map(|resource| resource.spans.as_slice());
    spans.fold(0, |sum: u64, span| sum.saturating_add(span.stored))
}
