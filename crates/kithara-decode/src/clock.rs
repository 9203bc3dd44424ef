//! Where decoded frames lie on the presentation timeline, and which of them are heard. Pure arithmetic.
//!
//! Containers write times in clocks of their own, rounded; sound is counted in frames. The clock therefore counts frames
//! and asks timestamps only whether the counting still holds: a packet whose timestamp is near to where the one before
//! it ended lies exactly there, any other one begins elsewhere.

use std::{num::NonZeroU32, ops::Range, time::Duration};

use kithara_demux::Timestamp;
use kithara_stream::RunReason;

use crate::format::timestamp;

/// How far a boundary that a playlist states may lie beside the media: playlists round, frames do not end at
/// boundaries. A cut that is nearer to where a run begins than this means the run's first frame.
const BOUNDARY_SLACK: Duration = Duration::from_millis(100);

/// How exact timestamps are at least, as a part of a second: containers that count milliseconds are common.
const TIMESTAMP_GRAIN: u32 = 900;

/// How a run relates to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joint {
    /// The same presentation goes on: what was heard is not heard again.
    Continues,
    /// Other media begins. All of it is heard, from the stated time on if that cuts off more than rounding does.
    Begins(Option<Duration>),
    /// The reader moved: exactly this time is heard first.
    Moves(Duration),
}

impl Joint {
    /// How a run relates to the one before, given the target of a seek that it answers.
    pub(crate) fn of(sought: Option<Duration>, reason: RunReason, discard_until: Option<Duration>) -> Self {
        match (sought, reason) {
            (Some(target), _) => Self::Moves(target),
            (None, RunReason::Seek) => Self::Moves(discard_until.unwrap_or_default()),
            (None, RunReason::Switch | RunReason::Cut | RunReason::InitSection) => Self::Continues,
            (None, _) => Self::Begins(discard_until),
        }
    }
}

/// Sound that is missing inside of a run is silence, so that what follows is heard at its time; more of it is a jump. Where
/// nothing was lost, timestamps that lie no further apart than boundaries do are only not exact.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// What of a decoded packet is heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Frames of the packet.
    pub(crate) frames: Range<usize>,
    /// Presentation time of the first of them, counted in frames.
    pub(crate) at: i64,
    /// Whether it does not lie directly behind what was heard before, and the silence.
    pub(crate) is_jump: bool,
    /// Frames that are missing in front of it.
    pub(crate) missing: usize,
}

#[derive(Debug, Default)]
pub(crate) struct FrameClock {
    /// Rate at which `next` and `heard_to` are counted.
    rate: u32,
    /// Where the next packet is expected.
    next: Option<i64>,
    /// Where what was heard ends.
    heard_to: Option<i64>,
    /// A run began, and its first packet is still to come.
    joint: Option<Joint>,
    /// Nothing before this is heard.
    floor: Option<Timestamp>,
    /// Something was lost since the last packet.
    has_lost: bool,
}

impl FrameClock {
    pub(crate) fn begin(&mut self, joint: Joint) {
        if let Joint::Moves(_) = joint {
            self.next = None;
            self.heard_to = None;
        }
        self.joint = Some(joint);
    }

    /// Something in front of the next packet was lost.
    pub(crate) fn lose(&mut self) {
        self.has_lost = true;
    }

    /// Places `frames` frames of `rate` at `pts`, of which `trim` at both ends are never heard.
    pub(crate) fn place(&mut self, pts: Timestamp, rate: NonZeroU32, frames: usize, trim: (u64, u64)) -> Heard {
        self.use_rate(rate);
        let expected = self.next.filter(|next| self.joint.is_none() && self.heard_to == Some(*next));
        let start = self.start_of(pts.rescale(rate), frames, rate);
        let end = start.saturating_add_unsigned(frames as u64);
        // A codec that has to settle first gives nothing; where its next packet lies is for that one to say.
        self.next = (frames > 0).then_some(end);
        let floor = self.floor.map_or(i64::MIN, |floor| floor.rescale(rate));
        let first = start.saturating_add_unsigned(trim.0).max(floor).min(end);
        let last = end.saturating_sub_unsigned(trim.1).max(first);
        let index = |at: i64| usize::try_from(at.saturating_sub(start)).unwrap_or(0).min(frames);
        let missing = expected.map_or(0, |next| start.saturating_sub(next)).max(0);
        let least = if std::mem::take(&mut self.has_lost) { 0 } else { timestamp(BOUNDARY_SLACK).rescale(rate) };
        let is_gap = frames > 0 && missing > least && missing <= timestamp(LONGEST_GAP).rescale(rate);
        let missing = if is_gap { usize::try_from(missing).unwrap_or(0) } else { 0 };
        let filled_to = self.heard_to.map(|at| at.saturating_add_unsigned(missing as u64));
        let heard = Heard { frames: index(first)..index(last), at: first, is_jump: filled_to != Some(first), missing };
        if !heard.frames.is_empty() {
            self.heard_to = Some(last);
        }
        heard
    }

