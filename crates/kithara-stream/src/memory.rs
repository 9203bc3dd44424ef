use std::{
    io,
    ops::Range,
    task::{Context, Poll},
};

use bytes::Bytes;

use crate::{ReadAt, Source};

/// A [`Source`] whose bytes are all there. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct BytesSource {
    bytes: Bytes,
}

impl BytesSource {
    /// The bytes that are read.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<B: Into<Bytes>> From<B> for BytesSource {
    fn from(bytes: B) -> Self {
        Self { bytes: bytes.into() }
    }
}

impl Source for BytesSource {
    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        if buf.is_empty() {
            return Ok(ReadAt::Bytes(0));
        }
        // An offset that does not fit the address space lies beyond the end too.
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(rest) = self.bytes.get(start..).filter(|rest| !rest.is_empty()) else {
            return Ok(ReadAt::End);
        };
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(ReadAt::Bytes(count))
    }

    fn poll_ready(&self, _: &mut Context<'_>, _: Range<u64>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
