//! Packed audio: bare frames with ID3 tags (RFC 8216 section 3.4).

use bytes::Bytes;

use crate::clock::Clock;
use crate::demuxer::{DemuxOptions, Step};
use crate::error::DemuxError;
use crate::frames::framer::{Framed, Framer};
use crate::frames::timer::FrameTimer;
use crate::frames::{FrameHead, Framing, xing};
use crate::output::{DamageKind, MetadataKind, Output, Packet, TimedMetadata, Trim};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::timestamp::MPEG_TIMESCALE;
use crate::track::{Codec, Gapless, Track, TrackId};
use crate::{Container, Timestamp, id3};

/// The only track of a packed audio run.
const TRACK: TrackId = TrackId(0);

/// Splits packed audio into frames.
///
/// A unit begins at the timestamp in its ID3 tag. Without one it goes on where the unit before ended, and the first one begins where the run
/// was said to start.
#[derive(Debug)]
pub(crate) struct PackedDemux {
    framer: Framer,
    clock: Clock,
    timer: FrameTimer,
    /// The first frame of a unit may be the one that only describes the file.
    at_unit_start: bool,
    padding: Padding,
}

/// Where we are with samples that are not to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// The run begins with the presentation, and nothing is said yet.
    Unknown,
    /// Samples are counted against what was said: those seen so far.
    Counting { gapless: Gapless, seen: u64 },
    /// There is none: nothing was said before the first sound, or the run begins in the middle, where no encoder started.
    None,
}

impl PackedDemux {
    pub(crate) fn new(
        framing: Framing,
        container: Container,
        clock: Clock,
        start: Option<Timestamp>,
        options: &DemuxOptions,
        out: &mut Outputs,
    ) -> Result<Self, DemuxError> {
        let codec = match container {
            Container::Adts => Codec::Aac,
            Container::Ac3 => Codec::Ac3,
            Container::Eac3 => Codec::Eac3,
            _ => Codec::Mp3,
        };
        out.set_tracks(vec![Track::new(TRACK, codec, MPEG_TIMESCALE)])?;
        let first = start.map_or_else(|| clock.offset(MPEG_TIMESCALE), |start| start.rescale(MPEG_TIMESCALE));
        let begins_in_the_middle = start.is_some_and(|start| start.value > 0);
        Ok(Self {
            framer: Framer::new(framing, options.max_packet_len),
            clock,
            timer: FrameTimer::at(first),
            at_unit_start: true,
            padding: if begins_in_the_middle { Padding::None } else { Padding::Unknown },
        })
    }

    pub(crate) fn step(&mut self, rope: &mut Rope, out: &mut Outputs, is_end: bool) -> Step {
        match self.framer.next(rope, is_end) {
            Framed::NeedMore => return Step::Starved,
            Framed::Junk(bytes) => out.damage(DamageKind::Junk, Some(TRACK), bytes),
            Framed::Tag(tag) => self.tag(tag, out),
            Framed::Frame { head, data } => self.frame(head, data, out),
        }
        Step::Progress
    }

    pub(crate) fn end_unit(&mut self, rope: &mut Rope, out: &mut Outputs) {
        while self.step(rope, out, true) == Step::Progress {}
        if !rope.is_empty() {
            out.damage(DamageKind::Cut, Some(TRACK), rope.len() as u64);
            rope.clear();
            self.framer.lose_sync();
        }
        self.at_unit_start = true;
    }

    fn tag(&mut self, tag: Bytes, out: &mut Outputs) {
        if let Some(ticks) = id3::timestamp(&tag) {
            self.timer = FrameTimer::at(self.clock.present(ticks));
        }
        if let Some(gapless) = id3::gapless(&tag) {
            self.note(gapless, out);
        }
        if id3::has_content(&tag) && out.delivers_metadata() {
            out.push(Output::Metadata(TimedMetadata {
                kind: MetadataKind::Id3,
                time: self.timer.now(),
                timescale: MPEG_TIMESCALE,
                duration: None,
                payload: tag,
            }));
        }
    }

    fn frame(&mut self, head: FrameHead, data: Bytes, out: &mut Outputs) {
        if std::mem::take(&mut self.at_unit_start)
            && head.codec == Codec::Mp3
            && let Some(note) = xing::read(&data)
        {
            if let Some(gapless) = note {
                self.note(gapless, out);
            }
            return;
        }
        let trim = self.padding.advance(head.samples);
        out.set_audio(TRACK, head.codec, head.format, head.config());
        let (pts, duration) = self.timer.advance(head.samples, head.format.sample_rate);
        out.packet(Packet { track: TRACK, pts, dts: pts, duration: Some(duration), data, trim, is_keyframe: true });
    }

    fn note(&mut self, gapless: Gapless, out: &mut Outputs) {
        // The first note counts: behind a tag, an encoder's own frame may say the same again.
        if matches!(self.padding, Padding::Counting { .. }) {
            return;
        }
        out.set_gapless(TRACK, gapless);
        if self.padding == Padding::Unknown {
            self.padding = Padding::Counting { gapless, seen: 0 };
        }
    }
}

impl Padding {
    /// Counts a frame and says what of it is not to be heard.
    fn advance(&mut self, samples: u32) -> Trim {
        let Self::Counting { gapless, seen } = self else {
            *self = Self::None;
            return Trim::default();
        };
        let start = u64::from(gapless.start).saturating_sub(*seen).min(u64::from(samples));
        *seen = seen.saturating_add(u64::from(samples));
        let end =
            gapless.samples.map_or(0, |samples| seen.saturating_sub(samples.saturating_add(u64::from(gapless.start))));
        let end = end.min(u64::from(samples) - start);
        // Both are at most `samples`.
        Trim { start: start as u32, end: end as u32 }
    }
}
