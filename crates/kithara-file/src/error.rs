//! What can go wrong with a file.

use std::{io, sync::Arc};

use kithara_fetch::{
    FetchError, FetchErrorKind,
    net::{NetError, RedactedUrl},
};
use thiserror::Error;

/// What went wrong with a file. Cheap to clone; no message contains a query or a user name.
///
/// Inside an [`io::Error`] of a reader it is found with [`FileError::of`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The URL is not one, or not http(s). Trying again does not help.
    #[error("not a URL that can be read: {0}")]
    InvalidUrl(Arc<str>),
    /// The client could not be made. Trying again does not help.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Bytes could not be had. Whether trying again helps is told by [`FetchError::kind`]; a read elsewhere may succeed.
    #[error(transparent)]
    Fetch(FetchError),
    /// The file became another one after bytes of it had been read: the rest would not fit them. Opening it again gives the
    /// new one.
    #[error("{url}: the file changed while it was read")]
    Changed {
        /// Which one.
        url: RedactedUrl,
    },
    /// The origin does not serve ranges, and reaching this byte would throw away more than
    /// [`ReadAhead::max_skip`](crate::ReadAhead::max_skip) allows. Reading on from where the reader was helps.
    #[error("{url}: the server does not serve ranges, and byte {offset} is too far away to read up to it")]
    OutOfReach {
        /// Which file.
        url: RedactedUrl,
        /// What was asked for.
        offset: u64,
    },
    /// The source was closed.
    #[error("the file was closed")]
    Closed,
    /// There is no thread to work on, or it ended. Trying again does not help.
    #[error("nothing runs the transfers of the file: {0}")]
    Driver(Arc<str>),
}

impl FileError {
    /// The error of this crate inside `error`, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Whether the URL itself is refused, so that another one may help.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Fetch(error) if matches!(error.status(), Some(401 | 403 | 404 | 410)))
    }
}

impl From<FetchError> for FileError {
    fn from(error: FetchError) -> Self {
        match (error.kind(), error.url()) {
            (FetchErrorKind::Changed, Some(url)) => Self::Changed { url: url.clone() },
            // Its transfer may go before the task that drives it does.
            (FetchErrorKind::NoRuntime, _) => Self::Driver("the runtime the file was opened on is gone".into()),
            _ => Self::Fetch(error),
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        let kind = match error {
            FileError::OutOfReach { .. } => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
