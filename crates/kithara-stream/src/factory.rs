use std::{
    fmt, io,
    ops::{Deref, Range},
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::broadcast;

use crate::{ReadAt, Source};

/// A kind of stream that is opened by URL: HLS, a progressive file, or an app's own.
pub trait SourceFactory: Sized + 'static {
    /// How to open: options and shared parts.
    type Params: Send;
    /// What opening gives: the first reader's handle, with whatever else the kind of stream offers (seeks by time,
    /// status, ...).
    type Source: Source;
    /// What the stream reports while it lives.
    type Event: Clone + Send + 'static;
    /// Why opening fails.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Opens `url`. The future may be dropped at any time; nothing is left behind.
    ///
    /// # Errors
    /// The URL is not one (of this kind), or the stream cannot be opened.
    fn open(url: &str, params: Self::Params) -> impl Future<Output = Result<Self::Source, Self::Error>> + Send;

    /// A new listener to the events of `source`. The first one ever taken also gets what happened since opening, as far
    /// as the channel's capacity goes.
    fn events(source: &Self::Source) -> broadcast::Receiver<Self::Event>;
}

/// An opened stream: a [`Source`] for readers, with its events, and with everything its own kind offers by dereference.
///
/// ```
/// # use kithara_stream::{BytesSource, Source, SourceFactory, StreamSource, SyncReader};
/// # use std::{convert::Infallible, io::Read};
/// # use tokio::sync::broadcast;
/// # struct Clip;
/// # impl SourceFactory for Clip {
/// #     type Params = ();
/// #     type Source = BytesSource;
/// #     type Event = ();
/// #     type Error = Infallible;
/// #     async fn open(url: &str, (): ()) -> Result<BytesSource, Infallible> {
/// #         Ok(BytesSource::from(url.as_bytes().to_vec()))
/// #     }
/// #     fn events(_: &BytesSource) -> broadcast::Receiver<()> {
/// #         broadcast::channel(1).1
/// #     }
/// # }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let source = StreamSource::<Clip>::open("clip:one", ()).await?;
/// let mut events = source.events();
/// let mut reader = SyncReader::new(source);
/// let mut bytes = Vec::new();
/// reader.read_to_end(&mut bytes)?;
/// # assert_eq!(bytes, b"clip:one");
/// # let _ = events.try_recv();
/// # Ok(()) }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
pub struct StreamSource<F: SourceFactory> {
    source: F::Source,
}

impl<F: SourceFactory> StreamSource<F> {
    /// Opens `url`, a string or anything that lends one, such as a parsed URL.
    ///
    /// # Errors
    /// Those of [`SourceFactory::open`]; a string that is no URL is one of them.
    pub async fn open(url: impl AsRef<str>, params: F::Params) -> Result<Self, F::Error> {
        let source = F::open(url.as_ref(), params).await?;
        Ok(Self { source })
    }

    /// A new listener to the stream's events; see [`SourceFactory::events`]. It lives on when the source moves into a
    /// reader, and is closed when the stream ends.
    pub fn events(&self) -> broadcast::Receiver<F::Event> {
        F::events(&self.source)
    }

    /// The opened stream itself.
    pub fn into_inner(self) -> F::Source {
        self.source
    }
}

impl<F: SourceFactory> Deref for StreamSource<F> {
    type Target = F::Source;

    fn deref(&self) -> &F::Source {
        &self.source
    }
}

impl<F: SourceFactory> fmt::Debug for StreamSource<F>
where
    F::Source: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamSource").field(&self.source).finish()
    }
}

impl<F: SourceFactory> Source for StreamSource<F> {
    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.source.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, range)
    }

    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        self.source.poll_len(cx)
    }

    fn wait_range(&self, range: Range<u64>, limit: Option<Duration>) -> io::Result<()> {
        self.source.wait_range(range, limit)
    }
}
