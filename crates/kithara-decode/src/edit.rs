//! What of a progressive MP4 file is heard: edit lists (ISO/IEC 14496-12 section 8.6.6) and the note of iTunes, neither
//! of which the container reader looks at.

use std::io::{self, Read, Seek, SeekFrom};

use kithara_demux::{
    Container, DemuxOptions, Demuxer, Run, Timestamp,
    output::Output,
    track::{Gapless, Track, TrackKind},
};

use crate::{SoundCodec, format::Format};

/// Bytes of the largest `moov` that is looked into. Hours of sound need a few megabytes.
const MAX_MOOV: u64 = 16 << 20;

/// Bytes in front of a box that the container reader reads as well when it has passed over a large one, so that it could
/// go back. Read together with what follows, they cost no request of their own, and none for the way back.
const RUN_UP: u64 = 64 << 10;

/// Boxes in front of `moov` that are passed over before the search is given up.
const MAX_BOXES: usize = 64;

/// The part of a track's media that is heard, in ticks of the track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Media time of the first sample heard.
    pub(crate) start: i64,
    /// Media time behind the last one; `None`: the end of the media.
    pub(crate) end: Option<i64>,
}

impl Edit {
    /// Ticks of a packet of `ticks` at media time `at` that lie in front of the part heard, and behind it.
    pub(crate) fn outside(&self, at: i64, ticks: u64) -> (u64, u64) {
        let before = u64::try_from(self.start.saturating_sub(at)).unwrap_or(0).min(ticks);
        let end = at.saturating_add_unsigned(ticks);
        let behind = self.end.map_or(0, |last| u64::try_from(end.saturating_sub(last)).unwrap_or(0));
        (before, behind.min(ticks - before))
    }

    pub(crate) fn duration(&self) -> Option<u64> {
        u64::try_from(self.end?.saturating_sub(self.start)).ok()
    }
}

/// What an MP4 file says of its first track of sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// What of it is heard; `None`: all.
    pub(crate) edit: Option<Edit>,
    /// What it is, in other words than the container reader has.
    pub(crate) format: Option<(SoundCodec, u16)>,
}

/// Looks for it. Nothing is told of a file that is no MP4.
pub(crate) fn read(file: &mut (impl Read + Seek)) -> io::Result<Told> {
    let Some(moov) = read_moov(file)? else { return Ok(Told::default()) };
    let track = track_of(&moov);
    let note = track.as_ref().and_then(|track| track.gapless);
    let format = track.map(|track| Format::of_track(&track)).map(|format| (format.codec, format.channels));
    Ok(Told { edit: edit_of(&moov, note), format })
}

/// The `moov` box with its header, if this is an MP4 file that has one.
fn read_moov(file: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    let mut place = 0_u64;
    for count in 0..MAX_BOXES {
        let mut head = Vec::new();
        file.seek(SeekFrom::Start(place))?;
        file.by_ref().take(16).read_to_end(&mut head)?;
        let Some((kind, len)) = header(&head) else { return Ok(None) };
        if count == 0 && &kind != b"ftyp" {
            return Ok(None);
        }
        if &kind == b"moov" {
            if len > MAX_MOOV {
                return Ok(None);
            }
            let mut moov = Vec::new();
            file.seek(SeekFrom::Start(place))?;
            file.by_ref().take(len).read_to_end(&mut moov)?;
            return Ok(Some(moov));
        }
        let Some(next) = place.checked_add(len) else { return Ok(None) };
        if len > 2 * RUN_UP {
            file.seek(SeekFrom::Start(next - RUN_UP))?;
            io::copy(&mut file.by_ref().take(RUN_UP), &mut io::sink())?;
        }
        place = next;
    }
    Ok(None)
}

