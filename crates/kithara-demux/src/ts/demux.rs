//! From transport packets to streams.

use bytes::Bytes;

use super::audio::AudioStream;
use super::metadata::MetadataStream;
use super::opus::OpusStream;
use super::packet::{NULL_PID, Packet};
use super::pes::PesReader;
use super::psi::{self, PAT_PID, ProgramStream, SectionReader};
use super::video::VideoStream;
use super::{PACKET_LEN, PesTime, SYNC_BYTE};
use crate::clock::Clock;
use crate::demuxer::{DemuxOptions, Step};
use crate::error::{DemuxError, DemuxErrorKind};
use crate::frames::Framing;
use crate::output::DamageKind;
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::timestamp::MPEG_TIMESCALE;
use crate::track::{Access, Codec, Track, TrackId};

/// Bytes of packets kept while the program map is still to come. Encoders that cut anywhere put it in the middle of a segment.
const MAX_HELD: usize = 1 << 20;

/// Demuxes the first program of a transport stream.
#[derive(Debug)]
pub(crate) struct TsDemux {
    clock: Clock,
    max_packet_len: usize,
    pat: SectionReader,
    /// Number of the program and PID of its map, once the PAT was seen.
    program: Option<(u16, u16)>,
    /// Of the program, once it is known which.
    pmt: Option<SectionReader>,
    /// Whether the program map was there.
    has_program: bool,
    streams: Vec<Stream>,
    /// Packets that came before the program map.
    held: Vec<Bytes>,
    /// Bytes passed over since the last packet.
    junk: u64,
}

/// A stream of the program that is delivered.
#[derive(Debug)]
struct Stream {
    pid: u16,
    codec: Codec,
    /// Counter of the last packet with payload; absent where any may follow.
    continuity: Option<u8>,
    pes: PesReader,
    elementary: Elementary,
}

#[derive(Debug)]
enum Elementary {
    Audio(AudioStream),
    Opus(OpusStream),
    Video(VideoStream),
    Metadata(MetadataStream),
}

impl TsDemux {
    pub(crate) fn new(clock: Clock, options: &DemuxOptions) -> Self {
        Self {
            clock,
            max_packet_len: options.max_packet_len,
            pat: SectionReader::of_association(),
            program: None,
            pmt: None,
            has_program: false,
            streams: Vec::new(),
            held: Vec::new(),
            junk: 0,
        }
    }

    /// Takes a packet, or a byte that belongs to none.
    pub(crate) fn step(&mut self, rope: &mut Rope, out: &mut Outputs) -> Result<Step, DemuxError> {
        let Some(first) = rope.front().first() else { return Ok(Step::Starved) };
        // In sync a packet is believed by its own sync byte; behind junk the next one must be there as well.
        let in_place = *first == SYNC_BYTE
            && (self.junk == 0 || rope.len() <= PACKET_LEN || byte_at(rope, PACKET_LEN) == SYNC_BYTE);
        if !in_place {
            let front = rope.front();
            let junk = front.iter().skip(1).position(|byte| *byte == SYNC_BYTE).map_or(front.len(), |at| at + 1);
            self.junk += rope.skip(junk) as u64;
            return Ok(Step::Progress);
        }
        if self.junk > 0 && rope.len() <= PACKET_LEN {
            return Ok(Step::Starved);
        }
        let Some(packet) = rope.take(PACKET_LEN) else { return Ok(Step::Starved) };
        self.report_junk(out);
        self.packet(&packet, out)?;
        Ok(Step::Progress)
    }

    /// Delivers what waited for its end. Frames and PES packets that state a length may go on in the next unit.
    pub(crate) fn end_unit(&mut self, rope: &mut Rope, out: &mut Outputs) -> Result<(), DemuxError> {
        if self.junk > 0 && rope.len() == PACKET_LEN {
            let last = rope.take_all();
            self.report_junk(out);
            self.packet(&last, out)?;
        }
        self.report_junk(out);
        if !rope.is_empty() {
            out.damage(DamageKind::Cut, None, rope.len() as u64);
            rope.clear();
        }
        for stream in &mut self.streams {
            // Each segment may count its packets anew.
            stream.continuity = None;
            stream.end_unit(out);
        }
        let missing = !self.held.is_empty();
        self.held.clear();
        if missing { Err(DemuxError::new(DemuxErrorKind::MissingHeader)) } else { Ok(()) }
    }

