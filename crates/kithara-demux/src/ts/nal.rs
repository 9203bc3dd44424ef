//! NAL units in an Annex B byte stream: where they begin, and which of them begin a picture (ITU-T H.264 7.4.1.2.3, ITU-T H.265 7.4.2.4.4).

use crate::track::Codec;

/// Bytes of a NAL unit that tell what it is: its header, and the first byte of a slice.
const HEAD_LEN: usize = 3;

/// Finds NAL units in a stream that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct NalScanner {
    /// Bytes seen.
    at: u64,
    /// Zeros directly in front of the next byte.
    zeros: u64,
    /// The NAL unit whose head is being read.
    open: Option<NalStart>,
}

/// The beginning of a NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NalStart {
    /// Place of its start code in the stream, the zero in front of it included.
    pub(crate) start: u64,
    head: [u8; HEAD_LEN],
    len: usize,
}

/// What a NAL unit means for the pictures around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NalRole {
    /// The first slice of a picture.
    Picture { is_key: bool },
    /// Comes in front of a picture: delimiter, parameter sets, messages.
    Prologue,
    /// Belongs to the picture before it.
    Other,
}

impl NalScanner {
    /// A scanner for a stream that goes on at a place, in front of which nothing counts.
    pub(crate) const fn at(place: u64) -> Self {
        Self { at: place, zeros: 0, open: None }
    }

    /// Reads `bytes` up to the first NAL unit whose head ends in them. Gives that and the rest of the bytes.
    pub(crate) fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<(NalStart, &'a [u8])> {
        for (index, byte) in bytes.iter().enumerate() {
            self.at += 1;
            let found = self.byte(*byte);
            if let Some(found) = found {
                return Some((found, &bytes[index + 1..]));
            }
        }
        None
    }

    fn byte(&mut self, byte: u8) -> Option<NalStart> {
        if let Some(open) = &mut self.open {
            open.head[open.len] = byte;
            open.len += 1;
        }
        let zeros = if byte == 0 { self.zeros + 1 } else { 0 };
        let before = std::mem::replace(&mut self.zeros, zeros);
        let is_start_code = byte == 1 && before >= 2;
        let whole = self.open.filter(|open| open.len == HEAD_LEN);
        if is_start_code {
            self.open = Some(NalStart { start: self.at - 1 - before.min(3), head: [0; HEAD_LEN], len: 0 });
        } else if whole.is_some() {
            self.open = None;
        }
        whole
    }
}

impl NalStart {
    /// What the unit means in a stream of this codec.
    pub(crate) fn role(&self, codec: Codec) -> NalRole {
        if codec == Codec::Hevc { self.role_in_hevc() } else { self.role_in_h264() }
    }

    /// A slice begins a picture when its first macroblock is number 0, which is written as a single one.
    fn role_in_h264(&self) -> NalRole {
        match self.head[0] & 0x1F {
            kind @ (1 | 2 | 5) if self.head[1] & 0x80 != 0 => NalRole::Picture { is_key: kind == 5 },
            6..=9 | 14..=18 => NalRole::Prologue,
            _ => NalRole::Other,
        }
    }

    fn role_in_hevc(&self) -> NalRole {
        match self.head[0] >> 1 & 0x3F {
            kind @ 0..=31 if self.head[2] & 0x80 != 0 => NalRole::Picture { is_key: matches!(kind, 16..=23) },
            32..=35 | 39 | 41..=44 | 48..=55 => NalRole::Prologue,
            _ => NalRole::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: NalRole = NalRole::Picture { is_key: true };
    const PICTURE: NalRole = NalRole::Picture { is_key: false };

    #[track_caller]
    fn check(codec: Codec, stream: &[u8], want: &[(u64, NalRole)]) {
        for portion in 1..=stream.len() {
            let mut scanner = NalScanner::default();
            let mut found = Vec::new();
            for mut bytes in stream.chunks(portion) {
                while let Some((unit, rest)) = scanner.next(bytes) {
                    found.push((unit.start, unit.role(codec)));
                    bytes = rest;
                }
            }
            assert_eq!(found, want, "in portions of {portion}");
        }
    }

    #[test]
    fn units_of_h264_are_found_and_told_apart() {
        let stream = b"\0\0\0\x01\x09\xF0\x11\0\0\x01\x67\x42\x00\x0A\0\0\0\0\x01\x65\x88\x80\0\0\x01\x65\x08\x80\0\0\x01\x41\x9A\x00";
        check(
            Codec::H264,
            stream,
            &[(0, NalRole::Prologue), (7, NalRole::Prologue), (15, KEY), (22, NalRole::Other), (28, PICTURE)],
        );
    }

    #[test]
    fn units_of_hevc_are_found_and_told_apart() {
        let stream = b"\0\0\0\x01\x46\x01\x50\0\0\x01\x26\x01\xAF\0\0\x01\x02\x01\xD0\0\0\x01\x02\x01\x50";
        check(Codec::Hevc, stream, &[(0, NalRole::Prologue), (7, KEY), (13, PICTURE), (19, NalRole::Other)]);
    }

    #[test]
    fn a_stream_without_start_codes_has_no_units() {
        check(Codec::H264, &[0, 0, 2, 0, 1, 0, 0, 3, 1], &[]);
    }
}
