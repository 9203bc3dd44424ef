//! A file of boxes is whole when its last box is, and when all bytes that its fragments point to are there. It is in order up to the
//! place where a box should begin and none does.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Incomplete, IncompleteKind, SegmentCheck, Stray, time_of};
use crate::bmff::fragment::{DataBase, Fragment, TrackFragment};
use crate::bmff::movie::Movie;
use crate::bmff::{BoxHeader, FourCc, MAX_HEADER_LEN, ReadHeader};

/// A `moov` larger than this is not looked into: those of initialization sections have a few hundred bytes.
const MAX_MOOV: u64 = 256 << 10;

/// Boxes at the top whose 32 bits of size say more than this are none, but for those of media: text has letters there.
const MAX_BOX: u64 = 0x0900_0000;

/// Tracks of fragments that are counted; no unit has so many.
const MAX_TRACKS: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct BmffCheck {
    state: State,
    /// Bytes of the unit before the current state's box.
    box_start: u64,
    /// The place up to which samples reach, as told by the fragments seen.
    reach: u64,
    /// A file type or an index was seen, which announces media or a movie header.
    announces: bool,
    /// Media or a movie header was seen.
    has_content: bool,
    /// A fragment was seen.
    has_fragment: bool,
    stray: Option<Stray>,
    /// A movie header was seen, and what it says of the clocks of its tracks.
    has_movie: bool,
    clocks: Option<Clocks>,
    /// How much time the fragments have, by track.
    tracks: Vec<Passed>,
    /// There was a fragment that could not be looked into.
    is_blind: bool,
}

/// How fast the clocks of the tracks of an fMP4 stream go: it makes time of the durations that its fragments state. A movie header
/// says it, and that stands in the initialization section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    tracks: Vec<TrackClock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TrackClock {
    id: u32,
    timescale: NonZeroU32,
    /// How long samples last that do not say.
    default: Option<u32>,
}

/// What passed of a track.
#[derive(Clone, Copy, Debug)]
struct Passed {
    id: u32,
    /// The time of the first fragment that says one, and of the last, with what that one has.
    first: Option<u64>,
    last: Option<(u64, Ticks)>,
    all: Ticks,
}

/// Time in ticks of a track, as far as that can be said without its header.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    stated: u64,
    /// Samples that last as long as the header says.
    defaulted: u64,
}

#[derive(Clone, Debug)]
enum State {
    /// Collecting the header of the next box.
    Header { bytes: [u8; MAX_HEADER_LEN], len: usize },
    /// Passing over payload: this many bytes are left.
    Skip { left: u64, box_len: u64 },
    /// Collecting the payload of a `moof` or `moov`: this many bytes are left.
    Collect { payload: BytesMut, left: u64, box_len: u64, kind: FourCc },
    /// In a box that reaches to the end of the unit.
    ToTheEnd,
    /// Behind something that is no box.
    Lost,
}

impl Default for BmffCheck {
    fn default() -> Self {
        Self {
            state: State::HEADER,
            box_start: 0,
            reach: 0,
            announces: false,
            has_content: false,
            has_fragment: false,
            stray: None,
            has_movie: false,
            clocks: None,
            tracks: Vec::new(),
            is_blind: false,
        }
    }
}

impl State {
    const HEADER: Self = Self::Header { bytes: [0; MAX_HEADER_LEN], len: 0 };
}

