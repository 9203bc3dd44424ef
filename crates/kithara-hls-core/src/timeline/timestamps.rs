//! Which timestamps of the media are which presentation times.

use std::collections::BTreeMap;

use crate::playlist::DiscontinuitySequence;

/// What is added to the timestamps of each media timeline, in nanoseconds, by discontinuity sequence number.
///
/// A stream that breaks all the time has one for each of its segments, so only the [`MOST`](Self::MOST) are remembered that
/// lie nearest to the one set last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimestampMap(BTreeMap<DiscontinuitySequence, i64>);

impl TimestampMap {
    /// Media timelines remembered at most.
    pub const MOST: usize = 256;

    /// What is added to timestamps of this media timeline, if that is known.
    #[must_use]
    pub fn get(&self, dsn: DiscontinuitySequence) -> Option<i64> {
        self.0.get(&dsn).copied()
    }

    /// Learns the offset of a media timeline.
    pub fn set(&mut self, dsn: DiscontinuitySequence, offset: i64) {
        self.0.insert(dsn, offset);
        while self.0.len() > Self::MOST {
            let far = |end: Option<(&DiscontinuitySequence, &i64)>| end.map_or(0, |(it, _)| it.0.abs_diff(dsn.0));
            match far(self.0.first_key_value()) >= far(self.0.last_key_value()) {
                true => self.0.pop_first(),
                false => self.0.pop_last(),
            };
        }
    }

    /// How many media timelines are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_lies_near_what_was_learned_last() {
        let mut map = TimestampMap::default();
        (0..1_000).for_each(|dsn| map.set(DiscontinuitySequence(dsn), 7));
        assert_eq!(map.len(), TimestampMap::MOST);
        // A reader that goes back to the beginning.
        map.set(DiscontinuitySequence(0), 9);
        assert_eq!(map.get(DiscontinuitySequence(0)), Some(9));
        assert_eq!((map.len(), map.get(DiscontinuitySequence(999))), (TimestampMap::MOST, None));
        assert_eq!(map.get(DiscontinuitySequence(998)), Some(7));
    }
}
