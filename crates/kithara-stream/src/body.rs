use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::{ReadAt, Source, StreamError, Waiters};

/// What a [`UnitBody`] answers when asked for a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkAt {
    /// The bytes from the offset asked for to the end of the chunk they arrived in; never empty.
    Bytes(Bytes),
    /// Not here yet; [`Source::poll_ready`] tells when to ask again.
    Pending,
    /// The body ends at or before this offset.
    End,
}

/// The reading end of a body that grows while it is read: an append-only list of [`Bytes`], shared without a copy.
///
/// Clones read the same body. Offsets count from the body's first byte. A reader that wants the chunks themselves takes
/// them with [`chunk_at`](UnitBody::chunk_at); one that wants bytes reads the body as a [`Source`].
///
/// Several who read the body each at a pace of their own take a handle each with [`reader`](UnitBody::reader): what one of
/// them releases stays for the others.
///
/// ```
/// use bytes::Bytes;
/// use kithara_stream::{ChunkAt, UnitBody};
///
/// # fn main() -> std::io::Result<()> {
/// let (mut writer, body) = UnitBody::channel();
/// writer.push(Bytes::from_static(b"first"));
/// assert_eq!(body.chunk_at(2)?, ChunkAt::Bytes(Bytes::from_static(b"rst")));
/// assert_eq!(body.chunk_at(5)?, ChunkAt::Pending);
/// writer.finish();
/// assert_eq!(body.chunk_at(5)?, ChunkAt::End);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct UnitBody {
    shared: Arc<Shared>,
    /// Up to where this reader, if it is one, has released.
    mark: Option<Arc<Mark>>,
}

/// A reader's place in the table of marks, given back on drop of its last clone.
struct Mark {
    shared: Arc<Shared>,
    number: u64,
}

/// The writing end of a [`UnitBody`]. Exactly one of [`finish`](UnitWriter::finish), [`cut`](UnitWriter::cut) and
/// [`fail`](UnitWriter::fail) ends the body; a writer that is dropped before lets its readers fail with
/// [`StreamError::Abandoned`].
pub struct UnitWriter {
    shared: Arc<Shared>,
}

/// Written by the one writer (chunks, state) and by readers (waiters, released chunks), for a few instructions each;
/// never locked while a waker runs.
struct Shared {
    inner: Mutex<Inner>,
}

struct Inner {
    chunks: VecDeque<Chunk>,
    /// Offset below which everything was released. Never beyond `len`.
    released: u64,
    /// Up to where each reader has released, by its number.
    marks: BTreeMap<u64, u64>,
    next_mark: u64,
    len: u64,
    state: State,
    waiters: Waiters,
    /// Whoever waits for readers to let bytes go.
    room: Option<Waker>,
}

struct Chunk {
    start: u64,
    bytes: Bytes,
}

enum State {
    Growing,
    Finished,
    Failed(Arc<dyn Fn() -> io::Error + Send + Sync>),
}

