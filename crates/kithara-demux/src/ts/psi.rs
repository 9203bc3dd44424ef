//! Program specific information: sections, the program association and the program map (ISO/IEC 13818-1, 2.4.4).

use crate::cursor::Cursor;
use crate::track::Codec;

/// PID of the program association table.
pub(crate) const PAT_PID: u16 = 0;

const PAT_TABLE: u8 = 0x00;
const PMT_TABLE: u8 = 0x02;

/// Fills payloads behind their last section.
const STUFFING: u8 = 0xFF;

/// Longest section of these tables, header included.
const MAX_SECTION: usize = 1024;

/// Puts the sections of one table together, on a PID that may carry others as well.
#[derive(Debug)]
pub(crate) struct SectionReader {
    table: u8,
    /// The number that stands in sections of the table, where only those of one are wanted.
    number: Option<u16>,
    section: Vec<u8>,
    /// Whether `section` has its first byte.
    is_open: bool,
    /// The section delivered last. The same one comes many times a second.
    last: Vec<u8>,
}

impl SectionReader {
    pub(crate) const fn of_association() -> Self {
        Self { table: PAT_TABLE, number: None, section: Vec::new(), is_open: false, last: Vec::new() }
    }

    /// Of the map of a program.
    pub(crate) const fn of_map(program: u16) -> Self {
        Self { table: PMT_TABLE, number: Some(program), section: Vec::new(), is_open: false, last: Vec::new() }
    }

    /// Takes the payload of a packet and gives the section of the table that is whole, valid, current and other than the last
    /// one; of several in one payload the last one.
    pub(crate) fn push(&mut self, payload: &[u8], unit_start: bool) -> Option<&[u8]> {
        let mut is_new = false;
        let mut payload = payload;
        if unit_start {
            let (pointer, rest) = payload.split_first()?;
            let (tail, start) = rest.split_at_checked(usize::from(*pointer))?;
            is_new = self.is_open && self.append(tail).is_some() && self.deliver();
            self.open();
            payload = start;
        }
        while self.is_open
            && let Some(used) = self.append(payload)
        {
            is_new |= self.deliver();
            payload = &payload[used..];
            // Others follow at once, up to the stuffing, and only where one begins.
            if unit_start && payload.first().is_some_and(|byte| *byte != STUFFING) {
                self.open();
            }
        }
        is_new.then_some(&self.last)
    }

    fn open(&mut self) {
        self.section.clear();
        self.is_open = true;
    }

    /// Appends, and says how many of the bytes make the section whole.
    fn append(&mut self, bytes: &[u8]) -> Option<usize> {
        let before = self.section.len();
        let room = MAX_SECTION.saturating_sub(before);
        self.section.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let [_, high, low] = self.section.first_chunk::<3>()?;
        let len = 3 + (usize::from(high & 0x0F) << 8 | usize::from(*low));
        if len > MAX_SECTION {
            self.is_open = false;
        }
        if self.section.len() < len || !self.is_open {
            return None;
        }
        self.section.truncate(len);
        Some(len.saturating_sub(before))
    }

    /// Says whether the section is news.
    fn deliver(&mut self) -> bool {
        self.is_open = false;
        let [table, _, _, high, low, flags, ..] = self.section[..] else { return false };
        let is_wanted =
            table == self.table && self.number.is_none_or(|number| number == u16::from_be_bytes([high, low]));
        // A table that announces the next one is not in force yet.
        let is_current = flags & 1 == 1;
        if !is_wanted || !is_current || self.section == self.last || crc32(&self.section) != 0 {
            return false;
        }
        std::mem::swap(&mut self.section, &mut self.last);
        true
    }
}

/// CRC-32 of MPEG-2; zero over a section that includes its own.
fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte) << 24, |crc, _| if crc >> 31 == 1 { crc << 1 ^ 0x04C1_1DB7 } else { crc << 1 })
    })
}

/// The first program that a PAT lists: its number, and the PID of its map.
pub(crate) fn first_program(section: &[u8]) -> Option<(u16, u16)> {
    let body = table_body(section, PAT_TABLE)?;
    let programs =
        body.chunks_exact(4).map(|entry| (u16::from_be_bytes([entry[0], entry[1]]), pid(entry[2], entry[3])));
    // Number 0 is the network information table.
    programs.into_iter().find(|(number, _)| *number != 0)
}

/// A stream of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramStream {
    pub(crate) pid: u16,
    pub(crate) codec: Codec,
    pub(crate) is_encrypted: bool,
    pub(crate) language: Option<String>,
    /// Channels, where a descriptor tells (Opus).
    pub(crate) channels: Option<u8>,
}

