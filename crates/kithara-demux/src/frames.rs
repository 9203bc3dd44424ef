//! Headers of self-delimiting audio frames: how long a frame is and what it holds.

pub(crate) mod ac3;
pub(crate) mod adts;
pub(crate) mod mpeg;

use crate::Container;

/// Which frames a packed audio unit or an elementary stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Adts,
    Mpeg,
    Ac3,
}

/// What the bytes at a frame boundary are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// A frame of this many bytes begins here, its header included.
    Frame(usize),
    /// The header is not all there yet.
    NeedMore,
    /// No frame begins here.
    NoFrame,
}

impl Framing {
    pub(crate) const fn of(container: Container) -> Option<Self> {
        match container {
            Container::Adts => Some(Self::Adts),
            Container::Mp3 => Some(Self::Mpeg),
            Container::Ac3 | Container::Eac3 => Some(Self::Ac3),
            _ => None,
        }
    }

    /// Bytes that always suffice to tell a frame's length.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Adts => adts::HEADER_LEN,
            Self::Mpeg => mpeg::HEADER_LEN,
            Self::Ac3 => ac3::HEADER_LEN,
        }
    }

    /// What begins at the start of `bytes`. [`Boundary::NeedMore`] only while all bytes there are could belong to a header.
    pub(crate) fn boundary(self, bytes: &[u8]) -> Boundary {
        let sync = match (self, bytes) {
            (_, []) => true,
            (Self::Adts, [first, rest @ ..]) => {
                *first == 0xFF && rest.first().is_none_or(|byte| byte & 0xF6 == 0xF0)
            }
            (Self::Mpeg, [first, rest @ ..]) => {
                *first == 0xFF && rest.first().is_none_or(|byte| byte & 0xE0 == 0xE0)
            }
            (Self::Ac3, [first, rest @ ..]) => {
                *first == 0x0B && rest.first().is_none_or(|byte| *byte == 0x77)
            }
        };
        if !sync {
            return Boundary::NoFrame;
        }
        if bytes.len() < self.header_len() {
            return Boundary::NeedMore;
        }
        let len = match self {
            Self::Adts => adts::AdtsHeader::parse(bytes).map(|header| header.frame_len),
            Self::Mpeg => mpeg::MpegHeader::parse(bytes).map(|header| header.frame_len),
            Self::Ac3 => ac3::Ac3Header::parse(bytes).map(|header| header.frame_len),
        };
        len.map_or(Boundary::NoFrame, Boundary::Frame)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A 48 kHz stereo AAC-LC frame with `payload` bytes behind its header.
    pub(crate) fn adts_frame(payload: usize) -> Vec<u8> {
        let len = payload + adts::HEADER_LEN;
        let mut frame = vec![
            0xFF,
            0xF1,
            0x4C,
            0x80 | (len >> 11) as u8,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1F,
            0xFC,
        ];
        frame.extend((0..payload).map(|n| n as u8 & 0x7F));
        frame
    }

    /// A 44.1 kHz stereo 128 kbit/s layer III frame.
    pub(crate) fn mp3_frame() -> Vec<u8> {
        let mut frame = vec![0xFF, 0xFB, 0x90, 0x00];
        frame.resize(417, 0x55);
        frame
    }

    #[track_caller]
    fn check(framing: Framing, bytes: &[u8], want: Boundary) {
        assert_eq!(framing.boundary(bytes), want, "{bytes:02x?}");
    }

    #[test]
    fn more_is_asked_for_only_while_a_frame_may_begin() {
        check(Framing::Adts, &[], Boundary::NeedMore);
        check(Framing::Adts, &[0xFF], Boundary::NeedMore);
        check(Framing::Adts, &[0xFF, 0xFB], Boundary::NoFrame);
        check(Framing::Adts, &adts_frame(10)[..6], Boundary::NeedMore);
        check(Framing::Adts, &adts_frame(10)[..7], Boundary::Frame(17));
        check(Framing::Mpeg, &[0xFF, 0xFB], Boundary::NeedMore);
        check(Framing::Mpeg, &mp3_frame(), Boundary::Frame(417));
        check(Framing::Ac3, &[0x0B], Boundary::NeedMore);
        check(Framing::Ac3, &[0x0B, 0x76], Boundary::NoFrame);
    }
}
