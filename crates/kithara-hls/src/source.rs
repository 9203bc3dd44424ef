//! The flat view: one variant as one file of bytes.

use std::{
    fmt, io,
    ops::Range,
    sync::Arc,
    task::{Context, Poll},
};

use kithara_hls_core::session::{Demand, MediaId, ReaderId, Track, View};
use kithara_stream::{ChunkAt, ReadAt, Source};

use crate::{
    error::HlsError,
    session::{HlsSession, Shared},
};

/// A reader's handle on the bytes of one variant: its initialization sections and segments in playlist order, decrypted.
///
/// Every handle has a cursor of its own. What lies behind all cursors is let go; whoever goes back asks for it again.
/// [`HlsSource::session`] gives everything else.
pub struct HlsSource {
    session: HlsSession,
    cursor: Cursor,
    media: MediaId,
}

impl HlsSource {
    /// Opens a cursor at the beginning and waits until the stream is known.
    pub(crate) async fn open(session: HlsSession) -> Result<Self, HlsError> {
        let shared = Arc::clone(session.shared());
        let reader = shared.shelf.register(Demand::Open { view: View::Flat, track: Track::Main });
        let cursor = Cursor { shared, reader };
        let media = std::future::poll_fn(|cx| cursor.shared.shelf.poll_attached(reader, cx)).await?;
        Ok(Self { session, cursor, media })
    }

    /// A second cursor at the beginning of the same session.
    ///
    /// # Errors
    /// The session is over.
    pub async fn another(&self) -> Result<Self, HlsError> {
        Self::open(self.session.clone()).await
    }

    /// The session: events, status, seeks by time, segments.
    #[must_use]
    pub fn session(&self) -> &HlsSession {
        &self.session
    }

    /// The variant or rendition that is read. It changes only as long as no byte of it could be had.
    #[must_use]
    pub fn media(&self) -> MediaId {
        self.shelf().media(self.cursor.reader).unwrap_or(self.media)
    }

    /// The chunk that holds the byte at `offset`, from that byte on, without a copy.
    ///
    /// # Errors
    /// As [`Source::read_at`].
    pub fn chunk_at(&self, offset: u64) -> io::Result<ChunkAt> {
        self.shelf().chunk_at(self.cursor.reader, offset)
    }

    fn shelf(&self) -> &crate::shelf::Shelf {
        &self.cursor.shared.shelf
    }
}

/// A place among the session's readers, given back on drop: also when opening is given up.
struct Cursor {
    shared: Arc<Shared>,
    reader: ReaderId,
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.shared.shelf.unregister(self.reader);
    }
}

impl fmt::Debug for HlsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsSource").field("media", &self.media()).finish_non_exhaustive()
    }
}

impl Source for HlsSource {
    fn byte_len(&self) -> Option<u64> {
        self.shelf().len(self.cursor.reader)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.shelf().read_at(self.cursor.reader, offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        if range.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.shelf().poll_ready(self.cursor.reader, cx, range.start)
    }

    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        if !self.cursor.shared.resolves_len {
            return Poll::Ready(Ok(self.byte_len()));
        }
        self.shelf().poll_len(self.cursor.reader, cx)
    }
}
