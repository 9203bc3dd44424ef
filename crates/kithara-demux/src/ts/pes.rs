//! Packetised elementary streams: the PES header (ISO/IEC 13818-1, 2.4.3.6).

use bytes::{Bytes, BytesMut};

use crate::cursor::Cursor;

/// Bytes before the optional fields: start code, stream id, length.
pub(crate) const PREFIX_LEN: usize = 6;

/// The header of a PES packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PesHeader {
    pub(crate) stream_id: u8,
    /// Bytes before the elementary stream data.
    pub(crate) header_len: usize,
    /// 33 bits on the 90 kHz clock.
    pub(crate) pts: Option<u64>,
    /// 33 bits on the 90 kHz clock; the PTS where none is written.
    pub(crate) dts: Option<u64>,
}

/// The whole length a PES packet states, its prefix included; `None` if `prefix` is not one.
/// Zero where the length is open, which only video may leave so.
pub(crate) fn stated_len(prefix: &[u8; PREFIX_LEN]) -> Option<usize> {
    let [0, 0, 1, _, high, low] = *prefix else {
        return None;
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    Some(if len == 0 { 0 } else { PREFIX_LEN + len })
}

/// Whether a stream id has the optional header (ISO/IEC 13818-1, 2.4.3.7: not padding, maps, ECM, EMM, private_stream_2, directories, DSM-CC, H.222.1 type E).
const fn has_optional_header(stream_id: u8) -> bool {
    !matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF)
}

impl PesHeader {
    /// Reads the header at the start of `payload`; `None` if there is none or it is cut.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        stated_len(payload.first_chunk::<PREFIX_LEN>()?)?;
        let stream_id = payload[3];
        if !has_optional_header(stream_id) {
            return Some(Self { stream_id, header_len: PREFIX_LEN, pts: None, dts: None });
        }
        let mut cursor = Cursor::new(&payload[PREFIX_LEN..]);
        let [marker, flags, len] = cursor.array::<3>()?;
        if marker & 0xC0 != 0x80 {
            return None;
        }
        let mut fields = Cursor::new(cursor.take(usize::from(len))?);
        let pts = if flags & 0x80 == 0 { None } else { fields.array().map(timestamp) };
        let dts = if flags & 0x40 == 0 { pts } else { fields.array().map(timestamp) };
        Some(Self { stream_id, header_len: PREFIX_LEN + 3 + usize::from(len), pts, dts })
    }
}

/// Cuts the PES packets of one PID into header and payload.
#[derive(Debug, Default)]
pub(crate) struct PesReader {
    state: PesState,
}

#[derive(Debug, Default)]
enum PesState {
    /// Waiting for a packet to begin.
    #[default]
    Idle,
    /// The header is not all there.
    Header(BytesMut),
    /// In the payload, of which so many bytes are left; unknown where the length is open.
    Payload { left: Option<usize> },
}

/// A piece of a PES packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PesPiece {
    /// Present with the first piece.
    pub(crate) header: Option<PesHeader>,
    pub(crate) payload: Bytes,
}

impl PesReader {
    /// A PES packet begins with the next bytes.
    pub(crate) fn start(&mut self) {
        self.state = PesState::Header(BytesMut::new());
    }

    /// What follows is not understood until the next packet begins.
    pub(crate) fn stop(&mut self) {
        self.state = PesState::Idle;
    }

    /// Takes the payload of a transport packet.
    pub(crate) fn push(&mut self, bytes: Bytes) -> Option<PesPiece> {
        match &mut self.state {
            PesState::Idle => None,
            PesState::Payload { left } => {
                let payload = limit(bytes, left);
                (!payload.is_empty()).then_some(PesPiece { header: None, payload })
            }
            PesState::Header(begun) if begun.is_empty() && has_whole_header(&bytes) => self.open(bytes),
            PesState::Header(begun) => {
                begun.extend_from_slice(&bytes);
                if !has_whole_header(begun) {
                    return None;
                }
                let whole = std::mem::take(begun).freeze();
                self.open(whole)
            }
        }
    }

    /// Whether the packet states its length and is as long as that.
    pub(crate) const fn is_complete(&self) -> bool {
        matches!(self.state, PesState::Payload { left: Some(0) })
    }

