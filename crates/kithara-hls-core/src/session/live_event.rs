//! What a session tells of live streams.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::ids::{MediaId, Track};

/// One thing that happened to a live stream. Nothing here ends a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LiveEvent {
    /// A playlist has not changed for 1.5 target durations.
    #[non_exhaustive]
    PlaylistLate {
        /// The stream.
        media: MediaId,
        /// Time since it changed.
        unchanged: Duration,
    },
    /// A playlist has not changed for 3 target durations: another variant takes over where there is one.
    #[non_exhaustive]
    PlaylistFrozen {
        /// The stream.
        media: MediaId,
        /// Time since it changed.
        unchanged: Duration,
        /// Whether another variant takes over.
        fails_over: bool,
    },
    /// A late or frozen playlist goes on.
    #[non_exhaustive]
    PlaylistRecovered {
        /// The stream.
        media: MediaId,
    },
    /// A server showed an earlier state of a playlist; it was not taken over. Told with each load for as long as it does.
    #[non_exhaustive]
    PlaylistBehind {
        /// The stream.
        media: MediaId,
    },
    /// The numbers of a playlist went back and mean other segments, or made a leap: its encoder began anew. Its segments follow
    /// the ones before.
    #[non_exhaustive]
    EncoderRestarted {
        /// The stream.
        media: MediaId,
        /// Presentation time of its first segment.
        at: Duration,
    },
    /// The window moved on by more than its length.
    #[non_exhaustive]
    WindowJumped {
        /// The stream.
        media: MediaId,
        /// Segments that were never listed to us.
        missed: u64,
    },
    /// At least half of the last eight segments of a playlist begin a new media timeline: an encoder in trouble. Told once, until it
    /// was calm again.
    #[non_exhaustive]
    DiscontinuityStorm {
        /// The stream.
        media: MediaId,
        /// Discontinuities among its last eight segments.
        discontinuities: u64,
    },
    /// A reader wanted segments that are not to be had any more, and goes on with the oldest that are.
    #[non_exhaustive]
    Rejoined {
        /// The track.
        track: Track,
        /// Presentation time where it goes on.
        at: Duration,
        /// Media it missed.
        missed: Duration,
    },
    /// A segment that a reader will come to leaves the window and cannot be kept (see
    /// [`LiveOptions::time_shift`](super::LiveOptions::time_shift)): there will be a hole.
    #[non_exhaustive]
    NotKept {
        /// The stream.
        media: MediaId,
        /// Presentation time of the segment.
        at: Duration,
        /// Its length.
        duration: Duration,
    },
    /// A stream that had been placed by a guess was moved to where its timestamps say.
    #[non_exhaustive]
    Realigned {
        /// The stream.
        media: MediaId,
        /// By how many nanoseconds.
        by: i64,
    },
    /// The date of the host jumped by so many milliseconds; playlists are loaded at once when it jumped ahead, because the
    /// host may have slept.
    #[non_exhaustive]
    ClockJumped {
        /// Positive when it jumped ahead.
        by_millis: i64,
    },
    /// Playback is further behind the live edge than it should be, or nearer to it, or is so no more. Told when the rate
    /// changes, and every five seconds while it is not one.
    #[non_exhaustive]
    Latency {
        /// The stream.
        media: MediaId,
        /// Time between what is played and what has been made.
        latency: Duration,
        /// How much it should be.
        target: Duration,
        /// The rate at which playback would come back to it, from 0.95 to 1.05; one when it is where it should be.
        rate: f64,
    },
    /// The session was not asked anything for this long after something was due: the host slept, or was stopped.
    #[non_exhaustive]
    Woke {
        /// Time that was slept away.
        slept: Duration,
    },
}

impl fmt::Display for LiveEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = |time: &Duration| time.as_secs_f64();
        match self {
            Self::PlaylistLate { media, unchanged } => write!(f, "late {media} for {:.3} s", secs(unchanged)),
            Self::PlaylistFrozen { media, unchanged, fails_over } => {
                write!(f, "frozen {media} for {:.3} s fails over={fails_over}", secs(unchanged))
            }
            Self::PlaylistRecovered { media } => write!(f, "recovered {media}"),
            Self::PlaylistBehind { media } => write!(f, "behind {media}"),
            Self::EncoderRestarted { media, at } => write!(f, "encoder restarted {media} at {:.3} s", secs(at)),
            Self::WindowJumped { media, missed } => write!(f, "window jumped {media} missed {missed}"),
            Self::DiscontinuityStorm { media, discontinuities } => {
                write!(f, "storm {media} of {discontinuities} discontinuities")
            }
            Self::Rejoined { track, at, missed } => {
                write!(f, "rejoined {track} at {:.3} s missed {:.3} s", secs(at), secs(missed))
            }
            Self::NotKept { media, at, duration } => {
                write!(f, "not kept {media} at {:.3} s + {:.3} s", secs(at), secs(duration))
            }
            Self::Realigned { media, by } => write!(f, "realigned {media} by {by} ns"),
            Self::ClockJumped { by_millis } => write!(f, "clock jumped by {by_millis} ms"),
            Self::Latency { media, latency, target, rate } => {
                write!(f, "latency {media} {:.3} s of {:.3} s rate {rate:.2}", secs(latency), secs(target))
            }
            Self::Woke { slept } => write!(f, "woke after {:.3} s", secs(slept)),
        }
    }
}
