//! Small whole things: playlists and keys.

use bytes::{Bytes, BytesMut};

use crate::error::{AssetsError, AssetsErrorKind};
use crate::key::ResourceKey;
use crate::medium::{Medium, OpenSpan, ReadFault};
use crate::meta::Meta;
use crate::ticket::Ticket;

/// A resource that is read and written as one: it is there as a whole or not at all.
///
/// Whoever reads while another writes, in whichever process, gets the old bytes or the new ones.
#[derive(Clone, Debug)]
pub struct AtomicResource {
    medium: Medium,
    key: ResourceKey,
}

impl AtomicResource {
    /// Bytes an atomic resource may have: 16 MiB.
    pub const MAX_LEN: u64 = 16 << 20;

    pub(crate) const fn new(medium: Medium, key: ResourceKey) -> Self {
        Self { medium, key }
    }

    /// The key this resource was asked for with.
    #[must_use]
    pub const fn key(&self) -> &ResourceKey {
        &self.key
    }

    /// The bytes and what is known of them, or `None` where they are not present as a whole and in one piece.
    ///
    /// # Errors
    /// The disk cannot be read. Playback goes on as if the answer were `None`.
    pub fn read(&self) -> Result<Option<(Bytes, Meta)>, AssetsError> {
        while let Some(listed) = self.medium.find_whole(&self.key) {
            if listed.len > Self::MAX_LEN {
                return Ok(None);
            }
            let Some(mut span) = self.medium.open(&self.key, listed)? else {
                continue;
            };
            match read_all(&mut span, listed.len) {
                Ok(bytes) => return Ok(Some((bytes, span.meta().clone()))),
                Err(fault) => self.medium.fault(&self.key, listed, fault)?,
            }
        }
        Ok(None)
    }

    /// Stores `bytes` instead of whatever was there. The ticket answers when they can be read; nobody has to wait for
    /// it.
    ///
    /// # Errors
    /// In the ticket: [`TooLarge`](AssetsErrorKind::TooLarge) above [`AtomicResource::MAX_LEN`], and what keeps a store
    /// from writing. The old bytes may then be present or not.
    pub fn write(&self, bytes: &[u8], meta: &Meta) -> Ticket<()> {
        if bytes.len() as u64 > Self::MAX_LEN {
            return Ticket::ready(Err(AssetsError::new(AssetsErrorKind::TooLarge, "writing an atomic resource")));
        }
        self.medium.put(&self.key, bytes, meta.clone())
    }

    /// Takes the bytes away. They cannot be read any more when this returns.
    pub fn remove(&self) {
        self.medium.remove(&self.key);
    }
}

/// All bytes of one open span: of one version, whatever happens to the resource meanwhile.
fn read_all(span: &mut OpenSpan, len: u64) -> Result<Bytes, ReadFault> {
    let mut whole = BytesMut::new();
    while (whole.len() as u64) < len {
        let bytes = span.read(whole.len() as u64, usize::MAX)?;
        if bytes.len() as u64 == len {
            return Ok(bytes);
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}
