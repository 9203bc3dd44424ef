//! What a session wants done.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    failure::Failure,
    ids::{FetchId, KeyId, MediaId, PlaylistId, ReaderId, RunId, Track, UnitKey},
};
use crate::{
    key::{Encryption, InitializationVector},
    playlist::{ByteRange, DiscontinuitySequence, MediaSequence},
    time::WallTime,
    trace::shown_path,
};

/// One thing for the driver to carry out. Orders are carried out in the order in which they are polled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Load a playlist and answer with [`Input::Playlist`](super::Input::Playlist). A load of the same playlist that is still
    /// under way is given up, and not answered.
    LoadPlaylist {
        /// Which one.
        id: PlaylistId,
        /// From where.
        url: Url,
        /// Whether it was loaded before: then the origin must be asked, a stored copy is what we have already.
        again: bool,
        /// How long it may take; `None` for as long as the driver grants playlists. A live playlist that does not come
        /// is asked for again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<Duration>,
    },
    /// Fetch a unit and make its bytes readable while they arrive.
    Fetch {
        /// The fetch: its number stands in every answer.
        fetch: FetchId,
        /// What it is.
        unit: UnitKey,
        /// From where and how.
        request: UnitRequest,
        /// What it is taken from, if it was asked for ahead: an initialization section that was hinted at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ahead: Option<FetchId>,
    },
    /// Find out how long a unit is (for its readers), without fetching it whole.
    Size {
        /// The fetch: its number stands in the answer.
        fetch: FetchId,
        /// What it is.
        unit: UnitKey,
        /// From where and how.
        request: UnitRequest,
    },
    /// Bring a unit into the store, behind everything that is played, and answer with
    /// [`Input::Kept`](super::Input::Kept). Nobody reads it now.
    Keep {
        /// The fetch: its number stands in the answer.
        fetch: FetchId,
        /// What it is.
        unit: UnitKey,
        /// From where and how.
        request: UnitRequest,
    },
    /// Take a segment out of the store: it lies further back than a live stream is kept.
    Forget {
        /// What it was.
        unit: UnitKey,
        /// Its resource.
        url: Url,
    },
    /// Ask for a resource before it is announced (EXT-X-PRELOAD-HINT) and keep what comes for [`FetchPart`](Self::FetchPart)
    /// or, of an initialization section, [`Fetch`](Self::Fetch). The server holds its answer until the resource is made, and between the parts of one that grows. Answered like a
    /// fetch, by its head, its progress and its end.
    AskAhead {
        /// The fetch: its number stands in every answer.
        fetch: FetchId,
        /// The stream it belongs to.
        media: MediaId,
        /// From where. A range that ends at [`OPEN_END`] goes on to the end of the resource, wherever that will be.
        request: UnitRequest,
        /// How long the server may be silent.
        patience: Duration,
    },
    /// Fetch a part of a segment that is still being made, and append it to the segment's bytes behind the part before
    /// it. Parts of a segment may be ordered before the one in front is there. Part 0 begins the segment anew: what was
    /// readable of it must come again.
    FetchPart {
        /// The fetch: its number stands in every answer.
        fetch: FetchId,
        /// The segment.
        unit: UnitKey,
        /// The index of the part.
        part: u32,
        /// From where and how.
        request: UnitRequest,
        /// Where it is taken from, if it was asked for ahead: so many bytes as the range of the request has, or all that
        /// is left.
        ahead: Option<FetchId>,
    },
    /// All parts of a segment were appended and no more will come: answer with [`Input::Fetched`](super::Input::Fetched),
    /// as for a segment that was fetched as a whole.
    Close {
        /// The number of the answer.
        fetch: FetchId,
        /// The segment.
        unit: UnitKey,
    },
    /// Stop a fetch; no answer is expected.
    Cancel {
        /// The fetch.
        fetch: FetchId,
    },
    /// Fetch a key, keep it, and answer with [`Input::Key`](super::Input::Key).
    FetchKey {
        /// Its number in later requests.
        key: KeyId,
        /// From where, and the attributes of its EXT-X-KEY.
        request: KeyRequest,
    },
    /// In the flat view of `media`, `unit` begins at `offset`.
    Place {
        /// The stream.
        media: MediaId,
        /// The unit.
        unit: UnitKey,
        /// Byte offset of its first byte.
        offset: u64,
    },
    /// The flat view of `media` ends here.
    Length {
        /// The stream.
        media: MediaId,
        /// Its length in bytes.
        len: u64,
    },
    /// Give an adaptive reader its next unit.
    Enter {
        /// The reader.
        reader: ReaderId,
        /// What it enters.
        entry: Entry,
    },
    /// Media timestamps of a discontinuity sequence number become presentation time by adding this.
    MapTimestamps {
        /// The discontinuity sequence number.
        dsn: DiscontinuitySequence,
        /// Nanoseconds to add.
        offset: i64,
    },
    /// A key may be forgotten: it is asked for again where it is needed.
    ForgetKey {
        /// Its number; it is not used again.
        key: KeyId,
    },
    /// In the flat view of `media`, nothing before `offset` can be read any more.
    Displace {
        /// The stream.
        media: MediaId,
        /// Byte offset of the first byte that can.
        offset: u64,
    },
    /// An adaptive reader has read everything there is.
    EndOfStream {
        /// The reader.
        reader: ReaderId,
    },
    /// No reader needs this unit's bytes any more.
    Release {
        /// The unit.
        unit: UnitKey,
    },
    /// The unit cannot be had, or cannot be finished: tell whoever reads it.
    Abandon {
        /// The unit.
        unit: UnitKey,
        /// Why.
        failure: Failure,
    },
    /// The unit ends where it is: the next run delivers it again, from elsewhere.
    Cut {
        /// The unit.
        unit: UnitKey,
    },
    /// A reader's demand cannot be met; the session goes on.
    Refuse {
        /// The reader.
        reader: ReaderId,
        /// Why.
        failure: Failure,
    },
    /// A reader stands in this stream.
    Attach {
        /// The reader.
        reader: ReaderId,
        /// The stream it reads.
        media: MediaId,
    },
    /// Ask the application where the stream is to be had now.
    Resolve {
        /// What failed.
        failure: Failure,
        /// Which time this is that it is asked for this failure, from 1.
        attempt: u32,
    },
    /// The session is over: nothing is left that could be played.
    Fail {
        /// Why.
        failure: Failure,
    },
}