    fn use_rate(&mut self, rate: NonZeroU32) {
        if let Some(old) = NonZeroU32::new(self.rate).filter(|old| *old != rate) {
            let convert = |at: i64| Timestamp::new(at, old).rescale(rate);
            self.next = self.next.map(convert);
            self.heard_to = self.heard_to.map(convert);
        }
        self.rate = rate.get();
    }

    /// Where a packet lies that states `stated`.
    fn start_of(&mut self, stated: i64, frames: usize, rate: NonZeroU32) -> i64 {
        let grain = i64::from((rate.get() / TIMESTAMP_GRAIN).max(2));
        let half = i64::try_from(frames / 2).unwrap_or(i64::MAX);
        let (expected, tolerance) = match self.joint.take() {
            None => (self.next, half.max(grain)),
            Some(Joint::Moves(target)) => {
                self.floor = Some(timestamp(target));
                (None, 0)
            }
            Some(Joint::Begins(cut)) => {
                let slack = timestamp(BOUNDARY_SLACK).rescale(rate);
                let cut = cut.map(timestamp);
                self.floor = cut.filter(|cut| cut.rescale(rate) > stated.saturating_add(slack));
                (self.next, half.max(grain))
            }
            Some(Joint::Continues) => {
                self.floor = self.heard_to.map(|at| Timestamp::new(at, rate)).or(self.floor);
                (self.heard_to.or(self.next), grain)
            }
        };
        expected.filter(|next| next.abs_diff(stated) <= tolerance.unsigned_abs()).unwrap_or(stated)
    }
}

#[cfg(test)]
mod tests {
    use kithara_demux::MPEG_TIMESCALE;

    use super::*;

    const RATE: NonZeroU32 = NonZeroU32::new(48_000).unwrap();

    fn frames(at: i64) -> Timestamp {
        Timestamp::new(at, RATE)
    }

    #[track_caller]
    fn check(clock: &mut FrameClock, pts: i64, trim: (u64, u64), want: (Range<usize>, i64, bool)) {
        let heard = clock.place(frames(pts), RATE, 1024, trim);
        assert_eq!((heard.frames, heard.at, heard.is_jump), want);
    }

    #[test]
    fn frames_are_counted_whatever_timestamps_round_to() {
        let mut clock = FrameClock::default();
        let mut at = 0;
        for packet in 0..1000_i64 {
            // Milliseconds of a 1024-frame packet: 21.33 rounds to 21 or 22.
            let pts = Timestamp::new((packet * 1024 * 1000 + 24_000) / 48_000, NonZeroU32::new(1000).unwrap());
            let heard = clock.place(pts, RATE, 1024, (0, 0));
            assert_eq!((heard.at, heard.is_jump), (at, packet == 0));
            at += 1024;
        }
    }

    #[test]
    fn a_timestamp_that_is_elsewhere_is_a_jump() {
        let mut clock = FrameClock::default();
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        check(&mut clock, 1500, (0, 0), (0..1024, 1024, false));
        check(&mut clock, 90_000, (0, 0), (0..1024, 90_000, true));
        check(&mut clock, 70_000, (0, 0), (0..1024, 70_000, true));
    }

