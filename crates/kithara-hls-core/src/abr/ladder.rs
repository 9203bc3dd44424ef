//! The ladder: what may be chosen, sorted by rising rate.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::AbrOptions;
use crate::BitRate;

/// A position in a ladder sorted by rising rate; 0 is the lowest.
///
/// Better and worse are compared by rung, never by the order of the playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rung(pub usize);

/// One rung: what the playlist declares of a variant, and what is known of it now.
///
/// A ladder is a slice of these sorted by [`LadderRung::rate`], lowest first. Sorting is the caller's, since only
/// the caller knows which variant stands behind a rung; on an unsorted ladder the choices are poor but still in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderRung {
    /// BANDWIDTH: the peak rate of the variant, renditions included (RFC 8216 section 4.3.4.2).
    pub bandwidth: BitRate,
    /// AVERAGE-BANDWIDTH, where the playlist has it.
    pub average_bandwidth: Option<BitRate>,
    /// Not to be chosen now: it failed, or nothing here can decode it.
    pub excluded: bool,
    /// Media of this rung that the store already holds without a hole, counted from the next unit on. It costs
    /// the link nothing.
    pub stored: Duration,
    /// What was expected of the link when this rung was last left because it asked too much, see [`Left`].
    pub left_at: Option<BitRate>,
}

impl LadderRung {
    /// A rung of this BANDWIDTH of which nothing else is known.
    pub const fn new(bandwidth: BitRate) -> Self {
        Self { bandwidth, average_bandwidth: None, excluded: false, stored: Duration::ZERO, left_at: None }
    }

    /// The rate this rung is weighed with: the average where it is declared, else the peak. At least one bit per
    /// second.
    pub fn rate(&self) -> BitRate {
        self.average_bandwidth.unwrap_or(self.bandwidth).max(BitRate(1))
    }
}

/// That a rung was left because it asked too much of the link, and what was expected of the link then.
///
/// It is part of a decision, to be noted in the ladder. The look-ahead rule may choose a rung that the link does not
/// carry, to spend a full buffer on; without this note it would do so again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// The rung that was left.
    pub rung: Rung,
    /// The throughput that was expected.
    pub throughput: BitRate,
}

impl Left {
    /// Notes it in `ladder`, for the decisions to come. A rung that is not in it is ignored.
    pub fn note(self, ladder: &mut [LadderRung]) {
        if let Some(at) = ladder.get_mut(self.rung.0) {
            at.left_at = Some(self.throughput);
        }
    }
}

/// The rungs of a ladder that may be chosen: not excluded, and within the bandwidth limits of the options.
///
/// Limits that leave nothing give way, first the lower one, then the upper one: something must be played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices<'a> {
    ladder: &'a [LadderRung],
    min: BitRate,
    max: BitRate,
}

impl<'a> Choices<'a> {
    /// `None` when every rung is excluded, or there is none.
    pub(super) fn new(ladder: &'a [LadderRung], options: &AbrOptions) -> Option<Self> {
        let min = options.min_bandwidth.unwrap_or(BitRate::ZERO);
        let max = options.max_bandwidth.unwrap_or(BitRate(u64::MAX));
        let playable = || ladder.iter().filter(|rung| !rung.excluded).map(|rung| rung.bandwidth);
        let least = playable().min()?;
        let max = max.max(least);
        let most = playable().filter(|bandwidth| *bandwidth <= max).max()?;
        Some(Self { ladder, min: min.min(most), max })
    }

    pub(super) fn ladder(&self) -> &'a [LadderRung] {
        self.ladder
    }

    pub(super) fn rate(&self, rung: Rung) -> f64 {
        self.ladder[rung.0].rate().as_f64()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Rung> + use<'a> {
        let choices = *self;
        (0..self.ladder.len()).map(Rung).filter(move |rung| choices.allows(*rung))
    }

    pub(super) fn allows(&self, rung: Rung) -> bool {
        self.ladder.get(rung.0).is_some_and(|at| !at.excluded && (self.min..=self.max).contains(&at.bandwidth))
    }

    pub(super) fn lowest(&self) -> Rung {
        self.iter().next().expect("a set of choices is never empty")
    }

    /// The highest choice whose rate is at most `rate`, else the lowest choice.
    pub(super) fn highest_within(&self, rate: f64) -> Rung {
        self.iter().rev().find(|rung| self.rate(*rung) <= rate).unwrap_or_else(|| self.lowest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(excluded: &[usize], min: Option<u64>, max: Option<u64>, want: &[usize]) {
        let mut ladder = [64, 128, 256, 900].map(|kbps| LadderRung::new(BitRate::from_kbps(kbps)));
        for rung in excluded {
            ladder[*rung].excluded = true;
        }
        let options = AbrOptions {
            min_bandwidth: min.map(BitRate::from_kbps),
            max_bandwidth: max.map(BitRate::from_kbps),
            ..AbrOptions::default()
        };
        let found: Vec<_> = Choices::new(&ladder, &options).iter().flat_map(Choices::iter).map(|rung| rung.0).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn limits_and_exclusions_narrow_the_choice() {
        check(&[], None, None, &[0, 1, 2, 3]);
        check(&[1], None, None, &[0, 2, 3]);
        check(&[], Some(128), Some(256), &[1, 2]);
        check(&[2], Some(100), Some(256), &[1]);
    }

    #[test]
    fn limits_that_leave_nothing_give_way() {
        check(&[], None, Some(32), &[0]);
        check(&[0], None, Some(64), &[1]);
        check(&[], Some(5_000), None, &[3]);
        check(&[], Some(500), Some(100), &[0]);
        check(&[0, 1, 2, 3], None, None, &[]);
    }

    #[test]
    fn the_average_rate_is_preferred_to_the_peak() {
        let mut rung = LadderRung::new(BitRate(200));
        assert_eq!(rung.rate(), BitRate(200));
        rung.average_bandwidth = Some(BitRate(150));
        assert_eq!(rung.rate(), BitRate(150));
        assert_eq!(LadderRung::new(BitRate::ZERO).rate(), BitRate(1));
    }
}
