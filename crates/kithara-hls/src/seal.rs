//! Keys in the store that only the application can read.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use kithara_fetch::Seal;
use zeroize::Zeroizing;

/// The application's secret of 32 bytes that keys are sealed with in the store (XChaCha20-Poly1305).
///
/// It should be random and come from where the system keeps secrets. It is wiped when its last clone is dropped, and has
/// no `Debug` that shows it. With another one, stored keys count as not stored.
#[derive(Clone)]
pub struct SealingKey(Arc<Zeroizing<[u8; 32]>>);

impl SealingKey {
    /// The secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(secret)))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

/// Seals what comes from one place, so that what is stored of another cannot stand in for it.
pub(crate) struct Sealed {
    cipher: XChaCha20Poly1305,
    place: String,
}

/// Bytes of the nonce in front of what is sealed. It is random: so many may be drawn without any becoming likely twice.
const NONCE: usize = 24;

impl Sealed {
    pub(crate) fn new(key: &SealingKey, place: String) -> Self {
        Self { cipher: XChaCha20Poly1305::new((&**key.0).into()), place }
    }
}

impl Seal for Sealed {
    fn seal(&self, bytes: &[u8]) -> Option<Bytes> {
        let nonce = rand::random::<[u8; NONCE]>();
        let payload = Payload { msg: bytes, aad: self.place.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&nonce, sealed.as_slice()].concat().into())
    }

    fn open(&self, stored: &[u8]) -> Option<Bytes> {
        let (nonce, sealed) = stored.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: self.place.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(secret: u8, place: &str) -> Sealed {
        Sealed::new(&SealingKey::new([secret; 32]), place.to_owned())
    }

    #[test]
    fn only_the_same_secret_opens_it_in_the_same_place() {
        let stored = sealed(1, "a").seal(b"0123456789abcdef").unwrap();
        assert_eq!(sealed(1, "a").open(&stored).as_deref(), Some(&b"0123456789abcdef"[..]));
        assert_eq!(sealed(2, "a").open(&stored), None);
        assert_eq!(sealed(1, "b").open(&stored), None);
        assert_ne!(sealed(1, "a").seal(b"0123456789abcdef").unwrap(), stored, "no nonce comes twice");
        assert!(!stored.windows(4).any(|window| b"0123456789abcdef".windows(4).any(|plain| plain == window)));
    }

    #[test]
    fn nothing_that_was_changed_or_cut_opens() {
        let stored = sealed(1, "a").seal(b"0123456789abcdef").unwrap();
        for at in 0..stored.len() {
            let mut changed = stored.to_vec();
            changed[at] ^= 1;
            assert_eq!(sealed(1, "a").open(&changed), None, "{at}");
            assert_eq!(sealed(1, "a").open(&stored[..at]), None, "{at}");
        }
    }
}
