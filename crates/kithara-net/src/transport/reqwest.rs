//! The transport over real connections: reqwest, with everything but connections switched off.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::Version;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;
use url::Url;

use super::spare::{Opener, SpareConnections};
use super::tls::{self, LazyVerifier};
use super::{Reach, Transport, WireError, WireRequest, WireResponse};
use crate::address::is_public;
use crate::{ErrorKind, NetError, NetworkOptions, Origin, Proxy};

/// Real HTTP/1.1 and HTTP/2 over TCP and TLS.
///
/// Keeps connections for [`NetworkOptions::pool_idle`], decodes no content coding, and reads the platform's certificates
/// only when the first https URL is asked for, beside its connecting. It needs a tokio runtime when it sends.
#[derive(Debug)]
pub struct ReqwestTransport {
    client: Client,
    /// For requests that may only reach public addresses: its resolver hides all others, so its pool holds no other
    /// connection. Made when it is first needed.
    guarded: OnceLock<Client>,
    opener: Opener,
    setup: Setup,
}

/// What a client is made from.
#[derive(Clone, Debug)]
struct Setup {
    tls: ClientConfig,
    verifier: Arc<LazyVerifier>,
    proxy: Option<reqwest::Proxy>,
    system_proxy: bool,
    connect_timeout: Duration,
    pool_idle: Duration,
}

impl ReqwestTransport {
    /// A transport by the connection options: connect timeout, proxy, extra roots, idle time.
    pub fn new(options: &NetworkOptions) -> Result<Self, NetError> {
        let setup = Setup::new(options)?;
        let spares = SpareConnections::default();
        let client = setup.builder().connector_layer(spares.taking()).build().map_err(setup_error)?;
        let opener =
            Opener::new(setup.builder().connector_layer(spares.storing()).build().map_err(setup_error)?, spares);
        Ok(Self { client, guarded: OnceLock::new(), opener, setup })
    }

    fn client_for(&self, reach: Reach) -> Result<Client, WireError> {
        if reach == Reach::Anywhere {
            return Ok(self.client.clone());
        }
        if let Some(client) = self.guarded.get() {
            return Ok(client.clone());
        }
        let client = self.setup.builder().dns_resolver(Arc::new(PublicOnly)).build();
        let client = client.map_err(|error| WireError::new(ErrorKind::Setup).with_source(error.without_url()))?;
        Ok(self.guarded.get_or_init(|| client).clone())
    }

    /// Reads the certificates on another thread while the connection is being made, the first time.
    fn load_certificates(&self, url: &Url) {
        if url.scheme() == "https" && !self.setup.verifier.is_loaded() {
            let verifier = Arc::clone(&self.setup.verifier);
            // A failure is kept, and reported by the handshake that needs the certificates.
            tokio::task::spawn_blocking(move || verifier.load().is_ok());
        }
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let client = match self.client_for(request.reach) {
            Ok(client) => client,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.load_certificates(&request.url);
        let origin = Origin::of(&request.url);
        let sent = client.get(request.url).headers(request.headers).send();
        // Spare connections are found by origin; a guarded request must not take one that was opened without guard.
        let origin = origin.filter(|_| request.reach == Reach::Anywhere);
        let sent = SpareConnections::for_origin(origin, sent);
        sent.map(|sent| sent.map(wire_response).map_err(|error| wire_error(error, ErrorKind::Disconnected))).boxed()
    }

    fn preconnect(&self, url: Url) -> BoxFuture<'static, ()> {
        self.load_certificates(&url);
        self.opener.open(url)
    }
}

impl Setup {
    fn new(options: &NetworkOptions) -> Result<Self, NetError> {
        let failed = |error: rustls::Error| NetError::new(ErrorKind::Setup).caused_by(Arc::new(error));
        let (tls, verifier) = tls::config(&options.extra_roots).map_err(failed)?;
        let proxy = match &options.proxy {
            Proxy::Url(url) => Some(reqwest::Proxy::all(url.clone()).map_err(setup_error)?),
            Proxy::System | Proxy::None => None,
        };
        Ok(Self {
            tls,
            verifier,
            proxy,
            system_proxy: options.proxy == Proxy::System,
            connect_timeout: options.timeouts.connect,
            pool_idle: options.pool_idle,
        })
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.pool_idle)
            // Widespread slips of streaming servers, none of which makes a message ambiguous.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true);
        match (&self.proxy, self.system_proxy) {
            (Some(proxy), _) => builder.proxy(proxy.clone()),
            (None, true) => builder,
            (None, false) => builder.no_proxy(),
        }
    }
}

/// Resolves names to their public addresses only.
#[derive(Debug)]
struct PublicOnly;

#[derive(Debug, thiserror::Error)]
#[error("the name leads to no public address")]
struct NoPublicAddress;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let public: Vec<_> = found.into_iter().filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn wire_response(response: reqwest::Response) -> WireResponse {
    let remote = response.remote_addr();
    let multiplexed = response.version() >= Version::HTTP_2;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes_stream().map(|chunk| chunk.map_err(|error| wire_error(error, ErrorKind::Truncated)));
    WireResponse { status, headers, body: body.boxed(), remote, multiplexed }
}

fn setup_error(error: reqwest::Error) -> NetError {
    NetError::new(ErrorKind::Setup).caused_by(Arc::new(error.without_url()))
}

/// What a reqwest error means; `broken` is the meaning of a connection that broke.
fn wire_error(error: reqwest::Error, broken: ErrorKind) -> WireError {
    let error = error.without_url();
    let kind = if find::<NoPublicAddress>(&error).is_some() {
        ErrorKind::AddressRefused
    } else if find::<rustls::Error>(&error).is_some() {
        ErrorKind::Tls
    } else if error.is_dns() {
        ErrorKind::Dns
    } else if error.is_connect() {
        if error.is_timeout() { ErrorKind::ConnectTimeout } else { ErrorKind::Connect }
    } else {
        broken
    };
    WireError::new(kind).with_source(error)
}

/// The first error of type `T` among `error` and its causes, also inside IO errors, which hide what they hold.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}
