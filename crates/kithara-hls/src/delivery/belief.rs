//! Whether a delivery that has less time than its unit is listed with is all there is.
//!
//! Where nothing said how long a body would be, a cut at a seam of its container leaves a unit that looks whole. A list may be
//! wrong as well, for good, and both look the same in one delivery. Time tells them apart: faults pass, lists stay.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kithara_demux::{Clocks, Container, SegmentCheck};
use kithara_hls_core::session::MediaId;

use super::oddity::{Found, Oddities, Suspicion};

/// Faults pass in so much time. A session fetches again after 0.25, 0.5, 1, 2 and then every 4 s, that is
/// after 15.75 s once more, and has patience for 20 s.
const FAULTS_PASS: Duration = Duration::from_millis(15_500);

/// The same in a stream whose list was wrong before.
const LESSON_LEARNED: Duration = Duration::from_secs(2);

/// Deliveries of one length that are needed at least, however little time there is.
pub(super) const DELIVERIES: u32 = 3;

/// Deliveries after which a length that was announced is that of the unit: two more than usual.
const ANNOUNCED: u32 = 3;

/// What must be missing of a unit of announced length before it is fetched again: more than half of it, and at least that much.
const LITTLE: Duration = Duration::from_millis(100);

/// Bytes of a unit of announced length that has no time at all, of which one that is whole has more, as scrambled ones have.
const TABLES: u64 = 4096;

/// Shortfalls of a stream that are remembered; the oldest goes first.
const LESSONS: usize = 8;

/// By how much of a unit a shortfall may be more than one that was believed, in thousandths.
const COMPARABLE: u64 = 60;

/// Initialization sections of a stream that are told apart.
const SECTIONS: usize = 8;

/// A delivery that ended whole, as far as its container can say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) len: u64,
    /// How much time it has.
    pub(super) covered: Duration,
    /// How much the playlist says.
    pub(super) listed: Duration,
    /// Whether its end was told: by a length, or by chunks or frames.
    pub(super) is_announced: bool,
    /// Whether its stream grows meanwhile.
    pub(super) grows: bool,
}

/// What a delivery is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has the time it is listed with, or its length was announced.
    Proved,
    /// All there is, as far as one can tell.
    Believed,
    /// It may have been cut.
    Doubted,
}

/// What the deliveries of one unit showed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doubt {
    /// The length that the last ones had which seemed short, and how many in a row had it.
    len: u64,
    times: u32,
    /// When the first was no good, for whatever reason: a session counts its patience from there.
    since: Option<Duration>,
    /// Those of announced length that seemed short.
    announced: u32,
    /// It is odd, and was believed to be so: then it may be short as well.
    is_settled: bool,
}

/// Shortfalls of units of one stream that were believed in the end, in thousandths of the units.
#[derive(Clone, Debug, Default)]
pub(super) struct Lessons(Vec<u64>);

impl Ended {
    /// How much of the unit is missing, in thousandths, where that is too much to be the list's rounding.
    fn shortfall(&self) -> Option<u64> {
        let missing = self.listed.saturating_sub(self.covered);
        let is_short = if self.is_announced {
            missing > (self.listed / 2).max(LITTLE) && (!self.covered.is_zero() || self.len < TABLES)
        } else {
            missing > tolerance(self.listed) || self.covered.is_zero()
        };
        let share = missing.as_nanos() * 1000 / self.listed.as_nanos().max(1);
        is_short.then(|| u64::try_from(share).unwrap_or(u64::MAX))
    }
}

impl Doubt {
    /// A delivery was no good, by the same clock.
    pub(super) fn failed(&mut self, now: Duration) {
        self.since(now);
    }

    /// When the first was no good: `now`, if none was before.
    pub(super) fn since(&mut self, now: Duration) -> Duration {
        *self.since.get_or_insert(now)
    }

    /// What comes is what there is.
    pub(super) const fn settle(&mut self) {
        self.is_settled = true;
    }

