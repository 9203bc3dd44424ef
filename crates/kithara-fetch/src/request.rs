//! What is wanted, and at whose cost.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use kithara_assets::{ResourceKey, UnixMillis};
use kithara_net::address::Provenance;
use kithara_net::retry::Patience;
use kithara_net::{Attempt, Authorizer, Origin, RedactedUrl, Request, Validators};
use url::Url;

use crate::{FetchError, Transfers, UrlResolver};

/// How urgent a fetch is, the most urgent first. At each origin a fetch waits only for those that are at least as urgent, and in
/// the order they came among its own class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A reader stands still for it: a seek, a start, a key.
    Demand,
    /// What will be played next.
    #[default]
    Playback,
    /// What may be played later.
    Prefetch,
    /// What is kept for another day. Stands still while any playback is below its goal (see
    /// [`PlaybackGate`](crate::PlaybackGate)), and lets the disk set its pace.
    Download,
}

/// What the store may do for a fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CacheUse {
    /// Stored bytes are used, what is fetched is stored. A whole resource ([`Fetcher::fetch_whole`](crate::Fetcher::fetch_whole)) is
    /// used while it is fresh, and asked for conditionally afterwards.
    #[default]
    ReadWrite,
    /// As `ReadWrite`, and a stored whole resource is used however old it is: to start at once and revalidate behind.
    StoredFirst,
    /// As `ReadWrite`, but nothing is stored.
    ReadOnly,
    /// Nothing stored is used; what is fetched is stored.
    WriteOnly,
    /// Neither: the fetch shares its bytes with others of its kind while it lasts, and that is all.
    Bypass,
    /// Only the store, however old. What is not there is [`OfflineMiss`](crate::FetchErrorKind::OfflineMiss).
    OfflineOnly,
}

impl CacheUse {
    pub(crate) const fn reads(self) -> bool {
        !matches!(self, Self::WriteOnly | Self::Bypass)
    }

    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::ReadWrite | Self::StoredFirst | Self::WriteOnly)
    }
}

/// Which stored bytes are used without asking the origin. The others are used once it has confirmed them, and fetched again where it
/// cannot, for want of validators. Without meaning for whole resources ([`Fetcher::fetch_whole`](crate::Fetcher::fetch_whole)), which are
/// confirmed once they are not fresh any more, and for [`CacheUse::OfflineOnly`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Belief {
    /// All, however old: what stands behind the name does not change. So it is with media.
    #[default]
    All,
    /// Those that were stored at this moment or later, and older ones while the origin calls them fresh. For names that a later
    /// resource may be given, as those of a live stream are to the next one's.
    SinceOrFresh(UnixMillis),
    /// Those that were stored at this moment or later: then something else was given the name, whatever the origin said before.
    Since(UnixMillis),
}

type Observer = Arc<dyn Fn(&Attempt) + Send + Sync>;
type StoreAs = Arc<dyn Fn(&Bytes) -> Bytes + Send + Sync>;
type StoreIf = Arc<dyn Fn(&Bytes) -> bool + Send + Sync>;

/// One resource, or a part of one, that is wanted. Made by [`FetchRequest::new`], refined by its fields:
///
/// ```
/// use kithara_fetch::{FetchRequest, Priority};
///
/// let request = FetchRequest {
///     range: Some(1_000..5_000),
///     class: Priority::Prefetch,
///     ..FetchRequest::new("https://cdn.example/a.ts?token=secret".parse().unwrap())
/// };
/// assert!(!format!("{request:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct FetchRequest {
    /// Where it is.
    pub url: Url,
    /// What it is called, in the store and among the fetches under way. `None`: it is not stored and shared with nobody.
    pub key: Option<ResourceKey>,
    /// The bytes that are wanted, by their offsets in the resource; an end of `u64::MAX` means its end. A resource that ends
    /// earlier delivers less. Default: all.
    pub range: Option<Range<u64>>,
    /// Most bytes to deliver; more fail with [`TooLarge`](kithara_net::ErrorKind::TooLarge). Default: 256 MiB.
    pub max_len: u64,
    /// How urgent it is. Default: [`Priority::Playback`].
    pub class: Priority,
    /// What the store may do for it. Default: [`CacheUse::ReadWrite`].
    pub cache: CacheUse,
    /// Which stored bytes are used without a question. Default: [`Belief::All`].
    pub belief: Belief,
    /// Stored bytes become readable for others piece by piece rather than at the end: for large files that are read here and
    /// there. Default: no.
    pub piecewise: bool,
    /// Time for all of it, from the call to the last byte; then [`Deadline`](crate::FetchErrorKind::Deadline). Default: none.
    pub deadline: Option<Duration>,
    /// How long to keep trying while nothing arrives. Default: none, the few quick attempts of the client's policy.
    pub patience: Option<Patience>,
    /// The origin may hold its answer back until what is wanted has been made, and pause while more is made, for at most
    /// this long. Such a fetch waits for no turn, for its origin would keep it from others; a range that ends at `u64::MAX` is
    /// asked for as one of a resource that is still growing (RFC 8673). Default: it may not.
    pub may_block: Option<Duration>,
    /// Headers, each for the origin it belongs to and sent to no other. Default: none.
    pub headers: Vec<(Origin, HeaderMap)>,
    /// The `Accept` header. Default: the client's.
    pub accept: Option<HeaderValue>,
    /// Who named the URL, for the client's address policy. Default: the app.
    pub named_by: Provenance,
    /// Asked for headers at every hop. Default: the client's.
    pub authorizer: Option<Arc<dyn Authorizer>>,
    /// Asked for the URL before each request: for apps that sign every URL. The key stays. Default: nobody.
    pub resolver: Option<Arc<dyn UrlResolver>>,
    /// Told of each failed attempt; must return at once. Default: nobody.
    pub observer: Option<Observer>,
    /// Counts its transfer, for who waits until all of them have ended. Default: nobody does.
    pub transfers: Option<Transfers>,
}

