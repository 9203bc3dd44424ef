//! Small resources, brought as one piece.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared as SharedFuture, WeakShared};
use kithara_assets::{AssetsError, AtomicResource, Meta, ResourceKey};
use kithara_net::{Delivery, ErrorKind, Origin, Response, Validators};
use tokio::time::Instant;

use crate::fetcher::Shared;
use crate::head::{can_keep_base, meta_of, validators_of};
use crate::locate::locate;
use crate::plan::{WholePlan, plan_whole};
use crate::request::Credentials;
use crate::{CacheUse, FetchError, FetchErrorKind, Head, Provider, WholeRequest};

/// A resource that was brought as one piece.
#[derive(Clone, Debug)]
pub struct Whole {
    /// What is known of it.
    pub head: Head,
    /// Its bytes; `None` where it is still what [`WholeRequest::unless`] describes.
    pub bytes: Option<Bytes>,
}

type Outcome = Result<Whole, FetchError>;
type Joint = SharedFuture<BoxFuture<'static, Outcome>>;
/// Each with a number that tells it from later ones of its key.
type Table = HashMap<WholeKey, UnderWay>;

struct UnderWay {
    number: u64,
    credentials: Credentials,
    fetch: WeakShared<BoxFuture<'static, Outcome>>,
}

/// The fetches of whole resources that are under way.
#[derive(Default)]
pub(crate) struct Wholes {
    /// Entered by who asks first, taken out when the fetch ends. Nothing is awaited or dropped under this lock.
    table: Mutex<Table>,
    next: AtomicU64,
}

/// What fetches must share for one answer to serve both.
#[derive(Clone, PartialEq, Eq, Hash)]
struct WholeKey {
    key: ResourceKey,
    cache: CacheUse,
    unless: Option<Validators>,
    gzip: bool,
    max_len: u64,
    deadline: Option<Duration>,
}

/// Takes a fetch out of the table when it ends or is dropped.
struct Entry {
    shared: Arc<Shared>,
    key: WholeKey,
    number: u64,
}

