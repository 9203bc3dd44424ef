//! Packed audio is whole when its last frame is. It is in order up to the place where neither a frame nor a tag follows one.

use std::time::Duration;

use super::{Incomplete, IncompleteKind, Stray, time_of};
use crate::frames::{Boundary, FrameHead, Framing};
use crate::id3::{self, TagStart};

/// Bytes that always suffice to tell a frame or a tag and its length.
const HEAD_LEN: usize = id3::HEADER_LEN;

/// Length of an ID3v1 tag, which some writers put behind the last frame.
const ID3V1_LEN: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct PackedCheck {
    framing: Framing,
    standing: Standing,
    /// The first bytes of what begins at the current boundary.
    head: [u8; HEAD_LEN],
    head_len: usize,
    /// Length of the frame or tag we are in, and how much of it is still to come.
    len: usize,
    remaining: usize,
    /// Bytes that were looked at.
    at: u64,
    /// Frames and tags up to here are followed by others.
    sure: u64,
    stray: Option<Stray>,
    any_frame: bool,
    sound: Sound,
}

/// How much sound there is.
#[derive(Clone, Copy, Debug, Default)]
struct Sound {
    /// Frames at the present rate.
    samples: u64,
    rate: u32,
    /// Frames at rates before.
    earlier: Duration,
}

/// How sure we are that the current place is a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The unit's start, or right behind a frame or tag that began at a sure place.
    Sure,
    /// Inside or behind something that looks like a frame but began in junk.
    Candidate,
    /// Among bytes that are neither frame nor tag.
    Junk,
}

impl PackedCheck {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            standing: Standing::Sure,
            head: [0; HEAD_LEN],
            head_len: 0,
            len: 0,
            remaining: 0,
            at: 0,
            sure: 0,
            stray: None,
            any_frame: false,
            sound: Sound::default(),
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        loop {
            let skipped = self.remaining.min(bytes.len());
            self.remaining -= skipped;
            self.at += skipped as u64;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else {
                break;
            };
            // One byte at a time: a frame can be shorter than the head of a tag.
            self.head[self.head_len] = *byte;
            self.head_len += 1;
            self.at += 1;
            bytes = rest;
            self.resolve();
        }
    }

    pub(super) fn finish(&self) -> Result<(), Incomplete> {
        let incomplete =
            |kind, expected: usize, got: usize| Err(Incomplete { kind, expected: expected as u64, got: got as u64 });
        if !self.any_frame {
            return incomplete(IncompleteKind::NoMedia, self.framing.header_len(), self.head_len);
        }
        match self.standing {
            Standing::Sure if self.remaining > 0 => {
                incomplete(IncompleteKind::Frame, self.len, self.len - self.remaining)
            }
            Standing::Sure if self.head_len > 0 => {
                incomplete(IncompleteKind::Frame, self.framing.header_len(), self.head_len)
            }
            _ => Ok(()),
        }
    }

    /// The time of all frames that began, by the samples that their headers state; `None` where none did.
    pub(super) fn covered(&self) -> Option<Duration> {
        self.any_frame.then(|| self.sound.time())
    }

    /// Decides what the head is, as soon as it can be told; drops bytes off its front while it is junk.
    fn resolve(&mut self) {
        while self.head_len > 0 {
            let head = &self.head[..self.head_len];
            match (id3::tag_start(head), self.framing.boundary(head)) {
                (TagStart::Tag(len), _) => return self.enter(len, false),
                (_, Boundary::Frame(len)) => {
                    let frame = self.framing.head(head);
                    self.enter(len, true);
                    // One that stands in junk may be none.
                    if self.standing == Standing::Sure
                        && let Some(frame) = frame
                    {
                        self.sound.add(&frame);
                    }
                    return;
                }
                (TagStart::NeedMore, _) | (_, Boundary::NeedMore) => return,
                _ if head == b"TAG" => return self.enter(ID3V1_LEN, false),
                _ if b"TAG".starts_with(head) => return,
                _ => {
                    self.lose_sync(head[0]);
                    self.head.copy_within(1..self.head_len, 0);
                    self.head_len -= 1;
                }
            }
        }
    }

    /// Frames and tags up to here are in order, as another one begins where they end.
    pub(super) const fn sure(&self) -> u64 {
        self.sure
    }

    pub(super) const fn stray(&self) -> Option<Stray> {
        self.stray
    }

    /// Padding in front of the first frame is none.
    fn lose_sync(&mut self, byte: u8) {
        if self.stray.is_none() && self.any_frame && self.standing == Standing::Sure {
            self.stray = Some(Stray { at: self.at - self.head_len as u64, byte });
        }
        self.standing = Standing::Junk;
    }

    fn enter(&mut self, len: usize, is_frame: bool) {
        self.standing = match self.standing {
            Standing::Junk => Standing::Candidate,
            Standing::Sure | Standing::Candidate => Standing::Sure,
        };
        if self.standing == Standing::Sure && self.stray.is_none() {
            self.sure = self.at - self.head_len as u64;
        }
        self.any_frame |= is_frame && self.standing == Standing::Sure;
        self.len = len;
        self.remaining = len.saturating_sub(self.head_len);
        self.head_len = 0;
    }
}

impl Sound {
    fn add(&mut self, frame: &FrameHead) {
        if frame.is_dependent {
            return;
        }
        if frame.format.sample_rate != self.rate {
            *self = Self { samples: 0, rate: frame.format.sample_rate, earlier: self.time() };
        }
        self.samples = self.samples.saturating_add(u64::from(frame.samples));
    }

