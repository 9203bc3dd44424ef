//! Why a text is not a playlist that can be used.

use super::Line;

/// A text that must not be used as a playlist. Parsing the same text again does not help; loading it again may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where; the last line when something is missing.
    pub line: Line,
}

/// What is wrong with a text. Section numbers are those of RFC 8216bis (draft 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Neither `#EXTM3U` (section 4.4.1.1) nor another tag of a playlist comes first: this is something else, an error page
    /// perhaps.
    #[error("not a playlist: it does not begin with #EXTM3U")]
    NotAPlaylist,
    /// The text, or the number of things in it, exceeds a bound of [`Limits`](super::Limits).
    #[error("too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// Tags of both kinds of playlists (section 4.4.6).
    #[error("tags of a multivariant and of a media playlist in one text")]
    Mixed,
    /// A tag that may stand only once stands again.
    #[error("{tag} stands more than once")]
    Duplicate {
        /// Its name.
        tag: &'static str,
    },
    /// A tag stands behind a segment or tag that it must precede.
    #[error("{tag} stands too late")]
    Misplaced {
        /// Its name.
        tag: &'static str,
    },
    /// An attribute without which the tag has no meaning is absent.
    #[error("{tag} lacks {attribute}")]
    Missing {
        /// The tag.
        tag: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
    /// A value that cannot be read, where guessing would play the wrong thing.
    #[error("{tag} has a value that cannot be read")]
    Invalid {
        /// The tag.
        tag: &'static str,
    },
    /// A URI that does not resolve to a URL.
    #[error("not a URI")]
    InvalidUri,
    /// A number, or a sum of numbers, that cannot be represented.
    #[error("a number or a sum of numbers is out of range")]
    OutOfRange,
    /// `{$name}` without a definition before it that gives it a value (section 6.3.1). A variable imported from a
    /// multivariant playlist or the address may have found none there.
    #[error("a variable is used that has no value")]
    UndefinedVariable,
    /// A variable is defined twice (section 4.4.2.3).
    #[error("a variable is defined twice")]
    DuplicateVariable,
    /// An initialization section under AES-128 without an explicit IV (section 4.4.4.5), in a mutilated line.
    #[error("an encrypted initialization section has no IV")]
    NoIv,
}
