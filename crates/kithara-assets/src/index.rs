//! What is present, in memory. Pure: no file, no clock, no lock.
//!
//! The index is a memory of the medium, not the truth. It may name a span whose file is gone (a reader finds out and
//! removes the entry) and it may miss one (a lookup probes the medium).
//!
//! Stored bytes are counted once per file. Files that are hard links of each other have one *fingerprint*, and all
//! resources with the same fingerprint form a *group* that is counted once.

use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

// Keys are hashes already: what is wanted of another one is that it is quick, and not known outside of this process.
use foldhash::HashMap;

use crate::format::Record;
use crate::key::{AssetId, ResourceKey, ResourceName};
use crate::offer::{Admission, Judgement, Offer, Rule};
use crate::resource::StoredVersion;
use crate::spans::{Inserted, Span, Spans};

#[derive(Debug, Default)]
pub(crate) struct Index {
    assets: HashMap<AssetId, Asset>,
    counts: Counts,
    /// Resources whose length was noted before anything of them was there, oldest first.
    bare: VecDeque<ResourceKey>,
    /// Versions of resources so far.
    generations: u64,
}

/// What all spans are together.
#[derive(Debug, Default)]
struct Counts {
    /// By fingerprint; never zero.
    groups: HashMap<u64, Group>,
    spans: usize,
    stored: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Asset {
    resources: HashMap<ResourceName, Resource>,
    /// Never evicted while true.
    pub(crate) pinned: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Resource {
    pub(crate) spans: Spans,
    /// [`UNKNOWN`] until somebody knows.
    total: u64,
    /// See [`Validators::mark`](crate::Validators); zero where there are none.
    pub(crate) mark: u64,
    /// Stamp of the last commit.
    pub(crate) committed: u64,
    /// Stamp of the last use. Written by readers under the shared lock, read by eviction.
    used: AtomicU64,
    /// Zero where the file is not shared and may not be.
    fingerprint: u64,
    /// See [`StoredVersion`]; means nothing while there are no spans.
    generation: u64,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Known,
    /// Found by a directory walk, which opens no file: lengths, total and mark are not known before the first use.
    Unread,
    /// Nothing of it may be found any more, but its files are not removed yet.
    Removing,
}

/// Whether a file is of a span that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    /// It is of another commit of the resource.
    Other,
    /// It was written for another resource, and its content is not that which the resource has.
    OtherContent,
}

#[derive(Debug)]
struct Group {
    /// The resource that was linked last, so that the least recently used ones may go.
    latest: ResourceKey,
    links: u32,
}

/// A resource that may be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Victim {
    pub(crate) used: u64,
    pub(crate) key: ResourceKey,
}

const UNKNOWN: u64 = u64::MAX;
/// Entries that may have a length and no span.
const MAX_BARE: usize = 256;

