//! Entries on presentation time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// How far an entry reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It is a moment.
    Instant,
    /// It is active up to this time, exclusive.
    Until(Duration),
    /// Its end is not known yet.
    Open,
}

/// One thing with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    /// When it begins, in presentation time.
    pub start: Duration,
    /// How far it reaches.
    pub extent: Extent,
    /// What it is.
    pub value: V,
}

/// What a playhead meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crossing<'a, V> {
    /// The entry begins.
    Enter(&'a Entry<V>),
    /// The entry ends.
    Leave(&'a Entry<V>),
}

/// Entries in order of time, each known by a key: what comes again under its key takes the place of what was there.
///
/// At most as many entries are held as was allowed; beyond that the one that begins first makes room. Looking costs as
/// much as what is found, and what began within the longest extent before.
#[derive(Clone, Debug)]
pub struct MetadataTimeline<K, V> {
    places: BTreeMap<K, Place>,
    entries: BTreeMap<Place, (K, Entry<V>)>,
    /// Those whose end is not known.
    open: BTreeSet<Place>,
    longest: Duration,
    capacity: usize,
    next: u64,
}

/// Start, and the order of arrival among those of one start.
type Place = (Duration, u64);

impl<K: Ord + Clone, V: PartialEq> MetadataTimeline<K, V> {
    /// An empty timeline that holds up to `capacity` entries, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            places: BTreeMap::new(),
            entries: BTreeMap::new(),
            open: BTreeSet::new(),
            longest: Duration::ZERO,
            capacity: capacity.max(1),
            next: 0,
        }
    }

    /// Puts an entry at its time; `false` when the same was there already. An extent that ends before it begins is an
    /// instant.
    pub fn insert(&mut self, key: K, entry: Entry<V>) -> bool {
        let extent = match entry.extent {
            Extent::Until(end) if end <= entry.start => Extent::Instant,
            extent => extent,
        };
        let entry = Entry { extent, ..entry };
        if self.get(&key) == Some(&entry) {
            return false;
        }
        // What only changes keeps its place among those of one start.
        let kept = self.places.get(&key).copied().filter(|place| place.0 == entry.start);
        self.remove(&key);
        if self.entries.len() >= self.capacity
            && let Some((_, (oldest, _))) = self.entries.first_key_value()
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        let place = kept.unwrap_or((entry.start, self.next));
        self.next += 1;
        match entry.extent {
            Extent::Open => drop(self.open.insert(place)),
            Extent::Until(end) => self.longest = self.longest.max(end - entry.start),
            Extent::Instant => {}
        }
        self.places.insert(key.clone(), place);
        self.entries.insert(place, (key, entry));
        true
    }

    /// Takes the entry of `key` away.
    pub fn remove(&mut self, key: &K) -> Option<Entry<V>> {
        let place = self.places.remove(key)?;
        self.open.remove(&place);
        self.entries.remove(&place).map(|(_, entry)| entry)
    }

    /// The entry of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&Entry<V>> {
        self.entries.get(self.places.get(key)?).map(|(_, entry)| entry)
    }

    /// All entries and their keys, in order of time.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &Entry<V>)> {
        self.entries.values().map(|(key, entry)| (key, entry))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What begins within `range`, in order of time.
    pub fn between(&self, range: Range<Duration>) -> impl DoubleEndedIterator<Item = &Entry<V>> {
        let end = range.end.max(range.start);
        self.entries.range((range.start, 0)..(end, 0)).map(|(_, (_, entry))| entry)
    }

    /// What is active at `time`, in order of time: what has begun and not ended. An instant is never active.
    #[must_use]
    pub fn active_at(&self, time: Duration) -> Vec<&Entry<V>> {
        let mut found: Vec<(Place, &Entry<V>)> =
            self.reaching(time).filter(|(_, entry)| matches!(entry.extent, Extent::Until(end) if time < end)).collect();
        let begun = self.open.range(..=(time, u64::MAX));
        found.extend(begun.filter_map(|place| Some((*place, &self.entries.get(place)?.1))));
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    /// What a playhead that moves through `range` enters and leaves, in order of time; what ends at a time is left before
    /// anything is entered, and an instant is entered alone.
    #[must_use]
    pub fn crossings(&self, range: Range<Duration>) -> Vec<Crossing<'_, V>> {
        let enter = self.between(range.clone()).map(|entry| (entry.start, 1, Crossing::Enter(entry)));
        let ends =
            self.reaching(range.start).map(|(_, entry)| entry).chain(self.between(after(range.start)..range.end));
        let leave = ends.filter_map(|entry| match entry.extent {
            Extent::Until(end) if range.contains(&end) => Some((end, 0, Crossing::Leave(entry))),
            _ => None,
        });
        let mut found: Vec<_> = enter.chain(leave).collect();
        found.sort_by_key(|(time, order, _)| (*time, *order));
        // What begins and ends within the stretch is entered before it is left: its end is later than its start.
        found.into_iter().map(|(_, _, crossing)| crossing).collect()
    }

    /// What began at `time` or so long before it that it may still last.
    fn reaching(&self, time: Duration) -> impl Iterator<Item = (Place, &Entry<V>)> {
        let from = time.saturating_sub(self.longest);
        self.entries.range((from, 0)..=(time, u64::MAX)).map(|(place, (_, entry))| (*place, entry))
    }
}

