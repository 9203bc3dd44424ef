//! What a file reports while it is read.

use crate::FileError;

/// Something happened. Events report and never command; a listener that is slow misses the oldest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FileEvent {
    /// Bytes from here on begin to arrive.
    #[non_exhaustive]
    TransferStart {
        /// Offset of the first byte.
        offset: u64,
        /// Whether they come from the store, without the origin having been asked.
        from_cache: bool,
    },
    /// More bytes are here.
    #[non_exhaustive]
    DownloadProgress {
        /// Offset behind the last byte of the transfer that brought them.
        offset: u64,
        /// `offset` as a part of the length, in percent; `None` while that is not known.
        percent: Option<f32>,
    },
    /// How much lies ready ahead of the reader, told when it changed by a lot.
    #[non_exhaustive]
    BufferLevel {
        /// Bytes that can be read at once.
        level_bytes: u64,
    },
    /// The reader stands still: the byte it wants is not here.
    #[non_exhaustive]
    Waiting {
        /// Offset of that byte.
        offset: u64,
    },
    /// Something failed.
    #[non_exhaustive]
    Error {
        /// What.
        error: FileError,
        /// Whether it is tried again, when and if a reader gets there. Otherwise reads fail with this error.
        recoverable: bool,
    },
    /// The reader reached the end of the file.
    EndOfStream,
}
