//! A file of boxes is whole when its last box is, and when all bytes that its fragments point to are there.

use bytes::BytesMut;

use super::{Incomplete, IncompleteKind, SegmentCheck};
use crate::bmff::fragment::{DataBase, Fragment};
use crate::bmff::{BoxHeader, MAX_HEADER_LEN, ReadHeader};

#[derive(Clone, Debug)]
pub(super) struct BmffCheck {
    state: State,
    /// Bytes of the unit before the current state's box.
    box_start: u64,
    /// The place up to which samples reach, as told by the fragments seen.
    reach: u64,
    /// A file type or an index was seen, which announces media or a movie header.
    announces: bool,
    /// Media or a movie header was seen.
    has_content: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Collecting the header of the next box.
    Header { bytes: [u8; MAX_HEADER_LEN], len: usize },
    /// Passing over payload: this many bytes are left.
    Skip { left: u64, box_len: u64 },
    /// Collecting the payload of a `moof`: this many bytes are left.
    Moof { payload: BytesMut, left: u64, box_len: u64 },
    /// In a box that reaches to the end of the unit.
    ToTheEnd,
    /// Behind something that is no box.
    Lost,
}

impl Default for BmffCheck {
    fn default() -> Self {
        Self { state: State::HEADER, box_start: 0, reach: 0, announces: false, has_content: false }
    }
}

impl State {
    const HEADER: Self = Self::Header { bytes: [0; MAX_HEADER_LEN], len: 0 };
}