/// The next moment.
fn after(time: Duration) -> Duration {
    time.saturating_add(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn entry(start: u64, extent: Extent) -> Entry<u64> {
        Entry { start: s(start), extent, value: start }
    }

    fn three() -> MetadataTimeline<&'static str, u64> {
        let mut all = MetadataTimeline::new(10);
        all.insert("open", entry(7, Extent::Open));
        all.insert("long", entry(2, Extent::Until(s(9))));
        all.insert("instant", entry(3, Extent::Instant));
        all
    }

    #[test]
    fn entries_are_found_by_their_time() {
        let all = three();
        let starts = |from, to| all.between(s(from)..s(to)).map(|it| it.value).collect::<Vec<_>>();
        assert_eq!((starts(0, 3), starts(2, 8), starts(9, 3)), (vec![2], vec![2, 3, 7], vec![]));
        let active = |at| all.active_at(s(at)).iter().map(|it| it.value).collect::<Vec<_>>();
        assert_eq!((active(1), active(3), active(8), active(9)), (vec![], vec![2], vec![2, 7], vec![7]));
    }

    #[test]
    fn a_playhead_enters_and_leaves() {
        let all = three();
        let met: Vec<_> = all
            .crossings(s(2)..s(10))
            .into_iter()
            .map(|it| match it {
                Crossing::Enter(entry) => (true, entry.value),
                Crossing::Leave(entry) => (false, entry.value),
            })
            .collect();
        assert_eq!(met, [(true, 2), (true, 3), (true, 7), (false, 2)]);
        assert_eq!(all.crossings(s(9)..s(10)).len(), 1, "what began long before is left");
    }

    #[test]
    fn what_comes_again_takes_the_place_of_what_was_there() {
        let mut all = three();
        assert!(!all.insert("long", entry(2, Extent::Until(s(9)))));
        assert!(all.insert("open", entry(7, Extent::Until(s(8)))));
        assert_eq!((all.len(), all.active_at(s(8)).len()), (3, 1));
        assert!(all.insert("long", entry(20, Extent::Until(s(10)))));
        assert_eq!(all.get(&"long").unwrap().extent, Extent::Instant);
    }

    #[test]
    fn the_earliest_makes_room() {
        let mut all = MetadataTimeline::new(2);
        for start in [5, 1, 9] {
            all.insert(start, entry(start, Extent::Instant));
        }
        assert_eq!(all.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [5, 9]);
    }

    proptest! {
        #[test]
        fn looking_agrees_with_trying_all(
            entries in prop::collection::vec((0u64..8, 0u64..40, 0u64..60), 0..40),
            at in 0u64..50,
            len in 0u64..20,
        ) {
            let mut all = MetadataTimeline::new(100);
            for (key, start, end) in entries {
                let extent = if end == 0 { Extent::Open } else { Extent::Until(s(end)) };
                all.insert(key, entry(start, extent));
            }
            let active = all.iter().filter(|(_, it)| it.start <= s(at) && match it.extent {
                Extent::Instant => false,
                Extent::Until(end) => s(at) < end,
                Extent::Open => true,
            }).count();
            prop_assert_eq!(all.active_at(s(at)).len(), active);
            let range = s(at)..s(at + len);
            let enters = all.iter().filter(|(_, it)| range.contains(&it.start)).count();
            let leaves = all.iter().filter(|(_, it)| matches!(it.extent, Extent::Until(end) if range.contains(&end)));
            prop_assert_eq!(all.crossings(range.clone()).len(), enters + leaves.count());
        }
    }
}
