//! Movie headers: the `moov` box (ISO/IEC 14496-12, 8.2 to 8.8).

use std::num::NonZeroU32;

use super::fragment::SampleDefaults;
use super::sample_entry::SampleEntry;
use super::{FourCc, boxes, find, full_box};
use crate::cursor::Cursor;
use crate::track::{Access, Gapless, Track, TrackId, TrackKind};
use crate::{Timestamp, gapless};

/// Tracks that are looked at. No presentation has so many, and each fragment is compared with all of them.
const MAX_TRACKS: usize = 256;

/// Characters of the longest language tag.
const MAX_LANGUAGE: usize = 64;

/// A parsed `moov`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Movie {
    pub(crate) tracks: Vec<MovieTrack>,
}

/// A `trak` and its `trex`.
#[derive(Clone, Debug)]
pub(crate) struct MovieTrack {
    pub(crate) id: u32,
    pub(crate) timescale: NonZeroU32,
    /// Four characters of `hdlr`: `soun`, `vide`, `text`, ...
    pub(crate) handler: FourCc,
    pub(crate) language: Option<String>,
    pub(crate) entries: Vec<SampleEntry>,
    pub(crate) edit: Edit,
    pub(crate) gapless: Option<Gapless>,
    /// Sample description index and values for samples that state none, of `trex`.
    pub(crate) description: u32,
    pub(crate) defaults: SampleDefaults,
}

/// What an edit list, or the note of iTunes in its place, does to a track. In ticks of the track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// To add to composition times to present them: what is delayed minus what is cut off the front.
    pub(crate) shift: i64,
    /// Composition time in front of which nothing is presented.
    pub(crate) start: i64,
    /// Composition time from which on nothing is presented, where that is said.
    pub(crate) end: Option<i64>,
}

impl Movie {
    /// Parses the payload of a `moov`. Tracks whose boxes are missing or cut are left out.
    pub(crate) fn parse(moov: &[u8]) -> Self {
        let movie_timescale = find(moov, b"mvhd").and_then(timescale);
        let note = find(moov, b"udta").and_then(itunes_note);
        let traks = boxes(moov).filter(|(kind, _)| kind == b"trak");
        let mut tracks: Vec<_> =
            traks.filter_map(|(_, trak)| MovieTrack::parse(trak, movie_timescale, note)).take(MAX_TRACKS).collect();
        for (_, trex) in boxes(find(moov, b"mvex").unwrap_or_default()).filter(|(kind, _)| kind == b"trex") {
            read_trex(trex, &mut tracks);
        }
        Self { tracks }
    }
}

impl MovieTrack {
    fn parse(trak: &[u8], movie_timescale: Option<NonZeroU32>, note: Option<Gapless>) -> Option<Self> {
        let (version, _, mut header) = full_box(find(trak, b"tkhd")?)?;
        header.take(if version == 0 { 8 } else { 16 })?;
        let id = header.u32()?;
        let media = find(trak, b"mdia")?;
        let media_header = find(media, b"mdhd")?;
        let timescale = timescale(media_header)?;
        let handler = *find(media, b"hdlr")?.get(8..)?.first_chunk::<4>()?;
        let table = find(media, b"minf").and_then(|minf| find(minf, b"stbl")).and_then(|stbl| find(stbl, b"stsd"));
        let entries = SampleEntry::all(table.unwrap_or_default(), &handler);
        let gapless = note.filter(|_| handler == *b"soun");
        let edits = find(trak, b"edts").and_then(|edts| find(edts, b"elst"));
        let listed = edits.and_then(|list| read_edits(list, movie_timescale?, timescale));
        let rate =
            entries.first().and_then(|entry| entry.audio).map(|audio| audio.sample_rate).and_then(NonZeroU32::new);
        let noted = gapless.zip(rate).and_then(|(gapless, rate)| Edit::from_note(gapless, rate, timescale));
        let edit = listed.filter(|edit| edit.shift != 0).or(noted).or(listed).unwrap_or_default();
        let language = find(media, b"elng").and_then(extended_language).or_else(|| language(media_header));
        Some(Self {
            id,
            timescale,
            handler,
            language,
            entries,
            edit,
            gapless,
            description: 1,
            defaults: SampleDefaults::default(),
        })
    }

    /// The sample entry that is taken to hold until a fragment names one: that of `trex`, unless it is encrypted and another
    /// one is not. Streams that begin in the clear have both.
    pub(crate) fn first_description(&self) -> u32 {
        let is_clear = |index: &u32| self.announce(*index).is_some_and(|track| track.access == Access::Clear);
        let entries = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        if is_clear(&self.description) {
            return self.description;
        }
        (1..=entries).find(is_clear).unwrap_or(self.description)
    }

