use std::{
    io,
    ops::Range,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::park;

/// What a [`Source`] answers to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAt {
    /// So many bytes were copied to the front of the buffer; never more than it holds, and `0` only for an empty buffer.
    Bytes(usize),
    /// The bytes are not here yet; [`Source::poll_ready`] tells when to ask again.
    Pending,
    /// The stream is known to end at or before this offset.
    End,
}

/// Random access to bytes that may still be on their way.
///
/// A source never blocks and needs no runtime: readers that may block build on [`Source::wait_range`], tasks on
/// [`Source::poll_ready`]. The bytes of an offset never change.
///
/// **A value is one reader's handle.** A source may remember where it was last read, to drop what lies behind and to
/// fetch what lies ahead, so two readers that move independently take two handles; how a second one is made is the
/// business of the concrete type. Several threads may still *wait* on one handle at once, and all of them are woken; what
/// was ready for one of them may be `Pending` again once another has read, and is then waited for again.
///
/// **An error is an answer for its offset**, given to each who waits for it. A source may keep it for good, or try again
/// when somebody reads there later; it never tries in silence and for ever. Errors have [`io::ErrorKind::Other`] and carry the source's own typed error
/// (`error.get_ref()` and `downcast_ref`), except where a documented kind says more: [`io::ErrorKind::Unsupported`] for
/// an offset that cannot be reached by bytes. They never have [`io::ErrorKind::Interrupted`], which std retries for ever.
///
/// [`contract::source_contract`](crate::contract::source_contract) checks all of this on any implementation.
pub trait Source: Send + Sync + 'static {
    /// Length of the whole stream in bytes, `None` until it is known for certain. Once known it does not change.
    fn byte_len(&self) -> Option<u64>;

    /// Copies bytes from `offset` on to the front of `buf`. Never blocks. A read shorter than `buf` says nothing about
    /// what follows; an empty `buf` is answered with `Bytes(0)` and has no effect. No stream has a byte at `u64::MAX`.
    ///
    /// # Errors
    /// The bytes at `offset` cannot be had any more; see the errors of the trait.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt>;

    /// Ready when `read_at(range.start, ..)` would not answer `Pending`: bytes, the end or an error. Otherwise the
    /// waker is kept and called when that may have changed. An empty range is always ready. Readiness holds until the
    /// handle is used at another place.
    ///
    /// The range is also a demand: its bytes are wanted next. Its end says how far the reader expects to go and is a
    /// hint only; readiness does not wait for it. An unlimited demand ends at `u64::MAX`.
    ///
    /// # Errors
    /// A source may report the error of the read already here, or leave it to `read_at`.
    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>>;

    /// The length of the whole stream, found out on demand: a source that can resolve its length overrides this and
    /// stays pending meanwhile. `None`: the length cannot be known, and seeks relative to the end are not possible.
    /// The default answers [`byte_len`](Source::byte_len) at once.
    ///
    /// # Errors
    /// Finding out failed.
    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        let _ = cx;
        Poll::Ready(Ok(self.byte_len()))
    }

    /// Blocks the thread until `range` is ready in the sense of [`poll_ready`](Source::poll_ready), or `limit` has
    /// passed. `None` waits for as long as it takes. Must not be called on a thread that the source needs to make
    /// progress, such as the only thread of the runtime that drives it.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after `limit`; else those of `poll_ready`.
    fn wait_range(&self, range: Range<u64>, limit: Option<Duration>) -> io::Result<()> {
        park::block_on(limit, |cx| self.poll_ready(cx, range.clone()))
    }
}

/// What points to a source is one.
macro_rules! pointers {
    ($($pointer:ident),*) => {$(
        impl<S: Source + ?Sized> Source for $pointer<S> {
            fn byte_len(&self) -> Option<u64> {
                (**self).byte_len()
            }

            fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
                (**self).read_at(offset, buf)
            }

            fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
                (**self).poll_ready(cx, range)
            }

            fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
                (**self).poll_len(cx)
            }

            fn wait_range(&self, range: Range<u64>, limit: Option<Duration>) -> io::Result<()> {
                (**self).wait_range(range, limit)
            }
        }
    )*};
}

pointers!(Box, Arc);

/// Whether a read at `position` with this buffer gives nothing whatever the source holds. No stream has a byte at
/// `u64::MAX`: its length would not fit, and no range could ask for that byte.
pub(crate) fn reads_nothing(position: u64, buf_len: usize) -> bool {
    buf_len == 0 || position == u64::MAX
}

/// The range a reader with a buffer of `len` bytes demands at `offset`. Never empty where a read may give bytes.
pub(crate) fn demand(offset: u64, len: usize) -> Range<u64> {
    offset..offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX))
}

/// Guards readers against a source that breaks its contract: a `Bytes(0)` handed on would look like the end.
pub(crate) fn checked(count: usize, buf_len: usize) -> io::Result<usize> {
    if count == 0 || count > buf_len {
        return Err(crate::StreamError::BrokenSource.into());
    }
    Ok(count)
}
