//! The frame that encoders put in front of an MP3 stream: silent, with a table of the whole file inside (Xing, Info, VBRI), and LAME's note of
//! how many samples it added.

use super::mpeg::{HEADER_LEN, MpegHeader};
use crate::cursor::Cursor;
use crate::track::Gapless;

/// Samples by which every layer III decoder lags, 528 and one.
pub(crate) const DECODER_DELAY: u32 = 529;

/// Bytes behind a Xing header in which LAME names itself, up to its delay field.
const LAME_DELAY_AT: usize = 21;

/// Looks whether `frame` is such a frame. The inner value is what it says of added samples.
pub(crate) fn read(frame: &[u8]) -> Option<Option<Gapless>> {
    let header = MpegHeader::parse(frame).filter(|header| header.layer == 3)?;
    let side_info = match (header.is_mpeg1, header.channels) {
        (true, 1) | (false, 2) => 17,
        (true, _) => 32,
        (false, _) => 9,
    };
    if frame.get(HEADER_LEN + 32..)?.starts_with(b"VBRI") {
        return Some(None);
    }
    let mut cursor = Cursor::new(frame.get(HEADER_LEN + side_info..)?);
    if !matches!(&cursor.array::<4>()?, b"Xing" | b"Info") {
        return None;
    }
    Some(read_lame(cursor, header.samples))
}

fn read_lame(mut cursor: Cursor<'_>, frame_samples: u32) -> Option<Gapless> {
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
    Some(Gapless {
        start: delay + DECODER_DELAY,
        end: padding.saturating_sub(DECODER_DELAY),
        samples: total.and_then(|total| total.checked_sub(u64::from(delay + padding))),
    })
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
        assert_eq!(read(&info_frame(10, 576, 1000)), Some(Some(want)));
        assert_eq!(read(&info_frame(1, 576, 1000)), Some(Some(Gapless { samples: None, ..want })));
        assert_eq!(read(&info_frame(1, 576, 100)), Some(Some(Gapless { end: 0, samples: Some(476), ..want })));
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