    /// The track as it is announced, with the sample entry of this index.
    pub(crate) fn announce(&self, description: u32) -> Option<Track> {
        let entry = self.entries.get(usize::try_from(description).ok()?.checked_sub(1)?)?;
        let mut track = Track::new(TrackId(self.id), entry.codec, self.timescale);
        track.kind = match &self.handler {
            b"soun" => TrackKind::Audio,
            b"vide" => TrackKind::Video,
            b"text" | b"subt" | b"sbtl" | b"clcp" => TrackKind::Text,
            b"meta" => TrackKind::Metadata,
            _ => track.kind,
        };
        if entry.is_encrypted {
            track.access = Access::Encrypted;
        }
        track.config = entry.config.clone();
        track.audio = entry.audio;
        track.video = entry.video;
        track.language.clone_from(&self.language);
        track.gapless = self.gapless;
        Some(track)
    }
}

impl Edit {
    /// What a note of added samples means for the times of a track.
    fn from_note(note: Gapless, rate: NonZeroU32, timescale: NonZeroU32) -> Option<Self> {
        let ticks = |samples: u64| Some(Timestamp::new(i64::try_from(samples).ok()?, rate).rescale(timescale));
        let start = ticks(u64::from(note.start))?;
        let end = match note.samples {
            Some(samples) => Some(ticks(samples.checked_add(u64::from(note.start))?)?),
            None => None,
        };
        Some(Self { shift: -start, start, end })
    }
}

/// The timescale of an `mvhd` or `mdhd`: both hold it behind two times.
fn timescale(payload: &[u8]) -> Option<NonZeroU32> {
    let (version, _, mut cursor) = full_box(payload)?;
    cursor.take(if version == 0 { 8 } else { 16 })?;
    NonZeroU32::new(cursor.u32()?)
}

/// The language of an `mdhd`: three letters, five bits each. `und` is none.
fn language(payload: &[u8]) -> Option<String> {
    let (version, _, mut cursor) = full_box(payload)?;
    cursor.take(if version == 0 { 16 } else { 28 })?;
    let packed = cursor.u16()?;
    let letters = [packed >> 10, packed >> 5, packed].map(|letter| (letter & 0x1F) as u8 + 0x60);
    let valid = letters.iter().all(u8::is_ascii_lowercase) && letters != *b"und";
    valid.then(|| String::from_utf8_lossy(&letters).into_owned())
}

/// The BCP 47 tag of an `elng`.
fn extended_language(payload: &[u8]) -> Option<String> {
    let tag = payload.get(4..)?.split(|byte| *byte == 0).next()?;
    let valid =
        (1..=MAX_LANGUAGE).contains(&tag.len()) && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    valid.then(|| String::from_utf8_lossy(tag).into_owned())
}

/// Reads an `elst`. Empty edits in front delay, the first media edit cuts. How long that edit lasts is not taken for the end of a fragmented
/// file, since writers do not know it when they write the header.
fn read_edits(list: &[u8], movie: NonZeroU32, media: NonZeroU32) -> Option<Edit> {
    let (version, _, mut cursor) = full_box(list)?;
    let count = cursor.u32()?;
    let mut delay = 0_i64;
    for _ in 0..count {
        let (duration, media_time) = if version == 0 {
            (i64::from(cursor.u32()?), i64::from(cursor.i32()?))
        } else {
            (cursor.i64()?, cursor.i64()?)
        };
        cursor.take(4)?;
        if media_time >= 0 {
            return Some(Edit { shift: delay.checked_sub(media_time)?, start: media_time, end: None });
        }
        delay = delay.checked_add(Timestamp::new(duration, movie).rescale(media))?;
    }
    Some(Edit { shift: delay, ..Edit::default() })
}

/// The values of a `trex` for the track it names.
fn read_trex(trex: &[u8], tracks: &mut [MovieTrack]) -> Option<()> {
    let (_, _, mut cursor) = full_box(trex)?;
    let id = cursor.u32()?;
    let track = tracks.iter_mut().find(|track| track.id == id)?;
    track.description = cursor.u32()?;
    track.defaults =
        SampleDefaults { duration: Some(cursor.u32()?), size: Some(cursor.u32()?), flags: Some(cursor.u32()?) };
    Some(())
}

