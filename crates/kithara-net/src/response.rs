//! The head of a response, read once.

use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use url::Url;

use crate::address::Provenance;
use crate::redact::HeaderNames;
use crate::{Body, RedactedUrl};

/// An answered fetch: what the origin said about the resource, and its bytes as they arrive.
#[derive(Debug)]
pub struct Response {
    /// What the origin said.
    pub head: Head,
    /// The bytes.
    pub body: Body,
}

/// What tells one version of a resource from another (RFC 9110 section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Validators {
    /// The `ETag`, quotes and `W/` included.
    pub etag: Option<String>,
    /// The `Last-Modified` date as sent.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether there is nothing to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Whether both may describe the same version: nothing that both carry differs. ETags are compared weakly, and
    /// decide alone when both have one.
    #[must_use]
    pub fn agree_with(&self, other: &Self) -> bool {
        match (&self.etag, &other.etag) {
            (Some(a), Some(b)) => opaque(a) == opaque(b),
            _ => match (&self.last_modified, &other.last_modified) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            },
        }
    }

    /// Whether there is something by which both say to be the same version.
    pub(crate) fn share_with(&self, other: &Self) -> bool {
        let in_common = (self.etag.is_some() && other.etag.is_some())
            || (self.last_modified.is_some() && other.last_modified.is_some());
        in_common && self.agree_with(other)
    }

    /// The value for `If-Range`: a strong ETag, else the date. A weak ETag may not be used (RFC 9110 section 13.1.5).
    pub(crate) fn for_if_range(&self) -> Option<&str> {
        match &self.etag {
            Some(etag) if !etag.starts_with("W/") => Some(etag),
            Some(_) => None,
            None => self.last_modified.as_deref(),
        }
    }

    /// Whether there is an ETag that vouches for every byte.
    pub(crate) fn has_strong_etag(&self) -> bool {
        self.etag.as_ref().is_some_and(|etag| !etag.starts_with("W/"))
    }

    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self { etag: text(http::header::ETAG), last_modified: text(http::header::LAST_MODIFIED) }
    }
}

fn opaque(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// What the origin said about the resource. All lengths are promises of the origin: only the end of the body is proof.
///
/// `Debug` shows no query and no header value.
#[derive(Clone)]
pub struct Head {
    /// The URL that answered, after all redirects: the base for relative references.
    pub url: Url,
    /// The status: 2xx, or 304 when the request was conditional.
    pub status: u16,
    /// Absolute offset of the first byte the body delivers. Bytes a server sent before it, ignoring the range, are
    /// skipped.
    pub range_start: u64,
    /// Bytes the body will deliver; `None` when the origin did not say (chunked or until close).
    pub len: Option<u64>,
    /// Whether the end of the body shows, so that one that was cut is noticed: it has a length, or comes in chunks or
    /// frames (RFC 9112 section 6.3). A body that ends with its connection may be cut anywhere.
    pub has_end: bool,
    /// Length of the whole resource; `None` when the origin did not say.
    pub total_len: Option<u64>,
    /// The `Content-Type`, unparsed. It proves nothing.
    pub content_type: Option<String>,
    /// What identifies this version of the resource.
    pub validators: Validators,
    /// The `Age`: how long a shared cache has held the response.
    pub age: Option<Duration>,
    /// The `Date` the origin generated the response.
    pub date: Option<SystemTime>,
    /// How long the response may be reused: `Cache-Control: max-age`, else `Expires` minus `Date`; zero for `no-store`
    /// and `no-cache`. Age is not subtracted.
    pub max_age: Option<Duration>,
    /// Whether `Cache-Control: no-store` forbids keeping the response.
    pub no_store: bool,
    /// From sending the last hop's request to its head, connecting included.
    pub time_to_first_byte: Duration,
    /// The resource still is what [`Request::unless_matches`](crate::Request::unless_matches) described; there is no
    /// body.
    pub not_modified: bool,
    /// What this response is as the namer of other URLs; see [`Request::named_by`](crate::Request::named_by).
    pub provenance: Provenance,
    /// All headers of the last hop.
    pub headers: HeaderMap,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("url", &RedactedUrl::new(&self.url))
            .field("status", &self.status)
            .field("range_start", &self.range_start)
            .field("len", &self.len)
            .field("total_len", &self.total_len)
            .field("content_type", &self.content_type)
            .field("validators", &self.validators)
            .field("max_age", &self.max_age)
            .field("time_to_first_byte", &self.time_to_first_byte)
            .field("headers", &HeaderNames(&self.headers))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validators(etag: Option<&str>, date: Option<&str>) -> Validators {
        Validators { etag: etag.map(Into::into), last_modified: date.map(Into::into) }
    }

    #[track_caller]
    fn check(a: (Option<&str>, Option<&str>), b: (Option<&str>, Option<&str>), agree: bool) {
        assert_eq!(validators(a.0, a.1).agree_with(&validators(b.0, b.1)), agree);
    }

    #[test]
    fn etags_decide_alone_when_both_have_one() {
        check((Some("\"a\""), Some("Mon")), (Some("\"a\""), Some("Tue")), true);
        check((Some("\"a\""), Some("Mon")), (Some("\"b\""), Some("Mon")), false);
        check((Some("W/\"a\""), None), (Some("\"a\""), None), true);
    }

    #[test]
    fn dates_decide_when_an_etag_is_missing() {
        check((None, Some("Mon")), (Some("\"a\""), Some("Tue")), false);
        check((None, Some("Mon")), (None, None), true);
        check((None, None), (Some("\"a\""), None), true);
    }

    #[test]
    fn versions_are_the_same_only_by_what_both_carry() {
        let etag = validators(Some("\"a\""), None);
        assert!(etag.share_with(&validators(Some("W/\"a\""), Some("Mon"))));
        assert!(validators(None, Some("Mon")).share_with(&validators(Some("\"a\""), Some("Mon"))));
        for other in [(None, None), (None, Some("Mon")), (Some("\"b\""), None)] {
            assert!(!etag.share_with(&validators(other.0, other.1)));
        }
    }

    #[test]
    fn a_weak_etag_is_never_sent_as_if_range() {
        assert_eq!(validators(Some("W/\"a\""), Some("Mon")).for_if_range(), None);
        assert_eq!(validators(Some("\"a\""), Some("Mon")).for_if_range(), Some("\"a\""));
        assert_eq!(validators(None, Some("Mon")).for_if_range(), Some("Mon"));
    }
}
