//! The elementary stream descriptor of `esds` (ISO/IEC 14496-1, 7.2.6; ISO/IEC 14496-14, 3.1.2).

use crate::cursor::Cursor;

const ES: u8 = 0x03;
const DECODER_CONFIG: u8 = 0x04;
const DECODER_SPECIFIC: u8 = 0x05;

/// What an `esds` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamDescriptor<'a> {
    /// `objectTypeIndication`: 0x40 is MPEG-4 audio.
    pub(crate) object_type: u8,
    /// The decoder's configuration; empty if there is none.
    pub(crate) config: &'a [u8],
}

impl<'a> StreamDescriptor<'a> {
    /// Reads the payload of an `esds` behind version and flags.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(descriptor(&mut Cursor::new(bytes), ES)?);
        cursor.u16()?;
        let flags = cursor.u8()?;
        if flags & 0x80 != 0 {
            cursor.u16()?;
        }
        if flags & 0x40 != 0 {
            let len = cursor.u8()?;
            cursor.take(usize::from(len))?;
        }
        if flags & 0x20 != 0 {
            cursor.u16()?;
        }
        let mut decoder = Cursor::new(descriptor(&mut cursor, DECODER_CONFIG)?);
        let object_type = decoder.u8()?;
        decoder.take(12)?;
        Some(Self { object_type, config: descriptor(&mut decoder, DECODER_SPECIFIC).unwrap_or_default() })
    }
}

/// The body of the next descriptor, if it has the tag.
fn descriptor<'a>(cursor: &mut Cursor<'a>, tag: u8) -> Option<&'a [u8]> {
    if cursor.u8()? != tag {
        return None;
    }
    let mut len = 0_usize;
    // A length is spread over at most four bytes, seven bits in each.
    for _ in 0..4 {
        let byte = cursor.u8()?;
        len = len << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    cursor.take(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], want: Option<(u8, &[u8])>) {
        assert_eq!(StreamDescriptor::parse(bytes).map(|found| (found.object_type, found.config)), want);
    }

    #[test]
    fn lengths_may_be_long_or_short() {
        let long = b"\x03\x80\x80\x80\x1F\0\x01\0\x04\x80\x80\x80\x14\x40\x15\0\0\0\0\0\0\0\0\0\0\0\x05\x80\x80\x80\x02\x11\x90\x06\x01\x02";
        check(long, Some((0x40, &[0x11, 0x90])));
        check(b"\x03\x16\0\x01\0\x04\x11\x40\x15\0\0\0\0\0\0\0\0\0\0\0\x05\x02\x11\x90", Some((0x40, &[0x11, 0x90])));
    }

    #[test]
    fn optional_fields_and_a_missing_configuration_are_passed_over() {
        check(b"\x03\x18\0\x01\xE0\0\x02\x01u\0\x03\x04\x0D\x6B\x15\0\0\0\0\0\0\0\0\0\0\0", Some((0x6B, &[])));
        check(b"\x03\x05\0\x01\0", None);
        check(b"\x04\x0D\x6B\x15\0\0\0\0\0\0\0\0\0\0\0", None);
        check(b"", None);
    }
}