    fn report_junk(&mut self, out: &mut Outputs) {
        if self.junk > 0 {
            out.damage(DamageKind::Junk, None, std::mem::take(&mut self.junk));
        }
    }

    fn packet(&mut self, bytes: &Bytes, out: &mut Outputs) -> Result<(), DemuxError> {
        let Some(packet) = bytes.first_chunk().and_then(Packet::parse) else {
            out.damage(DamageKind::Malformed, None, bytes.len() as u64);
            return Ok(());
        };
        if packet.pid == NULL_PID {
            return Ok(());
        }
        if packet.pid == PAT_PID {
            self.association(&packet);
            return Ok(());
        }
        if self.program.is_some_and(|(_, pid)| pid == packet.pid) {
            return self.map(&packet, out);
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.pid == packet.pid) {
            if packet.scrambled {
                let track = TrackId(u32::from(packet.pid));
                self.streams.retain(|stream| stream.pid != packet.pid);
                return out.set_encrypted(track);
            }
            stream.packet(bytes, &packet, &mut self.clock, out);
        } else if !self.has_program {
            self.hold(bytes, out);
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &Bytes, out: &mut Outputs) {
        if self.held.len() * PACKET_LEN >= MAX_HELD {
            out.damage(DamageKind::Junk, None, (self.held.len() * PACKET_LEN) as u64);
            self.held.clear();
        }
        self.held.push(bytes.clone());
    }

    fn association(&mut self, packet: &Packet<'_>) {
        let Some(payload) = packet.payload else { return };
        let Some(program) = self.pat.push(payload, packet.unit_start).and_then(psi::first_program) else { return };
        if self.program != Some(program) {
            self.program = Some(program);
            self.pmt = Some(SectionReader::of_map(program.0));
            self.has_program = false;
        }
    }

    fn map(&mut self, packet: &Packet<'_>, out: &mut Outputs) -> Result<(), DemuxError> {
        let Some(payload) = packet.payload else { return Ok(()) };
        let section = self.pmt.as_mut().and_then(|pmt| pmt.push(payload, packet.unit_start));
        let Some(program) = section.and_then(psi::program_streams) else { return Ok(()) };
        self.has_program = true;
        let tracks: Vec<_> = program.iter().map(|stream| new_track(stream, out)).collect();
        out.set_tracks(tracks.clone())?;
        // Streams that go on keep what they have.
        let mut old = std::mem::take(&mut self.streams);
        for (listed, track) in program.iter().zip(&tracks).filter(|(_, track)| out.wants(track)) {
            let kept = old.iter().position(|stream| stream.pid == listed.pid && stream.codec == listed.codec);
            let stream =
                kept.map(|at| old.swap_remove(at)).or_else(|| Stream::new(listed, track.id, self.max_packet_len));
            self.streams.extend(stream);
        }
        for held in std::mem::take(&mut self.held) {
            self.packet(&held, out)?;
        }
        Ok(())
    }
}

/// The byte at an offset that is known to be there.
fn byte_at(rope: &Rope, offset: usize) -> u8 {
    let mut byte = [0];
    rope.copy_to(offset, &mut byte);
    byte[0]
}

/// The track of a stream; what is known of its format already stays known.
fn new_track(stream: &ProgramStream, out: &Outputs) -> Track {
    let mut track = Track::new(TrackId(u32::from(stream.pid)), stream.codec, MPEG_TIMESCALE);
    track.language.clone_from(&stream.language);
    if stream.is_encrypted {
        track.access = Access::Encrypted;
    }
    if let Some(known) = out.track(track.id).filter(|known| known.kind == track.kind) {
        track.codec = known.codec;
        track.audio = known.audio;
        track.config = known.config.clone();
    }
    track
}

impl Stream {
    fn new(listed: &ProgramStream, track: TrackId, max_len: usize) -> Option<Self> {
        let elementary = match listed.codec {
            Codec::Aac => Elementary::Audio(AudioStream::new(track, Framing::Adts)),
            Codec::Mp1 | Codec::Mp2 | Codec::Mp3 => Elementary::Audio(AudioStream::new(track, Framing::Mpeg)),
            Codec::Ac3 | Codec::Eac3 => Elementary::Audio(AudioStream::new(track, Framing::Ac3)),
            Codec::Opus => Elementary::Opus(OpusStream::new(track, listed.channels.unwrap_or(2))),
            Codec::H264 | Codec::Hevc => Elementary::Video(VideoStream::new(track, listed.codec, max_len)),
            Codec::Id3 => Elementary::Metadata(MetadataStream::new(track, max_len)),
            _ => return None,
        };
        Some(Self { pid: listed.pid, codec: listed.codec, continuity: None, pes: PesReader::default(), elementary })
    }

