//! Real connections to an origin that plays every fault there is.

use kithara_net::address::Provenance;
use kithara_net::retry::Patience;
use kithara_net::transport::{Reach, ReqwestTransport, Transport, WireRequest};
use kithara_net::{Delivery, ErrorKind, NetworkOptions, Proxy, RequestRange, Timeouts};
use kithara_origin::{At, Ending, Fault, Origin, Redirect, Response, Rule, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LEN: u64 = 100_000;

fn origin() -> Origin {
    Origin::start(Site::new().pattern("/seg", 7, LEN)).unwrap()
}

fn content() -> Bytes {
    let mut bytes = vec![0; LEN as usize];
    kithara_origin::pattern_bytes(7, 0, &mut bytes);
    bytes.into()
}

/// A client that finds faults of time soon.
fn quick() -> NetworkOptions {
    let timeouts = Timeouts { connect: secs(2), first_byte: ms(300), stall: ms(300), ..Timeouts::default() };
    NetworkOptions { timeouts, proxy: Proxy::None, ..NetworkOptions::default() }
}

/// Whether the whole content arrives through the first `times` requests being answered with `fault`; returns the ranges
/// that were asked for.
async fn survives(times: u64, fault: impl Into<Fault>) -> Vec<Option<String>> {
    let origin = origin();
    origin.add_rule(Rule::on("seg").first(times).then(fault));
    let client = Client::new(quick()).unwrap();
    let got = fetch(&client, get(&origin.url("/seg")).patience(Patience::default())).await.unwrap();
    assert!(got == content(), "{} bytes", got.len());
    origin.requests_of("/seg").into_iter().map(|request| request.range).collect()
}

fn resumed() -> [Option<String>; 2] {
    [None, Some("bytes=50000-".to_owned())]
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_segment_as_long_as_the_options_say() {
    // A segment of a second is being played meanwhile.
    let segment = ms(1_200);
    let kept = |pool_idle| async move {
        let origin = origin();
        let client = Client::new(NetworkOptions { pool_idle, ..quick() }).unwrap();
        for number in 0..2 {
            if number > 0 {
                tokio::time::sleep(segment).await;
            }
            assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
        }
        origin.connections().total
    };
    let kept = tokio::join!(kept(NetworkOptions::default().pool_idle), kept(segment / 4));
    assert_eq!(kept, (1, 2), "with the default, and with less than a segment");
}

#[tokio::test]
async fn a_truncated_body_is_resumed() {
    assert_eq!(survives(1, Fault::truncate(At::Fraction(0.5))).await, resumed());
}

#[tokio::test]
async fn a_truncated_chunked_body_is_resumed() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").first(1).then(Fault::Chunked(8192)).then(Fault::truncate(At::Fraction(0.5))));
    let client = Client::new(quick()).unwrap();
    assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
    assert_eq!(origin.requests_of("/seg").len(), 2);
}

#[tokio::test]
async fn a_reset_is_survived_before_and_within_the_body() {
    let ranges = survives(1, Fault::reset_at(At::Fraction(0.5))).await;
    assert_eq!(ranges.len(), 2);
    assert_eq!(survives(2, Fault::HangUp(Ending::Reset)).await, [None, None, None]);
    assert_eq!(survives(2, Fault::HangUp(Ending::Close)).await, [None, None, None]);
}

#[tokio::test]
async fn a_stall_and_a_missing_first_byte_are_noticed() {
    assert_eq!(survives(1, Fault::stall(At::Fraction(0.5), secs(900))).await, resumed());
    assert_eq!(survives(1, Fault::Latency(secs(900))).await, [None, None]);
}

#[tokio::test]
async fn lies_about_the_length_are_found_out() {
    assert_eq!(survives(1, Fault::LengthOff(1000)).await, [None, Some(format!("bytes={LEN}-"))]);
    // A length that is too short cannot be seen without looking into the content; but the bytes are right.
    let origin = origin();
    origin.add_rule(Rule::on("seg").first(1).then(Fault::LengthOff(-1000)));
    let client = Client::new(quick()).unwrap();
    let got = fetch(&client, get(&origin.url("/seg"))).await.unwrap();
    assert!(got == content().slice(..LEN as usize - 1000));
    assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content(), "and the next answer is not misread");
}

