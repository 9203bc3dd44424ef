use std::{
    io::{self, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

use crate::{
    ReadAt, Source, StreamError,
    source::{checked, demand, reads_nothing},
};

/// A [`Source`] as [`tokio::io::AsyncRead`] + [`AsyncSeek`]: the same bytes, ends and errors as
/// [`SyncReader`](crate::SyncReader), without a thread. Works on any executor.
#[derive(Debug)]
pub struct AsyncReader<S> {
    source: S,
    position: u64,
    /// A seek relative to the end whose length is not resolved yet.
    seeking: Option<i64>,
}

// Nothing inside is ever pinned: the source is only used by reference.
impl<S> Unpin for AsyncReader<S> {}

impl<S: Source> AsyncReader<S> {
    /// A reader at the first byte of `source`.
    pub fn new(source: S) -> Self {
        Self { source, position: 0, seeking: None }
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

    fn move_to(&mut self, target: Option<u64>) -> io::Result<()> {
        self.position = target.ok_or(StreamError::PositionOutOfRange)?;
        Ok(())
    }

    fn poll_seek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(delta) = self.seeking else {
            return Poll::Ready(Ok(()));
        };
        let len = ready!(self.source.poll_len(cx));
        self.seeking = None;
        let len = len?.ok_or(StreamError::LengthUnknown)?;
        Poll::Ready(self.move_to(len.checked_add_signed(delta)))
    }
}

impl<S: Source> AsyncRead for AsyncReader<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_seek(cx))?;
        if reads_nothing(self.position, buf.remaining()) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let room = buf.initialize_unfilled();
            match self.source.read_at(self.position, room)? {
                ReadAt::Bytes(count) => {
                    let count = checked(count, room.len())?;
                    buf.advance(count);
                    self.position += count as u64;
                    return Poll::Ready(Ok(()));
                }
                ReadAt::End => return Poll::Ready(Ok(())),
                ReadAt::Pending => ready!(self.source.poll_ready(cx, demand(self.position, room.len())))?,
            }
        }
    }
}

impl<S: Source> AsyncSeek for AsyncReader<S> {
    fn start_seek(mut self: Pin<&mut Self>, to: SeekFrom) -> io::Result<()> {
        self.seeking = None;
        match to {
            SeekFrom::Start(offset) => self.move_to(Some(offset)),
            SeekFrom::Current(delta) => {
                let target = self.position.checked_add_signed(delta);
                self.move_to(target)
            }
            SeekFrom::End(delta) => {
                self.seeking = Some(delta);
                Ok(())
            }
        }
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        ready!(self.poll_seek(cx))?;
        Poll::Ready(Ok(self.position))
    }
}
