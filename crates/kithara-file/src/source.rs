//! A reader's handle.

use std::{
    fmt, io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use kithara_fetch::{Head, net::RedactedUrl};
use kithara_stream::{ReadAt, Source};
use tokio::{
    runtime::Handle,
    sync::{broadcast, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    FileEvent,
    driver::{Begun, Driver},
    requests::Requests,
    shelf::Shelf,
    version::Version,
};

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 256;

/// A progressive file as random access: one reader's handle. See [`Source`] for what it promises.
///
/// Bytes are fetched around where it is read, and kept in the store. The length is known as soon as the origin says it;
/// of a file without one it is known once the end was read, and seeks relative to the end are not possible before.
///
/// Dropping it ends its transfers; what they brought is stored.
pub struct FileSource {
    shelf: Arc<Shelf>,
    requests: Requests,
    head: Arc<Head>,
    runtime: Handle,
    events: broadcast::WeakSender<FileEvent>,
    /// Taken by the first listener, which so hears what happened since opening.
    first_listener: Mutex<Option<broadcast::Receiver<FileEvent>>>,
    cancel: CancellationToken,
    /// Closed when the driver has ended.
    ended: watch::Receiver<()>,
}

/// The beginning of a file, as far as it was looked at.
pub(crate) struct Beginning {
    pub(crate) head: Head,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) begun: Begun,
}

impl FileSource {
    pub(crate) fn new(requests: Requests, beginning: Beginning, runtime: &Handle) -> Self {
        let Beginning { head, chunks, begun } = beginning;
        let shelf = Arc::new(Shelf::new(requests.read_ahead, head.total_len));
        let mut offset = 0;
        for chunk in chunks {
            let len = chunk.len() as u64;
            shelf.push(offset, chunk);
            offset += len;
        }
        let from_cache = head.from_cache();
        Self::start(requests, shelf, Arc::new(head), runtime, |driver| driver.take_over(begun, from_cache))
    }

    fn start(
        requests: Requests,
        shelf: Arc<Shelf>,
        head: Arc<Head>,
        runtime: &Handle,
        prepare: impl FnOnce(&mut Driver),
    ) -> Self {
        let (events, first) = broadcast::channel(EVENTS);
        let (alive, ended) = watch::channel(());
        let cancel = CancellationToken::new();
        let weak = events.downgrade();
        let mut driver = Driver::new(requests.clone(), Arc::clone(&shelf), Version::of(&head), events, cancel.clone());
        prepare(&mut driver);
        let span = tracing::info_span!("file", url = %requests.shown_url());
        let begun = requests.clone();
        let work = async move {
            driver.run().await;
            begun.settled().await;
            drop(alive);
        };
        runtime.spawn(work.instrument(span));
        Self {
            shelf,
            requests,
            head,
            runtime: runtime.clone(),
            events: weak,
            first_listener: Mutex::new(Some(first)),
            cancel,
            ended,
        }
    }

    /// Another handle to the same file, for a second reader that moves independently. It begins at the first byte, has a
    /// buffer and events of its own, and reads the same version or fails with [`FileError::Changed`](crate::FileError).
    #[must_use]
    pub fn another(&self) -> Self {
        let shelf = Arc::new(Shelf::new(self.requests.read_ahead, self.shelf.len()));
        Self::start(self.requests.again(), shelf, Arc::clone(&self.head), &self.runtime, |_| {})
    }

    /// What was opened, without secrets.
    #[must_use]
    pub fn url(&self) -> RedactedUrl {
        self.requests.shown_url()
    }

    /// What the origin, or the store, said when the file was opened: final URL, content type, validators.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// A new listener to its events. The first one ever taken also gets what happened since opening. Closed when the
    /// source is.
    pub fn events(&self) -> broadcast::Receiver<FileEvent> {
        let first = self.first_listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.or_else(|| Some(self.events.upgrade()?.subscribe())).unwrap_or_else(|| broadcast::channel(1).1)
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Ends its transfers and waits until they have ended and the store has what they brought. Reads of what is not in memory fail with
    /// [`FileError::Closed`](crate::FileError::Closed) from now on.
    pub async fn close(&self) {
        self.cancel.cancel();
        let mut ended = self.ended.clone();
        // It never sends; the channel is closed when the driver is gone.
        while ended.changed().await.is_ok() {}
    }
}

impl Source for FileSource {
    fn byte_len(&self) -> Option<u64> {
        self.shelf.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.shelf.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.shelf.poll_ready(cx, &range)
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource").field("url", &self.url()).field("len", &self.shelf.len()).finish_non_exhaustive()
    }
}
