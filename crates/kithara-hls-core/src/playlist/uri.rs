//! URIs of a playlist: kept as written, resolved when asked.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use url::Url;

use super::swar;
use super::text::{Source, Span, Text};

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

    /// A copy of `raw`, which is known to resolve against `base`.
    pub(super) fn checked(base: &Arc<Url>, raw: &str) -> Self {
        Self(Text::copied(base, raw))
    }

    /// The same URI, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> UriRef<'_> {
        UriRef { source: self.0.source(), span: self.0.span() }
    }

    /// The same URI in `source`, where it stands at `next`, which is moved behind it; a URI with another base stays.
    pub(super) fn moved_to(&self, source: &Arc<Source>, next: &mut u32) -> Self {
        let span = Span::next(next, self.as_str().len());
        if *self.0.base() == source.base { Self(Text::at(source, span)) } else { self.clone() }
    }

    /// The same URI with a copy of its text.
    pub(crate) fn detached(&self) -> Self {
        Self(Text::copied(self.0.base(), &self.0))
    }

    /// The text of the playlist, variables substituted. It may carry secrets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The absolute address (RFC 3986 section 5.2).
    #[must_use]
    pub fn url(&self) -> Url {
        self.as_ref().url()
    }

    /// Whether a playlist that came by https names something by plain http here.
    #[must_use]
    pub fn leaves_https(&self) -> bool {
        self.0.base().scheme() == "https" && self.url().scheme() == "http"
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
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

/// A [`Uri`] borrowed from its playlist. `Debug` and `Display` show as little of it.
#[derive(Clone, Copy)]
pub struct UriRef<'a> {
    source: &'a Arc<Source>,
    span: Span,
}

impl<'a> UriRef<'a> {
    /// What stands at `span` of `source`.
    pub(super) fn at(source: &'a Arc<Source>, span: Span) -> Self {
        Self { source, span }
    }

    pub(super) fn base(self) -> &'a Arc<Url> {
        &self.source.base
    }

    /// The text of the playlist, variables substituted. It may carry secrets.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.span.in_text(&self.source.text)
    }

    /// The absolute address (RFC 3986 section 5.2).
    #[must_use]
    pub fn url(self) -> Url {
        self.base().join(self.as_str()).expect("resolution was checked when the URI was made")
    }

    /// The same URI, owned. It keeps alive the piece of the playlist text it stands in.
    #[must_use]
    pub fn to_uri(self) -> Uri {
        Uri(Text::at(self.source, self.span))
    }
}

/// Two URIs are equal when they are written equally and resolve against equal bases.
impl PartialEq for UriRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        let (base, other_base) = (self.base(), other.base());
        self.as_str() == other.as_str() && (Arc::ptr_eq(base, other_base) || base == other_base)
    }
}

impl Eq for UriRef<'_> {}

impl Hash for UriRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for UriRef<'_> {
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

impl fmt::Debug for UriRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

/// Whether `raw` is a path and perhaps a query, which every base resolves that has paths.
fn is_plain_path(raw: &[u8]) -> bool {
    // Without a colon there is no scheme, without two slashes no host. Control characters would be dropped first.
    let (chunks, rest) = raw.as_chunks::<8>();
    let suspect = |byte: u8| byte <= b' ' || byte == b':' || byte == b'\\';
    raw.first_chunk() != Some(b"//")
        && !chunks.iter().any(|chunk| swar::has_any(*chunk, b' ' + 1, [b':', b'\\']))
        && !rest.iter().copied().any(suspect)
}

/// What is known to resolve: paths, if the base has any, and the last origins seen, each as it is written before the
/// path.
#[derive(Debug)]
pub(super) struct Origins {
    base_has_paths: bool,
    seen: [String; 4],
    oldest: usize,
}

impl Origins {
    pub(super) fn new(base: &Url) -> Self {
        Self { base_has_paths: !base.cannot_be_a_base(), seen: Default::default(), oldest: 0 }
    }

    /// Finds out whether `raw` resolves against `base`, which is the one these are of. They are handed from URI to URI: those of
    /// a playlist mostly share a few.
    pub(super) fn check(&mut self, base: &Url, raw: &str) -> Result<(), url::ParseError> {
        let plain = self.base_has_paths && is_plain_path(raw.as_bytes());
        if !plain && !self.contain(raw) {
            base.join(raw)?;
            self.remember(raw);
        }
        Ok(())
    }

    /// Whether `raw` is a URL of one of the origins, which then resolves since another one did.
    fn contain(&self, raw: &str) -> bool {
        self.seen.iter().filter(|origin| !origin.is_empty()).any(|origin| {
            let rest = raw.strip_prefix(&**origin);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
        })
    }

    fn remember(&mut self, raw: &str) {
        let Some(origin) = plain_origin(raw) else { return };
        self.seen[self.oldest] = origin.to_owned();
        self.oldest = (self.oldest + 1) % self.seen.len();
    }
}

/// `scheme://host:port` of an absolute HTTP URL, as it stands there.
fn plain_origin(raw: &str) -> Option<&str> {
    let rest = raw.strip_prefix("https://").or_else(|| raw.strip_prefix("http://"))?;
    let host = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let control = rest.bytes().take(host).any(|byte| byte <= b' ');
    (!control).then_some(&raw[..raw.len() - rest.len() + host])
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

    #[track_caller]
    fn agrees_with_trying(raw: &str, origin: &str) {
        for base in [base().as_str(), "file:///", "data:text/plain,x", "x://y/z"] {
            let base = Url::parse(base).unwrap();
            let mut known = Origins::new(&base);
            let _ = known.check(&base, origin);
            let resolves = base.join(raw).is_ok();
            assert_eq!(known.check(&base, raw).is_ok(), resolves, "{raw:?} after {origin:?} relative to {base}");
        }
    }

    proptest! {
        #[test]
        fn shortcuts_agree_with_trying(
            origin in "https?://[a-z0-9.:@\\\\-]{0,8}",
            rest in "[a-zA-Z0-9.:/?#@\\[\\]\\\\%_\t -]{0,16}",
        ) {
            agrees_with_trying(&format!("{origin}{rest}"), &origin);
            agrees_with_trying(&rest, &origin);
        }

        #[test]
        fn shortcuts_agree_with_trying_for_any_text(raw in ".{0,24}", origin in ".{0,8}") {
            agrees_with_trying(&raw, &origin);
        }
    }
}