impl BmffCheck {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let used = match &mut self.state {
                State::ToTheEnd | State::Lost => return,
                State::Header { bytes: head, len } => {
                    head[*len] = bytes[0];
                    *len += 1;
                    1
                }
                State::Skip { left, .. } => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= used as u64;
                    used
                }
                State::Moof { payload, left, .. } => {
                    let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    payload.extend_from_slice(&bytes[..used]);
                    *left -= used as u64;
                    used
                }
            };
            bytes = &bytes[used..];
            self.advance();
        }
    }

    pub(super) fn finish(&self, got: u64) -> Result<(), Incomplete> {
        let incomplete = |kind, expected| Err(Incomplete { kind, expected, got });
        match &self.state {
            State::Header { len: 1.., .. } => {
                return incomplete(IncompleteKind::Box, self.box_start.saturating_add(8));
            }
            State::Skip { box_len, .. } | State::Moof { box_len, .. } => {
                return incomplete(IncompleteKind::Box, self.box_start.saturating_add(*box_len));
            }
            State::Lost if self.box_start == 0 => return incomplete(IncompleteKind::NoMedia, 8),
            State::Header { .. } | State::ToTheEnd | State::Lost => {}
        }
        if self.announces && !self.has_content && !matches!(self.state, State::Lost) {
            incomplete(IncompleteKind::Box, got.saturating_add(8))
        } else if self.reach > got {
            incomplete(IncompleteKind::Samples, self.reach)
        } else {
            Ok(())
        }
    }

    /// Leaves the state if it has all its bytes.
    fn advance(&mut self) {
        match &mut self.state {
            State::Header { bytes, len } => match BoxHeader::read(&bytes[..*len]) {
                ReadHeader::NeedMore(_) => {}
                ReadHeader::Malformed => self.state = State::Lost,
                ReadHeader::Header(header) => self.enter(header),
            },
            State::Skip { left: 0, box_len } => {
                let box_len = *box_len;
                self.leave_box(box_len);
            }
            State::Moof { payload, left: 0, box_len } => {
                let box_len = *box_len;
                let payload = std::mem::take(payload);
                self.fragment(payload, self.box_start + box_len);
                self.leave_box(box_len);
            }
            State::Skip { .. } | State::Moof { .. } | State::ToTheEnd | State::Lost => {}
        }
    }

    fn enter(&mut self, header: BoxHeader) {
        match &header.kind {
            b"ftyp" => self.announces = true,
            // Alone it is an index fetched as one.
            b"sidx" => self.announces |= self.box_start > 0,
            b"moov" | b"moof" | b"mdat" => self.has_content = true,
            _ => {}
        }
        let Some(box_len) = header.len else {
            self.state = State::ToTheEnd;
            return;
        };
        let left = box_len - header.header_len as u64;
        self.state = match &header.kind {
            b"moof" if left <= SegmentCheck::MAX_MOOF as u64 => State::Moof { payload: BytesMut::new(), left, box_len },
            _ => State::Skip { left, box_len },
        };
        // A box may have no payload at all.
        if left == 0 {
            self.advance();
        }
    }

    fn leave_box(&mut self, len: u64) {
        self.box_start = self.box_start.saturating_add(len);
        self.state = State::HEADER;
    }

    /// Notes how far the samples of a fragment reach that ends at `moof_end`.
    fn fragment(&mut self, payload: BytesMut, moof_end: u64) {
        // A damaged fragment is the demuxer's business.
        let Some(fragment) = Fragment::parse(&payload.freeze()) else {
            return;
        };
        let mut previous_end = None;
        for track in &fragment.tracks {
            let base = match track.base {
                DataBase::Moof => Some(self.box_start),
                DataBase::Previous => Some(previous_end.unwrap_or(self.box_start)),
                // The file these places count in may have been larger than this unit.
                DataBase::File(_) => None,
            };
            let mut at = None;
            for run in track.runs.iter().filter(|run| !run.is_empty()) {
                // Sizes may be left to the `trex` of an init section that is not seen here; then at least an `mdat` header must follow.
                let len = run.data_len(track.defaults.size).unwrap_or(0);
                let start = match (base, run.data_offset, at) {
                    (Some(base), Some(offset), _) => base.checked_add_signed(i64::from(offset)),
                    (_, None, Some(at)) => Some(at),
                    _ => None,
                };
                // Without an offset the data begins in the `mdat` that follows.
                let end = start.unwrap_or(at.unwrap_or(moof_end + 8)).saturating_add(len);
                at = Some(end);
                self.reach = self.reach.max(end);
            }
            previous_end = at.or(previous_end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmff::fragment::tests::traf;
    use crate::bmff::tests::{mp4_box, mp4_full_box};

    #[track_caller]
    fn check(unit: &[u8], want: Result<(), IncompleteKind>) {
        for portion in [1, 13, usize::MAX] {
            let mut check = BmffCheck::default();
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            let got = check.finish(unit.len() as u64);
            assert_eq!(got.map_err(|incomplete| incomplete.kind), want, "in portions of {portion}, {got:?}");
        }
    }

    /// A `moof` whose samples have `sizes`, placed behind the header of an `mdat` that follows.
    fn moof(sizes: &[u32]) -> Vec<u8> {
        let len = mp4_box(b"moof", &[&traf(1, 0, 0, sizes)]).len();
        mp4_box(b"moof", &[&traf(1, 0, len as i32 + 8, sizes)])
    }

    #[test]
    fn whole_files_pass() {
        let styp = mp4_box(b"styp", &[b"msdh\0\0\0\0msdhmsix"]);
        let mdat = mp4_box(b"mdat", &[&[7; 30]]);
        check(&styp, Ok(()));
        check(&mp4_box(b"free", &[]), Ok(()));
        check(&[styp, moof(&[10, 20]), mdat.clone(), moof(&[30]), mdat].concat(), Ok(()));
        check(&moof(&[]), Ok(()));
    }

    #[test]
    fn open_and_large_boxes_pass() {
        let open = b"\0\0\0\0mdat123456789".to_vec();
        check(&[moof(&[9]), open.clone()].concat(), Ok(()));
        check(&[moof(&[10]), open].concat(), Err(IncompleteKind::Samples));
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12ab", Ok(()));
        check(b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x12a", Err(IncompleteKind::Box));
    }

    #[test]
    fn a_cut_is_noticed_at_every_byte_also_between_moof_and_mdat() {
        let head = moof(&[10, 20]);
        let unit = [&head[..], &mp4_box(b"mdat", &[&[7; 30]])].concat();
        for len in 1..unit.len() {
            let want = if len == head.len() { IncompleteKind::Samples } else { IncompleteKind::Box };
            check(&unit[..len], Err(want));
        }
        check(&unit, Ok(()));
    }

    #[test]
    fn a_second_run_lies_behind_the_first() {
        let run = |offset: &[u8], flags| {
            mp4_full_box(b"trun", 0, flags, &[&1_u32.to_be_bytes(), offset, &10_u32.to_be_bytes()])
        };
        let tfhd = mp4_full_box(b"tfhd", 0, 0, &[&1_u32.to_be_bytes()]);
        let build = |offset: i32| {
            mp4_box(b"moof", &[&mp4_box(b"traf", &[&tfhd, &run(&offset.to_be_bytes(), 0x201), &run(&[], 0x200)])])
        };
        let head = build(build(0).len() as i32 + 8);
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 20]])].concat(), Ok(()));
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 19]])].concat(), Err(IncompleteKind::Samples));
    }

    #[test]
    fn sizes_left_to_the_init_section_still_demand_an_mdat() {
        let trun = mp4_full_box(b"trun", 0, 0, &[&5_u32.to_be_bytes()]);
        let head = mp4_box(
            b"moof",
            &[&mp4_box(b"traf", &[&mp4_full_box(b"tfhd", 0, 0x2_0000, &[&1_u32.to_be_bytes()]), &trun])],
        );
        check(&head, Err(IncompleteKind::Samples));
        check(&[&head[..], &mp4_box(b"mdat", &[&[7; 50]])].concat(), Ok(()));
    }

    #[test]
    fn what_announces_media_is_cut_without_it_but_a_segment_type_alone_is_an_empty_segment() {
        let kind = |kind| mp4_box(kind, &[b"iso6\0\0\0\0iso6"]);
        check(&kind(b"ftyp"), Err(IncompleteKind::Box));
        check(&kind(b"styp"), Ok(()));
        check(&kind(b"sidx"), Ok(()));
        check(&[kind(b"styp"), kind(b"sidx")].concat(), Err(IncompleteKind::Box));
        check(&[mp4_box(b"moov", &[]), kind(b"sidx")].concat(), Ok(()));
        check(&[kind(b"ftyp"), mp4_box(b"moov", &[])].concat(), Ok(()));
    }

    #[test]
    fn what_is_no_box_is_no_media() {
        check(b"<html>not a box at all</html>", Err(IncompleteKind::Box));
        check(b"\0\0\0\x02oops", Err(IncompleteKind::NoMedia));
    }
}
