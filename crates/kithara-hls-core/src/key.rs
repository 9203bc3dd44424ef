//! Which key decrypts a unit, and with which initialization vector (RFC 8216 sections 4.3.2.4 and 5.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    playlist::{Iv, Key, KeyMethod, MediaSequence},
    session::KeyId,
};

/// An initialization vector for AES-128-CBC.
pub type InitializationVector = [u8; 16];

/// How a unit is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The key.
    pub key: KeyId,
    /// The initialization vector.
    pub iv: InitializationVector,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aes128({})", self.key)
    }
}

/// What the EXT-X-KEY tags in force mean for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection<'a> {
    /// Not encrypted.
    Clear,
    /// AES-128-CBC over the whole unit with PKCS7 padding, by this key.
    Aes128(&'a Key),
    /// A method or key format that cannot be decrypted here. Never to be read as if it were clear.
    Unsupported,
}

/// Chooses among the keys in force: there may be one for each key format, and one that is understood is enough.
pub fn protection(keys: &[Key]) -> Protection<'_> {
    if keys.is_empty() {
        return Protection::Clear;
    }
    let understood = |key: &&Key| key.method == KeyMethod::Aes128 && key.uri.is_some() && key.is_identity();
    keys.iter().find(understood).map_or(Protection::Unsupported, Protection::Aes128)
}

/// The initialization vector of a unit: the IV attribute, else the media sequence number as a big-endian number.
///
/// An initialization section has no sequence number of its own. The RFC demands an IV attribute for it; where a server
/// leaves it out, the number of the first segment that needs the section is taken, as most packagers mean it.
pub fn initialization_vector(key: &Key, msn: MediaSequence) -> InitializationVector {
    key.iv.unwrap_or_else(|| Iv::of_segment(msn)).0
}
