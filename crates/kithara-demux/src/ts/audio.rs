//! Audio frames in PES packets. A frame may begin in one packet and end in the next.

use std::collections::VecDeque;

use bytes::Bytes;

use super::PesTime;
use crate::frames::framer::{Framed, Framer};
use crate::frames::timer::FrameTimer;
use crate::frames::{FrameHead, Framing};
use crate::output::{DamageKind, Packet, Trim};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::track::TrackId;

/// The elementary stream of a track of sound.
#[derive(Debug)]
pub(crate) struct AudioStream {
    track: TrackId,
    framer: Framer,
    rope: Rope,
    /// Bytes taken off the rope since the stream began.
    consumed: u64,
    /// Timestamps that are still ahead, and the places in the stream from which on they hold.
    times: VecDeque<(u64, i64)>,
    /// Absent until the first timestamp.
    timer: Option<FrameTimer>,
}

impl AudioStream {
    pub(crate) fn new(track: TrackId, framing: Framing) -> Self {
        Self {
            track,
            framer: Framer::new(framing, 0),
            rope: Rope::new(),
            consumed: 0,
            times: VecDeque::new(),
            timer: None,
        }
    }

    /// A PES packet begins.
    pub(crate) fn start(&mut self, time: Option<PesTime>) {
        if let Some(time) = time {
            self.times.push_back((self.consumed + self.rope.len() as u64, time.pts));
        }
    }

    pub(crate) fn data(&mut self, data: Bytes, out: &mut Outputs) {
        self.rope.push(data);
        self.drain(out, false);
    }

    /// The unit is over: frames that waited to be confirmed are whole. What is left of a cut one waits for the next unit.
    pub(crate) fn end_unit(&mut self, out: &mut Outputs) {
        self.drain(out, true);
    }

    /// Bytes are missing in front of what comes next. Gives how many of an open frame are lost with them.
    pub(crate) fn interrupt(&mut self, out: &mut Outputs) -> u64 {
        self.drain(out, true);
        let lost = self.rope.len();
        self.rope.clear();
        self.consumed += lost as u64;
        self.framer.lose_sync();
        lost as u64
    }

    fn drain(&mut self, out: &mut Outputs, is_end: bool) {
        loop {
            let before = self.rope.len();
            let framed = self.framer.next(&mut self.rope, is_end);
            self.consumed += (before - self.rope.len()) as u64;
            match framed {
                Framed::NeedMore => return,
                Framed::Tag(_) => {}
                Framed::Junk(bytes) => out.damage(DamageKind::Junk, Some(self.track), bytes),
                Framed::Frame { head, data } => self.frame(head, data, out),
            }
        }
    }

    /// A timestamp belongs to the first frame that begins in its PES packet (ISO/IEC 13818-1, 2.4.3.7).
    fn frame(&mut self, head: FrameHead, data: Bytes, out: &mut Outputs) {
        let begins_at = self.consumed - (data.len() + head.header_len) as u64;
        while self.times.front().is_some_and(|(from, _)| *from <= begins_at) {
            self.timer = self.times.pop_front().map(|(_, time)| FrameTimer::at(time));
        }
        // Frames in front of the first timestamp are the end of something that was not asked for.
        let Some(timer) = &mut self.timer else { return };
        out.set_audio(self.track, head.codec, head.format, head.config());
        for (samples, data) in head.units(data) {
            let (pts, duration) = timer.advance(samples, head.format.sample_rate);
            let Some(data) = data else {
                out.damage(DamageKind::Malformed, Some(self.track), 0);
                continue;
            };
            let trim = Trim::default();
            let duration = Some(duration);
            out.packet(Packet { track: self.track, pts, dts: pts, duration, data, trim, is_keyframe: true });
        }
    }
}
