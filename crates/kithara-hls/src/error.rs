//! What can go wrong with a session.

use std::{fmt, sync::Arc};

use kithara_fetch::{
    FetchError, FetchErrorKind,
    assets::AssetsError,
    net::{ErrorKind, NetError, RedactedUrl},
};
use kithara_hls_core::{
    abr::InvalidAbrOption,
    session::{Failure, FailureKind, MediaId, Subject},
};
use url::Url;

/// The result of everything a session is asked.
pub type HlsResult<T> = Result<T, HlsError>;

/// What went wrong with an HLS session. Cheap to clone; no message contains a query, a user name or a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HlsError {
    /// The network layer gave up on a request. Whether trying again helps is told by [`NetError::kind`]; where it was, and
    /// with which status, by the error inside.
    Net(NetError),
    /// A fetch failed without a request: no URL, no runtime, no time. Whether trying again helps is told by
    /// [`FetchError::kind`].
    Fetch(FetchError),
    /// The store could not be read or written. Trying again does not help while the disk is as it is; playing without it
    /// does.
    Assets(AssetsError),
    /// Something other than the store that holds bytes failed. Trying again may help.
    Storage(StorageError),
    /// A playlist cannot be used. Trying again helps only if the server changes it.
    PlaylistParse {
        /// Which playlist; `None` where it was not loaded from anywhere.
        url: Option<RedactedUrl>,
        /// The line at which it shows, counted from 1; `None` where it is the whole.
        line: Option<u32>,
        /// What is wrong with it, and in which line.
        reason: Arc<str>,
    },
    /// The variant or rendition that was asked for is not in the playlist. Trying again does not help.
    VariantNotFound {
        /// Which one.
        wanted: MediaId,
    },
    /// A segment cannot be had, or no longer. Trying again may help when the network was the reason.
    SegmentNotFound {
        /// Which one, and what happened.
        failure: Failure,
        /// The error behind it.
        source: Option<Arc<HlsError>>,
    },
    /// Nothing in the playlist can be played. Trying again does not help.
    NoSuitableVariant,
    /// A key could not be had, or is none, or the encryption method is not supported. Trying again helps where the error
    /// behind it says so, or when the key server or the [`KeyProcessor`](crate::KeyProcessor) changes its mind; a method
    /// that is not supported stays so.
    KeyProcessing {
        /// Where the key was asked for; `None` where the method is not supported.
        url: Option<RedactedUrl>,
        /// What happened.
        reason: Arc<str>,
        /// The error behind it.
        source: Option<Arc<HlsError>>,
    },
    /// Adaptation was given an option it cannot work with; told when the session is opened. Trying again does not help.
    Abr(InvalidAbrOption),
    /// Only the store may be used, and it lacks something. Going online helps.
    OfflineMiss {
        /// What is missing.
        missing: Arc<str>,
    },
    /// The URL is not one, or not http(s). Trying again does not help.
    InvalidUrl(Arc<str>),
    /// A reader asked for a place that cannot be found by bytes. Trying again helps once the reader has come nearer by
    /// reading; seeking by time helps at once.
    UnknownOffset,
    /// The bytes received are not what was asked for: not media, cut, or not the same as before. They were asked for a few
    /// times; trying again helps when the origin has other ones.
    BadDelivery {
        /// Where they came from.
        url: RedactedUrl,
        /// What is wrong with them.
        reason: Arc<str>,
    },
    /// The session was closed, or its token cancelled. Trying again does not help; opening another session does.
    Closed,
    /// The session's own task is gone: a bug, or its runtime was shut down. Trying again does not help; opening another
    /// session on a runtime that lives does.
    Driver(Arc<str>),
}

/// Why something encrypted cannot be played where nobody said more.
const UNSUPPORTED: &str = "the encryption method or key format is not supported";

/// Why a key is not there that was asked for; the error behind it says more.
const NO_KEY: &str = "the key cannot be had";

/// Something that holds bytes failed.
#[derive(Clone, Debug)]
pub struct StorageError {
    /// What was being done.
    pub doing: &'static str,
    /// What the system says.
    pub source: Arc<std::io::Error>,
}

impl StorageError {
    pub(crate) fn new(doing: &'static str, source: std::io::Error) -> Self {
        Self { doing, source: Arc::new(source) }
    }
}

