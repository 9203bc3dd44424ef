//! Delta updates: EXT-X-SKIP, and merging with the snapshot before (sections 4.4.5.2 and 6.3.7).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::{Delta, MediaPlaylist, MediaSequence, ParseErrorKind, Rule};
use super::attributes::Attributes;
use super::media::{MediaParser, once};
use super::scope::{Place, Scope};

impl MediaParser<'_> {
    /// EXT-X-SKIP.
    pub(super) fn skip(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-SKIP";
        once(&self.header.delta, TAG)?;
        scope.needs(at, 9);
        let (mut skipped, mut removed) = (None, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "SKIPPED-SEGMENTS" => skipped = scope.integer(at, attribute.value),
                "RECENTLY-REMOVED-DATERANGES" => removed = Some(removed_ids(scope, at, attribute.value)?),
                _ => {}
            }
        }
        let skipped = skipped.ok_or(ParseErrorKind::Missing { tag: TAG, attribute: "SKIPPED-SEGMENTS" })?;
        let msn = self.segment.carry.msn.checked_add(skipped);
        self.segment.carry.msn = msn.ok_or(ParseErrorKind::OutOfRange)?;
        self.segments.end_block(at.source, None);
        let before = std::mem::take(&mut self.segments).finish();
        if !before.is_empty() {
            scope.violation(at, Rule::LateTag);
        }
        self.header.delta = Some(Delta { skipped, before, removed_date_ranges: removed });
        self.merge(scope)
    }

    /// Takes what a delta update leaves out from the snapshot before, as soon as its place is known and if all of it is
    /// there. What follows goes on as if it had been read.
    pub(super) fn merge(&mut self, scope: &mut Scope<'_>) -> Result<(), ParseErrorKind> {
        let (Some(delta), Some(first), Some(previous)) =
            (&self.header.delta, self.header.media_sequence, self.previous)
        else {
            return Ok(());
        };
        let end = MediaSequence(first.0.saturating_add(delta.skipped));
        if !delta.before.is_empty() || !covers(previous, first, end) {
            return Ok(());
        }
        if let Some(removed) = &delta.removed_date_ranges {
            let removed: BTreeSet<&Arc<str>> = removed.iter().collect();
            for range in previous.date_ranges.iter().filter(|range| !removed.contains(&range.id)) {
                scope.count_metadata()?;
                self.date_ranges.add(range, range.line);
            }
        }
        // A tag before the first segment is not left out.
        let unknown = previous.unknown.iter().filter(|tag| tag.before.is_some_and(|msn| first < msn && msn < end));
        for tag in unknown {
            scope.count_metadata()?;
            self.unknown.push(tag.clone());
        }
        for segment in previous.segments.iter().filter(|segment| (first..end).contains(&segment.msn)) {
            self.segment.count(scope, 1, segment.duration)?;
        }
        self.segments.adopt(&previous.segments, &(first..end));
        self.segment.continue_from(&previous.segments, end);
        self.header.merged = true;
        Ok(())
    }
}

/// Whether a snapshot has all segments from `first` up to `end`.
fn covers(previous: &MediaPlaylist, first: MediaSequence, end: MediaSequence) -> bool {
    let has = |msn| previous.segments.index_of(msn).is_some();
    previous.delta.is_none() && (first >= end || has(first) && has(MediaSequence(end.0 - 1)))
}

/// The IDs that stand between tabs. They need not fit into memory as often as they fit into the text.
fn removed_ids(scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<Vec<Arc<str>>, ParseErrorKind> {
    scope.needs(at, 10);
    let list = scope.expand(list)?.into_owned();
    let ids = list.split('\t').filter(|id| !id.is_empty());
    ids.map(|id| scope.count_metadata().map(|()| Arc::from(id))).collect()
}
