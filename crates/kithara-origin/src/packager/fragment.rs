//! Cutting fMP4 segments: samples out of movie fragments, and chunks (a smaller movie fragment each) out of samples.

use std::{ops::Range, time::Duration};

use bytes::Bytes;

use super::{
    boxes::{boxes, child, descendant, placed, u32_at, u64_at},
    cut::{Cut, Piece, from_ticks, pieces},
};

/// What the initialization section tells of a track.
#[derive(Clone, Copy, Debug)]
struct Track {
    id: u32,
    /// Ticks per second; never zero.
    timescale: u32,
    defaults: Defaults,
}

/// What a sample is when its fragment does not say.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

#[derive(Clone, Debug)]
struct Sample {
    duration: u32,
    flags: u32,
    /// The composition time offset, as it is written.
    composition: u32,
    bytes: Bytes,
}

/// Samples of one track that follow each other.
#[derive(Clone, Debug)]
struct Run {
    track: Track,
    /// The decode time of the first sample.
    base: u64,
    samples: Vec<Sample>,
}

/// A segment taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Fragments {
    /// The boxes before the first fragment, but for indexes, which would be wrong.
    prefix: Vec<u8>,
    /// By track; the first one tells the time. Each has at least one sample.
    runs: Vec<Run>,
}

/// The tracks of an initialization section.
#[derive(Clone, Debug)]
pub(crate) struct Tracks(Vec<Track>);

impl Tracks {
    /// The tracks of the initialization section `init`; `None` when it is none.
    pub(crate) fn parse(init: &[u8]) -> Option<Self> {
        let moov = child(init, b"moov")?;
        let extends = child(moov, b"mvex")?;
        let tracks = boxes(moov).filter(|(kind, _)| *kind == b"trak").map(|(_, trak)| {
            let header = child(trak, b"tkhd")?;
            let id = u32_at(header, if header.first()? == &1 { 20 } else { 12 })?;
            let media = descendant(trak, &[b"mdia", b"mdhd"])?;
            let timescale = u32_at(media, if media.first()? == &1 { 20 } else { 12 }).filter(|scale| *scale > 0)?;
            let mut all = boxes(extends).filter(|(kind, _)| *kind == b"trex");
            let trex = all.find(|(_, trex)| u32_at(trex, 4) == Some(id)).map(|(_, trex)| trex)?;
            let defaults = Defaults { duration: u32_at(trex, 12)?, size: u32_at(trex, 16)?, flags: u32_at(trex, 20)? };
            Some(Track { id, timescale, defaults })
        });
        tracks.collect::<Option<Vec<_>>>().filter(|tracks| !tracks.is_empty()).map(Self)
    }

    /// Takes a segment apart; `None` when it is not one of these tracks, or is protected sample by sample.
    pub(crate) fn take_apart(&self, segment: &Bytes) -> Option<Fragments> {
        let mut fragments = Fragments { prefix: Vec::new(), runs: Vec::new() };
        let mut moof: Option<(usize, &[u8])> = None;
        for (at, kind, content) in placed(segment) {
            match kind {
                b"moof" => {
                    for (_, traf) in boxes(content).filter(|(kind, _)| *kind == b"traf") {
                        self.add(&mut fragments.runs, traf, at, segment)?;
                    }
                    moof = Some((at, content));
                }
                b"sidx" | b"ssix" | b"mdat" => {}
                _ if moof.is_none() => {
                    let end = at.checked_add(usize::try_from(u32_at(segment, at)?).ok()?)?;
                    fragments.prefix.extend_from_slice(segment.get(at..end)?);
                }
                _ => {}
            }
        }
        fragments.runs.retain(|run| !run.samples.is_empty());
        (!fragments.runs.is_empty()).then_some(fragments)
    }

