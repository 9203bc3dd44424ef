//! The one error type of this crate.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kithara_assets::AssetsError;
use kithara_net::{ErrorKind, NetError, RedactedUrl};
use url::Url;

/// Why a fetch failed, for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The origin did not deliver; its doc says whether retrying helps. Never `Changed` or `Deadline`, which are kinds of their own.
    Net(ErrorKind),
    /// The fetch may only use the store ([`CacheUse::OfflineOnly`](crate::CacheUse::OfflineOnly)), and not all bytes are there.
    /// Retrying does not help before they are fetched.
    OfflineMiss,
    /// The resource became another one after some of its bytes were handed over. What the store had of it is gone. Retrying helps: a
    /// new fetch gives the new version from its beginning.
    Changed,
    /// The deadline of the request passed. Retrying is the caller's decision.
    Deadline,
    /// The resolver has no URL, for good. Retrying does not help.
    Unresolved,
    /// The resolver had no URL in time. Retrying helps.
    NotReady,
    /// The request makes no sense: an empty range, or a range of what is fetched as a whole. Retrying does not help.
    InvalidRequest,
    /// There is no tokio runtime to fetch on, or it was shut down during the fetch. Retrying does not help.
    NoRuntime,
}

/// A failed fetch: a [`kind`](Self::kind) for the program, the rest for people. Cheap to clone, shown without secrets.
#[derive(Clone)]
pub struct FetchError {
    kind: FetchErrorKind,
    url: Option<RedactedUrl>,
    cause: Option<Cause>,
}

#[derive(Clone)]
enum Cause {
    Net(NetError),
    Store(AssetsError),
    App(Arc<dyn Error + Send + Sync>),
}

impl FetchError {
    pub(crate) const fn new(kind: FetchErrorKind) -> Self {
        Self { kind, url: None, cause: None }
    }

    pub(crate) fn unresolved(cause: Arc<dyn Error + Send + Sync>) -> Self {
        Self { cause: Some(Cause::App(cause)), ..Self::new(FetchErrorKind::Unresolved) }
    }

    pub(crate) fn offline_miss(cause: Option<AssetsError>) -> Self {
        Self { cause: cause.map(Cause::Store), ..Self::new(FetchErrorKind::OfflineMiss) }
    }

    /// Says which resource it is about, where nobody said that before.
    pub(crate) fn at(mut self, url: &Url) -> Self {
        self.url.get_or_insert_with(|| RedactedUrl::new(url));
        self
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// What was wanted. `None` where an error comes from [`resolve_in_time`](crate::resolve_in_time) itself. The URL that failed in
    /// the network, after redirects, is in [`net`](Self::net).
    #[must_use]
    pub const fn url(&self) -> Option<&RedactedUrl> {
        self.url.as_ref()
    }

    /// What the network said, where it failed there: URL, status, attempts.
    #[must_use]
    pub const fn net(&self) -> Option<&NetError> {
        match &self.cause {
            Some(Cause::Net(error)) => Some(error),
            _ => None,
        }
    }

    /// The HTTP status, when an origin answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.net()?.status()
    }

    /// How long the origin wants to be left alone, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.net()?.retry_after()
    }
}

impl From<FetchErrorKind> for FetchError {
    fn from(kind: FetchErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<NetError> for FetchError {
    fn from(error: NetError) -> Self {
        let kind = match error.kind() {
            ErrorKind::Changed => FetchErrorKind::Changed,
            ErrorKind::Deadline => FetchErrorKind::Deadline,
            kind => FetchErrorKind::Net(kind),
        };
        Self { cause: Some(Cause::Net(error)), ..Self::new(kind) }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The network tells its story best itself: where, what, how often.
        if let Some(error) = self.net() {
            return error.fmt(f);
        }
        if let Some(url) = &self.url {
            write!(f, "{url}: ")?;
        }
        f.write_str(match self.kind {
            FetchErrorKind::Net(kind) => return kind.fmt(f),
            FetchErrorKind::OfflineMiss => "not stored, and the network may not be used",
            FetchErrorKind::Changed => "the resource changed while it was read",
            FetchErrorKind::Deadline => "not done in time",
            FetchErrorKind::Unresolved => "the resolver has no URL for it",
            FetchErrorKind::NotReady => "the resolver had no URL for it in time",
            FetchErrorKind::InvalidRequest => "not a request that can be fetched",
            FetchErrorKind::NoRuntime => "no tokio runtime to fetch on",
        })
    }
}

impl fmt::Debug for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("FetchError");
        out.field("kind", &self.kind).field("url", &self.url);
        match &self.cause {
            Some(Cause::Net(error)) => out.field("net", error),
            Some(Cause::Store(error)) => out.field("store", error),
            Some(Cause::App(error)) => out.field("app", error),
            None => &mut out,
        };
        out.finish()
    }
}

impl Error for FetchError {
    /// What is below the network's own report, whose text is already this error's; else the store's or the app's error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.cause.as_ref()? {
            Cause::Net(error) => error.source(),
            Cause::Store(error) => Some(error),
            Cause::App(error) => Some(&**error),
        }
    }
}