    /// Whether the packet states its length and is not as long as that yet.
    pub(crate) const fn is_bounded_and_open(&self) -> bool {
        matches!(self.state, PesState::Payload { left: Some(1..) } | PesState::Header(_))
    }

    fn open(&mut self, mut bytes: Bytes) -> Option<PesPiece> {
        // Padding and other ids without times are no part of the elementary stream.
        let Some(header) = PesHeader::parse(&bytes).filter(|header| has_optional_header(header.stream_id)) else {
            self.state = PesState::Idle;
            return None;
        };
        let stated = bytes.first_chunk().and_then(stated_len).filter(|len| *len > 0);
        let mut left = stated.map(|len| len.saturating_sub(header.header_len));
        let payload = limit(bytes.split_off(header.header_len), &mut left);
        self.state = PesState::Payload { left };
        Some(PesPiece { header: Some(header), payload })
    }
}

/// Whether [`PesHeader::parse`] has all it needs, or enough to see that it is no header.
fn has_whole_header(bytes: &[u8]) -> bool {
    let Some(prefix) = bytes.first_chunk::<PREFIX_LEN>() else { return false };
    if stated_len(prefix).is_none() || !has_optional_header(prefix[3]) {
        return true;
    }
    bytes.get(PREFIX_LEN + 2).is_some_and(|len| bytes.len() >= PREFIX_LEN + 3 + usize::from(*len))
}

/// As much of `bytes` as is left, which is counted down.
fn limit(mut bytes: Bytes, left: &mut Option<usize>) -> Bytes {
    if let Some(left) = left {
        bytes.truncate(*left);
        *left -= bytes.len();
    }
    bytes
}

/// 33 bits spread over five bytes with a marker bit behind each group.
fn timestamp(bytes: [u8; 5]) -> u64 {
    let [a, b, c, d, e] = bytes.map(u64::from);
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PES packet with a PTS around `data`; `bounded` states its length.
    pub(crate) fn pes(stream_id: u8, pts: u64, bounded: bool, data: &[u8]) -> Vec<u8> {
        let len = if bounded { data.len() as u16 + 8 } else { 0 };
        let mut out = vec![0, 0, 1, stream_id];
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&[0x80, 0x80, 5]);
        out.extend_from_slice(&[
            0x21 | (pts >> 29) as u8 & 0x0E,
            (pts >> 22) as u8,
            (pts >> 14) as u8 | 1,
            (pts >> 7) as u8,
            (pts << 1) as u8 | 1,
        ]);
        out.extend_from_slice(data);
        out
    }

    /// A PES packet of open length with both timestamps.
    pub(crate) fn pes_with_dts(stream_id: u8, pts: u64, dts: u64, data: &[u8]) -> Vec<u8> {
        let mut out = pes(stream_id, pts, false, &[]);
        let times = pes(stream_id, dts, false, &[]);
        out[7] = 0xC0;
        out[8] = 10;
        out[9] |= 0x10;
        out.extend_from_slice(&times[9..14]);
        out.extend_from_slice(data);
        out
    }

    #[test]
    fn all_33_bits_of_a_timestamp_are_read() {
        for pts in [0, 1, 126_000, 0x1_FFFF_FFFF, 0x1_5555_5555, 0x0_AAAA_AAAA] {
            let header = PesHeader::parse(&pes(0xC0, pts, true, b"x")).unwrap();
            assert_eq!((header.pts, header.dts, header.header_len), (Some(pts), Some(pts), 14));
        }
    }

    #[test]
    fn lengths_are_stated_or_open() {
        let len = |bytes: Vec<u8>| stated_len(bytes.first_chunk().unwrap());
        assert_eq!(len(pes(0xC0, 0, true, b"abc")), Some(17));
        assert_eq!(len(pes(0xE0, 0, false, b"abc")), Some(0));
        assert_eq!(len(b"\0\0\x02\xE0\0\0".to_vec()), None);
    }

    #[test]
    fn a_cut_header_is_refused() {
        let whole = pes(0xC0, 5, true, b"");
        for len in 0..whole.len() {
            assert_eq!(PesHeader::parse(&whole[..len]), None, "{len}");
        }
    }
}