    /// What a delivery is taken for that ended `now`, by any clock that goes on. A session that gives up after `patience` must have
    /// had its unit before.
    pub(super) fn judge(&mut self, ended: &Ended, now: Duration, patience: Duration, lessons: &mut Lessons) -> Verdict {
        let Some(shortfall) = ended.shortfall() else { return Verdict::Proved };
        let settled = if ended.is_announced { Verdict::Proved } else { Verdict::Believed };
        if self.is_settled || lessons.explain(shortfall) {
            return settled;
        }
        let since = self.since(now);
        self.times = if self.len == ended.len { self.times + 1 } else { 1 };
        self.len = ended.len;
        self.announced += u32::from(ended.is_announced);
        let enough = lasting(ended.grows, Some(ended.listed), patience, !lessons.0.is_empty());
        let lasts = self.times >= DELIVERIES && now.saturating_sub(since) >= enough;
        if lasts || self.announced >= ANNOUNCED {
            // One that grows is an upload that goes on: it says nothing of others.
            if self.times >= DELIVERIES {
                lessons.learn(shortfall);
            }
            return settled;
        }
        Verdict::Doubted
    }
}

/// How long deliveries of a unit must be the same before they are believed, where nothing else proves them.
pub(super) fn lasting(grows: bool, listed: Option<Duration>, patience: Duration, has_lesson: bool) -> Duration {
    match (grows, has_lesson) {
        // A window goes on.
        (true, _) => FAULTS_PASS.min(listed.map_or(FAULTS_PASS, |listed| listed / 4 * 3)),
        (false, false) => FAULTS_PASS.min(patience / 5 * 4),
        (false, true) => FAULTS_PASS.min(patience / 5 * 4).min(LESSON_LEARNED),
    }
}

impl Lessons {
    fn learn(&mut self, shortfall: u64) {
        if self.0.len() == LESSONS {
            self.0.remove(0);
        }
        self.0.push(shortfall);
    }

    /// Whether another unit of the stream was short by about as much: hardly less, and at least half as much. That an empty unit was
    /// believed says nothing of one that lacks a little.
    fn explain(&self, shortfall: u64) -> bool {
        self.0.iter().any(|known| shortfall <= known + COMPARABLE && shortfall >= known / 2)
    }
}

/// By how much a unit may be shorter than the playlist says, and be whole.
///
/// Durations are rounded to whole seconds in old playlists, mostly to the nearest and sometimes up: an eighth and at most one second. Those
/// with a fraction are exact; what is measured lacks a few pictures that come out of order, a packet of sound, or the end of the
/// shorter track: a sixteenth and at most half a second. Added samples (priming) only make it longer. One that is off by more, as
/// last segments may be, is believed after a while.
fn tolerance(listed: Duration) -> Duration {
    let (share, most) = match listed.subsec_nanos() {
        0 => (8, Duration::from_secs(1)),
        _ => (16, Duration::from_millis(500)),
    };
    (listed / share).clamp(Duration::from_millis(100), most)
}

/// What a session has learned of its streams.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    lessons: HashMap<Family, Lessons>,
    oddities: HashMap<Family, Oddities>,
    /// The formats of the units of a stream.
    containers: HashMap<MediaId, Vec<Container>>,
    clocks: HashMap<MediaId, Sections>,
}

/// Streams that one packager cuts alike: all variants, and each other stream by itself.
type Family = Option<MediaId>;

fn family(media: MediaId) -> Family {
    Some(media).filter(|media| !matches!(media, MediaId::Variant(_)))
}

/// The clocks of the initialization sections of a stream. Which of them rules a unit is not known here.
#[derive(Debug, Default)]
struct Sections {
    known: Vec<Clocks>,
    /// There are more.
    overflows: bool,
}

impl Memory {
    /// [`Doubt::judge`] with what other units of the stream taught.
    pub(super) fn judge(
        &self,
        media: MediaId,
        doubt: &mut Doubt,
        ended: &Ended,
        now: Duration,
        patience: Duration,
    ) -> Verdict {
        doubt.judge(ended, now, patience, self.lock().lessons.entry(family(media)).or_default())
    }

