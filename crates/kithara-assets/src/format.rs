//! What the files of a store look like.

/// Bytes that are checked as one.
pub(crate) const BLOCK: usize = 256 << 10;