impl BmffCheck {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::ToTheEnd | State::Lost => return,
                State::Header { bytes: head, len } => {
                    head[*len] = bytes[0];
                    *len += 1;
                    1
                }
                State::Skip { left, .. } => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= used as u64;
                    used
                }
                State::Collect { payload, left, .. } => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    payload.extend_from_slice(&bytes[..used]);
                    *left -= used as u64;
                    used
                }
            };
            bytes = &bytes[used..];
            self.advance();
        }
    }

    pub(super) fn finish(&self, got: u64) -> Result<(), Incomplete> {
        let incomplete = |kind, expected| Err(Incomplete { kind, expected, got });
        match &self.state {
            State::Header { len: 1.., .. } => {
                return incomplete(IncompleteKind::Box, self.box_start.saturating_add(8));
            }
            State::Skip { box_len, .. } | State::Collect { box_len, .. } => {
                return incomplete(IncompleteKind::Box, self.box_start.saturating_add(*box_len));
            }
            State::Lost if self.box_start == 0 => return incomplete(IncompleteKind::NoMedia, 8),
            State::Header { .. } | State::ToTheEnd | State::Lost => {}
        }
        if self.announces && !self.has_content && !matches!(self.state, State::Lost) {
            incomplete(IncompleteKind::Box, got.saturating_add(8))
        } else if self.reach > got {
            incomplete(IncompleteKind::Samples, self.reach)
        } else {
            Ok(())
        }
    }

    /// Boxes up to here are in order, as far as that can be told of `got` bytes.
    pub(super) fn sure(&self, got: u64) -> u64 {
        let sure = match &self.state {
            State::Header { .. } | State::Lost => self.box_start,
            State::Skip { .. } | State::Collect { .. } | State::ToTheEnd => got,
        };
        self.stray.map_or(sure, |stray| sure.min(stray.at))
    }

    pub(super) const fn stray(&self) -> Option<Stray> {
        self.stray
    }

    /// Bytes of the box that is not all there.
    pub(super) const fn open(&self, got: u64) -> u64 {
        match &self.state {
            State::Header { .. } | State::Lost => 0,
            State::Skip { .. } | State::Collect { .. } | State::ToTheEnd => got.saturating_sub(self.box_start),
        }
    }

    pub(super) const fn has_movie(&self) -> bool {
        self.has_movie
    }

    pub(super) const fn has_fragment(&self) -> bool {
        self.has_fragment
    }

    /// What a movie header said of the clocks of its tracks, once one has passed.
    pub(super) const fn clocks(&self) -> Option<&Clocks> {
        self.clocks.as_ref()
    }

    /// The time of the track that has most, by the durations of its samples or by the times of its fragments, whichever is more.
    /// Nothing where no fragment passed; `None` where the clocks are not known, and for files that are not made of fragments.
    pub(super) fn covered(&self, clocks: Option<&Clocks>) -> Option<Duration> {
        if self.is_blind || matches!(self.state, State::Lost) {
            return None;
        }
        let clocks = if self.has_movie { self.clocks.as_ref()? } else { clocks? };
        if clocks.tracks.is_empty() {
            return None;
        }
        if self.tracks.is_empty() {
            return (!self.has_movie).then_some(Duration::ZERO);
        }
        let mut most = None;
        for clock in &clocks.tracks {
            if let Some(passed) = self.tracks.iter().find(|passed| passed.id == clock.id) {
                most = most.max(Some(passed.time(clock)?));
            }
        }
        most
    }

    /// Leaves the state if it has all its bytes.
    fn advance(&mut self) {
        match &mut self.state {
            State::Header { bytes, len } => match BoxHeader::read(&bytes[..*len]) {
                ReadHeader::NeedMore(_) => {}
                ReadHeader::Malformed => {
                    let byte = bytes[0];
                    self.strays(byte);
                    self.state = State::Lost;
                }
                ReadHeader::Header(header) => {
                    let byte = bytes[0];
                    if !is_plausible(&header) {
                        self.strays(byte);
                    }
                    self.enter(header);
                }
            },
            State::Skip { left: 0, box_len } => {
                let box_len = *box_len;
                self.leave_box(box_len);
            }
            State::Collect { payload, left: 0, box_len, kind } => {
                let (box_len, is_movie) = (*box_len, kind == b"moov");
                let payload = std::mem::take(payload).freeze();
                if is_movie {
                    self.clocks = Some(Clocks::of(&Movie::parse(&payload)));
                } else {
                    self.fragment(&payload, self.box_start + box_len);
                }
                self.leave_box(box_len);
            }
            State::Skip { .. } | State::Collect { .. } | State::ToTheEnd | State::Lost => {}
        }
    }

    fn strays(&mut self, byte: u8) {
        self.stray.get_or_insert(Stray { at: self.box_start, byte });
    }

    fn enter(&mut self, header: BoxHeader) {
        match &header.kind {
            b"ftyp" => self.announces = true,
            // Alone it is an index fetched as one.
            b"sidx" => self.announces |= self.box_start > 0,
            b"moov" | b"moof" | b"mdat" => self.has_content = true,
            _ => {}
        }
        self.has_movie |= header.kind == *b"moov";
        self.has_fragment |= header.kind == *b"moof";
        let Some(box_len) = header.len else {
            self.state = State::ToTheEnd;
            return;
        };
        let left = box_len - header.header_len as u64;
        let is_read = match &header.kind {
            b"moof" => left <= SegmentCheck::MAX_MOOF as u64,
            b"moov" => left <= MAX_MOOV,
            _ => false,
        };
        self.is_blind |= header.kind == *b"moof" && !is_read;
        self.state = if is_read {
            State::Collect { payload: BytesMut::new(), left, box_len, kind: header.kind }
        } else {
            State::Skip { left, box_len }
        };
        // A box may have no payload at all.
        if left == 0 {
            self.advance();
        }
    }

    fn leave_box(&mut self, len: u64) {
        self.box_start = self.box_start.saturating_add(len);
        self.state = State::HEADER;
    }

    /// Notes how far the samples of a fragment reach that ends at `moof_end`.
    fn fragment(&mut self, payload: &Bytes, moof_end: u64) {
        // A damaged fragment is the demuxer's business.
        let Some(fragment) = Fragment::parse(payload) else {
            self.is_blind = true;
            return;
        };
        let mut previous_end = None;
        for track in &fragment.tracks {
            self.note_time(track);
            let base = match track.base {
                DataBase::Moof => Some(self.box_start),
                DataBase::Previous => Some(previous_end.unwrap_or(self.box_start)),
                // The file these places count in may have been larger than this unit.
                DataBase::File(_) => None,
            };
            let mut at = None;
            for run in track.runs.iter().filter(|run| !run.is_empty()) {
                // Sizes may be left to the `trex` of an init section that is not seen here; then at least an `mdat` header must follow.
                let len = run.data_len(track.defaults.size).unwrap_or(0);
                let start = match (base, run.data_offset, at) {
                    (Some(base), Some(offset), _) => base.checked_add_signed(i64::from(offset)),
                    (_, None, Some(at)) => Some(at),
                    _ => None,
                };
                // Without an offset the data begins in the `mdat` that follows.
                let end = start.unwrap_or(at.unwrap_or(moof_end + 8)).saturating_add(len);
                at = Some(end);
                self.reach = self.reach.max(end);
            }
            previous_end = at.or(previous_end);
        }
    }

    fn note_time(&mut self, track: &TrackFragment) {
        let known = self.tracks.iter().position(|passed| passed.id == track.track_id);
        let index = match known {
            Some(index) => index,
            None if self.tracks.len() == MAX_TRACKS => return,
            None => {
                self.tracks.push(Passed { id: track.track_id, first: None, last: None, all: Ticks::default() });
                self.tracks.len() - 1
            }
        };
        if let Some(passed) = self.tracks.get_mut(index) {
            passed.add(track.decode_time, Ticks::of(track));
        }
    }
}

