//! The fetcher: the store and the network joined.

use std::fmt;
use std::sync::Arc;

use kithara_assets::{AssetId, AssetStore, Partition, UnixMillis, UrlIdentity};
use kithara_net::Client;
use tokio::runtime::Handle;
use url::Url;

use crate::delivery::Seat;
use crate::flight::{Flight, ReaderId, Retained};
use crate::flights::{FlightKey, Flights};
use crate::request::Credentials;
use crate::scheduler::Scheduler;
use crate::transfer::{Transfer, allowed_end, wanted};
use crate::version::Version;
use crate::whole::Wholes;
use crate::{
    Delivery, FetchError, FetchErrorKind, FetchOptions, FetchRequest, PlaybackGate, Transfers, Whole, WholeRequest,
};

/// Brings resources, from the store or the network. Cheap to clone: clones share transfers and schedule, so a process needs one
/// ([`Fetcher::in_use`] finds it).
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

/// What all clones, deliveries and transfers of a fetcher share.
pub(crate) struct Shared {
    /// Whether it is for all who brought neither a client nor a store.
    pub(crate) is_common: bool,
    pub(crate) client: Client,
    pub(crate) store: Option<AssetStore>,
    pub(crate) options: FetchOptions,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) flights: Flights,
    pub(crate) wholes: Wholes,
    retained: Arc<Retained>,
}

impl Fetcher {
    /// A fetcher over `client` and, where there is one, `store`.
    #[must_use]
    pub fn new(client: Client, store: Option<AssetStore>, options: FetchOptions) -> Self {
        Self::made(client, store, options, false)
    }

    pub(crate) fn made(client: Client, store: Option<AssetStore>, options: FetchOptions, is_common: bool) -> Self {
        let shared = Shared {
            is_common,
            client,
            store,
            scheduler: Arc::new(Scheduler::new(options.per_origin)),
            flights: Flights::default(),
            wholes: Wholes::default(),
            retained: Arc::new(Retained::new(options.retain)),
            options,
        };
        Self { shared: Arc::new(shared) }
    }

    /// What something that was opened at `url` is stored and shared as. That is as `identity` says, unless nothing but equal
    /// options brings the users of this fetcher together, because none of them brought a client or a store
    /// ([`Fetcher::in_use`]): among strangers a signature is a right that others may not have, so there the whole URL counts.
    #[must_use]
    pub fn asset(&self, partition: &Partition, url: &Url, identity: &UrlIdentity) -> AssetId {
        let exact = UrlIdentity::exact();
        AssetId::for_url(partition, url, if self.shared.is_common { &exact } else { identity })
    }

    pub(crate) const fn over(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Begins to bring a resource, or joins whoever brings it already. Returns at once.
    ///
    /// Needs a tokio runtime with time and IO; without one the delivery fails with [`NoRuntime`](FetchErrorKind::NoRuntime).
    #[must_use = "a delivery that is dropped cancels its fetch"]
    pub fn fetch(&self, request: FetchRequest) -> Delivery {
        let seat = self.shared.take_seat(&request);
        Delivery::new(Arc::clone(&self.shared), request, seat)
    }

    /// Brings a small resource as one piece, or learns that it has not changed. Takes a [`FetchRequest`] or a [`WholeRequest`].
    ///
    /// Stored bytes are used as [`CacheUse`](crate::CacheUse) says; two who ask for the same at once send one request. Dropping the
    /// future cancels the fetch when nobody else waits for it.
    ///
    /// # Errors
    /// The network failed, the resource is larger than `max_len`, the deadline passed, or, for a fetch that may only use the store,
    /// it is not there.
    pub fn fetch_whole(
        &self,
        request: impl Into<WholeRequest>,
    ) -> impl Future<Output = Result<Whole, FetchError>> + Send + 'static {
        Wholes::fetch(Arc::clone(&self.shared), request.into())
    }

    /// Waits until the transfers counted by `transfers` have ended, and the store has what they brought. Deliveries should be dropped
    /// before: a transfer that is still read goes on.
    pub async fn settled(&self, transfers: &Transfers) {
        // In this order, for a flush has the store begin at once with what it would let wait for more.
        transfers.delivered().await;
        if let Some(store) = self.store()
            && let Err(error) = store.flush().await
        {
            tracing::debug!(%error, "not all is stored");
        }
        transfers.ended().await;
    }

