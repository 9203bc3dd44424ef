//! Whether a download under way is worth waiting for.

use super::{Abandon, Progress, Rung, ladder::Choices};

/// Share of the segment's duration for which a download is left alone while the buffer lasts: its rate is not yet
/// known well.
const GRACE: f64 = 0.89;

/// How much sooner the lower rung must be here.
const GAIN: f64 = 1.55;

/// A segment is given up at most this often; then whatever is arriving is waited for.
const MOST: u32 = 2;

/// The rung to fetch the segment from instead, if that is better than waiting for the rest of it.
pub(super) fn better(seen: &Progress<'_>, choices: &Choices<'_>) -> Option<Abandon> {
    let segment = seen.segment_duration.as_secs_f64();
    let elapsed = seen.elapsed.as_secs_f64();
    let buffered = seen.buffered.as_secs_f64();
    let wait = seen.time_to_first_byte?.as_secs_f64();
    if seen.abandoned >= MOST || (elapsed < GRACE * segment && elapsed <= buffered) {
        return None;
    }
    let declared = choices.ladder().get(seen.rung.0)?.rate().as_f64() * segment / 8.0;
    let received = seen.received as f64;
    let length = seen.length.map_or(declared, |length| length as f64).max(received);
    // A download that has brought nothing is taken at one bit over its time, so that it can be compared at all.
    let rate = (received * 8.0).max(1.0) / (elapsed - wait).max(1e-3);
    let rest = (length - received) * 8.0;
    let left = rest / rate;
    if left <= buffered {
        return None;
    }
    let round_trip = seen.estimate.map_or(wait, |estimate| estimate.round_trip.as_secs_f64());
    let bits = |rung: Rung| segment * choices.rate(rung);
    let time = |rung: Rung| round_trip + bits(rung) / rate;
    let lower = || choices.iter().rev().filter(|rung| *rung < seen.rung);
    let target = lower().find(|rung| time(*rung) < buffered).or_else(|| lower().next_back())?;
    (left > GAIN * time(target) && rest > bits(target)).then_some(Abandon { target })
}
