//! Where a raw data block of AAC-LC ends (ISO/IEC 14496-3, 4.4.2).
//!
//! Nothing in front of a block says how long it is: where several follow one another without stated places, each field
//! of one is walked over to find the next. No value is made of them; of a code word only its length counts, and how many
//! bits of signs and escapes it brings.

use super::codebooks::{Book, Mark, SCALE_FACTORS, book};
use crate::bits::BitReader;

/// Offsets of the scale factor bands of a long window, per set of rates (4.5.4).
const LONG_BANDS: [&[u16]; 7] = [
    &[
        0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 156, 172, 188,
        212, 240, 276, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960, 1024,
    ],
    &[
        0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64, 72, 80, 88, 100, 112, 124, 140, 156, 172, 192,
        216, 240, 268, 304, 344, 384, 424, 464, 504, 544, 584, 624, 664, 704, 744, 784, 824, 864, 904, 944, 984, 1024,
    ],
    &[
        0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 160, 176, 196, 216,
        240, 264, 292, 320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800, 832, 864, 896,
        928, 1024,
    ],
    &[
        0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 72, 80, 88, 96, 108, 120, 132, 144, 160, 176, 196, 216,
        240, 264, 292, 320, 352, 384, 416, 448, 480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800, 832, 864, 896,
        928, 960, 992, 1024,
    ],
    &[
        0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 52, 60, 68, 76, 84, 92, 100, 108, 116, 124, 136, 148, 160, 172,
        188, 204, 220, 240, 260, 284, 308, 336, 364, 396, 432, 468, 508, 552, 600, 652, 704, 768, 832, 896, 960, 1024,
    ],
    &[
        0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 100, 112, 124, 136, 148, 160, 172, 184, 196, 212, 228, 244, 260,
        280, 300, 320, 344, 368, 396, 424, 456, 492, 532, 572, 616, 664, 716, 772, 832, 896, 960, 1024,
    ],
    &[
        0, 12, 24, 36, 48, 60, 72, 84, 96, 108, 120, 132, 144, 156, 172, 188, 204, 220, 236, 252, 268, 288, 308, 328,
        348, 372, 396, 420, 448, 476, 508, 544, 580, 620, 664, 712, 764, 820, 880, 944, 1024,
    ],
];

/// The same of a short window.
const SHORT_BANDS: [&[u16]; 5] = [
    &[0, 4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 92, 128],
    &[0, 4, 8, 12, 16, 20, 28, 36, 44, 56, 68, 80, 96, 112, 128],
    &[0, 4, 8, 12, 16, 20, 24, 28, 36, 44, 52, 64, 76, 92, 108, 128],
    &[0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 60, 72, 88, 108, 128],
    &[0, 4, 8, 12, 16, 20, 24, 28, 36, 44, 52, 60, 72, 88, 108, 128],
];

/// The sets of a `sampling_frequency_index`, of long and of short windows.
const SETS: [(usize, usize); 13] =
    [(0, 0), (0, 0), (1, 0), (2, 1), (2, 1), (3, 1), (4, 2), (4, 2), (5, 3), (5, 3), (5, 3), (6, 4), (6, 4)];

/// Windows of a block of short ones.
const SHORT_WINDOWS: usize = 8;

/// The book of bands without lines, and of bands that are filled with noise: neither has spectral data.
const ZERO_BOOK: u8 = 0;
const NOISE_BOOK: u8 = 13;

/// Bytes of the raw data block that `data` begins with. `None` where it does not end there or is more than low complexity:
/// coupled channels, prediction, gain control.
pub(crate) fn len(data: &[u8], rate_index: u8) -> Option<usize> {
    let (long, short) = *SETS.get(usize::from(rate_index))?;
    let mut walk = Walk { bits: BitReader::new(data), long: LONG_BANDS[long], short: SHORT_BANDS[short] };
    // Each element takes bits, so that this ends with them (`raw_data_block`).
    loop {
        match walk.bits.read(3)? {
            // `single_channel_element` and `lfe_channel_element`.
            0 | 3 => {
                walk.bits.skip(4)?;
                walk.channel(None)?;
            }
            1 => walk.pair()?,
            4 => walk.data_stream()?,
            5 => walk.program_config()?,
            6 => walk.fill()?,
            7 => return Some(walk.bits.position().div_ceil(8)),
            _ => return None,
        }
    }
}