/// Whether a box at the top may have such a header: kinds are made of letters, and all but media is small where it is not said at length.
fn is_plausible(header: &BoxHeader) -> bool {
    let is_small =
        header.header_len == MAX_HEADER_LEN || header.len.is_none_or(|len| len < MAX_BOX) || header.kind == *b"mdat";
    is_small && header.kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9))
}

impl Clocks {
    /// Those of sound and pictures, which fill all of a unit. Text and metadata may be sparse.
    fn of(movie: &Movie) -> Self {
        let media = movie.tracks.iter().filter(|track| matches!(&track.handler, b"soun" | b"vide"));
        let tracks = media.map(|track| TrackClock {
            id: track.id,
            timescale: track.timescale,
            default: track.defaults.duration.filter(|default| *default > 0),
        });
        Self { tracks: tracks.collect() }
    }
}

impl Passed {
    fn add(&mut self, time: Option<u64>, ticks: Ticks) {
        self.all = self.all.and(ticks);
        if let Some(time) = time {
            self.first.get_or_insert(time);
            self.last = Some((time, ticks));
        }
    }

    /// `None` where samples do not say how long they last, and the header does not, either.
    fn time(&self, clock: &TrackClock) -> Option<Duration> {
        let sum = self.all.count(clock.default)?;
        // Between fragments there may be gaps, which are part of the unit.
        let span = match (self.first, self.last) {
            (Some(first), Some((time, ticks))) => {
                time.saturating_add(ticks.count(clock.default)?).saturating_sub(first)
            }
            _ => 0,
        };
        Some(time_of(sum.max(span), clock.timescale.get()))
    }
}