/// What iTunes notes of added samples among the items of a `udta`.
fn itunes_note(udta: &[u8]) -> Option<Gapless> {
    let items = find(find(udta, b"meta")?.get(4..)?, b"ilst")?;
    boxes(items).filter(|(kind, _)| kind == b"----").find_map(|(_, item)| {
        let name = find(item, b"name")?.get(4..)?;
        let note = Cursor::new(find(item, b"data")?).rest().get(8..)?;
        (name == gapless::NAME).then(|| gapless::parse(note))?
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::sample_entry::tests::{esds, sound_entry, stsd};
    use super::super::tests::{mp4_box, mp4_full_box};
    use super::*;

    /// The movie timescale of [`moov`].
    const MOVIE_TIMESCALE: u32 = 1000;

    /// A `moov` around `traks`.
    pub(crate) fn moov(traks: &[&[u8]]) -> Vec<u8> {
        let mvhd = mp4_full_box(b"mvhd", 0, 0, &[&[0; 8], &MOVIE_TIMESCALE.to_be_bytes(), &[0; 80]]);
        mp4_box(b"moov", &[&mvhd, &traks.concat()])
    }

    /// A `trak` with edits given as media time (-1 for an empty one) and duration, and with a sample entry.
    pub(crate) fn trak(id: u32, timescale: u32, handler: &FourCc, edits: &[(i32, u32)], entry: &[u8]) -> Vec<u8> {
        let entries: Vec<u8> = edits
            .iter()
            .flat_map(|(time, duration)| [duration.to_be_bytes(), time.to_be_bytes(), [0, 1, 0, 0]].concat())
            .collect();
        let count = (edits.len() as u32).to_be_bytes();
        let elst = mp4_full_box(b"elst", 0, 0, &[&count, &entries]);
        let language = [0x15, 0xC7, 0, 0];
        let media = [
            mp4_full_box(b"mdhd", 0, 0, &[&[0; 8], &timescale.to_be_bytes(), &[0; 4], &language]),
            mp4_full_box(b"hdlr", 0, 0, &[&[0; 4], handler, &[0; 13]]),
            mp4_box(b"minf", &[&mp4_box(b"stbl", &[&mp4_box(b"stsd", &[&stsd(entry)])])]),
        ];
        let header = mp4_full_box(b"tkhd", 0, 7, &[&[0; 8], &id.to_be_bytes(), &[0; 68]]);
        mp4_box(b"trak", &[&header, &mp4_box(b"edts", &[&elst]), &mp4_box(b"mdia", &[&media.concat()])])
    }

    /// A `trak` of 48 kHz stereo AAC.
    pub(crate) fn aac_trak(id: u32, edits: &[(i32, u32)]) -> Vec<u8> {
        trak(id, 48_000, b"soun", edits, &sound_entry(b"mp4a", 2, 48_000, &esds(&[0x11, 0x90])))
    }

    fn parse(traks: &[&[u8]]) -> Movie {
        Movie::parse(&moov(traks)[8..])
    }

    #[track_caller]
    fn check(edits: &[(i32, u32)], shift: i64, start: i64) {
        let track = parse(&[&aac_trak(3, edits)]).tracks.remove(0);
        assert_eq!(track.edit, Edit { shift, start, end: None }, "{edits:?}");
    }

    #[test]
    fn edits_delay_and_cut() {
        check(&[], 0, 0);
        check(&[(0, 0)], 0, 0);
        check(&[(1024, 0)], -1024, 1024);
        check(&[(-1, 500)], 24_000, 0);
        check(&[(-1, 500), (-1, 500), (312, 9000)], 48_000 - 312, 312);
        check(&[(100, 1), (5000, 1)], -100, 100);
    }

    #[test]
    fn a_track_is_announced_with_its_first_entry() {
        let track = parse(&[&aac_trak(3, &[])]).tracks.remove(0);
        let announced = track.announce(1).unwrap();
        assert_eq!(
            (announced.id, announced.timescale.get(), &announced.config[..]),
            (TrackId(3), 48_000, &[0x11, 0x90][..])
        );
        assert_eq!((announced.language.as_deref(), announced.kind), (Some("eng"), TrackKind::Audio));
        assert_eq!((track.announce(0), track.announce(2)), (None, None));
    }

    #[test]
    fn a_track_without_its_headers_is_left_out() {
        let no_clock = trak(2, 0, b"soun", &[], &[]);
        let movie = parse(&[&no_clock, &mp4_box(b"trak", &[]), &aac_trak(1, &[])]);
        assert_eq!(movie.tracks.iter().map(|track| track.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn defaults_come_from_mvex() {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>();
        let trex = |id| mp4_full_box(b"trex", 0, 0, &[&words(&[id, 1, 1024, 7, 9])]);
        let movie = parse(&[&aac_trak(1, &[]), &mp4_box(b"mvex", &[&trex(5), &trex(1)])]);
        assert_eq!(movie.tracks[0].defaults, SampleDefaults { duration: Some(1024), size: Some(7), flags: Some(9) });
    }

    #[test]
    fn the_note_of_itunes_stands_in_for_an_edit_list() {
        let note = b"\0\0\0\x01\0\0\0\0 00000000 00000840 00000100 0000000000001000";
        let item = mp4_box(b"----", &[&mp4_full_box(b"name", 0, 0, &[b"iTunSMPB"]), &mp4_box(b"data", &[note])]);
        let udta = mp4_box(b"udta", &[&mp4_full_box(b"meta", 0, 0, &[&mp4_box(b"ilst", &[&item])])]);
        let edit = |edits| parse(&[&aac_trak(1, edits), &udta]).tracks[0].edit;
        assert_eq!(edit(&[(0, 0)]), Edit { shift: -2112, start: 2112, end: Some(2112 + 4096) });
        assert_eq!(edit(&[(1024, 0)]), Edit { shift: -1024, start: 1024, end: None });
    }
}