impl FetchRequest {
    /// All of the resource at `url`, with the defaults of the fields: not stored, for it has no key yet.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            key: None,
            range: None,
            max_len: Request::DEFAULT_MAX_LEN,
            class: Priority::default(),
            cache: CacheUse::default(),
            belief: Belief::default(),
            piecewise: false,
            deadline: None,
            patience: None,
            may_block: None,
            headers: Vec::new(),
            accept: None,
            named_by: Provenance::default(),
            authorizer: None,
            resolver: None,
            observer: None,
            transfers: None,
        }
    }

    /// The request as it goes to the network, to `url` with `headers` for it.
    pub(crate) fn on_the_wire(&self, url: Url, headers: HeaderMap) -> Request {
        let mut request = Request::new(url).max_len(self.max_len).named_by(self.named_by).headers(headers);
        for (origin, headers) in &self.headers {
            request = request.headers_for(origin.clone(), headers.clone());
        }
        if let Some(accept) = &self.accept {
            request = request.accept(accept.clone());
        }
        if let Some(patience) = self.patience {
            request = request.patience(patience);
        }
        if let Some(time) = self.may_block {
            request = request.may_block(time);
        }
        if let Some(authorizer) = &self.authorizer {
            request = request.authorizer(Arc::clone(authorizer));
        }
        match &self.observer {
            Some(observer) => request.observer(Arc::clone(observer)),
            None => request,
        }
    }
}

impl fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchRequest")
            .field("url", &RedactedUrl::new(&self.url))
            .field("key", &self.key)
            .field("range", &self.range)
            .field("class", &self.class)
            .field("cache", &self.cache)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What a request is let in with. Whoever shares a transfer shares that of the request that began it.
#[derive(Clone)]
pub(crate) struct Credentials {
    url: Url,
    headers: Vec<(Origin, HeaderMap)>,
    /// Whether the application is asked for more at each request.
    asks: bool,
}

impl Credentials {
    pub(crate) fn of(request: &FetchRequest) -> Self {
        let asks = request.authorizer.is_some() || request.resolver.is_some();
        Self { url: request.url.clone(), headers: request.headers.clone(), asks }
    }

    /// Whether `error`, which a request with these met, says nothing about `request`: it was refused, and the other may not be.
    pub(crate) fn failed_alone(&self, request: &FetchRequest, error: &FetchError) -> bool {
        let other = Self::of(request);
        let differ = self.url != other.url || self.headers != other.headers || self.asks || other.asks;
        differ && matches!(error.status(), Some(401 | 403 | 404 | 410))
    }
}

/// A small resource that is wanted as one piece: a playlist, a key. Made from a [`FetchRequest`] without a range.
#[derive(Clone)]
pub struct WholeRequest {
    /// Where it is and how it is fetched.
    pub request: FetchRequest,
    /// What the caller already has: if that is still what the origin has, the answer is "not modified" instead of bytes. Default:
    /// nothing; then what the store has is asked about.
    pub unless: Option<Validators>,
    /// The origin may send it gzip-coded; it is inflated under `max_len` and the client's ratio cap. For text. Default: no.
    pub gzip: bool,
    /// What to store instead of the bytes, for resources with secrets in them. Bytes that it changes are stored without validators,
    /// since they are not what the origin has, and are never fresh: the origin is asked as long as there is one. Default: the bytes
    /// themselves.
    pub store_as: Option<StoreAs>,
    /// Whether bytes are worth storing, where an answer may be another thing than what was asked for: a page that asks to log in, say;
    /// or a part of it, where nothing but its connection ended it ([`Head::has_end`](crate::Head::has_end)). Default: whatever comes
    /// with a good status and an end is.
    pub store_if: Option<StoreIf>,
    /// How the bytes are closed in the store, and opened again. What cannot be opened counts as not stored. Such a resource should
    /// have a key in the store of its own, which nobody uses without the seal. Default: they are stored as they are.
    pub seal: Option<Arc<dyn Seal>>,
    /// Whether it is stored although the origin marks it `no-store`, as with [`FetchOptions::keep_no_store`](crate::FetchOptions).
    /// Default: no.
    pub keep_no_store: bool,
}

/// Makes bytes unreadable in the store for whoever has not the same secret.
pub trait Seal: Send + Sync {
    /// What to store of `bytes`; `None` where they cannot be sealed, and then nothing is stored.
    fn seal(&self, bytes: &[u8]) -> Option<Bytes>;

    /// The bytes that were sealed; `None` where `stored` is not what [`Seal::seal`] made with the same secret.
    fn open(&self, stored: &[u8]) -> Option<Bytes>;
}

impl From<FetchRequest> for WholeRequest {
    fn from(request: FetchRequest) -> Self {
        Self { request, unless: None, gzip: false, store_as: None, store_if: None, seal: None, keep_no_store: false }
    }
}

impl fmt::Debug for WholeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeRequest")
            .field("request", &self.request)
            .field("unless", &self.unless)
            .field("gzip", &self.gzip)
            .field("sealed", &self.seal.is_some())
            .finish_non_exhaustive()
    }
}
