//! A segment that is put together from its parts while it is being made (RFC 8216bis section 3.2).
//!
//! It stays one unit: its parts are sources of its bytes, appended in order. What to do next follows from what the
//! playlist lists of it now and from what was ordered before.

use std::{collections::VecDeque, time::Duration};

use super::ids::FetchId;
use crate::{
    key::{Protection, protection},
    playlist::{ByteRange, Key, Part},
    reload::rest_of_way,
    time::Tick,
};

/// Parts of one segment under way side by side.
const SIDE_BY_SIDE: usize = 3;

/// The wait before a part is fetched again, doubled each time.
const REST: Duration = Duration::from_millis(100);

/// The longest wait before a part is fetched again.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// A part is fetched again this often before something else is tried for its segment.
pub(super) const TRIES: u32 = 4;

/// A segment of which some parts are there and some under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assembly {
    pub(super) began: Tick,
    /// Parts that are there, counted from the first, and the media in them.
    there: usize,
    arrived: Duration,
    /// Parts ordered behind those.
    ordered: VecDeque<Ordered>,
    /// The order to end the segment, once all its parts are there.
    closing: Option<FetchId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Ordered {
    state: PartState,
    failures: u32,
    /// Whether it was asked for before it was announced.
    ahead: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PartState {
    /// Under way; bytes of it moved last then.
    UnderWay { fetch: FetchId, moved: Tick },
    /// To be fetched again, then.
    Resting { until: Tick },
    /// There, in front of one that is not.
    There { duration: Duration },
}

/// What to do next for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Fetch this part.
    Fetch(usize),
    /// Nothing of this fetch moved for too long: begin it anew.
    Renew(FetchId),
    /// All parts are there and none will be added: the segment ends here.
    Close,
    /// Parts that are missing are not listed any more: fetch the segment by its own URI.
    Whole,
    /// The next part is declared not to be there.
    Lost,
}

/// What a playlist says now of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    pub(super) parts: &'a [Part],
    /// Whether no part will be added.
    pub(super) closed: bool,
    /// How long a part may be silent.
    pub(super) patience: Duration,
}

impl Assembly {
    pub(super) fn new(now: Tick) -> Self {
        Self { began: now, there: 0, arrived: Duration::ZERO, ordered: VecDeque::new(), closing: None }
    }

    /// Media of the parts that are there.
    pub(super) fn arrived(&self) -> Duration {
        self.arrived
    }

    /// How many parts are there or ordered.
    pub(super) fn known(&self) -> usize {
        self.there + self.ordered.len()
    }

    /// The next step, until there is none.
    pub(super) fn next(&self, now: Tick, listed: Listed<'_>) -> Option<Step> {
        if self.closing.is_some() {
            return None;
        }
        let Listed { parts, closed, patience } = listed;
        if parts.len() < self.known() || (closed && parts.is_empty()) {
            return closed.then_some(Step::Whole);
        }
        for (idx, part) in self.ordered.iter().enumerate() {
            match part.state {
                PartState::Resting { until } if until <= now => return Some(Step::Fetch(self.there + idx)),
                // The others may have to wait until those before them are there.
                PartState::UnderWay { fetch, moved } if idx == 0 && now >= part.silent_until(moved, patience) => {
                    return Some(Step::Renew(fetch));
                }
                PartState::Resting { .. } | PartState::UnderWay { .. } | PartState::There { .. } => {}
            }
        }
        match parts.get(self.known()) {
            Some(next) if next.gap => self.ordered.is_empty().then_some(Step::Lost),
            Some(_) => (self.under_way() < SIDE_BY_SIDE).then_some(Step::Fetch(self.known())),
            None => (closed && self.ordered.is_empty()).then_some(Step::Close),
        }
    }

    /// When the next step may be due although nothing happens.
    pub(super) fn next_wake(&self, patience: Duration) -> Option<Tick> {
        let due = |(idx, part): (usize, &Ordered)| match part.state {
            PartState::Resting { until } => Some(until),
            PartState::UnderWay { moved, .. } => (idx == 0).then(|| part.silent_until(moved, patience)),
            PartState::There { .. } => None,
        };
        self.ordered.iter().enumerate().filter_map(due).min()
    }

    /// Part `part` was ordered: of what was asked for `ahead` of its announcement, or now.
    pub(super) fn ordered(&mut self, part: usize, fetch: FetchId, ahead: bool, now: Tick) {
        let state = PartState::UnderWay { fetch, moved: now };
        match part.checked_sub(self.there).and_then(|idx| self.ordered.get_mut(idx)) {
            Some(known) => (known.state, known.ahead) = (state, ahead),
            None => self.ordered.push_back(Ordered { state, failures: 0, ahead }),
        }
    }

