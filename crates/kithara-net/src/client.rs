//! The client: one per process is enough.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use url::Url;

use crate::transport::Transport;
use crate::{ErrorKind, NetError, NetworkOptions, Request, Response};

/// Fetches resources over HTTP. Cheap to clone: clones share connections, cookies and what is known of origins.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
}

impl Client {
    /// A client that speaks real HTTP. Needs no runtime yet; its fetches need tokio with time and IO.
    pub fn new(options: NetworkOptions) -> Result<Self, NetError> {
        drop(options);
        Err(NetError::new(ErrorKind::Setup))
    }

    /// A client on another transport. All options but those of connections (proxy, roots, idle time) apply.
    #[must_use]
    pub fn with_transport(options: NetworkOptions, transport: Arc<dyn Transport>) -> Self {
        drop(options);
        Self { transport }
    }

    /// Fetches one resource: resolves when the head of a good response is there, having repeated, waited and followed redirects
    /// as often as the options and the request allow. The body then arrives through [`Response::body`].
    ///
    /// Dropping the future or the response cancels the fetch.
    pub fn fetch(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, NetError>> + Send + 'static {
        drop(request);
        std::future::ready(Err(NetError::new(ErrorKind::Setup)))
    }

    /// Opens a connection to the origin of `url` ahead of the fetch that will use it.
    ///
    /// Saves that fetch the time of connecting when another one is already using the connection there is. A hint: failures
    /// are silent, and where one connection carries everything (HTTP/2) nothing is done.
    pub fn preconnect(&self, url: &Url) -> impl Future<Output = ()> + Send + 'static {
        self.transport.preconnect(url.clone())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
