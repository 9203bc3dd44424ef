//! TLS and HTTP/2 on loopback, with a certificate made for the occasion.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kithara_net::retry::Patience;
use kithara_net::{ErrorKind, NetworkOptions, Proxy, Timeouts};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server that answers everything with the HTTP version it was asked in, and `/large` with [`LARGE`] bytes.
struct Server {
    url: String,
    certificate: Vec<u8>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(protocols: &[&str]) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().to_vec();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone().into()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/path?sig=1", listener.local_addr().unwrap().port());
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&connections)));
        Self { url, certificate, connections }
    }

    fn options(&self) -> NetworkOptions {
        NetworkOptions { extra_roots: vec![self.certificate.clone()], proxy: Proxy::None, ..NetworkOptions::default() }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// More than any window of a single stream.
const LARGE: usize = 3 << 20;

async fn serve(listener: TcpListener, tls: TlsAcceptor, connections: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let tls = tls.clone();
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let answer = service_fn(|request: http::Request<Incoming>| async move {
                tokio::time::sleep(ms(20)).await;
                let large = request.uri().path() == "/large";
                let body = if large { "x".repeat(LARGE) } else { format!("{:?}", request.version()) };
                Ok::<_, Infallible>(http::Response::new(body))
            });
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

#[tokio::test]
async fn http_2_carries_everything_over_one_connection() {
    let server = Server::start(&["h2", "http/1.1"]).await;
    let client = Client::new(server.options()).unwrap();
    assert_eq!(fetch(&client, get(&server.url)).await.unwrap(), "HTTP/2.0");
    client.preconnect(&server.url.parse().unwrap()).await;
    let all = (0..8).map(|_| fetch(&client, get(&server.url)));
    for body in futures_util::future::join_all(all).await {
        assert_eq!(body.unwrap(), "HTTP/2.0");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn bodies_that_nobody_reads_hold_up_no_other_one() {
    let server = Server::start(&["h2"]).await;
    let timeouts = Timeouts { stall: secs(2), ..Timeouts::default() };
    let client = Client::new(NetworkOptions { timeouts, ..server.options() }).unwrap();
    let large =
        || get(&server.url.replace("/path", "/large")).patience(Patience { attempts: 1, ..Patience::default() });
    let mut paused = Vec::new();
    for _ in 0..6 {
        paused.push(client.fetch(large()).await.unwrap());
    }
    for _ in 0..2 {
        assert_eq!(fetch(&client, large()).await.unwrap().len(), LARGE);
    }
    for response in paused {
        assert_eq!(response.body.collect(u64::MAX).await.unwrap().len(), LARGE, "and each goes on where it is read");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn http_1_is_spoken_where_there_is_no_other() {
    let server = Server::start(&["http/1.1"]).await;
    let client = Client::new(server.options()).unwrap();
    client.preconnect(&server.url.parse().unwrap()).await;
    for _ in 0..3 {
        assert_eq!(fetch(&client, get(&server.url)).await.unwrap(), "HTTP/1.1");
    }
    assert_eq!(server.connections(), 1, "the one opened ahead");
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_at_once() {
    let server = Server::start(&["http/1.1"]).await;
    let client = Client::new(NetworkOptions { extra_roots: Vec::new(), ..server.options() }).unwrap();
    let error = client.fetch(get(&server.url)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Tls, 1));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let server = Server::start(&["http/1.1"]).await;
    let client = Client::new(server.options()).unwrap();
    let error = client.fetch(get(&server.url.replace("localhost", "127.0.0.1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls);
}

#[tokio::test]
async fn a_root_that_is_no_certificate_is_said_when_it_is_needed() {
    let server = Server::start(&["http/1.1"]).await;
    let client = Client::new(NetworkOptions { extra_roots: vec![b"junk".to_vec()], ..server.options() }).unwrap();
    assert_eq!(fetch_error(&client, get(&server.url)).await, ErrorKind::Tls);
}
