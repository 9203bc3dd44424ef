//! What comes out of a demuxer.
//!
//! All times are on the presentation timeline: media time plus the offset of the run, in ticks of the track's timescale.

use std::num::NonZeroU32;

use bytes::Bytes;

use crate::track::{Track, TrackId};

/// One thing that a demuxer found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// All tracks of the run. Comes before the first packet, and again, with all tracks, when something about one of them becomes known or
    /// changes: a track's [`config`](Track::config) and format are there before its first packet.
    Tracks(Vec<Track>),
    /// A timed packet. Packets of one track come in decoding order; those of different tracks in the order their bytes arrived.
    Packet(Packet),
    /// A subtitle.
    Cue(Cue),
    /// An ID3 tag or an event.
    Metadata(TimedMetadata),
    /// Something was wrong and has been passed over.
    Damage(Damage),
}

/// What a decoder takes at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The track it belongs to.
    pub track: TrackId,
    /// Presentation time of its first sample, trimmed ones included.
    pub pts: i64,
    /// Decoding time; not after `pts`, save where the stream is wrong.
    pub dts: i64,
    /// How long it lasts. `None` where the container does not say: pictures in MPEG-TS.
    pub duration: Option<u32>,
    /// The coded bytes, in the form the documentation of [`Codec`](crate::track::Codec) states. Shares the memory of what was pushed where it
    /// lay in one piece.
    pub data: Bytes,
    /// Samples not to be heard.
    pub trim: Trim,
    /// Whether decoding can start here.
    pub is_keyframe: bool,
}

/// Samples per channel of a packet's decoded sound that are not to be heard, counted at [`AudioFormat::sample_rate`](crate::track::AudioFormat).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trim {
    /// At its start: priming.
    pub start: u32,
    /// At its end: padding.
    pub end: u32,
}

/// A subtitle. One that spans segments comes with each of them: the same times and the same text mean the same cue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cue {
    /// The track it belongs to.
    pub track: TrackId,
    /// When it appears.
    pub start: i64,
    /// When it goes.
    pub end: i64,
    /// Its identifier; empty if it has none.
    pub id: String,
    /// Its settings as written (`line:0 align:left`); empty if it has none.
    pub settings: String,
    /// Its text with WebVTT markup, lines separated by LF.
    pub text: String,
}

/// Metadata with a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedMetadata {
    /// What it is.
    pub kind: MetadataKind,
    /// When it applies, in ticks of `timescale`.
    pub time: i64,
    /// Ticks per second of its times.
    pub timescale: NonZeroU32,
    /// How long it applies; `None` if that is not said.
    pub duration: Option<u32>,
    /// A whole ID3 tag, or the message of an event.
    pub payload: Bytes,
}

/// What a piece of metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetadataKind {
    /// An ID3 tag.
    Id3,
    /// An event message of fMP4 (`emsg`, ISO/IEC 23009-1, 5.10.3.3).
    Event {
        /// The scheme that gives the message its meaning, a URI.
        scheme: String,
        /// The scheme's value.
        value: String,
        /// Names the event: a message with the same scheme, value and id repeats it.
        id: u32,
    },
}

/// Something wrong in the stream that was passed over. The packets around it are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Damage {
    /// What was wrong.
    pub kind: DamageKind,
    /// The track it concerns, where it concerns one.
    pub track: Option<TrackId>,
    /// Bytes passed over, as far as they were there.
    pub bytes: u64,
}

/// What can be wrong in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DamageKind {
    /// Transport packets are missing.
    Continuity,
    /// Bytes where none belong: between transport packets, between frames, or in front of the first ones.
    Junk,
    /// The unit ended inside of something.
    Cut,
    /// A structure contradicts itself.
    Malformed,
    /// Something larger than [`DemuxOptions::max_packet_len`](crate::DemuxOptions::max_packet_len).
    TooLarge,
}
