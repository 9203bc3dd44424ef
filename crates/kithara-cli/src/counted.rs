//! Segments that came, each counted once.

use std::collections::BTreeSet;

use kithara::event::MediaId;

/// Counts segments, however often each of them is delivered.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Those that came last; by then nobody delivers the others again.
    recent: BTreeSet<(u64, MediaId)>,
    /// From wherever.
    pub(crate) segments: u64,
    /// From the store.
    pub(crate) from_store: u64,
}

/// Segments that are remembered, far more than are on their way at a time.
const REMEMBERED: usize = 4096;

impl Counted {
    /// A segment came.
    pub(crate) fn count(&mut self, media: MediaId, index: u64, is_stored: bool) {
        if !self.recent.insert((index, media)) {
            return;
        }
        self.segments += 1;
        self.from_store += u64::from(is_stored);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use kithara::playlist::VariantId;

    use super::*;

    #[test]
    fn a_segment_that_comes_again_is_counted_once() {
        let mut counted = Counted::default();
        let of = |variant| MediaId::Variant(VariantId(variant));
        for (variant, index, is_stored) in [(0, 1, false), (0, 1, true), (0, 2, true), (1, 1, false)] {
            counted.count(of(variant), index, is_stored);
        }
        assert_eq!((counted.segments, counted.from_store), (3, 1));
    }

    #[test]
    fn a_stream_without_an_end_is_counted_in_bounded_memory() {
        let mut counted = Counted::default();
        (0..10_000).for_each(|index| counted.count(MediaId::Variant(VariantId(0)), index, false));
        assert_eq!((counted.segments, counted.recent.len()), (10_000, REMEMBERED));
    }
}
