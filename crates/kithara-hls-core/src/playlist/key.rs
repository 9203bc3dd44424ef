//! Keys, initialization vectors and media initialization sections.

use std::fmt;
use std::sync::Arc;

use super::{ByteRange, MediaSequence, SharedList, Uri};

/// How a segment is encrypted (the METHOD attribute, RFC 8216 section 4.3.2.4).
///
/// There is no `None`: a clear segment has no keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyMethod {
    /// `AES-128`: whole segments, AES-128 in CBC mode, PKCS7 padding.
    Aes128,
    /// `AES-256-GCM`: whole segments, each 16 bytes of IV, ciphertext and a tag of 16 bytes.
    Aes256Gcm,
    /// `SAMPLE-AES`: samples; `cbcs` in fragmented MP4.
    SampleAes,
    /// `SAMPLE-AES-CTR`: samples, `cenc` in fragmented MP4.
    SampleAesCtr,
    /// A method that no specification defines, or a key with an IV that cannot be read. Segments under it must not be
    /// decrypted, and are not clear either.
    Other(Arc<str>),
}

impl KeyMethod {
    /// The name in the playlist.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Aes128 => "AES-128",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::SampleAes => "SAMPLE-AES",
            Self::SampleAesCtr => "SAMPLE-AES-CTR",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for KeyMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An initialization vector: 16 bytes, most significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Iv(pub [u8; 16]);

impl Iv {
    /// The vector of a segment whose key carries no IV attribute: its number, big-endian, padded with zeros
    /// (RFC 8216 section 5.2).
    #[must_use]
    pub fn of_segment(msn: MediaSequence) -> Self {
        Self(u128::from(msn.0).to_be_bytes())
    }
}

/// 32 lower-case hexadecimal digits.
impl fmt::Display for Iv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An `EXT-X-KEY` or `EXT-X-SESSION-KEY` tag: one way to obtain the key of the segments it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// What the key is for.
    pub method: KeyMethod,
    /// Where the key is; `None` when the playlist does not say, which leaves the segments unreadable.
    pub uri: Option<Uri>,
    /// The explicit initialization vector; see [`Key::iv_for`] for what its absence means.
    pub iv: Option<Iv>,
    /// How the key is represented at `uri`; `identity` (16 or 32 plain bytes) when the playlist does not say.
    pub keyformat: Arc<str>,
    /// The KEYFORMATVERSIONS attribute as written, for example `1/2`; `1` when the playlist does not say.
    pub keyformatversions: Arc<str>,
}

impl Key {
    /// The KEYFORMAT of plain key bytes.
    pub const IDENTITY: &'static str = "identity";

    /// Whether the resource at the URI is the plain key.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        &*self.keyformat == Self::IDENTITY
    }

    /// The vector that decrypts segment `msn`: the explicit one, else its number. `None` for methods other than
    /// `AES-128` and `SAMPLE-AES`, whose vectors stand in the media.
    #[must_use]
    pub fn iv_for(&self, msn: MediaSequence) -> Option<Iv> {
        match self.method {
            KeyMethod::Aes128 | KeyMethod::SampleAes => Some(self.iv.unwrap_or_else(|| Iv::of_segment(msn))),
            _ => None,
        }
    }
}

/// A media initialization section (`EXT-X-MAP`), shared by the segments it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InitSection {
    /// The resource.
    pub uri: Uri,
    /// The bytes of the resource that are the section; `None` for all of it.
    pub byte_range: Option<ByteRange>,
    /// The keys in force where the tag stands; empty when the section is clear, which it is before the first key even
    /// if the segments after it are encrypted. Under `AES-128` the key must have an explicit IV; where one has not, the
    /// section has no number to take its place, and players use zero.
    pub keys: SharedList<Key>,
}