#[tokio::test]
async fn a_false_length_of_a_part_is_outweighed_by_its_range() {
    for off in [1000, -1000] {
        let origin = origin();
        origin.add_rule(Rule::on("seg").first(1).then(Fault::LengthOff(off)));
        let client = Client::new(quick()).unwrap();
        let part = get(&origin.url("/seg")).range(RequestRange::Bounded(10..50_000));
        assert!(fetch(&client, part).await.unwrap() == content().slice(10..50_000), "{off}");
    }
}

#[tokio::test]
async fn all_framings_are_read() {
    assert_eq!(survives(1, Fault::Chunked(8192)).await, [None]);
    assert_eq!(survives(1, Fault::NoLength).await, [None]);
    assert_eq!(survives(1, Fault::Rate(400_000)).await, [None]);
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::NoLength));
    let client = Client::new(quick()).unwrap();
    let head = client.fetch(get(&origin.url("/seg"))).await.unwrap().head;
    assert_eq!((head.len, head.total_len), (None, None), "nothing is known");
}

#[tokio::test]
async fn an_ignored_range_is_skipped() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::IgnoreRange));
    origin.add_rule(Rule::on("seg").first(1).then(Fault::truncate(At::Fraction(0.5))));
    let client = Client::new(quick()).unwrap();
    assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
    let part = get(&origin.url("/seg")).range(RequestRange::Bounded(60_000..70_000));
    assert!(fetch(&client, part).await.unwrap() == content().slice(60_000..70_000));
}

/// Lets the answers of `rule` carry nothing by which a resource is known: no validators, no length, no ranges.
fn nameless(rule: Rule) -> Rule {
    rule.then(Fault::IgnoreRange).then(Fault::NoHeader("ETag".into())).then(Fault::Chunked(8192))
}

#[tokio::test]
async fn what_a_nameless_resource_begins_with_is_compared_when_it_comes_again() {
    let origin = origin();
    origin.add_rule(nameless(Rule::on("seg")));
    origin.add_rule(Rule::on("seg").first(1).then(Fault::truncate(At::Fraction(0.5))));
    let client = Client::new(quick()).unwrap();
    assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
    assert_eq!(origin.requests_of("/seg").len(), 2);

    origin.clear_rules();
    let page = Bytes::from("<html>busy</html>".repeat(LEN as usize / 10));
    origin.add_rule(nameless(Rule::on("seg")));
    origin.add_rule(Rule::on("seg").first(1).then(Fault::truncate(At::Fraction(0.5))));
    origin.add_rule(Rule::on("seg").skip(1).then(Fault::Answer(Response::ok(page))));
    let mut body = client.fetch(get(&origin.url("/seg"))).await.unwrap().body;
    let mut got = Vec::new();
    let error = loop {
        match body.chunk().await {
            Ok(chunk) => got.extend_from_slice(&chunk.expect("half of it")),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(got == content().slice(..LEN as usize / 2), "{} bytes", got.len());
}

#[tokio::test]
async fn a_shifted_range_and_a_new_version_are_refused() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::RangeOff(100)));
    let client = Client::new(quick()).unwrap();
    let part = get(&origin.url("/seg")).range(RequestRange::From(500));
    assert_eq!(fetch_error(&client, part).await, ErrorKind::InvalidRange);
    origin.clear_rules();
    origin.add_rule(Rule::on("seg").then(Fault::NewEtag).then(Fault::truncate(At::Byte(5000))));
    assert_eq!(fetch_error(&client, get(&origin.url("/seg"))).await, ErrorKind::Changed);
}

