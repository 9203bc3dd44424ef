//! TTML is whole when its root element is closed.

use super::{Incomplete, IncompleteKind};

/// Remembers the last byte that is not white space.
#[derive(Clone, Debug, Default)]
pub(super) struct TtmlCheck {
    last: u8,
}

impl TtmlCheck {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.trim_ascii_end().last() {
            self.last = *last;
        }
    }

    pub(super) fn finish(&self, got: u64) -> Result<(), Incomplete> {
        if self.last == b'>' {
            Ok(())
        } else {
            Err(Incomplete { kind: IncompleteKind::Document, expected: got + 1, got })
        }
    }
}
