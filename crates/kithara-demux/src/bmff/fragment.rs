//! Movie fragments: the `moof` box (ISO/IEC 14496-12, 8.8.4 to 8.8.12).
//!
//! Samples are read one at a time from the bytes of their run, so a run that promises four billion samples costs nothing until it is read.

use bytes::{Buf, Bytes};

use super::{boxes, full_box};

/// A parsed `moof`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragment {
    pub(crate) tracks: Vec<TrackFragment>,
}

/// A `traf`: the samples a fragment holds of one track.
#[derive(Clone, Debug)]
pub(crate) struct TrackFragment {
    pub(crate) track_id: u32,
    pub(crate) base: DataBase,
    /// Which sample entry the samples are of, counted from 1, where that is not the one of `trex`.
    pub(crate) description: Option<u32>,
    /// Values of `tfhd`, each overriding that of the track's `trex`.
    pub(crate) defaults: SampleDefaults,
    /// `tfdt`: decode time of the first sample, in the track's timescale.
    pub(crate) decode_time: Option<u64>,
    pub(crate) runs: Vec<TrackRun>,
}

/// What the data offsets of a track fragment count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataBase {
    /// The first byte of the `moof`.
    Moof,
    /// The end of the data of the track fragment before it; the `moof` for the first one.
    Previous,
    /// An absolute place in the file.
    File(u64),
}

/// Values for samples that do not state their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SampleDefaults {
    pub(crate) duration: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) flags: Option<u32>,
}

impl SampleDefaults {
    /// These values, and those of `fallback` where there are none.
    pub(crate) fn or(self, fallback: Self) -> Self {
        Self {
            duration: self.duration.or(fallback.duration),
            size: self.size.or(fallback.size),
            flags: self.flags.or(fallback.flags),
        }
    }
}

/// A `trun`: samples whose data lies side by side.
#[derive(Clone, Debug)]
pub(crate) struct TrackRun {
    /// Place of the first byte, relative to the base; behind the run before it if absent.
    pub(crate) data_offset: Option<i32>,
    first_sample_flags: Option<u32>,
    fields: u32,
    signed_offsets: bool,
    count: u32,
    next: u32,
    entries: Bytes,
}

/// One sample of a run, with the defaults still to be filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RunSample {
    pub(crate) duration: Option<u32>,
    pub(crate) size: Option<u32>,
    pub(crate) flags: Option<u32>,
    pub(crate) composition_offset: i64,
}

const DATA_OFFSET: u32 = 0x1;
const FIRST_SAMPLE_FLAGS: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION_OFFSET: u32 = 0x800;

/// Runs of the largest fragment that is read. Each takes twenty bytes in the file and ten times that in memory.
const MAX_RUNS: usize = 1 << 14;

impl Fragment {
    /// Parses the payload of a `moof`; `None` if a box in it is shorter than its fields, or if it has too many runs.
    pub(crate) fn parse(moof: &Bytes) -> Option<Self> {
        let mut tracks = Vec::new();
        let mut runs_left = MAX_RUNS;
        for (_, payload) in boxes(moof).filter(|(kind, _)| kind == b"traf") {
            let track = TrackFragment::parse(&moof.slice_ref(payload), runs_left)?;
            runs_left = runs_left.checked_sub(track.runs.len() + 1)?;
            tracks.push(track);
        }
        Some(Self { tracks })
    }
}

impl TrackFragment {
    fn parse(traf: &Bytes, max_runs: usize) -> Option<Self> {
        let (_, flags, mut header) = full_box(super::find(traf, b"tfhd")?)?;
        let track_id = header.u32()?;
        let base = match flags {
            f if f & 0x1 != 0 => DataBase::File(header.u64()?),
            f if f & 0x2_0000 != 0 => DataBase::Moof,
            _ => DataBase::Previous,
        };
        let mut field = |flag: u32| {
            if flags & flag == 0 { Some(None) } else { header.u32().map(Some) }
        };
        let description = field(0x2)?;
        let defaults = SampleDefaults { duration: field(0x8)?, size: field(0x10)?, flags: field(0x20)? };
        let mut track = Self { track_id, base, description, defaults, decode_time: None, runs: Vec::new() };
        for (kind, payload) in boxes(traf) {
            match &kind {
                b"tfdt" => {
                    let (version, _, mut time) = full_box(payload)?;
                    track.decode_time = Some(if version == 0 { u64::from(time.u32()?) } else { time.u64()? });
                }
                b"trun" if track.runs.len() == max_runs => return None,
                b"trun" => track.runs.push(TrackRun::parse(&traf.slice_ref(payload))?),
                _ => {}
            }
        }
        Some(track)
    }
}

