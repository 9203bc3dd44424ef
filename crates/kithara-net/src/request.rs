//! What to fetch, within which bounds.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::address::Provenance;
use crate::redact::HeaderNames;
use crate::retry::Patience;
use crate::{Authorizer, ErrorKind, Origin, RedactedUrl, Validators};

/// The part of a resource that is wanted (RFC 9110 section 14.1.2). Offsets are absolute, ends are exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestRange {
    /// These bytes; fewer when the resource ends before. An empty range is refused.
    Bounded(Range<u64>),
    /// Everything from this offset on.
    From(u64),
    /// As [`From`](Self::From), of a resource that is still growing: asked for up to the byte position that RFC 8673
    /// recommends, so that the origin knows that what is not there yet is wanted, too. The end of the body is the end.
    Growing(u64),
    /// The last so many bytes; the whole resource when it is shorter.
    Suffix(u64),
}

/// How the body is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Delivery {
    /// As it arrives. A broken body is resumed at the byte it lost. This is the default.
    #[default]
    Streamed,
    /// Only when all of it is there: a broken body is thrown away and fetched anew, so that two versions of a changing
    /// document are never mixed. For small resources; the client holds the body in memory, at most `max_len` bytes.
    Whole,
    /// As [`Whole`](Self::Whole), and the origin may send it gzip-coded; it is inflated under the size cap and
    /// [`NetworkOptions::max_inflate_ratio`](crate::NetworkOptions::max_inflate_ratio). Excludes a range.
    WholeInflated,
}

/// One failed attempt, as told to the observer of a [`Request`].
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The URL of the hop that failed.
    pub url: RedactedUrl,
    /// Which attempt of this fetch it was, from 1.
    pub number: u32,
    /// What went wrong.
    pub kind: ErrorKind,
    /// The HTTP status, when there was one.
    pub status: Option<u16>,
    /// Absolute offset of the byte the body had reached.
    pub position: u64,
    /// The wait before the next attempt; `None` when there will be none and the fetch fails.
    pub wait: Option<Duration>,
}

/// Told of each failed attempt, on the task that fetches: it must return at once.
pub(crate) type AttemptObserver = Arc<dyn Fn(&Attempt) + Send + Sync>;

/// A GET request with its bounds; built with [`Request::new`] and refined by the methods, each of which names its
/// default.
///
/// `Debug` shows neither queries nor header values.
#[derive(Clone)]
#[must_use = "a request does nothing until it is fetched"]
pub struct Request {
    pub(crate) url: Url,
    pub(crate) range: Option<RequestRange>,
    pub(crate) headers: Vec<(Origin, HeaderMap)>,
    pub(crate) accept: Option<HeaderValue>,
    pub(crate) max_len: u64,
    pub(crate) deadline: Option<Duration>,
    pub(crate) patience: Option<Patience>,
    pub(crate) may_block: Option<Duration>,
    pub(crate) delivery: Delivery,
    pub(crate) unless: Option<Validators>,
    pub(crate) provided: Option<Validators>,
    pub(crate) named_by: Provenance,
    pub(crate) authorizer: Option<Arc<dyn Authorizer>>,
    pub(crate) observer: Option<AttemptObserver>,
}

impl Request {
    /// Default of [`max_len`](Self::max_len): 256 MiB.
    pub const DEFAULT_MAX_LEN: u64 = 256 << 20;

