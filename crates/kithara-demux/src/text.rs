//! Subtitles as bare text: a unit is a document, read when it is whole.

use bytes::Bytes;

use crate::clock::Clock;
use crate::demuxer::{DemuxOptions, Step};
use crate::error::DemuxError;
use crate::output::{Cue, DamageKind, Output, Packet, Trim};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::timestamp::MPEG_TIMESCALE;
use crate::track::{Codec, Track, TrackId};
use crate::webvtt::{self, Block, TimestampMap};
use crate::{Container, Timestamp};

/// The only track of a text run.
const TRACK: TrackId = TrackId(0);

/// Ticks of 90 kHz in a millisecond, the unit of cue times.
const TICKS_PER_MS: i64 = 90;

/// Reads WebVTT and TTML documents.
#[derive(Debug)]
pub(crate) struct TextDemux {
    container: Container,
    clock: Clock,
    /// Presentation time of documents that carry no time of their own.
    start: i64,
    max_len: usize,
    /// Bytes of the current document, if it is too large.
    dropped: u64,
}

impl TextDemux {
    pub(crate) fn new(
        container: Container,
        clock: Clock,
        start: Option<Timestamp>,
        options: &DemuxOptions,
        out: &mut Outputs,
    ) -> Result<Self, DemuxError> {
        let codec = if container == Container::Ttml { Codec::Ttml } else { Codec::WebVtt };
        out.set_tracks(vec![Track::new(TRACK, codec, MPEG_TIMESCALE)])?;
        let start = start.map_or_else(|| clock.offset(MPEG_TIMESCALE), |start| start.rescale(MPEG_TIMESCALE));
        Ok(Self { container, clock, start, max_len: options.max_packet_len, dropped: 0 })
    }

    /// Documents wait for their end on the rope, unless they are too large.
    pub(crate) fn step(&mut self, rope: &mut Rope) -> Step {
        if self.dropped > 0 || rope.len() > self.max_len {
            self.dropped += rope.skip(rope.len()) as u64;
        }
        Step::Starved
    }

    pub(crate) fn end_unit(&mut self, rope: &mut Rope, out: &mut Outputs) {
        let document = rope.take_all();
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            return out.damage(DamageKind::TooLarge, Some(TRACK), dropped);
        }
        if document.is_empty() {
            return;
        }
        match self.container {
            Container::WebVtt => self.cues(&document, out),
            _ => self.document(document, out),
        }
    }

    fn document(&self, data: Bytes, out: &mut Outputs) {
        let (pts, trim) = (self.start, Trim::default());
        out.packet(Packet { track: TRACK, pts, dts: pts, duration: None, data, trim, is_keyframe: true });
    }

    /// Cue times count from the origin that X-TIMESTAMP-MAP gives them on the media timeline, from media time zero without one (RFC 8216
    /// section 3.5).
    fn cues(&mut self, document: &[u8], out: &mut Outputs) {
        let origin = match webvtt::timestamp_map(document) {
            TimestampMap::Origin { ticks, local } => {
                self.clock.present(ticks).saturating_sub(local.saturating_mul(TICKS_PER_MS))
            }
            TimestampMap::NeedMore | TimestampMap::Absent => self.clock.offset(MPEG_TIMESCALE),
        };
        let mut config = Vec::new();
        for block in webvtt::blocks(document) {
            match block {
                Block::Header(text) => {
                    config.extend_from_slice(text.as_bytes());
                    config.extend_from_slice(b"\n\n");
                }
                Block::Cue(cue) => {
                    if !config.is_empty() {
                        let config = Bytes::from(std::mem::take(&mut config));
                        out.update(TRACK, |track| track.config = config);
                    }
                    let at = |ms: i64| origin.saturating_add(ms.saturating_mul(TICKS_PER_MS));
                    out.push(Output::Cue(Cue {
                        track: TRACK,
                        start: at(cue.start),
                        end: at(cue.end),
                        id: cue.id,
                        settings: cue.settings,
                        text: cue.text,
                    }));
                }
            }
        }
    }
}
