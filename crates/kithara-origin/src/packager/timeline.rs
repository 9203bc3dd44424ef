//! When each part of a rendition is over, on the media time, lap after lap.

use std::time::Duration;

use super::{cut::from_ticks, recording::Reel};

/// A part: that of index `part` in the segment with media sequence number `msn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) msn: u64,
    pub(crate) part: usize,
}

/// The parts of a rendition in time, lap after lap without end.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    timescale: u32,
    /// By segment of a lap: where each of its parts ends, in ticks since the lap began. At least one segment, each with a part.
    ends: Vec<Vec<u64>>,
    /// Ticks of a lap; never zero.
    lap: u64,
}

impl Timeline {
    pub(crate) fn new(reel: &Reel) -> Self {
        let mut at = 0_u64;
        let mut end_of = |ticks: u64| {
            at = at.saturating_add(ticks);
            at
        };
        let ends = reel.segments.iter().map(|cut| cut.parts.iter().map(|part| end_of(part.ticks)).collect()).collect();
        Self { timescale: reel.timescale, ends, lap: at.max(1) }
    }

    /// The segment's lap, and its index in it.
    pub(crate) fn in_lap(&self, msn: u64) -> (u64, usize) {
        let count = self.ends.len() as u64;
        // The rest is smaller than the length of a list.
        (msn / count, (msn % count) as usize)
    }

    /// Segments of a lap.
    pub(crate) fn segments(&self) -> u64 {
        self.ends.len() as u64
    }

    /// How many parts the segment has; at least one.
    pub(crate) fn parts(&self, msn: u64) -> usize {
        self.ends[self.in_lap(msn).1].len()
    }

    /// How long a lap is.
    pub(crate) fn lap(&self) -> Duration {
        from_ticks(self.lap, self.timescale)
    }

    /// Media before the segment.
    pub(crate) fn start(&self, msn: u64) -> Duration {
        let (lap, index) = self.in_lap(msn);
        let before = index.checked_sub(1).and_then(|before| self.ends[before].last().copied()).unwrap_or(0);
        self.time(lap, before)
    }

    /// Media before the end of the part; of its last part when the segment has no such part.
    pub(crate) fn end(&self, place: Place) -> Duration {
        let (lap, index) = self.in_lap(place.msn);
        let ends = &self.ends[index];
        self.time(lap, ends[place.part.min(ends.len() - 1)])
    }

    /// Media before the end of the segment.
    pub(crate) fn end_of(&self, msn: u64) -> Duration {
        self.end(Place { msn, part: usize::MAX })
    }

    pub(crate) fn longest_segment(&self) -> Duration {
        let lengths = (0..self.segments()).map(|msn| self.end_of(msn).saturating_sub(self.start(msn)));
        lengths.max().unwrap_or_default()
    }

    pub(crate) fn longest_part(&self) -> Duration {
        let all = (0..self.segments()).flat_map(|msn| (0..self.parts(msn)).map(move |part| Place { msn, part }));
        all.map(|place| self.length(place)).max().unwrap_or_default()
    }

    /// How long the part is.
    pub(crate) fn length(&self, place: Place) -> Duration {
        let start = self.before(place).map_or(Duration::ZERO, |before| self.end(before));
        self.end(place).saturating_sub(start)
    }

    fn time(&self, lap: u64, ticks: u64) -> Duration {
        from_ticks(lap.saturating_mul(self.lap).saturating_add(ticks), self.timescale)
    }

    /// The first part that is not over when so much has been recorded: part 0 of the next segment when a segment is.
    pub(crate) fn edge(&self, recorded: Duration) -> Place {
        // Times are rounded down to the nanosecond, so the ticks of a time may end within it.
        let ticks = recorded.as_nanos().saturating_add(1).saturating_mul(u128::from(self.timescale)) / 1_000_000_000;
        let lap = u64::try_from(ticks / u128::from(self.lap)).unwrap_or(u64::MAX);
        let lap = if self.time(lap, 0) > recorded { lap.saturating_sub(1) } else { lap };
        let first = lap.saturating_mul(self.segments());
        for (msn, ends) in (first..).zip(&self.ends) {
            if let Some(part) = ends.iter().position(|end| self.time(lap, *end) > recorded) {
                return Place { msn, part };
            }
        }
        Place { msn: first.saturating_add(self.segments()), part: 0 }
    }

    /// The part before `place`, if there is one.
    pub(crate) fn before(&self, place: Place) -> Option<Place> {
        match place.part.checked_sub(1) {
            Some(part) => Some(Place { part, ..place }),
            None => {
                let msn = place.msn.checked_sub(1)?;
                Some(Place { msn, part: self.parts(msn).saturating_sub(1) })
            }
        }
    }

    /// The part itself, or part 0 of the next segment when the segment has no such part (section 6.2.5.2).
    pub(crate) fn settled(&self, place: Place) -> Place {
        if place.part < self.parts(place.msn) { place } else { Place { msn: place.msn.saturating_add(1), part: 0 } }
    }

    /// Parts from `from` on before `to`; counts no further than `limit`.
    pub(crate) fn distance(&self, from: Place, to: Place, limit: usize) -> usize {
        let mut at = from;
        let mut count = 0;
        while at < to && count < limit {
            at = self.settled(Place { part: at.part + 1, ..at });
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packager::cut::{Cut, Piece};

    /// Two segments: parts of 2 and 1 ticks, then one of 3 ticks; a tick is a second.
    fn timeline() -> Timeline {
        let cut = |ticks: &[u64]| Cut {
            bytes: Vec::new(),
            parts: ticks.iter().map(|ticks| Piece { end: 0, ticks: *ticks, is_independent: true }).collect(),
            times: Vec::new(),
        };
        let reel = Reel { init: None, segments: vec![cut(&[2, 1]), cut(&[3])], timescale: 1, extension: "ts" };
        Timeline::new(&reel)
    }

    #[track_caller]
    fn check_edge(timeline: &Timeline, seconds: f64, msn: u64, part: usize) {
        assert_eq!(timeline.edge(Duration::from_secs_f64(seconds)), Place { msn, part }, "after {seconds} s");
    }

    #[test]
    fn a_part_is_there_when_it_is_over() {
        let timeline = timeline();
        check_edge(&timeline, 0.0, 0, 0);
        check_edge(&timeline, 1.999, 0, 0);
        check_edge(&timeline, 2.0, 0, 1);
        check_edge(&timeline, 3.0, 1, 0);
        check_edge(&timeline, 5.999_999_999, 1, 0);
        check_edge(&timeline, 6.0, 2, 0);
        check_edge(&timeline, 8.0, 2, 1);
        check_edge(&timeline, 600_000_002.0, 200_000_000, 1);
    }

    #[test]
    fn places_follow_each_other() {
        let timeline = timeline();
        let place = |msn, part| Place { msn, part };
        assert_eq!(timeline.before(place(0, 0)), None);
        assert_eq!(timeline.before(place(1, 0)), Some(place(0, 1)));
        assert_eq!(timeline.settled(place(0, 1)), place(0, 1));
        assert_eq!(timeline.settled(place(0, 2)), place(1, 0));
        assert_eq!(timeline.distance(place(0, 0), place(2, 0), 9), 3);
        assert_eq!(timeline.distance(place(0, 0), place(2, 0), 2), 2);
        assert_eq!((timeline.start(1), timeline.end(place(1, 0))), (Duration::from_secs(3), Duration::from_secs(6)));
        assert_eq!((timeline.start(3), timeline.parts(4)), (Duration::from_secs(9), 2));
    }
}