/// The streams of a program map. Sections and streams without media (SCTE 35, AIT, DSM-CC) are left out.
pub(crate) fn program_streams(section: &[u8]) -> Option<Vec<ProgramStream>> {
    let mut cursor = Cursor::new(table_body(section, PMT_TABLE)?);
    let [_, _, high, low] = cursor.array()?;
    cursor.take(usize::from(u16::from_be_bytes([high & 0x0F, low])))?;
    let mut streams = Vec::new();
    while let Some([stream_type, pid_high, pid_low, len_high, len_low]) = cursor.array() {
        let descriptors = cursor.take(usize::from(u16::from_be_bytes([len_high & 0x0F, len_low])))?;
        streams.extend(ProgramStream::new(stream_type, pid(pid_high, pid_low), descriptors));
    }
    Some(streams)
}

impl ProgramStream {
    fn new(stream_type: u8, pid: u16, descriptors: &[u8]) -> Option<Self> {
        let (codec, is_encrypted) = match stream_type {
            0x03 | 0x04 => (Codec::Mp3, false),
            0x0F => (Codec::Aac, false),
            0x11 => (Codec::AacLatm, false),
            0x15 => (Codec::Id3, false),
            0x1B => (Codec::H264, false),
            0x24 => (Codec::Hevc, false),
            0x81 => (Codec::Ac3, false),
            0x87 => (Codec::Eac3, false),
            // SAMPLE-AES has stream types of its own (MPEG-2 Stream Encryption Format for HTTP Live Streaming).
            0xCF => (Codec::Aac, true),
            0xDB => (Codec::H264, true),
            0xC1 => (Codec::Ac3, true),
            0xC2 => (Codec::Eac3, true),
            0x06 => (private_codec(descriptors)?, false),
            0x05 | 0x08..=0x0D | 0x14 | 0x16..=0x1A | 0x86 => return None,
            other => (Codec::StreamType(other), false),
        };
        let language = find(descriptors, 0x0A).and_then(|body| body.first_chunk::<3>());
        let language = language.filter(|code| code.iter().all(u8::is_ascii_alphabetic));
        Some(Self {
            pid,
            codec,
            is_encrypted,
            language: language.map(|code| String::from_utf8_lossy(code).to_ascii_lowercase()),
            channels: find(descriptors, 0x7F).and_then(|body| body.strip_prefix(&[0x80])?.first().copied()),
        })
    }
}

/// What a private stream holds, by its registration or by DVB's descriptors.
fn private_codec(descriptors: &[u8]) -> Option<Codec> {
    let registered = find(descriptors, 0x05).and_then(|body| body.first_chunk::<4>());
    match registered {
        Some(b"AC-3") => Some(Codec::Ac3),
        Some(b"EAC3") => Some(Codec::Eac3),
        Some(b"Opus") => Some(Codec::Opus),
        Some(b"HEVC") => Some(Codec::Hevc),
        Some(b"ID3 ") => Some(Codec::Id3),
        _ if find(descriptors, 0x6A).is_some() => Some(Codec::Ac3),
        _ if find(descriptors, 0x7A).is_some() => Some(Codec::Eac3),
        Some(other) => Some(Codec::Other(*other)),
        None => None,
    }
}

/// The body of the first descriptor with a tag.
fn find(descriptors: &[u8], tag: u8) -> Option<&[u8]> {
    let mut cursor = Cursor::new(descriptors);
    while let Some([found, len]) = cursor.array() {
        let body = cursor.take(usize::from(len))?;
        if found == tag {
            return Some(body);
        }
    }
    None
}

/// What stands between the header of a section and its checksum.
fn table_body(section: &[u8], table: u8) -> Option<&[u8]> {
    let end = section.len().checked_sub(4)?;
    section.get(8..end).filter(|_| section[0] == table)
}

