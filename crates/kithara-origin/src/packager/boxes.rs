//! Boxes of ISO/IEC 14496-12, as far as cutting a movie fragment needs them.

/// The boxes side by side in `bytes`: type and content. Ends at the first that does not fit.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    placed(bytes).map(|(_, kind, content)| (kind, content))
}

/// As [`boxes`], each with the place of its first byte.
pub(crate) fn placed(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8; 4], &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..)?;
        let (size, kind) = (u32_at(rest, 0)?, rest.get(4..8)?.first_chunk()?);
        let (header, size) = match size {
            0 => (8, rest.len()),
            1 => (16, usize::try_from(u64_at(rest, 8)?).ok()?),
            size => (8, usize::try_from(size).ok()?),
        };
        let content = rest.get(header..size)?;
        let place = at;
        at += size;
        Some((place, kind, content))
    })
}

/// The content of the first box of this type.
pub(crate) fn child<'a>(bytes: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, content)| content)
}

/// The content of the box that this path of types leads to.
pub(crate) fn descendant<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, wanted| child(bytes, wanted))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_be_bytes(*four))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|eight| u64::from_be_bytes(*eight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_found_by_their_path_and_broken_ones_end_the_search() {
        let bytes = b"\0\0\0\x14moov\0\0\0\x0ctrakdata\0\0\0\x01mdat\0\0\0\0\0\0\0\x12xy\0\0\0\x09free";
        assert_eq!(descendant(bytes, &[b"moov", b"trak"]), Some(&b"data"[..]));
        assert_eq!(child(bytes, b"mdat"), Some(&b"xy"[..]));
        assert_eq!(child(bytes, b"free"), None, "its end is missing");
        assert_eq!(placed(bytes).map(|(at, ..)| at).collect::<Vec<_>>(), [0, 20]);
        assert_eq!(child(b"\0\0\0\x00freexyz", b"free"), Some(&b"xyz"[..]), "to the end");
        assert_eq!(child(b"\0\0\0\x04free", b"free"), None, "shorter than its own header");
    }
}
