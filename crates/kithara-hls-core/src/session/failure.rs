//! What can go wrong with a fetch, as far as a decision depends on it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::ids::{PlaylistId, UnitKey};
use crate::playlist::ParseError;

/// The class of a failure. The driver keeps the full error; the session needs only this to choose a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The server says that the object is not made yet (202). Waiting helps.
    NotReady,
    /// 401. New credentials or a new URL help.
    Unauthorized,
    /// 403, or another answer that refuses this request (304, 400, 416). Usually a signed URL that is no
    /// longer valid; a new playlist helps.
    Forbidden,
    /// 404. Not there, not yet there, or no longer there.
    NotFound,
    /// 410. Usually a signed URL that has expired; a new playlist helps.
    Gone,
    /// The request was refused for another reason and will be refused again.
    Refused,
    /// The network layer gave up: timeouts, resets, 5xx, no connection. Repeating at once does not help.
    Unreachable,
    /// The bytes are not media (HTML, JSON, nothing at all). Fetching again may help.
    NotMedia,
    /// The container says that bytes are missing at the end. Fetching again may help.
    Incomplete,
    /// A redelivery does not begin with the bytes already handed to readers.
    Changed,
    /// The ciphertext does not decrypt: wrong key, or a broken body. Fetching again may help.
    Undecryptable,
    /// The key could not be used. Asking for it again may help.
    Key,
    /// The encryption method or key format is not supported.
    Unsupported,
    /// Larger than the limit for its class.
    TooLarge,
    /// Only the store may be used, and it does not hold the object.
    Offline,
    /// The playlist text is not a playlist, or breaks a rule no player can work around.
    Playlist,
    /// No variant or rendition that could be played is left.
    NoMedia,
    /// The reader asked for a place that cannot be found without knowing more sizes: seek by time.
    UnknownOffset,
    /// The segment has left the live window.
    BehindLiveWindow,
    /// The store could not take it: it is full, or cannot be written. Trying again later may help.
    NotStored,
    /// The driver was closed while this was under way.
    Closed,
}

impl FailureKind {
    /// Whether a new URL for the same object may succeed (RFC 8216 knows no expiry; signed URLs do).
    pub fn wants_new_url(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::NotFound | Self::Gone)
    }

    /// Whether the delivery itself was at fault, so that the same URL may well deliver the next time.
    pub fn is_bad_delivery(self) -> bool {
        use FailureKind::*;
        matches!(self, NotMedia | Incomplete | Undecryptable | Changed | Key)
    }
}

/// One failed fetch, as its driver reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFailure {
    /// What happened.
    pub kind: FailureKind,
    /// The HTTP status, where one was received.
    pub status: Option<u16>,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// How long it was tried without any progress.
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    pub in_vain: Duration,
    /// The driver's own number for the full error, handed back in events and [`Failure`]s.
    pub report: u64,
    /// What the session itself found wrong, for people: with a playlist, the line and the reason. Quotes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The line of the playlist where that shows, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl FetchFailure {
    /// A failure of `kind` at once, without status, wait, report, detail or line.
    pub fn new(kind: FailureKind) -> Self {
        let in_vain = Duration::ZERO;
        Self { kind, status: None, retry_after: None, in_vain, report: 0, detail: None, line: None }
    }

    /// A playlist that cannot be parsed.
    pub(super) fn unparsed(error: ParseError) -> Self {
        Self { line: Some(error.line.0), ..Self::playlist(error) }
    }

    /// A playlist that cannot be used, and why.
    pub(super) fn playlist(reason: impl fmt::Display) -> Self {
        Self { detail: Some(reason.to_string()), ..Self::new(FailureKind::Playlist) }
    }
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A playlist.
    Playlist(PlaylistId),
    /// A unit of media.
    Unit(UnitKey),
    /// The session as a whole.
    Session,
}

/// A failure that reaches the application: as an event while something can still be done, as the end of a session otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it is about.
    pub subject: Subject,
    /// What happened.
    pub cause: FetchFailure,
}

impl Failure {
    /// A failure of the whole session.
    pub fn session(kind: FailureKind) -> Self {
        Self { subject: Subject::Session, cause: FetchFailure::new(kind) }
    }
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        self.status.map_or(Ok(()), |status| write!(f, "({status})"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject {
            Subject::Playlist(id) => write!(f, "playlist {id}: {}", self.cause),
            Subject::Unit(unit) => write!(f, "{unit}: {}", self.cause),
            Subject::Session => write!(f, "session: {}", self.cause),
        }
    }
}
