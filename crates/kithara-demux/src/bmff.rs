//! Boxes of the ISO base media file format (ISO/IEC 14496-12).

pub(crate) mod demux;
pub(crate) mod descriptors;
pub(crate) mod event;
pub(crate) mod fragment;
pub(crate) mod movie;
pub(crate) mod sample_entry;
pub(crate) mod samples;
pub(crate) mod vtt_sample;

use crate::cursor::Cursor;

/// Four characters that name a box.
pub(crate) type FourCc = [u8; 4];

/// The header of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BoxHeader {
    pub(crate) kind: FourCc,
    /// Bytes of the header itself: 8 or 16.
    pub(crate) header_len: usize,
    /// Bytes of the whole box, header included; `None` if it reaches to the end of the file.
    pub(crate) len: Option<u64>,
}

/// Most bytes a header takes.
pub(crate) const MAX_HEADER_LEN: usize = 16;

/// What reading a header came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadHeader {
    Header(BoxHeader),
    /// This many bytes are needed.
    NeedMore(usize),
    /// The size is smaller than the header.
    Malformed,
}

impl BoxHeader {
    /// Reads the header at the start of `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> ReadHeader {
        let mut cursor = Cursor::new(bytes);
        let (Some(size), Some(kind)) = (cursor.u32(), cursor.array::<4>()) else {
            return ReadHeader::NeedMore(8);
        };
        match size {
            0 => ReadHeader::Header(Self { kind, header_len: 8, len: None }),
            1 => match cursor.u64() {
                None => ReadHeader::NeedMore(MAX_HEADER_LEN),
                Some(len) if len < 16 => ReadHeader::Malformed,
                Some(len) => ReadHeader::Header(Self { kind, header_len: 16, len: Some(len) }),
            },
            2..8 => ReadHeader::Malformed,
            len => ReadHeader::Header(Self { kind, header_len: 8, len: Some(u64::from(len)) }),
        }
    }
}

/// The boxes inside `bytes` that are all there: kind and payload. A box that does not fit ends the walk.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = (FourCc, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let ReadHeader::Header(header) = BoxHeader::read(rest) else {
            return None;
        };
        let len = header.len.map_or(Some(rest.len()), |len| usize::try_from(len).ok())?;
        let (whole, after) = rest.split_at_checked(len)?;
        rest = after;
        Some((header.kind, &whole[header.header_len..]))
    })
}

/// The payload of the first box of a kind.
pub(crate) fn find<'a>(bytes: &'a [u8], kind: &FourCc) -> Option<&'a [u8]> {
    boxes(bytes).find_map(|(found, payload)| (found == *kind).then_some(payload))
}

/// Version and flags of a full box, and the rest of it.
pub(crate) fn full_box(payload: &[u8]) -> Option<(u8, u32, Cursor<'_>)> {
    let mut cursor = Cursor::new(payload);
    let word = cursor.u32()?;
    Some(((word >> 24) as u8, word & 0x00FF_FFFF, cursor))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A box of `kind` around `payloads`.
    pub(crate) fn mp4_box(kind: &FourCc, payloads: &[&[u8]]) -> Vec<u8> {
        let body = payloads.concat();
        let mut out = (body.len() as u32 + 8).to_be_bytes().to_vec();
        out.extend_from_slice(kind);
        out.extend_from_slice(&body);
        out
    }

    /// A full box: version, flags, then `payloads`.
    pub(crate) fn mp4_full_box(kind: &FourCc, version: u8, flags: u32, payloads: &[&[u8]]) -> Vec<u8> {
        let word = (u32::from(version) << 24 | flags).to_be_bytes();
        mp4_box(kind, &[&word, &payloads.concat()])
    }

    #[test]
    fn headers_come_in_three_sizes() {
        let header = |kind: &FourCc, header_len, len| ReadHeader::Header(BoxHeader { kind: *kind, header_len, len });
        assert_eq!(BoxHeader::read(b"\0\0\0\x0Cstyp"), header(b"styp", 8, Some(12)));
        assert_eq!(BoxHeader::read(b"\0\0\0\0mdat"), header(b"mdat", 8, None));
        assert_eq!(BoxHeader::read(b"\0\0\0\x01mdat\0\0\0\x01\0\0\0\0"), header(b"mdat", 16, Some(1 << 32)));
        assert_eq!(BoxHeader::read(b"\0\0\0\x01mdat\0\0"), ReadHeader::NeedMore(16));
        assert_eq!(BoxHeader::read(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x0F"), ReadHeader::Malformed);
        assert_eq!(BoxHeader::read(b"\0\0\0\x07free"), ReadHeader::Malformed);
        assert_eq!(BoxHeader::read(b"\0\0\0"), ReadHeader::NeedMore(8));
    }

    #[test]
    fn a_walk_ends_at_the_first_box_that_does_not_fit() {
        let mut bytes = mp4_box(b"free", &[b"ab"]);
        bytes.extend(mp4_box(b"skip", &[]));
        bytes.extend_from_slice(b"\0\0\0\x20mdat");
        let found: Vec<_> = boxes(&bytes).collect();
        assert_eq!(found, [(*b"free", &b"ab"[..]), (*b"skip", &b""[..])]);
    }
}