impl Wholes {
    pub(crate) fn fetch(shared: Arc<Shared>, request: WholeRequest) -> impl Future<Output = Outcome> + Send + 'static {
        let (deadline, url) = (request.request.deadline, request.request.url.clone());
        let (fetch, theirs) = match WholeKey::of(&request) {
            Some(key) => Self::join(&shared, key, request.clone()),
            None => (obtain(Arc::clone(&shared), request.clone()).boxed().shared(), None),
        };
        let begun = Instant::now();
        let fetch = async move {
            // A fetch that was under way runs out of time before who joined it.
            let has_time = |error: &FetchError| {
                error.kind() == FetchErrorKind::Deadline && deadline.is_some_and(|time| begun.elapsed() < time)
            };
            match (fetch.await, theirs) {
                // Refused to whoever asked first: asked once more with what this request has.
                (Err(error), Some(theirs)) if theirs.failed_alone(&request.request, &error) || has_time(&error) => {
                    obtain(shared, request).await
                }
                (outcome, _) => outcome,
            }
        };
        async move {
            let outcome = match deadline {
                None => fetch.await,
                Some(time) => tokio::time::timeout(time, fetch)
                    .await
                    .unwrap_or_else(|_| Err(FetchError::new(FetchErrorKind::Deadline))),
            };
            outcome.map_err(|error| error.at(&url))
        }
    }

    /// A fetch under way, with what it was begun with, or a new one.
    fn join(shared: &Arc<Shared>, key: WholeKey, request: WholeRequest) -> (Joint, Option<Credentials>) {
        let wholes = &shared.wholes;
        let number = wholes.next.fetch_add(1, Ordering::Relaxed);
        let entry = Entry { shared: Arc::clone(shared), key: key.clone(), number };
        let credentials = Credentials::of(&request.request);
        let begun = obtain(Arc::clone(shared), request);
        let mine = async move {
            let _entry = entry;
            begun.await
        };
        let mine = mine.boxed().shared();
        let mut table = wholes.lock();
        let theirs = table.get(&key).and_then(|it| Some((it.fetch.upgrade()?, Some(it.credentials.clone()))));
        if let Some(theirs) = theirs {
            drop(table);
            return theirs;
        }
        table.extend(mine.downgrade().map(|fetch| (key, UnderWay { number, credentials, fetch })));
        drop(table);
        (mine, None)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WholeKey {
    fn of(request: &WholeRequest) -> Option<Self> {
        Some(Self {
            key: request.request.key?,
            cache: request.request.cache,
            unless: request.unless.clone(),
            gzip: request.gzip,
            max_len: request.request.max_len,
            deadline: request.request.deadline,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut table = self.shared.wholes.lock();
        if table.get(&self.key).is_some_and(|it| it.number == self.number) {
            table.remove(&self.key);
        }
    }
}

/// Brings the resource from where the request and the store say it may come.
async fn obtain(shared: Arc<Shared>, request: WholeRequest) -> Outcome {
    if request.request.range.is_some() {
        return Err(FetchError::new(FetchErrorKind::InvalidRequest));
    }
    let errand = Errand::new(&shared, &request);
    let (stored, fault) = errand.read();
    let now = shared.options.clock.now();
    let meta = stored.as_ref().map(|(_, meta)| meta);
    match plan_whole(request.request.cache, meta, request.unless.is_some(), now) {
        WholePlan::Miss => Err(FetchError::offline_miss(fault)),
        WholePlan::Stored => Ok(errand.stored(stored)),
        WholePlan::Confirm => errand.ask(stored).await,
        WholePlan::Fetch => errand.ask(None).await,
    }
}

type Stored = Option<(Bytes, Meta)>;

/// One whole resource that is being brought.
struct Errand<'a> {
    shared: &'a Shared,
    request: &'a WholeRequest,
    resource: Option<AtomicResource>,
    begun: Instant,
}

impl<'a> Errand<'a> {
    fn new(shared: &'a Shared, request: &'a WholeRequest) -> Self {
        let key = request.request.key.filter(|_| request.request.cache != CacheUse::Bypass);
        let resource = shared.store.as_ref().zip(key).map(|(store, key)| store.atomic(&key));
        Self { shared, request, resource, begun: Instant::now() }
    }

    /// What the store has, and why it has nothing if it should.
    fn read(&self) -> (Stored, Option<AssetsError>) {
        let Some(resource) = self.resource.as_ref().filter(|_| self.request.request.cache.reads()) else {
            return (None, None);
        };
        match resource.read() {
            Ok(stored) => (stored.and_then(|(bytes, meta)| Some((self.opened(bytes)?, meta))), None),
            Err(error) => {
                tracing::debug!(%error, "the store cannot be read");
                (None, Some(error))
            }
        }
    }

    /// What was sealed, or what never was.
    fn opened(&self, bytes: Bytes) -> Option<Bytes> {
        let Some(seal) = &self.request.seal else { return Some(bytes) };
        let opened = seal.open(&bytes);
        if opened.is_none() {
            tracing::debug!("what is stored was sealed with another secret");
        }
        opened
    }

    /// Hands bytes over to the store. Nobody waits for it, and what keeps the store from writing is the store's own event.
    fn put(&self, resource: &AtomicResource, bytes: &Bytes, meta: &Meta) {
        match &self.request.seal {
            None => drop(resource.write(bytes, meta)),
            Some(seal) => match seal.seal(bytes) {
                Some(sealed) => drop(resource.write(&sealed, meta)),
                None => tracing::debug!("a resource cannot be sealed, and is not stored"),
            },
        }
    }

    fn stored(&self, stored: Stored) -> Whole {
        let (bytes, meta) = stored.unwrap_or_default();
        let head = Head::of_store(&meta, &self.request.request.url, Some(bytes.len() as u64));
        Whole { head, bytes: Some(bytes) }
    }

    /// Asks the network: whether `stored` is still right where there is something, else for all of it.
    async fn ask(&self, stored: Stored) -> Outcome {
        let request = &self.request.request;
        let located = locate(request).await?;
        let mut turn = self.shared.scheduler.enter(Origin::of(&located.url), request.class);
        turn.wait().await;
        let delivery = if self.request.gzip { Delivery::WholeInflated } else { Delivery::Whole };
        let mut wire = request.on_the_wire(located.url, located.headers).delivery(delivery);
        if let Some(deadline) = request.deadline {
            wire = wire.deadline(deadline.saturating_sub(self.begun.elapsed()));
        }
        let of_stored = stored.as_ref().map(|(_, meta)| validators_of(meta));
        if let Some(validators) = self.request.unless.clone().or(of_stored) {
            wire = wire.unless_matches(validators);
        }
        let Response { head, body } = self.shared.client.fetch(wire).await?;
        if !head.not_modified {
            let bytes = body.collect(request.max_len).await?;
            self.keep(&bytes, &head);
            let len = Some(bytes.len() as u64);
            let head = Head { len, total_len: len, ..Head::of_network(&head) };
            return Ok(Whole { head, bytes: Some(bytes) });
        }
        match stored {
            Some((bytes, meta)) => Ok(self.confirmed(bytes, meta, &head)),
            None if self.request.unless.is_some() => Ok(Whole { head: Head::of_network(&head), bytes: None }),
            // Nothing was asked about that could have been left unmodified.
            None => Err(FetchError::new(FetchErrorKind::Net(ErrorKind::Protocol))),
        }
    }

    /// Stores what was brought, if it may be stored.
    fn keep(&self, bytes: &Bytes, head: &kithara_net::Head) {
        let allowed = !head.no_store || self.shared.options.keep_no_store || self.request.keep_no_store;
        let Some(resource) = self.resource.as_ref().filter(|_| self.request.request.cache.writes() && allowed) else {
            return;
        };
        // What nothing ended may be cut.
        let is_worth_it = self.request.store_if.as_ref().map_or(head.has_end, |is_worth_it| is_worth_it(bytes));
        if !is_worth_it {
            return;
        }
        if !can_keep_base(head, &self.request.request.url) {
            tracing::debug!(
                "a document that was found at a secret address is not stored, for what it names could not be found again"
            );
            return;
        }
        let mut meta = meta_of(head, &self.request.request.url, &self.shared.options.clock);
        let kept = self.request.store_as.as_ref().map_or_else(|| bytes.clone(), |store_as| store_as(bytes));
        if kept != *bytes {
            (meta.validators, meta.fresh_until) = (kithara_assets::Validators::default(), None);
        }
        self.put(resource, &kept, &meta);
    }

    /// The stored bytes, right as of now, and fresh for as long as the origin says today.
    fn confirmed(&self, bytes: Bytes, mut meta: Meta, head: &kithara_net::Head) -> Whole {
        let renewed = meta_of(head, &self.request.request.url, &self.shared.options.clock);
        let writable = self.resource.as_ref().filter(|_| self.request.request.cache.writes());
        if let Some(resource) = writable.filter(|_| renewed.is_fresh(self.shared.options.clock.now())) {
            (meta.stored_at, meta.fresh_until) = (renewed.stored_at, renewed.fresh_until);
            self.put(resource, &bytes, &meta);
        }
        let len = Some(bytes.len() as u64);
        let stored = Head::of_store(&meta, &self.request.request.url, len);
        let answer = Head::of_network(head);
        let provider = Provider::Confirmed;
        let content_type = stored.content_type;
        let validators = stored.validators;
        let head = Head { provider, not_modified: false, len, total_len: len, content_type, validators, ..answer };
        Whole { head, bytes: Some(bytes) }
    }
}

impl fmt::Debug for Wholes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wholes").field("under_way", &self.lock().len()).finish()
    }
}