    /// Adds the samples of a track fragment to the run of its track.
    fn add(&self, runs: &mut Vec<Run>, traf: &[u8], moof_at: usize, segment: &Bytes) -> Option<()> {
        if child(traf, b"senc").is_some() {
            return None;
        }
        let header = child(traf, b"tfhd")?;
        let id = u32_at(header, 4)?;
        let track = *self.0.iter().find(|track| track.id == id)?;
        let mut fields = Fields { bytes: header, flags: u32_at(header, 0)?, at: 8 };
        // The place of the data and the description of samples: neither changes how they are cut.
        let base = fields.take_u64(0x01)?.map_or(Some(moof_at), |base| usize::try_from(base).ok())?;
        fields.take(0x02)?;
        let defaults = Defaults {
            duration: fields.take(0x08)?.unwrap_or(track.defaults.duration),
            size: fields.take(0x10)?.unwrap_or(track.defaults.size),
            flags: fields.take(0x20)?.unwrap_or(track.defaults.flags),
        };
        let time = child(traf, b"tfdt")?;
        let time = if time.first()? == &1 { u64_at(time, 4)? } else { u64::from(u32_at(time, 4)?) };
        let at = runs.iter().position(|run| run.track.id == id).unwrap_or_else(|| {
            runs.push(Run { track, base: time, samples: Vec::new() });
            runs.len() - 1
        });
        let mut data = base;
        for (_, trun) in boxes(traf).filter(|(kind, _)| *kind == b"trun") {
            data = samples(trun, defaults, base, data, segment, &mut runs[at].samples)?;
        }
        Some(())
    }
}

/// Reads the samples of a run; returns where their data end.
fn samples(
    trun: &[u8],
    defaults: Defaults,
    base: usize,
    data: usize,
    segment: &Bytes,
    samples: &mut Vec<Sample>,
) -> Option<usize> {
    let (flags, count) = (u32_at(trun, 0)?, u32_at(trun, 4)?);
    let mut fields = Fields { bytes: trun, flags, at: 8 };
    let offset = fields.take(0x01)?.map(|offset| isize::try_from(offset.cast_signed())).transpose().ok()?;
    let mut data = offset.map_or(Some(data), |offset| base.checked_add_signed(offset))?;
    let first_flags = fields.take(0x04)?;
    for index in 0..count {
        let duration = fields.take(0x100)?.unwrap_or(defaults.duration);
        let size = fields.take(0x200)?.unwrap_or(defaults.size);
        let own = fields.take(0x400)?;
        let flags = own.or(first_flags.filter(|_| index == 0)).unwrap_or(defaults.flags);
        let composition = fields.take(0x800)?.unwrap_or(0);
        let end = data.checked_add(usize::try_from(size).ok()?)?;
        // Samples without a field and without a byte could be of any number.
        if end > segment.len() || samples.len() == MAX_SAMPLES {
            return None;
        }
        samples.push(Sample { duration, flags, composition, bytes: segment.slice(data..end) });
        data = end;
    }
    Some(data)
}

/// Samples of one track in one segment.
const MAX_SAMPLES: usize = 1 << 20;

/// Optional fields in their order.
struct Fields<'a> {
    bytes: &'a [u8],
    flags: u32,
    at: usize,
}

impl Fields<'_> {
    /// The next field of 32 bits, if `flag` says that it is there; `None` when it is cut.
    fn take(&mut self, flag: u32) -> Option<Option<u32>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let value = u32_at(self.bytes, self.at)?;
        self.at += 4;
        Some(Some(value))
    }

    fn take_u64(&mut self, flag: u32) -> Option<Option<u64>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let value = u64_at(self.bytes, self.at)?;
        self.at += 8;
        Some(Some(value))
    }
}

impl Fragments {
    /// Ticks per second of the track that tells the time.
    pub(crate) fn timescale(&self) -> u32 {
        self.runs[0].track.timescale
    }

