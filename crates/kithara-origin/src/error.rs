//! What can go wrong before an origin serves.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

/// An origin that could not be started, or a script that could not be understood.
///
/// Nothing that happens on a connection is an error of the origin: it ends up in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind}")]
pub struct OriginError {
    kind: OriginErrorKind,
    source: Option<Arc<io::Error>>,
}

/// The class of an [`OriginError`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginErrorKind {
    /// The address could not be listened on. Retrying helps only with another address or port.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr),
    /// The operating system gave no thread or event queue. Retrying helps when others give theirs back.
    #[error("cannot start the origin's thread")]
    Thread,
    /// A file could not be read. Retrying helps when it can be read then.
    #[error("cannot read {}", .0.display())]
    Read(Box<Path>),
    /// Media that the packager cannot cut into parts. Retrying never helps.
    #[error("the media cannot be packaged: {0}")]
    Media(&'static str),
    /// A word of a script was not understood. Retrying never helps.
    #[error("`{word}` is not understood: {wanted} is expected")]
    Script {
        /// The word.
        word: Box<str>,
        /// What could stand there.
        wanted: &'static str,
    },
}

impl OriginError {
    pub(crate) fn io(kind: OriginErrorKind, source: io::Error) -> Self {
        Self { kind, source: Some(Arc::new(source)) }
    }

    pub(crate) fn script(word: &str, wanted: &'static str) -> Self {
        let kind = OriginErrorKind::Script { word: word.into(), wanted };
        Self { kind, source: None }
    }

    pub(crate) fn media(what: &'static str) -> Self {
        Self { kind: OriginErrorKind::Media(what), source: None }
    }

    /// The class of the error.
    pub fn kind(&self) -> &OriginErrorKind {
        &self.kind
    }
}
