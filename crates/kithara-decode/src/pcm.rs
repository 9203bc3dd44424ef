//! From floats to 16-bit integers.

/// 1.5 * 2^23. A float of this size has no room for a fraction: adding it rounds to the nearest integer, ties to even,
/// and leaves that integer in the low bits.
const ROUNDER: f32 = 12_582_912.0;

/// Converts samples within -1 and 1 to 16 bits, rounded to the nearest and clipped; what is not a number is silence.
/// Converts as many as both slices hold and says how many.
///
/// Written so that the compiler turns it into vector instructions: a plain `round` and `as` cost as much as half of
/// decoding AAC.
pub fn to_s16(samples: &[f32], out: &mut [i16]) -> usize {
    let count = samples.len().min(out.len());
    for (sample, out) in samples[..count].iter().zip(&mut out[..count]) {
        *out = s16(*sample);
    }
    count
}

/// Appends samples as 16-bit little-endian bytes, as WAV files hold them.
pub fn append_s16le(samples: &[f32], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + samples.len() * 2, 0);
    for (sample, bytes) in samples.iter().zip(out[start..].as_chunks_mut::<2>().0) {
        *bytes = s16(*sample).to_le_bytes();
    }
}

fn s16(sample: f32) -> i16 {
    let scaled = sample * 32_768.0;
    // Comparisons, not `clamp`: they select without a branch, and nothing compares to what is not a number.
    let low = if scaled > -32_768.0 { scaled } else { -32_768.0 };
    let both = if low < 32_767.0 { low } else { 32_767.0 };
    let number = if sample.is_nan() { 0.0 } else { both };
    (number + ROUNDER).to_bits() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sample: f32, want: i16) {
        let mut out = [77];
        assert_eq!(to_s16(&[sample], &mut out), 1);
        assert_eq!(out[0], want, "{sample}");
        let mut bytes = vec![9];
        append_s16le(&[sample], &mut bytes);
        assert_eq!(bytes[1..], want.to_le_bytes());
    }

    #[test]
    fn samples_are_rounded_and_clipped() {
        check(0.0, 0);
        check(0.5, 16_384);
        check(-0.5, -16_384);
        check(1.0, 32_767);
        check(-1.0, -32_768);
        check(7.0, 32_767);
        check(f32::NEG_INFINITY, -32_768);
        check(f32::INFINITY, 32_767);
        check(f32::NAN, 0);
        check(1.4 / 32_768.0, 1);
        check(1.6 / 32_768.0, 2);
        check(2.5 / 32_768.0, 2);
        check(-1.6 / 32_768.0, -2);
    }

    #[test]
    fn every_step_is_met_and_none_is_off() {
        for want in i16::MIN..=i16::MAX {
            let mut out = [0];
            to_s16(&[f32::from(want) / 32_768.0], &mut out);
            assert_eq!(out[0], want);
        }
    }

    #[test]
    fn the_shorter_slice_decides() {
        let mut out = [5; 3];
        assert_eq!(to_s16(&[0.5; 2], &mut out), 2);
        assert_eq!(out, [16_384, 16_384, 5]);
        assert_eq!(to_s16(&[0.5; 2], &mut out[..1]), 1);
    }
}