/// Kind and whole length of the box that begins with these bytes.
fn header(head: &[u8]) -> Option<([u8; 4], u64)> {
    let kind = *head.get(4..)?.first_chunk()?;
    let len = match u32::from_be_bytes(*head.first_chunk()?) {
        0 => return None,
        1 => u64::from_be_bytes(*head.get(8..)?.first_chunk()?),
        len => u64::from(len),
    };
    (len >= 8).then_some((kind, len))
}

fn edit_of(moov: &[u8], note: Option<Gapless>) -> Option<Edit> {
    let body = moov.get(8..)?;
    let movie_timescale = timescale(find(body, *b"mvhd")?)?;
    let trak = boxes(body).find(|(kind, trak)| kind == b"trak" && is_sound(trak)).map(|(_, trak)| trak)?;
    let mdia = find(trak, *b"mdia")?;
    let track_timescale = timescale(find(mdia, *b"mdhd")?)?;
    let total = find(mdia, *b"minf").and_then(|minf| find(find(minf, *b"stbl")?, *b"stts")).and_then(total_duration);
    let list = find(trak, *b"edts").and_then(|edts| find(edts, *b"elst"));
    if let Some((start, duration)) = list.and_then(first_edit) {
        let end = edit_end(start, duration, (movie_timescale, track_timescale), total);
        // One that leaves all as it is gives way to the note.
        if start > 0 || end.zip(total).is_some_and(|(end, total)| end.unsigned_abs() < total) {
            return Some(Edit { start, end });
        }
    }
    let note = note?;
    let start = i64::from(note.start);
    let end = note.samples.and_then(|samples| start.checked_add_unsigned(samples));
    // Counted in samples; for sound they are the ticks of the track, or else the note means nothing to us.
    Some(Edit { start, end })
}

/// Where an edit ends. Its duration is counted by the clock of the movie, which is often coarser than samples are: within
/// a tick of it the end of the media is meant.
fn edit_end(start: i64, duration: u64, (movie, track): (u32, u32), total: Option<u64>) -> Option<i64> {
    let (movie, track) = (std::num::NonZeroU32::new(movie)?, std::num::NonZeroU32::new(track)?);
    let length = Timestamp::new(i64::try_from(duration).ok()?, movie).rescale(track);
    let end = start.checked_add(length).filter(|_| duration > 0);
    let total = total.filter(|total| *total > 0).and_then(|total| i64::try_from(total).ok());
    let grain = i64::from(track.get() / movie.get()) + 1;
    match (end, total) {
        (Some(end), Some(total)) if end.abs_diff(total) <= grain.unsigned_abs() => Some(total),
        (Some(end), Some(total)) => Some(end.min(total)),
        (end, total) => end.or(total),
    }
}

fn is_sound(trak: &[u8]) -> bool {
    let handler = find(trak, *b"mdia").and_then(|mdia| find(mdia, *b"hdlr"));
    handler.and_then(|hdlr| hdlr.get(8..12)).is_some_and(|kind| kind == b"soun")
}

/// The timescale in an `mvhd` or `mdhd`.
fn timescale(header: &[u8]) -> Option<u32> {
    let at = if *header.first()? == 1 { 20 } else { 12 };
    Some(u32::from_be_bytes(*header.get(at..)?.first_chunk()?))
}

/// Start and duration of the first edit that shows media.
fn first_edit(list: &[u8]) -> Option<(i64, u64)> {
    let is_long = *list.first()? == 1;
    let entries = list.get(8..)?.chunks_exact(if is_long { 20 } else { 12 });
    let read = |entry: &[u8]| -> Option<(i64, u64)> {
        if is_long {
            let duration = u64::from_be_bytes(*entry.first_chunk()?);
            return Some((i64::from_be_bytes(*entry.get(8..)?.first_chunk()?), duration));
        }
        let duration = u32::from_be_bytes(*entry.first_chunk()?);
        Some((i64::from(i32::from_be_bytes(*entry.get(4..)?.first_chunk()?)), u64::from(duration)))
    };
    let mut edits = entries.filter_map(read).filter(|(start, _)| *start >= 0);
    let first = edits.next();
    if edits.next().is_some() {
        tracing::warn!("a file is cut together out of several parts; only the first of them is played");
    }
    first
}

