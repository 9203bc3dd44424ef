//! Eight bytes at a time, in one number: for texts too short for more to pay off.
//!
//! A byte that fits what is looked for has its high bit set in the result. Subtracting from all bytes at once borrows from
//! those whose value is less, and one that stands above such a byte may be set for no reason; the lowest is right.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes less than `bound`, which is at most 128.
const fn less(bytes: u64, bound: u8) -> u64 {
    bytes.wrapping_sub(ONES * bound as u64) & !bytes & HIGHS
}

/// Bytes equal to `byte`.
const fn equal(bytes: u64, byte: u8) -> u64 {
    less(bytes ^ (ONES * byte as u64), 1)
}

/// The place of the first `byte`, which is likely to be near.
#[inline]
pub(super) fn find(byte: u8, text: &[u8]) -> Option<usize> {
    let (chunks, rest) = text.as_chunks::<8>();
    for (at, chunk) in chunks.iter().enumerate() {
        let found = equal(u64::from_le_bytes(*chunk), byte);
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|it| *it == byte)?;
    Some(text.len() - rest.len() + place)
}

/// Whether one of eight bytes is less than `bound`, which is at most 128, or one of `others`.
#[inline]
pub(super) fn has_any(chunk: [u8; 8], bound: u8, others: [u8; 2]) -> bool {
    let bytes = u64::from_le_bytes(chunk);
    less(bytes, bound) | equal(bytes, others[0]) | equal(bytes, others[1]) != 0
}

/// The number that eight decimal digits make; `None` when one is no digit.
#[inline]
pub(super) const fn number(digits: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = ONES * b'0' as u64;
    let bytes = u64::from_le_bytes(digits);
    let values = bytes ^ ZEROS;
    // Adding 118 sets the high bit of all that is more than nine, unless it is set already.
    if ((values & !HIGHS).wrapping_add(ONES * 118) | values) & HIGHS != 0 {
        return None;
    }
    // Neighbours are joined to numbers of two digits, those to numbers of four, and those to one.
    let pairs = (values.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_are_found(text: Vec<u8>, byte: u8, place: prop::sample::Index) {
            let wanted = if text.is_empty() { byte } else { text[place.index(text.len())] };
            prop_assert_eq!(find(wanted, &text), text.iter().position(|it| *it == wanted));
            prop_assert_eq!(find(byte, &text), text.iter().position(|it| *it == byte));
        }

        #[test]
        fn suspects_are_found(chunk: [u8; 8], bound in 0..=128u8, others: [u8; 2]) {
            let suspect = |byte: u8| byte < bound || others.contains(&byte);
            prop_assert_eq!(has_any(chunk, bound, others), chunk.iter().any(|byte| suspect(*byte)));
        }

        #[test]
        fn numbers_are_read(value in 0..100_000_000u64, wrong: u8, place in 0..8usize) {
            let mut digits: [u8; 8] = format!("{value:08}").as_bytes().try_into().unwrap();
            prop_assert_eq!(number(digits), Some(value));
            digits[place] = wrong;
            prop_assert_eq!(number(digits).is_some(), wrong.is_ascii_digit());
        }
    }
}
