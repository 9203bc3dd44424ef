//! The bytes in memory: pure.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;

/// Chunks by the offset of their first byte; none is empty, no two overlap.
#[derive(Debug, Default)]
pub(crate) struct Held {
    chunks: BTreeMap<u64, Bytes>,
}

impl Held {
    /// Adds bytes from `offset` on. What is there already stays as it is.
    pub(crate) fn insert(&mut self, offset: u64, bytes: Bytes) {
        let end = offset + bytes.len() as u64;
        let mut at = offset;
        while at < end {
            let (from, to) = match self.chunk_with(at) {
                Some((start, chunk)) => (start + chunk.len() as u64, None),
                None => (at, Some(self.chunks.range(at..end).next().map_or(end, |(start, _)| *start))),
            };
            if let Some(to) = to {
                let part = place(from - offset)..place(to - offset);
                self.chunks.insert(from, bytes.slice(part));
            }
            at = to.unwrap_or(from);
        }
    }

    /// The bytes from `offset` to the end of their chunk.
    pub(crate) fn at(&self, offset: u64) -> Option<Bytes> {
        self.chunk_with(offset).map(|(start, chunk)| chunk.slice(place(offset - start)..))
    }

    /// What is there, in order, neither touching nor overlapping.
    pub(crate) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (start, chunk) in &self.chunks {
            let end = start + chunk.len() as u64;
            match ranges.last_mut() {
                Some(last) if last.end == *start => last.end = end,
                _ => ranges.push(*start..end),
            }
        }
        ranges
    }

    /// Takes out the chunks of which nothing lies within `kept`. To be dropped where no lock is held: they may be large.
    pub(crate) fn retain(&mut self, kept: &[Range<u64>]) -> Vec<Bytes> {
        let unwanted = |(start, chunk): (&u64, &Bytes)| {
            let end = start + chunk.len() as u64;
            let wanted = kept.iter().any(|range| *start < range.end && range.start < end);
            (!wanted).then_some(*start)
        };
        let starts: Vec<u64> = self.chunks.iter().filter_map(unwanted).collect();
        starts.iter().filter_map(|start| self.chunks.remove(start)).collect()
    }

    fn chunk_with(&self, offset: u64) -> Option<(u64, &Bytes)> {
        let (start, chunk) = self.chunks.range(..=offset).next_back()?;
        (offset - start < chunk.len() as u64).then_some((*start, chunk))
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a chunk is no longer than memory")
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, not ranges of numbers")]
mod tests {
    use super::*;

    fn held(parts: &[(u64, &str)]) -> Held {
        let mut held = Held::default();
        parts.iter().for_each(|(offset, text)| held.insert(*offset, Bytes::from((*text).to_owned())));
        held
    }

    #[track_caller]
    fn check(parts: &[(u64, &str)], ranges: &[Range<u64>], text: &str) {
        let held = held(parts);
        assert_eq!(held.ranges(), ranges);
        let mut all = Vec::new();
        for range in ranges {
            let mut at = range.start;
            while at < range.end {
                let bytes = held.at(at).expect("a byte within the ranges");
                at += bytes.len() as u64;
                all.extend_from_slice(&bytes);
            }
            assert_eq!(at, range.end);
        }
        assert_eq!(String::from_utf8(all).unwrap(), text);
    }

    #[test]
    fn parts_join_and_what_is_there_stays() {
        check(&[], &[], "");
        check(&[(0, "ab"), (2, "cd")], &[0..4], "abcd");
        check(&[(0, "ab"), (5, "fg")], &[0..2, 5..7], "abfg");
        check(&[(2, "cd"), (0, "XbXXe")], &[0..5], "XbcdE".replace('E', "e").as_str());
        check(&[(1, "b"), (3, "d"), (0, "a?c?e")], &[0..5], "abcde");
        check(&[(0, "abc"), (1, "XX")], &[0..3], "abc");
        check(&[(0, "abc"), (2, "Xd")], &[0..4], "abcd");
        check(&[(0, "")], &[], "");
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let held = held(&[(2, "cd")]);
        assert_eq!(held.at(1), None);
        assert_eq!(held.at(3).as_deref(), Some(&b"d"[..]));
        assert_eq!(held.at(4), None);
    }

    #[test]
    fn chunks_of_which_nothing_is_wanted_go() {
        let mut held = held(&[(0, "ab"), (2, "cd"), (4, "ef")]);
        assert_eq!(held.retain(&[1..2, 5..9]).len(), 1);
        assert_eq!(held.ranges(), [0..2, 4..6]);
    }
}
