//! From boxes to samples.
//!
//! A `moof` is read whole and turned into a list of runs by the place of their data; the samples of the `mdat` that follows are cut off the
//! rope one by one, each as soon as its bytes are there.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use bytes::Bytes;

use super::event::{Event, EventTime};
use super::fragment::{DataBase, Fragment, TrackFragment};
use super::movie::Movie;
use super::samples::{Fetch, SampleRun};
use super::{BoxHeader, FourCc, MAX_HEADER_LEN, ReadHeader};
use crate::Timestamp;
use crate::clock::Clock;
use crate::demuxer::{DemuxOptions, Step};
use crate::error::{DemuxError, DemuxErrorKind};
use crate::output::{DamageKind, Output};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::track::{Track, TrackId};

/// Demuxes fragmented MP4.
#[derive(Debug)]
pub(crate) struct BmffDemux {
    clock: Clock,
    max_header_len: usize,
    max_packet_len: usize,
    /// Place of the rope's front in the unit.
    position: u64,
    place: Place,
    movie: Option<Movie>,
    /// What is known of each track of `movie` beyond its header, in the same order.
    progress: Vec<TrackProgress>,
    /// Runs whose data is still to come, by place.
    runs: VecDeque<SampleRun>,
    /// Events that wait to hear when the unit begins.
    events: Vec<Event>,
    /// Presentation time of the first sample of the unit.
    unit_start: Option<Timestamp>,
}

/// Where in the box structure the front of the rope is.
#[derive(Debug)]
enum Place {
    /// In front of a box.
    Header,
    /// In front of a box that is read whole.
    Whole(BoxHeader, usize),
    /// In a box that is passed over, up to this place.
    Skip(u64),
    /// In media data, up to this place.
    Media(u64),
}

/// Ticks of a second fine enough to compare times of different clocks.
const NANOSECONDS: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("a billion is not zero");

/// Runs of earlier fragments, and events, that may wait for what follows. Sane files have a handful.
const MAX_PENDING: usize = 1024;

/// How far a track has come.
#[derive(Clone, Copy, Debug)]
struct TrackProgress {
    /// Decode time behind the last sample of its last fragment, in its own clock.
    next: Option<i64>,
    /// Sample entry it is announced with.
    description: u32,
    /// Whether its samples are delivered.
    is_wanted: bool,
}

impl BmffDemux {
    pub(crate) fn new(clock: Clock, options: &DemuxOptions) -> Self {
        Self {
            clock,
            max_header_len: options.max_header_len,
            max_packet_len: options.max_packet_len,
            position: 0,
            place: Place::Header,
            movie: None,
            progress: Vec::new(),
            runs: VecDeque::new(),
            events: Vec::new(),
            unit_start: None,
        }
    }

    /// Takes a box, a sample, or bytes to pass over.
    pub(crate) fn step(&mut self, rope: &mut Rope, out: &mut Outputs) -> Result<Step, DemuxError> {
        match self.place {
            Place::Header => self.header(rope),
            Place::Whole(header, len) => match rope.take(len) {
                None => Ok(Step::Starved),
                Some(whole) => {
                    let start = self.position;
                    self.position += len as u64;
                    self.place = Place::Header;
                    self.whole(header.kind, &whole.slice(header.header_len..), start, out)?;
                    Ok(Step::Progress)
                }
            },
            Place::Skip(end) => Ok(self.skip_to(end, rope)),
            Place::Media(end) => Ok(self.media(end, rope, out)),
        }
    }

    pub(crate) fn end_unit(&mut self, rope: &mut Rope, out: &mut Outputs) {
        let in_open_box = matches!(self.place, Place::Skip(u64::MAX) | Place::Media(u64::MAX));
        let between_boxes = matches!(self.place, Place::Header) && rope.is_empty();
        if !self.runs.is_empty() || !(in_open_box || between_boxes) {
            out.damage(DamageKind::Cut, None, rope.len() as u64);
        }
        rope.clear();
        self.runs.clear();
        self.events.clear();
        self.unit_start = None;
        self.position = 0;
        self.place = Place::Header;
    }

