use std::io::{self, Read, Seek, SeekFrom};

use crate::{
    ReadAt, Source, StreamError, park,
    source::{checked, demand, reads_nothing},
};

/// A [`Source`] as [`std::io::Read`] + [`Seek`], for any decoder that takes those. Needs no runtime: reads park the
/// thread until bytes are there.
///
/// - `read` gives what is there, at least one byte; `Ok(0)` means the end of the stream and nothing else.
/// - Seeking costs nothing: only the next read says where bytes are wanted. A position beyond the end is allowed and
///   reads `Ok(0)`, as with files.
/// - [`SeekFrom::End`] needs the length and may block for it ([`Source::poll_len`]); where it cannot be known the error
///   is [`io::ErrorKind::Unsupported`] with [`StreamError::LengthUnknown`] inside.
/// - A read must not run on the only thread of the runtime that drives the source.
#[derive(Debug)]
pub struct SyncReader<S> {
    source: S,
    position: u64,
}

impl<S: Source> SyncReader<S> {
    /// A reader at the first byte of `source`.
    pub fn new(source: S) -> Self {
        Self { source, position: 0 }
    }

    /// Offset of the next byte to read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The source that is read.
    pub fn get_ref(&self) -> &S {
        &self.source
    }

    /// Gives the source back.
    pub fn into_inner(self) -> S {
        self.source
    }
}

impl<S: Source> Read for SyncReader<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if reads_nothing(self.position, buf.len()) {
            return Ok(0);
        }
        loop {
            match self.source.read_at(self.position, buf)? {
                ReadAt::Bytes(count) => {
                    let count = checked(count, buf.len())?;
                    self.position += count as u64;
                    return Ok(count);
                }
                ReadAt::End => return Ok(0),
                ReadAt::Pending => self.source.wait_range(demand(self.position, buf.len()), None)?,
            }
        }
    }
}

impl<S: Source> Seek for SyncReader<S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => {
                let len = park::block_on(None, |cx| self.source.poll_len(cx))?.ok_or(StreamError::LengthUnknown)?;
                len.checked_add_signed(delta)
            }
        };
        self.position = target.ok_or(StreamError::PositionOutOfRange)?;
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}
