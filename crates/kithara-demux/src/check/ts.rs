//! A transport stream is whole when its last packet is, and the PES packets that state a length have it. It is in order up to the
//! place where a packet should begin and none does.

use std::time::Duration;

use super::{Incomplete, IncompleteKind, Stray};
use crate::ts::packet::{NULL_PID, Packet};
use crate::ts::pes::{PREFIX_LEN, PesHeader, stated_len};
use crate::ts::{PACKET_LEN, SYNC_BYTE};

/// PIDs watched; a unit with more is a multiplex of several programmes, of which the rest goes unwatched.
const MAX_PIDS: usize = 64;

/// Packets in a row that make the place behind them a sure one: after junk a single sync byte is not believed.
const IN_SYNC: u8 = 2;

#[derive(Clone, Debug)]
pub(super) struct TsCheck {
    /// The packet that a push ended in.
    partial: [u8; PACKET_LEN],
    partial_len: usize,
    /// Where that packet began.
    at: u64,
    /// Packets in a row without junk between them, counted up to [`IN_SYNC`].
    row: u8,
    /// Among what stands in front of the first packets: encoders that start in the middle of one leave its rest.
    leads_in: bool,
    /// Packets up to here are followed by others.
    sure: u64,
    stray: Option<Stray>,
    any_packet: bool,
    any_pes: bool,
    pids: Vec<PidProgress>,
    /// Index of the PID seen last: packets of one PID come in long rows.
    last: usize,
}

/// How far the PES packet of a PID has come.
#[derive(Clone, Debug)]
struct PidProgress {
    pid: u16,
    /// Its first bytes, which may be spread over packets.
    prefix: [u8; PREFIX_LEN],
    got: usize,
    /// Stated length; 0 while unknown or open.
    expected: usize,
    times: Option<Times>,
}

/// The timestamps of a PID, in ticks of the 90 kHz clock.
#[derive(Clone, Copy, Debug)]
struct Times {
    first: u64,
    last: u64,
    /// From the first to the furthest.
    span: u64,
    /// The longest from one to the next.
    step: u64,
}

impl Default for TsCheck {
    fn default() -> Self {
        Self {
            partial: [0; PACKET_LEN],
            partial_len: 0,
            at: 0,
            row: IN_SYNC,
            leads_in: false,
            sure: 0,
            stray: None,
            any_packet: false,
            any_pes: false,
            pids: Vec::new(),
            last: 0,
        }
    }
}

impl TsCheck {
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        if self.partial_len > 0 {
            let wanted = PACKET_LEN - self.partial_len;
            let (head, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.partial[self.partial_len..][..head.len()].copy_from_slice(head);
            self.partial_len += head.len();
            bytes = rest;
            if self.partial_len < PACKET_LEN {
                return;
            }
            let packet = self.partial;
            self.partial_len = 0;
            self.packet(&packet);
        }
        loop {
            if let Some(byte) = bytes.first().filter(|byte| **byte != SYNC_BYTE) {
                self.lose_sync(*byte);
                let junk = bytes.iter().position(|byte| *byte == SYNC_BYTE).unwrap_or(bytes.len());
                self.at += junk as u64;
                bytes = &bytes[junk..];
            }
            let Some((packet, rest)) = bytes.split_first_chunk::<PACKET_LEN>() else {
                break;
            };
            self.packet(packet);
            bytes = rest;
        }
        self.partial[..bytes.len()].copy_from_slice(bytes);
        self.partial_len = bytes.len();
    }

    pub(super) fn finish(&self) -> Result<(), Incomplete> {
        if !self.any_packet {
            return Err(incomplete(IncompleteKind::NoMedia, PACKET_LEN, self.partial_len));
        }
        if self.row == IN_SYNC && self.partial_len > 0 {
            return Err(incomplete(IncompleteKind::Packet, PACKET_LEN, self.partial_len));
        }
        match self.pids.iter().find(|pid| pid.got < pid.expected) {
            Some(pid) => Err(incomplete(IncompleteKind::Pes, pid.expected, pid.got)),
            None => Ok(()),
        }
    }

    /// The time of the PID that has most, its last packet taken for as long as its longest; `None` where none has two
    /// timestamps, and nothing where no PES packet begins.
    pub(super) fn covered(&self) -> Option<Duration> {
        if !self.any_pes {
            return Some(Duration::ZERO);
        }
        let times = self.pids.iter().filter_map(|pid| pid.times).filter(|times| times.span > 0);
        times.map(|times| times.span + times.step).max().map(|ticks| Duration::from_millis(ticks / 90))
    }