struct Walk<'a> {
    bits: BitReader<'a>,
    long: &'static [u16],
    short: &'static [u16],
}

/// The windows of a channel (`ics_info`).
#[derive(Clone, Copy)]
struct Windows {
    is_short: bool,
    /// Bands that are sent of each group.
    bands: usize,
    /// Windows of each group.
    groups: [usize; SHORT_WINDOWS],
    group_count: usize,
}

/// Bands of a group that share a book.
struct Section {
    book: u8,
    bands: usize,
    /// Spectral lines in all windows of the group.
    lines: usize,
}

impl Walk<'_> {
    /// `channel_pair_element`.
    fn pair(&mut self) -> Option<()> {
        self.bits.skip(4)?;
        let mut common = None;
        if self.bits.flag()? {
            let windows = self.windows()?;
            let has_mask_per_band = self.bits.read(2)? == 1;
            self.bits.skip(if has_mask_per_band { windows.group_count * windows.bands } else { 0 })?;
            common = Some(windows);
        }
        self.channel(common)?;
        self.channel(common)
    }

    /// `individual_channel_stream`.
    fn channel(&mut self, common: Option<Windows>) -> Option<()> {
        const GLOBAL_GAIN: usize = 8;
        self.bits.skip(GLOBAL_GAIN)?;
        let windows = match common {
            Some(windows) => windows,
            None => self.windows()?,
        };
        let sections = self.sections(&windows)?;
        self.scale_factors(&sections)?;
        if self.bits.flag()? {
            // `pulse_data`.
            let pulses = self.bits.read(2)? as usize + 1;
            self.bits.skip(6 + pulses * 9)?;
        }
        if self.bits.flag()? {
            self.noise_shaping(&windows)?;
        }
        let has_gain_control = self.bits.flag()?;
        if has_gain_control { None } else { self.spectrum(&sections) }
    }

    /// `ics_info`.
    fn windows(&mut self) -> Option<Windows> {
        const EIGHT_SHORT: u32 = 2;
        self.bits.skip(1)?;
        let is_short = self.bits.read(2)? == EIGHT_SHORT;
        self.bits.skip(1)?;
        let mut windows = Windows { is_short, bands: 0, groups: [0; SHORT_WINDOWS], group_count: 1 };
        windows.groups[0] = 1;
        if is_short {
            windows.bands = self.bits.read(4)? as usize;
            for _ in 1..SHORT_WINDOWS {
                let is_of_the_group = self.bits.flag()?;
                windows.group_count += usize::from(!is_of_the_group);
                windows.groups[windows.group_count - 1] += 1;
            }
        } else {
            windows.bands = self.bits.read(6)? as usize;
            let has_prediction = self.bits.flag()?;
            if has_prediction {
                return None;
            }
        }
        (windows.bands < self.offsets(is_short).len()).then_some(windows)
    }

    const fn offsets(&self, is_short: bool) -> &'static [u16] {
        if is_short { self.short } else { self.long }
    }

    /// `section_data`.
    fn sections(&mut self, windows: &Windows) -> Option<Vec<Section>> {
        const RESERVED_BOOK: u8 = 12;
        let width = if windows.is_short { 3 } else { 5 };
        let goes_on = (1 << width) - 1;
        let offsets = self.offsets(windows.is_short);
        let mut sections = Vec::new();
        for group in &windows.groups[..windows.group_count] {
            let mut from = 0;
            while from < windows.bands {
                let book = u8::try_from(self.bits.read(4)?).ok()?;
                let mut to = from;
                loop {
                    let more = self.bits.read(width)?;
                    to += more as usize;
                    if more != goes_on {
                        break;
                    }
                }
                if to > windows.bands || book == RESERVED_BOOK {
                    return None;
                }
                let lines = usize::from(offsets.get(to)?.checked_sub(*offsets.get(from)?)?) * group;
                sections.push(Section { book, bands: to - from, lines });
                from = to;
            }
        }
        Some(sections)
    }

    /// `scale_factor_data`.
    fn scale_factors(&mut self, sections: &[Section]) -> Option<()> {
        const FIRST_NOISE: usize = 9;
        let mut had_noise = false;
        for section in sections.iter().filter(|section| section.book != ZERO_BOOK) {
            for _ in 0..section.bands {
                if section.book == NOISE_BOOK && !std::mem::replace(&mut had_noise, true) {
                    self.bits.skip(FIRST_NOISE)?;
                } else {
                    SCALE_FACTORS.pass(&mut self.bits)?;
                }
            }
        }
        Some(())
    }

    /// `tns_data`.
    fn noise_shaping(&mut self, windows: &Windows) -> Option<()> {
        let (count, filters, length, order) = if windows.is_short { (SHORT_WINDOWS, 1, 4, 3) } else { (1, 2, 6, 5) };
        for _ in 0..count {
            let filters = self.bits.read(filters)?;
            let resolution = if filters > 0 { 3 + self.bits.read(1)? as usize } else { 0 };
            for _ in 0..filters {
                self.bits.skip(length)?;
                let order = self.bits.read(order)? as usize;
                if order > 0 {
                    self.bits.skip(1)?;
                    let is_compressed = self.bits.flag()?;
                    self.bits.skip(order * (resolution - usize::from(is_compressed)))?;
                }
            }
        }
        Some(())
    }

    /// `spectral_data`.
    fn spectrum(&mut self, sections: &[Section]) -> Option<()> {
        for section in sections {
            let Some(book) = book(section.book) else { continue };
            for _ in 0..section.lines / book.lines {
                self.code_word(book)?;
            }
        }
        Some(())
    }

    fn code_word(&mut self, book: &Book) -> Option<()> {
        /// Ones in front of an escape at most: values end at 8,191 (4.6.3.3).
        const MOST_ONES: usize = 8;
        let Mark { signs, escapes } = book.pass(&mut self.bits)?;
        self.bits.skip(signs)?;
        for _ in 0..escapes {
            let mut ones = 0;
            while self.bits.flag()? {
                ones += 1;
                if ones > MOST_ONES {
                    return None;
                }
            }
            self.bits.skip(ones + 4)?;
        }
        Some(())
    }

    /// `data_stream_element`.
    fn data_stream(&mut self) -> Option<()> {
        self.bits.skip(4)?;
        let is_aligned = self.bits.flag()?;
        let mut bytes = self.bits.read(8)? as usize;
        if bytes == 255 {
            bytes += self.bits.read(8)? as usize;
        }
        if is_aligned {
            self.align()?;
        }
        self.bits.skip(bytes * 8)
    }

    /// `program_config_element`.
    fn program_config(&mut self) -> Option<()> {
        const TAG_PROFILE_AND_RATE: usize = 4 + 2 + 4;
        self.bits.skip(TAG_PROFILE_AND_RATE)?;
        // Front, side, back, low frequencies, data, coupling.
        let mut bits = 0;
        for (count, each) in [(4, 5), (4, 5), (4, 5), (2, 4), (3, 4), (4, 5)] {
            bits += self.bits.read(count)? as usize * each;
        }
        // Mixes of one and of two channels, and how the others go into them.
        for mix in [4, 4, 3] {
            if self.bits.flag()? {
                self.bits.skip(mix)?;
            }
        }
        self.bits.skip(bits)?;
        self.align()?;
        let comment = self.bits.read(8)? as usize;
        self.bits.skip(comment * 8)
    }

    /// `fill_element`. Band replication travels here.
    fn fill(&mut self) -> Option<()> {
        let mut bytes = self.bits.read(4)? as usize;
        if bytes == 15 {
            bytes = bytes + self.bits.read(8)? as usize - 1;
        }
        self.bits.skip(bytes * 8)
    }

    fn align(&mut self) -> Option<()> {
        self.bits.skip(self.bits.position().next_multiple_of(8) - self.bits.position())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of these fields, `(value, bits)` each.
    fn bytes(fields: &[(u32, usize)]) -> Vec<u8> {
        let bits: Vec<_> =
            fields.iter().flat_map(|(value, count)| (0..*count).rev().map(move |at| value >> at & 1)).collect();
        bits.chunks(8)
            .map(|byte| (0..8).fold(0, |sum, at| sum << 1 | byte.get(at).map_or(0, |bit| *bit as u8)))
            .collect()
    }

    /// That a block of these elements ends behind them, and ends nowhere where it is cut.
    #[track_caller]
    fn check(elements: &[(u32, usize)]) {
        let block = bytes(&[elements, &[(7, 3)]].concat());
        let followed = [&block[..], &[0xFF; 9]].concat();
        assert_eq!(len(&followed, 3), Some(block.len()));
        for cut in 0..block.len() {
            assert_eq!(len(&block[..cut], 3), None, "{cut} of {}", block.len());
        }
    }

    #[test]
    fn what_is_no_channel_is_passed_over() {
        check(&[]);
        // Filling of two bytes and of sixteen, data from the next byte on, and a configuration with a mix and a comment.
        check(&[(6, 3), (2, 4), (0xFFFF, 16)]);
        check(&[(6, 3), (15, 4), (2, 8), (0, 32), (0, 32), (0, 32), (0, 32)]);
        check(&[(6, 3), (0, 4), (4, 3), (0, 4), (1, 1), (1, 8), (0, 1), (0xFF, 8)]);
        let counts = [(1, 4), (0, 4), (0, 4), (1, 2), (0, 3), (0, 4)];
        let mixes = [(1, 1), (5, 4), (0, 1), (0, 1), (0, 5), (0, 4)];
        check(&[&[(5, 3), (0, 10)], &counts[..], &mixes[..], &[(0, 6), (1, 8), (0x7F, 8)]].concat());
    }

    #[test]
    fn a_channel_ends_behind_its_last_word() {
        let silent = [(0, 3), (0, 4), (100, 8), (0, 4), (0, 6), (0, 1), (0, 3)];
        check(&silent);
        // A band of the book of escapes: a scale factor, a pair of an escape of sixteen and one, a pair of zeros.
        let band = [(0, 4), (1, 6), (0, 1), (11, 4), (1, 5), (0, 1), (0, 3)];
        let pairs = [(4, 5), (0, 2), (0, 5), (0, 5), (0, 4)];
        check(&[&[(3, 3), (0, 4), (100, 8)], &band[..], &pairs[..]].concat());
    }

    #[test]
    fn more_than_low_complexity_has_no_end_that_is_known() {
        let channel = |rest: &[(u32, usize)]| len(&bytes(&[&[(0, 3), (0, 4), (100, 8)], rest, &[(0, 32)]].concat()), 3);
        assert_eq!(channel(&[(0, 4), (0, 6), (0, 1), (0, 3), (7, 3)]), Some(4), "for comparison");
        assert_eq!(channel(&[(0, 4), (0, 6), (1, 1), (0, 3), (7, 3)]), None, "prediction");
        assert_eq!(channel(&[(0, 4), (0, 6), (0, 1), (1, 3), (7, 3)]), None, "gain control");
        assert_eq!(channel(&[(0, 4), (50, 6), (0, 1), (0, 4), (31, 5), (19, 5)]), None, "more bands than there are");
        assert_eq!(len(&bytes(&[(2, 3), (0, 32), (7, 3)]), 3), None, "coupling");
        assert_eq!(len(&[0xE0], 13), None, "a rate that is not there");
    }

    #[test]
    fn any_bytes_end_within_themselves() {
        let mut state = 1_u64;
        let mut ends = 0;
        for round in 0..50_000_usize {
            let noise: Vec<u8> = (0..round % 97)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            if let Some(end) = len(&noise, (round % 16) as u8) {
                assert!(end <= noise.len() && end > 0);
                ends += 1;
            }
        }
        assert!(ends > 0);
    }
}
