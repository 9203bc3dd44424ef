//! Why a run cannot be demuxed.

use std::error::Error;
use std::fmt;

use crate::track::Codec;

/// A run cannot be demuxed. The demuxer ignores what else is pushed until the next run starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemuxError {
    kind: DemuxErrorKind,
    codec: Option<Codec>,
}

/// What keeps a run from being demuxed. Trying the same bytes again never helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DemuxErrorKind {
    /// All tracks that were asked for are encrypted inside the container. Another rendition may not be.
    Encrypted,
    /// No track that was asked for is in a codec this crate delivers. Another rendition may be.
    UnsupportedCodec,
    /// Runs of this container are not demuxed here: it is not a segment format.
    UnsupportedContainer,
    /// Media came without what describes it: no `moov` before the first fragment, no program map in a transport stream. Fetching the
    /// initialization section again may help.
    MissingHeader,
    /// The header that describes the media is larger than [`DemuxOptions::max_header_len`](crate::DemuxOptions::max_header_len).
    HeaderTooLarge,
    /// The structure of the file is broken, so that nothing behind this place can be read.
    Malformed,
}

impl DemuxError {
    pub(crate) const fn new(kind: DemuxErrorKind) -> Self {
        Self { kind, codec: None }
    }

    pub(crate) const fn of_codec(kind: DemuxErrorKind, codec: Codec) -> Self {
        Self { kind, codec: Some(codec) }
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> DemuxErrorKind {
        self.kind
    }

    /// The codec that is not supported, or whose packets are encrypted.
    #[must_use]
    pub const fn codec(&self) -> Option<Codec> {
        self.codec
    }
}

impl fmt::Display for DemuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DemuxErrorKind::Encrypted => "the samples are encrypted",
            DemuxErrorKind::UnsupportedCodec => "no supported codec",
            DemuxErrorKind::UnsupportedContainer => "not a segment format",
            DemuxErrorKind::MissingHeader => "media without the header that describes it",
            DemuxErrorKind::HeaderTooLarge => "the media header is too large",
            DemuxErrorKind::Malformed => "the structure of the file is broken",
        })?;
        self.codec.map_or(Ok(()), |codec| write!(f, " ({codec})"))
    }
}

impl Error for DemuxError {}
