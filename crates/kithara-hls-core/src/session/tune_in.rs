//! Coming up to date with a playlist that a cache had kept (RFC 8216bis appendix C).

use std::time::Duration;

use crate::time::Tick;

/// Loads after the first one that may be spent on it.
const ROUNDS: u32 = 4;

/// A first copy that was old when it came, and how much more media a copy of now must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct TuneIn {
    first_at: Tick,
    first_edge: Duration,
    goal: Duration,
    rounds: u32,
}

impl TuneIn {
    /// What follows from a first copy with an Age header, which ended at `edge`; `None` when that copy is good enough.
    pub(super) fn begun_with(age: Duration, part_target: Duration, edge: Duration, now: Tick) -> Option<Self> {
        // The header counts whole seconds, and may be one short.
        let short = if part_target < Duration::from_secs(1) { Duration::from_secs(1) } else { Duration::ZERO };
        let is_old = age.as_secs() >= part_target.as_secs();
        is_old.then_some(Self { first_at: now, first_edge: edge, goal: age.saturating_add(short), rounds: 0 })
    }

    /// What follows from another copy; `None` when it is up to date, or no better one can be had.
    pub(super) fn goes_on(self, age: Duration, part_target: Duration, edge: Duration, now: Tick) -> Option<Self> {
        // An answer to a question for what must have been added that is not a second old is of now: the goal, which is
        // rounded up, would be missed for ever.
        let is_old = age.as_secs() >= part_target.as_secs().max(1) && !self.lacks(edge, now).is_zero();
        (is_old && self.rounds < ROUNDS).then_some(Self { rounds: self.rounds + 1, ..self })
    }

    /// Media that a copy which ends at `edge` lacks now.
    pub(super) fn lacks(&self, edge: Duration, now: Tick) -> Duration {
        let gained = edge.saturating_sub(self.first_edge);
        self.goal.saturating_add(now.since(self.first_at)).saturating_sub(gained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_copy_without_enough_new_media_is_followed_by_another() {
        let at = Tick::from_millis(1_000);
        let tuning = TuneIn::begun_with(ms(3_000), ms(333), ms(20_000), at).expect("it is three seconds old");
        assert_eq!(tuning.lacks(ms(20_000), at), ms(4_000));
        let later = Tick::from_millis(1_500);
        assert_eq!(tuning.lacks(ms(22_000), later), ms(2_500));
        assert!(tuning.goes_on(ms(1_000), ms(333), ms(22_000), later).is_some());
        assert!(tuning.goes_on(ms(0), ms(333), ms(24_500), later).is_none(), "it has all that was missing");
    }

    #[test]
    fn long_parts_make_young_copies_good_enough() {
        let begun = |age| TuneIn::begun_with(ms(age), ms(2_000), ms(20_000), Tick::ZERO);
        assert!(begun(1_000).is_none());
        assert!(begun(2_000).is_some());
    }

    #[test]
    fn a_cache_that_never_has_a_newer_one_is_given_up() {
        let old = |it: TuneIn| it.goes_on(ms(9_000), ms(333), ms(20_000), Tick::ZERO);
        let mut tuning = TuneIn::begun_with(ms(9_000), ms(333), ms(20_000), Tick::ZERO);
        for _ in 0..ROUNDS {
            tuning = tuning.and_then(old);
            assert!(tuning.is_some());
        }
        assert!(tuning.and_then(old).is_none());
    }
}
