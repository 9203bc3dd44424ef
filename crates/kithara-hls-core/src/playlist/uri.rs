//! URIs of a playlist: kept as written, resolved when asked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use url::Url;

use super::text::{Source, Text};

/// A URI as a playlist writes it, with the playlist's own address to resolve it against.
///
/// Most URIs of a playlist are never used, and resolving costs more than all other work on a line, so [`Uri::url`]
/// resolves on demand. That it will succeed is checked when the URI is made. Cloning is cheap.
///
/// `Debug` and `Display` show neither query nor user information, where secrets travel.
#[derive(Clone)]
pub struct Uri(Text);

impl Uri {
    /// `raw` relative to `base`.
    ///
    /// # Errors
    /// When the result is no URL.
    pub fn new(raw: &str, base: &Url) -> Result<Self, url::ParseError> {
        base.join(raw)?;
        Ok(Self(Text::copied(&Arc::new(base.clone()), raw)))
    }

    /// `raw`, which may stand in `source`, relative to the base of `source`.
    pub(super) fn within(source: &Arc<Source>, raw: &str) -> Result<Self, url::ParseError> {
        if !resolves_for_certain(raw) {
            source.base.join(raw)?;
        }
        Ok(Self(Text::within(source, raw)))
    }

    /// The text of the playlist, variables substituted. It may carry secrets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute address (RFC 3986 section 5.2).
    #[must_use]
    pub fn url(&self) -> Url {
        self.0.base().join(&self.0).expect("resolution was checked when the URI was made")
    }
}

/// An absolute URL stands for itself.
impl From<Url> for Uri {
    fn from(url: Url) -> Self {
        let base = Arc::new(url);
        Self(Text::copied(&base, base.as_str()))
    }
}

/// Two URIs are equal when they are written equally and resolve against equal bases.
impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        let (base, other_base) = (self.0.base(), other.0.base());
        self.0 == other.0 && (Arc::ptr_eq(base, other_base) || base == other_base)
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let raw = self.as_str();
        if raw.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
            return f.write_str("data:");
        }
        let path = raw.find(['?', '#']).map_or(raw, |end| &raw[..end]);
        let Some((scheme, rest)) = path.split_once("//") else { return f.write_str(path) };
        let authority_end = rest.find('/').unwrap_or(rest.len());
        let host_start = rest[..authority_end].rfind('@').map_or(0, |at| at + 1);
        write!(f, "{scheme}//{}", &rest[host_start..])
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// Whether `raw` is of a form that every HTTP base resolves, which spares trying. `false` means "try".
fn resolves_for_certain(raw: &str) -> bool {
    let bytes = raw.as_bytes();
    let absolute = bytes.strip_prefix(b"https://").or_else(|| bytes.strip_prefix(b"http://"));
    match absolute {
        Some(rest) => has_plain_host(rest),
        // Without a colon there is no scheme, without two slashes no host: only a path, which always resolves.
        None => !bytes.starts_with(b"//") && !bytes.iter().any(|byte| matches!(byte, b':' | b'\\' | 0..=b' ')),
    }
}

/// Whether an authority begins with a name of letters, digits and single hyphens whose last label cannot be taken for a
/// number, and ends there or with a short port.
fn has_plain_host(rest: &[u8]) -> bool {
    let is_host = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let len = rest.iter().take_while(|byte| is_host(byte)).count();
    let (host, rest) = rest.split_at(len);
    let labels = host.split(|byte| *byte == b'.');
    let named = labels.last().is_some_and(|label| label.first().is_some_and(u8::is_ascii_alphabetic));
    let punycode = host.windows(2).any(|pair| pair == b"--");
    named && !punycode && ends_authority(rest)
}

fn ends_authority(rest: &[u8]) -> bool {
    let rest = match rest.strip_prefix(b":") {
        Some(port) => &port[port.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count()..],
        None => rest,
    };
    matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base() -> Url {
        Url::parse("https://user:pass@example.com/a/b/index.m3u8?token=1").unwrap()
    }

    #[track_caller]
    fn check(raw: &str, url: &str, shown: &str) {
        let uri = Uri::new(raw, &base()).unwrap();
        assert_eq!((uri.url().as_str(), uri.to_string().as_str()), (url, shown));
    }

    #[test]
    fn resolution_is_that_of_rfc_3986() {
        check("s.ts", "https://user:pass@example.com/a/b/s.ts", "s.ts");
        check("../s.ts?x=1#y", "https://user:pass@example.com/a/s.ts?x=1#y", "../s.ts");
        check("/s.ts", "https://user:pass@example.com/s.ts", "/s.ts");
        check("//cdn/s.ts", "https://cdn/s.ts", "//cdn/s.ts");
    }

    #[test]
    fn secrets_are_not_shown() {
        check("http://me:secret@h/s.ts?sig=1", "http://me:secret@h/s.ts?sig=1", "http://h/s.ts");
        check("//me:secret@h/s.ts", "https://me:secret@h/s.ts", "//h/s.ts");
        check("data:text/plain,secret", "data:text/plain,secret", "data:");
        assert_eq!(format!("{:?}", Uri::new("s.ts?sig=1", &base()).unwrap()), "<s.ts>");
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for raw in ["http://", "http://[::1", "https://a b/c", "http://1.2.3.999/", "http://h:99999/"] {
            assert!(Uri::new(raw, &base()).is_err(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_is_certain_to_resolve_does(raw in "(https?://|//|/|)[a-zA-Z0-9.:/?#@\\[\\]\\\\%_ -]{0,24}") {
            if resolves_for_certain(&raw) {
                prop_assert!(base().join(&raw).is_ok(), "{}", raw);
            }
        }

        #[test]
        fn what_is_certain_to_resolve_does_for_any_text(raw in ".{0,24}") {
            if resolves_for_certain(&raw) {
                prop_assert!(base().join(&raw).is_ok(), "{}", raw);
            }
        }
    }
}