    /// Packets up to here are in order: two more begin where they end. A sync byte alone may be chance.
    pub(super) const fn sure(&self) -> u64 {
        self.sure
    }

    pub(super) const fn stray(&self) -> Option<Stray> {
        self.stray
    }

    const fn lose_sync(&mut self, byte: u8) {
        self.leads_in |= self.at == 0;
        if self.stray.is_none() && !self.leads_in {
            self.stray = Some(Stray { at: self.at, byte });
        }
        self.row = 0;
    }

    fn packet(&mut self, bytes: &[u8; PACKET_LEN]) {
        self.row = (self.row + 1).min(IN_SYNC);
        if self.row == IN_SYNC {
            self.leads_in = false;
            if self.stray.is_none() {
                self.sure = self.at.saturating_sub(PACKET_LEN as u64);
            }
        }
        self.at += PACKET_LEN as u64;
        self.any_packet = true;
        let Some(packet) = Packet::parse(bytes) else {
            return;
        };
        let Some(payload) = packet.payload.filter(|_| packet.pid != NULL_PID && !packet.scrambled) else {
            return;
        };
        let Some(progress) = self.progress_of(packet.pid) else {
            return;
        };
        if packet.unit_start {
            progress.got = 0;
            progress.expected = 0;
            let header = PesHeader::parse(payload);
            progress.note_time(header.as_ref().and_then(|header| header.pts));
            progress.advance(payload);
            self.any_pes |= header.is_some();
            return;
        }
        progress.advance(payload);
    }

    fn progress_of(&mut self, pid: u16) -> Option<&mut PidProgress> {
        if self.pids.get(self.last).is_none_or(|progress| progress.pid != pid) {
            self.last = match self.pids.iter().position(|progress| progress.pid == pid) {
                Some(found) => found,
                None if self.pids.len() == MAX_PIDS => return None,
                None => {
                    // Until its first start is seen, a PID continues a PES packet of the unit before.
                    self.pids.push(PidProgress {
                        pid,
                        prefix: [0; PREFIX_LEN],
                        got: PREFIX_LEN,
                        expected: 0,
                        times: None,
                    });
                    self.pids.len() - 1
                }
            };
        }
        self.pids.get_mut(self.last)
    }
}

impl PidProgress {
    fn note_time(&mut self, pts: Option<u64>) {
        let Some(pts) = pts else { return };
        let times = self.times.get_or_insert(Times { first: pts, last: pts, span: 0, step: 0 });
        // Timestamps have 33 bits and begin anew; one that seems to lie far ahead lies behind.
        let ahead_of = |earlier: u64| Some(pts.wrapping_sub(earlier) & CLOCK_MASK).filter(|it| *it <= CLOCK_MASK / 2);
        times.span = ahead_of(times.first).unwrap_or(0).max(times.span);
        times.step = ahead_of(times.last).unwrap_or(0).max(times.step);
        times.last = pts;
    }

    fn advance(&mut self, payload: &[u8]) {
        if self.got < PREFIX_LEN {
            let len = payload.len().min(PREFIX_LEN - self.got);
            self.prefix[self.got..][..len].copy_from_slice(&payload[..len]);
            if self.got + len == PREFIX_LEN {
                self.expected = stated_len(&self.prefix).unwrap_or(0);
            }
        }
        self.got = self.got.saturating_add(payload.len());
    }
}

/// Bits of a timestamp.
const CLOCK_MASK: u64 = (1 << 33) - 1;

