//! Cutting MPEG-TS segments at packets with which an access unit begins.

use std::time::Duration;

use super::cut::{Cut, Piece, pieces};

/// Bytes of a packet.
const PACKET: usize = 188;
/// Ticks per second of its timestamps.
pub(crate) const TIMESCALE: u32 = 90_000;
/// The values a timestamp has.
const TIMESTAMPS: u64 = 1 << 33;

/// Where the access units of the stream that tells the time begin: pictures if there are any, else sound.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    /// At least one.
    units: Vec<Unit>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    at: usize,
    time: u64,
    is_independent: bool,
}

impl Units {
    /// Looks for the units of a segment; `None` when it is no transport stream with timestamps.
    pub(crate) fn find(segment: &[u8]) -> Option<Self> {
        let packets = || segment.chunks(PACKET).enumerate();
        if segment.is_empty() || packets().any(|(_, packet)| packet.len() != PACKET || packet[0] != 0x47) {
            return None;
        }
        let starts = packets().filter_map(|(index, packet)| Some((index * PACKET, Start::parse(packet)?)));
        let starts: Vec<_> = starts.collect();
        let leading = starts.iter().map(|(_, start)| (!start.is_video, start.pid)).min()?.1;
        let units = starts.into_iter().filter(|(_, start)| start.pid == leading);
        let units: Vec<_> =
            units.map(|(at, start)| Unit { at, time: start.time, is_independent: start.is_independent }).collect();
        (!units.is_empty()).then_some(Self { units, len: segment.len() })
    }

    /// When the first unit is decoded.
    pub(crate) fn start(&self) -> u64 {
        self.units[0].time
    }

    /// The ticks of each unit. The last one lasts until `next`, or as long as the one before it.
    pub(crate) fn durations(&self, next: Option<u64>) -> Vec<u64> {
        let between = |from: u64, to: u64| to.wrapping_sub(from) % TIMESTAMPS;
        let mut durations: Vec<_> = self.units.windows(2).map(|two| between(two[0].time, two[1].time)).collect();
        let last = self.units[self.units.len() - 1].time;
        durations.push(next.map_or(durations.last().copied().unwrap_or(0), |next| between(last, next)));
        durations
    }

    /// Parts of at most `target`. What stands before the first unit (tables) belongs to the first part.
    pub(crate) fn cut(&self, segment: &[u8], next: Option<u64>, target: Duration) -> Cut {
        let durations = self.durations(next);
        let parts = pieces(&durations, TIMESCALE, target).into_iter().map(|piece| Piece {
            end: self.units.get(piece.end).map_or(self.len, |unit| unit.at),
            ticks: durations[piece.clone()].iter().sum(),
            is_independent: self.units[piece].iter().any(|unit| unit.is_independent),
        });
        Cut { bytes: segment.to_vec(), parts: parts.collect(), times: Vec::new() }
    }
}

/// A packet with which an access unit begins.
struct Start {
    pid: u16,
    time: u64,
    is_video: bool,
    is_independent: bool,
}

impl Start {
    fn parse(packet: &[u8]) -> Option<Self> {
        let begins = packet[1] & 0x40 != 0;
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let mut at = 4;
        let mut is_random_access = false;
        if packet[3] & 0x20 != 0 {
            let len = usize::from(*packet.get(4)?);
            is_random_access = len > 0 && packet.get(5)? & 0x40 != 0;
            at += 1 + len;
        }
        let pes = packet.get(at..).filter(|pes| begins && pes.starts_with(&[0, 0, 1]))?;
        let is_video = (0xe0..=0xef).contains(pes.get(3)?);
        let is_sound = (0xc0..=0xdf).contains(pes.get(3)?) || pes.get(3)? == &0xbd;
        let time = match pes.get(7)? >> 6 {
            2 => timestamp(pes.get(9..14)?),
            3 => timestamp(pes.get(14..19)?),
            _ => return None,
        };
        (is_video || is_sound).then_some(Self { pid, time, is_video, is_independent: !is_video || is_random_access })
    }
}

/// The 33 bits of a timestamp of five bytes.
fn timestamp(bytes: &[u8]) -> u64 {
    let byte = |index: usize| u64::from(bytes[index]);
    (byte(0) >> 1 & 7) << 30 | byte(1) << 22 | (byte(2) >> 1) << 15 | byte(3) << 7 | byte(4) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fixtures_dir;

    #[track_caller]
    fn check(folder: &str, target_ms: u64, want_ends: &[usize], want_independent: &[usize]) {
        let read = |index: usize| std::fs::read(fixtures_dir().join(format!("{folder}/seg{index}.ts"))).unwrap();
        let segment = read(1);
        let next = Units::find(&read(2)).unwrap().start();
        let units = Units::find(&segment).unwrap();
        let cut = units.cut(&segment, Some(next), Duration::from_millis(target_ms));
        let ends: Vec<_> = cut.parts.iter().map(|part| part.end / PACKET).collect();
        let independent: Vec<_> = (0..ends.len()).filter(|part| cut.parts[*part].is_independent).collect();
        assert_eq!((&ends[..], &independent[..]), (want_ends, want_independent));
        assert_eq!((cut.parts.last().unwrap().end, &cut.bytes), (segment.len(), &segment));
        let ticks: u64 = cut.parts.iter().map(|part| part.ticks).sum();
        assert_eq!(ticks, next - units.start(), "parts are as long as their segment");
    }

    #[test]
    fn parts_begin_with_a_picture_or_with_a_packet_of_sound() {
        // As ffprobe has it, pictures begin with packets 3, 7, 8, 9, 23, 24, 25, 26, 40 and 41, the packets of sound with 3, 16 and 29.
        check("ts_av", 250, &[8, 23, 25, 40, 52], &[0]);
        check("ts_aac", 500, &[16, 29, 39], &[0, 1, 2]);
    }

    #[test]
    fn timestamps_may_wrap() {
        let unit = |time| Unit { at: 0, time, is_independent: true };
        let units = Units { units: vec![unit(TIMESTAMPS - 100), unit(200)], len: 0 };
        assert_eq!(units.durations(None), [300, 300]);
        assert_eq!(units.durations(Some(250)), [300, 50]);
    }

    #[test]
    fn what_is_no_transport_stream_is_refused() {
        for bytes in [&b""[..], &[0x47; 187], &[0x47; 188], &[0; 188]] {
            assert!(Units::find(bytes).is_none());
        }
    }
}