impl HlsError {
    /// How long the server asked to wait, if it did.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            // The pause of a circuit breaker is our own.
            Self::Net(error) => error.retry_after().filter(|_| error.kind() != ErrorKind::CircuitOpen),
            Self::KeyProcessing { source: Some(source), .. } => source.retry_after(),
            _ => None,
        }
    }

    /// What the network layer says, where a request is behind this error.
    pub(crate) fn net(&self) -> Option<&NetError> {
        match self {
            Self::Net(error) => Some(error),
            Self::KeyProcessing { source: Some(source), .. } => source.net(),
            _ => None,
        }
    }

    /// The failure that decisions are made from, for an error.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Net(error) => net_kind(error),
            Self::Fetch(error) => match error.kind() {
                FetchErrorKind::OfflineMiss => FailureKind::Offline,
                FetchErrorKind::Changed => FailureKind::Changed,
                FetchErrorKind::NotReady => FailureKind::NotReady,
                FetchErrorKind::Deadline => FailureKind::Unreachable,
                FetchErrorKind::Net(kithara_fetch::net::ErrorKind::TooLarge) => FailureKind::TooLarge,
                _ => FailureKind::Refused,
            },
            Self::PlaylistParse { .. } => FailureKind::Playlist,
            Self::SegmentNotFound { failure, .. } => failure.cause.kind,
            // A key that could not be had is missing in the same way as what the key is for.
            Self::KeyProcessing { source, .. } => source.as_ref().map_or(FailureKind::Key, |source| source.kind()),
            Self::OfflineMiss { .. } => FailureKind::Offline,
            Self::UnknownOffset => FailureKind::UnknownOffset,
            Self::VariantNotFound { .. } | Self::NoSuitableVariant => FailureKind::NoMedia,
            Self::BadDelivery { .. } => FailureKind::NotMedia,
            Self::InvalidUrl(_) => FailureKind::Refused,
            Self::Assets(_) | Self::Storage(_) | Self::Abr(_) | Self::Closed | Self::Driver(_) => FailureKind::Closed,
        }
    }

    /// The HTTP status behind this error, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Net(error) => error.status(),
            Self::SegmentNotFound { failure, source } => {
                failure.cause.status.or_else(|| source.as_ref().and_then(|source| source.status()))
            }
            Self::KeyProcessing { source, .. } => source.as_ref().and_then(|source| source.status()),
            _ => None,
        }
    }

    /// The key at `url` could not be had for this reason.
    pub(crate) fn without_key(url: &Url, source: Self) -> Self {
        Self::KeyProcessing { url: Some(RedactedUrl::new(url)), reason: NO_KEY.into(), source: Some(Arc::new(source)) }
    }

    /// Where it happened, as far as that is one place: without query, user name and tokens.
    #[must_use]
    pub fn url(&self) -> Option<&RedactedUrl> {
        match self {
            Self::Net(error) => error.url(),
            Self::PlaylistParse { url, .. } | Self::KeyProcessing { url, .. } => url.as_ref(),
            Self::BadDelivery { url, .. } => Some(url),
            Self::SegmentNotFound { source, .. } => source.as_ref().and_then(|source| source.url()),
            _ => None,
        }
    }

    /// The error an application sees for a failure of the session, with the driver's own error behind it. `url` is that
    /// of the playlist, where the failure is about one.
    pub(crate) fn from_failure(failure: &Failure, url: Option<RedactedUrl>, source: Option<Self>) -> Self {
        match (failure.subject, failure.cause.kind) {
            (_, FailureKind::NoMedia) => Self::NoSuitableVariant,
            (_, FailureKind::UnknownOffset) => Self::UnknownOffset,
            (_, FailureKind::Unsupported) => Self::KeyProcessing {
                url: None,
                reason: failure.cause.detail.as_deref().unwrap_or(UNSUPPORTED).into(),
                source: source.map(Arc::new),
            },
            (Subject::Unit(_), kind) => match source {
                Some(source @ Self::KeyProcessing { .. }) => source,
                source if kind == FailureKind::Key => Self::KeyProcessing {
                    url: source.as_ref().and_then(Self::url).cloned(),
                    reason: NO_KEY.into(),
                    source: source.map(Arc::new),
                },
                source => Self::SegmentNotFound { failure: failure.clone(), source: source.map(Arc::new) },
            },
            (_, FailureKind::BehindLiveWindow) => {
                Self::SegmentNotFound { failure: failure.clone(), source: source.map(Arc::new) }
            }
            (Subject::Playlist(_), FailureKind::Playlist | FailureKind::Incomplete) => {
                let reason = failure.cause.detail.as_deref().unwrap_or("it is no playlist");
                let line = failure.cause.line;
                source.unwrap_or_else(|| Self::PlaylistParse { url, line, reason: reason.into() })
            }
            (Subject::Playlist(_) | Subject::Session, kind) => {
                source.unwrap_or_else(|| Self::Driver(format!("{kind:?}").into()))
            }
        }
    }
}

