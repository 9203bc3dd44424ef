//! Opening a store: the index is restored from the journals.

use std::io;

use crate::disk::journal::{self, Journal, JournalReader, Others};
use crate::disk::layout::Layout;
use crate::disk::lock::FileLock;
use crate::disk::span_file::SpanFile;
use crate::format::Record;
use crate::index::{Index, Resource, State};
use crate::key::ResourceKey;
use crate::offer::{Admission, Judgement, Offer, Rule};
use crate::shared::Shared;
use crate::spans::Span;

/// What is known of the journals after a store was opened.
#[derive(Debug)]
pub(crate) struct Restored {
    /// Ours; `None` where it cannot be written.
    pub(crate) journal: Option<Journal>,
    pub(crate) others: Others,
    /// Spans in whose place another process put others, under other names: their files may still be there.
    pub(crate) covered: Vec<(ResourceKey, Span)>,
    /// Journals of dead processes beside the one that we adopted are to be merged into ours.
    pub(crate) merge: bool,
    /// Something may be on the disk that no journal tells of, or the other way round.
    pub(crate) doubtful: bool,
    /// No journal could be read at all, so the index is empty.
    pub(crate) unread: bool,
    /// The store was made just now, so that nothing can be left in it.
    pub(crate) is_new: bool,
    /// Somebody else writes a journal, or nobody can know.
    pub(crate) met: bool,
}

impl Restored {
    /// The store was made just now.
    pub(crate) fn made(layout: &Layout) -> Self {
        let journal = Journal::begin(layout).ok();
        // Where none can be begun, chores try again.
        let is_new = journal.is_some();
        Self { journal, is_new, doubtful: false, unread: false, met: false, ..Self::nothing() }
    }

    /// No journal can be read or written.
    pub(crate) fn nothing() -> Self {
        Self {
            journal: None,
            others: Others::default(),
            covered: Vec::new(),
            merge: false,
            doubtful: true,
            unread: true,
            is_new: false,
            met: true,
        }
    }
}

struct Found {
    id: u64,
    reader: JournalReader,
    /// The record to apply next.
    next: Option<Record>,
    last: Option<Record>,
    records: u64,
    /// Held when the process that wrote it is dead.
    lock: Option<FileLock>,
    failed: bool,
}

/// Restores the index of `shared` and takes or makes a journal for this process.
pub(crate) fn restore(layout: &Layout, shared: &Shared) -> io::Result<Restored> {
    let (mut found, unusable) = find(layout)?;
    let mut others = Others::default();
    let unread = found.is_empty();
    // One journal alone is in order.
    let several = found.len() > 1;
    let mut covered = Vec::new();
    // Nobody else has the store yet.
    shared.write(|index| {
        while let Some((at, record)) = earliest(&mut found) {
            shared.stamps_follow(record.stamp());
            record.used().into_iter().for_each(|used| shared.uses_follow(used));
            let taken = if several { takes(index, &record) } else { None };
            covered.extend(if several { brings_nothing(index, &record) } else { None });
            let change = apply(index, &record, &kept(taken, |key, span| is_any_there(layout, key, span)));
            let change = change.filter(|_| several);
            covered.extend(change.iter().flat_map(|change| change.covered().map(|span| (change.key, *span))));
            found[at].last = Some(record);
            found[at].records += 1;
        }
    });
    unusable.iter().filter(|it| it.is_dead).for_each(|it| others.judge(it.id));
    let is_doubtful = |found: &Found| {
        let closed = matches!(found.last, Some(Record::Closed { .. }));
        found.failed || found.reader.bad_slots() > 0 || (found.lock.is_some() && !closed)
    };
    let mut restored = Restored {
        journal: None,
        others,
        covered,
        merge: !unusable.is_empty(),
        doubtful: !unusable.is_empty() || found.iter().any(is_doubtful),
        unread,
        is_new: false,
        met: found.iter().any(|found| found.lock.is_none()) || unusable.iter().any(|it| !it.is_dead),
    };
    found.sort_by_key(|found| found.records);
    for journal in found.into_iter().rev() {
        let is_dead = journal.lock.is_some();
        // What is no record goes with all history.
        restored.merge |= journal.reader.bad_slots() > 0;
        if let Some(lock) = journal.lock.filter(|_| restored.journal.is_none()) {
            restored.journal = Journal::adopt(lock, journal.id).ok();
            if restored.journal.is_some() {
                continue;
            }
        }
        if is_dead {
            restored.merge = true;
            restored.others.judge(journal.id);
        }
        // Read to its end, of which nothing must be applied again.
        restored.others.add(journal.id, journal.reader);
    }
    if restored.journal.is_none() {
        restored.journal = Journal::begin(layout).ok();
    }
    Ok(restored)
}

