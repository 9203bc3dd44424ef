//! Reading bit fields, most significant bit first.

/// A position in a slice, counted in bits. Reads beyond the end return `None`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(crate) fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0_u64;
        let end = self.at.checked_add(count)?;
        for at in self.at..end {
            let byte = self.bytes.get(at / 8)?;
            value = value << 1 | u64::from(byte >> (7 - at % 8) & 1);
        }
        self.at = end;
        u32::try_from(value).ok()
    }

    /// Passes over `count` bits.
    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        let end = self.at.checked_add(count)?;
        if end > self.bytes.len().saturating_mul(8) {
            return None;
        }
        self.at = end;
        Some(())
    }

    /// Bits passed over so far.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cross_bytes_and_end_with_the_slice() {
        let mut bits = BitReader::new(&[0b1010_0111, 0b1100_0001]);
        assert_eq!((bits.read(3), bits.flag(), bits.read(6)), (Some(5), Some(false), Some(0b01_1111)));
        assert_eq!((bits.read(7), bits.read(6), bits.read(1)), (None, Some(1), None));
        let mut bits = BitReader::new(&[0; 2]);
        assert_eq!((bits.skip(15), bits.skip(2), bits.position(), bits.skip(1)), (Some(()), None, 15, Some(())));
    }
}
