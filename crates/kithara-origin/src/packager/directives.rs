//! Delivery directives of a playlist request (section 6.2.5 of the second edition): which playlist is asked for, and whether it may be.

use std::time::Duration;

use super::timeline::{Place, Timeline};
use crate::request::Request;

/// What a request asks of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Whatever there is.
    Current,
    /// One that lists at least this.
    Reload { msn: u64, part: Option<u64> },
}

/// What a server that holds requests does with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answers with the playlist at hand.
    Current,
    /// Answers with the playlist as soon as it lists this part.
    Since(Place),
    /// Answers 400.
    Refused,
}

impl Asked {
    /// Reads `_HLS_msn` and `_HLS_part`; `None` for what has no meaning.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let number = |name: &str| request.param(name).map(str::parse::<u64>).transpose().ok();
        match (number("_HLS_msn")?, number("_HLS_part")?) {
            (None, None) => Some(Self::Current),
            (Some(msn), part) => Some(Self::Reload { msn, part }),
            (None, Some(_)) => None,
        }
    }

    /// Decides for a playlist whose first part that is missing is `edge`.
    pub(crate) fn verdict(self, timeline: &Timeline, edge: Place) -> Verdict {
        let Self::Reload { msn, part } = self else {
            return Verdict::Current;
        };
        // The last segment that is whole has the number before that of the edge.
        if msn > edge.msn.saturating_add(1) {
            return Verdict::Refused;
        }
        let Some(part) = part else {
            return Verdict::Since(Place { msn, part: timeline.parts(msn).saturating_sub(1) });
        };
        let wanted = timeline.settled(Place { msn, part: usize::try_from(part).unwrap_or(usize::MAX) });
        let limit = advance_limit(timeline.longest_part());
        let listed = if msn == edge.msn { edge.part } else { 0 };
        let is_absurd = msn >= edge.msn && part >= (listed + limit) as u64;
        if is_absurd || timeline.distance(edge, wanted, limit) >= limit {
            return Verdict::Refused;
        }
        Verdict::Since(wanted)
    }
}

/// By how many parts a request may be ahead of the last part listed.
fn advance_limit(part_target: Duration) -> usize {
    let part = part_target.as_secs_f64();
    if part > 0.0 && part < 1.0 { (3.0 / part).ceil() as usize } else { 3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packager::{
        cut::{Cut, Piece},
        recording::Reel,
    };

    /// Asks of a playlist of segments with four parts each, whose segment 10 has one part so far.
    #[track_caller]
    fn check(query: &str, want: Option<Verdict>) {
        let parts = vec![Piece { end: 0, ticks: 6, is_independent: true }; 4];
        let segments = vec![Cut { bytes: Vec::new(), parts, times: Vec::new() }];
        let timeline = Timeline::new(&Reel { init: None, segments, timescale: 10, extension: "ts" });
        let request = Request::parse(format!("GET /x?{query} HTTP/1.1").as_bytes()).unwrap();
        let asked = Asked::of(&request);
        let verdict = asked.map(|asked| asked.verdict(&timeline, Place { msn: 10, part: 1 }));
        assert_eq!(verdict, want, "{query}");
    }

    #[test]
    fn a_reload_waits_for_its_part_or_for_the_whole_segment() {
        let since = |msn, part| Some(Verdict::Since(Place { msn, part }));
        check("", Some(Verdict::Current));
        check("_HLS_skip=YES", Some(Verdict::Current));
        check("_HLS_msn=10&_HLS_part=1", since(10, 1));
        check("_HLS_msn=10", since(10, 3));
        check("_HLS_msn=3&_HLS_part=0", since(3, 0));
        check("_HLS_msn=3&_HLS_part=99", since(4, 0));
        check("_HLS_msn=10&_HLS_part=4", since(11, 0));
        check("_HLS_msn=11&_HLS_part=0", since(11, 0));
    }

    #[test]
    fn what_is_too_far_ahead_or_has_no_meaning_is_refused() {
        check("_HLS_msn=11", Some(Verdict::Since(Place { msn: 11, part: 3 })));
        check("_HLS_msn=12", Some(Verdict::Refused));
        // Three seconds of parts: five.
        check("_HLS_msn=11&_HLS_part=1", Some(Verdict::Since(Place { msn: 11, part: 1 })));
        check("_HLS_msn=11&_HLS_part=2", Some(Verdict::Refused));
        check("_HLS_msn=10&_HLS_part=6", Some(Verdict::Refused));
        check("_HLS_part=1", None);
        check("_HLS_msn=soon", None);
        check("_HLS_msn=10&_HLS_part=-1", None);
        check(&format!("_HLS_msn={0}&_HLS_part={0}", u64::MAX), Some(Verdict::Refused));
    }
}