/// The spans that a record of another process would take out of the index, so that their files can be asked first: the
/// clocks of two processes are not one, and what went by the one may have come again by the other.
pub(crate) fn takes(index: &Index, record: &Record) -> Option<(ResourceKey, Vec<Span>)> {
    let (Record::Gone { key, stamp, .. } | Record::Removed { key, stamp }) = *record else { return None };
    let resource = index.get(&key).filter(|it| it.committed <= stamp && it.state == State::Known)?;
    let is_meant = |span: &&Span| !matches!(record, Record::Gone { start, .. } if *start != span.start);
    Some((key, resource.spans.as_slice().iter().filter(is_meant).copied().collect()))
}

/// Those of the spans that a record takes out that `is_there` says stay.
pub(crate) fn kept(
    taken: Option<(ResourceKey, Vec<Span>)>,
    is_there: impl Fn(&ResourceKey, &Span) -> bool,
) -> Vec<Span> {
    let Some((key, mut spans)) = taken else { return Vec::new() };
    spans.retain(|span| is_there(&key, span));
    spans
}

/// What a record means for the index: `Some` of what came or went, if that changed. Spans that are `kept` stay, for their
/// files are there.
pub(crate) fn apply(index: &mut Index, record: &Record, kept: &[Span]) -> Option<Change> {
    match *record {
        Record::Span { .. } => {
            let (key, offer) = offered(record)?;
            match index.admit(&key, &offer) {
                Admission::Admitted { gone } => Some(Change { key, came: Some(offer.span), gone }),
                Admission::Redundant | Admission::Conflict => None,
            }
        }
        Record::Removed { key, stamp } if index.get(&key).is_some_and(|resource| resource.committed > stamp) => {
            // Part of it may be of the version that is no more.
            index.begin_version(&key);
            None
        }
        // What was committed later than it went has come again.
        Record::Gone { key, stamp, .. } | Record::Removed { key, stamp }
            if index
                .get(&key)
                .is_none_or(|resource| resource.committed > stamp || resource.state == State::Removing) =>
        {
            None
        }
        Record::Gone { .. } if !kept.is_empty() => None,
        Record::Removed { key, .. } if !kept.is_empty() => {
            index.begin_version(&key);
            let spans = index.get(&key).map(|resource| resource.spans.as_slice().to_vec()).unwrap_or_default();
            let gone = spans.iter().filter(|span| !kept.contains(span));
            let gone = gone.filter_map(|span| index.remove_listed(&key, span)).collect();
            Some(Change { key, came: None, gone })
        }
        Record::Gone { key, start, .. } => {
            index.remove_span(&key, start).map(|span| Change { key, came: None, gone: vec![span] })
        }
        Record::Removed { key, .. } => Some(Change { key, came: None, gone: index.remove(&key) }),
        Record::Used { key, stamp } => {
            if let Some(resource) = index.get(&key) {
                resource.touch(stamp);
            }
            None
        }
        Record::Journal | Record::Closed { .. } => None,
    }
}

/// The span of a record that brings nothing, and whose file is found by nobody.
pub(crate) fn brings_nothing(index: &Index, record: &Record) -> Option<(ResourceKey, Span)> {
    let (key, offer) = offered(record)?;
    let is_listed = |resource: &Resource| resource.spans.beginning_at(offer.span.start).is_some();
    let resource = index.get(&key).filter(|resource| resource.state == State::Known && !is_listed(resource))?;
    (resource.spans.holds(&offer.span) && index.judge(&key, &offer) == Judgement::Redundant)
        .then_some((key, offer.span))
}

/// Whether a record of another process is of a span that would take the place of what is listed, and is not there any more.
pub(crate) fn is_history(layout: &Layout, shared: &Shared, record: &Record) -> bool {
    let Some((key, offer)) = offered(record) else { return false };
    let judgement = shared.read(|index| index.judge(&key, &offer));
    let takes_a_place = matches!(judgement, Judgement::Renew | Judgement::Replace);
    takes_a_place && !is_there(layout, &key, &offer.span)
}

/// Whether the file of a span is there, and is of its commit as far as it says.
pub(crate) fn is_there(layout: &Layout, key: &ResourceKey, span: &Span) -> bool {
    SpanFile::open(&layout.span(key, span.start), key, span.start).is_ok_and(|file| file.may_be(span))
}

/// Whether there is a file where that of a span should be. What it is, is asked when it is read.
fn is_any_there(layout: &Layout, key: &ResourceKey, span: &Span) -> bool {
    layout.span(key, span.start).try_exists().unwrap_or(true)
}

