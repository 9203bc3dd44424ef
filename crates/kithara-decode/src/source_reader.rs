//! A source of bytes as the file that container readers want.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use kithara_stream::{ReadAt, Source, StreamError};
use symphonia::core::io::MediaSource;

use crate::wake::Bell;

/// How a source may be read. Container readers ask whenever they want to, so this is shared with the one who gave them
/// the file.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    /// Whether they may read anywhere. Written by the input, read by its reader, both on the worker's thread.
    pub(crate) goes_back: AtomicBool,
    /// Whether it is a WAV file with sizes of 64 bits (EBU Tech 3306), which the reader knows by no other name than that of
    /// smaller ones. Its 32-bit sizes say what those say of a stream: that it goes on to the end. Written as `goes_back` is.
    pub(crate) is_rf64: AtomicBool,
    /// Whether the source said of a place that there is no way to it. Written by the reader, read by the input.
    pub(crate) was_refused: AtomicBool,
}

/// A source as the file that container readers want. Waits on the worker's bell.
pub(crate) struct SourceReader {
    source: Arc<dyn Source>,
    bell: Arc<Bell>,
    reach: Arc<Reach>,
    position: u64,
}

/// A wait was given up because a command came.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted by a command")]
struct Interrupted;

impl SourceReader {
    pub(crate) fn new(source: Arc<dyn Source>, bell: Arc<Bell>, reach: Arc<Reach>) -> Self {
        Self { source, bell, reach, position: 0 }
    }

    /// Waits until `ready` is, or a command comes.
    fn wait<T>(&self, mut ready: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut cx = Context::from_waker(&waker);
        loop {
            self.bell.listen();
            if self.bell.is_interrupted() {
                return Err(io::Error::other(Interrupted));
            }
            if let Poll::Ready(result) = ready(&mut cx) {
                return result.map_err(|error| self.noted(error));
            }
            self.bell.wait();
        }
    }

    fn noted(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Unsupported {
            self.reach.was_refused.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl Read for SourceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.source.read_at(self.position, buf).map_err(|error| self.noted(error))? {
                ReadAt::Bytes(count) => {
                    if self.position < 4 && self.reach.is_rf64.load(Ordering::Relaxed) {
                        let name = &b"RIFF"[self.position as usize..];
                        buf.iter_mut().take(count).zip(name).for_each(|(byte, named)| *byte = *named);
                    }
                    self.position += count as u64;
                    return Ok(count);
                }
                ReadAt::End => return Ok(0),
                ReadAt::Pending => {
                    let wanted = self.position..self.position.saturating_add(buf.len() as u64);
                    self.wait(|cx| self.source.poll_ready(cx, wanted.clone()))?;
                }
            }
        }
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(delta) => self.position.checked_add_signed(delta),
            SeekFrom::End(delta) => {
                let len = self.wait(|cx| self.source.poll_len(cx))?.ok_or(StreamError::LengthUnknown)?;
                len.checked_add_signed(delta)
            }
        };
        self.position = target.ok_or(StreamError::PositionOutOfRange)?;
        Ok(self.position)
    }
}

impl MediaSource for SourceReader {
    fn is_seekable(&self) -> bool {
        self.reach.goes_back.load(Ordering::Relaxed) && self.source.byte_len().is_some()
    }

    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }
}