    /// Bytes of a part arrived.
    pub(super) fn moved(&mut self, fetch: FetchId, now: Tick) {
        if let Some((_, part)) = self.find(fetch) {
            part.state = PartState::UnderWay { fetch, moved: now };
        }
    }

    /// A part is there: it is the turn of the one behind it.
    pub(super) fn delivered(&mut self, fetch: FetchId, parts: &[Part], now: Tick) {
        let there = self.there;
        let Some((idx, part)) = self.find(fetch) else { return };
        part.state = PartState::There { duration: parts.get(there + idx).map_or(Duration::ZERO, |part| part.duration) };
        while let Some(Ordered { state: PartState::There { duration }, .. }) = self.ordered.front() {
            self.arrived = self.arrived.saturating_add(*duration);
            self.there += 1;
            self.ordered.pop_front();
        }
        if self.there > there
            && let Some(Ordered { state: PartState::UnderWay { moved, .. }, .. }) = self.ordered.front_mut()
        {
            *moved = now;
        }
    }

    /// A part could not be had, or not in time: it is fetched again after a wait. Answers how often it failed.
    pub(super) fn failed(&mut self, fetch: FetchId, now: Tick, at_least: Duration) -> u32 {
        let Some((_, part)) = self.find(fetch) else { return 0 };
        let wait = REST.saturating_mul(1 << part.failures.min(8)).min(LONGEST_REST).max(at_least);
        part.failures += 1;
        part.state = PartState::Resting { until: now + wait };
        part.failures
    }

    /// A part is silent: it is fetched again at once.
    pub(super) fn renew(&mut self, fetch: FetchId, now: Tick) {
        if let Some((_, part)) = self.find(fetch) {
            part.failures += 1;
            part.state = PartState::Resting { until: now };
        }
    }

    /// Whether the part whose turn it is is under way, and not silent for too long.
    pub(super) fn is_coming(&self, now: Tick, patience: Duration) -> bool {
        self.ordered.front().is_some_and(|part| match part.state {
            PartState::UnderWay { moved, .. } => now < part.silent_until(moved, patience),
            PartState::Resting { .. } | PartState::There { .. } => false,
        })
    }

    /// Gives up the parts that are not there; those under way are to be cancelled.
    pub(super) fn drop_ordered(&mut self) -> Vec<FetchId> {
        let under_way = |part: Ordered| match part.state {
            PartState::UnderWay { fetch, .. } => Some(fetch),
            PartState::Resting { .. } | PartState::There { .. } => None,
        };
        self.ordered.drain(..).filter_map(under_way).collect()
    }

    /// Whether its end was ordered.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Its end was ordered.
    pub(super) fn closing(&mut self, fetch: FetchId) {
        self.closing = Some(fetch);
    }

    fn find(&mut self, fetch: FetchId) -> Option<(usize, &mut Ordered)> {
        let is_it = |part: &Ordered| matches!(part.state, PartState::UnderWay { fetch: it, .. } if it == fetch);
        self.ordered.iter_mut().enumerate().find(|(_, part)| is_it(part))
    }

    fn under_way(&self) -> usize {
        self.ordered.iter().filter(|part| matches!(part.state, PartState::UnderWay { .. })).count()
    }
}

impl Ordered {
    /// A part that had to be begun anew more than once is given more time: the link may be slower than was thought. One loss
    /// alone says nothing of it. One that was asked for ahead comes with its announcement, which is here.
    fn silent_until(&self, moved: Tick, patience: Duration) -> Tick {
        moved + if self.ahead { rest_of_way(patience) } else { patience.saturating_mul(self.failures.clamp(1, 8)) }
    }
}

