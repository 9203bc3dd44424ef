//! Nothing that lets somebody in is ever written.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use kithara_net::retry::Patience;
use kithara_net::transport::ReqwestTransport;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::{Attempt, NetworkOptions, Proxy};
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::*;

/// Keeps all that is logged.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Page {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Everything a fetch writes: logs at the finest level, what the observer is told, errors with all causes, and `Debug`
/// of whatever comes out.
async fn written(client: &Client, request: Request) -> String {
    let page = Page::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(page.clone())
        .with_ansi(false)
        .finish();
    let told: Arc<Mutex<String>> = Arc::default();
    let hear = Arc::clone(&told);
    let observer = Arc::new(move |attempt: &Attempt| writeln!(hear.lock().unwrap(), "{attempt:?}").unwrap());
    let request = request.observer(observer);
    let mut out = format!("{client:?} {request:?}\n");
    let fetching = async {
        let mut response = client.fetch(request).await?;
        writeln!(out, "{response:?}").unwrap();
        while response.body.chunk().await?.is_some() {}
        Ok::<_, NetError>(())
    };
    if let Err(error) = fetching.with_subscriber(subscriber).await {
        writeln!(out, "{error} {error:?}").unwrap();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            writeln!(out, "{error} {error:?}").unwrap();
            cause = error.source();
        }
    }
    out + &told.lock().unwrap() + &String::from_utf8_lossy(&page.0.lock().unwrap())
}

const SECRETS: [&str; 8] = [
    "q-secret",
    "user-secret",
    "pass-secret",
    "header-secret",
    "cookie-secret",
    "redirect-secret",
    "proxy-secret",
    "fragment-secret",
];

#[track_caller]
fn check(written: &str) {
    for secret in SECRETS {
        assert!(!written.contains(secret), "{secret} in:\n{written}");
    }
    assert!(written.contains("/path"), "something was written:\n{written}");
}

fn request(url: &str) -> Request {
    let headers = HeaderMap::from_iter([
        (header::AUTHORIZATION, HeaderValue::from_static("Bearer header-secret")),
        (HeaderName::from_static("x-key"), HeaderValue::from_static("header-secret")),
    ]);
    get(url).headers(headers).patience(Patience::default())
}

fn options() -> NetworkOptions {
    NetworkOptions { cookies: true, ..NetworkOptions::default() }
}

#[tokio::test(start_paused = true)]
async fn neither_logs_nor_errors_nor_debug_show_secrets() {
    let url = "http://user-secret:pass-secret@h.example/path?sig=q-secret#fragment-secret";
    let there = "http://h.example/path2?sig=redirect-secret";
    let set_cookie = |reply: Reply| reply.header("set-cookie", "id=cookie-secret");
    let endings = [
        vec![Reply::status(503), Reply::resource(pattern(9000)).breaks_after(5000), Reply::resource(pattern(9000))],
        vec![set_cookie(Reply::status(403))],
        vec![Reply::redirect(302, "/path2?sig=redirect-secret")],
        vec![Reply::redirect(302, "file:///redirect-secret")],
        vec![set_cookie(Reply::resource(pattern(9000))).stalls_after(5000), Reply::status(503)],
    ];
    for replies in endings {
        let origin = ScriptedTransport::new().on(there, replies).otherwise(move |_| Reply::redirect(302, there));
        check(&written(&client_with(options(), &origin), request(url)).await);
    }
}

#[tokio::test]
async fn real_connections_show_no_secrets_either() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = refused.local_addr().unwrap().port();
    drop(refused);
    let proxied = |scheme| {
        let proxy = format!("{scheme}://proxy-secret:proxy-secret@127.0.0.1:{port}/");
        NetworkOptions { proxy: Proxy::Url(proxy.parse().unwrap()), ..options() }
    };
    for options in [options(), proxied("http"), proxied("socks5h")] {
        let transport = format!("{:?}", ReqwestTransport::new(&options).unwrap());
        assert!(!transport.contains("proxy-secret"), "{transport}");
        let client = Client::new(options).unwrap();
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://user-secret:pass-secret@127.0.0.1:{port}/path?sig=q-secret");
            check(&written(&client, request(&url).deadline(ms(300))).await);
        }
    }
}
