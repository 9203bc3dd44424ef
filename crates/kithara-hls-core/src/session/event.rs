//! What a session tells the world. Events report; nothing depends on their being heard.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    failure::Failure,
    ids::{MediaId, Track},
    live_event::LiveEvent,
};
use crate::{
    abr::AbrReason,
    playlist::{RenditionId, VariantId},
};

/// One thing that happened in a session.
///
/// `E` is the error type: the session itself reports [`Failure`]s; the driver puts its full error in their place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HlsEvent<E = Failure> {
    /// Units planned from now on come from another variant.
    #[non_exhaustive]
    VariantApplied {
        /// The track.
        track: Track,
        /// Played until now; `None` at the start.
        from_variant: Option<VariantId>,
        /// Played from now on.
        to_variant: VariantId,
        /// Why.
        reason: AbrReason,
    },
    /// Another rendition is selected: units of its track planned from now on come from it.
    #[non_exhaustive]
    RenditionApplied {
        /// The track.
        track: Track,
        /// Selected until now.
        from: Option<RenditionId>,
        /// Selected from now on; `None` for no subtitles, or sound that has no rendition.
        to: Option<RenditionId>,
    },
    /// Variants are chosen from another pathway (RFC 8216bis section 7), or from the backups among redundant streams,
    /// which count as pathway `.~1`, `.~2`, ...
    #[non_exhaustive]
    PathwayApplied {
        /// In force until now; `None` at the start.
        from: Option<String>,
        /// In force from now on.
        to: String,
    },
    /// A reader entered a segment.
    #[non_exhaustive]
    SegmentStart {
        /// The track.
        track: Track,
        /// The stream it belongs to.
        variant: MediaId,
        /// Media sequence number minus the first one seen in this stream.
        segment_index: u64,
        /// Where it begins in the flat view; `None` until all earlier lengths are known.
        byte_offset: Option<u64>,
    },
    /// A segment is there as a whole.
    #[non_exhaustive]
    SegmentComplete {
        /// The track.
        track: Track,
        /// The stream it belongs to.
        variant: MediaId,
        /// Media sequence number minus the first one seen in this stream.
        segment_index: u64,
        /// Bytes that travelled for it.
        bytes_transferred: u64,
        /// From the request to the last byte.
        duration: Duration,
        /// Whether the store had it.
        cached: bool,
    },
    /// A key was fetched, or could not be.
    #[non_exhaustive]
    KeyFetch {
        /// Its URL, without user name, query and tokens in its path.
        key_url: String,
        /// Whether it can be used.
        success: bool,
        /// Whether it was known already: it was in the store, or in memory under a URL with another signature.
        cached: bool,
    },
    /// How much media lies ready ahead of the reader.
    #[non_exhaustive]
    BufferLevel {
        /// The track.
        track: Track,
        /// Seconds of complete segments.
        level_seconds: f64,
    },
    /// The link was measured.
    #[non_exhaustive]
    ThroughputSample {
        /// Bytes per second.
        bytes_per_second: f64,
    },
    /// Bytes arrived for the flat view.
    #[non_exhaustive]
    DownloadProgress {
        /// The track.
        track: Track,
        /// End of what has arrived, in bytes from the start of the flat view.
        offset: u64,
        /// Share of all segments that are there; `None` while the stream is live.
        percent: Option<f32>,
    },
    /// The reader moved on.
    #[non_exhaustive]
    PlaybackProgress {
        /// The track.
        track: Track,
        /// Presentation time of the start of the unit last entered.
        position: Duration,
        /// Share of the whole; `None` while the stream is live.
        percent: Option<f32>,
    },
    /// A media playlist was loaded; its window is now this.
    #[non_exhaustive]
    PlaylistUpdated {
        /// The stream.
        media: MediaId,
        /// Segments listed.
        segments: u64,
        /// Presentation time of the first listed segment.
        window_start: Duration,
        /// Presentation time of the end of the last listed segment.
        window_end: Duration,
        /// Whether it will not change any more.
        ended: bool,
    },
    /// Something happened to a live stream.
    #[non_exhaustive]
    Live {
        /// What.
        event: LiveEvent,
    },
    /// Nothing can be done but wait.
    #[non_exhaustive]
    Waiting {
        /// For what.
        reason: WaitReason,
        /// When the wait began, counted from the opening of the session.
        since: Duration,
    },
    /// A failure is being repaired.
    #[non_exhaustive]
    Recovering {
        /// What failed.
        error: E,
        /// What is tried next.
        remedy: Remedy,
    },
    /// A segment was left out.
    #[non_exhaustive]
    SegmentSkipped {
        /// The track.
        track: Track,
        /// The stream it belongs to.
        variant: MediaId,
        /// Media sequence number minus the first one seen in this stream.
        segment_index: u64,
        /// Presentation time of the hole.
        start: Duration,
        /// Its length.
        duration: Duration,
    },
    /// Something went wrong.
    #[non_exhaustive]
    Error {
        /// What.
        error: E,
        /// Whether the session goes on.
        recoverable: bool,
    },
    /// A reader has come to the end.
    #[non_exhaustive]
    EndOfStream {
        /// The track.
        track: Track,
    },
}

/// What a session is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitReason {
    /// The playlist is not there yet.
    PlaylistNotReady,
    /// The live edge: the next segment is not announced yet.
    LiveEdge,
}

