//! WAV files: RIFF, and RF64 (EBU Tech 3306) beyond 4 GiB.

use kithara::sound::PcmSpec;

use crate::play::encode::SampleFormat;

/// What stands in a 32-bit size that is not known, or that is told elsewhere.
const UNKNOWN: u32 = u32::MAX;
/// Bytes in front of the samples.
pub(super) const HEADER: u64 = 80;
/// Bytes of the chunk that is reserved for 64-bit sizes.
const DS64: u32 = 28;

/// The header of a file with so many bytes of samples; `None` while that is not known, which readers take for "to the
/// end". Always [`HEADER`] bytes, so that it can be written again.
pub(super) fn header(spec: PcmSpec, format: SampleFormat, data: Option<u64>) -> Vec<u8> {
    let frame = u32::from(format.width()) * u32::from(spec.channels);
    // The chunk of samples is padded to an even length.
    let riff = data.map(|data| HEADER - 8 + data + data % 2);
    let small = riff.map_or(Some(UNKNOWN), |riff| u32::try_from(riff).ok().filter(|riff| *riff != UNKNOWN));
    let mut out = Vec::with_capacity(HEADER as usize);
    out.extend(if small.is_some() { *b"RIFF" } else { *b"RF64" });
    out.extend(small.unwrap_or(UNKNOWN).to_le_bytes());
    out.extend(*b"WAVE");
    out.extend(if small.is_some() { *b"JUNK" } else { *b"ds64" });
    out.extend(DS64.to_le_bytes());
    let (riff, data) = (riff.unwrap_or(0), data.unwrap_or(0));
    let sizes = if small.is_some() { [0; 3] } else { [riff, data, data / u64::from(frame.max(1))] };
    sizes.iter().for_each(|size| out.extend(size.to_le_bytes()));
    // No table of further sizes.
    out.extend(0_u32.to_le_bytes());
    out.extend(*b"fmt ");
    out.extend(16_u32.to_le_bytes());
    out.extend(if format.is_float() { 3_u16 } else { 1 }.to_le_bytes());
    out.extend(spec.channels.to_le_bytes());
    out.extend(spec.sample_rate.to_le_bytes());
    out.extend(spec.sample_rate.saturating_mul(frame).to_le_bytes());
    out.extend(u16::try_from(frame).unwrap_or(u16::MAX).to_le_bytes());
    out.extend((format.width() * 8).to_le_bytes());
    out.extend(*b"data");
    let known = small.filter(|small| *small != UNKNOWN);
    out.extend(known.map_or(UNKNOWN, |_| u32::try_from(data).unwrap_or(UNKNOWN)).to_le_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEREO: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[track_caller]
    fn check(data: Option<u64>, magic: &[u8; 4], riff: u32, size: u32) {
        let header = header(STEREO, SampleFormat::S16le, data);
        assert_eq!(header.len() as u64, HEADER);
        assert_eq!(&header[..4], magic);
        assert_eq!((u32_at(&header, 4), u32_at(&header, 76)), (riff, size));
        assert_eq!((&header[48..52], &header[72..76]), (&b"fmt "[..], &b"data"[..]));
    }

    #[test]
    fn sizes_are_stated_as_far_as_they_are_known_and_fit() {
        check(Some(0), b"RIFF", 72, 0);
        check(Some(1000), b"RIFF", 1072, 1000);
        check(None, b"RIFF", UNKNOWN, UNKNOWN);
        check(Some(u64::from(u32::MAX) - 75), b"RIFF", u32::MAX - 3, u32::MAX - 75);
        check(Some(u64::from(u32::MAX)), b"RF64", UNKNOWN, UNKNOWN);
    }

    #[test]
    fn beyond_four_gibibytes_sizes_stand_in_a_chunk_of_their_own() {
        let header = header(STEREO, SampleFormat::S24le, Some(6_000_000_000));
        let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
        assert_eq!(&header[12..16], b"ds64");
        assert_eq!([u64_at(20), u64_at(28), u64_at(36)], [6_000_000_072, 6_000_000_000, 1_000_000_000]);
    }
}