fn pid(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high & 0x1F, low])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn section(table: u8, version: u8, body: &[u8]) -> Vec<u8> {
        let mut section = vec![table];
        section.extend_from_slice(&(0xB000 | (body.len() as u16 + 9)).to_be_bytes());
        section.extend_from_slice(&[0, 1, 0xC1 | version << 1, 0, 0]);
        section.extend_from_slice(body);
        let crc = crc32(&section);
        section.extend_from_slice(&crc.to_be_bytes());
        section
    }

    /// A PAT that lists one program.
    pub(crate) fn pat(pmt_pid: u16) -> Vec<u8> {
        section(PAT_TABLE, 0, &[0, 0, 0xE0, 0x10, 0, 1, 0xE0 | (pmt_pid >> 8) as u8, pmt_pid as u8])
    }

    /// A PMT of streams given as type, PID and descriptors.
    pub(crate) fn pmt(version: u8, streams: &[(u8, u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xE1, 0x00, 0xF0, 0x00];
        for (stream_type, pid, descriptors) in streams {
            body.extend_from_slice(&[*stream_type, 0xE0 | (pid >> 8) as u8, *pid as u8, 0xF0, descriptors.len() as u8]);
            body.extend_from_slice(descriptors);
        }
        section(PMT_TABLE, version, &body)
    }

    fn with_pointer(section: &[u8]) -> Vec<u8> {
        [&[0], section].concat()
    }

    #[test]
    fn the_first_program_is_found() {
        assert_eq!(first_program(&pat(0x1000)), Some((1, 0x1000)));
        assert_eq!(first_program(&pmt(0, &[])), None);
    }

    #[test]
    fn a_section_is_delivered_once_even_when_it_spans_packets() {
        let section = pmt(0, &[(0x0F, 0x101, &[0x55; 200])]);
        let payload = with_pointer(&section);
        let mut reader = SectionReader::of_map(1);
        assert_eq!(reader.push(&payload[..184], true), None);
        assert_eq!(reader.push(&[&payload[184..], &[0xFF; 20]].concat(), false), Some(&section[..]));
        assert_eq!(reader.push(&payload, true), None, "the same again");
        let next = pmt(1, &[(0x1B, 0x100, &[])]);
        assert_eq!(reader.push(&with_pointer(&next), true), Some(&next[..]));
    }

    #[test]
    fn other_tables_on_the_same_pid_are_passed_over() {
        let (map, other) = (pmt(0, &[(0x0F, 0x101, &[])]), section(0xC0, 0, &[7; 30]));
        let mut foreign = pmt(0, &[(0x1B, 0x200, &[])]);
        foreign[4] = 2;
        let crc = crc32(&foreign[..foreign.len() - 4]).to_be_bytes();
        foreign.splice(foreign.len() - 4.., crc);
        for sections in [[&other, &map], [&map, &other], [&foreign, &map]] {
            let payload = [&[0][..], sections[0], sections[1], &[0xFF; 20]].concat();
            let mut reader = SectionReader::of_map(1);
            assert_eq!(reader.push(&payload, true), Some(&map[..]));
            assert_eq!(reader.push(&payload, true), None);
        }
        // One ends and the next one begins in the same payload.
        let long = pmt(3, &[(0x0F, 0x101, &[0x55; 200])]);
        let (head, tail) = long.split_at(183);
        let mut reader = SectionReader::of_map(1);
        assert_eq!(reader.push(&[&[0][..], head].concat(), true), None);
        let payload = [&[tail.len() as u8][..], tail, &other].concat();
        assert_eq!(reader.push(&payload, true), Some(&long[..]));
        assert_eq!(reader.push(&[&[0][..], &other].concat(), true), None);
    }

    #[test]
    fn damaged_sections_are_dropped() {
        let mut section = pat(0x1000);
        section[10] ^= 1;
        let mut reader = SectionReader::of_association();
        assert_eq!(reader.push(&with_pointer(&section), true), None);
        assert_eq!(reader.push(&[200, 1, 2], true), None);
        assert_eq!(reader.push(&[], true), None);
        assert_eq!(reader.push(&[0, 0, 0xBF, 0xFF, 9], true), None);
        assert!(reader.push(&with_pointer(&pat(0x1000)), true).is_some());
    }

    #[track_caller]
    fn check(stream_type: u8, descriptors: &[u8], want: Option<(Codec, bool)>) {
        let streams = program_streams(&pmt(0, &[(stream_type, 0x101, descriptors)])).unwrap();
        assert_eq!(streams.first().map(|stream| (stream.codec, stream.is_encrypted)), want, "{stream_type:02x}");
    }

    #[test]
    fn streams_are_told_by_type_and_descriptor() {
        check(0x0F, &[], Some((Codec::Aac, false)));
        check(0x11, &[], Some((Codec::AacLatm, false)));
        check(0x1B, &[], Some((Codec::H264, false)));
        check(0x06, b"\x05\x04AC-3", Some((Codec::Ac3, false)));
        check(0x06, b"\x0A\x04eng\0\x7A\x01\0", Some((Codec::Eac3, false)));
        check(0x06, b"\x05\x04abcd", Some((Codec::Other(*b"abcd"), false)));
        check(0x06, &[], None);
        check(0xCF, &[], Some((Codec::Aac, true)));
        check(0xDB, &[], Some((Codec::H264, true)));
        check(0x86, &[], None);
        check(0x82, &[], Some((Codec::StreamType(0x82), false)));
    }

    #[test]
    fn languages_and_channels_come_from_descriptors() {
        let streams =
            program_streams(&pmt(0, &[(0x0F, 1, b"\x0A\x04DEU\0"), (0x06, 2, b"\x05\x04Opus\x7F\x02\x80\x02")]))
                .unwrap();
        assert_eq!((streams[0].language.as_deref(), streams[0].channels), (Some("deu"), None));
        assert_eq!((streams[1].language.as_deref(), streams[1].channels), (None, Some(2)));
    }
}
