//! What can go wrong with a session.

use std::{fmt, sync::Arc};

use kithara_fetch::{
    FetchError, FetchErrorKind,
    assets::AssetsError,
    net::{NetError, RedactedUrl},
};
use kithara_hls_core::session::{Failure, FailureKind, Subject};

/// The result of everything a session is asked.
pub type HlsResult<T> = Result<T, HlsError>;

/// What went wrong with an HLS session. Cheap to clone; no message contains a query, a user name or a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HlsError {
    /// The network layer gave up on a request. Whether trying again helps is told by [`NetError::kind`].
    Net(NetError),
    /// A fetch failed without a request: no URL, no runtime, no time. Whether trying again helps is told by
    /// [`FetchError::kind`].
    Fetch(FetchError),
    /// The store could not be read or written. Playing without it helps.
    Assets(AssetsError),
    /// Something other than the store that holds bytes failed. Trying again may help.
    Storage(StorageError),
    /// A playlist cannot be used. Trying again helps only if the server changes it.
    PlaylistParse {
        /// Which playlist.
        url: Option<RedactedUrl>,
        /// What is wrong with it, and in which line.
        reason: Arc<str>,
    },
    /// The variant that was asked for is not in the playlist. Trying again does not help.
    VariantNotFound,
    /// A segment cannot be had, or no longer. Trying again may help when the network was the reason.
    SegmentNotFound {
        /// Which one, and what happened.
        failure: Failure,
        /// The error behind it.
        source: Option<Arc<HlsError>>,
    },
    /// Nothing in the playlist can be played. Trying again does not help.
    NoSuitableVariant,
    /// A key could not be had, or does not decrypt, or the encryption method is not supported.
    KeyProcessing {
        /// What happened.
        reason: Arc<str>,
        /// The error behind it.
        source: Option<Arc<HlsError>>,
    },
    /// Adaptation was given options it cannot work with. Trying again does not help.
    Abr(Arc<str>),
    /// Only the store may be used, and it lacks something. Going online helps.
    OfflineMiss {
        /// What is missing.
        missing: Arc<str>,
    },
    /// The URL is not one, or not http(s). Trying again does not help.
    InvalidUrl(Arc<str>),
    /// A reader asked for a place that cannot be found by bytes. Seeking by time helps.
    UnknownOffset,
    /// The bytes received are not what was asked for: not media, cut, or not the same as before.
    BadDelivery {
        /// Where they came from.
        url: RedactedUrl,
        /// What is wrong with them.
        reason: Arc<str>,
    },
    /// The session was closed.
    Closed,
    /// The session's own task is gone. A bug, or its runtime was shut down.
    Driver(Arc<str>),
}

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
            Self::Net(error) => error.retry_after(),
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
            Self::KeyProcessing { .. } => FailureKind::Key,
            Self::OfflineMiss { .. } => FailureKind::Offline,
            Self::UnknownOffset => FailureKind::UnknownOffset,
            Self::VariantNotFound | Self::NoSuitableVariant => FailureKind::NoMedia,
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

    /// The error an application sees for a failure of the session, with the driver's own error behind it. `url` is that
    /// of the playlist, where the failure is about one.
    pub(crate) fn from_failure(failure: &Failure, url: Option<RedactedUrl>, source: Option<Self>) -> Self {
        match (failure.subject, failure.cause.kind) {
            (_, FailureKind::NoMedia) => Self::NoSuitableVariant,
            (_, FailureKind::UnknownOffset) => Self::UnknownOffset,
            (_, FailureKind::Unsupported) => Self::KeyProcessing {
                reason: "the encryption method or key format is not supported".into(),
                source: source.map(Arc::new),
            },
            (Subject::Unit(_), FailureKind::Key) => match source {
                Some(source @ Self::KeyProcessing { .. }) => source,
                source => Self::KeyProcessing { reason: "the key cannot be had".into(), source: source.map(Arc::new) },
            },
            (Subject::Unit(_), _) | (_, FailureKind::BehindLiveWindow) => {
                Self::SegmentNotFound { failure: failure.clone(), source: source.map(Arc::new) }
            }
            (Subject::Playlist(_), FailureKind::Playlist) => {
                let reason = failure.cause.detail.as_deref().unwrap_or("it is no playlist");
                source.unwrap_or_else(|| Self::PlaylistParse { url, reason: reason.into() })
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
            Self::PlaylistParse { url: Some(url), reason } => {
                write!(f, "the playlist at {url} cannot be used: {reason}")
            }
            Self::PlaylistParse { url: None, reason } => write!(f, "{reason}"),
            Self::VariantNotFound => f.write_str("the variant is not in the playlist"),
            Self::SegmentNotFound { failure, source } => {
                write!(f, "{failure}")?;
                source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Self::NoSuitableVariant => f.write_str("nothing in the playlist can be played"),
            Self::KeyProcessing { reason, source } => {
                f.write_str(reason)?;
                source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Self::Abr(reason) => write!(f, "adaptation: {reason}"),
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