impl UnitBody {
    /// An empty body, and the writer that fills it.
    #[must_use]
    pub fn channel() -> (UnitWriter, Self) {
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                chunks: VecDeque::new(),
                released: 0,
                marks: BTreeMap::new(),
                next_mark: 0,
                len: 0,
                state: State::Growing,
                waiters: Waiters::default(),
                room: None,
            }),
        });
        (UnitWriter { shared: Arc::clone(&shared) }, Self { shared, mark: None })
    }

    /// A body that is already whole.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        let (mut writer, body) = Self::channel();
        writer.push(bytes);
        writer.finish();
        body
    }

    /// The chunk that holds the byte at `offset`, from that byte on. Shares the chunk, copies nothing.
    ///
    /// # Errors
    /// [`StreamError::Released`] below the released mark, else, for bytes that never came, the error that ended the body.
    pub fn chunk_at(&self, offset: u64) -> io::Result<ChunkAt> {
        self.shared.lock().chunk_at(offset)
    }

    /// Bytes that have arrived so far, the released ones included.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "empty so far says nothing about a body that grows")]
    pub fn len(&self) -> u64 {
        self.shared.lock().len
    }

    /// Bytes held in memory: those that have arrived and are not released.
    #[must_use]
    pub fn held(&self) -> u64 {
        let inner = self.shared.lock();
        inner.held()
    }

    /// Offset below which everything was released.
    #[must_use]
    pub fn released(&self) -> u64 {
        self.shared.lock().released
    }

    /// A handle that releases for itself and its clones only, as long as it is there: bytes are given up when all such
    /// handles have given them up. What was released before is not there for it either.
    #[must_use]
    pub fn reader(&self) -> Self {
        let mut inner = self.shared.lock();
        let number = inner.next_mark;
        inner.next_mark += 1;
        let from = inner.released;
        inner.marks.insert(number, from);
        // A writer that is held up for one reader is not for several.
        let room = inner.room.take();
        drop(inner);
        room.into_iter().for_each(Waker::wake);
        let mark = Mark { shared: Arc::clone(&self.shared), number };
        Self { shared: Arc::clone(&self.shared), mark: Some(Arc::new(mark)) }
    }

    /// Whether both are handles on the same body.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until less than `limit` bytes are held, or several [readers](Self::reader) hold them, of whom none is held up
    /// for another. One waits at a time: whoever asks last is woken.
    pub fn poll_held_below(&self, cx: &mut Context<'_>, limit: u64) -> Poll<()> {
        let mut inner = self.shared.lock();
        if inner.held() < limit || inner.marks.len() > 1 {
            return Poll::Ready(());
        }
        inner.room = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the last byte has arrived and the writer said so.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.shared.lock().state, State::Finished)
    }

    /// Gives up everything before `offset`: of a [reader](Self::reader) for itself and its clones, else for whoever is no
    /// reader; a mark that never goes back. Memory is returned a whole chunk at a time, once no reader and nobody else
    /// holds that chunk. The mark stops at what has arrived.
    pub fn release(&self, offset: u64) {
        let mut inner = self.shared.lock();
        let offset = offset.min(inner.len);
        match &self.mark {
            Some(mark) => {
                inner.marks.entry(mark.number).and_modify(|at| *at = offset.max(*at));
            }
            None if inner.marks.is_empty() => inner.released = inner.released.max(offset),
            None => return,
        }
        self.shared.let_go(inner);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.marks.remove(&self.number);
        self.shared.let_go(inner);
    }
}

impl Source for UnitBody {
    /// Known once the body is finished.
    fn byte_len(&self) -> Option<u64> {
        let inner = self.shared.lock();
        matches!(inner.state, State::Finished).then_some(inner.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        if buf.is_empty() {
            return Ok(ReadAt::Bytes(0));
        }
        let mut filled = 0;
        while filled < buf.len() {
            // The lock is taken per chunk and never held over a copy, so a large read does not stop the writer.
            let bytes = match self.chunk_at(offset.saturating_add(filled as u64)) {
                Ok(ChunkAt::Bytes(bytes)) => bytes,
                // What was copied is reported first; the reason to stop comes with the next read.
                _ if filled > 0 => break,
                Ok(ChunkAt::Pending) => return Ok(ReadAt::Pending),
                Ok(ChunkAt::End) => return Ok(ReadAt::End),
                Err(error) => return Err(error),
            };
            let count = bytes.len().min(buf.len() - filled);
            buf[filled..filled + count].copy_from_slice(&bytes[..count]);
            filled += count;
        }
        Ok(ReadAt::Bytes(filled))
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        let mut inner = self.shared.lock();
        if range.is_empty() || range.start < inner.len || !matches!(inner.state, State::Growing) {
            return Poll::Ready(Ok(()));
        }
        inner.waiters.register(range.start, cx.waker());
        Poll::Pending
    }

    /// Waits for the end of the body.
    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        let mut inner = self.shared.lock();
        match &inner.state {
            State::Finished => Poll::Ready(Ok(Some(inner.len))),
            State::Failed(error) => Poll::Ready(Err(error())),
            State::Growing => {
                inner.waiters.register(u64::MAX, cx.waker());
                Poll::Pending
            }
        }
    }
}