const fn incomplete(kind: IncompleteKind, expected: usize, got: usize) -> Incomplete {
    Incomplete { kind, expected: expected as u64, got: got as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ts::packet::tests::packet;
    use crate::ts::pes::tests::pes;

    #[track_caller]
    fn check(unit: &[u8], want: Result<(), IncompleteKind>) {
        for portion in [1, 7, 188, 200, usize::MAX] {
            let mut check = TsCheck::default();
            unit.chunks(portion.min(unit.len().max(1))).for_each(|chunk| check.push(chunk));
            assert_eq!(check.finish().map_err(|incomplete| incomplete.kind), want, "in portions of {portion}");
        }
    }

    /// Packets of one PID that carry `payload`.
    fn packets(pid: u16, payload: &[u8]) -> Vec<u8> {
        payload.chunks(184).enumerate().flat_map(|(n, part)| packet(pid, n == 0, n as u8, part)).collect()
    }

    #[test]
    fn whole_units_pass() {
        check(&packets(0x100, &pes(0xC0, 0, true, &[1; 500])), Ok(()));
        check(&packets(0x100, &pes(0xE0, 0, false, &[1; 500])), Ok(()));
        check(&packets(NULL_PID, &[0; 184]), Ok(()));
        let junk = [b"not a packet", &packets(0x100, &pes(0xC0, 0, true, &[1; 500]))[..]].concat();
        check(&junk, Ok(()));
    }

    #[track_caller]
    fn covers(times: &[u64], millis: Option<u64>) {
        let mut check = TsCheck::default();
        times.iter().for_each(|pts| check.push(&packets(0x100, &pes(0xC0, *pts, true, &[1; 300]))));
        assert_eq!(check.covered(), millis.map(Duration::from_millis), "{times:?}");
    }

    #[test]
    fn timestamps_tell_how_much_time_a_unit_has() {
        covers(&[], Some(0));
        covers(&[90_000], None);
        covers(&[90_000, 180_000, 270_000], Some(3000));
        covers(&[90_000, 270_000, 180_000], Some(4000));
        covers(&[CLOCK_MASK - 89_999, 90_000], Some(4000));
        covers(&[90_000, 0], None);
    }

    #[track_caller]
    fn strays(unit: &[u8], want: Option<(usize, u8)>, sure: usize) {
        for portion in [1, 7, 188, 200, usize::MAX] {
            let mut check = TsCheck::default();
            unit.chunks(portion.min(unit.len())).for_each(|chunk| check.push(chunk));
            let got = check.stray().map(|stray| (stray.at as usize, stray.byte));
            assert_eq!((got, check.sure() as usize), (want, sure), "in portions of {portion}");
        }
    }

    #[test]
    fn packets_are_in_order_up_to_the_place_where_none_begins() {
        let whole = packets(0x100, &pes(0xC0, 0, true, &[1; 1000]));
        let len = whole.len();
        strays(&whole, None, len - 2 * PACKET_LEN);
        strays(&[&whole[..], &[0; 400], &whole].concat(), Some((len, 0)), len - 2 * PACKET_LEN);
        strays(&[&whole[..], b"!"].concat(), Some((len, b'!')), len - 2 * PACKET_LEN);
        // Another body began in the middle of a packet.
        let page = [&whole[..len - 100], &[b'<'; 300]].concat();
        strays(&page, Some((len, b'<')), len - 2 * PACKET_LEN);
    }

    #[test]
    fn the_rest_of_a_packet_in_front_of_the_first_one_is_no_stray() {
        let whole = packets(0x100, &pes(0xC0, 0, true, &[1; 1000]));
        let led_in = [b"a Gap in front", &whole[..], &whole].concat();
        let mut check = TsCheck::default();
        check.push(&led_in);
        assert_eq!(check.stray(), None);
        strays(&[b"in front", &whole[..]].concat(), None, 8 + whole.len() - 2 * PACKET_LEN);
        strays(&[b"in front", &whole[..], b"!"].concat(), Some((8 + whole.len(), b'!')), 8 + whole.len() - 376);
    }

    #[test]
    fn the_rest_of_an_earlier_pes_packet_is_not_counted() {
        check(&packet(0x100, false, 3, &[0; 184]), Ok(()));
    }

    #[test]
    fn a_cut_packet_and_a_cut_pes_are_noticed() {
        let whole = packets(0x100, &pes(0xC0, 0, true, &[1; 500]));
        for len in 1..whole.len() {
            let want = match len {
                ..PACKET_LEN => IncompleteKind::NoMedia,
                _ if len % PACKET_LEN == 0 => IncompleteKind::Pes,
                _ => IncompleteKind::Packet,
            };
            check(&whole[..len], Err(want));
        }
    }

    #[test]
    fn a_length_spread_over_two_packets_is_read() {
        let unit = pes(0xC0, 0, true, &[1; 100]);
        let head = packet(0x100, true, 0, &unit[..5]);
        let tail = packet(0x100, false, 1, &unit[5..]);
        check(&[head, tail].concat(), Ok(()));
        check(&[head, packet(0x100, false, 1, &unit[5..60])].concat(), Err(IncompleteKind::Pes));
    }

    #[test]
    fn damage_in_the_middle_passes() {
        let cut = packets(0x100, &pes(0xC0, 0, true, &[1; 500]));
        let whole = packets(0x100, &pes(0xC0, 9, true, &[1; 20]));
        check(&[&cut[..PACKET_LEN], &whole].concat(), Ok(()));
        check(&[&whole[..], b"junk, ", &whole, b"a Gap and more junk"].concat(), Ok(()));
        check(&[&whole[..], b"junk, ", &whole, &whole, b"G cut"].concat(), Err(IncompleteKind::Packet));
    }
}
