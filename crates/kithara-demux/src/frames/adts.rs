//! ADTS frame headers (ISO/IEC 14496-3, 1.A.2.2).

/// Bytes of a header without its optional checksum.
pub(crate) const HEADER_LEN: usize = 7;

/// Samples a second per `sampling_frequency_index` (ISO/IEC 14496-3, table 1.18).
pub(crate) const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// One parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdtsHeader {
    /// Bytes of the whole frame, header included.
    pub(crate) frame_len: usize,
    /// Bytes before the first raw data block.
    pub(crate) header_len: usize,
    /// MPEG-4 audio object type: 2 is AAC-LC.
    pub(crate) object_type: u8,
    /// Index into [`SAMPLE_RATES`].
    pub(crate) rate_index: u8,
    /// Channel configuration; 0 means that the first block describes its channels.
    pub(crate) channel_config: u8,
    /// Raw data blocks in the frame, 1 to 4, of 1,024 samples each.
    pub(crate) blocks: u8,
}

impl AdtsHeader {
    /// The header at the start of `bytes`, or `None` if there is none or it is cut.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_LEN>()?;
        // Layer 00 tells ADTS from MPEG audio, which has the same first twelve bits.
        if head[0] != 0xFF || head[1] & 0xF6 != 0xF0 {
            return None;
        }
        let rate_index = (head[2] >> 2) & 0x0F;
        let header_len = if head[1] & 1 == 1 { HEADER_LEN } else { HEADER_LEN + 2 };
        let frame_len = usize::from(head[3] & 0x03) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        if usize::from(rate_index) >= SAMPLE_RATES.len() || frame_len < header_len {
            return None;
        }
        Some(Self {
            frame_len,
            header_len,
            object_type: (head[2] >> 6) + 1,
            rate_index,
            channel_config: (head[2] & 1) << 2 | head[3] >> 6,
            blocks: (head[6] & 0x03) + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stereo_lc_header_is_read() {
        let header = AdtsHeader::parse(&[0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFC]).unwrap();
        let want =
            AdtsHeader { frame_len: 371, header_len: 7, object_type: 2, rate_index: 3, channel_config: 2, blocks: 1 };
        assert_eq!(header, want);
        assert_eq!(SAMPLE_RATES[usize::from(header.rate_index)], 48_000);
    }

    #[test]
    fn a_header_that_cannot_be_is_refused() {
        for bad in [
            &[0xFF, 0xF3, 0x4C, 0x80, 0x2E, 0x7F, 0xFC][..], // Layer III.
            &[0xFF, 0xF1, 0x7C, 0x80, 0x2E, 0x7F, 0xFC],     // Reserved sample rate.
            &[0xFF, 0xF1, 0x4C, 0x80, 0x00, 0xDF, 0xFC],     // Shorter than itself.
            &[0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F],           // Cut.
        ] {
            assert_eq!(AdtsHeader::parse(bad), None, "{bad:02x?}");
        }
    }
}
