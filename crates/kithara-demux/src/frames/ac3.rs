//! AC-3 and Enhanced AC-3 sync frames (ETSI TS 102 366, clauses 4.3, 4.4 and E.1.2).

/// Bytes that tell the length and the format of a frame.
pub(crate) const HEADER_LEN: usize = 7;

/// kbit/s by half of `frmsizecod` (table 4.13).
const BITRATES: [u16; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const SAMPLE_RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Full-bandwidth channels by `acmod`.
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];

/// One parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ac3Header {
    /// Bytes of the whole frame, header included.
    pub(crate) frame_len: usize,
    /// Enhanced AC-3 (`bsid` 11 to 16).
    pub(crate) is_enhanced: bool,
    /// A frame of an E-AC-3 substream other than the first independent one: it belongs to the access unit of the frame before it.
    pub(crate) is_dependent: bool,
    pub(crate) sample_rate: u32,
    /// Channels, the low-frequency one included.
    pub(crate) channels: u8,
    /// Samples per channel in the frame.
    pub(crate) samples: u32,
}

impl Ac3Header {
    /// The header at the start of `bytes`, or `None` if there is none or it is cut.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        if head[..2] != [0x0B, 0x77] {
            return None;
        }
        match head[5] >> 3 {
            0..=10 => Self::parse_plain(head),
            11..=16 => Self::parse_enhanced(head),
            _ => None,
        }
    }

    fn parse_plain(head: &[u8; HEADER_LEN]) -> Option<Self> {
        let rate_code = head[4] >> 6;
        let size_code = head[4] & 0x3F;
        let kbit = u32::from(*BITRATES.get(usize::from(size_code >> 1))?);
        let words = match rate_code {
            0 => kbit * 2,
            1 => 320 * kbit / 147 + u32::from(size_code & 1),
            2 => kbit * 3,
            _ => return None,
        };
        let mode = head[6] >> 5;
        // One bit of the low-frequency flag follows up to two optional two-bit mix levels.
        let mut skipped = 3;
        if mode & 1 == 1 && mode != 1 {
            skipped += 2;
        }
        if mode & 4 == 4 {
            skipped += 2;
        }
        if mode == 2 {
            skipped += 2;
        }
        let low_frequency = (head[6] >> (7 - skipped)) & 1;
        // A `bsid` of 9 or 10 halves or quarters the sample rate.
        let shift = (head[5] >> 3).saturating_sub(8);
        Some(Self {
            frame_len: words as usize * 2,
            is_enhanced: false,
            is_dependent: false,
            sample_rate: SAMPLE_RATES[usize::from(rate_code)] >> shift,
            channels: CHANNELS[usize::from(mode)] + low_frequency,
            samples: 1536,
        })
    }

    fn parse_enhanced(head: &[u8; HEADER_LEN]) -> Option<Self> {
        let stream_type = head[2] >> 6;
        let words = usize::from(head[2] & 0x07) << 8 | usize::from(head[3]);
        let rate_code = usize::from(head[4] >> 6);
        let block_code = (head[4] >> 4) & 3;
        let (sample_rate, blocks) = match SAMPLE_RATES.get(rate_code) {
            Some(rate) => (*rate, [1, 2, 3, 6][usize::from(block_code)]),
            None => (SAMPLE_RATES.get(usize::from(block_code))? / 2, 6),
        };
        let frame_len = (words + 1) * 2;
        if stream_type == 3 || frame_len < HEADER_LEN {
            return None;
        }
        Some(Self {
            frame_len,
            is_enhanced: true,
            is_dependent: stream_type == 1 || head[2] >> 3 & 0x07 != 0,
            sample_rate,
            channels: CHANNELS[usize::from((head[4] >> 1) & 7)] + (head[4] & 1),
            samples: blocks * 256,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ac3_header_is_read() {
        let header = Ac3Header::parse(&[0x0B, 0x77, 0, 0, 0x1C, 0x40, 0xE1]).unwrap();
        assert_eq!((header.frame_len, header.sample_rate, header.channels, header.samples), (1536, 48_000, 6, 1536));
        assert!(!header.is_enhanced);
    }

    #[test]
    fn at_44100_hz_odd_size_codes_are_one_word_longer() {
        let len = |code: u8| Ac3Header::parse(&[0x0B, 0x77, 0, 0, 0x40 | code, 0x40, 0x40]).unwrap().frame_len;
        assert_eq!((len(0x14), len(0x15)), (834, 836));
    }

    #[test]
    fn an_enhanced_header_is_read() {
        let header = Ac3Header::parse(&[0x0B, 0x77, 0x02, 0xFF, 0x3F, 0x86, 0]).unwrap();
        assert_eq!((header.frame_len, header.channels, header.samples), (1536, 6, 1536));
        assert!(header.is_enhanced && !header.is_dependent);
    }
}
