//! MPEG audio frame headers, layers I to III (ISO/IEC 11172-3 2.4.1.3, ISO/IEC 13818-3, and the MPEG-2.5 extension).

/// Bytes of a header without its optional checksum.
pub(crate) const HEADER_LEN: usize = 4;

/// kbit/s by bitrate index for MPEG-1 layers I, II, III and for MPEG-2 layer I, then layers II and III.
const BITRATES: [[u16; 15]; 5] = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// One parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MpegHeader {
    /// Bytes of the whole frame, header included.
    pub(crate) frame_len: usize,
    /// 1, 2 or 3.
    pub(crate) layer: u8,
    /// Whether this is MPEG-1, whose layer III side information is longer.
    pub(crate) is_mpeg1: bool,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u8,
    /// Samples per channel in the frame.
    pub(crate) samples: u32,
}

impl MpegHeader {
    /// The header at the start of `bytes`, or `None` if there is none, it is cut, or its length is not stated (free format).
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        if head[0] != 0xFF || head[1] & 0xE0 != 0xE0 {
            return None;
        }
        let version = (head[1] >> 3) & 3;
        let layer = 4 - ((head[1] >> 1) & 3);
        if version == 1 || layer == 4 {
            return None;
        }
        let is_mpeg1 = version == 3;
        let rate = *[44_100_u32, 48_000, 32_000].get(usize::from((head[2] >> 2) & 3))?;
        let sample_rate = match version {
            3 => rate,
            2 => rate / 2,
            _ => rate / 4,
        };
        let row = match (is_mpeg1, layer) {
            (true, layer) => usize::from(layer) - 1,
            (false, 1) => 3,
            (false, _) => 4,
        };
        let bit_rate = match BITRATES[row].get(usize::from(head[2] >> 4)) {
            None | Some(0) => return None,
            Some(kbit) => u32::from(*kbit) * 1000,
        };
        let samples = match (layer, is_mpeg1) {
            (1, _) => 384,
            (3, false) => 576,
            _ => 1152,
        };
        let padding = u32::from((head[2] >> 1) & 1);
        let frame_len = if layer == 1 {
            (12 * bit_rate / sample_rate + padding) * 4
        } else {
            samples / 8 * bit_rate / sample_rate + padding
        };
        let channels = if head[3] >> 6 == 3 { 1 } else { 2 };
        Some(Self { frame_len: frame_len as usize, layer, is_mpeg1, sample_rate, channels, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: [u8; 4], want: Option<(usize, u8, u32, u8, u32)>) {
        let got = MpegHeader::parse(&head).map(|h| (h.frame_len, h.layer, h.sample_rate, h.channels, h.samples));
        assert_eq!(got, want, "{head:02x?}");
    }

    #[test]
    fn lengths_follow_version_layer_rate_and_padding() {
        check([0xFF, 0xFB, 0x90, 0x00], Some((417, 3, 44_100, 2, 1152)));
        check([0xFF, 0xFB, 0x92, 0x00], Some((418, 3, 44_100, 2, 1152)));
        check([0xFF, 0xF3, 0x84, 0xC0], Some((192, 3, 24_000, 1, 576)));
        check([0xFF, 0xE3, 0x18, 0xC0], Some((72, 3, 8_000, 1, 576)));
        check([0xFF, 0xFD, 0x84, 0x00], Some((384, 2, 48_000, 2, 1152)));
        check([0xFF, 0xFF, 0x44, 0x00], Some((128, 1, 48_000, 2, 384)));
    }

    #[test]
    fn reserved_and_free_format_headers_are_refused() {
        check([0xFF, 0xEB, 0x90, 0x00], None);
        check([0xFF, 0xF9, 0x90, 0x00], None);
        check([0xFF, 0xFB, 0xF0, 0x00], None);
        check([0xFF, 0xFB, 0x00, 0x00], None);
        check([0xFF, 0xFB, 0x9C, 0x00], None);
    }
}