impl Resource {
    pub(crate) fn total(&self) -> Option<u64> {
        (self.total != UNKNOWN).then_some(self.total)
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes a use.
    pub(crate) fn touch(&self, stamp: u64) {
        self.used.fetch_max(stamp, Ordering::Relaxed);
    }

    /// Lets a use that is far ahead be at `stamp`, unless it was used since.
    pub(crate) fn bring_use_back(&self, used: u64, stamp: u64) {
        // Whoever was quicker knows better.
        let _ = self.used.compare_exchange(used, stamp, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The version of its spans, where there are any.
    pub(crate) fn version(&self) -> Option<StoredVersion> {
        let known = self.state == State::Known && !self.spans.is_empty();
        known.then(|| StoredVersion { generation: self.generation, mark: self.mark, total: self.total() })
    }

    /// True where this very span is there.
    pub(crate) fn lists(&self, span: &Span) -> bool {
        self.spans.beginning_at(span.start) == Some(span)
    }

    /// Whether a file that is where `listed` should be holds it, by what the file says of itself: it is of the same commit,
    /// or has the same `content`. The stamp of a link is that of another resource's commit, and says nothing.
    pub(crate) fn is_held_by(&self, listed: &Span, said: &Offer, content: u64, is_link: bool) -> bool {
        let same_mark = self.mark == 0 || said.mark == 0 || self.mark == said.mark;
        let same_commit = !is_link && said.span.committed == listed.committed;
        same_mark && said.span.len == listed.len && (same_commit || self.has_content(content))
    }

    /// As [`Resource::is_held_by`], with what it is else.
    pub(crate) fn holds(&self, listed: &Span, said: &Offer, content: u64, is_link: bool) -> Held {
        if self.is_held_by(listed, said, content, is_link) {
            Held::Yes
        } else if is_link && self.fingerprint != 0 {
            Held::OtherContent
        } else {
            Held::Other
        }
    }

    /// Whether this is the fingerprint of its content, as far as that is known.
    pub(crate) const fn has_content(&self, fingerprint: u64) -> bool {
        self.fingerprint != 0 && self.fingerprint == fingerprint
    }

    fn agrees_with(&self, offer: &Offer) -> bool {
        let same_mark = self.mark == 0 || offer.mark == 0 || self.mark == offer.mark;
        let same_total = self.total == UNKNOWN || offer.total.is_none_or(|total| total == self.total);
        let total = offer.total.unwrap_or(self.total);
        let last = self.spans.as_slice().last().map_or(0, Span::end);
        same_mark && same_total && offer.span.end().max(last) <= total
    }
}

impl Index {
    pub(crate) fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.assets.get(&key.asset)?.resources.get(&key.name)
    }

    pub(crate) fn assets(&self) -> impl Iterator<Item = (&AssetId, &Asset)> {
        self.assets.iter()
    }

    pub(crate) fn asset(&self, id: &AssetId) -> Option<&Asset> {
        self.assets.get(id)
    }

    /// All resources.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ResourceKey, &Resource)> {
        self.assets.iter().flat_map(|(id, asset)| {
            asset.resources.iter().map(|(name, resource)| (ResourceKey { asset: *id, name: *name }, resource))
        })
    }

    /// Assets that are never evicted.
    pub(crate) fn pinned(&self) -> impl Iterator<Item = AssetId> {
        self.assets.iter().filter(|(_, asset)| asset.pinned).map(|(id, _)| *id)
    }

    /// All resources of an asset.
    pub(crate) fn keys_of(&self, id: &AssetId) -> Vec<ResourceKey> {
        let resources = self.asset(id).into_iter().flat_map(Asset::resources);
        resources.map(|(name, _)| ResourceKey { asset: *id, name: *name }).collect()
    }

    /// What the journal has to say to bring a resource back.
    pub(crate) fn records(&self, key: &ResourceKey) -> Vec<Record> {
        let Some(resource) = self.get(key).filter(|resource| resource.state == State::Known) else {
            return Vec::new();
        };
        let record = |span: &Span| {
            let offer = Offer {
                span: *span,
                total: resource.total(),
                mark: resource.mark,
                fingerprint: resource.fingerprint,
                stamp: resource.used(),
                rule: Rule::Restore,
            };
            offer.record(key)
        };
        resource.spans.as_slice().iter().map(record).collect()
    }

    /// Bytes on the medium, shared files counted once.
    pub(crate) const fn stored(&self) -> u64 {
        self.counts.stored
    }

    /// Spans of all resources.
    pub(crate) const fn spans(&self) -> usize {
        self.counts.spans
    }

    /// Resources of which something is present.
    pub(crate) fn resources(&self) -> usize {
        self.iter().filter(|(_, resource)| !resource.spans.is_empty()).count()
    }

    pub(crate) fn admit(&mut self, key: &ResourceKey, offer: &Offer) -> Admission {
        if offer.is_beyond_its_end() {
            return Admission::Conflict;
        }
        let generation = self.next_generation();
        let Self { assets, counts, .. } = self;
        let resources = &mut assets.entry(key.asset).or_default().resources;
        let resource = resources.entry(key.name).or_insert_with(Resource::bare);
        let was_empty = resource.spans.is_empty();
        let (gone, is_new) = match resource.judge(offer) {
            // What is not there yet agrees with everything.
            Judgement::Conflict => return Admission::Conflict,
            Judgement::Replace => (resource.clear(counts), true),
            Judgement::Renew => {
                let is_new = !resource.is_of_version_of(offer);
                (resource.take_span(offer.span.start, counts).into_iter().collect(), is_new)
            }
            Judgement::Join | Judgement::Redundant => (Vec::new(), was_empty),
        };
        if is_new {
            resource.generation = generation;
        }
        resource.touch(offer.stamp);
        if resource.state == State::Unread {
            return Admission::Redundant;
        }
        if offer.mark != 0 {
            resource.mark = offer.mark;
        }
        resource.total = offer.total.unwrap_or(resource.total);
        resource.committed = resource.committed.max(offer.span.committed);
        let Inserted::Yes { replaced } = resource.spans.insert(offer.span) else {
            return Admission::Redundant;
        };
        let former = std::mem::replace(&mut resource.fingerprint, offer.fingerprint);
        for span in &replaced {
            counts.remove(former, span.stored);
        }
        counts.add(key, offer.fingerprint, offer.span.stored);
        Admission::Admitted { gone: gone.into_iter().chain(replaced).collect() }
    }

    /// What [`Index::admit`] would do.
    pub(crate) fn judge(&self, key: &ResourceKey, offer: &Offer) -> Judgement {
        if offer.is_beyond_its_end() {
            return Judgement::Conflict;
        }
        self.get(key).map_or(Judgement::Join, |resource| resource.judge(offer))
    }

    /// Enters a file that a directory walk found. What is known already stays.
    pub(crate) fn admit_unread(&mut self, key: &ResourceKey, start: u64, stored: u64, stamp: u64) -> bool {
        if self.get(key).is_some_and(|resource| resource.state != State::Unread) {
            return false;
        }
        let resource = self.entry(key);
        resource.state = State::Unread;
        resource.touch(stamp);
        if resource.spans.insert(Span { start, len: 0, stored, committed: 0 }) == Inserted::Redundant {
            return false;
        }
        self.counts.add(key, 0, stored);
        true
    }

    /// Forgets an unread resource, so that its spans can be offered one by one.
    pub(crate) fn take_unread(&mut self, key: &ResourceKey) -> Vec<Span> {
        match self.get(key).map(|resource| resource.state) {
            Some(State::Unread) => self.remove(key),
            _ => Vec::new(),
        }
    }

    /// Takes out one span, and the resource with its last.
    pub(crate) fn remove_span(&mut self, key: &ResourceKey, start: u64) -> Option<Span> {
        let Self { assets, counts, .. } = self;
        let span = assets.get_mut(&key.asset)?.resources.get_mut(&key.name)?.take_span(start, counts)?;
        if self.get(key).is_some_and(|resource| resource.spans.is_empty() && resource.state != State::Removing) {
            self.drop_resource(key);
        }
        Some(span)
    }

    /// As [`Index::remove_span`], of this very span: not of one that came in its place.
    pub(crate) fn remove_listed(&mut self, key: &ResourceKey, listed: &Span) -> Option<Span> {
        self.get(key).filter(|resource| resource.lists(listed))?;
        self.remove_span(key, listed.start)
    }

    /// Takes what the file says that is where `listed` should be. What is there then is of another version, unless
    /// validators say that it is the same. `None` where something else than `listed` is there by now.
    pub(crate) fn correct(&mut self, key: &ResourceKey, listed: &Span, offer: &Offer) -> Option<Admission> {
        let resource = self.get(key).filter(|resource| resource.lists(listed))?;
        if !resource.is_of_version_of(offer) {
            self.begin_version(key);
        }
        self.remove_span(key, listed.start);
        Some(self.admit(key, offer))
    }

    /// Lets what is present of a resource be of another version than it was: some of it may be.
    pub(crate) fn begin_version(&mut self, key: &ResourceKey) {
        let generation = self.next_generation();
        if let Some(resource) = self.get_mut(key) {
            resource.generation = generation;
        }
    }

    /// Takes out a resource with all its spans.
    pub(crate) fn remove(&mut self, key: &ResourceKey) -> Vec<Span> {
        let spans = self.clear(key);
        self.drop_resource(key);
        spans
    }

    /// Takes out all spans and lets nothing be found before [`Index::end_removal`].
    pub(crate) fn begin_removal(&mut self, key: &ResourceKey) -> Vec<Span> {
        let spans = self.clear(key);
        self.entry(key).state = State::Removing;
        spans
    }

    pub(crate) fn end_removal(&mut self, key: &ResourceKey) {
        let asset = self.assets.get_mut(&key.asset);
        let resource = asset.and_then(|asset| asset.resources.get_mut(&key.name));
        let Some(resource) = resource.filter(|resource| resource.state == State::Removing) else {
            return;
        };
        resource.state = State::Known;
        // A length that was noted meanwhile belongs to the version that comes now.
        if resource.total == UNKNOWN {
            self.drop_resource(key);
        }
    }

    /// Notes the length of the whole resource. False where something else is known, or more is present.
    pub(crate) fn set_total(&mut self, key: &ResourceKey, total: u64) -> bool {
        let resource = self.entry(key);
        let last = resource.spans.as_slice().last().map_or(0, Span::end);
        let agrees = resource.total == UNKNOWN || resource.total == total;
        if !agrees || last > total {
            return false;
        }
        resource.total = total;
        if resource.spans.is_empty() {
            self.note_bare(*key);
        }
        true
    }

    pub(crate) fn set_pinned(&mut self, asset: &AssetId, pinned: bool) {
        self.assets.entry(*asset).or_default().pinned = pinned;
        self.drop_asset_if_empty(asset);
    }

    /// The resource whose file a new one with this fingerprint may be linked to.
    pub(crate) fn same_content(&self, fingerprint: u64) -> Option<ResourceKey> {
        let latest = self.counts.groups.get(&fingerprint)?.latest;
        let has_it = |resource: &Resource| resource.has_content(fingerprint);
        if self.get(&latest).is_some_and(has_it) {
            return Some(latest);
        }
        // It went before the others. What is linked now is the latest from then on, so this is hardly ever done.
        self.iter().find(|(_, resource)| has_it(resource)).map(|(key, _)| key)
    }

    /// Another resource that may have this content.
    pub(crate) fn may_share(&self, fingerprint: u64) -> Option<ResourceKey> {
        self.counts.groups.get(&fingerprint).map(|group| group.latest)
    }

    /// Lets uses later than `latest` be of just before `now`, in their order. True where there were any.
    pub(crate) fn bring_uses_back(&self, now: u64, latest: u64) -> bool {
        let mut ahead: Vec<_> = self.iter().map(|(_, resource)| (resource.used(), resource)).collect();
        ahead.retain(|(used, _)| *used > latest);
        ahead.sort_unstable_by_key(|(used, _)| *used);
        for ((used, resource), before) in ahead.iter().rev().zip(1..) {
            resource.bring_use_back(*used, now.saturating_sub(before));
        }
        !ahead.is_empty()
    }

    /// The least recently used resources of assets that are not pinned and that `may_go`, oldest first: at most
    /// `limit`, and only those used before `before`.
    pub(crate) fn oldest(&self, limit: usize, before: u64, may_go: impl Fn(&AssetId) -> bool) -> Vec<Victim> {
        let mut oldest = BinaryHeap::with_capacity(limit + 1);
        for (id, asset) in self.assets.iter().filter(|(id, asset)| !asset.pinned && may_go(id)) {
            for (name, resource) in &asset.resources {
                let used = resource.used();
                let keep = used < before
                    && (oldest.len() < limit || oldest.peek().is_some_and(|last: &Victim| used < last.used));
                if keep && !resource.spans.is_empty() {
                    oldest.push(Victim { used, key: ResourceKey { asset: *id, name: *name } });
                    if oldest.len() > limit {
                        oldest.pop();
                    }
                }
            }
        }
        oldest.into_sorted_vec()
    }

    /// Lets only so many entries exist whose spans never came.
    fn note_bare(&mut self, key: ResourceKey) {
        self.bare.push_back(key);
        if self.bare.len() <= MAX_BARE {
            return;
        }
        let oldest = self.bare.pop_front().filter(|key| {
            self.get(key).is_some_and(|resource| resource.spans.is_empty() && resource.state == State::Known)
        });
        if let Some(key) = oldest {
            self.drop_resource(&key);
        }
    }

    fn get_mut(&mut self, key: &ResourceKey) -> Option<&mut Resource> {
        self.assets.get_mut(&key.asset)?.resources.get_mut(&key.name)
    }

    const fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    fn entry(&mut self, key: &ResourceKey) -> &mut Resource {
        let resources = &mut self.assets.entry(key.asset).or_default().resources;
        resources.entry(key.name).or_insert_with(Resource::bare)
    }

    /// Takes out all spans and what they said of their resource; the entry stays.
    fn clear(&mut self, key: &ResourceKey) -> Vec<Span> {
        let Self { assets, counts, .. } = self;
        let resource = assets.get_mut(&key.asset).and_then(|asset| asset.resources.get_mut(&key.name));
        resource.map(|resource| resource.clear(counts)).unwrap_or_default()
    }

    fn drop_resource(&mut self, key: &ResourceKey) {
        if let Some(asset) = self.assets.get_mut(&key.asset) {
            asset.resources.remove(&key.name);
        }
        self.drop_asset_if_empty(&key.asset);
    }

    fn drop_asset_if_empty(&mut self, id: &AssetId) {
        if self.assets.get(id).is_some_and(|asset| asset.resources.is_empty() && !asset.pinned) {
            self.assets.remove(id);
        }
    }
}

impl Counts {
    fn add(&mut self, key: &ResourceKey, fingerprint: u64, stored: u64) {
        self.spans += 1;
        if fingerprint != 0 {
            let group = self.groups.entry(fingerprint).or_insert(Group { latest: *key, links: 0 });
            group.latest = *key;
            group.links += 1;
            if group.links > 1 {
                return;
            }
        }
        // What a journal says of lengths may be anything.
        self.stored = self.stored.saturating_add(stored);
    }

