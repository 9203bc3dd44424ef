//! The client: one per process is enough.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};

use http::HeaderValue;
use tracing::Instrument;
use url::Url;

use crate::cookies::Cookies;
use crate::origins::Origins;
use crate::transport::{ReqwestTransport, Transport};
use crate::{ErrorKind, NetError, NetworkOptions, Origin, RedactedUrl, Request, Response, fetch};

/// Fetches resources over HTTP. Cheap to clone: clones share connections, cookies and what is known of origins.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all fetches of a client share.
pub(crate) struct Shared {
    pub(crate) options: NetworkOptions,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) origins: Origins,
    /// Written by the hop that receives cookies, read by every hop.
    pub(crate) cookies: Option<Mutex<Cookies>>,
}

impl Client {
    /// A client that speaks real HTTP. Needs no runtime yet; its fetches need tokio with time and IO.
    ///
    /// Fails with [`ErrorKind::Setup`] when an option cannot be used: a proxy address, a root certificate, a user
    /// agent.
    pub fn new(options: NetworkOptions) -> Result<Self, NetError> {
        HeaderValue::from_str(&options.user_agent)
            .map_err(|error| NetError::new(ErrorKind::Setup).caused_by(Arc::new(error)))?;
        let transport = ReqwestTransport::new(&options)?;
        Ok(Self::with_transport(options, Arc::new(transport)))
    }

    /// A client on another transport. All options but those of connections (connect timeout, proxy, roots, idle time)
    /// apply; a user agent that is not a header value is left out.
    #[must_use]
    pub fn with_transport(options: NetworkOptions, transport: Arc<dyn Transport>) -> Self {
        let user_agent = HeaderValue::from_str(&options.user_agent).ok();
        let origins = Origins::new(options.breaker.clone());
        let cookies = options.cookies.then(Mutex::default);
        Self { shared: Arc::new(Shared { options, user_agent, transport, origins, cookies }) }
    }

    /// Whether `other` is a clone of this one.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// What it was told.
    #[must_use]
    pub fn options(&self) -> &NetworkOptions {
        &self.shared.options
    }

    /// Fetches one resource: resolves when the head of a good response is there, having repeated, waited and followed
    /// redirects as often as the options and the request allow. The body then arrives through [`Response::body`].
    ///
    /// Dropping the future or the response cancels the fetch.
    pub fn fetch(&self, request: Request) -> impl Future<Output = Result<Response, NetError>> + Send + use<> {
        let range = request.range.as_ref().map(tracing::field::debug);
        let span = tracing::debug_span!("fetch", url = %RedactedUrl::new(&request.url), range);
        fetch::fetch(Arc::clone(&self.shared), request, span.clone()).instrument(span)
    }

    /// Opens a connection to the origin of `url` ahead of the fetch that will use it.
    ///
    /// Saves that fetch the time of connecting when another one is already using the connection there is. A hint:
    /// failures are silent, and where one connection carries everything (HTTP/2) nothing is done.
    pub fn preconnect(&self, url: &Url) -> impl Future<Output = ()> + Send + use<> {
        let known = Origin::of(url).map(|origin| self.shared.origins.get(&origin));
        let wanted = known.is_some_and(|known| !known.is_multiplexed());
        let opening = wanted.then(|| self.shared.transport.preconnect(url.clone()));
        async move {
            if let Some(opening) = opening {
                opening.await;
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
