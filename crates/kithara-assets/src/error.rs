//! The one error type of this crate.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why the store could not do what it was asked. Playback never depends on it: the bytes are always at the origin, too.
#[derive(Clone, Debug)]
pub struct AssetsError {
    kind: AssetsErrorKind,
    doing: &'static str,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a program needs to know of an [`AssetsError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AssetsErrorKind {
    /// The disk or the quota is full and nothing may be evicted. Retrying helps once something was freed.
    Full,
    /// The directory may not be written, or not be read. Retrying does not help before somebody changes that.
    Denied,
    /// The file system failed otherwise; see the source. Retrying may help.
    Io,
    /// The writer thread is behind and its queue is full. Retrying helps a moment later.
    QueueFull,
    /// Another process is making room, and there is none before it is done. Retrying helps a moment later.
    Busy,
    /// The bytes disagree with what is stored about length or version. Retrying helps after
    /// [`StreamingResource::invalidate`](crate::StreamingResource::invalidate).
    Conflict,
    /// What is stored now is of another version than was asked for. Retrying does not help: what is known of the bytes has
    /// to be looked at anew.
    Changed,
    /// The write was cut short before it was committed: something newer replaced the resource, the writer was told to
    /// give up, or nothing was written. Retrying helps.
    Abandoned,
    /// A range ends before it begins or beyond the end of its resource. Retrying does not help.
    InvalidRange,
    /// The text is no key. Retrying does not help.
    InvalidKey,
    /// The thing is larger than its kind may be. Retrying does not help.
    TooLarge,
    /// A leased or pinned asset may not be removed. Retrying helps when the lease or pin is gone.
    Held,
    /// The bytes did not come in time. Retrying helps.
    TimedOut,
    /// The store is closing. Retrying does not help.
    Closed,
}

impl AssetsErrorKind {
    pub(crate) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            _ => Self::Io,
        }
    }

    /// True where the same call may succeed later without anything else being done.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Full | Self::Io | Self::QueueFull | Self::Busy | Self::Abandoned | Self::Held | Self::TimedOut
        )
    }
}

impl AssetsError {
    pub(crate) const fn new(kind: AssetsErrorKind, doing: &'static str) -> Self {
        Self { kind, doing, source: None }
    }

    pub(crate) fn io(doing: &'static str, source: io::Error) -> Self {
        Self { kind: AssetsErrorKind::of(&source), doing, source: Some(Arc::new(source)) }
    }

    /// What happened, for the program.
    #[must_use]
    pub const fn kind(&self) -> AssetsErrorKind {
        self.kind
    }
}

impl fmt::Display for AssetsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no space, and nothing may be evicted",
            Self::Denied => "not permitted",
            Self::Io => "the file system failed",
            Self::QueueFull => "the disk is behind",
            Self::Busy => "another process is making room",
            Self::Conflict => "length or version disagree with what is stored",
            Self::Changed => "another version is stored now",
            Self::Abandoned => "cut short",
            Self::InvalidRange => "no such range",
            Self::InvalidKey => "not a key",
            Self::TooLarge => "too large",
            Self::Held => "leased or pinned",
            Self::TimedOut => "not in time",
            Self::Closed => "the store is closing",
        })
    }
}

impl fmt::Display for AssetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.kind)
    }
}

impl Error for AssetsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<AssetsError> for io::Error {
    fn from(error: AssetsError) -> Self {
        let kind = match error.kind {
            AssetsErrorKind::Full => io::ErrorKind::StorageFull,
            AssetsErrorKind::Denied => io::ErrorKind::PermissionDenied,
            AssetsErrorKind::TimedOut => io::ErrorKind::TimedOut,
            AssetsErrorKind::InvalidRange | AssetsErrorKind::InvalidKey => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
