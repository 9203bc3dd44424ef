//! Whether a delivery in which something stands that does not belong there is what its origin has.
//!
//! An error page behind the first half of a segment, zeros where an upload has not come yet, another resource altogether: in one
//! delivery they look like a stream that is made so, with padding, with junk between its packets, or with advertisements of another
//! format. As with [shortfalls](super::belief), faults pass and streams stay.

use std::{fmt, time::Duration};

use kithara_demux::{Container, Stray};

use super::belief::{DELIVERIES, Doubt, Verdict, lasting};

/// Kinds of oddities of a stream that are remembered; a stream has one or two.
const KNOWN: usize = 8;

/// What does not belong in a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// Bytes of this value, as padding has them, where a packet, box or frame should begin.
    Padding(u8),
    /// Other bytes there.
    Junk,
    /// A segment of boxes has no fragment.
    NoFragment,
    /// An initialization section has media.
    Media,
    /// It is of another format than its neighbours.
    Container(Container),
}

impl Oddity {
    pub(super) const fn of(stray: Stray) -> Self {
        match stray.byte {
            0 | 0xFF => Self::Padding(stray.byte),
            _ => Self::Junk,
        }
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Padding(_) | Self::Junk => f.write_str("no packet, frame or box begins where one should"),
            Self::NoFragment => f.write_str("it has no fragment"),
            Self::Media => f.write_str("an initialization section has media"),
            Self::Container(container) => write!(f, "it is {container}, and its neighbours are not"),
        }
    }
}

/// What is odd about a delivery, and under which circumstances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) oddity: Oddity,
    /// Where it begins, in bytes from the start of the unit.
    pub(super) at: u64,
    /// Whether the end of the delivery was told.
    pub(super) is_announced: bool,
    /// Whether its stream grows meanwhile.
    pub(super) grows: bool,
    /// How long the playlist says that the unit is.
    pub(super) listed: Option<Duration>,
    /// How long a session asks again before it gives up.
    pub(super) patience: Duration,
}

/// What was odd about the deliveries of one unit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Suspicion {
    /// What the last one had, where, and how many in a row had it.
    last: Option<(Oddity, u64)>,
    times: u32,
}

/// What was odd about units of one stream, and was believed in the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Oddities(Vec<Oddity>);

impl Oddities {
    fn learn(&mut self, oddity: Oddity) {
        if self.0.len() == KNOWN {
            self.0.remove(0);
        }
        self.0.push(oddity);
    }
}

impl Suspicion {
    /// What a delivery is taken for that has this `now`. The same at the same place several times in a row is what the origin has: at
    /// once where it says how long its bodies are, and after as much time as faults take to pass where it does not.
    pub(super) fn judge(&mut self, found: &Found, now: Duration, doubt: &mut Doubt, known: &mut Oddities) -> Verdict {
        let settled = if found.is_announced { Verdict::Proved } else { Verdict::Believed };
        if known.0.contains(&found.oddity) {
            return settled;
        }
        let here = Some((found.oddity, found.at));
        self.times = if self.last == here { self.times + 1 } else { 1 };
        self.last = here;
        let since = doubt.since(now);
        let enough = lasting(found.grows, found.listed, found.patience, !known.0.is_empty());
        if self.times < DELIVERIES || !found.is_announced && now.saturating_sub(since) < enough {
            return Verdict::Doubted;
        }
        known.learn(found.oddity);
        doubt.settle();
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(oddity: Oddity, at: u64, is_announced: bool) -> Found {
        let listed = Some(Duration::from_secs(6));
        Found { oddity, at, is_announced, grows: false, listed, patience: Duration::from_secs(20) }
    }

    /// What deliveries of one unit are taken for that come at these times, in seconds.
    fn judge(known: &mut Oddities, deliveries: &[(Found, u64)]) -> Vec<Verdict> {
        let (mut suspicion, mut doubt) = (Suspicion::default(), Doubt::default());
        let at = |secs: &u64| Duration::from_secs(*secs);
        deliveries.iter().map(|(found, secs)| suspicion.judge(found, at(secs), &mut doubt, known)).collect()
    }

    use Verdict::{Believed, Doubted, Proved};

    #[test]
    fn the_same_three_times_is_what_the_origin_has_and_costs_other_units_nothing() {
        let mut known = Oddities::default();
        let page = found(Oddity::Junk, 700, true);
        assert_eq!(judge(&mut known, &[(page, 0), (page, 0), (page, 0)]), [Doubted, Doubted, Proved]);
        assert_eq!(judge(&mut known, &[(found(Oddity::Junk, 99, true), 9)]), [Proved]);
        assert_eq!(judge(&mut known, &[(found(Oddity::Junk, 99, false), 9)]), [Believed]);
        for other in [Oddity::Padding(0), Oddity::NoFragment, Oddity::Container(Container::Adts)] {
            assert_eq!(judge(&mut known, &[(found(other, 700, true), 9)]), [Doubted], "{other}");
        }
    }

    #[test]
    fn another_place_or_kind_begins_to_count_anew() {
        let [zeros, junk] = [Oddity::Padding(0), Oddity::Junk].map(|oddity| (found(oddity, 700, true), 0));
        let further = (found(Oddity::Junk, 701, true), 0);
        let mut known = Oddities::default();
        assert_eq!(judge(&mut known, &[junk, junk, further, further, zeros, zeros]), [Doubted; 6]);
    }

    #[test]
    fn where_nothing_says_how_long_a_body_is_faults_have_time_to_pass() {
        let mut known = Oddities::default();
        let page = |at| (found(Oddity::Junk, 700, false), at);
        assert_eq!(judge(&mut known, &[page(0), page(4), page(8), page(16)]), [Doubted, Doubted, Doubted, Believed]);
        let growing = |at| (Found { grows: true, ..found(Oddity::NoFragment, 700, false) }, at);
        assert_eq!(judge(&mut known, &[growing(0), growing(1), growing(5)]), [Doubted, Doubted, Believed]);
    }

    #[test]
    fn padding_is_told_from_other_junk() {
        let of = |byte| Oddity::of(Stray { at: 3, byte });
        assert_eq!([of(0), of(0xFF), of(b'<')], [Oddity::Padding(0), Oddity::Padding(0xFF), Oddity::Junk]);
    }
}
