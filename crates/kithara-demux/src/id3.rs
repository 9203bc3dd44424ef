//! ID3v2 tags: how long they are, and the timestamp packed audio carries in them (RFC 8216 section 3.4).

use crate::cursor::Cursor;
use crate::gapless;
use crate::track::Gapless;

/// Bytes of the header every tag begins with.
pub(crate) const HEADER_LEN: usize = 10;

/// Owner of the private frame that holds the media time of the first sample.
const TIMESTAMP_OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// What the bytes at a possible tag are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagStart {
    /// A tag of this many bytes begins here, header and footer included.
    Tag(usize),
    /// A header may begin here, but it is not all there.
    NeedMore,
    NoTag,
}

/// Looks for a tag at the start of `bytes`. An empty slice is [`TagStart::NeedMore`].
pub(crate) fn tag_start(bytes: &[u8]) -> TagStart {
    let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
        let looks_like = bytes.iter().zip(b"ID3").all(|(byte, want)| byte == want);
        return if looks_like { TagStart::NeedMore } else { TagStart::NoTag };
    };
    let valid =
        head.starts_with(b"ID3") && head[3] != 0xFF && head[4] != 0xFF && head[6..].iter().all(|byte| byte & 0x80 == 0);
    if !valid {
        return TagStart::NoTag;
    }
    let footer = if head[5] & 0x10 == 0 { 0 } else { HEADER_LEN };
    TagStart::Tag(HEADER_LEN + synchsafe([head[6], head[7], head[8], head[9]]) + footer)
}

/// The media time written in a whole `tag`: 33 bits on the 90 kHz clock. `None` if the tag holds none.
pub(crate) fn timestamp(tag: &[u8]) -> Option<u64> {
    let ticks = frames(tag)?.find_map(|frame| {
        let value = (frame.id == *b"PRIV").then(|| frame.body.strip_prefix(TIMESTAMP_OWNER)).flatten()?;
        value.first_chunk::<8>().map(|ticks| u64::from_be_bytes(*ticks))
    })?;
    Some(ticks & 0x1_FFFF_FFFF)
}

/// Whether a whole `tag` says anything but the media time.
pub(crate) fn has_content(tag: &[u8]) -> bool {
    frames(tag).is_some_and(|mut frames| frames.any(|frame| !frame.body.starts_with(TIMESTAMP_OWNER)))
}

/// What iTunes notes of added samples in a comment or in a text field of a whole `tag`.
pub(crate) fn gapless(tag: &[u8]) -> Option<Gapless> {
    frames(tag)?.filter(|frame| matches!(&frame.id, b"COMM" | b"TXXX")).find_map(|frame| {
        let at = frame.body.windows(gapless::NAME.len()).position(|window| window == gapless::NAME)?;
        gapless::parse(&frame.body[at + gapless::NAME.len()..])
    })
}

/// A frame of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame<'a> {
    id: [u8; 4],
    body: &'a [u8],
}

/// The frames of a version 2.3 or 2.4 tag; the walk ends at padding and at the first frame that does not fit.
fn frames(tag: &[u8]) -> Option<impl Iterator<Item = Frame<'_>>> {
    let major = *tag.get(3)?;
    let flags = *tag.get(5)?;
    let mut cursor = Cursor::new(tag.get(HEADER_LEN..)?);
    if flags & 0x40 != 0 {
        let size = cursor.array::<4>()?;
        // The size of an extended header counts itself in version 2.4 only.
        let rest = if major >= 4 { synchsafe(size).checked_sub(4)? } else { u32::from_be_bytes(size) as usize };
        cursor.take(rest)?;
    }
    let plain_sizes = major == 3;
    (major >= 3).then(|| {
        std::iter::from_fn(move || {
            let id = cursor.array::<4>().filter(|id| id[0] != 0)?;
            let size = cursor.array::<4>()?;
            cursor.take(2)?;
            let len = if plain_sizes { u32::from_be_bytes(size) as usize } else { synchsafe(size) };
            Some(Frame { id, body: cursor.take(len)? })
        })
    })
}

/// A 28-bit number written in the low seven bits of four bytes.
fn synchsafe(bytes: [u8; 4]) -> usize {
    bytes.iter().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A version 2.4 tag that holds `frames` (id and body).
    pub(crate) fn tag(frames: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let safe = |len: usize| {
            [(len >> 21) as u8 & 0x7F, (len >> 14) as u8 & 0x7F, (len >> 7) as u8 & 0x7F, len as u8 & 0x7F]
        };
        let mut body = Vec::new();
        for (id, data) in frames {
            body.extend_from_slice(*id);
            body.extend_from_slice(&safe(data.len()));
            body.extend_from_slice(&[0, 0]);
            body.extend_from_slice(data);
        }
        let mut tag = b"ID3\x04\0\0".to_vec();
        tag.extend_from_slice(&safe(body.len()));
        tag.extend_from_slice(&body);
        tag
    }

    /// A tag with the timestamp of packed audio.
    pub(crate) fn timestamp_tag(ticks: u64) -> Vec<u8> {
        let mut body = TIMESTAMP_OWNER.to_vec();
        body.extend_from_slice(&ticks.to_be_bytes());
        tag(&[(b"TIT2", b"\0name"), (b"PRIV", &body)])
    }

    #[test]
    fn the_length_counts_header_and_footer() {
        assert_eq!(tag_start(b"ID3\x04\0\0\0\0\x01\x02"), TagStart::Tag(10 + 130));
        assert_eq!(tag_start(b"ID3\x04\0\x10\0\0\0\x02"), TagStart::Tag(22));
        assert_eq!(tag_start(b"ID"), TagStart::NeedMore);
        assert_eq!(tag_start(b""), TagStart::NeedMore);
        assert_eq!(tag_start(b"IDx"), TagStart::NoTag);
        assert_eq!(tag_start(b"ID3\x04\0\0\0\0\x81\x02"), TagStart::NoTag);
    }

    #[test]
    fn the_note_of_itunes_is_found_in_a_comment() {
        let note = b"\0engiTunSMPB\0 00000000 00000210 00000726 000000000017C0CA 00000000";
        let want = Gapless { start: 0x210, end: 0x726, samples: Some(0x17_C0CA) };
        assert_eq!(gapless(&tag(&[(b"TIT2", b"\0x"), (b"COMM", note)])), Some(want));
        assert_eq!(gapless(&tag(&[(b"PRIV", note)])), None);
    }

    #[test]
    fn a_tag_with_a_timestamp_only_has_no_content() {
        let mut body = TIMESTAMP_OWNER.to_vec();
        body.extend_from_slice(&[0; 8]);
        assert!(!has_content(&tag(&[(b"PRIV", &body)])));
        assert!(has_content(&timestamp_tag(0)));
    }

    #[test]
    fn the_private_timestamp_is_found_among_other_frames() {
        assert_eq!(timestamp(&timestamp_tag(900_000)), Some(900_000));
        assert_eq!(timestamp(&timestamp_tag(0x3_0000_0001)), Some(0x1_0000_0001), "only 33 bits count");
        assert_eq!(timestamp(&tag(&[(b"PRIV", b"someone.else\0\0\0\0\0\0\0\0\x01")])), None);
        assert_eq!(timestamp(b"ID3\x04\0\0\0\0\0\0"), None);
    }
}
