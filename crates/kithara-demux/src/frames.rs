//! Headers of self-delimiting audio frames: how long a frame is and what it holds.

pub(crate) mod ac3;
pub(crate) mod adts;
pub(crate) mod asc;
mod codebooks;
pub(crate) mod framer;
pub(crate) mod mpeg;
mod raw_block;
pub(crate) mod timer;
pub(crate) mod xing;

use bytes::Bytes;

use crate::Container;
use crate::track::{AacExtension, AudioFormat, Codec};

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
            (Self::Adts, [first, rest @ ..]) => *first == 0xFF && rest.first().is_none_or(|byte| byte & 0xF6 == 0xF0),
            (Self::Mpeg, [first, rest @ ..]) => *first == 0xFF && rest.first().is_none_or(|byte| byte & 0xE0 == 0xE0),
            (Self::Ac3, [first, rest @ ..]) => *first == 0x0B && rest.first().is_none_or(|byte| *byte == 0x77),
        };
        if !sync {
            return Boundary::NoFrame;
        }
        if bytes.len() < self.header_len() {
            return Boundary::NeedMore;
        }
        self.head(bytes).map_or(Boundary::NoFrame, |head| Boundary::Frame(head.len))
    }

    /// What the frame at the start of `bytes` is; `None` if there is none or its header is cut.
    pub(crate) fn head(self, bytes: &[u8]) -> Option<FrameHead> {
        match self {
            Self::Adts => adts::AdtsHeader::parse(bytes).map(FrameHead::of_adts),
            Self::Mpeg => mpeg::MpegHeader::parse(bytes).map(FrameHead::of_mpeg),
            Self::Ac3 => ac3::Ac3Header::parse(bytes).map(FrameHead::of_ac3),
        }
    }
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// Bytes of it that decoders are not given.
    pub(crate) header_len: usize,
    pub(crate) codec: Codec,
    pub(crate) format: AudioFormat,
    /// Samples per channel.
    pub(crate) samples: u32,
    /// It belongs to the access unit of the frame before it.
    pub(crate) is_dependent: bool,
    /// Frames that belong to its access unit may follow.
    pub(crate) takes_dependents: bool,
    /// What says where the access units in it are; `None` where it is one itself.
    blocks: Option<adts::AdtsHeader>,
    asc: Option<[u8; 2]>,
}

impl FrameHead {
    fn of_adts(header: adts::AdtsHeader) -> Self {
        Self {
            len: header.frame_len,
            header_len: header.header_len,
            codec: Codec::Aac,
            format: asc::format_of_adts(&header),
            samples: u32::from(header.blocks) * adts::BLOCK_SAMPLES,
            is_dependent: false,
            takes_dependents: false,
            blocks: Some(header),
            asc: Some(asc::from_adts(&header)),
        }
    }

    fn of_mpeg(header: mpeg::MpegHeader) -> Self {
        let codec = [Codec::Mp1, Codec::Mp2, Codec::Mp3][usize::from(header.layer) - 1];
        let format = AudioFormat {
            sample_rate: header.sample_rate,
            channels: u16::from(header.channels),
            extension: AacExtension::Absent,
        };
        Self { codec, format, ..Self::plain(header.frame_len, header.samples, format) }
    }

    fn of_ac3(header: ac3::Ac3Header) -> Self {
        let format = AudioFormat {
            sample_rate: header.sample_rate,
            channels: u16::from(header.channels),
            extension: AacExtension::Absent,
        };
        Self {
            codec: if header.is_enhanced { Codec::Eac3 } else { Codec::Ac3 },
            is_dependent: header.is_dependent,
            takes_dependents: header.is_enhanced,
            ..Self::plain(header.frame_len, header.samples, format)
        }
    }

    const fn plain(len: usize, samples: u32, format: AudioFormat) -> Self {
        Self {
            len,
            header_len: 0,
            codec: Codec::Mp3,
            format,
            samples,
            is_dependent: false,
            takes_dependents: false,
            blocks: None,
            asc: None,
        }
    }

    /// The access units in the frame's `data` with the samples of each; `None` for one that cannot be found.
    pub(crate) fn units(&self, data: Bytes) -> impl Iterator<Item = (u32, Option<Bytes>)> + use<> {
        let (count, samples, blocks) = match &self.blocks {
            None => (1, self.samples, [Some(data), None, None, None]),
            Some(header) => (usize::from(header.blocks), adts::BLOCK_SAMPLES, adts::blocks(header, data)),
        };
        blocks.into_iter().take(count).map(move |block| (samples, block))
    }

    /// What the decoder must be given first.
    pub(crate) fn config(&self) -> &[u8] {
        self.asc.as_ref().map_or(&[], |asc| &asc[..])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A 48 kHz stereo AAC-LC frame with `payload` bytes behind its header.
    pub(crate) fn adts_frame(payload: usize) -> Vec<u8> {
        let len = payload + adts::HEADER_LEN;
        let mut frame =
            vec![0xFF, 0xF1, 0x4C, 0x80 | (len >> 11) as u8, (len >> 3) as u8, (len << 5) as u8 | 0x1F, 0xFC];
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
