//! The frame that encoders put in front of an MP3 stream: silent, with a table of the whole file inside (Xing, Info, VBRI), and LAME's note of
//! how many samples it added.

use super::mpeg::{HEADER_LEN, MpegHeader};
use crate::cursor::Cursor;
use crate::track::Gapless;

/// Samples by which every layer III decoder lags, 528 and one.
pub(crate) const DECODER_DELAY: u32 = 529;

/// Bytes behind a Xing header in which LAME names itself, up to its delay field.
const LAME_DELAY_AT: usize = 21;

/// What such a frame says of the samples behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) gapless: Gapless,
    /// Samples of all the frames it describes, added ones included.
    pub(crate) total: Option<u64>,
    /// Whether the encoder says that it added some in front. One that only cut its output here says that it did not.
    pub(crate) begins: bool,
}

/// Looks whether `frame` is such a frame. The inner value is what it says of added samples.
pub(crate) fn read(frame: &[u8]) -> Option<Option<Note>> {
    let header = MpegHeader::parse(frame).filter(|header| header.layer == 3)?;
    let side_info = side_info_len(&header);
    if frame.get(HEADER_LEN + 32..)?.starts_with(b"VBRI") {
        return Some(None);
    }
    let mut cursor = Cursor::new(frame.get(HEADER_LEN + side_info..)?);
    if !matches!(&cursor.array::<4>()?, b"Xing" | b"Info") {
        return None;
    }
    Some(read_lame(cursor, header.samples))
}

/// Whether a frame needs bits of frames before it, and so was made together with them.
pub(crate) fn borrows(frame: &[u8]) -> bool {
    let Some(header) = MpegHeader::parse(frame).filter(|header| header.layer == 3) else { return false };
    let has_checksum = frame[1] & 1 == 0;
    let side_info = frame.get(if has_checksum { HEADER_LEN + 2 } else { HEADER_LEN }..).unwrap_or_default();
    // Nine bits in MPEG-1, eight in MPEG-2.
    match side_info {
        [first, second, ..] => *first > 0 || (header.is_mpeg1 && *second & 0x80 != 0),
        _ => false,
    }
}

const fn side_info_len(header: &MpegHeader) -> usize {
    match (header.is_mpeg1, header.channels) {
        (true, 1) | (false, 2) => 17,
        (true, _) => 32,
        (false, _) => 9,
    }
}

fn read_lame(mut cursor: Cursor<'_>, frame_samples: u32) -> Option<Note> {
    let flags = cursor.u32()?;
    let frames = if flags & 1 == 0 { None } else { Some(cursor.u32()?) };
    for (flag, len) in [(2, 4), (4, 100), (8, 4)] {
        if flags & flag != 0 {
            cursor.take(len)?;
        }
    }
    let tag = cursor.take(LAME_DELAY_AT + 3)?;
    if !["LAME", "Lavf", "Lavc", "L3.9"].iter().any(|name| tag.starts_with(name.as_bytes())) {
        return None;
    }
    let [a, b, c] = [tag[LAME_DELAY_AT], tag[LAME_DELAY_AT + 1], tag[LAME_DELAY_AT + 2]].map(u32::from);
    let (delay, padding) = (a << 4 | b >> 4, (b & 0x0F) << 8 | c);
    let total = frames.map(|frames| u64::from(frames) * u64::from(frame_samples));
    let gapless = Gapless {
        start: delay + DECODER_DELAY,
        end: padding.saturating_sub(DECODER_DELAY),
        samples: total.and_then(|total| total.checked_sub(u64::from(delay + padding))),
    };
    Some(Note { gapless, total, begins: delay > 0 })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A 44.1 kHz stereo frame with an Info header by LAME.
    pub(crate) fn info_frame(frames: u32, delay: u32, padding: u32) -> Vec<u8> {
        let mut frame = vec![0xFF, 0xFB, 0x90, 0x00];
        frame.resize(HEADER_LEN + 32, 0);
        frame.extend_from_slice(b"Info\0\0\0\x0F");
        frame.extend_from_slice(&frames.to_be_bytes());
        frame.extend_from_slice(&[0; 108]);
        frame.extend_from_slice(b"LAME3.100");
        frame.extend_from_slice(&[0; 12]);
        frame.extend_from_slice(&(delay << 12 | padding).to_be_bytes()[1..]);
        frame.resize(417, 0);
        frame
    }

    #[test]
    fn delay_and_padding_are_read() {
        let want = Gapless { start: 576 + 529, end: 1000 - 529, samples: Some(10 * 1152 - 1576) };
        let note = |frames: u64, gapless| Some(Some(Note { gapless, total: Some(frames * 1152), begins: true }));
        assert_eq!(read(&info_frame(10, 576, 1000)), note(10, want));
        assert_eq!(read(&info_frame(1, 576, 1000)), note(1, Gapless { samples: None, ..want }));
        assert_eq!(read(&info_frame(1, 576, 100)), note(1, Gapless { end: 0, samples: Some(476), ..want }));
    }

    #[test]
    fn a_frame_that_borrows_bits_is_told() {
        let frame = |head: [u8; 4], rest: &[u8]| borrows(&[&head, rest, &[0; 500]].concat());
        let (mpeg1, mpeg2, checked) = ([0xFF, 0xFB, 0x90, 0], [0xFF, 0xF3, 0x84, 0xC0], [0xFF, 0xFA, 0x90, 0]);
        assert!(frame(mpeg1, &[0, 0x80]) && frame(mpeg1, &[1, 0]) && !frame(mpeg1, &[0, 0x7F]));
        assert!(frame(mpeg2, &[1, 0]) && !frame(mpeg2, &[0, 0xFF]));
        assert!(frame(checked, &[0, 0, 1]) && !frame(checked, &[9, 9, 0, 0]));
        assert!(!borrows(&mpeg1) && !borrows(b"something else"));
    }

    #[test]
    fn other_encoders_and_other_tables_say_nothing_of_added_samples() {
        let mut frame = info_frame(10, 576, 1000);
        frame[HEADER_LEN + 32 + 120..][..4].copy_from_slice(b"GOGO");
        assert_eq!(read(&frame), Some(None));
        let mut frame = info_frame(10, 576, 1000);
        frame[HEADER_LEN + 32..][..4].copy_from_slice(b"VBRI");
        assert_eq!(read(&frame), Some(None));
    }

    #[test]
    fn a_frame_of_sound_is_none() {
        assert_eq!(read(&super::super::tests::mp3_frame()), None);
        assert_eq!(read(&info_frame(10, 576, 1000)[..37]), None);
    }
}