#[tokio::test]
async fn redirects_lead_to_other_hosts_and_not_in_circles() {
    let origin = origin();
    let client = Client::new(quick()).unwrap();
    origin.add_rule(Rule::on("seg").then(Redirect::hops(5)));
    let response = client.fetch(get(&origin.url("/seg"))).await.unwrap();
    assert_eq!(response.head.provenance, Provenance::Private);
    assert!(response.body.collect(LEN).await.unwrap() == content());
    origin.clear_rules();
    let elsewhere = format!("localhost:{}", origin.addr().port());
    origin.add_rule(Rule::on("seg").then(Redirect::hops(1).via(&elsewhere)));
    let response = client.fetch(get(&origin.url("/seg"))).await.unwrap();
    assert_eq!(response.head.url.host_str(), Some("localhost"));
    origin.clear_rules();
    origin.add_rule(Rule::on("seg").then(Redirect::endless()));
    let kind = fetch_error(&client, get(&origin.url("/seg"))).await;
    assert!(matches!(kind, ErrorKind::TooManyRedirects | ErrorKind::RedirectLoop), "{kind:?}");
}

#[tokio::test]
async fn busy_answers_are_waited_for() {
    let busy = |status| Response::new(status).with_retry_after(secs(1));
    let begun = std::time::Instant::now();
    assert_eq!(survives(1, Fault::Answer(busy(503))).await, [None, None]);
    assert!(begun.elapsed() >= secs(1));
    assert_eq!(survives(2, Fault::Answer(Response::new(202))).await, [None, None, None]);
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::Raw("SSH-2.0-OpenSSH_9\r\n\r\n".into())));
    let kind = fetch_error(&Client::new(quick()).unwrap(), get(&origin.url("/seg"))).await;
    assert_eq!(kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn gzip_comes_inflated() {
    let text = "#EXTINF:4,\nsegment.ts\n".repeat(1000);
    let origin = Origin::start(Site::new().bytes("/list", text.clone())).unwrap();
    origin.add_rule(Rule::on("list").then(Fault::Gzip { unasked: false }));
    let client = Client::new(quick()).unwrap();
    let inflated = get(&origin.url("/list")).delivery(Delivery::WholeInflated);
    assert_eq!(fetch(&client, inflated).await.unwrap(), text);
    assert!(origin.log()[0].bytes_sent < 1000);
    origin.clear_rules();
    origin.add_rule(Rule::on("list").then(Fault::Gzip { unasked: true }));
    assert_eq!(fetch_error(&client, get(&origin.url("/list"))).await, ErrorKind::Encoding);
}

fn connections(origin: &Origin) -> usize {
    let mut seen: Vec<_> = origin.log().iter().map(|request| request.connection).collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

#[tokio::test]
async fn one_connection_serves_one_after_the_other() {
    let origin = origin();
    let client = Client::new(quick()).unwrap();
    for n in 0..10u64 {
        let part = get(&origin.url("/seg")).range(RequestRange::Bounded(n * 100..n * 100 + 50));
        let (want, got) =
            (content().slice(n as usize * 100..n as usize * 100 + 50), fetch(&client, part).await.unwrap());
        assert_eq!(got, want);
        assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
    }
    assert_eq!(connections(&origin), 1);
}

#[tokio::test]
async fn a_silently_closed_connection_costs_nothing_but_another_one() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::CloseAfter));
    let client = Client::new(quick()).unwrap();
    for _ in 0..10 {
        assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
    }
}

#[tokio::test]
async fn a_dropped_body_ends_its_connection() {
    let origin = origin();
    origin.add_rule(Rule::on("seg").then(Fault::stall(At::Byte(1000), secs(900))));
    let client = Client::new(quick()).unwrap();
    let mut response = client.fetch(get(&origin.url("/seg"))).await.unwrap();
    response.body.chunk().await.unwrap();
    drop(response);
    origin.until(|origin| origin.connections().open == 0).await;
}

