//! Safety by default: one test per promise.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use kithara_net::address::{AddressPolicy, Provenance};
use kithara_net::transport::Reach;
use kithara_net::transport::scripted::{Reply, ScriptedTransport, Sent};
use kithara_net::{Authorizer, Delivery, ErrorKind, NetworkOptions, Origin, RequestRange};
use url::Url;

use super::*;

fn secret() -> (HeaderName, HeaderValue) {
    (HeaderName::from_static("x-secret"), HeaderValue::from_static("s3cret"))
}

/// A header of every request that arrived.
fn header_of(origin: &ScriptedTransport, name: &str) -> Vec<Option<String>> {
    origin.requests().iter().map(|sent| sent.header(name).map(str::to_owned)).collect()
}

#[tokio::test(start_paused = true)]
async fn only_http_and_https_are_fetched() {
    let origin = ScriptedTransport::new().otherwise(|_| Reply::resource("x"));
    for url in ["file:///etc/passwd", "ftp://h/a", "data:text/plain,x", "concat:http://h/a"] {
        assert_eq!(fetch_error(&client(&origin), get(url)).await, ErrorKind::InvalidRequest, "{url}");
    }
    assert!(origin.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn senseless_requests_are_refused() {
    let origin = ScriptedTransport::new().otherwise(|_| Reply::resource("x"));
    let requests = [
        get("http://h/").range(RequestRange::Bounded(5..5)),
        get("http://h/").range(RequestRange::Suffix(0)),
        get("http://h/").range(RequestRange::From(5)).delivery(Delivery::WholeInflated),
    ];
    for request in requests {
        assert_eq!(fetch_error(&client(&origin), request).await, ErrorKind::InvalidRequest);
    }
}

#[tokio::test(start_paused = true)]
async fn redirects_are_followed_and_the_last_url_is_the_base() {
    let origin = ScriptedTransport::new()
        .on("http://a/1?q=1", [Reply::redirect(301, "/2")])
        .on("http://a/2", [Reply::redirect(307, "http://b/3?x=%2F")])
        .on("http://b/3?x=%2F", [Reply::resource("there")]);
    let response = client(&origin).fetch(get("http://a/1?q=1#fragment")).await.unwrap();
    assert_eq!(response.head.url.as_str(), "http://b/3?x=%2F");
    assert_eq!(response.body.collect(10).await.unwrap(), "there");
}

#[tokio::test(start_paused = true)]
async fn a_resume_begins_at_the_original_url() {
    let origin = ScriptedTransport::new()
        .on("http://a/1", [Reply::redirect(302, "http://b/2?sig=1"), Reply::redirect(302, "http://b/2?sig=2")])
        .on("http://b/2?sig=1", [Reply::resource(pattern(5000)).breaks_after(2000)])
        .on("http://b/2?sig=2", [Reply::resource(pattern(5000))]);
    assert_eq!(fetch(&client(&origin), get("http://a/1")).await.unwrap(), pattern(5000));
}

#[tokio::test(start_paused = true)]
async fn redirects_have_an_end() {
    let endless =
        ScriptedTransport::new().otherwise(|sent| Reply::redirect(302, &format!("{}x", sent.request.url.path())));
    assert_eq!(fetch_error(&client(&endless), get("http://a/")).await, ErrorKind::TooManyRedirects);
    assert_eq!(endless.requests().len(), 11, "the cap is ten, and no chain is tried twice");
    let looping = ScriptedTransport::new().otherwise(|_| Reply::redirect(302, "/loop"));
    assert_eq!(fetch_error(&client(&looping), get("http://a/")).await, ErrorKind::RedirectLoop);
    assert_eq!(looping.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn redirects_never_lead_down_or_out_of_the_web() {
    for target in ["http://a/", "file:///etc/passwd", "ftp://a/", "javascript:x"] {
        let origin = ScriptedTransport::new().otherwise(move |_| Reply::redirect(302, target));
        assert_eq!(fetch_error(&client(&origin), get("https://a/x")).await, ErrorKind::RedirectRefused, "{target}");
        assert_eq!(origin.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn custom_headers_and_userinfo_stay_with_their_origin() {
    let origin = ScriptedTransport::new()
        .on("http://a/1", [Reply::redirect(302, "/2")])
        .on("http://a/2", [Reply::redirect(302, "http://b/3")])
        .on("http://b/3", [Reply::redirect(302, "http://a/4")])
        .on("http://a/4", [Reply::resource("x")]);
    let (name, value) = secret();
    fetch(&client(&origin), get("http://u:p@a/1").header(name, value)).await.unwrap();
    let secret = || Some("s3cret".to_owned());
    assert_eq!(header_of(&origin, "x-secret"), [secret(), secret(), None, None], "and never come back");
    let basic = || Some("Basic dTpw".to_owned());
    assert_eq!(header_of(&origin, "authorization"), [basic(), basic(), None, None]);
    assert!(origin.requests().iter().all(|sent| sent.request.url.username().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn headers_of_another_origin_are_not_sent() {
    let origin = ScriptedTransport::new().otherwise(|_| Reply::resource("x"));
    let owner = Origin::of(&Url::parse("https://a/").unwrap()).unwrap();
    let headers = HeaderMap::from_iter([secret()]);
    for url in ["https://a/1", "https://b/1", "http://a/1", "https://a:444/1"] {
        fetch(&client(&origin), get(url).headers_for(owner.clone(), headers.clone())).await.unwrap();
    }
    assert_eq!(header_of(&origin, "x-secret"), [Some("s3cret".to_owned()), None, None, None]);
}

/// Answers with the path it is asked for, so that tests see which URL each credential was made for.
struct PathAuthorizer;

impl Authorizer for PathAuthorizer {
    fn authorize<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<HeaderMap, Box<dyn Error + Send + Sync>>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            match url.path() {
                "/locked" => Err("no token".into()),
                "/asking" => std::future::pending().await,
                path => Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(path)?)])),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_authorizer_is_asked_at_every_hop_of_every_attempt() {
    let origin = ScriptedTransport::new().on("http://a/1", [Reply::redirect(302, "http://b/2")]).on(
        "http://b/2",
        [Reply::status(503), Reply::resource(pattern(3000)).breaks_after(2000), Reply::resource(pattern(3000))],
    );
    let options = NetworkOptions { authorizer: Some(Arc::new(PathAuthorizer)), ..NetworkOptions::default() };
    let client = client_with(options, &origin);
    fetch(&client, get("http://a/1").header(header::AUTHORIZATION, HeaderValue::from_static("static"))).await.unwrap();
    let want: Vec<_> = ["/1", "/2", "/1", "/2", "/1", "/2"].map(|path| Some(path.to_owned())).into();
    assert_eq!(header_of(&origin, "authorization"), want);
    let error = client.fetch(get("http://a/locked")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authorizer);
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no token"));
    let error = client.fetch(get("http://a/asking")).await.unwrap_err();
    assert_eq!(error.to_string(), "GET http://a/asking: no credentials within 10 s (1 attempt, 10 s)");
}

#[tokio::test(start_paused = true)]
async fn sizes_are_capped() {
    let big = || Reply::resource(pattern(10_000));
    let fetch_kind = async |reply: Reply, request: Request| {
        let origin = ScriptedTransport::new().on("http://a/", [reply]);
        (fetch(&client(&origin), request).await.map_err(|error| error.kind()), origin.requests().len())
    };
    let request = || get("http://a/").max_len(9_999);
    assert_eq!(fetch_kind(big(), request()).await, (Err(ErrorKind::TooLarge), 1), "announced");
    assert_eq!(fetch_kind(big().announces(None), request()).await, (Err(ErrorKind::TooLarge), 1), "received");
    let whole = request().delivery(Delivery::Whole);
    assert_eq!(fetch_kind(big().announces(None), whole).await, (Err(ErrorKind::TooLarge), 1), "collected");
    let part = request().range(RequestRange::Bounded(0..20_000));
    assert_eq!(fetch_kind(big(), part).await, (Err(ErrorKind::TooLarge), 1), "of a part");
    assert_eq!(fetch_kind(big(), get("http://a/").max_len(10_000)).await, (Ok(pattern(10_000)), 1));
    let promise = Reply::resource("x").announces(Some(u64::MAX));
    assert_eq!(fetch_kind(promise, get("http://a/").max_len(u64::MAX)).await.0, Ok("x".into()), "never allocated for");
    let response = client(&ScriptedTransport::new().on("http://a/", [big()])).fetch(get("http://a/")).await.unwrap();
    assert_eq!(response.body.collect(9_999).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test(start_paused = true)]
async fn cookies_are_an_option() {
    let script = || {
        ScriptedTransport::new()
            .on(
                "http://a.example/",
                [Reply::redirect(302, "/").header("set-cookie", "id=7; Path=/"), Reply::resource("in")],
            )
            .on("http://b.example/", [Reply::resource("x")])
    };
    let off = script();
    assert_eq!(fetch_error(&client(&off), get("http://a.example/")).await, ErrorKind::RedirectLoop);
    let on = script();
    let client = client_with(NetworkOptions { cookies: true, ..NetworkOptions::default() }, &on);
    for url in ["http://a.example/", "http://a.example/", "http://b.example/"] {
        fetch(&client, get(url)).await.unwrap();
    }
    let id = || Some("id=7".to_owned());
    assert_eq!(header_of(&on, "cookie"), [None, id(), id(), None]);
}

fn guarded() -> NetworkOptions {
    NetworkOptions { address_policy: AddressPolicy::PublicOnly, ..NetworkOptions::default() }
}

/// Redirects everything with `?to=` there, from this address.
fn redirector(address: &'static str) -> ScriptedTransport {
    ScriptedTransport::new().otherwise(move |sent: &Sent| {
        let to = sent.request.url.query().and_then(|query| query.strip_prefix("to=")).map(str::to_owned);
        let remote: SocketAddr = address.parse().unwrap();
        match to {
            Some(to) => Reply::redirect(302, &to).from_address(remote),
            None => Reply::resource("x").from_address(remote),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_public_origin_may_not_point_into_private_networks() {
    let private =
        ["http://127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::1]/", "http://localhost/"];
    for target in private {
        let public = redirector("93.184.215.14:80");
        let kind =
            fetch_error(&client_with(guarded(), &public), get(&format!("http://cdn.example/?to={target}"))).await;
        assert_eq!(kind, ErrorKind::AddressRefused, "redirect to {target}");
        let child = get(target).named_by(Provenance::Public);
        assert_eq!(
            fetch_error(&client_with(guarded(), &public), child).await,
            ErrorKind::AddressRefused,
            "child {target}"
        );
        assert_eq!(public.requests().len(), 1, "nothing was sent to {target}");
        fetch(&client(&public), get(&format!("http://cdn.example/?to={target}"))).await.expect("the default allows it");
    }
}

#[tokio::test(start_paused = true)]
async fn names_from_public_origins_are_resolved_under_guard() {
    let public = redirector("93.184.215.14:80");
    let client = client_with(guarded(), &public);
    let response = client.fetch(get("http://cdn.example/?to=http://other.example/")).await.unwrap();
    assert_eq!(response.head.provenance, Provenance::Public);
    let reach: Vec<_> = public.requests().iter().map(|sent| sent.request.reach).collect();
    assert_eq!(reach, [Reach::Anywhere, Reach::Public]);
}

#[tokio::test(start_paused = true)]
async fn private_origins_and_the_app_may_name_anything() {
    let private = redirector("192.168.1.2:80");
    let client = client_with(guarded(), &private);
    let response = client.fetch(get("http://nas.example/?to=http://10.0.0.1/")).await.unwrap();
    assert_eq!(response.head.provenance, Provenance::Private);
    fetch(&client, get("http://10.0.0.1/").named_by(response.head.provenance)).await.unwrap();
    fetch(&client, get("http://127.0.0.1/")).await.unwrap();
}