/// The end of a range of a resource that still grows: the offset behind the last byte position that RFC 8673 recommends
/// to ask for (RFC 8216bis section 4.4.5.3).
pub const OPEN_END: u64 = 1 << 53;

/// Where a unit comes from and what has to be done to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRequest {
    /// The resource.
    pub url: Url,
    /// The part of it, or all.
    pub range: Option<ByteRange>,
    /// How it is encrypted, if it is.
    pub encryption: Option<Encryption>,
    /// Which time this is that the unit is fetched, from 1.
    pub attempt: u32,
    /// Who waits for it.
    pub urgency: Urgency,
    /// How long it may be tried without progress, where it failed before; `None` for as long as the driver thinks right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Duration>,
    /// Whether it is cut out of a segment, so that its container does not end where it ends: a single picture by byte
    /// range (RFC 8216 section 4.3.3.6). It is whole when the range is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_excerpt: bool,
    /// Since when its stream is what it is, on the clock of the session, where it was not complete when it was first loaded: from
    /// the start, or since its encoder was started anew. Whoever makes streams gives the names of one to the next, so what was
    /// stored before may be another's. `None` where the stream was complete: what stands behind its names does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growing_since: Option<Duration>,
}

/// Who waits for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// A reader stands at it.
    Demand,
    /// A reader will come to it.
    Playback,
}

/// Where a key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequest {
    /// The key's URL.
    pub url: Url,
    /// METHOD, as the playlist has it.
    pub method: String,
    /// IV; `None` when the playlist does not say. Of several tags that name this key, that of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iv: Option<InitializationVector>,
    /// KEYFORMAT (RFC 8216 section 4.3.2.4); `identity` when the playlist does not say.
    pub keyformat: String,
    /// KEYFORMATVERSIONS; `1` when the playlist does not say.
    pub keyformatversions: String,
    /// Which time this is that the key is fetched, from 1.
    pub attempt: u32,
    /// The stream whose playlist named it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named_by: Option<MediaId>,
}

