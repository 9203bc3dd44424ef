use std::{error::Error, fmt, io, sync::Arc};

use crate::SoundCodec;

/// Sound cannot be had any further. Cheap to clone; the cause is its [`source`](Error::source).
#[derive(Clone, Debug)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    codec: Option<SoundCodec>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// What keeps sound from being decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The feed failed; its own typed error is the cause and says whether retrying helps. A seek tries again.
    Feed,
    /// The container is broken or of no known format, so that no packets can be taken out of it. Retrying does not help;
    /// a seek behind the broken place may.
    Container,
    /// There is no track of sound. Retrying does not help.
    NoSound,
    /// The sound is in a codec, or in a profile of it, that is not decoded here; [`DecodeError::codec`] names it.
    /// Retrying does not help, another rendition may.
    UnsupportedCodec,
    /// The samples are encrypted inside the container. Retrying does not help, another rendition may.
    Encrypted,
    /// The stream cannot go to another time: it has no index and its length is unknown. Retrying does not help.
    NotSeekable,
    /// The format asked for cannot be made: a rate outside of 1 to 768 kHz, no channels, or more than 64.
    /// Retrying does not help.
    Output,
    /// The worker ended without a word: a bug in it or in a codec. Opening the stream again may help.
    Worker,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind) -> Self {
        Self { kind, codec: None, cause: None }
    }

    pub(crate) fn because(kind: DecodeErrorKind, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { kind, codec: None, cause: Some(Arc::new(cause)) }
    }

    pub(crate) const fn unsupported(codec: SoundCodec) -> Self {
        Self { kind: DecodeErrorKind::UnsupportedCodec, codec: Some(codec), cause: None }
    }

    pub(crate) fn feed(error: io::Error) -> Self {
        Self::because(DecodeErrorKind::Feed, error)
    }

    pub(crate) fn of_codec(mut self, codec: SoundCodec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// The codec it concerns, where it concerns one.
    #[must_use]
    pub const fn codec(&self) -> Option<SoundCodec> {
        self.codec
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DecodeErrorKind::Feed => "the stream failed",
            DecodeErrorKind::Container => "the container cannot be read",
            DecodeErrorKind::NoSound => "there is no track of sound",
            DecodeErrorKind::UnsupportedCodec => "the codec is not supported",
            DecodeErrorKind::Encrypted => "the samples are encrypted",
            DecodeErrorKind::NotSeekable => "the stream cannot be sought",
            DecodeErrorKind::Output => "the output format cannot be made",
            DecodeErrorKind::Worker => "the decoding thread ended unexpectedly",
        })?;
        match self.codec {
            // The one codec that a feature adds: whoever reads the message can do something about it.
            Some(codec @ (SoundCodec::HeAac | SoundCodec::HeAacV2)) if !cfg!(feature = "he-aac") => {
                write!(f, ": {codec} needs the feature `he-aac`")
            }
            Some(SoundCodec::Aac) if self.kind == DecodeErrorKind::UnsupportedCodec && !cfg!(feature = "he-aac") => {
                f.write_str(": AAC of more than two channels or of another profile needs the feature `he-aac`")
            }
            Some(codec) => write!(f, ": {codec}"),
            None => Ok(()),
        }
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(|cause| &**cause as &(dyn Error + 'static))
    }
}
