//! Names: who may share bytes, which asset, which resource.
//!
//! A key is a hash. Nothing a server says becomes part of a path, and nothing secret can be read back from a key.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use url::Url;

use crate::error::{AssetsError, AssetsErrorKind};
use crate::identity::UrlIdentity;

/// Bytes in a hashed name: SHA-256 cut to 128 bits.
const NAME_LEN: usize = 16;

/// Who may share cached bytes: one application, one set of credentials.
///
/// Two URLs that are equal apart from signing parameters are one resource only inside one partition. Content fetched
/// with a user's credentials belongs into a partition of its own, or the next user would be served from it.
///
/// Default: the empty namespace and the public scope.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Partition {
    namespace: String,
    scope: String,
}

impl Partition {
    /// The public part of an application's namespace. `namespace` is any text of the application's choice.
    #[must_use]
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), scope: String::new() }
    }

    /// The part of this namespace that only the holder of certain credentials may read. `scope` tells holders apart: a
    /// user id, or a hash of the credentials. It is hashed into every key and stored nowhere. Empty means public.
    #[must_use]
    pub fn scoped(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = if self.scope.is_empty() { "public" } else { "private" };
        f.debug_struct("Partition").field("namespace", &self.namespace).field("scope", &scope).finish()
    }
}

/// All resources of one presentation: what is leased, pinned, listed and removed together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId([u8; NAME_LEN]);

impl AssetId {
    /// The asset that the application calls `name`.
    #[must_use]
    pub fn named(partition: &Partition, name: &str) -> Self {
        Self(hash("asset", &[&partition.namespace, &partition.scope, name]))
    }

    /// The asset whose entry point is `url`: its multivariant playlist, or the one file of a progressive stream.
    #[must_use]
    pub fn for_url(partition: &Partition, url: &Url, identity: &UrlIdentity) -> Self {
        Self(hash("asset url", &[&partition.namespace, &partition.scope, &identity.canonical(url)]))
    }

    pub(crate) const fn from_bytes(bytes: [u8; NAME_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn digits<'a>(&self, digits: &'a mut [u8; 2 * NAME_LEN]) -> &'a str {
        hex_digits(&self.0, digits)
    }

    pub(crate) const fn to_bytes(self) -> [u8; NAME_LEN] {
        self.0
    }
}

/// The name of one resource inside its asset.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ResourceName([u8; NAME_LEN]);

impl ResourceName {
    pub(crate) const fn from_bytes(bytes: [u8; NAME_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn digits<'a>(&self, digits: &'a mut [u8; 2 * NAME_LEN]) -> &'a str {
        hex_digits(&self.0, digits)
    }

    pub(crate) const fn to_bytes(self) -> [u8; NAME_LEN] {
        self.0
    }
}

/// One cached HTTP object of an asset. All byte ranges of a URL are spans of one resource: a range is no part of the
/// key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    pub(crate) asset: AssetId,
    pub(crate) name: ResourceName,
}

impl ResourceKey {
    /// The resource that the application calls `name`. Never equal to a key made by [`ResourceKey::for_url`].
    #[must_use]
    pub fn named(asset: AssetId, name: &str) -> Self {
        Self { asset, name: ResourceName(hash("resource", &[name])) }
    }

    /// The resource at `url`, whatever the signing parameters (see [`UrlIdentity`]), the user info and the fragment
    /// are.
    #[must_use]
    pub fn for_url(asset: AssetId, url: &Url, identity: &UrlIdentity) -> Self {
        Self { asset, name: ResourceName(hash("resource url", &[&identity.canonical(url)])) }
    }

    /// The asset this resource belongs to.
    #[must_use]
    pub const fn asset(&self) -> AssetId {
        self.asset
    }
}

impl FromStr for AssetId {
    type Err = AssetsError;

    fn from_str(text: &str) -> Result<Self, AssetsError> {
        unhex(text).map(Self).ok_or(NOT_A_KEY)
    }
}

impl FromStr for ResourceName {
    type Err = AssetsError;

    fn from_str(text: &str) -> Result<Self, AssetsError> {
        unhex(text).map(Self).ok_or(NOT_A_KEY)
    }
}

impl FromStr for ResourceKey {
    type Err = AssetsError;

