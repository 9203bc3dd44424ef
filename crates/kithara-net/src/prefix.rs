//! Whether a body that comes again begins as it did before: pure.
//!
//! A server that ignores ranges sends the whole resource for its rest, and what came before is thrown away. Where no
//! validator says that it is the same resource, its bytes do: an error page does not begin as the media did.

use crc32fast::Hasher;

/// A running sum of the bytes that were delivered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    hasher: Hasher,
    len: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// How many bytes it is of.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Of the next `skip` bytes the last ones should be those of this sum.
    pub(crate) fn expected_in(&self, skip: u64) -> Skip {
        let all_there = 0 < self.len && self.len <= skip;
        let want = all_there.then(|| self.hasher.clone().finalize());
        Skip { left: skip, counted: self.len, seen: Hasher::new(), want }
    }
}

/// Bytes at the front of a body that are thrown away.
#[derive(Debug)]
pub(crate) struct Skip {
    left: u64,
    /// So many of the last ones are compared.
    counted: u64,
    seen: Hasher,
    /// Their sum; `None` where nothing is to be compared.
    want: Option<u32>,
}

impl Skip {
    /// So many bytes, whatever they are.
    pub(crate) fn unseen(len: u64) -> Self {
        Self { left: len, counted: 0, seen: Hasher::new(), want: None }
    }

    /// Bytes still to be thrown away.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Looks at the next bytes of the body: how many of them are to be thrown away. `Err`: they are not those that came
    /// before.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> Result<usize, OtherBytes> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        if self.want.is_some() {
            let before = usize::try_from(self.left.saturating_sub(self.counted)).unwrap_or(usize::MAX).min(len);
            self.seen.update(&bytes[before..len]);
        }
        self.left -= len as u64;
        if self.left == 0
            && let Some(want) = self.want.take()
            && std::mem::take(&mut self.seen).finalize() != want
        {
            return Err(OtherBytes);
        }
        Ok(len)
    }
}

/// The bytes are not those that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OtherBytes;

#[cfg(test)]
mod tests {
    use super::*;

    /// Skips the beginning of `body` in pieces of `piece`, where `delivered` had come before: what is left of the body.
    fn skipped(delivered: &[u8], skip: u64, body: &[u8], piece: usize) -> Result<Vec<u8>, OtherBytes> {
        let mut sum = Sum::default();
        delivered.chunks(3).for_each(|bytes| sum.add(bytes));
        assert_eq!(sum.len(), delivered.len() as u64);
        let mut skip = sum.expected_in(skip);
        let mut rest = Vec::new();
        for bytes in body.chunks(piece) {
            rest.extend_from_slice(&bytes[skip.next(bytes)?..]);
        }
        assert_eq!(skip.left(), 0);
        Ok(rest)
    }

    #[test]
    fn what_comes_again_is_skipped_however_it_is_cut() {
        for piece in 1..12 {
            assert_eq!(skipped(b"01234", 5, b"0123456789", piece), Ok(b"56789".to_vec()), "{piece}");
            assert_eq!(skipped(b"01234", 5, b"01234", piece), Ok(Vec::new()), "{piece}");
            assert_eq!(skipped(b"234", 5, b"0123456789", piece), Ok(b"56789".to_vec()), "{piece}");
            assert_eq!(skipped(b"", 5, b"0123456789", piece), Ok(b"56789".to_vec()), "nothing to compare");
            assert_eq!(skipped(b"01234", 0, b"56789", piece), Ok(b"56789".to_vec()), "nothing comes again");
        }
    }

    #[test]
    fn other_bytes_are_found_before_any_of_the_rest_is_taken() {
        for piece in 1..12 {
            for other in [b"x123456789", b"01x3456789", b"0123x56789"] {
                assert_eq!(skipped(b"01234", 5, other, piece), Err(OtherBytes), "{piece}");
            }
            assert_eq!(skipped(b"234", 5, b"xx23456789", piece), Ok(b"56789".to_vec()), "those were never delivered");
            assert_eq!(skipped(b"234", 5, b"0123x56789", piece), Err(OtherBytes));
        }
    }

    #[test]
    fn what_is_not_compared_is_skipped_all_the_same() {
        let mut skip = Skip::unseen(3);
        assert_eq!((skip.next(b"01"), skip.next(b"234"), skip.next(b"5")), (Ok(2), Ok(1), Ok(0)));
    }
}