    fn header(&mut self, rope: &mut Rope) -> Result<Step, DemuxError> {
        let (bytes, len) = rope.peek::<MAX_HEADER_LEN>();
        let header = match BoxHeader::read(&bytes[..len]) {
            ReadHeader::NeedMore(_) => return Ok(Step::Starved),
            ReadHeader::Malformed => return Err(DemuxError::new(DemuxErrorKind::Malformed)),
            ReadHeader::Header(header) => header,
        };
        let end = header.len.map_or(u64::MAX, |len| self.position.saturating_add(len));
        self.place = match &header.kind {
            b"moov" | b"moof" => {
                let len =
                    header.len.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= self.max_header_len);
                Place::Whole(header, len.ok_or(DemuxError::new(DemuxErrorKind::HeaderTooLarge))?)
            }
            b"emsg" => {
                match header.len.and_then(|len| usize::try_from(len).ok()).filter(|len| *len <= self.max_packet_len) {
                    Some(len) => Place::Whole(header, len),
                    None => Place::Skip(end),
                }
            }
            b"mdat" => {
                rope.skip(header.header_len);
                self.position += header.header_len as u64;
                Place::Media(end)
            }
            _ => Place::Skip(end),
        };
        Ok(Step::Progress)
    }

    /// Leaves the box that ends at `end`.
    fn skip_to(&mut self, end: u64, rope: &mut Rope) -> Step {
        if self.pass_to(end, rope) < end {
            return Step::Starved;
        }
        self.place = Place::Header;
        Step::Progress
    }

    /// Passes over bytes up to a place, as far as they are there, and says how far that is.
    fn pass_to(&mut self, place: u64, rope: &mut Rope) -> u64 {
        let left = usize::try_from(place.saturating_sub(self.position)).unwrap_or(usize::MAX);
        self.position += rope.skip(left) as u64;
        self.position
    }

    /// Takes the next sample out of media data that ends at `end`.
    fn media(&mut self, end: u64, rope: &mut Rope, out: &mut Outputs) -> Step {
        let (Some(run), Some(movie)) = (self.runs.front_mut(), &self.movie) else { return self.skip_to(end, rope) };
        let (track, progress) = (&movie.tracks[run.track], &self.progress[run.track]);
        match run.fetch(self.position, end, self.max_packet_len) {
            Fetch::Done => {
                self.runs.pop_front();
            }
            Fetch::Elsewhere(start) => {
                let start = start.min(end);
                if self.pass_to(start, rope) < start {
                    return Step::Starved;
                }
                if start == end {
                    // The run lies in media data further on.
                    self.place = Place::Header;
                }
            }
            Fetch::Missing(kind) => {
                out.damage(kind, Some(TrackId(track.id)), 0);
                self.runs.pop_front();
            }
            Fetch::Oversized(len) => {
                out.damage(DamageKind::TooLarge, Some(TrackId(track.id)), len);
                run.pass_over();
            }
            Fetch::Sample(len) => {
                let Some(data) = rope.take(len) else { return Step::Starved };
                self.position += len as u64;
                let offset = self.clock.offset(track.timescale);
                let sample = run.take_sample();
                if progress.is_wanted {
                    sample.deliver(track, offset, data, out);
                }
            }
        }
        Step::Progress
    }

    fn whole(&mut self, kind: FourCc, payload: &Bytes, start: u64, out: &mut Outputs) -> Result<(), DemuxError> {
        match &kind {
            b"moov" => self.movie(payload, out),
            b"moof" => self.fragment(payload, start, out),
            _ => {
                match Event::parse(payload) {
                    Some(event) => self.event(event, out),
                    None => out.damage(DamageKind::Malformed, None, payload.len() as u64),
                }
                Ok(())
            }
        }
    }

    fn movie(&mut self, payload: &[u8], out: &mut Outputs) -> Result<(), DemuxError> {
        let movie = Movie::parse(payload);
        if movie.tracks.is_empty() {
            return Err(DemuxError::new(DemuxErrorKind::Malformed));
        }
        // A track that goes on keeps its time: a second header may come in the middle of a run.
        let old = std::mem::take(&mut self.progress);
        let next_of = |id| {
            let at = self.movie.as_ref()?.tracks.iter().position(|track| track.id == id)?;
            old.get(at)?.next
        };
        self.progress = movie
            .tracks
            .iter()
            .map(|track| TrackProgress {
                next: next_of(track.id),
                description: track.first_description(),
                is_wanted: false,
            })
            .collect();
        self.movie = Some(movie);
        self.runs.clear();
        self.announce(out)
    }

    /// Announces all tracks with the sample entries that are in force.
    fn announce(&mut self, out: &mut Outputs) -> Result<(), DemuxError> {
        let Some(movie) = &self.movie else { return Ok(()) };
        let mut announced = Vec::new();
        for (track, progress) in movie.tracks.iter().zip(&mut self.progress) {
            let found: Option<Track> = track.announce(progress.description).or_else(|| track.announce(1));
            progress.is_wanted = found.as_ref().is_some_and(|track| out.wants(track));
            announced.extend(found);
        }
        out.set_tracks(announced)
    }

    fn fragment(&mut self, payload: &Bytes, start: u64, out: &mut Outputs) -> Result<(), DemuxError> {
        if self.movie.is_none() {
            return Err(DemuxError::new(DemuxErrorKind::MissingHeader));
        }
        let Some(fragment) = Fragment::parse(payload) else {
            out.damage(DamageKind::Malformed, None, payload.len() as u64);
            return Ok(());
        };
        self.use_descriptions(&fragment, out)?;
        if self.runs.len() > MAX_PENDING {
            out.damage(DamageKind::Malformed, None, 0);
            self.runs.clear();
        }
        let file_shift = self.file_shift(&fragment);
        let mut previous_end = None;
        for part in fragment.tracks {
            let added = self.place_runs(part, start, previous_end, file_shift);
            previous_end = added.last().and_then(SampleRun::end).or(previous_end);
            self.runs.extend(added);
        }
        if !self.runs.iter().is_sorted_by_key(|run| run.start) {
            self.runs.make_contiguous().sort_by_key(|run| run.start);
        }
        self.tell_unit_start(out);
        Ok(())
    }

    /// Takes over the sample entries that the track fragments name.
    fn use_descriptions(&mut self, fragment: &Fragment, out: &mut Outputs) -> Result<(), DemuxError> {
        let Some(movie) = &self.movie else { return Ok(()) };
        let mut changed = false;
        for (track, progress) in movie.tracks.iter().zip(&mut self.progress) {
            let part = fragment.tracks.iter().find(|part| part.track_id == track.id);
            let description = part.map_or(progress.description, |part| part.description.unwrap_or(track.description));
            changed |= description != progress.description;
            progress.description = description;
        }
        if changed { self.announce(out) } else { Ok(()) }
    }

    /// The runs of a track fragment, with their places in the unit and their times.
    fn place_runs(
        &mut self,
        part: TrackFragment,
        moof_start: u64,
        previous_end: Option<u64>,
        file_shift: i64,
    ) -> Vec<SampleRun> {
        let Some(movie) = &self.movie else { return Vec::new() };
        let Some(index) = movie.tracks.iter().position(|track| track.id == part.track_id) else { return Vec::new() };
        let defaults = part.defaults.or(movie.tracks[index].defaults);
        let media_start = self.position.saturating_add(8);
        let base = match part.base {
            DataBase::Moof => moof_start,
            DataBase::Previous => previous_end.unwrap_or(moof_start),
            DataBase::File(place) => place.saturating_add_signed(file_shift),
        };
        let decode_time = part.decode_time.and_then(|time| i64::try_from(time).ok());
        let mut time = decode_time.or(self.progress[index].next).unwrap_or(0);
        let mut at = None;
        let mut placed = Vec::new();
        for run in part.runs.into_iter().filter(|run| !run.is_empty()) {
            let start = match (run.data_offset, at) {
                (Some(offset), _) => base.saturating_add_signed(i64::from(offset)),
                (None, Some(at)) => at,
                (None, None) => base.max(media_start),
            };
            let run = SampleRun::new(index, start, time, run, defaults);
            (at, time) = (run.end(), run.end_time());
            placed.push(run);
        }
        self.progress[index].next = Some(time);
        placed
    }

    /// What to add to absolute places. They count in a file of which this unit may be a piece; then the first of them is where the media
    /// data begins that follows.
    fn file_shift(&self, fragment: &Fragment) -> i64 {
        /// Bytes that may lie between a `moof` and its first sample: headers and padding.
        const NEAR: u64 = 4096;
        let place_of = |part: &TrackFragment| match part.base {
            DataBase::File(place) => {
                let offset = part.runs.first().and_then(|run| run.data_offset).unwrap_or(0);
                place.checked_add_signed(i64::from(offset))
            }
            DataBase::Moof | DataBase::Previous => None,
        };
        let Some(first) = fragment.tracks.iter().filter_map(place_of).min() else { return 0 };
        if (self.position..self.position.saturating_add(NEAR)).contains(&first) {
            return 0;
        }
        let media_start = self.position.saturating_add(8);
        i64::try_from(i128::from(media_start) - i128::from(first)).unwrap_or(0)
    }

    /// Notes when the unit begins, and delivers the events that waited for it.
    fn tell_unit_start(&mut self, out: &mut Outputs) {
        let Some(movie) = &self.movie else { return };
        if self.unit_start.is_none() {
            let starts = self.runs.iter().filter_map(|run| {
                let track = &movie.tracks[run.track];
                let first = run
                    .first_composition_time()?
                    .saturating_add(track.edit.shift)
                    .saturating_add(self.clock.offset(track.timescale));
                Some(Timestamp::new(first, track.timescale))
            });
            self.unit_start = starts.min_by_key(|start| start.rescale(NANOSECONDS));
        }
        for event in std::mem::take(&mut self.events) {
            self.event(event, out);
        }
    }

    fn event(&mut self, event: Event, out: &mut Outputs) {
        if !out.delivers_metadata() {
            return;
        }
        let time = match (event.time, self.unit_start) {
            (EventTime::Media(time), _) => time.saturating_add(self.clock.offset(event.timescale)),
            (EventTime::IntoUnit(delta), Some(start)) => {
                start.rescale(event.timescale).saturating_add(i64::from(delta))
            }
            (EventTime::IntoUnit(_), None) if self.events.len() < MAX_PENDING => return self.events.push(event),
            (EventTime::IntoUnit(_), None) => return out.damage(DamageKind::Malformed, None, 0),
        };
        out.push(Output::Metadata(event.at(time)));
    }
}
