//! ADTS files whose frames hold several raw data blocks (ISO/IEC 14496-3, 1.A.2.2).
//!
//! Their container reader takes frames of one block only. So it is given the file with a frame for each block, which the
//! demuxer of segments finds. Such a file is read from front to back; the way to an earlier time begins at its start.

use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
};

use bytes::Bytes;
use kithara_demux::{
    Container, DemuxOptions, Demuxer, Run,
    output::{DamageKind, Output},
};
use symphonia::core::io::MediaSource;

/// Bytes of a frame's header without a checksum.
const HEADER_LEN: usize = 7;

/// Bytes read in one go.
const CHUNK: usize = 4 << 10;

/// Whether the file that begins with `head` is made of frames with several blocks.
pub(crate) fn are_in(head: &[u8]) -> bool {
    const TAG_HEADER_LEN: usize = 10;
    let begins = match head {
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => {
            // Seven bits of each byte count (ID3v2.4, 6.2).
            TAG_HEADER_LEN + [a, b, c, d].iter().fold(0, |sum, byte| sum << 7 | usize::from(**byte & 0x7F))
        }
        _ => 0,
    };
    let frame = head.get(begins..).and_then(|frame| frame.first_chunk::<HEADER_LEN>());
    frame.is_some_and(|frame| {
        let is_adts = frame[0] == 0xFF && frame[1] & 0xF6 == 0xF0;
        is_adts && frame[6] & 3 > 0
    })
}

/// The same file with a frame for each block.
pub(crate) struct OneBlockPerFrame<R> {
    file: R,
    demuxer: Demuxer,
    /// The first two bytes of an AudioSpecificConfig.
    config: Option<[u8; 2]>,
    /// What comes next.
    frame: Bytes,
    is_over: bool,
}

impl<R> OneBlockPerFrame<R> {
    pub(crate) fn new(file: R) -> Self {
        let mut demuxer = Demuxer::new(DemuxOptions::default());
        demuxer.start_run(Run::new(Container::Adts));
        Self { file, demuxer, config: None, frame: Bytes::new(), is_over: false }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Tracks(tracks) => {
                let config = tracks.first().and_then(|track| track.config.first_chunk().copied());
                self.config = config.or(self.config);
            }
            Output::Packet(packet) => self.set_frame(&packet.data),
            // A block that was not found takes its time nevertheless.
            Output::Damage(damage) if damage.kind == DamageKind::Malformed => self.set_frame(&[]),
            _ => {}
        }
    }

    fn set_frame(&mut self, block: &[u8]) {
        let Some([first, second]) = self.config else { return };
        let (object_type, rate_index, channels) = (first >> 3, (first & 7) << 1 | second >> 7, second >> 3 & 0xF);
        // A block is shorter than the frame it was in.
        let [high, low] = u16::try_from(HEADER_LEN + block.len()).unwrap_or(0).to_be_bytes();
        let mut frame = Vec::with_capacity(HEADER_LEN + block.len());
        frame.extend([
            0xFF,
            0xF1,
            object_type.saturating_sub(1) << 6 | rate_index << 2 | channels >> 2,
            channels << 6 | high >> 3,
            high << 5 | low >> 3,
            low << 5 | 0x1F,
            0xFC,
        ]);
        frame.extend_from_slice(block);
        self.frame = frame.into();
    }
}

impl<R: Read> Read for OneBlockPerFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.frame.is_empty() {
            if let Some(output) = self.demuxer.poll() {
                self.take(output.map_err(io::Error::other)?);
                continue;
            }
            if self.is_over {
                return Ok(0);
            }
            let mut chunk = vec![0; CHUNK];
            let count = self.file.read(&mut chunk)?;
            if count == 0 {
                self.demuxer.end_unit();
                self.is_over = true;
            } else {
                chunk.truncate(count);
                self.demuxer.push(chunk.into());
            }
        }
        let count = self.frame.len().min(buf.len());
        buf[..count].copy_from_slice(&self.frame.split_to(count));
        Ok(count)
    }
}

impl<R> Seek for OneBlockPerFrame<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<R: Read + Send + Sync> MediaSource for OneBlockPerFrame<R> {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

impl<R> fmt::Debug for OneBlockPerFrame<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneBlockPerFrame").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_several_blocks_are_told_by_the_first_header() {
        const ONE: [u8; 7] = [0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFC];
        const FOUR: [u8; 7] = [0xFF, 0xF1, 0x4C, 0x80, 0x2E, 0x7F, 0xFF];
        let tag = b"ID3\x04\0\0\0\0\0\x03abc";
        assert!(are_in(&FOUR) && are_in(&[&tag[..], &FOUR].concat()));
        assert!(!are_in(&ONE) && !are_in(&[&tag[..], &ONE].concat()));
        assert!(!are_in(&FOUR[..6]) && !are_in(b"") && !are_in(&[&b"RIFF"[..], &FOUR].concat()));
        assert!(!are_in(b"ID3\x04\0\0\x7F\x7F\x7F\x7F"));
        // Layer III.
        assert!(!are_in(&[0xFF, 0xFB, 0x90, 0, 0, 0, 3]));
    }
}