impl TrackRun {
    fn parse(trun: &Bytes) -> Option<Self> {
        let (version, fields, mut cursor) = full_box(trun)?;
        let count = cursor.u32()?;
        let data_offset = if fields & DATA_OFFSET == 0 { None } else { Some(cursor.i32()?) };
        let first_sample_flags = if fields & FIRST_SAMPLE_FLAGS == 0 { None } else { Some(cursor.u32()?) };
        let entry_len = u64::from((fields & (DURATION | SIZE | FLAGS | COMPOSITION_OFFSET)).count_ones()) * 4;
        let entries = usize::try_from(u64::from(count) * entry_len).ok().and_then(|len| cursor.take(len))?;
        Some(Self {
            data_offset,
            first_sample_flags,
            fields,
            signed_offsets: version > 0,
            count,
            next: 0,
            entries: trun.slice_ref(entries),
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether each sample states its size.
    pub(crate) const fn states_sizes(&self) -> bool {
        self.fields & SIZE != 0
    }

    /// Whether each sample states how long it lasts.
    pub(crate) const fn states_durations(&self) -> bool {
        self.fields & DURATION != 0
    }

    /// Samples, each of which has its place in the run.
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Ticks that all samples last.
    pub(crate) fn duration(&self, default: u32) -> u64 {
        if !self.states_durations() {
            return u64::from(self.count) * u64::from(default);
        }
        self.clone().map(|sample| u64::from(sample.duration.unwrap_or(default))).sum()
    }

    /// Bytes of all samples, or `None` if neither the run nor `default_size` tells.
    pub(crate) fn data_len(&self, default_size: Option<u32>) -> Option<u64> {
        if self.fields & SIZE == 0 {
            return Some(u64::from(self.count) * u64::from(default_size?));
        }
        let mut sum = 0_u64;
        for sample in self.clone() {
            sum += u64::from(sample.size?);
        }
        Some(sum)
    }
}

impl Iterator for TrackRun {
    type Item = RunSample;

    fn next(&mut self) -> Option<RunSample> {
        if self.next == self.count {
            return None;
        }
        let is_first = self.next == 0;
        self.next += 1;
        let fields = self.fields;
        let entries = &mut self.entries;
        let mut field = |flag: u32| {
            if fields & flag == 0 { Some(None) } else { entries.try_get_u32().ok().map(Some) }
        };
        let (duration, size, flags, offset) =
            (field(DURATION)?, field(SIZE)?, field(FLAGS)?, field(COMPOSITION_OFFSET)?);
        let composition_offset = match offset {
            None => 0,
            // Version 0 is unsigned by the letter, but writers put negative offsets in it as well; no real offset is above 2^31.
            Some(raw) if self.signed_offsets || raw > i32::MAX as u32 => i64::from(raw.cast_signed()),
            Some(raw) => i64::from(raw),
        };
        let flags = if is_first { self.first_sample_flags.or(flags) } else { flags };
        Some(RunSample { duration, size, flags, composition_offset })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{mp4_box, mp4_full_box};
    use super::*;

    /// A `traf` with `tfdt` and one `trun` that states the sizes of its samples.
    pub(crate) fn traf(track_id: u32, decode_time: u64, data_offset: i32, sizes: &[u32]) -> Vec<u8> {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        let count = (sizes.len() as u32 / 4).to_be_bytes();
        mp4_box(
            b"traf",
            &[
                &mp4_full_box(b"tfhd", 0, 0x2_0008, &[&track_id.to_be_bytes(), &1024_u32.to_be_bytes()]),
                &mp4_full_box(b"tfdt", 1, 0, &[&decode_time.to_be_bytes()]),
                &mp4_full_box(b"trun", 0, 0x201, &[&count, &data_offset.to_be_bytes(), &sizes]),
            ],
        )
    }

    #[test]
    fn fields_are_read_where_the_flags_say() {
        let entries: Vec<u8> =
            [100_u32, 7, 0, (-5_i32).cast_unsigned(), 200, 8, 1, 6].iter().flat_map(|v| v.to_be_bytes()).collect();
        let trun = mp4_full_box(
            b"trun",
            1,
            0xF05,
            &[&2_u32.to_be_bytes(), &80_i32.to_be_bytes(), &9_u32.to_be_bytes(), &entries],
        );
        let moof = mp4_box(b"traf", &[&mp4_full_box(b"tfhd", 0, 0x10, &[&[0, 0, 0, 3, 0, 0, 0, 50]]), &trun]);
        let fragment = Fragment::parse(&moof.into()).unwrap();
        let track = &fragment.tracks[0];
        assert_eq!((track.track_id, track.base, track.defaults.size), (3, DataBase::Previous, Some(50)));
        let run = &track.runs[0];
        assert_eq!((run.data_offset, run.data_len(None)), (Some(80), Some(15)));
        let sample = |duration, size, flags, composition_offset| RunSample {
            duration: Some(duration),
            size: Some(size),
            flags: Some(flags),
            composition_offset,
        };
        assert_eq!(run.clone().collect::<Vec<_>>(), [sample(100, 7, 9, -5), sample(200, 8, 1, 6)]);
    }

    #[test]
    fn a_run_shorter_than_its_count_is_refused_and_one_without_fields_costs_nothing() {
        let run = |flags, count: u32| {
            let trun = mp4_full_box(b"trun", 0, flags, &[&count.to_be_bytes(), &[0; 8]]);
            TrackRun::parse(&Bytes::from(trun).slice(8..))
        };
        assert!(run(0x200, 3).is_none());
        assert!(run(0xF00, u32::MAX).is_none());
        assert_eq!(run(0, u32::MAX).unwrap().data_len(Some(u32::MAX)), Some(u64::from(u32::MAX) * u64::from(u32::MAX)));
    }
}