    /// [`Suspicion::judge`] with what was odd about other units of the stream.
    pub(super) fn suspect(
        &self,
        media: MediaId,
        suspicion: &mut Suspicion,
        found: &Found,
        now: Duration,
        doubt: &mut Doubt,
    ) -> Verdict {
        suspicion.judge(found, now, doubt, self.lock().oddities.entry(family(media)).or_default())
    }

    /// A unit of a stream is of this format.
    pub(super) fn note_container(&self, media: MediaId, container: Container) {
        let mut learned = self.lock();
        let known = learned.containers.entry(media).or_default();
        if !known.contains(&container) {
            known.push(container);
        }
    }

    /// Whether other units of a stream are known, and none of them is of this format.
    pub(super) fn is_foreign(&self, media: MediaId, container: Container) -> bool {
        self.lock().containers.get(&media).is_some_and(|known| !known.contains(&container))
    }

    /// The clocks of an initialization section of a stream.
    pub(super) fn note_clocks(&self, media: MediaId, clocks: Clocks) {
        self.lock().clocks.entry(media).or_default().note(clocks);
    }

    /// How much time a unit of a stream has, where its clocks are known; of several the slowest is taken, which gives most.
    pub(super) fn covered(&self, media: MediaId, check: &SegmentCheck) -> Option<Duration> {
        let learned = self.lock();
        let sections = learned.clocks.get(&media);
        if sections.is_some_and(|sections| sections.overflows) {
            return check.covered(None);
        }
        let by_sections =
            sections.and_then(|it| it.known.iter().filter_map(|clocks| check.covered(Some(clocks))).max());
        by_sections.or_else(|| check.covered(None))
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sections {
    fn note(&mut self, clocks: Clocks) {
        if self.known.contains(&clocks) {
            return;
        }
        if self.known.len() == SECTIONS {
            self.overflows = true;
            return;
        }
        self.known.push(clocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kithara_hls_core::playlist::{RenditionId, VariantId};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn ended(len: u64, covered: u64, listed: u64, is_announced: bool) -> Ended {
        Ended { len, covered: millis(covered), listed: millis(listed), is_announced, grows: false }
    }

    /// When a session asks again for a unit that comes at once and is no good, until it has lost its patience.
    fn attempts(backoff: u64, patience: u64) -> Vec<u64> {
        let (mut at, mut rest, mut all) = (0, backoff, vec![0]);
        while at < patience {
            at += rest;
            rest = (rest * 2).min(4000);
            all.push(at);
        }
        all
    }

    #[track_caller]
    fn check_tolerated(listed: u64, most: u64) {
        for (missing, verdict) in [(0, Verdict::Proved), (most, Verdict::Proved), (most + 1, Verdict::Doubted)] {
            let ended = ended(1, listed - missing, listed, false);
            let got = Doubt::default().judge(&ended, Duration::ZERO, PATIENCE, &mut Lessons::default());
            assert_eq!(got, verdict, "{missing} of {listed} ms are missing");
        }
    }

    #[test]
    fn what_may_be_missing_is_what_lists_are_rounded_by() {
        check_tolerated(10_000, 1000);
        check_tolerated(6000, 750);
        check_tolerated(4000, 500);
        check_tolerated(10_010, 500);
        check_tolerated(6016, 376);
        check_tolerated(1001, 100);
        let longer = ended(1, 7000, 6000, false);
        assert_eq!(Doubt::default().judge(&longer, Duration::ZERO, PATIENCE, &mut Lessons::default()), Verdict::Proved);
    }

    #[test]
    fn nothing_at_all_is_doubted_however_little_is_listed() {
        let nothing = ended(1, 0, 20, false);
        let got = Doubt::default().judge(&nothing, Duration::ZERO, PATIENCE, &mut Lessons::default());
        assert_eq!(got, Verdict::Doubted);
    }

    #[test]
    fn the_same_cut_is_not_believed_for_fifteen_seconds_and_is_before_a_session_gives_up() {
        for latency in [0, 40, 300] {
            let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
            let short = ended(700, 3000, 6006, false);
            let mut waits = attempts(250, 20_000).into_iter().enumerate();
            let believed = waits.find_map(|(count, at)| {
                let at = at + latency * (count as u64 + 1);
                let verdict = doubt.judge(&short, millis(at), PATIENCE, &mut lessons);
                (verdict == Verdict::Believed).then_some(at - latency)
            });
            let believed = believed.expect("at last");
            assert!((15_000..20_000).contains(&believed), "after {believed} ms");
        }
    }

    #[test]
    fn a_session_with_less_patience_believes_sooner_and_always_before_it_gives_up() {
        for (backoff, patience) in [(5, 200), (250, 1000), (250, 5000), (1000, 60_000), (250, 15_000)] {
            let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
            let short = ended(700, 3000, 6006, false);
            let believed = attempts(backoff, patience)
                .into_iter()
                .any(|at| doubt.judge(&short, millis(at), millis(patience), &mut lessons) == Verdict::Believed);
            assert!(believed, "{backoff} ms, {patience} ms");
        }
    }

    #[test]
    fn a_length_must_come_several_times_in_a_row() {
        let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
        let mut judge = |len, at| doubt.judge(&ended(len, 3000, 6006, false), millis(at), PATIENCE, &mut lessons);
        for (len, at) in [(700, 0), (700, 8000), (701, 16_000), (700, 17_000), (700, 18_000)] {
            assert_eq!(judge(len, at), Verdict::Doubted, "{len} at {at}");
        }
        assert_eq!(judge(700, 19_000), Verdict::Believed);
    }

    #[test]
    fn time_counts_from_the_first_failure_of_any_kind_as_the_patience_of_a_session_does() {
        let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
        doubt.failed(millis(0));
        let mut judge = |at| doubt.judge(&ended(700, 3000, 6006, false), millis(at), PATIENCE, &mut lessons);
        assert_eq!(
            [judge(7750), judge(11_750), judge(15_750)],
            [Verdict::Doubted, Verdict::Doubted, Verdict::Believed]
        );
    }

    #[test]
    fn once_is_not_enough_however_much_time_has_passed() {
        let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
        let short = ended(700, 3000, 6006, false);
        for (at, verdict) in [(0, Verdict::Doubted), (60_000, Verdict::Doubted), (60_001, Verdict::Believed)] {
            assert_eq!(doubt.judge(&short, millis(at), PATIENCE, &mut lessons), verdict);
        }
    }

    #[track_caller]
    fn check_explained(covered: u64, verdict: Verdict) {
        let mut lessons = Lessons::default();
        lessons.learn(200);
        let got = Doubt::default().judge(&ended(9, covered, 10_010, false), millis(0), PATIENCE, &mut lessons);
        assert_eq!(got, verdict, "{covered} of 10010 ms");
    }

    #[test]
    fn units_that_lack_about_as_much_as_one_that_was_believed_are_believed_at_once() {
        check_explained(8000, Verdict::Believed);
        check_explained(8900, Verdict::Believed);
        check_explained(7500, Verdict::Believed);
        check_explained(7300, Verdict::Doubted);
        check_explained(0, Verdict::Doubted);
    }

    #[test]
    fn a_unit_without_any_media_that_was_believed_excuses_none_that_has_some() {
        let mut lessons = Lessons::default();
        lessons.learn(1000);
        assert!(lessons.explain(1000) && lessons.explain(600) && !lessons.explain(300));
        (0..100).for_each(|_| lessons.learn(100));
        assert!(lessons.0.len() == LESSONS && !lessons.explain(1000));
    }

    #[test]
    fn an_announced_length_is_asked_for_twice_again_where_most_is_missing_and_is_proved_then() {
        let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
        let mut judge = |covered, lessons: &mut Lessons| {
            doubt.judge(&ended(700, covered, 6006, true), Duration::ZERO, PATIENCE, lessons)
        };
        assert_eq!(judge(3100, &mut lessons), Verdict::Proved, "more than half is there");
        for verdict in [Verdict::Doubted, Verdict::Doubted, Verdict::Proved] {
            assert_eq!(judge(2000, &mut lessons), verdict);
        }
        let other = ended(800, 2100, 6006, true);
        assert_eq!(Doubt::default().judge(&other, Duration::ZERO, PATIENCE, &mut lessons), Verdict::Proved, "learned");
    }

    #[test]
    fn half_of_a_short_unit_is_as_little_as_half_of_a_long_one() {
        let judge = |covered, listed| {
            let few = ended(800, covered, listed, true);
            Doubt::default().judge(&few, Duration::ZERO, PATIENCE, &mut Lessons::default())
        };
        for (covered, listed) in [(0, 1000), (499, 1000), (100, 900), (0, 6006), (0, 101)] {
            assert_eq!(judge(covered, listed), Verdict::Doubted, "{covered} of {listed} ms");
        }
        let scrambled = ended(40_000, 0, 6006, true);
        let got = Doubt::default().judge(&scrambled, Duration::ZERO, PATIENCE, &mut Lessons::default());
        assert_eq!(got, Verdict::Proved, "nobody can tell");
        // A last segment of half a second, rounded to a whole one, and a rest of two frames.
        for (covered, listed) in [(500, 1000), (500, 900), (0, 100)] {
            assert_eq!(judge(covered, listed), Verdict::Proved, "{covered} of {listed} ms");
        }
    }

    #[test]
    fn a_stream_that_grows_has_no_time_for_doubts_and_one_whose_list_was_wrong_before_is_doubted_for_a_moment() {
        let mut lessons = Lessons::default();
        let mut judge = |covered, grows, at: u64| {
            let ended = Ended { grows, ..ended(covered, covered, 6000, false) };
            let mut doubt = Doubt::default();
            let [_, _, last] =
                [0, 1, at].map(|secs| doubt.judge(&ended, Duration::from_secs(secs), PATIENCE, &mut lessons));
            last
        };
        assert_eq!(judge(5000, false, 8), Verdict::Doubted);
        assert_eq!(judge(5000, true, 5), Verdict::Believed);
        assert_eq!(judge(3000, false, 1), Verdict::Doubted, "far more is missing");
        assert_eq!(judge(3000, false, 2), Verdict::Believed);
    }

    #[test]
    fn an_upload_that_goes_on_is_not_waited_for_for_ever_and_teaches_nothing() {
        let (mut doubt, mut lessons) = (Doubt::default(), Lessons::default());
        let mut judge = |len| doubt.judge(&ended(len, 2000, 6006, true), Duration::ZERO, PATIENCE, &mut lessons);
        assert_eq!([judge(1), judge(2), judge(3)], [Verdict::Doubted, Verdict::Doubted, Verdict::Proved]);
        assert!(lessons.0.is_empty());
    }

    #[test]
    fn what_one_variant_teaches_holds_for_all_and_for_no_rendition_or_other_session() {
        let (memory, other) = (Memory::default(), Memory::default());
        let short = ended(700, 3000, 6006, false);
        let judge = |memory: &Memory, media, doubt: &mut Doubt, at| {
            memory.judge(media, doubt, &short, Duration::from_secs(at), PATIENCE)
        };
        let mut doubt = Doubt::default();
        let first = [0, 8, 16].map(|at| judge(&memory, MediaId::Variant(VariantId(0)), &mut doubt, at));
        assert_eq!(first, [Verdict::Doubted, Verdict::Doubted, Verdict::Believed]);
        let fresh = |memory, media| judge(memory, media, &mut Doubt::default(), 17);
        assert_eq!(fresh(&memory, MediaId::Variant(VariantId(1))), Verdict::Believed);
        assert_eq!(fresh(&memory, MediaId::Rendition(RenditionId(0))), Verdict::Doubted);
        assert_eq!(fresh(&other, MediaId::Variant(VariantId(0))), Verdict::Doubted);
    }
}