/// One unit in the log of an adaptive reader. It never changes after it was entered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The track.
    pub track: Track,
    /// The media segment.
    pub unit: UnitKey,
    /// Its initialization section, if it has one.
    pub init: Option<UnitKey>,
    /// The run it belongs to.
    pub run: RunId,
    /// Set on the first unit of a run.
    pub run_start: Option<RunStart>,
    /// Presentation time of its start.
    pub start: Duration,
    /// Its duration, from EXTINF; of a segment that is still being made, that of the one before it.
    pub duration: Duration,
    /// Its media sequence number; it goes on counting when an encoder begins anew.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number; it goes on counting when an encoder begins anew.
    pub dsn: DiscontinuitySequence,
    /// Wall-clock time of its start, stated or carried forward.
    pub program_date_time: Option<WallTime>,
}

/// Why a run begins, and what a demuxer has to drop at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStart {
    /// Why.
    pub reason: RunReason,
    /// Media before this presentation time has been read already, or was not asked for.
    pub discard_until: Duration,
}

/// Why a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunReason {
    /// The first unit.
    Start,
    /// A seek.
    Seek,
    /// Another variant or rendition.
    Switch,
    /// Another initialization section.
    Init,
    /// EXT-X-DISCONTINUITY.
    Discontinuity,
    /// The run before it was cut: its last unit could not be finished.
    Cut,
    /// Segments were left out.
    Gap,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadPlaylist { id, url, .. } => write!(f, "load {id} {}", shown_path(url)),
            Self::Fetch { fetch, unit, request, ahead } => {
                write!(f, "fetch {fetch} {unit} {request}")?;
                ahead.map_or(Ok(()), |ahead| write!(f, " from {ahead}"))
            }
            Self::Size { fetch, unit, request } => write!(f, "size {fetch} {unit} {request}"),
            Self::Keep { fetch, unit, request } => write!(f, "keep {fetch} {unit} {request}"),
            Self::Forget { unit, url } => write!(f, "forget {unit} {}", url.path()),
            Self::AskAhead { fetch, media, request, .. } => write!(f, "ahead {fetch} {media} {request}"),
            Self::FetchPart { fetch, unit, part, request, ahead } => {
                write!(f, "part {fetch} {unit}#{part} {request}")?;
                ahead.map_or(Ok(()), |ahead| write!(f, " from {ahead}"))
            }
            Self::Close { fetch, unit } => write!(f, "close {fetch} {unit}"),
            Self::Cancel { fetch } => write!(f, "cancel {fetch}"),
            Self::FetchKey { key, request } => {
                write!(f, "key {key} {} attempt {}", shown_path(&request.url), request.attempt)
            }
            Self::Place { unit, offset, .. } => write!(f, "place {unit} at {offset}"),
            Self::Length { media, len } => write!(f, "length {media} {len}"),
            Self::Enter { entry, .. } => write!(f, "enter {entry}"),
            Self::MapTimestamps { dsn, offset } => write!(f, "map dsn {} by {offset} ns", dsn.0),
            Self::ForgetKey { key } => write!(f, "forget {key}"),
            Self::Displace { media, offset } => write!(f, "displace {media} before {offset}"),
            Self::EndOfStream { reader } => write!(f, "end {reader}"),
            Self::Release { unit } => write!(f, "release {unit}"),
            Self::Abandon { failure, .. } => write!(f, "abandon {failure}"),
            Self::Cut { unit } => write!(f, "cut {unit}"),
            Self::Refuse { reader, failure } => write!(f, "refuse {reader} {failure}"),
            Self::Attach { reader, media } => write!(f, "attach {reader} {media}"),
            Self::Resolve { failure, attempt } => write!(f, "resolve {failure} attempt {attempt}"),
            Self::Fail { failure } => write!(f, "fail {failure}"),
        }
    }
}

impl fmt::Display for UnitRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_path(&self.url))?;
        match self.range {
            Some(range) if range.end() == OPEN_END => write!(f, " [{}..]", range.start)?,
            Some(range) => write!(f, " [{range}]")?,
            None => {}
        }
        if let Some(encryption) = self.encryption {
            write!(f, " {}", encryption.key)?;
        }
        if self.attempt > 1 {
            write!(f, " attempt {}", self.attempt)?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {:.3} s + {:.3} s",
            self.unit,
            self.run,
            self.start.as_secs_f64(),
            self.duration.as_secs_f64()
        )?;
        self.run_start.as_ref().map_or(Ok(()), |start| write!(f, " {:?}", start.reason))
    }
}
