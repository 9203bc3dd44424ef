//! AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) and what it says of band replication (1.6.5, 1.6.6).

use super::adts::{AdtsHeader, SAMPLE_RATES};
use crate::bits::BitReader;
use crate::track::{AacExtension, AudioFormat};

/// Object types that announce an extension in front of the core's configuration.
const SBR: u32 = 5;
const PS: u32 = 29;

/// The highest core sample rate at which nothing said may still mean band replication.
const MAX_IMPLICIT_SBR_RATE: u32 = 24_000;

/// Channels by channel configuration; 0 where the packets tell.
const CHANNELS: [u16; 15] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8];

/// What a configuration says; `None` if it is cut or reserved.
pub(crate) fn parse(bytes: &[u8]) -> Option<AudioFormat> {
    let mut bits = BitReader::new(bytes);
    let mut object_type = read_object_type(&mut bits)?;
    let core_rate = read_rate(&mut bits)?;
    let channel_config = bits.read(4)? as usize;
    let mut extension = AacExtension::Absent;
    let mut sample_rate = core_rate;
    let is_explicit = object_type == SBR || object_type == PS;
    if is_explicit {
        extension = if object_type == PS { AacExtension::SbrAndPs } else { AacExtension::Sbr };
        sample_rate = read_rate(&mut bits)?;
        object_type = read_object_type(&mut bits)?;
    }
    if !is_explicit && matches!(object_type, 1..=4) {
        // In front of a program configuration element the place of a trailing extension cannot be told.
        let behind = if channel_config == 0 { None } else { trailing_extension(bits) };
        extension = behind.map_or_else(|| implicit(core_rate), |(extension, _)| extension);
        sample_rate = behind.and_then(|(_, rate)| rate).unwrap_or(core_rate);
    }
    let channels = CHANNELS.get(channel_config).copied().unwrap_or(0);
    let channels = if extension == AacExtension::SbrAndPs && channels == 1 { 2 } else { channels };
    Some(AudioFormat { sample_rate, channels, extension })
}

/// The configuration that an ADTS header stands for, as the two bytes a decoder takes.
pub(crate) fn from_adts(header: &AdtsHeader) -> [u8; 2] {
    let bits =
        u16::from(header.object_type) << 11 | u16::from(header.rate_index) << 7 | u16::from(header.channel_config) << 3;
    bits.to_be_bytes()
}

/// The format that an ADTS header stands for, as [`parse`] reads it off that configuration.
pub(crate) fn format_of_adts(header: &AdtsHeader) -> AudioFormat {
    let sample_rate = SAMPLE_RATES[usize::from(header.rate_index)];
    let channels = CHANNELS[usize::from(header.channel_config)];
    AudioFormat { sample_rate, channels, extension: implicit(sample_rate) }
}

/// What is to be assumed of a core of this rate when nothing is said.
const fn implicit(core_rate: u32) -> AacExtension {
    if core_rate <= MAX_IMPLICIT_SBR_RATE { AacExtension::Possible } else { AacExtension::Absent }
}

/// The extension behind the core's configuration, which old decoders do not read, and its sample rate.
fn trailing_extension(mut bits: BitReader<'_>) -> Option<(AacExtension, Option<u32>)> {
    // The flags of GASpecificConfig: frame length, core coder and its delay, extension.
    bits.flag()?;
    let depends_on_core = bits.flag()?;
    bits.read(if depends_on_core { 14 } else { 0 })?;
    bits.flag()?;
    if bits.read(11)? != 0x2B7 || read_object_type(&mut bits)? != SBR {
        return None;
    }
    if !bits.flag()? {
        return Some((AacExtension::Absent, None));
    }
    let rate = read_rate(&mut bits)?;
    let has_ps = bits.read(11) == Some(0x548) && bits.flag() == Some(true);
    Some((if has_ps { AacExtension::SbrAndPs } else { AacExtension::Sbr }, Some(rate)))
}

fn read_object_type(bits: &mut BitReader<'_>) -> Option<u32> {
    match bits.read(5)? {
        31 => Some(32 + bits.read(6)?),
        object_type => Some(object_type),
    }
}

fn read_rate(bits: &mut BitReader<'_>) -> Option<u32> {
    match bits.read(4)? {
        15 => bits.read(24).filter(|rate| *rate > 0),
        index => SAMPLE_RATES.get(index as usize).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(config: &[u8], sample_rate: u32, channels: u16, extension: AacExtension) {
        let want = AudioFormat { sample_rate, channels, extension };
        assert_eq!(parse(config), Some(want), "{config:02x?}");
    }

    #[test]
    fn plain_configurations_are_read() {
        check(&[0x11, 0x90], 48_000, 2, AacExtension::Absent);
        check(&[0x12, 0x08], 44_100, 1, AacExtension::Absent);
        check(&[0x11, 0x94], 48_000, 2, AacExtension::Absent);
        check(&[0x13, 0x10], 24_000, 2, AacExtension::Possible);
        check(&[0x17, 0x80, 0x5D, 0xC0, 0x10], 48_000, 2, AacExtension::Absent);
    }

    #[test]
    fn extensions_are_found_in_front_and_behind() {
        check(&[0x2B, 0x11, 0x88, 0x00], 48_000, 2, AacExtension::Sbr);
        check(&[0xEB, 0x09, 0x88, 0x00], 48_000, 2, AacExtension::SbrAndPs);
        check(&[0x13, 0x10, 0x56, 0xE5, 0x98], 48_000, 2, AacExtension::Sbr);
        check(&[0x13, 0x08, 0x56, 0xE5, 0x9D, 0x48, 0x80], 48_000, 2, AacExtension::SbrAndPs);
        check(&[0x13, 0x10, 0x56, 0xE5, 0x00], 24_000, 2, AacExtension::Absent);
    }

    #[test]
    fn cut_configurations_are_refused() {
        for config in [&[][..], &[0x11], &[0x1F, 0x80], &[0x2B, 0x11], &[0x17, 0x80, 0x00, 0x00, 0x10]] {
            assert_eq!(parse(config), None, "{config:02x?}");
        }
    }

    #[test]
    fn an_adts_header_becomes_a_configuration() {
        let header = AdtsHeader::parse(&[0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFC]).unwrap();
        assert_eq!(from_adts(&header), [0x11, 0x90]);
        for rate_index in 0..13 {
            let header =
                AdtsHeader { rate_index, channel_config: rate_index % 8, object_type: 1 + rate_index % 4, ..header };
            assert_eq!(format_of_adts(&header), parse(&from_adts(&header)).unwrap(), "{header:?}");
        }
    }
}