fn offered(record: &Record) -> Option<(ResourceKey, Offer)> {
    let Record::Span { key, start, len, total, mark, stored, committed, stamp, fingerprint } = *record else {
        return None;
    };
    let span = Span { start, len, stored, committed };
    Some((key, Offer { span, total, mark, fingerprint, stamp, rule: Rule::Restore }))
}

/// What a record changed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) key: ResourceKey,
    pub(crate) came: Option<Span>,
    pub(crate) gone: Vec<Span>,
}

impl Change {
    /// What went because something with another name came in its place.
    pub(crate) fn covered(&self) -> impl Iterator<Item = &Span> {
        let came = self.came.map(|span| span.start);
        self.gone.iter().filter(move |span| came.is_some_and(|start| start != span.start))
    }
}

/// A file that is no journal.
struct Unusable {
    id: u64,
    /// Whether nobody writes it.
    is_dead: bool,
}

/// Opens all journals; the second list is of files that are none.
fn find(layout: &Layout) -> io::Result<(Vec<Found>, Vec<Unusable>)> {
    let (mut found, mut unusable) = (Vec::new(), Vec::new());
    for id in journal::list(layout)? {
        let path = layout.journal(id);
        // Where locks do not work or the directory cannot be written, every journal is somebody else's.
        let lock = FileLock::try_take_existing(path.clone()).ok().flatten();
        match JournalReader::open(&path) {
            Ok(Some(mut reader)) => {
                let next = reader.read().ok().flatten();
                found.push(Found { id, reader, next, last: None, records: 0, lock, failed: false });
            }
            Ok(None) | Err(_) => unusable.push(Unusable { id, is_dead: lock.is_some() }),
        }
    }
    Ok((found, unusable))
}

/// Takes the record that happened first out of all that come next. Each journal is in order, so all are merged in
/// order.
fn earliest(found: &mut [Found]) -> Option<(usize, Record)> {
    let stamp = |(_, found): &(usize, &mut Found)| found.next.as_ref().map_or(u64::MAX, Record::stamp);
    let with_next = found.iter_mut().enumerate().filter(|(_, found)| found.next.is_some());
    let (at, found) = with_next.min_by_key(stamp)?;
    // A journal that cannot be read on ends here; a walk finds what it would have told.
    let following = found.reader.read().unwrap_or_else(|_| {
        found.failed = true;
        None
    });
    std::mem::replace(&mut found.next, following).map(|record| (at, record))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::{AssetId, Partition};

    /// Small numbers meet each other, large ones the ends of what can be counted.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..6_u64, Just(1 << 63), (0..4_u64).prop_map(|from_end| u64::MAX - from_end), any::<u64>()]
    }

    /// Any record that a journal with right checksums can hold; `None` where it is refused.
    fn record() -> impl Strategy<Value = Option<Record>> {
        let total = prop_oneof![Just(None), number().prop_map(Some)];
        let span = (number(), number(), total, 0..3_u64, number(), number(), 0..3_u64);
        (0..5_u8, 0..4_u8, span, number()).prop_map(|(kind, name, span, stamp)| {
            let asset = AssetId::named(&Partition::default(), &(name % 2).to_string());
            let key = ResourceKey::named(asset, &(name / 2).to_string());
            let (start, len, total, mark, stored, committed, fingerprint) = span;
            let record = match kind {
                0 | 1 => Record::Span { key, start, len, total, mark, stored, committed, stamp, fingerprint },
                2 => Record::Gone { key, start, stamp },
                3 => Record::Removed { key, stamp },
                _ => Record::Used { key, stamp },
            };
            Record::decode(&record.encode()).ok()
        })
    }

    proptest! {
        #[test]
        fn no_journal_makes_the_index_panic(records in prop::collection::vec(record(), 0..40)) {
            let mut index = Index::default();
            for record in records.into_iter().flatten() {
                apply(&mut index, &record, &[]);
                let spans = index.iter().map(|(_, resource)| resource.spans.as_slice().len());
                prop_assert_eq!(spans.sum::<usize>(), index.spans());
                let _ = crate::maintain::stored(index.iter().map(|(_, resource)| resource));
            }
            let keys: Vec<ResourceKey> = index.iter().map(|(key, _)| key).collect();
            for key in keys {
                let resource = index.get(&key).unwrap();
                let (ranges, holes) = (resource.spans.ranges(), resource.spans.holes(0..u64::MAX));
                prop_assert!(ranges.len() <= resource.spans.as_slice().len() && holes.len() <= ranges.len() + 1);
                prop_assert_eq!(index.records(&key).len(), resource.spans.as_slice().len());
                index.remove(&key);
            }
            prop_assert_eq!(index.spans(), 0);
        }
    }
}