    /// The segment as chunks of at most `target`, each with the samples of all tracks for the same time. `sequence` numbers fragments.
    pub(crate) fn cut(&self, target: Duration, sequence: &mut u32) -> Cut {
        let first = &self.runs[0];
        let durations: Vec<_> = first.samples.iter().map(|sample| u64::from(sample.duration)).collect();
        let mut cut = Cut { bytes: self.prefix.clone(), parts: Vec::new(), times: Vec::new() };
        let mut taken = vec![0; self.runs.len()];
        let mut end_of_first = first.base;
        let all = pieces(&durations, first.track.timescale, target);
        let last = all.len().saturating_sub(1);
        for (index, piece) in all.into_iter().enumerate() {
            let ticks: u64 = durations[piece.clone()].iter().sum();
            end_of_first = end_of_first.saturating_add(ticks);
            let end = from_ticks(end_of_first, first.track.timescale);
            let ranges = self.runs.iter().zip(&mut taken).enumerate().map(|(place, (run, taken))| {
                let upto = match place {
                    0 => piece.end,
                    _ if index == last => run.samples.len(),
                    _ => run.index_at(end),
                };
                let range = *taken..upto.max(*taken);
                *taken = range.end;
                (run, range)
            });
            let ranges: Vec<_> = ranges.filter(|(_, range)| !range.is_empty()).collect();
            write_chunk(&mut cut, *sequence, &ranges);
            *sequence = sequence.wrapping_add(1);
            cut.parts.push(Piece {
                end: cut.bytes.len(),
                ticks,
                is_independent: first.samples[piece].iter().any(Sample::is_sync),
            });
        }
        cut
    }
}

impl Run {
    /// The first sample that begins at or after `time`.
    fn index_at(&self, time: Duration) -> usize {
        let mut at = self.base;
        let starts = self.samples.iter().map(|sample| {
            let start = at;
            at = at.saturating_add(u64::from(sample.duration));
            start
        });
        starts.take_while(|start| from_ticks(*start, self.track.timescale) < time).count()
    }
}

impl Sample {
    fn is_sync(&self) -> bool {
        self.flags & 0x1_0000 == 0
    }
}

/// Appends a movie fragment with its data.
fn write_chunk(cut: &mut Cut, sequence: u32, runs: &[(&Run, Range<usize>)]) {
    let trafs: usize = runs.iter().map(|(_, range)| TRAF + 16 * range.len()).sum();
    let moof = 8 + 16 + trafs;
    let mut data = moof + 8;
    let out = &mut cut.bytes;
    put_box(out, moof, b"moof");
    put_box(out, 16, b"mfhd");
    put(out, &[0, sequence]);
    for (run, range) in runs {
        let traf = TRAF + 16 * range.len();
        let passed: u64 = run.samples[..range.start].iter().map(|sample| u64::from(sample.duration)).sum();
        put_box(out, traf, b"traf");
        put_box(out, 16, b"tfhd");
        // Offsets count from the fragment.
        put(out, &[0x02_0000, run.track.id]);
        put_box(out, 20, b"tfdt");
        put(out, &[0x0100_0000]);
        cut.times.push((out.len(), run.track.timescale));
        out.extend_from_slice(&run.base.saturating_add(passed).to_be_bytes());
        put_box(out, traf - 8 - 16 - 20, b"trun");
        // Version 1: everything is told of each sample.
        put(out, &[0x0100_0f01, narrow(range.len()), narrow(data)]);
        for sample in &run.samples[range.clone()] {
            put(out, &[sample.duration, narrow(sample.bytes.len()), sample.flags, sample.composition]);
            data += sample.bytes.len();
        }
    }
    put_box(out, 8 + data - (moof + 8), b"mdat");
    for (run, range) in runs {
        run.samples[range.clone()].iter().for_each(|sample| out.extend_from_slice(&sample.bytes));
    }
}

/// Bytes of a track fragment without its samples.
const TRAF: usize = 8 + 16 + 20 + 20;

