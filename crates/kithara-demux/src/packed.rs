//! Packed audio: bare frames with ID3 tags (RFC 8216 section 3.4).

use bytes::Bytes;

use crate::clock::Clock;
use crate::demuxer::{DemuxOptions, Step};
use crate::error::DemuxError;
use crate::frames::framer::{Framed, Framer};
use crate::frames::timer::FrameTimer;
use crate::frames::xing::{self, Note};
use crate::frames::{FrameHead, Framing};
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
    /// A tag told of the samples of this unit already.
    tag_counts: bool,
    /// What was added was announced.
    is_noted: bool,
}

/// Where we are with samples that are not to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// The run begins with the presentation, and nothing is said yet.
    Unknown,
    /// The frame in front said so much of those behind it; whether an encoder began here is for the next one to tell.
    Noted(Note),
    Counting(Counting),
    /// There is none: nothing was said before the first sound, or no encoder started here.
    None,
}

/// Samples are counted against what was said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counting {
    /// Samples not heard in front.
    start: u64,
    /// Where what is heard ends.
    end: Option<u64>,
    /// Where the samples end of which it was said.
    total: Option<u64>,
    /// Samples so far.
    seen: u64,
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
            tag_counts: false,
            is_noted: false,
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
        let is_tag_cut = self.framer.end() > 0;
        if !rope.is_empty() || is_tag_cut {
            out.damage(DamageKind::Cut, Some(TRACK), rope.len() as u64);
            rope.clear();
            self.framer.lose_sync();
        }
        self.at_unit_start = true;
        self.tag_counts = false;
    }

    fn tag(&mut self, tag: Bytes, out: &mut Outputs) {
        if let Some(ticks) = id3::timestamp(&tag) {
            self.timer = FrameTimer::at(self.clock.present(ticks));
        }
        if let Some(gapless) = id3::gapless(&tag) {
            self.tagged(gapless, out);
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
            self.note(note, out);
            return;
        }
        out.set_audio(TRACK, head.codec, head.format, head.config());
        for (samples, data) in head.units(data) {
            let trim = self.padding.advance(samples, data.as_deref().unwrap_or_default());
            let (pts, duration) = self.timer.advance(samples, head.format.sample_rate);
            let Some(data) = data else {
                out.damage(DamageKind::Malformed, Some(TRACK), 0);
                continue;
            };
            out.packet(Packet { track: TRACK, pts, dts: pts, duration: Some(duration), data, trim, is_keyframe: true });
        }
    }

    /// A tag tells of added samples. It is of the whole presentation, and counts at its beginning.
    fn tagged(&mut self, gapless: Gapless, out: &mut Outputs) {
        if self.padding == Padding::Unknown {
            out.set_gapless(TRACK, gapless);
            self.padding = Padding::Counting(Counting::of(gapless));
            self.tag_counts = true;
        }
    }

    /// A frame describes those behind it, which begin a file of their own.
    fn note(&mut self, note: Option<Note>, out: &mut Outputs) {
        // Behind a tag, an encoder's own frame may say the same again.
        if std::mem::take(&mut self.tag_counts) {
            return;
        }
        let Some(note) = note else {
            self.padding = Padding::None;
            return;
        };
        if !std::mem::replace(&mut self.is_noted, true) {
            out.set_gapless(TRACK, note.gapless);
        }
        self.padding = match self.padding {
            Padding::Unknown => Padding::Counting(Counting::of_start(note)),
            _ => Padding::Noted(note),
        };
    }
}

impl Padding {
    /// Counts a frame and says what of it is not to be heard.
    fn advance(&mut self, samples: u32, frame: &[u8]) -> Trim {
        if let Self::Noted(note) = *self {
            // Segments cut out of one encoding carry such frames as well; nothing was added in front of those.
            let is_cut_out = !note.begins || xing::borrows(frame);
            *self = Self::Counting(if is_cut_out { Counting::of_middle(note) } else { Counting::of_start(note) });
        }
        match self {
            Self::Counting(counting) if !counting.is_over() => counting.advance(samples),
            _ => {
                *self = Self::None;
                Trim::default()
            }
        }
    }
}

impl Counting {
    fn of(gapless: Gapless) -> Self {
        let start = u64::from(gapless.start);
        let end = gapless.samples.and_then(|samples| samples.checked_add(start));
        Self { start, end, total: end.and_then(|end| end.checked_add(u64::from(gapless.end))), seen: 0 }
    }

    fn of_start(note: Note) -> Self {
        Self { total: note.total, ..Self::of(note.gapless) }
    }

    fn of_middle(note: Note) -> Self {
        let end = note.total.and_then(|total| total.checked_sub(u64::from(note.gapless.end)));
        Self { start: 0, end, total: note.total, seen: 0 }
    }

    /// Whether what comes now is something else than what was told of.
    fn is_over(&self) -> bool {
        self.total.is_some_and(|total| self.seen >= total)
    }

    fn advance(&mut self, samples: u32) -> Trim {
        let start = self.start.saturating_sub(self.seen).min(u64::from(samples));
        self.seen = self.seen.saturating_add(u64::from(samples));
        let end = self.end.map_or(0, |end| self.seen.saturating_sub(end)).min(u64::from(samples) - start);
        // Both are at most `samples`.
        Trim { start: start as u32, end: end as u32 }
    }
}
