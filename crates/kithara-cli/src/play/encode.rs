//! Samples as bytes.

use clap::ValueEnum;
use kithara::sound::pcm;

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleFormat {
    /// 16-bit integers, little-endian
    S16le,
    /// 24-bit integers, little-endian, three bytes each
    S24le,
    /// 32-bit integers, little-endian
    S32le,
    /// 32-bit floats, little-endian
    F32le,
}

impl SampleFormat {
    /// Bytes of a sample.
    pub(crate) const fn width(self) -> u16 {
        match self {
            Self::S16le => 2,
            Self::S24le => 3,
            Self::S32le | Self::F32le => 4,
        }
    }

    /// Whether samples are floats.
    pub(crate) const fn is_float(self) -> bool {
        matches!(self, Self::F32le)
    }

    /// Appends samples to `out`, rounded to the nearest and clipped; what is not a number is silence in integers.
    pub(crate) fn append(self, samples: &[f32], out: &mut Vec<u8>) {
        match self {
            Self::S16le => pcm::append_s16le(samples, out),
            Self::S24le => out.extend(samples.iter().flat_map(|sample| {
                let [a, b, c, _] = integer(*sample, 24).to_le_bytes();
                [a, b, c]
            })),
            Self::S32le => out.extend(samples.iter().flat_map(|sample| integer(*sample, 32).to_le_bytes())),
            Self::F32le => out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes())),
        }
    }
}

fn integer(sample: f32, bits: u32) -> i32 {
    let full = f64::from(1_u32 << (bits - 1));
    // The cast saturates, and makes zero of what is not a number.
    (f64::from(sample) * full).round_ties_even().clamp(-full, full - 1.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: SampleFormat, sample: f32, want: &[u8]) {
        let mut out = Vec::new();
        format.append(&[sample], &mut out);
        assert_eq!(out, want, "{format:?} {sample}");
        assert_eq!(out.len(), usize::from(format.width()));
    }

    #[test]
    fn samples_are_little_endian_and_clipped() {
        check(SampleFormat::S16le, 0.5, &[0, 0x40]);
        check(SampleFormat::S24le, 0.5, &[0, 0, 0x40]);
        check(SampleFormat::S24le, 1.0, &[0xFF, 0xFF, 0x7F]);
        check(SampleFormat::S24le, -2.0, &[0, 0, 0x80]);
        check(SampleFormat::S24le, f32::NAN, &[0, 0, 0]);
        check(SampleFormat::S32le, 1.0, &[0xFF, 0xFF, 0xFF, 0x7F]);
        check(SampleFormat::S32le, -1.0, &[0, 0, 0, 0x80]);
        check(SampleFormat::F32le, 1.0, &1.0_f32.to_le_bytes());
    }
}