/// Ticks of all samples in an `stts`.
fn total_duration(table: &[u8]) -> Option<u64> {
    let entry = |entry: &[u8]| -> Option<u64> {
        let count = u32::from_be_bytes(*entry.first_chunk()?);
        let each = u32::from_be_bytes(*entry.get(4..)?.first_chunk()?);
        Some(u64::from(count) * u64::from(each))
    };
    table.get(8..)?.chunks_exact(8).try_fold(0_u64, |sum, bytes| sum.checked_add(entry(bytes)?))
}

/// The track as the demuxer of fragmented files sees it: it knows the note of iTunes, and looks into the configuration.
fn track_of(moov: &[u8]) -> Option<Track> {
    let mut run = Run::new(Container::Fmp4);
    run.init = Some(moov.to_vec().into());
    let mut demuxer = Demuxer::new(DemuxOptions::default());
    demuxer.start_run(run);
    std::iter::from_fn(|| demuxer.poll()).find_map(|output| match output {
        Ok(Output::Tracks(tracks)) => tracks.into_iter().find(|track| track.kind == TrackKind::Audio),
        _ => None,
    })
}

/// Kinds and payloads of the boxes in `bytes`.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, len) = header(bytes)?;
        let head = if bytes.starts_with(&[0, 0, 0, 1]) { 16 } else { 8 };
        let (whole, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
        bytes = rest;
        Some((kind, whole.get(head..)?))
    })
}