    #[test]
    fn a_little_that_is_missing_inside_of_a_run_is_silence() {
        let mut clock = FrameClock::default();
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        for (at, missing) in [(1024 + 48_000, 48_000), (50_048, 0), (51_072 + 600, 600), (52_696 + 400, 0)] {
            clock.lose();
            let heard = clock.place(frames(at), RATE, 1024, (0, 0));
            assert_eq!((heard.missing, heard.is_jump), (missing, false), "{at}");
        }
        // Timestamps that are not exact are no loss, unless they are far off.
        let heard = clock.place(frames(53_720 + 4800), RATE, 1024, (0, 0));
        assert_eq!((heard.missing, heard.is_jump), (0, true));
        let heard = clock.place(frames(59_544 + 4801), RATE, 1024, (0, 0));
        assert_eq!((heard.missing, heard.is_jump), (4801, false));
        // Where a run begins, what lies in between was left out.
        clock.begin(Joint::Begins(None));
        let heard = clock.place(frames(80_000), RATE, 1024, (0, 0));
        assert_eq!((heard.missing, heard.at, heard.is_jump), (0, 80_000, true));
        // What is not heard because of padding is not missing.
        clock.place(frames(81_024), RATE, 1024, (0, 1000));
        let heard = clock.place(frames(92_048), RATE, 1024, (0, 0));
        assert_eq!((heard.missing, heard.is_jump), (0, true));
    }

    #[test]
    fn a_packet_that_gives_nothing_says_nothing_of_the_next() {
        let mut clock = FrameClock::default();
        clock.begin(Joint::Moves(Duration::ZERO));
        assert_eq!(clock.place(frames(0), RATE, 0, (0, 0)).frames, 0..0);
        check(&mut clock, 300, (0, 0), (0..1024, 300, true));
    }

    #[test]
    fn priming_and_padding_are_not_heard_and_the_time_goes_on() {
        let mut clock = FrameClock::default();
        check(&mut clock, -1024, (1024, 0), (1024..1024, 0, true));
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        check(&mut clock, 1024, (0, 1000), (0..24, 1024, false));
    }

    #[test]
    fn a_move_lands_on_its_frame() {
        let mut clock = FrameClock::default();
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        clock.begin(Joint::Moves(Duration::from_nanos(2000 * 1_000_000_000 / 48_000)));
        check(&mut clock, 0, (0, 0), (1024..1024, 1024, true));
        check(&mut clock, 1024, (0, 0), (976..1024, 2000, true));
        check(&mut clock, 2048, (0, 0), (0..1024, 2048, false));
    }

    #[test]
    fn what_was_heard_is_not_heard_again_when_a_run_continues() {
        let mut clock = FrameClock::default();
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        clock.begin(Joint::Continues);
        check(&mut clock, 3, (0, 0), (1021..1024, 1024, false));
        check(&mut clock, 1027, (0, 0), (0..1024, 1027, false));
    }

    #[test]
    fn a_run_that_continues_within_rounding_loses_nothing() {
        let mut clock = FrameClock::default();
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        clock.begin(Joint::Continues);
        check(&mut clock, 1000, (0, 0), (0..1024, 1024, false));
        clock.begin(Joint::Continues);
        check(&mut clock, 2100, (0, 0), (0..1024, 2048, false));
    }

    #[test]
    fn the_cut_of_a_playlist_counts_only_where_it_cuts_more_than_it_rounds() {
        let mut clock = FrameClock::default();
        clock.begin(Joint::Begins(Some(Duration::from_millis(5))));
        check(&mut clock, 0, (0, 0), (0..1024, 0, true));
        clock.begin(Joint::Begins(Some(Duration::from_millis(500))));
        check(&mut clock, 10_000, (0, 0), (1024..1024, 11_024, true));
        check(&mut clock, 23_500, (0, 0), (500..1024, 24_000, true));
    }

    #[test]
    fn another_rate_counts_on_at_the_same_time() {
        let mut clock = FrameClock::default();
        check(&mut clock, 47_000, (0, 0), (0..1024, 47_000, true));
        clock.begin(Joint::Begins(None));
        let rate = NonZeroU32::new(44_100).unwrap();
        let heard = clock.place(Timestamp::mpeg(90_045), rate, 1024, (0, 0));
        assert_eq!((heard.frames, heard.at, heard.is_jump), (0..1024, 44_122, false));
    }

    #[test]
    fn no_timestamp_overflows() {
        for pts in [i64::MIN, -1, 0, i64::MAX] {
            for joint in [Joint::Continues, Joint::Begins(Some(Duration::MAX)), Joint::Moves(Duration::MAX)] {
                let mut clock = FrameClock::default();
                clock.place(Timestamp::new(pts, MPEG_TIMESCALE), RATE, usize::MAX, (u64::MAX, u64::MAX));
                clock.begin(joint);
                clock.place(Timestamp::new(pts, MPEG_TIMESCALE), RATE, 1024, (0, 0));
                clock.place(Timestamp::new(0, MPEG_TIMESCALE), RATE, 1024, (0, 0));
            }
        }
    }
}
