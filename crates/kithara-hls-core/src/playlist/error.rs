//! Why a text is not a playlist that can be used.

use super::Line;

/// A text that must not be used as a playlist. Parsing the same text again does not help; loading it again may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where; the last line when something is missing.
    pub line: Line,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The first line is not `#EXTM3U`: this is something else than a playlist, or an error page.
    #[error("not a playlist: the first line is not #EXTM3U")]
    NotAPlaylist,
}
