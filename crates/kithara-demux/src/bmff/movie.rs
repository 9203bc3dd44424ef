//! Movie headers: the `moov` box, as far as time needs it (ISO/IEC 14496-12, 8.2 to 8.8).

use std::num::NonZeroU32;

use super::{boxes, find, full_box};

/// A parsed `moov`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Movie {
    pub(crate) tracks: Vec<MovieTrack>,
}

/// A `trak`.
#[derive(Clone, Debug)]
pub(crate) struct MovieTrack {
    pub(crate) id: u32,
    pub(crate) timescale: NonZeroU32,
    /// Four characters of `hdlr`: `soun`, `vide`, `text`, ...
    pub(crate) handler: [u8; 4],
    /// Ticks to add to composition times to present them: what an edit list delays minus what it cuts off the front.
    pub(crate) shift: i64,
}

impl Movie {
    /// Parses the payload of a `moov`. Tracks whose boxes are missing or cut are left out.
    pub(crate) fn parse(moov: &[u8]) -> Self {
        let movie_timescale = find(moov, b"mvhd").and_then(timescale_at_version);
        let tracks = boxes(moov)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, trak)| MovieTrack::parse(trak, movie_timescale));
        Self {
            tracks: tracks.collect(),
        }
    }
}

impl MovieTrack {
    fn parse(trak: &[u8], movie_timescale: Option<NonZeroU32>) -> Option<Self> {
        let (version, _, mut header) = full_box(find(trak, b"tkhd")?)?;
        header.take(if version == 0 { 8 } else { 16 })?;
        let id = header.u32()?;
        let media = find(trak, b"mdia")?;
        let timescale = timescale_at_version(find(media, b"mdhd")?)?;
        let handler = *find(media, b"hdlr")?.get(8..)?.first_chunk::<4>()?;
        let edits = find(trak, b"edts").and_then(|edts| find(edts, b"elst"));
        let shift = edits
            .and_then(|list| edit_shift(list, movie_timescale?, timescale))
            .unwrap_or(0);
        Some(Self {
            id,
            timescale,
            handler,
            shift,
        })
    }
}

/// The timescale of an `mvhd` or `mdhd`: both hold it behind two times.
fn timescale_at_version(payload: &[u8]) -> Option<NonZeroU32> {
    let (version, _, mut cursor) = full_box(payload)?;
    cursor.take(if version == 0 { 8 } else { 16 })?;
    NonZeroU32::new(cursor.u32()?)
}

/// What an `elst` adds to composition times, in media ticks. An empty edit delays, the first media edit cuts.
fn edit_shift(list: &[u8], movie: NonZeroU32, media: NonZeroU32) -> Option<i64> {
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
            return delay.checked_sub(media_time);
        }
        delay = delay.checked_add(crate::Timestamp::new(duration, movie).rescale(media))?;
    }
    Some(delay)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{mp4_box, mp4_full_box};
    use super::*;

    /// The movie timescale of [`moov`].
    const MOVIE_TIMESCALE: u32 = 1000;

    /// A `moov` around `traks`.
    pub(crate) fn moov(traks: &[&[u8]]) -> Vec<u8> {
        let mvhd = mp4_full_box(
            b"mvhd",
            0,
            0,
            &[&[0; 8], &MOVIE_TIMESCALE.to_be_bytes(), &[0; 80]],
        );
        mp4_box(b"moov", &[&mvhd, &traks.concat()])
    }

    /// A `trak` with edits given as media time (-1 for an empty one) and duration.
    pub(crate) fn trak(
        id: u32,
        timescale: u32,
        handler: &[u8; 4],
        edits: &[(i32, u32)],
    ) -> Vec<u8> {
        let entries: Vec<u8> = edits
            .iter()
            .flat_map(|(time, duration)| {
                [duration.to_be_bytes(), time.to_be_bytes(), [0, 1, 0, 0]].concat()
            })
            .collect();
        let count = (edits.len() as u32).to_be_bytes();
        mp4_box(
            b"trak",
            &[
                &mp4_full_box(b"tkhd", 0, 7, &[&[0; 8], &id.to_be_bytes(), &[0; 68]]),
                &mp4_box(
                    b"edts",
                    &[&mp4_full_box(b"elst", 0, 0, &[&count, &entries])],
                ),
                &mp4_box(
                    b"mdia",
                    &[
                        &mp4_full_box(b"mdhd", 0, 0, &[&[0; 8], &timescale.to_be_bytes(), &[0; 8]]),
                        &mp4_full_box(b"hdlr", 0, 0, &[&[0; 4], handler, &[0; 13]]),
                    ],
                ),
            ],
        )
    }

    #[track_caller]
    fn check(edits: &[(i32, u32)], want: i64) {
        let moov = moov(&[&trak(3, 48_000, b"soun", edits)]);
        let movie = Movie::parse(&moov[8..]);
        let track = &movie.tracks[0];
        assert_eq!(
            (track.id, track.timescale.get(), &track.handler, track.shift),
            (3, 48_000, b"soun", want),
            "{edits:?}"
        );
    }

    #[test]
    fn edits_delay_and_cut() {
        check(&[], 0);
        check(&[(0, 0)], 0);
        check(&[(1024, 0)], -1024);
        check(&[(-1, 500)], 24_000);
        check(&[(-1, 500), (-1, 500), (312, 9000)], 48_000 - 312);
        check(&[(100, 1), (5000, 1)], -100);
    }

    #[test]
    fn a_track_without_its_headers_is_left_out() {
        let whole = trak(1, 48_000, b"soun", &[]);
        let no_clock = trak(2, 0, b"soun", &[]);
        let moov = moov(&[&no_clock, &mp4_box(b"trak", &[]), &whole]);
        assert_eq!(
            Movie::parse(&moov[8..])
                .tracks
                .iter()
                .map(|track| track.id)
                .collect::<Vec<_>>(),
            [1]
        );
    }
}
