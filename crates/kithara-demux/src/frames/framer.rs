//! Cutting a stream of bytes into audio frames.

use bytes::Bytes;

use super::{Boundary, FrameHead, Framing};
use crate::id3::{self, TagStart};
use crate::rope::Rope;

/// Frames of other substreams that an access unit of E-AC-3 may hold.
const MAX_DEPENDENTS: u32 = 15;

/// Finds the frames in a rope. Keeps no bytes of its own.
#[derive(Debug)]
pub(crate) struct Framer {
    framing: Framing,
    /// Whether the front of the rope is known to be a boundary. If not, a frame is believed only when another one follows it.
    in_sync: bool,
    /// Bytes passed over since the last frame.
    junk: u64,
    /// Bytes there must be before another look is worth it.
    wanted: usize,
    /// Bytes left of a tag that is too large to keep.
    tag_left: usize,
    max_tag: usize,
}

/// What stands at the front of a rope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// A whole access unit; `data` is without the part of the header that decoders do not take.
    Frame { head: FrameHead, data: Bytes },
    /// A whole ID3 tag.
    Tag(Bytes),
    /// This many bytes were neither; reported once, in front of what follows them.
    Junk(u64),
    /// More bytes are needed, or none are left.
    NeedMore,
}

impl Framer {
    /// `max_tag` is the size of the largest tag that is kept; a larger one is passed over.
    pub(crate) const fn new(framing: Framing, max_tag: usize) -> Self {
        Self { framing, in_sync: false, junk: 0, wanted: 0, tag_left: 0, max_tag }
    }

    /// Forgets where it is, because bytes were lost in front of what comes next.
    pub(crate) const fn lose_sync(&mut self) {
        self.in_sync = false;
        self.wanted = 0;
        self.tag_left = 0;
    }

    /// Nothing follows any more. Gives how many bytes are missing of a tag that was being passed over.
    pub(crate) const fn end(&mut self) -> usize {
        let missing = self.tag_left;
        if missing > 0 {
            self.lose_sync();
        }
        missing
    }

    /// Takes the next thing off the front; `is_end` says that nothing follows what is there. Takes off a multiple of whole things, so that the
    /// caller can tell places in the stream by the length of the rope.
    pub(crate) fn next(&mut self, rope: &mut Rope, is_end: bool) -> Framed {
        if rope.len() < self.wanted && !is_end {
            return Framed::NeedMore;
        }
        self.wanted = 0;
        loop {
            self.tag_left -= rope.skip(self.tag_left);
            let (head, len) = rope.peek::<{ id3::HEADER_LEN }>();
            let head = &head[..len];
            let boundary = match id3::tag_start(head) {
                _ if head.is_empty() => return self.at_end(is_end),
                TagStart::Tag(len) => Boundary::Frame(len),
                TagStart::NeedMore if !is_end => return Framed::NeedMore,
                TagStart::NeedMore | TagStart::NoTag => self.framing.boundary(head),
            };
            match boundary {
                Boundary::NeedMore => return self.at_end(is_end),
                Boundary::NoFrame => self.pass_over(rope),
                Boundary::Frame(len) if head.starts_with(b"ID3") => {
                    if let Some(tag) = self.tag(rope, len, is_end) {
                        return tag;
                    }
                }
                Boundary::Frame(len) => match self.frame(rope, len, is_end) {
                    Some(found) => return found,
                    None => self.pass_over(rope),
                },
            }
        }
    }

    /// The junk at the end of what there is, if that is the end.
    fn at_end(&mut self, is_end: bool) -> Framed {
        if is_end && self.junk > 0 { Framed::Junk(std::mem::take(&mut self.junk)) } else { Framed::NeedMore }
    }

    fn pass_over(&mut self, rope: &mut Rope) {
        self.in_sync = false;
        self.junk += rope.skip(1) as u64;
    }

    /// Takes a tag; `None` if it is passed over.
    fn tag(&mut self, rope: &mut Rope, len: usize, is_end: bool) -> Option<Framed> {
        if self.junk > 0 {
            return Some(Framed::Junk(std::mem::take(&mut self.junk)));
        }
        if len > self.max_tag {
            self.tag_left = len;
            return None;
        }
        let Some(tag) = rope.take(len) else {
            self.wanted = len;
            return Some(self.at_end(is_end));
        };
        self.in_sync = true;
        Some(Framed::Tag(tag))
    }

