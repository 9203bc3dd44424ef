//! Where a stream that is loaded while another one plays lies on presentation time.

use std::time::Duration;

use super::Timeline;
use crate::{playlist::MediaPlaylist, time::Tick};

/// Where the first segment of a newly loaded stream lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alignment {
    /// Here: dates or discontinuities say so.
    Known(Duration),
    /// Probably here; the timestamps of its first segment will tell (see [`Timeline::correct`]).
    Guessed(Duration),
}

impl Alignment {
    /// Presentation time of the first segment.
    #[must_use]
    pub fn origin(self) -> Duration {
        match self {
            Self::Known(origin) | Self::Guessed(origin) => origin,
        }
    }
}

/// Places `newcomer`, loaded at `now`, beside `reference`.
///
/// Where the reference still lists the beginning of presentation time and nothing will be taken from it, a playlist that is
/// whole begins there, too. One that merely ended may have lost its beginning like any other window.
///
/// Numbers of different playlists need not mean the same (RFC 8216 section 6.2.4), so dates count first, then
/// discontinuities that both list. Without either, equal numbers with equal durations are believed until the media says
/// otherwise; and where the numbers have nothing in common, the live edges are taken to be the same.
#[must_use]
pub fn align(reference: &Timeline, newcomer: &MediaPlaylist, now: Tick) -> Alignment {
    if !newcomer.is_live() && reference.has_its_beginning() {
        return Alignment::Known(Duration::ZERO);
    }
    if let Some(origin) = by_date(reference, newcomer) {
        return Alignment::Known(origin);
    }
    if let Some(origin) = by_discontinuity(reference, newcomer) {
        return Alignment::Known(origin);
    }
    Alignment::Guessed(by_number(reference, newcomer).unwrap_or_else(|| by_edge(reference, newcomer, now)))
}

fn by_date(reference: &Timeline, newcomer: &MediaPlaylist) -> Option<Duration> {
    reference.dates().time_at(newcomer.date_of(0)?)
}

fn by_discontinuity(reference: &Timeline, newcomer: &MediaPlaylist) -> Option<Duration> {
    if !newcomer.counts_discontinuities() || !reference.snapshot().counts_discontinuities() {
        return None;
    }
    newcomer.segments.iter_timed().filter(|(_, it)| it.discontinuity).find_map(|(start, it)| {
        let same = reference.snapshot().segments.iter().find(|their| their.discontinuity && their.dsn == it.dsn)?;
        reference.start_of(reference.number_of(&same))?.checked_sub(start)
    })
}

fn by_number(reference: &Timeline, newcomer: &MediaPlaylist) -> Option<Duration> {
    let mut common = newcomer.segments.iter_timed().filter_map(|(start, it)| {
        let their = reference.snapshot().segments.by_msn(it.msn)?;
        Some((start, it.duration, their))
    });
    let (start, duration, their) = common.next()?;
    let alike = |one: Duration, other: Duration| one.abs_diff(other) <= ALIKE;
    let all_alike = alike(duration, their.duration) && common.all(|(_, it, their)| alike(it, their.duration));
    let origin = reference.start_of(reference.number_of(&their))?.checked_sub(start)?;
    all_alike.then_some(origin)
}

fn by_edge(reference: &Timeline, newcomer: &MediaPlaylist, now: Tick) -> Duration {
    let since = if reference.ended() { Duration::ZERO } else { now.since(reference.changed()) };
    let since = since.min(reference.snapshot().target_duration);
    reference.end().saturating_add(since).saturating_sub(newcomer.segments.duration())
}

/// Durations of two encodings of one segment differ by a frame or two.
const ALIKE: Duration = Duration::from_millis(150);