    /// A request for all of `url`, streamed, with the defaults of the methods below. Userinfo in the URL is sent as
    /// Basic credentials to its origin.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            range: None,
            headers: Vec::new(),
            accept: None,
            max_len: Self::DEFAULT_MAX_LEN,
            deadline: None,
            patience: None,
            may_block: None,
            delivery: Delivery::Streamed,
            unless: None,
            provided: None,
            named_by: Provenance::App,
            authorizer: None,
            observer: None,
        }
    }

    /// The URL to fetch.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Fetch only this part. Default: everything.
    pub fn range(mut self, range: RequestRange) -> Self {
        self.range = Some(range);
        self
    }

    /// Adds a header for the origin of the URL. It is not sent to any other origin: a redirect that leaves drops it,
    /// and a redirect that comes back does not restore it. Default: none.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers(HeaderMap::from_iter([(name, value)]))
    }

    /// Adds headers for the origin of the URL; see [`header`](Self::header).
    pub fn headers(self, headers: HeaderMap) -> Self {
        match Origin::of(&self.url) {
            Some(origin) => self.headers_for(origin, headers),
            None => self,
        }
    }

    /// Adds headers that belong to `origin`, wherever this request goes: they are sent at the first hops of the request
    /// for as long as these stay on that origin. So the credentials of a document's origin can be attached to
    /// everything the document names, and reach only what lives where it does.
    pub fn headers_for(mut self, origin: Origin, headers: HeaderMap) -> Self {
        self.headers.push((origin, headers));
        self
    }

    /// Sets the `Accept` header, which is no secret and goes to every hop. Default: `*/*`.
    pub fn accept(mut self, value: HeaderValue) -> Self {
        self.accept = Some(value);
        self
    }

    /// Most bytes the body may have; more fail with [`ErrorKind::TooLarge`], announced ones before the first byte.
    /// Counts inflated bytes, too. Default: [`DEFAULT_MAX_LEN`](Self::DEFAULT_MAX_LEN).
    pub fn max_len(mut self, bytes: u64) -> Self {
        self.max_len = bytes;
        self
    }

    /// Time for the whole fetch, retries and body included; then [`ErrorKind::Deadline`]. Default: none.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// How long to keep trying; see [`Patience`]. Default: none, that is the few quick attempts of the
    /// [`RetryPolicy`](crate::retry::RetryPolicy).
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The origin may hold its answer back until what is asked for has been made, and pause in its body while more is
    /// made, for at most this long: neither the first-byte nor the stall timeout strikes before. Default: it may not.
    pub fn may_block(mut self, time: Duration) -> Self {
        self.may_block = Some(time);
        self
    }

    /// How the body is handed over. Default: [`Delivery::Streamed`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Asks for the resource only if it is no longer the one these validators describe (`If-None-Match`,
    /// `If-Modified-Since`); else the response has [`not_modified`](crate::Head::not_modified) and no body. Default:
    /// always.
    pub fn unless_matches(mut self, validators: Validators) -> Self {
        self.unless = Some(validators);
        self
    }

    /// Asks for a range of the very resource these validators describe (`If-Range`); if it is another one by now, the
    /// fetch fails with [`ErrorKind::Changed`]. For filling holes of something partly held. Default: any version.
    pub fn provided_matches(mut self, validators: Validators) -> Self {
        self.provided = Some(validators);
        self
    }

    /// Who named this URL, for [`AddressPolicy::PublicOnly`](crate::address::AddressPolicy::PublicOnly). Default:
    /// [`Provenance::App`].
    pub fn named_by(mut self, provenance: Provenance) -> Self {
        self.named_by = provenance;
        self
    }

    /// Asked for headers at every hop of every attempt. Default: that of the [`NetworkOptions`](crate::NetworkOptions).
    pub fn authorizer(mut self, authorizer: Arc<dyn Authorizer>) -> Self {
        self.authorizer = Some(authorizer);
        self
    }

    /// Told of each failed attempt. Default: nobody.
    pub fn observer(mut self, observer: AttemptObserver) -> Self {
        self.observer = Some(observer);
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Request");
        out.field("url", &RedactedUrl::new(&self.url)).field("range", &self.range);
        for (origin, headers) in &self.headers {
            out.field("headers", &(format_args!("{origin}"), HeaderNames(headers)));
        }
        out.field("max_len", &self.max_len)
            .field("deadline", &self.deadline)
            .field("patience", &self.patience)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}
