//! What a session is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    failure::FetchFailure,
    ids::{FetchId, KeyId, PlaylistId, ReaderId, Track, UnitKey},
};
use crate::{
    playlist::{DiscontinuitySequence, VariantId},
    time::MediaTime,
};

/// One thing that happened outside, in the order in which the driver learned of it.
///
/// A recorded list of inputs with their times replays a session exactly: nothing else reaches a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A playlist arrived, or could not be had.
    Playlist {
        /// Which one.
        id: PlaylistId,
        /// Its text, or why there is none.
        result: Result<PlaylistText, FetchFailure>,
    },
    /// The origin does not confirm a playlist that came from the store and is played.
    Unconfirmed {
        /// Which one.
        id: PlaylistId,
        /// Why not.
        cause: FetchFailure,
    },
    /// The head of a response to a unit's fetch arrived.
    Head {
        /// The fetch.
        fetch: FetchId,
        /// What it says.
        head: Head,
    },
    /// More bytes of a unit arrived.
    Progress {
        /// The fetch.
        fetch: FetchId,
        /// Bytes received from the network or the store since the fetch began.
        bytes: u64,
    },
    /// A fetch ended.
    Fetched {
        /// The fetch.
        fetch: FetchId,
        /// What was delivered, or why not.
        result: Result<Delivered, FetchFailure>,
    },
    /// The length of a unit was asked for and is known now, or cannot be had.
    Sized {
        /// The fetch that asked.
        fetch: FetchId,
        /// Bytes a reader will see (after decryption).
        result: Result<u64, FetchFailure>,
    },
    /// The store has a unit that was to be kept, or it cannot be kept.
    Kept {
        /// The fetch that brought it.
        fetch: FetchId,
        /// Bytes it takes in the store.
        result: Result<u64, FetchFailure>,
    },
    /// A key arrived (it stays with the driver), or could not be had.
    Key {
        /// Which one.
        key: KeyId,
        /// Whether it can be used.
        result: Result<(), FetchFailure>,
        /// Whether it was known already: in the store, or to the driver under another URL.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cached: bool,
    },
    /// The first timestamp inside a unit was read. The answer is [`Action::MapTimestamps`](super::Action::MapTimestamps),
    /// unless its media timeline is known already, or it is that of a text and something else is played that will tell.
    MediaTime {
        /// The unit.
        unit: UnitKey,
        /// Its discontinuity sequence number as it was entered: its playlist may have forgotten it since.
        dsn: DiscontinuitySequence,
        /// Presentation time of its start as it was entered.
        start: Duration,
        /// Its first presentation timestamp, on the media's own timeline.
        time: MediaTime,
    },
    /// Bytes of a unit were let go, and a reader came back for them.
    Dropped {
        /// The unit.
        unit: UnitKey,
    },
    /// A reader says what it wants next.
    Demand {
        /// The reader.
        reader: ReaderId,
        /// What it wants.
        demand: Demand,
    },
    /// The application asks for something.
    Command(Command),
    /// The time given by [`Session::poll_timeout`](super::Session::poll_timeout) has come.
    Timeout,
}

/// The text of a playlist and where it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlaylistText {
    /// The URL after redirects: the base of all relative URIs in it (RFC 8216 section 4.1).
    pub url: Url,
    /// The bytes, read as UTF-8; what is not UTF-8 has been replaced.
    pub text: String,
    /// Whether the store answered without asking the origin.
    pub from_store: bool,
    /// How old the response was when it arrived (the Age header).
    pub age: Option<Duration>,
    /// Whether the text ended with its connection and nothing else: it may be cut.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_be_cut: bool,
}

impl PlaylistText {
    /// Whether nothing stands in it: what a server sends that has not written it yet, or lost it.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.lines().map(str::trim).all(|line| line.is_empty() || line == "#EXTM3U")
    }
}

/// What the head of a response tells about a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Bytes a reader will see, where that is certain: never for an encrypted unit.
    pub len: Option<u64>,
    /// Bytes that travel, where the server says.
    pub wire_len: Option<u64>,
    /// Whether the store answered.
    pub from_store: bool,
    /// From the request to the first byte of the answer.
    pub time_to_first_byte: Duration,
}

/// What a finished fetch delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Bytes a reader sees.
    pub len: u64,
    /// Bytes that travelled.
    pub wire_len: u64,
    /// Whether the store answered.
    pub from_store: bool,
}

/// What a reader wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// A new reader: register it.
    Open {
        /// How it reads.
        view: View,
        /// What it reads.
        track: Track,
    },
    /// A flat reader's cursor now stands here, waiting or reading.
    At {
        /// Byte offset in the flat view.
        offset: u64,
        /// Bytes read in sequence up to here since the reader last jumped: whoever reads on gets read-ahead.
        in_sequence: u64,
    },
    /// A flat reader wants to know how long the whole is.
    Length,
    /// An adaptive reader wants its next unit.
    Next,
    /// An adaptive reader goes on at another time. What it entered before is let go.
    Seek {
        /// Presentation time of what it wants next.
        at: Duration,
        /// How often this reader has sought, this time included: whoever hands it units can tell those of before.
        number: u64,
    },
    /// An adaptive reader's playback has come this far.
    Position {
        /// Presentation time of what is heard or seen.
        at: Duration,
    },
    /// The reader is gone.
    Close,
}

/// How a reader sees the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// One variant as one file of bytes, random access.
    Flat,
    /// Units in presentation order from whatever variant suits, forward with seeks by time.
    Adaptive,
    /// The same without read-ahead: a unit is planned when it is asked for. For pictures here and there.
    Single,
}

/// What an application asks of a running session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Continue adaptive readers at this presentation time.
    Seek(Duration),
    /// Play this variant until told otherwise, or let adaptation choose again with `None`.
    SelectVariant(Option<VariantId>),
    /// Play this audio rendition, and what goes on with it in other groups.
    SelectAudio(crate::playlist::RenditionId),
    /// Show these subtitles, or none.
    SelectSubtitles(Option<crate::playlist::RenditionId>),
    /// The application answered where a resource is to be fetched from now on.
    Resolved(Result<Url, FetchFailure>),
}
