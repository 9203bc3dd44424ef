//! The samples of a run, one after the other.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::fragment::{RunSample, SampleDefaults, TrackRun};
use super::movie::MovieTrack;
use super::vtt_sample;
use crate::Timestamp;
use crate::output::{Cue, DamageKind, Output, Packet, Trim};
use crate::outputs::Outputs;
use crate::track::{Codec, TrackId, TrackKind};

/// `sample_is_non_sync_sample` among the flags of a sample (ISO/IEC 14496-12, 8.8.3.1).
const NON_SYNC: u32 = 0x1_0000;

/// A run with its place in the unit.
#[derive(Debug)]
pub(crate) struct SampleRun {
    /// Index of the track in the movie.
    pub(crate) track: usize,
    /// Place of the next sample.
    pub(crate) start: u64,
    /// Decode time of the next sample.
    pub(crate) time: i64,
    /// The next sample, if it was looked at.
    next: Option<RunSample>,
    samples: TrackRun,
    defaults: SampleDefaults,
}

/// What is to be done for the next sample of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// This many bytes are the sample.
    Sample(usize),
    /// The sample is too large; it has this many bytes.
    Oversized(u64),
    /// The sample begins at another place, further on.
    Elsewhere(u64),
    /// The bytes of the run are not where they should be.
    Missing(DamageKind),
    /// There is none.
    Done,
}

impl SampleRun {
    pub(crate) fn new(track: usize, start: u64, time: i64, samples: TrackRun, defaults: SampleDefaults) -> Self {
        Self { track, start, time, next: None, samples, defaults }
    }

    /// The place behind the last sample, where sizes are known.
    pub(crate) fn end(&self) -> Option<u64> {
        self.start.checked_add(self.samples.data_len(self.defaults.size)?)
    }

    /// The decode time behind the last sample.
    pub(crate) fn end_time(&self) -> i64 {
        self.time.saturating_add_unsigned(self.samples.duration(self.defaults.duration.unwrap_or(0)))
    }

    pub(crate) fn first_composition_time(&self) -> Option<i64> {
        let first = self.samples.clone().next()?;
        Some(self.time.saturating_add(first.composition_offset))
    }

    /// Looks at the next sample from `position`, in data that ends at `end`.
    pub(crate) fn fetch(&mut self, position: u64, end: u64, max_len: usize) -> Fetch {
        loop {
            let Some(sample) = self.next.or_else(|| self.samples.next()) else { return Fetch::Done };
            self.next = Some(sample);
            let Some(size) = sample.size.or(self.defaults.size) else { return Fetch::Missing(DamageKind::Malformed) };
            if size == 0 && !self.samples.states_sizes() {
                // Whatever the run promises, it has no bytes.
                return Fetch::Missing(DamageKind::Malformed);
            }
            if size == 0 {
                self.take_sample();
                continue;
            }
            if self.start > position {
                return Fetch::Elsewhere(self.start);
            }
            let len = u64::from(size);
            if self.start < position || position.saturating_add(len) > end {
                return Fetch::Missing(DamageKind::Malformed);
            }
            return usize::try_from(size)
                .ok()
                .filter(|len| *len <= max_len)
                .map_or(Fetch::Oversized(len), Fetch::Sample);
        }
    }

    /// Goes on behind the sample that was fetched, without it.
    pub(crate) fn pass_over(&mut self) {
        self.take_sample();
    }

    /// The sample that was fetched; the run goes on behind it.
    pub(crate) fn take_sample(&mut self) -> Sample {
        let sample = self.next.take().unwrap_or_default();
        let duration = sample.duration.or(self.defaults.duration).unwrap_or(0);
        let taken = Sample {
            time: self.time,
            composition_offset: sample.composition_offset,
            duration,
            flags: sample.flags.or(self.defaults.flags).unwrap_or(0),
        };
        self.start = self.start.saturating_add(u64::from(sample.size.or(self.defaults.size).unwrap_or(0)));
        self.time = self.time.saturating_add(i64::from(duration));
        taken
    }
}

/// A sample with its times in the clock of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    time: i64,
    composition_offset: i64,
    duration: u32,
    flags: u32,
}

impl Sample {
    /// Delivers the sample in the form of its codec. `offset` is added to its times.
    pub(crate) fn deliver(self, track: &MovieTrack, offset: i64, data: Bytes, out: &mut Outputs) {
        let id = TrackId(track.id);
        let Some((codec, kind, rate)) = out
            .track(id)
            .map(|track| (track.codec, track.kind, track.audio.and_then(|audio| NonZeroU32::new(audio.sample_rate))))
        else {
            return;
        };
        let composition = self.time.saturating_add(self.composition_offset);
        let present = |time: i64| time.saturating_add(track.edit.shift).saturating_add(offset);
        let (pts, dts) = (present(composition), present(self.time));
        if codec == Codec::WebVtt {
            let end = pts.saturating_add(i64::from(self.duration));
            for cue in vtt_sample::cues(&data) {
                out.push(Output::Cue(Cue {
                    track: id,
                    start: pts,
                    end,
                    id: cue.id,
                    settings: cue.settings,
                    text: cue.text,
                }));
            }
            return;
        }
        let trim = match (kind, rate) {
            (TrackKind::Audio, Some(rate)) => self.trim(composition, track, rate),
            _ => Trim::default(),
        };
        let is_keyframe = self.flags & NON_SYNC == 0;
        out.packet(Packet { track: id, pts, dts, duration: Some(self.duration), data, trim, is_keyframe });
    }

    /// What of a sample of sound lies outside of the track's edit.
    fn trim(self, composition: i64, track: &MovieTrack, rate: NonZeroU32) -> Trim {
        let duration = i64::from(self.duration);
        let samples = |ticks: i64| u32::try_from(Timestamp::new(ticks, track.timescale).rescale(rate)).unwrap_or(0);
        let start = track.edit.start.saturating_sub(composition).clamp(0, duration);
        let behind = track.edit.end.map_or(0, |end| composition.saturating_add(duration).saturating_sub(end));
        Trim { start: samples(start), end: samples(behind.clamp(0, duration - start)) }
    }
}
