//! ADTS frame headers, and the raw data blocks behind them (ISO/IEC 14496-3, 1.A.2.2).

use bytes::Bytes;

use super::raw_block;

/// Bytes of a header without its optional checksum.
pub(crate) const HEADER_LEN: usize = 7;

/// Samples a second per `sampling_frequency_index` (ISO/IEC 14496-3, table 1.18).
pub(crate) const SAMPLE_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Raw data blocks that a frame holds at most.
pub(crate) const MAX_BLOCKS: usize = 4;

/// Samples of a block.
pub(crate) const BLOCK_SAMPLES: u32 = 1024;

/// Bytes of a checksum, and of the place of a block.
const FIELD_LEN: usize = 2;

/// One parsed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdtsHeader {
    /// Bytes of the whole frame, header included.
    pub(crate) frame_len: usize,
    /// Bytes before the first raw data block; before the places of the blocks where they are stated.
    pub(crate) header_len: usize,
    /// Whether places and checksums of several blocks are stated.
    pub(crate) has_places: bool,
    /// MPEG-4 audio object type: 2 is AAC-LC.
    pub(crate) object_type: u8,
    /// Index into [`SAMPLE_RATES`].
    pub(crate) rate_index: u8,
    /// Channel configuration; 0 means that the first block describes its channels.
    pub(crate) channel_config: u8,
    /// Raw data blocks in the frame, 1 to 4, of 1,024 samples each.
    pub(crate) blocks: u8,
}

/// The raw data blocks in the `data` of a frame, `None` for each one that cannot be found. With a checksum their places are
/// stated; without one, each begins where the one in front of it turns out to end.
pub(crate) fn blocks(header: &AdtsHeader, mut data: Bytes) -> [Option<Bytes>; MAX_BLOCKS] {
    let mut found = [const { None }; MAX_BLOCKS];
    let count = usize::from(header.blocks).min(MAX_BLOCKS);
    for (index, found) in found.iter_mut().enumerate().take(count) {
        if header.has_places {
            *found = block(index, count, &data);
            continue;
        }
        if data.is_empty() {
            break;
        }
        let is_last = index + 1 == count;
        let end = if is_last { None } else { raw_block::len(&data, header.rate_index) };
        *found = Some(data.split_to(end.unwrap_or(data.len())));
    }
    found
}

/// A block with a stated place: behind the places of all but the first there is a checksum, and one behind each block.
fn block(index: usize, count: usize, data: &Bytes) -> Option<Bytes> {
    let begins = (count - 1) * FIELD_LEN + FIELD_LEN;
    let place = |index: usize| -> Option<usize> {
        let Some(field) = index.checked_sub(1) else { return Some(begins) };
        let place = data.get(field * FIELD_LEN..)?.first_chunk::<FIELD_LEN>()?;
        Some(begins + usize::from(u16::from_be_bytes(*place)))
    };
    let end = if index + 1 == count { data.len() } else { place(index + 1)? };
    let range = place(index)?..end.checked_sub(FIELD_LEN)?;
    (range.start < range.end && range.end <= data.len()).then(|| data.slice(range))
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
        let (is_checked, blocks) = (head[1] & 1 == 0, (head[6] & 0x03) + 1);
        let has_places = is_checked && blocks > 1;
        let header_len = if is_checked && !has_places { HEADER_LEN + FIELD_LEN } else { HEADER_LEN };
        let frame_len = usize::from(head[3] & 0x03) << 11 | usize::from(head[4]) << 3 | usize::from(head[5] >> 5);
        if usize::from(rate_index) >= SAMPLE_RATES.len() || frame_len < header_len {
            return None;
        }
        Some(Self {
            frame_len,
            header_len,
            has_places,
            object_type: (head[2] >> 6) + 1,
            rate_index,
            channel_config: (head[2] & 1) << 2 | head[3] >> 6,
            blocks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stereo_lc_header_is_read() {
        let header = AdtsHeader::parse(&[0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFC]).unwrap();
        let want = AdtsHeader {
            frame_len: 371,
            header_len: 7,
            has_places: false,
            object_type: 2,
            rate_index: 3,
            channel_config: 2,
            blocks: 1,
        };
        assert_eq!(header, want);
        assert_eq!(SAMPLE_RATES[usize::from(header.rate_index)], 48_000);
    }

    /// Lengths of the blocks found in these bytes.
    #[track_caller]
    fn check_blocks(count: u8, has_places: bool, data: &[u8], want: &[Option<usize>]) {
        let header = AdtsHeader {
            frame_len: 0,
            header_len: 0,
            has_places,
            object_type: 2,
            rate_index: 3,
            channel_config: 2,
            blocks: count,
        };
        let found = blocks(&header, Bytes::copy_from_slice(data));
        let lens = found.each_ref().map(|block| block.as_ref().map(Bytes::len));
        assert_eq!(&lens[..want.len()], want);
        assert!(found[want.len()..].iter().all(Option::is_none), "{found:?}");
        let is_whole = |block: &Bytes| block.iter().all(|byte| *byte == block[0]);
        assert!(!has_places || found.iter().flatten().all(is_whole), "{found:?}");
    }

    #[test]
    fn blocks_are_found_by_their_stated_places() {
        let data = b"\0\x05\0\x09CSAAAssBBssDDDDss";
        check_blocks(3, true, data, &[Some(3), Some(2), Some(4)]);
        check_blocks(1, false, b"AAAA", &[Some(4)]);
    }

    /// The blocks here are nothing but filling, of four bytes, of one and of two.
    #[test]
    fn without_places_each_block_begins_where_the_one_before_ends() {
        const FOUR: [u8; 4] = [0b1100_0100, 0, 1, 0b1100_0000];
        let data = [&FOUR[..], &[0xE0], &[0b1100_0001, 0b1100_0000]].concat();
        check_blocks(3, false, &data, &[Some(4), Some(1), Some(2)]);
        check_blocks(2, false, &data, &[Some(4), Some(3)]);
    }

    #[test]
    fn what_follows_a_block_that_does_not_end_is_not_found() {
        check_blocks(3, false, b"AAAA", &[Some(4), None, None]);
        check_blocks(3, false, &[0xE0], &[Some(1), None, None]);
    }

    #[test]
    fn places_that_cannot_be_lead_nowhere() {
        check_blocks(2, true, b"\0\xFFCSAAAss", &[None, None]);
        check_blocks(2, true, b"\0\0CSAAAss", &[None, Some(3)]);
        check_blocks(2, true, b"\0\x01CS", &[None, None]);
        check_blocks(4, true, b"", &[None; 4]);
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
