//! The transport packet (ISO/IEC 13818-1, 2.4.3.2 to 2.4.3.5).

use super::{PACKET_LEN, SYNC_BYTE};

/// PID of stuffing packets.
pub(crate) const NULL_PID: u16 = 0x1FFF;

/// A packet, its fields read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) pid: u16,
    /// A PES packet or a section begins in the payload.
    pub(crate) unit_start: bool,
    pub(crate) scrambled: bool,
    pub(crate) continuity: u8,
    /// The adaptation field announces a break of continuity.
    pub(crate) discontinuity: bool,
    /// The adaptation field marks a place to start decoding.
    pub(crate) random_access: bool,
    /// `None` if the packet carries an adaptation field only.
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` without a sync byte, with the error indicator set, or with an adaptation field longer than the packet.
    pub(crate) fn parse(bytes: &'a [u8; PACKET_LEN]) -> Option<Self> {
        if bytes[0] != SYNC_BYTE || bytes[1] & 0x80 != 0 {
            return None;
        }
        let mut at = 4;
        let mut flags = 0;
        if bytes[3] & 0x20 != 0 {
            let len = usize::from(bytes[4]);
            flags = if len > 0 { bytes[5] } else { 0 };
            at += 1 + len;
        }
        let payload = if bytes[3] & 0x10 == 0 { None } else { Some(bytes.get(at..)?) };
        Some(Self {
            pid: u16::from(bytes[1] & 0x1F) << 8 | u16::from(bytes[2]),
            unit_start: bytes[1] & 0x40 != 0,
            scrambled: bytes[3] & 0xC0 != 0,
            continuity: bytes[3] & 0x0F,
            discontinuity: flags & 0x80 != 0,
            random_access: flags & 0x40 != 0,
            payload,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A packet with `payload`, filled up with adaptation stuffing.
    pub(crate) fn packet(pid: u16, unit_start: bool, continuity: u8, payload: &[u8]) -> [u8; PACKET_LEN] {
        let mut bytes = [0xFF; PACKET_LEN];
        bytes[..3].copy_from_slice(&[SYNC_BYTE, u8::from(unit_start) << 6 | (pid >> 8) as u8, pid as u8]);
        let stuffing = PACKET_LEN - 4 - payload.len();
        bytes[3] = 0x10 | continuity & 0x0F;
        if stuffing > 0 {
            bytes[3] |= 0x20;
            bytes[4] = stuffing as u8 - 1;
            if stuffing > 1 {
                bytes[5] = 0;
            }
        }
        bytes[PACKET_LEN - payload.len()..].copy_from_slice(payload);
        bytes
    }

    #[test]
    fn fields_and_payload_are_read() {
        let bytes = packet(0x101, true, 7, b"abc");
        let read = Packet::parse(&bytes).unwrap();
        assert_eq!((read.pid, read.unit_start, read.continuity, read.payload), (0x101, true, 7, Some(&b"abc"[..])));
        assert!(!read.scrambled && !read.discontinuity && !read.random_access);
        let full = packet(0x1FFF, false, 0, &[1; 184]);
        assert_eq!(Packet::parse(&full).unwrap().payload.unwrap().len(), 184);
    }

    #[test]
    fn damaged_packets_are_refused() {
        let good = packet(0x101, true, 7, b"abc");
        for (at, value) in [(0, 0x48), (1, 0xC1), (4, 200)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Packet::parse(&bad), None);
        }
    }
}
