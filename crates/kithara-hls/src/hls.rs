//! Opening a session.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
};

use kithara_hls_core::{
    session::{Session, Stats, Status},
    time::{Now, Tick},
    timeline::TimestampMap,
};
use kithara_stream::SourceFactory;
use tokio::{
    sync::{broadcast, mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    HlsEvent,
    driver::{Driver, Parts},
    error::HlsError,
    interstitials::Interstitials,
    options::{HlsParams, parse_url},
    playlists::Brought,
    requests::Requests,
    session::{HlsSession, Shared},
    shelf::Shelf,
    source::HlsSource,
    standing::Standing,
    trace_file::TraceFile,
};

/// HTTP Live Streaming, as a kind of stream: `StreamSource::<Hls>::open(url, params)`.
#[derive(Debug)]
pub struct Hls;

/// Events that a slow listener may be behind before it misses some.
const EVENTS: usize = 256;
/// Orders that may wait for the driver.
const ORDERS: usize = 16;

impl Hls {
    /// Opens a session without a reader of bytes: for apps that take segments.
    ///
    /// # Errors
    /// The URL cannot be one of a stream, or the session cannot be set up. Whether anything is there shows when the first
    /// segment is asked for.
    pub fn session(url: &str, mut params: HlsParams) -> Result<HlsSession, HlsError> {
        let handle = kithara_fetch::runtime().map_err(|error| HlsError::Driver(error.to_string().into()))?;
        let url = parse_url(url)?;
        params.options.abr.check()?;
        let fetcher = params.share_fetcher()?;
        let HlsParams { options, no_store, cancel, resolver, trace, playlist, playlist_provenance, .. } = params;
        let options = Arc::new(options);
        let requests = Requests::new(fetcher, Arc::clone(&options), &url, no_store)?;
        let deciding = options.session(resolver.is_some(), requests.store_room());
        let now = Now::from(Tick::ZERO);
        let salt = RandomState::new().hash_one(0_u8);
        let trace = trace
            .map(|out| TraceFile::new(&url, &deciding, now, salt, out))
            .transpose()
            .map_err(|error| HlsError::Storage(crate::error::StorageError::new("writing the trace", error)))?;
        let (orders_in, orders) = mpsc::channel(ORDERS);
        let (events, first) = broadcast::channel(EVENTS);
        let (status, statuses) = watch::channel(Status::default());
        let (stats, numbers) = watch::channel(Stats::default());
        let (listed, listings) = watch::channel(None);
        let (timestamps, offsets) = watch::channel(TimestampMap::default());
        // A session that ends leaves the token of the application alone.
        let cancel = cancel.map_or_else(CancellationToken::new, |cancel| cancel.child_token());
        let shelf = Arc::new(Shelf::default());
        let shared = Shared {
            shelf: Arc::clone(&shelf),
            orders: orders_in,
            events: events.downgrade(),
            first_listener: Mutex::new(Some(first)),
            status: statuses,
            stats: numbers,
            listed: listings,
            interstitials: Interstitials::new(requests.clone()),
            timestamps: offsets,
            resolves_len: options.reader.resolve_sizes,
            cancel: cancel.clone(),
        };
        let driver = Driver::new(Parts {
            session: Session::new(url.clone(), deciding, now),
            standing: Standing::new(
                requests.lease(&url),
                requests.fetcher.playback_gate(),
                options.playback.buffer_goal,
            ),
            playlist: playlist.map(|playlist| Brought { playlist, provenance: playlist_provenance }),
            requests,
            resolver: resolver.map(|resolver| (resolver, url.clone())),
            shelf,
            orders,
            events,
            status,
            stats,
            listed,
            timestamps,
            trace,
            started: Instant::now(),
            cancel,
        });
        let span = tracing::info_span!("session", url = %kithara_fetch::net::RedactedUrl::new(&url));
        let (asked, strategy) = (options.abr.strategy, options.abr.resolved_strategy());
        span.in_scope(|| tracing::info!(?asked, ?strategy, "the rule of adaptation"));
        handle.spawn(driver.run().instrument(span));
        Ok(HlsSession::new(Arc::new(shared)))
    }
}

impl SourceFactory for Hls {
    type Params = HlsParams;
    type Source = HlsSource;
    type Event = HlsEvent;
    type Error = HlsError;

    async fn open(url: &str, params: HlsParams) -> Result<HlsSource, HlsError> {
        HlsSource::open(Hls::session(url, params)?).await
    }

    fn events(source: &HlsSource) -> broadcast::Receiver<HlsEvent> {
        source.session().events()
    }
}
