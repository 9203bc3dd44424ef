//! Whether a download under way is worth waiting for.
//!
//! It is not if it would end after the reader has run dry while the same segment from a lower rung would end
//! clearly sooner, with all that was received so far thrown away.

use super::{Progress, Rung, ladder::Choices};

/// A download is watched for at least this long, in seconds of receiving, and for this share of what is still
/// buffered: with much in the buffer a slow beginning may yet turn out well.
const LEAST_WATCHED: f64 = 0.3;
const PATIENCE: f64 = 0.4;

/// How much sooner the lower rung must be here.
const GAIN: f64 = 1.25;

/// A segment is given up at most this often; then whatever is arriving is waited for.
const MOST: u32 = 2;

/// Times below this are taken as this, in seconds.
const SHORTEST: f64 = 1e-3;

/// The rung to fetch the segment from instead, if that is better than waiting for the rest of it.
pub(super) fn better(seen: &Progress<'_>, choices: &Choices<'_>) -> Option<Rung> {
    let buffered = seen.buffered.as_secs_f64();
    let wait = seen.time_to_first_byte?.as_secs_f64();
    let receiving = seen.elapsed.as_secs_f64() - wait;
    if seen.abandoned >= MOST || receiving < LEAST_WATCHED + PATIENCE * buffered {
        return None;
    }
    choices.ladder().get(seen.rung.0)?;
    let segment = seen.segment_duration.as_secs_f64();
    let bits = |rung: Rung| segment * choices.rate(rung);
    let received = seen.received as f64 * 8.0;
    let announced = seen.length.map(|length| length as f64 * 8.0);
    let left = announced.unwrap_or_else(|| bits(seen.rung)) - received;
    // One that has brought nothing yet is credited with a bit, so that there is a rate to compare with.
    let rate = received.max(1.0) / receiving.max(SHORTEST);
    if left / rate <= buffered {
        return None;
    }
    let round_trip = seen.estimate.map_or(wait, |estimate| estimate.round_trip.as_secs_f64());
    let time = |rung: Rung| round_trip + bits(rung) / rate;
    let lower = || choices.iter().rev().filter(|rung| *rung < seen.rung);
    let target = lower().find(|rung| time(*rung) < buffered).or_else(|| lower().next_back())?;
    (left / rate > GAIN * time(target) && left > bits(target)).then_some(target)
}
