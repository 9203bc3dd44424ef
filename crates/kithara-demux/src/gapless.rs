//! The note that iTunes leaves of the samples an encoder added.

use crate::track::Gapless;

/// The name of the note, in an ID3 comment or in an `ilst` item.
pub(crate) const NAME: &[u8] = b"iTunSMPB";

/// Reads the note: hexadecimal fields, of which the second is the delay, the third the padding and the fourth the samples between them.
pub(crate) fn parse(note: &[u8]) -> Option<Gapless> {
    let mut fields = note.split(|byte| !byte.is_ascii_alphanumeric()).filter(|field| !field.is_empty());
    let mut next = || u64::from_str_radix(std::str::from_utf8(fields.next()?).ok()?, 16).ok();
    next()?;
    let (start, end) = (u32::try_from(next()?).ok()?, u32::try_from(next()?).ok()?);
    let samples = next().filter(|samples| *samples > 0);
    (start > 0 || end > 0).then_some(Gapless { start, end, samples })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(note: &[u8], want: Option<(u32, u32, Option<u64>)>) {
        let want = want.map(|(start, end, samples)| Gapless { start, end, samples });
        assert_eq!(parse(note), want, "{}", note.escape_ascii());
    }

    #[test]
    fn delay_padding_and_length_are_read() {
        check(b" 00000000 00000840 000001CA 00000000003F31F6 00000000 00000000", Some((2112, 458, Some(4_141_558))));
        check(b"\0 00000000 00000840 000001CA", Some((2112, 458, None)));
    }

    #[test]
    fn a_note_of_nothing_or_of_nonsense_is_none() {
        check(b" 00000000 00000000 00000000 0000000000000000", None);
        check(b" 00000000 00000840", None);
        check(b" 00000000 FFFFFFFFFF 00000000", None);
        check(b" not hex at all", None);
    }
}