    fn remove(&mut self, fingerprint: u64, stored: u64) {
        self.spans -= 1;
        if let Some(group) = self.groups.get_mut(&fingerprint) {
            group.links -= 1;
            if group.links > 0 {
                return;
            }
            self.groups.remove(&fingerprint);
        }
        self.stored = self.stored.saturating_sub(stored);
    }
}

impl Asset {
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&ResourceName, &Resource)> {
        self.resources.iter()
    }
}

impl Resource {
    /// Nothing is known of it.
    fn bare() -> Self {
        Self { total: UNKNOWN, ..Self::default() }
    }

    /// Takes out all spans and what they said of the resource.
    fn clear(&mut self, counts: &mut Counts) -> Vec<Span> {
        let fingerprint = std::mem::take(&mut self.fingerprint);
        let spans = self.spans.take();
        self.total = UNKNOWN;
        self.mark = 0;
        self.committed = 0;
        self.state = State::Known;
        for span in &spans {
            counts.remove(fingerprint, span.stored);
        }
        spans
    }

    /// Takes out one span.
    fn take_span(&mut self, start: u64, counts: &mut Counts) -> Option<Span> {
        let span = self.spans.remove(start)?;
        counts.remove(std::mem::take(&mut self.fingerprint), span.stored);
        Some(span)
    }

