//! What every transport must do, played on each of ours.

use std::sync::Arc;

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::transport::{Reach, ReqwestTransport, Transport, WireRequest, WireResponse};
use kithara_net::{ErrorKind, NetworkOptions, Proxy};
use kithara_origin::{At, Ending, Fault, Origin, Redirect, Response, Rule, Site};

use super::*;

const LEN: usize = 10_000;

/// A transport before an origin that has [`pattern`] at `/good`, and at the other paths what their names say.
struct Stage {
    transport: Arc<dyn Transport>,
    base: String,
    _origin: Option<Origin>,
}

fn scripted() -> Stage {
    let good = || Reply::resource(pattern(LEN));
    let origin = ScriptedTransport::new()
        .on("http://h/good", [good()])
        .on("http://h/missing", [Reply::status(404).body("no")])
        .on("http://h/moved", [Reply::redirect(302, "/moved")])
        .on("http://h/coded", [good().header("content-encoding", "gzip")])
        .on("http://h/cut", [good().breaks_after(4000)])
        .on("http://h/chunked-cut", [good().announces(None).breaks_after(4000)])
        .on("http://h/closed", [Reply::failure(ErrorKind::Disconnected)]);
    Stage { transport: Arc::new(origin), base: "http://h".to_owned(), _origin: None }
}

fn real() -> Stage {
    let good = || pattern(LEN);
    let coded = Response::ok(good()).with_header("Content-Encoding", "gzip");
    let cut = || Fault::truncate(At::Byte(4000));
    let site = ["/good", "/coded", "/cut", "/chunked-cut", "/closed", "/moved"]
        .into_iter()
        .fold(Site::new(), |site, path| site.bytes(path, good()))
        .rule(Rule::on("/moved").then(Redirect::to("/moved")))
        .rule(Rule::on("/coded").then(Fault::Answer(coded)))
        .rule(Rule::on("/cut").then(cut()))
        .rule(Rule::on("/chunked-cut").then(Fault::Chunked(500)).then(cut()))
        .rule(Rule::on("/closed").then(Fault::HangUp(Ending::Close)));
    let origin = Origin::start(site).unwrap();
    let base = origin.url("").trim_end_matches('/').to_owned();
    let transport = ReqwestTransport::new(&NetworkOptions { proxy: Proxy::None, ..NetworkOptions::default() }).unwrap();
    Stage { transport: Arc::new(transport), base, _origin: Some(origin) }
}

impl Stage {
    async fn send(&self, path: &str, headers: &[(HeaderName, &'static str)]) -> Result<WireResponse, ErrorKind> {
        let url = format!("{}{path}", self.base).parse().unwrap();
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        let request = WireRequest { url, headers, reach: Reach::Anywhere };
        self.transport.send(request).await.map_err(|error| error.kind())
    }
}

/// All that arrives of a body, and the error it ends with.
async fn drained(mut response: WireResponse) -> (Vec<u8>, Option<ErrorKind>) {
    let mut got = Vec::new();
    loop {
        match response.body.try_next().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            Ok(None) => return (got, None),
            Err(error) => return (got, Some(error.kind())),
        }
    }
}

async fn transport_contract(stage: Stage) {
    let good = stage.send("/good", &[]).await.unwrap();
    assert_eq!((good.status.as_u16(), &good.headers[header::CONTENT_LENGTH]), (200, &HeaderValue::from(LEN)));
    assert!(drained(good).await == (pattern(LEN).to_vec(), None), "the bytes are the bytes");

    let part = stage.send("/good", &[(header::RANGE, "bytes=100-199")]).await.unwrap();
    assert_eq!(
        (part.status.as_u16(), &part.headers[header::CONTENT_RANGE]),
        (206, &HeaderValue::from_static("bytes 100-199/10000"))
    );
    assert_eq!(drained(part).await, (pattern(LEN)[100..200].to_vec(), None), "headers arrive as given");

    assert_eq!(stage.send("/missing", &[]).await.unwrap().status, 404, "any status is a response");
    let moved = stage.send("/moved", &[]).await.unwrap();
    assert_eq!(moved.status, 302, "no redirect is followed");
    assert!(moved.headers.contains_key(header::LOCATION));

    let coded = stage.send("/coded", &[(header::ACCEPT_ENCODING, "gzip")]).await.unwrap();
    assert_eq!(coded.headers[header::CONTENT_ENCODING], "gzip");
    assert!(drained(coded).await == (pattern(LEN).to_vec(), None), "nothing is decoded");

    for path in ["/cut", "/chunked-cut"] {
        let (got, error) = drained(stage.send(path, &[]).await.unwrap()).await;
        assert!(got == pattern(LEN)[..4000], "{path}: what arrived is delivered");
        assert_eq!(error, Some(ErrorKind::Truncated), "{path}");
    }
    assert_eq!(stage.send("/closed", &[]).await.err(), Some(ErrorKind::Disconnected), "nothing is repeated");
}

#[tokio::test]
async fn the_scripted_transport_keeps_the_contract() {
    transport_contract(scripted()).await;
}

#[tokio::test]
async fn real_connections_keep_the_contract() {
    transport_contract(real()).await;
}
