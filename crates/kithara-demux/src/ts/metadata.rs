//! Timed ID3 tags in PES packets (Timed Metadata for HTTP Live Streaming).

use bytes::Bytes;

use super::PesTime;
use crate::id3::{self, TagStart};
use crate::output::{DamageKind, MetadataKind, Output, TimedMetadata};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::timestamp::MPEG_TIMESCALE;
use crate::track::TrackId;

/// The elementary stream of a metadata track.
#[derive(Debug)]
pub(crate) struct MetadataStream {
    track: TrackId,
    rope: Rope,
    time: Option<i64>,
    max_len: usize,
}

impl MetadataStream {
    pub(crate) const fn new(track: TrackId, max_len: usize) -> Self {
        Self { track, rope: Rope::new(), time: None, max_len }
    }

    /// A PES packet begins. One without a timestamp continues the tag of the one before.
    pub(crate) fn start(&mut self, time: Option<PesTime>) {
        if let Some(time) = time {
            self.rope.clear();
            self.time = Some(time.pts);
        }
    }

    pub(crate) fn data(&mut self, data: Bytes, out: &mut Outputs) {
        let Some(time) = self.time else { return };
        self.rope.push(data);
        loop {
            let (head, len) = self.rope.peek::<{ id3::HEADER_LEN }>();
            let len = match id3::tag_start(&head[..len]) {
                TagStart::Tag(len) if len <= self.max_len => len,
                TagStart::Tag(_) | TagStart::NoTag => break self.reject(out),
                TagStart::NeedMore => return,
            };
            let Some(payload) = self.rope.take(len) else { return };
            out.push(Output::Metadata(TimedMetadata {
                kind: MetadataKind::Id3,
                time,
                timescale: MPEG_TIMESCALE,
                duration: None,
                payload,
            }));
        }
    }

    pub(crate) fn interrupt(&mut self) -> u64 {
        let lost = self.rope.len() as u64;
        self.rope.clear();
        self.time = None;
        lost
    }

    /// What is no tag, or too large a one, is passed over up to the next PES packet. Zeros are stuffing.
    fn reject(&mut self, out: &mut Outputs) {
        let rest = self.rope.take_all();
        self.time = None;
        if rest.iter().any(|byte| *byte != 0 && *byte != 0xFF) {
            out.damage(DamageKind::Junk, Some(self.track), rest.len() as u64);
        }
    }
}
