//! Bytes that arrived in chunks, read from the front.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};

/// A queue of chunks. What is taken out of one chunk shares its memory; only what spans chunks is copied.
#[derive(Debug, Default)]
pub(crate) struct Rope {
    /// Never holds an empty chunk.
    chunks: VecDeque<Bytes>,
    len: usize,
}

impl Rope {
    pub(crate) const fn new() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.len = 0;
    }

    /// The bytes of the first chunk.
    pub(crate) fn front(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| &chunk[..])
    }

    /// The first bytes, as many as there are up to `N`, and their number.
    pub(crate) fn peek<const N: usize>(&self) -> ([u8; N], usize) {
        let mut head = [0; N];
        let len = self.copy_to(0, &mut head);
        (head, len)
    }

    /// Copies the bytes from `offset` on into `target`, as many as there are, and says how many.
    pub(crate) fn copy_to(&self, mut offset: usize, target: &mut [u8]) -> usize {
        let mut filled = 0;
        for chunk in &self.chunks {
            if filled == target.len() {
                break;
            }
            let Some(part) = chunk.get(offset..) else {
                offset -= chunk.len();
                continue;
            };
            offset = 0;
            let len = part.len().min(target.len() - filled);
            target[filled..filled + len].copy_from_slice(&part[..len]);
            filled += len;
        }
        filled
    }

    /// Drops up to `len` bytes off the front and says how many.
    pub(crate) fn skip(&mut self, len: usize) -> usize {
        let skipped = len.min(self.len);
        let mut left = skipped;
        while left > 0 {
            let Some(front) = self.chunks.front_mut() else { break };
            if front.len() > left {
                front.advance(left);
                break;
            }
            left -= front.len();
            self.chunks.pop_front();
        }
        self.len -= skipped;
        skipped
    }

    /// Takes `len` bytes off the front; `None`, and nothing is taken, if there are fewer.
    pub(crate) fn take(&mut self, len: usize) -> Option<Bytes> {
        if len > self.len {
            return None;
        }
        self.len -= len;
        match self.chunks.front_mut() {
            Some(front) if front.len() > len => return Some(front.split_to(len)),
            Some(front) if front.len() == len => return self.chunks.pop_front(),
            _ => {}
        }
        let mut joined = BytesMut::with_capacity(len);
        while joined.len() < len {
            let Some(front) = self.chunks.front_mut() else { break };
            let part = front.len().min(len - joined.len());
            joined.extend_from_slice(&front[..part]);
            front.advance(part);
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        Some(joined.freeze())
    }

    /// Takes all there is.
    pub(crate) fn take_all(&mut self) -> Bytes {
        self.take(self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(chunks: &[&'static str]) -> Rope {
        let mut rope = Rope::default();
        chunks.iter().for_each(|chunk| rope.push(Bytes::from_static(chunk.as_bytes())));
        rope
    }

    #[test]
    fn bytes_are_taken_in_order_across_chunks() {
        let mut rope = rope(&["abc", "", "de", "fgh"]);
        assert_eq!(rope.len(), 8);
        assert_eq!(rope.take(2).unwrap(), "ab");
        assert_eq!(rope.take(4).unwrap(), "cdef");
        assert_eq!(rope.take(3), None);
        assert_eq!(rope.skip(1), 1);
        assert_eq!(rope.take_all(), "h");
        assert_eq!((rope.skip(5), rope.is_empty()), (0, true));
        assert_eq!(rope.take(0).unwrap(), "");
    }

    #[test]
    fn what_lies_in_one_chunk_is_shared_and_not_copied() {
        let chunk = Bytes::from(vec![7; 100]);
        let mut rope = Rope::default();
        rope.push(chunk.clone());
        rope.skip(10);
        assert_eq!(rope.take(20).unwrap().as_ptr(), chunk[10..].as_ptr());
        assert_eq!(rope.take(70).unwrap().as_ptr(), chunk[30..].as_ptr());
    }

    #[test]
    fn peeking_leaves_everything_in_place() {
        let rope = rope(&["abc", "de"]);
        assert_eq!(rope.peek::<4>(), (*b"abcd", 4));
        assert_eq!(rope.peek::<8>(), (*b"abcde\0\0\0", 5));
        let mut target = [0; 2];
        assert_eq!((rope.copy_to(3, &mut target), target), (2, *b"de"));
        assert_eq!((rope.copy_to(9, &mut target), rope.front()), (0, &b"abc"[..]));
    }
}