fn find(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn mp4_box(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A file of 10 packets of 1024 and a short one at 48 kHz, under an edit; `moov` comes last.
    fn file(edit: Option<(u32, u32)>, last: u32) -> Vec<u8> {
        let stts = mp4_box(b"stts", &[&words(&[0, 2, 10, 1024, 1, last])]);
        let minf = mp4_box(b"minf", &[&mp4_box(b"stbl", &[&stts])]);
        let mdhd = mp4_box(b"mdhd", &[&words(&[0, 0, 0, 48_000, 0])]);
        let mdia = mp4_box(b"mdia", &[&mdhd, &mp4_box(b"hdlr", &[&words(&[0, 0]), b"soun"]), &minf]);
        let elst = edit.map_or(Vec::new(), |(start, duration)| {
            let empty = [words(&[7]), words(&[u32::MAX, 0x1_0000])].concat();
            mp4_box(b"edts", &[&mp4_box(b"elst", &[&words(&[0, 2]), &empty, &words(&[duration, start, 0x1_0000])])])
        });
        let mvhd = mp4_box(b"mvhd", &[&words(&[0, 0, 0, 1000, 0])]);
        let moov = mp4_box(b"moov", &[&mvhd, &mp4_box(b"trak", &[&elst, &mdia])]);
        [mp4_box(b"ftyp", &[b"M4A "]), mp4_box(b"mdat", &[&[0; 100]]), moov].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], want: Option<(i64, Option<i64>)>) {
        let want = want.map(|(start, end)| Edit { start, end });
        assert_eq!(read(&mut Cursor::new(bytes)).unwrap().edit, want);
    }

    #[test]
    fn the_edit_is_found_behind_the_media() {
        check(&file(Some((1024, 100)), 1024), Some((1024, Some(1024 + 4800))));
        check(&file(Some((1024, 0)), 500), Some((1024, Some(10_740))));
    }

    #[test]
    fn an_edit_that_only_cuts_the_end_counts() {
        check(&file(Some((0, 100)), 1024), Some((0, Some(4800))));
        // The whole of 11,264 frames is 234.7 milliseconds.
        check(&file(Some((0, 234)), 1024), None);
        check(&file(Some((0, 235)), 1024), None);
        check(&file(Some((0, 0)), 1024), None);
    }

    #[test]
    fn an_end_within_a_tick_of_the_movie_is_the_end_of_the_media() {
        // 9716 frames are 202.4 milliseconds.
        check(&file(Some((1024, 202)), 500), Some((1024, Some(10_740))));
        check(&file(Some((1024, 203)), 500), Some((1024, Some(10_740))));
        check(&file(Some((1024, 900)), 500), Some((1024, Some(10_740))));
    }

    #[test]
    fn no_edit_no_media_time_and_no_mp4_are_none() {
        check(&file(None, 1024), None);
        check(b"ID3\x04 something else entirely", None);
        check(b"", None);
    }

    /// The same file with a sample entry of AAC with this configuration.
    fn aac_file(config: &[u8], channels: u8) -> Vec<u8> {
        let descriptor = |tag: u8, parts: &[&[u8]]| {
            let body = parts.concat();
            [&[tag, body.len() as u8][..], &body].concat()
        };
        let decoder = descriptor(4, &[&[0x40, 0x15], &[0; 11], &descriptor(5, &[config])]);
        let esds = mp4_box(b"esds", &[&[0; 4], &descriptor(3, &[&[0; 3], &decoder])]);
        let rate = (24_000_u32 << 16).to_be_bytes();
        let fields = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 8], &[0, channels, 0, 16, 0, 0, 0, 0], &rate].concat();
        let entry = mp4_box(b"mp4a", &[&fields, &esds]);
        let stsd = mp4_box(b"stsd", &[&words(&[0, 1]), &entry]);
        let minf = mp4_box(b"minf", &[&mp4_box(b"stbl", &[&stsd])]);
        let mdhd = mp4_box(b"mdhd", &[&words(&[0, 0, 0, 48_000, 0, 0])]);
        let mdia = mp4_box(b"mdia", &[&mdhd, &mp4_box(b"hdlr", &[&words(&[0, 0]), b"soun", &[0; 13]]), &minf]);
        let tkhd = mp4_box(b"tkhd", &[&words(&[0, 0, 0, 1]), &[0; 72]]);
        let moov =
            mp4_box(b"moov", &[&mp4_box(b"mvhd", &[&words(&[0, 0, 0, 1000, 0])]), &mp4_box(b"trak", &[&tkhd, &mdia])]);
        [mp4_box(b"ftyp", &[b"M4A "]), moov].concat()
    }

    #[test]
    fn the_configuration_tells_he_aac() {
        let format = |config: &[u8], channels| read(&mut Cursor::new(aac_file(config, channels))).unwrap().format;
        assert_eq!(format(&[0x13, 0x10], 2), Some((SoundCodec::Aac, 2)));
        // Object type 5 over 24 kHz, and the extension behind a plain configuration.
        assert_eq!(format(&[0x2B, 0x11, 0x88, 0x00], 2), Some((SoundCodec::HeAac, 2)));
        assert_eq!(format(&[0x13, 0x10, 0x56, 0xE5, 0x98], 2), Some((SoundCodec::HeAac, 2)));
        assert_eq!(format(&[0x11, 0xB0], 6), Some((SoundCodec::Aac, 6)));
    }

    #[test]
    fn cut_files_are_none() {
        let whole = file(Some((1024, 100)), 1024);
        for len in 0..whole.len() {
            read(&mut Cursor::new(&whole[..len])).unwrap();
        }
    }

    #[test]
    fn packets_are_cut_at_the_edges() {
        let edit = Edit { start: 1500, end: Some(4000) };
        assert_eq!(edit.outside(0, 1024), (1024, 0));
        assert_eq!(edit.outside(1024, 1024), (476, 0));
        assert_eq!(edit.outside(2048, 1024), (0, 0));
        assert_eq!(edit.outside(3072, 1024), (0, 96));
        assert_eq!(edit.outside(4096, 1024), (0, 1024));
        assert_eq!(edit.outside(i64::MIN, u64::MAX).0, i64::MAX.unsigned_abs());
    }
}
