//! When a media playlist is loaded again (RFC 8216 section 6.3.4).

use std::time::Duration;

use crate::{playlist::MediaPlaylist, time::Tick};

/// Loads are never closer together than this, not even after errors: an origin in trouble is not hammered.
pub const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// What the last load of a playlist brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It differs from the one before, or is the first.
    Changed,
    /// It is the one we had.
    Unchanged,
    /// It could not be had; this many times in a row.
    Failed(u32),
}

/// When to load the playlist again, or `None` if it never changes.
///
/// `started` is when the last load began. After a change the wait is the duration of the last segment, but at least the
/// minimum; an unchanged playlist is asked for after half a target duration, and a failed load is repeated with
/// doubling waits up to one target duration.
pub fn next_load(playlist: &MediaPlaylist, last: Loaded, started: Tick) -> Option<Tick> {
    if !playlist.is_live() {
        return None;
    }
    let target = playlist.target_duration;
    let wait = match last {
        Loaded::Changed => playlist.segments.last().map_or(target, |segment| segment.duration.min(target * 2)),
        Loaded::Unchanged => target / 2,
        Loaded::Failed(times) => MIN_INTERVAL.saturating_mul(1 << times.min(8)).min(target),
    };
    Some(started + wait.max(MIN_INTERVAL))
}