impl UnitWriter {
    /// Appends a chunk, shared and not copied, and wakes those who wait for a byte of it. An empty one changes nothing.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut inner = self.shared.lock();
        let start = inner.len;
        inner.len += bytes.len() as u64;
        inner.chunks.push_back(Chunk { start, bytes });
        let end = inner.len;
        let woken = inner.waiters.take_below(end);
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Bytes pushed so far.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the writer asks where it stands, not whether anything is there")]
    pub fn len(&self) -> u64 {
        self.shared.lock().len
    }

    /// Whether every reader is gone, so that further bytes would be for nobody.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// The body is whole.
    pub fn finish(self) {
        self.shared.end(State::Finished);
    }

    /// The run is cut here: readers get what has arrived, then [`StreamError::Cut`].
    pub fn cut(self) {
        self.fail(StreamError::Cut);
    }

    /// The body cannot be completed: readers get what has arrived, then an [`io::ErrorKind::Other`] that carries a
    /// clone of `error`.
    pub fn fail<E: Error + Clone + Send + Sync + 'static>(self, error: E) {
        self.shared.end(State::Failed(Arc::new(move || io::Error::other(error.clone()))));
    }
}

impl Drop for UnitWriter {
    fn drop(&mut self) {
        self.shared.end(State::Failed(Arc::new(|| StreamError::Abandoned.into())));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held, and a half-done change is impossible: poison carries no news.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what all readers have released.
    fn let_go(&self, mut inner: MutexGuard<'_, Inner>) {
        let mut dropped = Vec::new();
        let all = inner.marks.values().min().copied().unwrap_or_default();
        inner.released = inner.released.max(all);
        while inner.chunks.front().is_some_and(|first| first.end() <= inner.released) {
            dropped.extend(inner.chunks.pop_front());
        }
        let room = inner.room.take_if(|_| !dropped.is_empty());
        drop(inner);
        room.into_iter().for_each(Waker::wake);
        // Freed here, outside the lock: a chunk may be megabytes that go back to the system.
        drop(dropped);
    }

    /// Ends the body once; a later end, such as the drop after `finish`, changes nothing.
    fn end(&self, state: State) {
        let mut inner = self.lock();
        if !matches!(inner.state, State::Growing) {
            return;
        }
        inner.state = state;
        let woken = inner.waiters.take_all();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn held(&self) -> u64 {
        self.chunks.front().map_or(0, |first| self.len - first.start)
    }

    fn chunk_at(&self, offset: u64) -> io::Result<ChunkAt> {
        if offset < self.released {
            return Err(StreamError::Released.into());
        }
        if offset >= self.len {
            return match &self.state {
                State::Growing => Ok(ChunkAt::Pending),
                State::Finished => Ok(ChunkAt::End),
                State::Failed(error) => Err(error()),
            };
        }
        let after = self.chunks.partition_point(|chunk| chunk.start <= offset);
        let chunk = &self.chunks[after - 1];
        let skipped = usize::try_from(offset - chunk.start).expect("a chunk is no longer than memory");
        Ok(ChunkAt::Bytes(chunk.bytes.slice(skipped..)))
    }
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Growing => f.write_str("Growing"),
            Self::Finished => f.write_str("Finished"),
            Self::Failed(error) => f.debug_tuple("Failed").field(&error()).finish(),
        }
    }
}

impl Shared {
    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.lock();
        f.debug_struct(name)
            .field("len", &inner.len)
            .field("released", &inner.released)
            .field("readers", &inner.marks.len())
            .field("chunks", &inner.chunks.len())
            .field("waiters", &inner.waiters.len())
            .field("state", &inner.state)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UnitBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("UnitBody", f)
    }
}

impl fmt::Debug for UnitWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.debug("UnitWriter", f)
    }
}
