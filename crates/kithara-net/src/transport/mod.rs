//! The wire: one HTTP exchange and nothing more.
//!
//! A [`Transport`] sends one request and gives back one response. It follows no redirect, repeats nothing, decodes
//! nothing and sets no timeout but that of its own connect: all of that is decided above it, by the same code for every
//! transport. Ours are [`ReqwestTransport`], which is what [`Client::new`](crate::Client::new) uses, and
//! [`ScriptedTransport`](scripted::ScriptedTransport), an origin in memory for tests.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, StatusCode};
use url::Url;

use crate::error::Cause;
use crate::redact::HeaderNames;
use crate::{ErrorKind, RedactedUrl};

mod reqwest;
pub mod scripted;
mod spare;
mod tls;

pub use self::reqwest::ReqwestTransport;

/// Sends single HTTP GET requests.
///
/// Dropping the returned future or the body of its response cancels the exchange and frees its connection.
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` and resolves when the head of the response is there.
    ///
    /// Any status is a response, not an error. The body holds exactly the bytes of the message (after removing chunked
    /// framing), still in whatever content coding the headers name; a message that ends before its length or last chunk
    /// is an error item where the transport can tell.
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>>;

    /// Opens a connection to the origin of `url` ahead of the request that will use it. A hint: it may do nothing, and
    /// nobody is told of failures. By default it does nothing.
    fn preconnect(&self, url: Url) -> BoxFuture<'static, ()> {
        drop(url);
        Box::pin(async {})
    }
}

/// One GET request as it goes out.
#[derive(Clone)]
pub struct WireRequest {
    /// Where to. Always http or https; userinfo was moved into the headers.
    pub url: Url,
    /// All headers but those of the connection itself (`Host`, framing).
    pub headers: HeaderMap,
    /// The addresses this request may be sent to. A transport that resolves names must hold the resolved address
    /// against it; literal addresses were checked before.
    pub reach: Reach,
}

impl fmt::Debug for WireRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireRequest")
            .field("url", &RedactedUrl::new(&self.url))
            .field("headers", &HeaderNames(&self.headers))
            .field("reach", &self.reach)
            .finish()
    }
}

/// Which addresses a request may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Any address.
    Anywhere,
    /// Only addresses of the public internet: not loopback, private, link-local or otherwise special ones.
    Public,
}

/// The body of a response: chunks as they arrive. After an error item nothing follows.
pub type WireBody = BoxStream<'static, Result<Bytes, WireError>>;

/// The head of a response and its body to come.
pub struct WireResponse {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// All headers of the response.
    pub headers: HeaderMap,
    /// The body as it arrives.
    pub body: WireBody,
    /// The address that answered; `None` when it is not known, for instance behind a proxy.
    pub remote: Option<SocketAddr>,
    /// Whether the connection carries many exchanges at once (HTTP/2), so that a second one would be of no use.
    pub multiplexed: bool,
}

impl fmt::Debug for WireResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireResponse")
            .field("status", &self.status)
            .field("headers", &HeaderNames(&self.headers))
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// A failed exchange. Its text and its sources must hold no secret: no URL query, no header value.
#[derive(Clone, Debug)]
pub struct WireError {
    kind: ErrorKind,
    source: Option<Cause>,
}

impl WireError {
    /// An exchange that failed with `kind`; usually one of [`Dns`](ErrorKind::Dns), [`Connect`](ErrorKind::Connect),
    /// [`ConnectTimeout`](ErrorKind::ConnectTimeout), [`Tls`](ErrorKind::Tls),
    /// [`Disconnected`](ErrorKind::Disconnected), [`Protocol`](ErrorKind::Protocol),
    /// [`AddressRefused`](ErrorKind::AddressRefused) and, in a body, [`Truncated`](ErrorKind::Truncated).
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// The same with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn into_cause(self) -> Option<Cause> {
        self.source
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for WireError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
