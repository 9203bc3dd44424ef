//! URLs as they may be shown: without what lets somebody in.

use std::fmt;

use url::Url;

/// A URL without its userinfo, query and fragment, safe for logs and errors.
///
/// Signed URLs carry their secret in the query and some origins in the userinfo; scheme, host, port and path stay. A
/// removed query leaves the mark `?…`. Equality and hashing are those of the shown text.
///
/// ```
/// # use kithara_net::RedactedUrl;
/// let url = "https://user:pass@cdn.example/a/seg1.ts?token=secret#t".parse().unwrap();
/// assert_eq!(RedactedUrl::new(&url).to_string(), "https://cdn.example/a/seg1.ts?…");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    /// What may be shown of `url`.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        // Anything but a web address (a `data:` URL, say) is payload all over.
        let Some(host) = url.host_str() else {
            return Self(format!("{}:…", url.scheme()).into());
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let query = if url.query().is_some() { "?…" } else { "" };
        Self(format!("{}://{host}{port}{}{query}", url.scheme(), url.path()).into())
    }

    /// The text that is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Url> for RedactedUrl {
    fn from(url: &Url) -> Self {
        Self::new(url)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of `headers`, for `Debug` output: values may be credentials.
pub(crate) struct HeaderNames<'a>(pub(crate) &'a http::HeaderMap);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: &str) {
        let shown = RedactedUrl::new(&Url::parse(url).unwrap());
        assert_eq!(shown.to_string(), want);
        assert_eq!(format!("{shown:?}"), want);
    }

    #[test]
    fn userinfo_query_and_fragment_are_removed() {
        check("http://u:p@h:8080/a/b.ts?sig=1&x=2#f", "http://h:8080/a/b.ts?…");
    }

    #[test]
    fn a_plain_url_is_shown_whole() {
        check("https://h/a%20b/c", "https://h/a%20b/c");
    }

    #[test]
    fn an_empty_query_is_marked_too() {
        check("http://h/?", "http://h/?…");
    }

    #[test]
    fn a_url_without_host_shows_only_its_scheme() {
        check("data:text/plain,secret", "data:…");
    }
}
