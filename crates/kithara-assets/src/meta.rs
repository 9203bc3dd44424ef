//! What is remembered about a resource beside its bytes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::identity::is_signed_segment;

/// A point in wall time: milliseconds since 1970 (UTC). Wall clocks may be wrong and may go back; the store uses it for
/// ages and order only, never to decide whether bytes are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Time passed since `earlier`, or zero where the clock went back.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for UnixMillis {
    fn from(time: SystemTime) -> Self {
        let millis = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Where the store takes wall time from. Default: the system's clock.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMillis + Send + Sync>);

impl Clock {
    /// A clock that answers with what `now` returns: for tests and simulations.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time it is.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_fn(|| SystemTime::now().into())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}

/// What an origin says to tell two versions of a resource apart (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Validators {
    /// `ETag`, as received, quotes and `W/` included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`, as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validators {
    /// True when the origin gave none: two versions cannot be told apart.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// A short mark of this version, never zero; zero where there are no validators. Spans of one resource with
    /// different marks are never mixed.
    pub(crate) fn mark(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let mut digest = Sha256::new();
        for part in [&self.etag, &self.last_modified] {
            let text = part.as_deref().unwrap_or_default();
            digest.update([u8::from(part.is_some())]);
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
    }
}

/// What is stored with bytes: it comes back with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// What the origin said about the version. Empty where these bytes were first stored under another URL (see
    /// [`DiskOptions::share_equal_content`](crate::DiskOptions::share_equal_content)).
    #[serde(default, skip_serializing_if = "Validators::is_empty")]
    pub validators: Validators,
    /// `Content-Type`, as received. It proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// When the bytes were received.
    #[serde(default)]
    pub stored_at: UnixMillis,
    /// Until when they may be used without asking the origin; `None` when it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_until: Option<UnixMillis>,
    /// The URL that relative references resolve against: the last one of all redirects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseUrl>,
}

/// A URL without user info, query and fragment, for they may be secrets and no relative reference needs them, and without
/// tokens in its path (`/hdntl=…~hmac=…/`), which a new one takes the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Url")]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// The URL itself.
    #[must_use]
    pub const fn as_url(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for BaseUrl {
    fn from(mut url: Url) -> Self {
        url.set_query(None);
        url.set_fragment(None);
        if url.path().split('/').any(is_signed_segment) {
            let kept: Vec<&str> = url.path().split('/').filter(|segment| !is_signed_segment(segment)).collect();
            let path = kept.join("/");
            url.set_path(&path);
        }
        // A URL that cannot have user info has none to drop.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Self(url)
    }
}

impl Meta {
    /// The same with `url` for a base, stripped as [`BaseUrl`] is.
    #[must_use]
    pub fn with_base_url(mut self, url: &Url) -> Self {
        self.base = Some(url.clone().into());
        self
    }

    /// The URL that relative references resolve against, where it is known.
    #[must_use]
    pub fn base_url(&self) -> Option<&Url> {
        self.base.as_ref().map(BaseUrl::as_url)
    }

    /// True while the bytes may be used without asking the origin. False where the origin said nothing, and where the
    /// clock went back behind the time they were stored.
    #[must_use]
    pub fn is_fresh(&self, now: UnixMillis) -> bool {
        self.stored_at <= now && self.fresh_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_keeps_no_secret() {
        let url = "https://user:pass@a.example/p/x.m3u8?token=1#frag".parse().unwrap();
        let meta = Meta::default().with_base_url(&url);
        assert_eq!(meta.base_url().unwrap().as_str(), "https://a.example/p/x.m3u8");
    }

    #[test]
    fn freshness_ends_and_does_not_survive_a_clock_that_went_back() {
        let meta = Meta { stored_at: UnixMillis(100), fresh_until: Some(UnixMillis(200)), ..Meta::default() };
        let fresh = |now| meta.is_fresh(UnixMillis(now));
        assert_eq!([99, 100, 199, 200].map(fresh), [false, true, true, false]);
        assert!(!Meta::default().is_fresh(UnixMillis(0)));
    }

    #[test]
    fn marks_tell_versions_apart() {
        let mark = |etag: Option<&str>, time: Option<&str>| {
            Validators { etag: etag.map(Into::into), last_modified: time.map(Into::into) }.mark()
        };
        assert_eq!(mark(None, None), 0);
        let all = [mark(Some("a"), None), mark(None, Some("a")), mark(Some("a"), Some("a")), mark(Some(""), None)];
        for (at, one) in all.iter().enumerate() {
            assert_ne!(*one, 0);
            assert!(!all[..at].contains(one));
        }
    }
}
