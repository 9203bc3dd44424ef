//! Dates and presentation times (EXT-X-PROGRAM-DATE-TIME), both ways.

use std::time::Duration;

use crate::time::WallTime;

/// A stretch of presentation time in which date and time go on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: Duration,
    end: Duration,
    date: WallTime,
}

/// Which dates belong to which presentation times. Empty for a stream without dates.
///
/// Before the first and behind the last known segment dates go on counting; in a hole the stretch before it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DateMap {
    spans: Vec<Span>,
}

/// Dates that differ by less go on together: playlists round to milliseconds, and durations to what they like.
const SAME: u64 = 50;

/// Stretches remembered at most; the oldest go first.
const MOST: usize = 4096;

impl DateMap {
    /// The map of segments in order: start, duration, and date where one is stated.
    pub(super) fn of(segments: impl Iterator<Item = (Duration, Duration, Option<WallTime>)>) -> Self {
        let mut spans: Vec<Span> = Vec::new();
        let mut undated: Option<Duration> = None;
        for (start, duration, date) in segments {
            let end = start.saturating_add(duration);
            let carried = spans.last().map(|span| span.date.saturating_add(start.saturating_sub(span.start)));
            match (spans.last_mut(), carried, date) {
                (Some(last), Some(carried), date) if date.is_none_or(|date| is_same(carried, date)) => last.end = end,
                (_, _, Some(date)) => spans.push(Span { start, end, date }),
                (_, _, None) => {
                    undated.get_or_insert(start);
                }
            }
        }
        if let (Some(undated), Some(first)) = (undated, spans.first_mut())
            && let Some(date) = first.date.checked_sub(first.start.saturating_sub(undated))
        {
            *first = Span { start: undated, end: first.end, date };
        }
        let surplus = spans.len().saturating_sub(MOST);
        spans.drain(..surplus);
        Self { spans }
    }

    /// How many stretches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the stream has dates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The date of a presentation time.
    #[must_use]
    pub fn date_at(&self, time: Duration) -> Option<WallTime> {
        let idx = self.spans.partition_point(|span| span.start <= time);
        let span = self.spans.get(idx.saturating_sub(1))?;
        match time.checked_sub(span.start) {
            Some(after) => span.date.checked_add(after),
            None => span.date.checked_sub(span.start - time),
        }
    }

    /// The presentation time of a date: where several stretches have it, the latest; where none has, counted on from the
    /// last stretch that begins before it. `None` for a date before presentation time began.
    #[must_use]
    pub fn time_at(&self, date: WallTime) -> Option<Duration> {
        let within = |span: &&Span| {
            let after = date.checked_since(span.date);
            after.is_some_and(|after| after < span.end.saturating_sub(span.start))
        };
        if let Some(span) = self.spans.iter().rev().find(within) {
            return span.start.checked_add(date.checked_since(span.date)?);
        }
        let before = self.spans.iter().rev().find(|span| date.checked_since(span.date).is_some());
        match before {
            Some(span) => span.start.checked_add(date.checked_since(span.date)?),
            None => {
                let first = self.spans.first()?;
                first.start.checked_sub(first.date.checked_since(date)?)
            }
        }
    }
}

fn is_same(one: WallTime, other: WallTime) -> bool {
    one.as_millis().abs_diff(other.as_millis()) <= SAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn map(dates: &[Option<i64>]) -> DateMap {
        let segment = |(idx, date): (usize, &Option<i64>)| (secs(idx as u64 * 4), secs(4), date.map(date_of));
        DateMap::of(dates.iter().enumerate().map(segment))
    }

    fn date_of(secs: i64) -> WallTime {
        WallTime::from_millis(secs * 1_000)
    }

    #[track_caller]
    fn check(dates: &[Option<i64>], time: u64, date: i64) {
        let map = map(dates);
        assert_eq!(map.date_at(secs(time)), Some(date_of(date)), "of the time");
        assert_eq!(map.time_at(date_of(date)), Some(secs(time)), "of the date");
    }

    #[test]
    fn a_date_is_carried_on_and_back() {
        check(&[None, Some(104), None, None], 13, 113);
        check(&[None, Some(104), None, None], 1, 101);
        check(&[Some(100)], 100, 200);
    }

    #[test]
    fn each_stretch_has_its_own_dates() {
        let jump = [Some(100), Some(104), Some(1_000), None];
        check(&jump, 3, 103);
        check(&jump, 9, 1_001);
        check(&jump, 14, 1_006);
    }

    #[test]
    fn a_date_that_comes_twice_is_the_later_time() {
        let map = map(&[Some(100), Some(104), Some(100), Some(104)]);
        assert_eq!(map.time_at(date_of(101)), Some(secs(9)));
        assert_eq!(map.date_at(secs(1)), Some(date_of(101)));
    }

    #[test]
    fn without_dates_there_is_no_answer() {
        let map = map(&[None, None]);
        assert!(map.is_empty());
        assert_eq!((map.date_at(secs(1)), map.time_at(date_of(1))), (None, None));
    }

    #[test]
    fn a_date_before_everything_has_no_time() {
        assert_eq!(map(&[Some(100)]).time_at(date_of(99)), None);
    }
}