    fn from_str(text: &str) -> Result<Self, AssetsError> {
        let (asset, name) = text.split_once('/').ok_or(NOT_A_KEY)?;
        Ok(Self { asset: asset.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.asset, self.name)
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetId({self})")
    }
}

impl fmt::Debug for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceName({self})")
    }
}

impl fmt::Debug for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceKey({self})")
    }
}

/// An asset is 32 hexadecimal digits, a resource two of these with a slash between.
const NOT_A_KEY: AssetsError = AssetsError::new(AssetsErrorKind::InvalidKey, "reading a key");

/// Hashes `parts` so that no two lists of parts, and no two kinds of name, can be confused: each part is preceded by
/// its length.
fn hash(kind: &str, parts: &[&str]) -> [u8; NAME_LEN] {
    let mut digest = Sha256::new();
    for part in std::iter::once(&kind).chain(parts) {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let mut name = [0; NAME_LEN];
    name.copy_from_slice(&digest.finalize()[..NAME_LEN]);
    name
}

fn hex(bytes: &[u8; NAME_LEN], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut digits = [0; 2 * NAME_LEN];
    f.write_str(hex_digits(bytes, &mut digits))
}

/// The digits of `bytes`, the more significant of each byte first.
fn hex_digits<'a>(bytes: &[u8; NAME_LEN], digits: &'a mut [u8; 2 * NAME_LEN]) -> &'a str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    std::str::from_utf8(digits).expect("digits are ASCII")
}

fn unhex(text: &str) -> Option<[u8; NAME_LEN]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * NAME_LEN {
        return None;
    }
    let mut bytes = [0; NAME_LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
    }
    Some(bytes)
}

/// The value of a lower-case digit. Upper case is refused, so that one key has one spelling and one file name.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn keys_survive_being_written_and_parsed() {
        let asset = AssetId::named(&Partition::new("app"), "album 7");
        let key = ResourceKey::named(asset, "side a");
        assert_eq!(asset.to_string().parse::<AssetId>().unwrap(), asset);
        assert_eq!(key.to_string().parse::<ResourceKey>().unwrap(), key);
    }

    #[test]
    fn texts_that_are_no_key_are_refused() {
        for text in
            ["", "/", "..", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(31), &"0".repeat(33), &"é".repeat(16)]
        {
            assert!(text.parse::<AssetId>().is_err(), "{text}");
            assert!(text.parse::<ResourceKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn partitions_do_not_share() {
        let identity = UrlIdentity::default();
        let url = url("https://a.example/x.m3u8");
        let id = |partition: &Partition| AssetId::for_url(partition, &url, &identity);
        let public = Partition::new("app");
        assert_eq!(id(&public), id(&Partition::new("app").scoped("")));
        assert_ne!(id(&public), id(&Partition::new("other")));
        assert_ne!(id(&public), id(&public.clone().scoped("user 1")));
        assert_ne!(id(&public.clone().scoped("user 1")), id(&public.scoped("user 2")));
        assert_ne!(id(&Partition::new("ab").scoped("c")), id(&Partition::new("a").scoped("bc")));
    }

    #[test]
    fn a_name_and_a_url_never_meet() {
        let identity = UrlIdentity::default();
        let url = url("https://a.example/x.m3u8");
        let partition = Partition::default();
        assert_ne!(AssetId::named(&partition, url.as_str()), AssetId::for_url(&partition, &url, &identity));
        let asset = AssetId::named(&partition, "a");
        assert_ne!(ResourceKey::named(asset, url.as_str()), ResourceKey::for_url(asset, &url, &identity));
    }

    #[test]
    fn a_signed_again_url_is_the_same_resource() {
        let identity = UrlIdentity::default();
        let asset = AssetId::named(&Partition::default(), "a");
        let key = |text| ResourceKey::for_url(asset, &url(text), &identity);
        assert_eq!(key("https://a.example/s.ts?md5=1&expires=5"), key("https://u:p@a.example/s.ts?md5=2&expires=9#f"));
        assert_ne!(key("https://a.example/s.ts?id=1&md5=1"), key("https://a.example/s.ts?id=2&md5=1"));
    }

    #[test]
    fn debug_shows_no_scope() {
        let text = format!("{:?}", Partition::new("app").scoped("secret user"));
        assert!(!text.contains("secret"), "{text}");
    }
}