    /// A new gate through which a playback tells downloads to stand still.
    #[must_use = "dropping a gate takes its word back"]
    pub fn playback_gate(&self) -> PlaybackGate {
        self.shared.scheduler.gate()
    }

    /// The time it is for this fetcher, by which stored bytes are old or not: that of its store, where it has one.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.shared.now()
    }

    /// Opens a connection to the origin of `url` ahead of the fetch that will use it; see [`Client::preconnect`].
    pub fn preconnect(&self, url: &Url) -> impl Future<Output = ()> + Send + 'static {
        self.shared.client.preconnect(url)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The store, where there is one.
    #[must_use]
    pub fn store(&self) -> Option<&AssetStore> {
        self.shared.store.as_ref()
    }
}

impl Shared {
    fn now(&self) -> UnixMillis {
        self.store.as_ref().map_or_else(|| self.options.clock.now(), AssetStore::now)
    }

    /// A seat at the transfer that brings `request`: one under way, else a new one. The flag says which.
    fn take_seat(self: &Arc<Self>, request: &FetchRequest) -> Result<(Seat, bool), FetchError> {
        check(request)?;
        let Some(key) = flight_key(request) else {
            return self.start(request, None).map(|seat| (seat, false));
        };
        let mut begun = None;
        let (flight, reader, joined) =
            self.flights.join_or_enter(key, &wanted(request), request.class, request.belief, || {
                let (flight, reader) = self.new_flight(request);
                begun = Some(Arc::clone(&flight));
                (flight, reader)
            });
        let seat = Seat { shared: Arc::clone(self), key: Some(key), flight, reader };
        seat.count(request);
        if let Some(flight) = begun {
            self.spawn(&flight, request, None)?;
        }
        Ok((seat, joined))
    }

    /// A seat at a new transfer that nobody else joins. With `expected`, bytes of another version fail it.
    pub(crate) fn start(
        self: &Arc<Self>,
        request: &FetchRequest,
        expected: Option<Version>,
    ) -> Result<Seat, FetchError> {
        let (flight, reader) = self.new_flight(request);
        let seat = Seat { shared: Arc::clone(self), key: None, flight, reader };
        seat.count(request);
        self.spawn(&seat.flight, request, expected)?;
        Ok(seat)
    }

    fn new_flight(&self, request: &FetchRequest) -> (Arc<Flight>, ReaderId) {
        let range = wanted(request);
        let mut flight = Flight::new(range.clone(), self.options.window.max(1), &self.scheduler, &self.retained);
        flight.credentials = Some(Credentials::of(request));
        flight.allowed_end = allowed_end(request);
        flight.begun = self.now();
        let reader = flight.join(&range, request.class).expect("a new flight covers the range it was made for");
        (Arc::new(flight), reader)
    }

    /// Runs the transfer on a task of its own: driven from a blocking thread it would change threads at every chunk.
    fn spawn(
        self: &Arc<Self>,
        flight: &Arc<Flight>,
        request: &FetchRequest,
        expected: Option<Version>,
    ) -> Result<(), FetchError> {
        let landing = Landing { shared: Arc::clone(self), flight: Arc::clone(flight), key: flight_key(request) };
        let runtime = Handle::try_current().map_err(|_| FetchError::new(FetchErrorKind::NoRuntime))?;
        let transfer = Transfer::new(self, flight, request.clone(), expected);
        let cancel = flight.cancel.clone();
        runtime.spawn(async move {
            cancel.run_until_cancelled(transfer.run()).await;
            drop(landing);
        });
        Ok(())
    }
}

/// Ends a flight whatever becomes of its task: it may be dropped with its runtime at any point.
struct Landing {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    key: Option<FlightKey>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.flights.remove(key, &self.flight);
        }
        self.flight.land(Err(FetchError::new(FetchErrorKind::NoRuntime)));
        self.flight.end();
    }
}

/// What others must ask for to share a transfer of `request`; `None` where it is shared with nobody.
fn flight_key(request: &FetchRequest) -> Option<FlightKey> {
    Some((request.key?, request.cache))
}

fn check(request: &FetchRequest) -> Result<(), FetchError> {
    match &request.range {
        Some(range) if range.is_empty() => Err(FetchError::new(FetchErrorKind::InvalidRequest)),
        _ => Ok(()),
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("store", &self.shared.store)
            .field("options", &self.shared.options)
            .field("scheduler", &self.shared.scheduler)
            .finish_non_exhaustive()
    }
}