    /// Takes an access unit that begins with a frame of `first` bytes; `None` if it turns out to be none.
    fn frame(&mut self, rope: &mut Rope, first: usize, is_end: bool) -> Option<Framed> {
        let (bytes, _) = rope.peek::<{ id3::HEADER_LEN }>();
        let head = self.framing.head(&bytes)?;
        let mut len = first;
        let mut dependents = 0;
        while (head.takes_dependents && dependents < MAX_DEPENDENTS) || !self.in_sync {
            let mut next = [0; id3::HEADER_LEN];
            let there = rope.copy_to(len, &mut next);
            let next = &next[..there];
            match self.framing.boundary(next) {
                Boundary::NeedMore if !is_end => return Some(Framed::NeedMore),
                Boundary::Frame(more)
                    if self.framing.head(next).is_some_and(|next| next.is_dependent) && dependents < MAX_DEPENDENTS =>
                {
                    len += more;
                    dependents += 1;
                    continue;
                }
                Boundary::Frame(_) => {}
                // Nothing behind it at the end: it stands for itself.
                Boundary::NeedMore if there == 0 && rope.len() >= len => {}
                Boundary::NeedMore | Boundary::NoFrame if self.in_sync => {}
                Boundary::NeedMore | Boundary::NoFrame => match id3::tag_start(next) {
                    TagStart::NeedMore if !is_end => return Some(Framed::NeedMore),
                    TagStart::Tag(_) => {}
                    TagStart::NeedMore | TagStart::NoTag => return None,
                },
            }
            break;
        }
        if rope.len() < len {
            self.wanted = len;
            return Some(self.at_end(is_end));
        }
        self.in_sync = true;
        if self.junk > 0 {
            return Some(Framed::Junk(std::mem::take(&mut self.junk)));
        }
        let mut data = rope.take(len)?;
        Some(Framed::Frame { head, data: data.split_off(head.header_len.min(len)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::{adts_frame, mp3_frame};
    use crate::id3::tests::timestamp_tag;

    /// What is found in `stream`, as text: lengths of frames' data, `t` for tags, `j` for junk; then what is left.
    fn found(framing: Framing, stream: &[u8], portion: usize) -> String {
        let (mut framer, mut rope) = (Framer::new(framing, 1000), Rope::default());
        let mut out = Vec::new();
        let mut take = |rope: &mut Rope, is_end| loop {
            match framer.next(rope, is_end) {
                Framed::Frame { data, .. } => out.push(data.len().to_string()),
                Framed::Tag(tag) => out.push(format!("t{}", tag.len())),
                Framed::Junk(len) => out.push(format!("j{len}")),
                Framed::NeedMore => break,
            }
        };
        for chunk in stream.chunks(portion) {
            rope.push(Bytes::copy_from_slice(chunk));
            take(&mut rope, false);
        }
        take(&mut rope, true);
        out.push(format!("left {}", rope.len()));
        out.join(" ")
    }

    #[track_caller]
    fn check(framing: Framing, stream: &[&[u8]], want: &str) {
        let stream = stream.concat();
        for portion in [1, 7, 100, stream.len()] {
            assert_eq!(found(framing, &stream, portion), want, "in portions of {portion}");
        }
    }

    fn eac3_frame(stream_type: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0x0B, 0x77, stream_type << 6, (len / 2 - 1) as u8, 0x3F, 0x86];
        frame.resize(len, 0);
        frame
    }

    #[test]
    fn frames_and_tags_are_told_apart() {
        let (tag, frame) = (timestamp_tag(1), adts_frame(60));
        check(Framing::Adts, &[&frame], "60 left 0");
        check(Framing::Adts, &[&tag, &frame, &tag, &frame, &frame[..20]], "t88 60 t88 60 left 20");
        check(Framing::Mpeg, &[&mp3_frame(), &mp3_frame()], "417 417 left 0");
    }

    #[test]
    fn junk_is_passed_over_and_false_headers_in_it_are_not_believed() {
        let frame = adts_frame(60);
        check(Framing::Adts, &[b"junk", &frame, &frame], "j4 60 60 left 0");
        check(Framing::Adts, &[&frame, &frame, b"!", &adts_frame(90)[..9], &frame, &frame], "60 60 j10 60 60 left 0");
        check(Framing::Adts, &[&frame, &frame, b"the end"], "60 60 j7 left 0");
        check(Framing::Adts, &[&adts_frame(60)[..30]], "j30 left 0");
    }

    #[test]
    fn a_tag_too_large_to_keep_is_passed_over() {
        let mut tag = b"ID3\x04\0\0\0\0\x10\0".to_vec();
        tag.resize(10 + 0x800, 0xFF);
        check(Framing::Adts, &[&tag, &adts_frame(60), &adts_frame(60)], "60 60 left 0");
    }

    #[test]
    fn dependent_substreams_join_their_independent_frame() {
        let (first, other) = (eac3_frame(0, 64), eac3_frame(1, 32));
        check(Framing::Ac3, &[&first, &other, &other, &first, &first, &other], "128 64 96 left 0");
        let many: Vec<_> = std::iter::once(first).chain(std::iter::repeat_n(other, 20)).collect();
        check(Framing::Ac3, &[&many.concat()], "544 160 left 0");
    }
}
