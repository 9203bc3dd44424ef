//! The honest part: ranges, keep-alive, limits, big contents, counting.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod client;

use std::{net::TcpStream, time::Duration};

use client::{Client, End, get};
use kithara_origin::{Body, Fault, Link, Origin, Response, Rule, Site, pattern_bytes};

#[test]
fn ranges_and_conditions_are_honoured() {
    let origin = Origin::start(Site::new().bytes("/a.m3u8", "0123456789")).unwrap();
    let mut client = Client::connect(&origin);
    let whole = client.get("/a.m3u8", "");
    assert_eq!(whole.header("content-type"), Some("application/vnd.apple.mpegurl"));
    let etag = whole.header("etag").unwrap();
    for (fields, status, body, range) in [
        ("Range: bytes=2-4".to_owned(), 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=-2".to_owned(), 206, "89", Some("bytes 8-9/10")),
        ("Range: bytes=10-".to_owned(), 416, "", Some("bytes */10")),
        (format!("Range: bytes=2-4\r\nIf-Range: {etag}"), 206, "234", Some("bytes 2-4/10")),
        ("Range: bytes=2-4\r\nIf-Range: \"x\"".to_owned(), 200, "0123456789", None),
        (format!("If-None-Match: {etag}"), 304, "", None),
    ] {
        let answer = client.get("/a.m3u8", &fields);
        assert_eq!((answer.status(), answer.text(), answer.header("content-range")), (status, body, range), "{fields}");
    }
    let head = client.request("HEAD", "/a.m3u8", "");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("10"), 0));
    assert_eq!(client.get("/none", "").status(), 404);
    assert_eq!(origin.connections().total, 1);
    assert_eq!(origin.log().iter().map(|entry| entry.id).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
}

#[test]
fn a_gibibyte_takes_no_memory_and_any_part_is_right() {
    let origin = Origin::start(Site::new().pattern("/big", 3, 1 << 30)).unwrap();
    let offset = (1 << 30) - 100_000;
    let answer = get(&origin, "/big", &format!("Range: bytes={offset}-"));
    assert_eq!(answer.header("content-range"), Some("bytes 1073641824-1073741823/1073741824"));
    let mut want = vec![0; 100_000];
    pattern_bytes(3, offset, &mut want);
    assert_eq!(answer.body, want);
}

#[test]
fn files_are_streamed_with_their_dates() {
    let here = env!("CARGO_MANIFEST_DIR");
    let origin = Origin::start(Site::new().dir("/files", here)).unwrap();
    let answer = get(&origin, "/files/Cargo.toml", "");
    assert_eq!(answer.body, std::fs::read(format!("{here}/Cargo.toml")).unwrap());
    let date = answer.header("last-modified").unwrap();
    assert_eq!(get(&origin, "/files/Cargo.toml", &format!("If-Modified-Since: {date}")).status(), 304);
    assert_eq!(get(&origin, "/files/%2e%2e/kithara-net/Cargo.toml", "").status(), 400);
}

#[test]
fn broken_and_oversized_requests_are_refused() {
    let origin = Origin::start(Site::new()).unwrap();
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(70_000)), 431),
        ("POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 411),
    ] {
        let mut client = Client::connect(&origin);
        client.send(&request);
        assert_eq!(client.read(true).status(), status);
    }
    assert!(origin.log().is_empty(), "what is no request is not logged");
}

#[test]
fn routes_see_the_request_and_its_count() {
    let site = Site::new().route("/echo", |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        Response::ok(format!("{} {body} {}", request.nth, request.param("q").unwrap_or("-")))
    });
    let origin = Origin::start(site).unwrap();
    let mut client = Client::connect(&origin);
    client.send(
        "POST /echo?q=a%20b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /echo HTTP/1.1\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(client.read(true).text(), "1 hi a%20b");
    assert_eq!(client.read(true).text(), "2  -");
}

#[test]
fn contents_rules_and_log_change_while_it_runs() {
    let origin = Origin::start(Site::new()).unwrap();
    origin.put("/a", "first");
    assert_eq!(get(&origin, "/a", "").text(), "first");
    origin.put("/a", Body::pattern(0, 5));
    origin.add_rule(Rule::on("/a").then(Fault::Header("X-Rule".into(), "1".into())));
    let changed = get(&origin, "/a", "");
    assert_eq!((changed.header("x-rule"), changed.body.len()), (Some("1"), 5));
    let last = origin.log().last().unwrap().id;
    origin.clear_rules();
    origin.remove("/a");
    assert_eq!(get(&origin, "/a", "").status(), 404);
    assert_eq!(origin.log_since(last + 1).len(), 1);
    origin.clear_log();
    assert!(origin.log().is_empty());
}

#[tokio::test]
async fn connections_are_counted_until_they_end() {
    let stalled = Rule::on("a").then(Fault::stall(kithara_origin::At::Byte(1), Duration::from_secs(3600)));
    let origin = Origin::start(Site::new().bytes("/a", "0123456789").rule(stalled)).unwrap();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = Client::connect(&origin);
            client.send("GET /a HTTP/1.1\r\n\r\n");
            client
        })
        .collect();
    origin.until(|origin| origin.log().iter().filter(|entry| entry.bytes_sent == 1).count() == 50).await;
    let connections = origin.connections();
    assert_eq!((connections.open, connections.total), (50, 50));
    drop(clients);
    origin.until(|origin| origin.connections().open == 0).await;
    assert!(origin.log().iter().all(|entry| entry.ended.is_some()), "a client that left ends its request");
}

#[test]
fn a_dropped_origin_closes_everything() {
    let origin = Origin::start(Site::new().bytes("/a", "x")).unwrap();
    let addr = origin.addr();
    let mut client = Client::connect(&origin);
    assert_eq!(client.get("/a", "").text(), "x");
    origin.shutdown();
    assert_ne!(client.read(true).end, End::Length);
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn the_link_delays_and_is_shared() {
    let rtt = Duration::from_millis(30);
    let site = Site::new().pattern("/a", 0, 14_480).pattern("/b", 0, 20_000).link(Link::new().rtt(rtt));
    let origin = Origin::start(site).unwrap();
    let mut client = Client::connect(&origin);
    let first = client.get("/a", "");
    assert!(first.first_byte >= 2 * rtt, "handshake and request: {:?}", first.first_byte);
    let second = client.get("/a", "");
    assert!(second.first_byte >= rtt, "request: {:?}", second.first_byte);

    origin.set_link(Link::new().rate(400_000));
    let times: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(|| get(&origin, "/b", "").whole)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let last = times.into_iter().max().unwrap();
    assert!(last >= Duration::from_millis(80), "40 kB through 400 kB/s: {last:?}");
}

#[test]
fn another_name_of_the_host_is_another_origin() {
    let origin = Origin::start(Site::new().bytes("/a", "x")).unwrap();
    assert_eq!(origin.url("a"), format!("http://{}/a", origin.addr()));
    assert_eq!(origin.url_via("localhost", "/a?b"), format!("http://localhost:{}/a?b", origin.addr().port()));
}