    fn time(&self) -> Duration {
        self.earlier.saturating_add(time_of(self.samples, self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::tests::{adts_frame, mp3_frame};
    use crate::id3::tests::timestamp_tag;

    #[track_caller]
    fn check(framing: Framing, unit: &[u8], want: Result<(), IncompleteKind>) {
        for portion in [1, 5, 188, usize::MAX] {
            let mut check = PackedCheck::new(framing);
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            assert_eq!(check.finish().map_err(|incomplete| incomplete.kind), want, "in portions of {portion}");
        }
    }

    #[test]
    fn whole_frames_pass_with_tags_anywhere() {
        let (tag, frame) = (timestamp_tag(1), adts_frame(60));
        check(Framing::Adts, &frame, Ok(()));
        check(Framing::Adts, &adts_frame(0), Ok(()));
        check(Framing::Adts, &[&tag[..], &frame, &tag, &frame, &tag].concat(), Ok(()));
        check(Framing::Mpeg, &[&tag[..], &mp3_frame(), &mp3_frame()].concat(), Ok(()));
        let id3v1 = [&b"TAG"[..], &[b'x'; 125]].concat();
        check(Framing::Mpeg, &[&mp3_frame()[..], &mp3_frame(), &id3v1].concat(), Ok(()));
    }

    #[test]
    fn a_cut_frame_is_noticed_at_every_byte() {
        let unit = [timestamp_tag(1), adts_frame(60), adts_frame(60)].concat();
        let (tag, frame) = (timestamp_tag(1).len(), 67);
        for len in 1..unit.len() {
            let want = match len {
                _ if len < tag + 7 => Err(IncompleteKind::NoMedia),
                _ if len == tag + frame => Ok(()),
                _ => Err(IncompleteKind::Frame),
            };
            check(Framing::Adts, &unit[..len], want);
        }
    }

    #[track_caller]
    fn covers(framing: Framing, unit: &[u8], micros: Option<u64>) {
        for portion in [1, 5, 188, usize::MAX] {
            let mut check = PackedCheck::new(framing);
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            let covered = check.covered().map(|it| u64::try_from(it.as_micros()).unwrap());
            assert_eq!(covered, micros, "in portions of {portion}");
        }
    }

    #[test]
    fn frames_tell_how_much_time_a_unit_has() {
        let (tag, frame) = (timestamp_tag(1), adts_frame(60));
        covers(Framing::Adts, &tag, None);
        covers(Framing::Adts, &[&tag[..], &frame, &tag, &frame, &frame].concat(), Some(64_000));
        covers(Framing::Mpeg, &[mp3_frame(), mp3_frame()].concat(), Some(52_244));
        // Four blocks in one frame.
        let mut several = adts_frame(60);
        several[6] |= 3;
        covers(Framing::Adts, &several, Some(85_333));
    }

    #[test]
    fn a_new_sample_rate_counts_for_the_frames_behind_it() {
        let mut slower = adts_frame(60);
        // 24 kHz instead of 48.
        slower[2] = 0x58;
        covers(Framing::Adts, &[&adts_frame(60)[..], &slower, &slower].concat(), Some(106_666));
    }

    #[test]
    fn frames_of_dependent_substreams_take_no_time_of_their_own() {
        // Enhanced AC-3 at 48 kHz, 8 bytes, six blocks; of the independent substream 0 and of a dependent one.
        let frame = |kind: u8| [0x0B, 0x77, kind << 6, 3, 0x34, 16 << 3, 0, 0];
        covers(Framing::Ac3, &[frame(0), frame(1), frame(0), frame(1)].concat(), Some(64_000));
    }

    #[test]
    fn frames_among_junk_count_once_they_are_sure() {
        let frame = adts_frame(60);
        covers(Framing::Adts, &[&frame[..], b"junk", &frame, &frame].concat(), Some(42_666));
    }

    #[track_caller]
    fn strays(unit: &[u8], want: Option<(usize, u8)>, sure: usize) {
        for portion in [1, 5, 188, usize::MAX] {
            let mut check = PackedCheck::new(Framing::Adts);
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            let got = check.stray().map(|stray| (stray.at as usize, stray.byte));
            assert_eq!((got, check.sure() as usize), (want, sure), "in portions of {portion}");
        }
    }

    #[test]
    fn frames_are_in_order_up_to_the_place_where_none_begins() {
        let (tag, frame) = (timestamp_tag(1), adts_frame(60));
        let whole = [&tag[..], &frame, &frame, &tag].concat();
        strays(&whole, None, whole.len() - tag.len());
        strays(&[&whole[..], b"!"].concat(), Some((whole.len(), b'!')), whole.len() - tag.len());
        let pages = [&frame[..], &frame[..20], &[b'<'; 300], &frame, &frame, &frame].concat();
        strays(&pages, Some((134, b'<')), 67);
        strays(&[&[0; 40], &whole[..], &[0; 9]].concat(), Some((40 + whole.len(), 0)), 40 + whole.len() - tag.len());
    }

    #[test]
    fn junk_passes_but_is_not_taken_for_frames() {
        let frame = adts_frame(60);
        check(Framing::Adts, &[&frame[..], b"junk", &frame, &frame].concat(), Ok(()));
        check(Framing::Adts, &[&frame[..], b"junk", &frame[..20]].concat(), Ok(()));
        check(Framing::Adts, &[&frame[..], b"junk", &frame, &frame[..20]].concat(), Err(IncompleteKind::Frame));
        check(Framing::Adts, b"junk, nothing but junk", Err(IncompleteKind::NoMedia));
        check(Framing::Adts, &[&frame[..], &timestamp_tag(1)[..30]].concat(), Err(IncompleteKind::Frame));
    }
}