fn put_box(out: &mut Vec<u8>, size: usize, kind: &[u8; 4]) {
    put(out, &[narrow(size)]);
    out.extend_from_slice(kind);
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

fn narrow(size: usize) -> u32 {
    u32::try_from(size).expect("a fragment is smaller than the segment it is cut from, whose sizes have 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fixtures_dir;

    fn file(path: &str) -> Bytes {
        std::fs::read(fixtures_dir().join(path)).unwrap().into()
    }

    /// Track, decode time, duration, flags, composition offset and data of each sample.
    fn samples_of(fragments: &Fragments) -> Vec<(u32, u64, u32, u32, u32, Bytes)> {
        let mut all = Vec::new();
        for run in &fragments.runs {
            let mut time = run.base;
            for sample in &run.samples {
                let Sample { duration, flags, composition, bytes } = sample.clone();
                all.push((run.track.id, time, duration, flags, composition, bytes));
                time += u64::from(duration);
            }
        }
        all.sort_by_key(|(track, time, ..)| (*track, *time));
        all
    }

    /// Cuts a segment, and compares the samples of the whole and of its parts with those of the segment.
    #[track_caller]
    fn check(folder: &str, target_ms: u64, want_parts: usize, want_independent: &[usize]) {
        let tracks = Tracks::parse(&file(&format!("{folder}/init.mp4"))).unwrap();
        let fragments = tracks.take_apart(&file(&format!("{folder}/seg1.m4s"))).unwrap();
        let mut sequence = 7;
        let cut = fragments.cut(Duration::from_millis(target_ms), &mut sequence);
        assert_eq!((cut.parts.len(), sequence), (want_parts, 7 + want_parts as u32));
        let independent: Vec<_> = (0..want_parts).filter(|part| cut.parts[*part].is_independent).collect();
        assert_eq!(independent, want_independent);
        let whole = Bytes::from(cut.bytes.clone());
        let wanted = samples_of(&fragments);
        assert_eq!(samples_of(&tracks.take_apart(&whole).unwrap()), wanted, "the whole");
        let mut begin = 0;
        let mut of_parts = Vec::new();
        for part in &cut.parts {
            let alone = tracks.take_apart(&whole.slice(begin..part.end)).unwrap();
            let first = &alone.runs[0];
            let ticks: u64 = first.samples.iter().map(|sample| u64::from(sample.duration)).sum();
            assert_eq!(ticks, part.ticks);
            let is_short = from_ticks(ticks, first.track.timescale) <= Duration::from_millis(target_ms);
            assert!(is_short || first.samples.len() == 1, "a part of {ticks} ticks");
            of_parts.extend(samples_of(&alone));
            begin = part.end;
        }
        of_parts.sort_by_key(|(track, time, ..)| (*track, *time));
        assert_eq!((begin, of_parts), (whole.len(), wanted), "the parts");
    }

    #[test]
    fn chunks_have_the_samples_of_the_segment_at_their_times() {
        check("fmp4_aac", 200, 6, &[0, 1, 2, 3, 4, 5]);
        check("fmp4_aac", 60_000, 1, &[0]);
        check("fmp4_aac", 1, 47, &(0..47).collect::<Vec<_>>());
        check("av_master/video", 200, 5, &[0]);
        check("av_clicks/muxed", 250, 10, &[0, 5]);
    }

    #[test]
    fn what_is_no_clear_segment_of_these_tracks_is_refused() {
        let tracks = Tracks::parse(&file("fmp4_aac/init.mp4")).unwrap();
        let segment = file("fmp4_aac/seg1.m4s");
        assert!(Tracks::parse(&segment).is_none());
        assert!(tracks.take_apart(&file("fmp4_aes/seg1.m4s")).is_none(), "encrypted");
        assert!(tracks.take_apart(&segment.slice(..segment.len() - 1)).is_none(), "its end is missing");
        let video = Tracks::parse(&file("av_clicks/muxed/init.mp4")).unwrap();
        assert!(Tracks(vec![video.0[1]]).take_apart(&segment).is_none(), "another track");
    }

    proptest::proptest! {
        #[test]
        fn no_damage_breaks_the_cutting(at in 0_usize..700, byte: u8, len in 0_usize..7000) {
            let tracks = Tracks::parse(&file("av_clicks/muxed/init.mp4")).unwrap();
            let mut segment = file("av_clicks/muxed/seg1.m4s").to_vec();
            segment.truncate(len);
            if let Some(damaged) = segment.get_mut(at) {
                *damaged = byte;
            }
            if let Some(fragments) = tracks.take_apart(&segment.into()) {
                fragments.cut(Duration::from_millis(250), &mut 1);
            }
        }
    }
}