/// Whether a segment can be read part by part: it is clear, or its parts are consecutive bytes of one resource.
///
/// AES-128 runs over the whole segment (section 6.2.3), and the draft does not say how parts with resources of their own
/// are encrypted, so these are not read before the segment is whole.
pub(super) fn readable(parts: &[Part], keys: &[Key]) -> bool {
    match protection(keys) {
        Protection::Clear => true,
        Protection::Unsupported => false,
        Protection::Aes128(_) => {
            let follows = |pair: &[Part]| {
                let end = pair[0].byte_range.map(ByteRange::end);
                pair[0].uri == pair[1].uri && end.is_some() && end == pair[1].byte_range.map(|range| range.start)
            };
            parts.iter().all(|part| part.byte_range.is_some()) && parts.windows(2).all(follows)
        }
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::playlist::{ParseOptions, Playlist, SharedList, parse};

    /// Parts as a playlist lists them, and the keys of their segment.
    fn listed(key: &str, parts: &[&str]) -> (SharedList<Part>, SharedList<Key>) {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=1\n{key}");
        for attributes in parts {
            text += &format!("#EXT-X-PART:DURATION=1,{attributes}\n");
        }
        let url = Url::parse("http://origin.test/live.m3u8").unwrap();
        match parse(text.as_bytes(), &url, &ParseOptions::default()).unwrap() {
            Playlist::Media(playlist) => {
                let segment = playlist.incomplete.expect("parts are listed");
                (segment.parts, segment.keys)
            }
            Playlist::Multivariant(_) => panic!("parts are listed"),
        }
    }

    fn parts(count: usize) -> SharedList<Part> {
        let names: Vec<String> = (0..count).map(|n| format!("URI=\"p{n}\"")).collect();
        listed("", &names.iter().map(String::as_str).collect::<Vec<_>>()).0
    }

    fn ms(millis: u64) -> Tick {
        Tick::from_millis(millis)
    }

    const PATIENCE: Duration = Duration::from_millis(500);

    fn open(parts: &[Part]) -> Listed<'_> {
        Listed { parts, closed: false, patience: PATIENCE }
    }

    fn closed(parts: &[Part]) -> Listed<'_> {
        Listed { parts, closed: true, patience: PATIENCE }
    }

    /// An assembly with these parts ordered at time zero, as fetches 0, 1, ...
    fn ordered(count: usize) -> Assembly {
        let mut assembly = Assembly::new(ms(0));
        (0..count).for_each(|part| assembly.ordered(part, FetchId(part as u64), false, ms(0)));
        assembly
    }

    #[test]
    fn a_part_that_waits_for_the_one_before_it_is_not_silent() {
        let two = parts(2);
        let mut assembly = ordered(2);
        assert_eq!(assembly.next(ms(500), open(&two)), Some(Step::Renew(FetchId(0))), "the first has no excuse");
        assembly.moved(FetchId(0), ms(499));
        assert_eq!(assembly.next(ms(998), open(&two)), None, "the second waits, whatever it has");
        assert_eq!(assembly.next_wake(PATIENCE), Some(ms(999)));
        assembly.delivered(FetchId(0), &two, ms(998));
        assert_eq!(assembly.next_wake(PATIENCE), Some(ms(1_498)), "its time begins with its turn");
        assert_eq!(assembly.next(ms(1_497), open(&two)), None);
        assert_eq!(assembly.next(ms(1_498), open(&two)), Some(Step::Renew(FetchId(1))));
    }

    #[test]
    fn parts_are_ordered_as_they_are_listed_and_at_most_three_side_by_side() {
        let four = parts(4);
        assert_eq!(ordered(0).next(ms(0), open(&four[..0])), None);
        assert_eq!(ordered(0).next(ms(0), open(&four)), Some(Step::Fetch(0)));
        assert_eq!(ordered(2).next(ms(0), open(&four)), Some(Step::Fetch(2)));
        assert_eq!(ordered(3).next(ms(0), open(&four)), None);
        let mut assembly = ordered(3);
        assembly.delivered(FetchId(1), &four, ms(0));
        assert_eq!(assembly.arrived(), Duration::ZERO, "the first one is not there");
        assert_eq!(assembly.next(ms(0), open(&four)), Some(Step::Fetch(3)));
        assembly.delivered(FetchId(0), &four, ms(0));
        assert_eq!(assembly.arrived(), Duration::from_secs(2));
    }

    #[test]
    fn a_segment_ends_when_all_its_parts_are_there_and_none_will_follow() {
        let two = parts(2);
        let mut assembly = ordered(2);
        assembly.delivered(FetchId(0), &two, ms(0));
        assert_eq!(assembly.next(ms(0), closed(&two)), None, "one is missing");
        assembly.delivered(FetchId(1), &two, ms(0));
        assert_eq!(assembly.next(ms(0), open(&two)), None, "another may follow");
        assert_eq!(assembly.next(ms(0), closed(&two)), Some(Step::Close));
        assembly.closing(FetchId(9));
        assert_eq!(assembly.next(ms(0), closed(&two)), None);
    }

    #[test]
    fn parts_that_are_missing_and_not_listed_any_more_are_taken_from_the_segment() {
        let two = parts(2);
        assert_eq!(ordered(2).next(ms(0), closed(&two[..0])), Some(Step::Whole));
        assert_eq!(ordered(0).next(ms(0), closed(&two[..0])), Some(Step::Whole));
        assert_eq!(ordered(2).next(ms(0), open(&two[..1])), None, "an older state of the playlist");
    }

    #[test]
    fn a_part_that_failed_is_fetched_again_after_a_wait_that_grows() {
        let two = parts(2);
        let mut assembly = ordered(2);
        assert_eq!(assembly.failed(FetchId(0), ms(50), Duration::ZERO), 1);
        assert_eq!(assembly.next(ms(149), open(&two)), None);
        assert_eq!(assembly.next_wake(PATIENCE), Some(ms(150)));
        assert_eq!(assembly.next(ms(150), open(&two)), Some(Step::Fetch(0)));
        assembly.ordered(0, FetchId(7), false, ms(150));
        assert_eq!(assembly.failed(FetchId(7), ms(200), Duration::ZERO), 2);
        assert_eq!(assembly.next(ms(399), open(&two)), None);
        assert_eq!(assembly.next(ms(400), open(&two)), Some(Step::Fetch(0)));
        assert_eq!(assembly.failed(FetchId(7), ms(400), Duration::ZERO), 0, "a late word");
    }

    #[test]
    fn a_part_that_is_silent_is_begun_anew_and_given_more_time_from_the_second_loss_on() {
        let one = parts(1);
        let mut assembly = ordered(1);
        assembly.moved(FetchId(0), ms(100));
        assert_eq!(assembly.next(ms(599), open(&one)), None);
        assert_eq!(assembly.next(ms(600), open(&one)), Some(Step::Renew(FetchId(0))));
        assembly.renew(FetchId(0), ms(600));
        assert_eq!(assembly.next(ms(600), open(&one)), Some(Step::Fetch(0)));
        assembly.ordered(0, FetchId(1), false, ms(600));
        assert_eq!(assembly.next(ms(1_099), open(&one)), None);
        assert_eq!(assembly.next(ms(1_100), open(&one)), Some(Step::Renew(FetchId(1))));
        assembly.renew(FetchId(1), ms(1_100));
        assembly.ordered(0, FetchId(2), false, ms(1_100));
        assert_eq!(assembly.next(ms(2_099), open(&one)), None, "twice the time");
        assert_eq!(assembly.next(ms(2_100), open(&one)), Some(Step::Renew(FetchId(2))));
    }

    #[test]
    fn a_part_that_was_asked_for_ahead_is_given_half_the_time() {
        let one = parts(1);
        let mut assembly = Assembly::new(ms(0));
        assembly.ordered(0, FetchId(0), true, ms(0));
        assert_eq!(assembly.next(ms(249), open(&one)), None);
        assert_eq!(assembly.next(ms(250), open(&one)), Some(Step::Renew(FetchId(0))));
        assembly.renew(FetchId(0), ms(250));
        assembly.ordered(0, FetchId(1), false, ms(250));
        assert_eq!(assembly.next(ms(749), open(&one)), None, "and all of it when it is asked for like any other");
        assert_eq!(assembly.next(ms(750), open(&one)), Some(Step::Renew(FetchId(1))));
    }

    #[test]
    fn a_part_that_is_declared_absent_ends_what_can_be_had() {
        let (gap, _) = listed("", &["URI=\"p0\"", "URI=\"p1\",GAP=YES"]);
        let mut assembly = ordered(1);
        assert_eq!(assembly.next(ms(0), open(&gap)), None, "what is before it still comes");
        assembly.delivered(FetchId(0), &gap, ms(0));
        assert_eq!(assembly.next(ms(0), open(&gap)), Some(Step::Lost));
    }

    #[track_caller]
    fn reads(key: &str, parts: &[&str], want: bool) {
        let (parts, keys) = listed(key, parts);
        assert_eq!(readable(&parts, &keys), want);
    }

    #[test]
    fn encrypted_parts_are_read_where_they_are_consecutive_bytes_of_one_resource() {
        const KEY: &str = "#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n";
        let ranges = ["URI=\"s\",BYTERANGE=\"10@0\"", "URI=\"s\",BYTERANGE=\"5@10\""];
        reads("", &["URI=\"p0\"", "URI=\"p1\""], true);
        reads(KEY, &ranges, true);
        reads(KEY, &["URI=\"p0\"", "URI=\"p1\""], false);
        reads(KEY, &["URI=\"s\",BYTERANGE=\"10@0\"", "URI=\"s\",BYTERANGE=\"5@11\""], false);
        reads("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"key\"\n", &ranges, false);
    }
}