#[tokio::test]
async fn a_connection_opened_ahead_is_used() {
    let origin = origin();
    let client = Client::new(quick()).unwrap();
    let url = origin.url("/seg").parse().unwrap();
    client.preconnect(&url).await;
    assert_eq!(origin.log().len(), 0, "no request is sent for it");
    origin.until(|origin| origin.connections().total == 1).await;
    fetch(&client, get(&origin.url("/seg"))).await.unwrap();
    assert_eq!(origin.connections().total, 1, "the request takes it");
    // While that one is busy, another is opened and used by the second request.
    origin.add_rule(Rule::on("seg").first(1).then(Fault::Latency(ms(100))));
    let first = tokio::spawn(client.fetch(get(&origin.url("/seg"))));
    tokio::task::yield_now().await;
    client.preconnect(&url).await;
    fetch(&client, get(&origin.url("/seg"))).await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(origin.connections().total, 2);
}

#[tokio::test]
async fn a_closed_spare_connection_does_no_harm() {
    let origin = origin();
    let addr = origin.addr();
    let client = Client::new(quick()).unwrap();
    client.preconnect(&origin.url("/seg").parse().unwrap()).await;
    origin.shutdown();
    let origin = Origin::listen(addr, Site::new().pattern("/seg", 7, LEN)).unwrap();
    assert!(fetch(&client, get(&origin.url("/seg"))).await.unwrap() == content());
}

#[tokio::test]
async fn nobody_there_is_said_as_such() {
    let client = Client::new(quick()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = format!("http://{}/path", listener.local_addr().unwrap());
    drop(listener);
    let error = client.fetch(get(&refusing)).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connect, 4));
    assert!(error.to_string().starts_with(&format!("GET {refusing}: no connection (4 attempts, ")), "{error}");
    let error = client.fetch(get("http://does-not-exist.invalid/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Dns);
}

#[tokio::test]
async fn resolved_addresses_are_held_against_the_policy() {
    let origin = origin();
    let transport = ReqwestTransport::new(&quick()).unwrap();
    let request = |reach| {
        let url = origin.url_via("localhost", "/seg").parse().unwrap();
        WireRequest { url, headers: http::HeaderMap::new(), reach }
    };
    // There is a spare connection; it must not be a way around the guard.
    transport.preconnect(request(Reach::Anywhere).url).await;
    let refused = transport.send(request(Reach::Public)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddressRefused);
    assert_eq!(origin.log().len(), 0);
    let response = transport.send(request(Reach::Anywhere)).await.unwrap();
    assert!(response.remote.is_some_and(|remote| remote.ip().is_loopback()));
}

/// A proxy that answers everything itself; returns its address and the head of the first request it gets.
async fn proxy() -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let head = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy").await.unwrap();
        String::from_utf8(head).unwrap()
    });
    (addr.to_string(), head)
}

#[tokio::test]
async fn a_proxy_gets_the_requests_and_its_own_credentials() {
    let (addr, head) = proxy().await;
    let through = Proxy::Url(format!("http://u:p@{addr}/").parse().unwrap());
    let client = Client::new(NetworkOptions { proxy: through, ..quick() }).unwrap();
    assert_eq!(fetch(&client, get("http://far.invalid/a?b=%2F")).await.unwrap(), "proxy");
    let head = head.await.unwrap();
    assert!(head.starts_with("GET http://far.invalid/a?b=%2F HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic dtpw"), "{head}");
}

#[tokio::test]
async fn the_user_agent_is_ours_unless_told_otherwise() {
    let origin = origin();
    fetch(&Client::new(quick()).unwrap(), get(&origin.url("/seg"))).await.unwrap();
    let named = NetworkOptions { user_agent: "app/7".into(), ..quick() };
    fetch(&Client::new(named).unwrap(), get(&origin.url("/seg"))).await.unwrap();
    let seen: Vec<_> = origin.log().iter().map(|request| request.header("user-agent").unwrap().to_owned()).collect();
    assert_eq!(seen, [concat!("kithara/", env!("CARGO_PKG_VERSION")), "app/7"]);
    let broken = NetworkOptions { user_agent: "a\nb".into(), ..quick() };
    assert_eq!(Client::new(broken).unwrap_err().kind(), ErrorKind::Setup);
}