/// How the session sees a network error.
fn net_kind(error: &NetError) -> FailureKind {
    use kithara_fetch::net::ErrorKind as Net;
    match error.kind() {
        Net::NotReady => FailureKind::NotReady,
        Net::Unauthorized => FailureKind::Unauthorized,
        // Other refusals of what a playlist lists are like this one: a new address may help, or time.
        Net::Forbidden | Net::Rejected | Net::RangeNotSatisfiable { .. } => FailureKind::Forbidden,
        // So is an edge that leads nowhere, or out of the web, or that forgot what a range is.
        Net::TooManyRedirects | Net::RedirectLoop | Net::RedirectRefused | Net::RangeIgnored => FailureKind::Forbidden,
        Net::NotFound => FailureKind::NotFound,
        Net::Gone => FailureKind::Gone,
        Net::TooLarge => FailureKind::TooLarge,
        Net::Changed => FailureKind::Changed,
        // An edge that compresses what must not be compressed: the next one may know better.
        Net::Encoding => FailureKind::NotMedia,
        kind if kind.is_transient() => FailureKind::Unreachable,
        _ => FailureKind::Refused,
    }
}

impl fmt::Display for HlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(error) => error.fmt(f),
            Self::Fetch(error) => error.fmt(f),
            Self::Assets(error) => write!(f, "the store failed: {error}"),
            Self::Storage(error) => write!(f, "{} failed: {}", error.doing, error.source),
            Self::PlaylistParse { url: Some(url), reason, .. } => {
                write!(f, "the playlist at {url} cannot be used: {reason}")
            }
            Self::PlaylistParse { url: None, reason, .. } => write!(f, "{reason}"),
            Self::VariantNotFound { wanted: MediaId::Rendition(id) } => {
                write!(f, "rendition {} is not in the playlist", id.0)
            }
            Self::VariantNotFound { wanted: MediaId::Variant(id) | MediaId::IFrames(id) } => {
                write!(f, "variant {} is not in the playlist", id.0)
            }
            Self::SegmentNotFound { failure, source } => {
                write!(f, "{failure}")?;
                source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Self::NoSuitableVariant => f.write_str("nothing in the playlist can be played"),
            Self::KeyProcessing { reason, source, .. } => {
                f.write_str(reason)?;
                source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Self::Abr(option) => write!(f, "adaptation: {option}"),
            Self::OfflineMiss { missing } => write!(f, "not in the store, and offline: {missing}"),
            Self::InvalidUrl(reason) => write!(f, "not a URL that can be played: {reason}"),
            Self::UnknownOffset => f.write_str("the sizes before this offset are not known: seek by time"),
            Self::BadDelivery { url, reason } => write!(f, "{url}: {reason}"),
            Self::Closed => f.write_str("the session was closed"),
            Self::Driver(reason) => write!(f, "the session ended: {reason}"),
        }
    }
}

impl std::error::Error for HlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Net(error) => Some(error),
            Self::Fetch(error) => Some(error),
            Self::Assets(error) => Some(error),
            Self::Storage(error) => Some(&*error.source),
            Self::Abr(option) => Some(option),
            Self::SegmentNotFound { source, .. } | Self::KeyProcessing { source, .. } => {
                source.as_deref().map(|source| source as _)
            }
            _ => None,
        }
    }
}

impl From<FetchError> for HlsError {
    fn from(error: FetchError) -> Self {
        match (error.net(), error.kind()) {
            (Some(net), _) => Self::Net(net.clone()),
            (None, FetchErrorKind::OfflineMiss) => Self::OfflineMiss { missing: error.to_string().into() },
            (None, _) => Self::Fetch(error),
        }
    }
}

impl From<NetError> for HlsError {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

/// A body that failed carries the session's own error.
impl From<std::io::Error> for HlsError {
    fn from(error: std::io::Error) -> Self {
        let ours = error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()).cloned();
        ours.unwrap_or_else(|| Self::Storage(StorageError::new("reading a unit", error)))
    }
}

impl HlsError {
    /// The session's own error among the causes of another one: what a decoder or an IO error carries inside.
    #[must_use]
    pub fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // An IO error hides what it carries from `source`.
            let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
            if let Some(found) = carried.and_then(|inner| inner.downcast_ref()) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl From<HlsError> for std::io::Error {
    fn from(error: HlsError) -> Self {
        let kind = match error {
            HlsError::UnknownOffset => std::io::ErrorKind::Unsupported,
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<InvalidAbrOption> for HlsError {
    fn from(option: InvalidAbrOption) -> Self {
        Self::Abr(option)
    }
}
