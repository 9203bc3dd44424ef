//! Pictures in PES packets, put together into access units.
//!
//! A timestamp belongs to the first access unit that begins in its PES packet (ISO/IEC 13818-1, 2.4.3.7). Access units without one of their
//! own, such as the second field of a frame, stay with the one before.

use std::collections::VecDeque;

use bytes::Bytes;

use super::PesTime;
use super::nal::{NalRole, NalScanner};
use crate::output::{DamageKind, Packet, Trim};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::track::{Codec, TrackId};

/// The elementary stream of a track of pictures. Places are counted in bytes from its beginning.
#[derive(Debug)]
pub(crate) struct VideoStream {
    track: TrackId,
    codec: Codec,
    max_len: usize,
    scanner: NalScanner,
    rope: Rope,
    /// Place of the rope's front.
    front: u64,
    /// Bytes of the packet in front of the rope that were dropped because it is too large.
    dropped: u64,
    /// Timestamps of access units that have not begun.
    times: VecDeque<Mark>,
    /// The packet being put together; absent until the first timestamp.
    open: Option<Open>,
}

/// A timestamp and the place from which on it holds.
#[derive(Clone, Copy, Debug)]
struct Mark {
    from: u64,
    time: PesTime,
    random_access: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    time: PesTime,
    is_keyframe: bool,
    has_picture: bool,
}

impl VideoStream {
    pub(crate) fn new(track: TrackId, codec: Codec, max_len: usize) -> Self {
        Self {
            track,
            codec,
            max_len,
            scanner: NalScanner::default(),
            rope: Rope::new(),
            front: 0,
            dropped: 0,
            times: VecDeque::new(),
            open: None,
        }
    }

    /// A PES packet begins.
    pub(crate) fn start(&mut self, time: Option<PesTime>, random_access: bool) {
        if let Some(time) = time {
            self.times.push_back(Mark { from: self.end(), time, random_access });
        }
    }

    pub(crate) fn data(&mut self, data: Bytes, out: &mut Outputs) {
        self.rope.push(data.clone());
        let mut rest = &data[..];
        while let Some((unit, after)) = self.scanner.next(rest) {
            rest = after;
            let role = unit.role(self.codec);
            let is_open = self.open.is_some_and(|open| !open.has_picture);
            if role != NalRole::Other && !is_open {
                self.begin(unit.start, out);
            }
            if let (NalRole::Picture { is_key }, Some(open)) = (role, &mut self.open)
                && !std::mem::replace(&mut open.has_picture, true)
            {
                open.is_keyframe |= is_key;
            }
        }
        if self.rope.len() > self.max_len || self.open.is_none() {
            self.drop_front();
        }
    }

    /// The access unit that is open is whole.
    pub(crate) fn flush(&mut self, out: &mut Outputs) {
        self.take(self.end(), out);
        self.open = None;
        self.scanner = NalScanner::at(self.end());
    }

    /// Bytes are missing: the access unit that is open is not delivered.
    pub(crate) fn interrupt(&mut self) -> u64 {
        let lost = self.rope.len() as u64 + std::mem::take(&mut self.dropped);
        self.front = self.end();
        self.rope.clear();
        self.open = None;
        self.scanner = NalScanner::at(self.front);
        lost
    }

    fn end(&self) -> u64 {
        self.front + self.rope.len() as u64
    }

    /// An access unit begins at a place. It begins a packet if there is a timestamp for it.
    fn begin(&mut self, place: u64, out: &mut Outputs) {
        // The zero in front of a start code may still be in the PES packet before.
        let mut found = None;
        while self.times.front().is_some_and(|mark| mark.from <= place + 1) {
            found = self.times.pop_front();
        }
        let Some(mark) = found else { return };
        self.take(place, out);
        self.open = Some(Open { time: mark.time, is_keyframe: mark.random_access, has_picture: false });
    }

    /// Delivers the open packet, which ends at a place.
    fn take(&mut self, place: u64, out: &mut Outputs) {
        let len = usize::try_from(place.saturating_sub(self.front)).unwrap_or(usize::MAX);
        let data = self.rope.take(len).unwrap_or_default();
        self.front += data.len() as u64;
        if self.dropped > 0 {
            let bytes = std::mem::take(&mut self.dropped) + data.len() as u64;
            return out.damage(DamageKind::TooLarge, Some(self.track), bytes);
        }
        let Some(Open { time: PesTime { pts, dts }, is_keyframe, .. }) = self.open.filter(|_| !data.is_empty()) else {
            return;
        };
        out.packet(Packet { track: self.track, pts, dts, duration: None, data, trim: Trim::default(), is_keyframe });
    }

    /// Lets go of all bytes but the last few, in which a NAL unit may have begun that the scanner does not know yet.
    fn drop_front(&mut self) {
        const UNDECIDED: usize = 7;
        let bytes = self.rope.skip(self.rope.len().saturating_sub(UNDECIDED)) as u64;
        self.front += bytes;
        if self.open.is_some() {
            self.dropped += bytes;
        }
    }
}
