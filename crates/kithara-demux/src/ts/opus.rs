//! Opus in PES packets: access units behind control headers (the draft on Opus in MPEG-2 Transport Streams by the codec's authors).

use bytes::Bytes;

use super::PesTime;
use crate::cursor::Cursor;
use crate::frames::timer::FrameTimer;
use crate::output::{DamageKind, Packet, Trim};
use crate::outputs::Outputs;
use crate::rope::Rope;
use crate::track::{AacExtension, AudioFormat, Codec, TrackId};

/// Opus always counts at this rate.
pub(crate) const SAMPLE_RATE: u32 = 48_000;

/// The elementary stream of an Opus track. PES packets hold whole access units.
#[derive(Debug)]
pub(crate) struct OpusStream {
    track: TrackId,
    channels: u8,
    rope: Rope,
    timer: Option<FrameTimer>,
}

impl OpusStream {
    pub(crate) const fn new(track: TrackId, channels: u8) -> Self {
        Self { track, channels, rope: Rope::new(), timer: None }
    }

    /// A PES packet begins.
    pub(crate) fn start(&mut self, time: Option<PesTime>) {
        self.rope.clear();
        if let Some(time) = time {
            self.timer = Some(FrameTimer::at(time.pts));
        }
    }

    pub(crate) fn data(&mut self, data: Bytes) {
        self.rope.push(data);
    }

    /// The PES packet is whole.
    pub(crate) fn flush(&mut self, out: &mut Outputs) {
        let mut rest = self.rope.take_all();
        let Some(timer) = &mut self.timer else { return };
        while !rest.is_empty() {
            let Some(unit) = AccessUnit::parse(&rest) else {
                return out.damage(DamageKind::Malformed, Some(self.track), rest.len() as u64);
            };
            let data = rest.slice(unit.header_len..unit.len);
            rest = rest.split_off(unit.len);
            let samples = packet_samples(&data);
            let (pts, duration) = timer.advance(samples, SAMPLE_RATE);
            let format = AudioFormat {
                sample_rate: SAMPLE_RATE,
                channels: u16::from(self.channels),
                extension: AacExtension::Absent,
            };
            out.set_audio(self.track, Codec::Opus, format, &identification(self.channels));
            let trim = Trim { start: unit.trim_start.min(samples), end: unit.trim_end.min(samples) };
            out.packet(Packet {
                track: self.track,
                pts,
                dts: pts,
                duration: Some(duration),
                data,
                trim,
                is_keyframe: true,
            });
        }
    }

    pub(crate) fn interrupt(&mut self) -> u64 {
        let lost = self.rope.len() as u64;
        self.rope.clear();
        self.timer = None;
        lost
    }
}

/// Where an access unit lies behind its control header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AccessUnit {
    header_len: usize,
    len: usize,
    trim_start: u32,
    trim_end: u32,
}

impl AccessUnit {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let [first, flags] = cursor.array()?;
        if first != 0x7F || flags & 0xE0 != 0xE0 {
            return None;
        }
        let mut payload = 0_usize;
        loop {
            let [size] = cursor.array()?;
            payload = payload.checked_add(usize::from(size))?;
            if size != 0xFF {
                break;
            }
        }
        let mut trim = |flag: u8| {
            if flags & flag == 0 { Some(0) } else { cursor.u16().map(|samples| u32::from(samples & 0x1FFF)) }
        };
        let (trim_start, trim_end) = (trim(0x10)?, trim(0x08)?);
        if flags & 0x04 != 0 {
            let [extension] = cursor.array()?;
            cursor.take(usize::from(extension))?;
        }
        let header_len = bytes.len() - cursor.rest().len();
        cursor.take(payload)?;
        Some(Self { header_len, len: header_len + payload, trim_start, trim_end })
    }
}

/// Samples at 48 kHz of an Opus packet (RFC 6716 section 3.1).
pub(crate) fn packet_samples(packet: &[u8]) -> u32 {
    let Some(toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).copied().unwrap_or(0) & 0x3F),
    };
    frame * frames
}

/// The identification header of a stream in mapping family 0 (RFC 7845 section 5.1).
fn identification(channels: u8) -> [u8; 19] {
    let mut head = *b"OpusHead\x01\0\0\0\0\0\0\0\0\0\0";
    head[9] = channels;
    head[12..16].copy_from_slice(&SAMPLE_RATE.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_headers_are_read() {
        let unit = |header_len, len, trim_start, trim_end| Some(AccessUnit { header_len, len, trim_start, trim_end });
        assert_eq!(AccessUnit::parse(b"\x7F\xE0\x02ab"), unit(3, 5, 0, 0));
        assert_eq!(AccessUnit::parse(&[&b"\x7F\xE0\xFF\x01"[..], &[7; 256]].concat()), unit(4, 260, 0, 0));
        assert_eq!(AccessUnit::parse(b"\x7F\xF8\x01\x01\x38\x00\x05x"), unit(7, 8, 312, 5));
        assert_eq!(AccessUnit::parse(b"\x7F\xE4\x01\x02ee!"), unit(6, 7, 0, 0));
        assert_eq!(AccessUnit::parse(b"\x7F\xE0\x03ab"), None);
        assert_eq!(AccessUnit::parse(b"\x00\xE0\x01a"), None);
    }

    #[test]
    fn packets_tell_their_duration() {
        for (packet, samples) in [(&[0x08][..], 960), (&[0xFC], 960), (&[0xE1], 240), (&[0x1B, 0x03], 8640), (&[], 0)] {
            assert_eq!(packet_samples(packet), samples, "{packet:02x?}");
        }
    }
}