/// What is tried after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Remedy {
    /// Fetch the same unit again.
    Refetch,
    /// Load the media playlist again and continue with its new URLs.
    ReloadMedia,
    /// Load the multivariant playlist again, then the media playlist.
    ReloadPrimary,
    /// Ask the application for a new URL.
    Resolve,
    /// Take the same time from another variant.
    OtherVariant,
    /// Leave the segment out.
    Skip,
    /// Nothing.
    Fail,
}

impl<E> HlsEvent<E> {
    /// Something went wrong, and the session goes on.
    pub fn trouble(error: E) -> Self {
        Self::Error { error, recoverable: true }
    }

    /// The same event with its error replaced.
    pub fn map_error<F>(self, map: impl FnOnce(E) -> F) -> HlsEvent<F> {
        use HlsEvent as H;
        match self {
            H::Error { error, recoverable } => H::Error { error: map(error), recoverable },
            H::Recovering { error, remedy } => H::Recovering { error: map(error), remedy },
            H::VariantApplied { track, from_variant, to_variant, reason } => {
                H::VariantApplied { track, from_variant, to_variant, reason }
            }
            H::RenditionApplied { track, from, to } => H::RenditionApplied { track, from, to },
            H::PathwayApplied { from, to } => H::PathwayApplied { from, to },
            H::SegmentStart { track, variant, segment_index, byte_offset } => {
                H::SegmentStart { track, variant, segment_index, byte_offset }
            }
            H::SegmentComplete { track, variant, segment_index, bytes_transferred, duration, cached } => {
                H::SegmentComplete { track, variant, segment_index, bytes_transferred, duration, cached }
            }
            H::KeyFetch { key_url, success, cached } => H::KeyFetch { key_url, success, cached },
            H::BufferLevel { track, level_seconds } => H::BufferLevel { track, level_seconds },
            H::ThroughputSample { bytes_per_second } => H::ThroughputSample { bytes_per_second },
            H::DownloadProgress { track, offset, percent } => H::DownloadProgress { track, offset, percent },
            H::PlaybackProgress { track, position, percent } => H::PlaybackProgress { track, position, percent },
            H::PlaylistUpdated { media, segments, window_start, window_end, ended } => {
                H::PlaylistUpdated { media, segments, window_start, window_end, ended }
            }
            H::Waiting { reason, since } => H::Waiting { reason, since },
            H::Live { event } => H::Live { event },
            H::SegmentSkipped { track, variant, segment_index, start, duration } => {
                H::SegmentSkipped { track, variant, segment_index, start, duration }
            }
            H::EndOfStream { track } => H::EndOfStream { track },
        }
    }
}

impl<E: fmt::Display> fmt::Display for HlsEvent<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |p: &Option<f32>| p.map_or_else(String::new, |p| format!(" {p:.0}%"));
        match self {
            Self::VariantApplied { track, from_variant, to_variant, reason } => {
                let from = from_variant.map_or_else(|| "none".into(), |v| format!("v{}", v.0));
                write!(f, "variant applied {track} {from} -> v{} {reason:?}", to_variant.0)
            }
            Self::RenditionApplied { track, from, to } => {
                let name = |id: &Option<RenditionId>| id.map_or_else(|| "none".into(), |id| format!("a{}", id.0));
                write!(f, "rendition applied {track} {} -> {}", name(from), name(to))
            }
            Self::PathwayApplied { from, to } => {
                write!(f, "pathway applied {} -> {to}", from.as_deref().unwrap_or("none"))
            }
            Self::SegmentStart { variant, segment_index, byte_offset, .. } => {
                write!(f, "segment start {variant} #{segment_index} at {byte_offset:?}")
            }
            Self::SegmentComplete { variant, segment_index, bytes_transferred, cached, .. } => {
                write!(f, "segment complete {variant} #{segment_index} {bytes_transferred} B cached={cached}")
            }
            Self::KeyFetch { key_url, success, cached } => {
                write!(f, "key {key_url} success={success} cached={cached}")
            }
            Self::BufferLevel { track, level_seconds } => write!(f, "buffer {track} {level_seconds:.3} s"),
            Self::ThroughputSample { bytes_per_second } => write!(f, "throughput {bytes_per_second:.0} B/s"),
            Self::DownloadProgress { track, offset, percent: p } => {
                write!(f, "download {track} {offset} B{}", percent(p))
            }
            Self::PlaybackProgress { track, position, percent: p } => {
                write!(f, "playback {track} {:.3} s{}", position.as_secs_f64(), percent(p))
            }
            Self::PlaylistUpdated { media, segments, window_start, window_end, ended } => write!(
                f,
                "playlist {media} {segments} segments {:.3}..{:.3} s ended={ended}",
                window_start.as_secs_f64(),
                window_end.as_secs_f64()
            ),
            Self::Live { event } => write!(f, "live {event}"),
            Self::Waiting { reason, .. } => write!(f, "waiting {reason:?}"),
            Self::Recovering { error, remedy } => write!(f, "recovering {error} by {remedy:?}"),
            Self::SegmentSkipped { variant, segment_index, start, duration, .. } => write!(
                f,
                "skipped {variant} #{segment_index} {:.3} s + {:.3} s",
                start.as_secs_f64(),
                duration.as_secs_f64()
            ),
            Self::Error { error, recoverable } => write!(f, "error {error} recoverable={recoverable}"),
            Self::EndOfStream { track } => write!(f, "end of stream {track}"),
        }
    }
}