    fn packet(&mut self, bytes: &Bytes, packet: &Packet<'_>, clock: &mut Clock, out: &mut Outputs) {
        let Some(payload) = packet.payload else { return };
        let expected = self.continuity.filter(|_| !packet.discontinuity).map(|last| (last + 1) & 0x0F);
        if self.continuity == Some(packet.continuity) && !packet.discontinuity {
            // A packet may be sent twice (2.4.3.3).
            return;
        }
        self.continuity = Some(packet.continuity);
        if expected.is_some_and(|expected| expected != packet.continuity) {
            self.interrupt(out);
        }
        if packet.unit_start {
            self.cut_pes(out);
            self.finish_pes(out);
            self.pes.start();
        }
        let Some(data) = self.pes.push(bytes.slice_ref(payload)) else { return };
        if let Some(header) = data.header {
            let time = header.pts.map(|pts| {
                let pts_ticks = clock.present(pts);
                // Decoding runs ahead of presentation by a small step, whatever round both are of.
                let ahead = pts.wrapping_sub(header.dts.unwrap_or(pts)) & 0x1_FFFF_FFFF;
                let ahead = ahead.cast_signed();
                let ahead = if ahead >= 1 << 32 { ahead - (1 << 33) } else { ahead };
                PesTime { pts: pts_ticks, dts: pts_ticks.saturating_sub(ahead) }
            });
            self.start(time, packet.random_access);
        }
        self.data(data.payload, out);
        if self.pes.is_complete() {
            self.finish_pes(out);
        }
    }

    fn start(&mut self, time: Option<PesTime>, random_access: bool) {
        match &mut self.elementary {
            Elementary::Audio(stream) => stream.start(time),
            Elementary::Opus(stream) => stream.start(time),
            Elementary::Video(stream) => stream.start(time, random_access),
            Elementary::Metadata(stream) => stream.start(time),
        }
    }

    fn data(&mut self, data: Bytes, out: &mut Outputs) {
        match &mut self.elementary {
            Elementary::Audio(stream) => stream.data(data, out),
            Elementary::Opus(stream) => stream.data(data),
            Elementary::Video(stream) => stream.data(data, out),
            Elementary::Metadata(stream) => stream.data(data, out),
        }
    }

    /// The next PES packet begins: if the one before is shorter than it states, a frame of sound that is open in it stays open.
    fn cut_pes(&mut self, out: &mut Outputs) {
        if !self.pes.is_bounded_and_open() {
            return;
        }
        if let Elementary::Audio(stream) = &mut self.elementary {
            let lost = stream.interrupt(out);
            if lost > 0 {
                out.damage(DamageKind::Cut, Some(TrackId(u32::from(self.pid))), lost);
            }
        }
    }

    /// The PES packet is whole; of pictures, another one may still continue it.
    fn finish_pes(&mut self, out: &mut Outputs) {
        if let Elementary::Opus(stream) = &mut self.elementary {
            stream.flush(out);
        }
    }

    fn end_unit(&mut self, out: &mut Outputs) {
        if let Elementary::Audio(stream) = &mut self.elementary {
            stream.end_unit(out);
        }
        if self.pes.is_bounded_and_open() {
            return;
        }
        self.finish_pes(out);
        self.pes.stop();
        if let Elementary::Video(stream) = &mut self.elementary {
            stream.flush(out);
        }
    }

    /// Packets are missing: what was open is not delivered.
    fn interrupt(&mut self, out: &mut Outputs) {
        self.pes.stop();
        let lost = match &mut self.elementary {
            Elementary::Audio(stream) => stream.interrupt(out),
            Elementary::Opus(stream) => stream.interrupt(),
            Elementary::Video(stream) => stream.interrupt(),
            Elementary::Metadata(stream) => stream.interrupt(),
        };
        out.damage(DamageKind::Continuity, Some(TrackId(u32::from(self.pid))), lost);
    }
}
