//! Packetised elementary streams: the PES header (ISO/IEC 13818-1, 2.4.3.6).

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

/// Whether a stream id has the optional header (table 2-21: not padding, maps, ECM, EMM, private_stream_2, directories, DSM-CC, H.222.1 type E).
const fn has_optional_header(stream_id: u8) -> bool {
    !matches!(
        stream_id,
        0xBC | 0xBE | 0xBF | 0xF0 | 0xF1 | 0xF2 | 0xF8 | 0xFF
    )
}

impl PesHeader {
    /// Reads the header at the start of `payload`; `None` if there is none or it is cut.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        stated_len(payload.first_chunk::<PREFIX_LEN>()?)?;
        let stream_id = payload[3];
        if !has_optional_header(stream_id) {
            return Some(Self {
                stream_id,
                header_len: PREFIX_LEN,
                pts: None,
                dts: None,
            });
        }
        let mut cursor = Cursor::new(&payload[PREFIX_LEN..]);
        let [marker, flags, len] = cursor.array::<3>()?;
        if marker & 0xC0 != 0x80 {
            return None;
        }
        let mut fields = Cursor::new(cursor.take(usize::from(len))?);
        let pts = if flags & 0x80 == 0 {
            None
        } else {
            fields.array().map(timestamp)
        };
        let dts = if flags & 0x40 == 0 {
            pts
        } else {
            fields.array().map(timestamp)
        };
        Some(Self {
            stream_id,
            header_len: PREFIX_LEN + 3 + usize::from(len),
            pts,
            dts,
        })
    }
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

    #[test]
    fn all_33_bits_of_a_timestamp_are_read() {
        for pts in [0, 1, 126_000, 0x1_FFFF_FFFF, 0x1_5555_5555, 0x0_AAAA_AAAA] {
            let header = PesHeader::parse(&pes(0xC0, pts, true, b"x")).unwrap();
            assert_eq!(
                (header.pts, header.dts, header.header_len),
                (Some(pts), Some(pts), 14)
            );
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
