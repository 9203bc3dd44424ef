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
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server that answers everything with the HTTP version it was asked in, and `/large` with [`LARGE`] bytes.
pub(super) struct Server {
    pub(super) url: String,
    certificate: Vec<u8>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(super) async fn start(protocols: &[&str]) -> Self {
        let (server, listener, tls) = Self::listen(protocols).await;
        tokio::spawn(serve(listener, tls, Arc::clone(&server.connections)));
        server
    }

    /// A server that does nothing yet.
    async fn listen(protocols: &[&str]) -> (Self, TcpListener, TlsAcceptor) {
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
        (Self { url, certificate, connections }, listener, TlsAcceptor::from(Arc::new(config)))
    }

    pub(super) fn options(&self) -> NetworkOptions {
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

/// Stands before the server at a port. Once the path is `gone`, nothing passes over the first connection any more; others
/// live. Answers with its port.
async fn relay(server: u16, gone: watch::Receiver<bool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            let (mut gone, mortal) = (gone.clone(), std::mem::take(&mut is_first));
            tokio::spawn(async move {
                let cut = async { gone.wait_for(|gone| *gone).await.is_ok() };
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut, if mortal => std::future::pending().await,
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_connection_of_many_whose_path_is_gone_is_left_for_another_one() {
    let server = Server::start(&["h2"]).await;
    let (path, gone) = watch::channel(false);
    let own = get(&server.url).url().port().unwrap();
    let url = server.url.replace(&own.to_string(), &relay(own, gone).await.to_string());
    let timeouts = Timeouts { first_byte: ms(500), stall: ms(500), ..Timeouts::default() };
    let client = Client::new(NetworkOptions { timeouts, ..server.options() }).unwrap();
    assert_eq!(fetch(&client, get(&url)).await.unwrap(), "HTTP/2.0");
    path.send(true).unwrap();
    let patience = Patience { attempts: 4, ..Patience::default() };
    assert_eq!(fetch(&client, get(&url).patience(patience)).await.unwrap(), "HTTP/2.0");
    assert_eq!(server.connections(), 2);
}

/// Refuses every request of HTTP/2 connections unseen (RFC 9113 section 8.7), and counts them.
async fn refuse(listener: TcpListener, tls: TlsAcceptor, requests: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut stream = tls.accept(stream).await.unwrap();
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.unwrap();
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let [_, high, low, kind, flags, id @ ..] = head;
            let mut payload = vec![0; usize::from(high) << 8 | usize::from(low)];
            stream.read_exact(&mut payload).await.unwrap();
            match (kind, flags) {
                (SETTINGS, 0) => stream.write_all(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]).await.unwrap(),
                (HEADERS, _) => {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let refusal = [&[0, 0, 4, RST_STREAM, 0], &id[..], &[0, 0, 0, REFUSED_STREAM]].concat();
                    stream.write_all(&refusal).await.unwrap();
                }
                _ => {}
            }
        }
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const REFUSED_STREAM: u8 = 7;

#[tokio::test]
async fn a_request_that_is_refused_unseen_is_repeated_by_the_policy_alone() {
    let (server, listener, tls) = Server::listen(&["h2"]).await;
    let requests = Arc::new(AtomicUsize::new(0));
    tokio::spawn(refuse(listener, tls, Arc::clone(&requests)));
    let client = Client::new(server.options()).unwrap();
    let error = client.fetch(get(&server.url)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Disconnected, 4));
    assert_eq!(requests.load(Ordering::SeqCst), 4);
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
