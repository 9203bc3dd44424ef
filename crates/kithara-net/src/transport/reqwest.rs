//! The transport over real connections: reqwest, with everything but connections switched off.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::{Uri, Version};
use hyper_util::client::proxy::matcher::Matcher;
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
/// Keeps connections for [`NetworkOptions::pool_idle`], decodes no content coding, and reads the platform's
/// certificates only when the first https URL is asked for, beside its connecting. It needs a tokio runtime when it
/// sends.
///
/// A body that is not read holds up no other one: over HTTP/2 at most 2 MiB of it are kept until it is.
pub struct ReqwestTransport {
    client: Client,
    /// For requests that may only reach public addresses: its resolver hides all others, so its pool holds no other
    /// connection. Made when it is first needed.
    guarded: OnceLock<Client>,
    opener: Opener,
    setup: Setup,
}

/// What a client is made from.
#[derive(Clone)]
struct Setup {
    tls: ClientConfig,
    verifier: Arc<LazyVerifier>,
    proxy: Option<reqwest::Proxy>,
    /// What reqwest reads from the environment by itself, to know which requests it sends through a proxy.
    system_proxy: Option<Arc<Matcher>>,
    connect_timeout: Duration,
    /// In which a body must move.
    stall: Duration,
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

    fn client_for(&self, reach: Reach, proxied: bool) -> Result<Client, WireError> {
        // A proxy resolves the names itself, and may well have a private address.
        if reach == Reach::Anywhere || proxied {
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

/// Shows nothing of what it is made from, for that holds the proxy's password.
impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport").finish_non_exhaustive()
    }
}

impl Transport for ReqwestTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let proxied = self.setup.is_proxied(&request.url);
        let client = match self.client_for(request.reach, proxied) {
            Ok(client) => client,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.load_certificates(&request.url);
        let origin = Origin::of(&request.url);
        let sent = client.get(request.url).headers(request.headers).send();
        // Spare connections are found by origin; a guarded request must not take one that was opened without guard.
        let origin = origin.filter(|_| request.reach == Reach::Anywhere);
        let sent = SpareConnections::for_origin(origin, sent);
        sent.map(move |sent| match sent {
            Ok(response) => Ok(wire_response(response, proxied)),
            Err(error) => Err(wire_error(error, ErrorKind::Disconnected, proxied)),
        })
        .boxed()
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
            Proxy::Url(url) => Some(usable_proxy(url)?),
            Proxy::System | Proxy::None => None,
        };
        Ok(Self {
            tls,
            verifier,
            proxy,
            system_proxy: (options.proxy == Proxy::System).then(|| Arc::new(Matcher::from_system())),
            connect_timeout: options.timeouts.connect,
            stall: options.timeouts.stall,
            pool_idle: options.pool_idle,
        })
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(Policy::none())
            .referer(false)
            // A request that an HTTP/2 server refuses unseen would be sent three times, beside the policy and its counts.
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.pool_idle)
            .http2_keep_alive_interval(self.stall * SILENCE.0 / SILENCE.1)
            .http2_keep_alive_timeout(self.stall)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            // Widespread slips of streaming servers, none of which makes a message ambiguous.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true);
        match (&self.proxy, &self.system_proxy) {
            (Some(proxy), _) => builder.proxy(proxy.clone()),
            (None, Some(_)) => builder,
            (None, None) => builder.no_proxy(),
        }
    }

    /// Whether a request for `url` goes through a proxy.
    fn is_proxied(&self, url: &Url) -> bool {
        let by_system = |matcher: &Arc<Matcher>| {
            let uri = url.as_str().parse();
            uri.is_ok_and(|uri| matcher.intercept(&uri).is_some())
        };
        self.proxy.is_some() || self.system_proxy.as_ref().is_some_and(by_system)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a proxy of this scheme cannot be used")]
struct UnknownProxy;

/// All requests through the proxy at `url`. reqwest connects directly where it does not know the scheme.
fn usable_proxy(url: &Url) -> Result<reqwest::Proxy, NetError> {
    let known = matches!(url.scheme(), "http" | "https" | "socks4" | "socks4a" | "socks5" | "socks5h");
    let asked = Uri::from_static("http://h/");
    if !known || Matcher::builder().all(url.as_str().to_owned()).build().intercept(&asked).is_none() {
        return Err(NetError::new(ErrorKind::Setup).caused_by(Arc::new(UnknownProxy)));
    }
    reqwest::Proxy::all(url.clone()).map_err(setup_error)
}

/// The part of the stall window after which a silent HTTP/2 connection with requests on it is asked whether it lives. It
/// has a whole window to answer.
///
/// A body that stalls takes an HTTP/1.1 connection with it, so that the next attempt gets another one. All requests share
/// an HTTP/2 connection, and one whose path is gone would get all attempts until TCP gives it up, after minutes.
const SILENCE: (u32, u32) = (3, 5);

/// Most bytes of one HTTP/2 body that nobody has read yet: so much memory each of them may take.
///
/// It is also all that can be under way at once, so it bounds the speed of a body by the time of a round trip. A window is
/// announced anew before half of it is used: 2 MiB carry at least 80 Mbit/s over 100 ms.
const STREAM_WINDOW: u32 = 2 << 20;

/// Most bytes of all bodies of an HTTP/2 connection that nobody has read yet: the largest there is (RFC 9113 section 6.9.1).
///
/// Bodies that are not read must not hold up those that are, and the windows of their streams already bound the memory.
/// This one is full only when 1023 of them are; servers allow some hundred at once.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

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

fn wire_response(response: reqwest::Response, proxied: bool) -> WireResponse {
    // The address of a proxy says nothing about the origin's.
    let remote = response.remote_addr().filter(|_| !proxied);
    let multiplexed = response.version() >= Version::HTTP_2;
    let (status, headers) = (response.status(), response.headers().clone());
    let broken = move |error| wire_error(error, ErrorKind::Truncated, proxied);
    let body = response.bytes_stream().map(move |chunk| chunk.map_err(broken));
    WireResponse { status, headers, body: body.boxed(), remote, multiplexed }
}

fn setup_error(error: reqwest::Error) -> NetError {
    NetError::new(ErrorKind::Setup).caused_by(Arc::new(error.without_url()))
}

/// Between the two stood a proxy, whose fault it may be.
#[derive(Debug, thiserror::Error)]
#[error("through a proxy")]
struct ThroughProxy(#[source] reqwest::Error);

/// What a reqwest error means; `broken` is the meaning of a connection that broke.
fn wire_error(error: reqwest::Error, broken: ErrorKind, proxied: bool) -> WireError {
    let error = error.without_url();
    let kind = if find::<NoPublicAddress>(&error).is_some() {
        ErrorKind::AddressRefused
    } else if find::<rustls::Error>(&error).is_some() {
        ErrorKind::Tls
    } else if error.is_dns() {
        ErrorKind::Dns
    } else if error.is_connect() {
        if error.is_timeout() { ErrorKind::ConnectTimeout } else { ErrorKind::Connect }
    } else if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) && broken == ErrorKind::Disconnected {
        ErrorKind::Protocol
    } else {
        broken
    };
    let wire = WireError::new(kind);
    if proxied { wire.with_source(ThroughProxy(error)) } else { wire.with_source(error) }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn transport() -> ReqwestTransport {
        ReqwestTransport::new(&NetworkOptions { proxy: Proxy::None, ..NetworkOptions::default() }).unwrap()
    }

    #[tokio::test]
    async fn certificates_are_read_for_the_first_https_url_only() {
        let transport = transport();
        transport.load_certificates(&Url::parse("http://h/").unwrap());
        assert!(!transport.setup.verifier.is_loaded());
        let first = transport.setup.verifier.load().map(std::ptr::from_ref).ok();
        let again = transport.setup.verifier.load().map(std::ptr::from_ref).ok();
        assert_eq!(first, again);
        assert!(transport.setup.verifier.is_loaded());
    }

    #[tokio::test]
    async fn private_addresses_of_a_name_are_hidden() {
        let hidden = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(hidden.is_err_and(|error| error.is::<NoPublicAddress>()));
    }
}