impl Ticks {
    fn of(track: &TrackFragment) -> Self {
        let mut sum = Self::default();
        for run in &track.runs {
            let default = track.defaults.duration;
            sum = sum.and(match default {
                None if !run.states_durations() => Self { stated: 0, defaulted: u64::from(run.count()) },
                _ => Self { stated: run.duration(default.unwrap_or(0)), defaulted: 0 },
            });
        }
        sum
    }

    const fn and(self, other: Self) -> Self {
        Self {
            stated: self.stated.saturating_add(other.stated),
            defaulted: self.defaulted.saturating_add(other.defaulted),
        }
    }

    fn count(self, default: Option<u32>) -> Option<u64> {
        match self.defaulted {
            0 => Some(self.stated),
            samples => Some(self.stated.saturating_add(samples.saturating_mul(u64::from(default?)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmff::fragment::tests::traf;
    use crate::bmff::movie::tests::{aac_trak, moov, trak};
    use crate::bmff::tests::{mp4_box, mp4_full_box};

    #[track_caller]
    fn check(unit: &[u8], want: Result<(), IncompleteKind>) {
        for portion in [1, 13, usize::MAX] {
            let mut check = BmffCheck::default();
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            let got = check.finish(unit.len() as u64);
            assert_eq!(got.map_err(|incomplete| incomplete.kind), want, "in portions of {portion}, {got:?}");
        }
    }

    /// A `moof` whose samples have `sizes`, placed behind the header of an `mdat` that follows.
    fn moof(sizes: &[u32]) -> Vec<u8> {
        let len = mp4_box(b"moof", &[&traf(1, 0, 0, sizes)]).len();
        mp4_box(b"moof", &[&traf(1, 0, len as i32 + 8, sizes)])
    }

    #[test]
    fn whole_files_pass() {
        let styp = mp4_box(b"styp", &[b"msdh\0\0\0\0msdhmsix"]);
        let mdat = mp4_box(b"mdat", &[&[7; 30]]);
        check(&styp, Ok(()));
        check(&mp4_box(b"free", &[]), Ok(()));
        check(&[styp, moof(&[10, 20]), mdat.clone(), moof(&[30]), mdat].concat(), Ok(()));
        check(&moof(&[]), Ok(()));
    }

    #[test]
    fn open_and_large_boxes_pass() {
        let open = b"\0\0\0\0mdat123456789".to_vec();
        check(&[moof(&[9]), open.clone()].concat(), Ok(()));
        check(&[moof(&[10]), open].concat(), Err(IncompleteKind::Samples));
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12ab", Ok(()));
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12a", Err(IncompleteKind::Box));
    }

    #[test]
    fn a_cut_is_noticed_at_every_byte_also_between_moof_and_mdat() {
        let head = moof(&[10, 20]);
        let unit = [&head[..], &mp4_box(b"mdat", &[&[7; 30]])].concat();
        for len in 1..unit.len() {
            let want = if len == head.len() { IncompleteKind::Samples } else { IncompleteKind::Box };
            check(&unit[..len], Err(want));
        }
        check(&unit, Ok(()));
    }

    #[test]
    fn a_second_run_lies_behind_the_first() {
        let run = |offset: &[u8], flags| {
            mp4_full_box(b"trun", 0, flags, &[&1_u32.to_be_bytes(), offset, &10_u32.to_be_bytes()])
        };
        let tfhd = mp4_full_box(b"tfhd", 0, 0, &[&1_u32.to_be_bytes()]);
        let build = |offset: i32| {
            mp4_box(b"moof", &[&mp4_box(b"traf", &[&tfhd, &run(&offset.to_be_bytes(), 0x201), &run(&[], 0x200)])])
        };
        let head = build(build(0).len() as i32 + 8);
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 20]])].concat(), Ok(()));
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 19]])].concat(), Err(IncompleteKind::Samples));
    }

    #[test]
    fn sizes_left_to_the_init_section_still_demand_an_mdat() {
        let trun = mp4_full_box(b"trun", 0, 0, &[&5_u32.to_be_bytes()]);
        let head = mp4_box(
            b"moof",
            &[&mp4_box(b"traf", &[&mp4_full_box(b"tfhd", 0, 0x2_0000, &[&1_u32.to_be_bytes()]), &trun])],
        );
        check(&head, Err(IncompleteKind::Samples));
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 50]])].concat(), Ok(()));
    }

    #[test]
    fn what_announces_media_is_cut_without_it_but_a_segment_type_alone_is_an_empty_segment() {
        let kind = |kind| mp4_box(kind, &[b"iso6\0\0\0\0iso6"]);
        check(&kind(b"ftyp"), Err(IncompleteKind::Box));
        check(&kind(b"styp"), Ok(()));
        check(&kind(b"sidx"), Ok(()));
        check(&[kind(b"styp"), kind(b"sidx")].concat(), Err(IncompleteKind::Box));
        check(&[mp4_box(b"moov", &[]), kind(b"sidx")].concat(), Ok(()));
        check(&[kind(b"ftyp"), mp4_box(b"moov", &[])].concat(), Ok(()));
    }

    /// A `moof` with one fragment: the values of its `tfdt` and its `tfhd`, and as many samples as `durations` has, which state
    /// theirs, or as `count` says.
    fn timed(id: u32, time: Option<u64>, default: Option<u32>, durations: &[u32], count: u32) -> Vec<u8> {
        let header = match default {
            Some(default) => mp4_full_box(b"tfhd", 0, 0x2_0008, &[&id.to_be_bytes(), &default.to_be_bytes()]),
            None => mp4_full_box(b"tfhd", 0, 0x2_0000, &[&id.to_be_bytes()]),
        };
        let time = time.map_or(Vec::new(), |time| mp4_full_box(b"tfdt", 1, 0, &[&time.to_be_bytes()]));
        let stated: Vec<u8> = durations.iter().flat_map(|duration| duration.to_be_bytes()).collect();
        let (fields, count) = if durations.is_empty() { (0, count) } else { (0x100, durations.len() as u32) };
        let run = mp4_full_box(b"trun", 0, fields, &[&count.to_be_bytes(), &stated]);
        mp4_box(b"moof", &[&mp4_box(b"traf", &[&header, &time, &run])])
    }

    fn trex(id: u32, duration: u32) -> Vec<u8> {
        let fields = [id, 1, duration, 0, 0].map(u32::to_be_bytes).concat();
        mp4_box(b"mvex", &[&mp4_full_box(b"trex", 0, 0, &[&fields])])
    }

    fn pass(unit: &[u8], portion: usize) -> BmffCheck {
        let mut check = BmffCheck::default();
        unit.chunks(portion.min(unit.len().max(1))).for_each(|chunk| check.push(chunk));
        check
    }

    #[track_caller]
    fn covers(init: &[u8], unit: &[u8], millis: Option<u64>) {
        for portion in [1, 13, usize::MAX] {
            let init = pass(init, portion);
            let covered = pass(unit, portion).covered(init.clocks());
            assert_eq!(covered, millis.map(Duration::from_millis), "in portions of {portion}");
        }
    }

    #[test]
    fn durations_of_samples_tell_how_much_time_a_unit_has() {
        let init = moov(&[&aac_trak(1, &[]), &trex(1, 480)]);
        let mdat = mp4_box(b"mdat", &[&[7; 30]]);
        covers(&init, &timed(1, None, None, &[24_000, 12_000], 0), Some(750));
        covers(&init, &timed(1, None, Some(4800), &[], 5), Some(500));
        covers(&init, &timed(1, None, None, &[], 50), Some(500));
        let fragments = [timed(1, Some(0), Some(4800), &[], 5), mdat.clone(), timed(1, Some(24_000), None, &[480], 0)];
        covers(&init, &fragments.concat(), Some(510));
        covers(&init, &fragments[..2].concat(), Some(500));
        covers(&[], &[init, timed(1, None, None, &[], 50), mdat].concat(), Some(500));
    }

    #[test]
    fn gaps_between_fragments_are_part_of_a_unit_and_times_that_go_back_are_not_believed() {
        let init = moov(&[&aac_trak(1, &[])]);
        let at = |time: u64| timed(1, Some(time), Some(4800), &[], 5);
        covers(&init, &[at(48_000), at(96_000)].concat(), Some(1500));
        covers(&init, &[at(96_000), at(48_000)].concat(), Some(1000));
        covers(&init, &[at(u64::MAX), at(u64::MAX)].concat(), Some(1000));
    }

    #[test]
    fn the_track_of_sound_or_pictures_that_has_most_counts() {
        let sound = trak(2, 48_000, b"soun", &[], &[]);
        let init = moov(&[&trak(1, 1000, b"vide", &[], &[]), &sound, &trak(3, 1, b"meta", &[], &[])]);
        let unit =
            [timed(3, None, None, &[60], 0), timed(1, None, None, &[900], 0), timed(2, None, None, &[48_000], 0)];
        covers(&init, &unit.concat(), Some(1000));
        covers(&init, &unit[..2].concat(), Some(900));
        covers(&init, &unit[0], None);
        covers(&moov(&[&trak(3, 1, b"meta", &[], &[])]), &unit[0], None);
    }

    #[test]
    fn a_unit_tells_nothing_of_time_where_clocks_are_not_known() {
        let init = moov(&[&aac_trak(1, &[])]);
        let unit = timed(1, None, None, &[], 50);
        covers(&init, &unit, None);
        covers(&[], &timed(1, None, None, &[480], 0), None);
        covers(&init, &[&timed(1, None, None, &[480], 0)[..], b"\0\0\0\x02oops"].concat(), None);
        covers(&init, &mp4_box(b"moof", &[&mp4_box(b"traf", &[])]), None);
        // A file without fragments.
        covers(&[], &[&init[..], &mp4_box(b"mdat", &[&[7; 30]])].concat(), None);
    }

    #[test]
    fn what_comes_in_front_of_the_first_fragment_takes_no_time() {
        let init = moov(&[&aac_trak(1, &[])]);
        covers(&init, &mp4_box(b"styp", &[b"msdh\0\0\0\0msdhmsix"]), Some(0));
        covers(&init, &timed(1, Some(9), Some(480), &[], 0), Some(0));
    }

    #[track_caller]
    fn strays(unit: &[u8], want: Option<(usize, u8)>, sure: usize) {
        for portion in [1, 13, usize::MAX] {
            let check = pass(unit, portion);
            let got = check.stray().map(|stray| (stray.at as usize, stray.byte));
            assert_eq!((got, check.sure(unit.len() as u64) as usize), (want, sure), "in portions of {portion}");
        }
    }

    #[test]
    fn boxes_are_in_order_up_to_the_place_where_none_begins() {
        let whole = [moof(&[3000]), mp4_box(b"mdat", &[&[7; 3000]])].concat();
        let len = whole.len();
        strays(&whole, None, len);
        strays(&whole[..len - 1], None, len - 1);
        let open = |len: usize| pass(&whole[..len], 7).open(len as u64);
        assert_eq!([open(len), open(len - 1), open(len - 3008), open(len - 3000)], [0, 3007, 0, 8]);
        strays(&[&whole[..], b"\0\0\0\x0aanew"].concat(), None, len + 8);
        for junk in
            [&[0; 50][..], &[0xFF; 50], b"<html>no box</html>", b"\0\0\0\x02oops", b"\0\0\0\x09\x01\x02\x03\x04."]
        {
            strays(&[&whole[..], junk, &whole].concat(), Some((len, junk[0])), len);
        }
    }

    #[test]
    fn what_is_no_box_is_no_media() {
        check(b"<html>not a box at all</html>", Err(IncompleteKind::Box));
        check(b"\0\0\0\x02oops", Err(IncompleteKind::NoMedia));
    }
}