    /// Whether validators say that an offer is of the version that is there.
    fn is_of_version_of(&self, offer: &Offer) -> bool {
        self.version().is_some_and(|version| version.is_of(offer.mark, offer.total))
    }

    fn judge(&self, offer: &Offer) -> Judgement {
        if self.state == State::Removing {
            return Judgement::Conflict;
        }
        let agrees = self.agrees_with(offer) && self.state == State::Known;
        match offer.rule {
            Rule::Replace => Judgement::Replace,
            // It is listed, or will be found when the resource is read.
            Rule::Restore if self.state == State::Unread => Judgement::Redundant,
            Rule::Restore if agrees && self.is_renewed_by(offer) => Judgement::Renew,
            _ if agrees && self.spans.holds(&offer.span) => Judgement::Redundant,
            _ if agrees => Judgement::Join,
            Rule::Commit if offer.is_whole() => Judgement::Replace,
            Rule::Restore if offer.span.committed >= self.committed => Judgement::Replace,
            _ => Judgement::Conflict,
        }
    }

    /// Whether an offer is of a span that is there, committed once more since.
    fn is_renewed_by(&self, offer: &Offer) -> bool {
        let listed = self.spans.beginning_at(offer.span.start);
        listed.is_some_and(|listed| listed.len == offer.span.len && listed.committed < offer.span.committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Partition;

    fn key(asset: &str, name: &str) -> ResourceKey {
        ResourceKey::named(AssetId::named(&Partition::default(), asset), name)
    }

    fn offer(start: u64, len: u64) -> Offer {
        let span = Span { start, len, stored: len + 10, committed: 1 };
        Offer { span, total: None, mark: 0, fingerprint: 0, stamp: 1, rule: Rule::Commit }
    }

    fn committed(stamp: u64, offer: Offer) -> Offer {
        Offer { span: Span { committed: stamp, ..offer.span }, ..offer }
    }

    fn whole(len: u64) -> Offer {
        Offer { total: Some(len), ..offer(0, len) }
    }

    fn admitted(gone: &[Offer]) -> Admission {
        Admission::Admitted { gone: gone.iter().map(|offer| offer.span).collect() }
    }

    #[test]
    fn stored_bytes_are_counted_as_files_come_and_go() {
        let mut index = Index::default();
        assert_eq!(index.admit(&key("a", "x"), &offer(0, 10)), admitted(&[]));
        assert_eq!(index.admit(&key("a", "x"), &offer(10, 10)), admitted(&[]));
        assert_eq!(index.admit(&key("a", "x"), &offer(5, 5)), Admission::Redundant);
        assert_eq!(index.stored(), 40);
        assert_eq!(index.admit(&key("a", "x"), &offer(0, 20)), admitted(&[offer(0, 10), offer(10, 10)]));
        assert_eq!(index.stored(), 30);
        index.remove_span(&key("a", "x"), 0);
        assert_eq!((index.stored(), index.resources(), index.assets().count()), (0, 0, 0));
    }

    #[test]
    fn shared_files_are_counted_once() {
        let mut index = Index::default();
        let offer = Offer { fingerprint: 7, ..whole(100) };
        index.admit(&key("a", "x"), &offer);
        assert_eq!(index.same_content(7), Some(key("a", "x")));
        index.admit(&key("a", "y"), &offer);
        assert_eq!((index.stored(), index.same_content(7)), (110, Some(key("a", "y"))));
        index.remove(&key("a", "y"));
        assert_eq!((index.stored(), index.same_content(7)), (110, Some(key("a", "x"))));
        index.remove(&key("a", "x"));
        assert_eq!((index.stored(), index.same_content(7)), (0, None));
    }

    #[test]
    fn a_part_must_agree_about_version_and_length() {
        let part = |mark, total| Offer { mark, total, ..offer(10, 10) };
        for (first, second, want) in [
            (part(0, None), part(1, None), true),
            (part(1, None), part(1, None), true),
            (part(1, None), part(2, None), false),
            (part(0, Some(40)), part(0, None), true),
            (part(0, None), part(0, Some(40)), true),
            (part(0, Some(40)), part(0, Some(41)), false),
            (part(0, None), part(0, Some(15)), false),
            (part(0, Some(25)), part(0, None), false),
        ] {
            let mut index = Index::default();
            index.admit(&key("a", "x"), &first);
            let second = Offer { span: offer(20, 10).span, ..second };
            let got = index.admit(&key("a", "x"), &second);
            assert_eq!(got == admitted(&[]), want, "{first:?} {second:?} {got:?}");
            assert_eq!(got == Admission::Conflict, !want);
        }
    }

    #[test]
    fn a_whole_resource_takes_the_place_of_another_version() {
        let mut index = Index::default();
        let old = Offer { mark: 1, ..offer(10, 10) };
        index.admit(&key("a", "x"), &old);
        assert_eq!(index.admit(&key("a", "x"), &Offer { mark: 2, ..whole(5) }), admitted(&[old]));
        assert_eq!(index.admit(&key("a", "x"), &Offer { mark: 2, ..whole(5) }), Admission::Redundant);
        let again = Offer { mark: 2, rule: Rule::Replace, ..whole(5) };
        assert_eq!(index.admit(&key("a", "x"), &again), admitted(&[again]));
    }

    #[test]
    fn of_two_restored_versions_the_younger_wins_in_either_order() {
        let old = Offer { mark: 1, stamp: 9, rule: Rule::Restore, ..committed(5, offer(0, 10)) };
        let new = Offer { mark: 2, stamp: 6, rule: Rule::Restore, ..committed(6, offer(20, 10)) };
        for pair in [[old, new], [new, old]] {
            let mut index = Index::default();
            for offer in pair {
                index.admit(&key("a", "x"), &offer);
            }
            assert_eq!(index.get(&key("a", "x")).unwrap().spans, Spans::One(new.span));
            assert_eq!(index.stored(), 20);
        }
    }

    #[test]
    fn a_resource_on_its_way_out_is_found_by_nobody() {
        let mut index = Index::default();
        index.admit(&key("a", "x"), &offer(0, 10));
        assert_eq!(index.begin_removal(&key("a", "x")), [offer(0, 10).span]);
        assert_eq!(index.admit(&key("a", "x"), &whole(4)), Admission::Conflict);
        assert!(!index.admit_unread(&key("a", "x"), 0, 20, 1));
        index.end_removal(&key("a", "x"));
        assert_eq!(index.admit(&key("a", "x"), &whole(4)), admitted(&[]));
    }

    #[test]
    fn eviction_takes_the_least_recently_used_and_spares_what_is_held() {
        let mut index = Index::default();
        for (asset, name, stamp) in [("a", "1", 5), ("a", "2", 3), ("b", "1", 4), ("b", "2", 1), ("c", "1", 2)] {
            index.admit(&key(asset, name), &Offer { stamp, ..whole(10) });
        }
        index.set_pinned(&key("c", "").asset, true);
        index.get(&key("b", "2")).unwrap().touch(9);
        let names = |limit, before| {
            let oldest = index.oldest(limit, before, |_| true);
            oldest.into_iter().map(|victim| victim.used).collect::<Vec<_>>()
        };
        assert_eq!(names(10, u64::MAX), [3, 4, 5, 9]);
        assert_eq!(names(2, u64::MAX), [3, 4]);
        assert_eq!(names(10, 5), [3, 4]);
        let spared = index.oldest(10, u64::MAX, |asset| *asset != key("a", "").asset);
        assert_eq!(spared.len(), 2);
    }

    #[test]
    fn what_a_walk_found_is_offered_one_by_one_later() {
        let mut index = Index::default();
        assert!(index.admit_unread(&key("a", "x"), 0, 20, 1));
        assert!(index.admit_unread(&key("a", "x"), 100, 30, 2));
        assert!(!index.admit_unread(&key("a", "x"), 100, 30, 2));
        assert_eq!((index.stored(), index.resources()), (50, 1));
        assert_eq!(index.take_unread(&key("a", "x")).len(), 2);
        assert_eq!((index.stored(), index.resources()), (0, 0));
    }
}
