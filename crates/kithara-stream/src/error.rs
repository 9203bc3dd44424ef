use std::io;

use thiserror::Error;

/// What this crate itself reports; sources bring their own errors. Inside an [`io::Error`] it is found with
/// [`StreamError::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A seek relative to the end of a stream whose length cannot be known. Retrying does not help: seek by time.
    #[error("the length of the stream is not known: seek by time, or from the start")]
    LengthUnknown,
    /// A seek to a negative position, or to one beyond `u64::MAX`. Retrying does not help.
    #[error("the position is before the start or beyond the largest offset")]
    PositionOutOfRange,
    /// The bytes at this offset were released; their origin must be asked for them again.
    #[error("the bytes were released from memory")]
    Released,
    /// The unit ends here because the run was cut: the next run delivers it again, elsewhere. Not a failure of the
    /// stream; go on with the next unit.
    #[error("the run was cut before the end of the unit")]
    Cut,
    /// The writer went away without a word. Retrying does not help; the owner of the stream has ended.
    #[error("the writer was dropped before the end")]
    Abandoned,
    /// A [`Source`](crate::Source) answered a read with no bytes, or with more than were asked for. A bug in it.
    #[error("the source broke its contract: a read of nothing, or of too much")]
    BrokenSource,
}

impl StreamError {
    /// The error of this crate inside `error`, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::LengthUnknown => io::ErrorKind::Unsupported,
            StreamError::PositionOutOfRange => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
