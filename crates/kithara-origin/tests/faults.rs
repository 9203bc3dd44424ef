//! Every fault, as a client sees it on the wire.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod client;

use std::time::Duration;

use client::{Client, End, dechunk, get};
use kithara_origin::{At, Ending, Fault, Origin, Redirect, Response, Rule, Site, pattern_bytes};

const LEN: u64 = 10_000;
const PATH: &str = "/seg1.ts";

fn content() -> Vec<u8> {
    let mut content = vec![0; 10_000];
    pattern_bytes(1, 0, &mut content);
    content
}

fn origin(rule: Rule) -> Origin {
    Origin::start(Site::new().pattern(PATH, 1, LEN).rule(rule)).unwrap()
}

fn playing(fault: impl Into<Fault>) -> Origin {
    origin(Rule::on("seg").then(fault))
}

const ENOUGH: Duration = Duration::from_millis(40);

#[test]
fn statuses_say_when_to_come_back_and_end_after_their_count() {
    let busy = Response::new(503).with_retry_after(Duration::from_secs(7)).with_body("busy");
    let origin = origin(Rule::on("seg").first(2).then(busy));
    let mut client = Client::connect(&origin);
    for _ in 0..2 {
        let answer = client.get(PATH, "");
        assert_eq!((answer.status(), answer.header("retry-after"), answer.text()), (503, Some("7"), "busy"));
    }
    assert_eq!(client.get(PATH, "").body, content());
    let log = origin.requests_of(PATH);
    let seen: Vec<_> = log.iter().map(|entry| (entry.status, entry.bytes_sent, entry.fault.as_str())).collect();
    assert_eq!(seen, [(503, 4, "answer"), (503, 4, "answer"), (200, LEN, "")]);
    assert_eq!(origin.connections().total, 1, "a status does not cost the connection");
}

#[test]
fn a_truncated_body_ends_at_its_byte() {
    let answer = get(&playing(Fault::truncate(At::Byte(4321))), PATH, "");
    assert_eq!((answer.header("content-length"), answer.end), (Some("10000"), End::Eof));
    assert_eq!(answer.body, content()[..4321]);
}

#[test]
fn a_truncated_range_ends_in_the_range() {
    let answer = get(&playing(Fault::truncate(At::Fraction(0.5))), PATH, "Range: bytes=1000-1999");
    assert_eq!((answer.status(), answer.header("content-length")), (206, Some("1000")));
    assert_eq!(answer.body, content()[1000..1500]);
}

#[test]
fn a_truncated_chunked_body_lacks_its_last_chunk() {
    let origin = origin(Rule::on("seg").then(Fault::Chunked(1000)).then(Fault::truncate(At::Byte(2500))));
    let answer = get(&origin, PATH, "");
    assert_eq!(dechunk(&answer.body), (content()[..2500].to_vec(), false));
}

#[test]
fn a_truncated_body_without_length_looks_complete() {
    let origin = origin(Rule::on("seg").then(Fault::NoLength).then(Fault::truncate(At::Byte(2500))));
    let answer = get(&origin, PATH, "");
    assert_eq!((answer.header("content-length"), answer.end), (None, End::Eof));
    assert_eq!(answer.body, content()[..2500]);
}

#[test]
fn resets_come_before_or_in_the_body() {
    let before = get(&playing(Fault::HangUp(Ending::Reset)), PATH, "");
    assert_eq!((before.head.as_str(), before.end), ("", End::Reset));
    let within = get(&playing(Fault::reset_at(At::Byte(5000))), PATH, "");
    assert_eq!((within.body.len(), within.end), (5000, End::Reset));
}

#[test]
fn an_orderly_close_before_the_answer_is_an_end_of_file() {
    let origin = playing(Fault::HangUp(Ending::Close));
    let answer = get(&origin, PATH, "");
    assert_eq!((answer.head.as_str(), answer.end), ("", End::Eof));
    let log = origin.log();
    assert_eq!((log[0].status, log[0].fault.as_str()), (0, "close"));
}

#[test]
fn stalls_resume_or_hang_up() {
    let half = At::Fraction(0.5);
    let resumed = get(&playing(Fault::stall(half, ENOUGH)), PATH, "");
    assert_eq!(resumed.body, content());
    assert!(resumed.whole >= ENOUGH && resumed.first_byte < resumed.whole);
    for (ending, end) in [(Ending::Close, End::Eof), (Ending::Reset, End::Reset)] {
        let fault = Fault::Stall { at: half, time: ENOUGH, ending: Some(ending) };
        let answer = get(&playing(fault), PATH, "");
        assert_eq!((answer.body.len(), answer.end), (5000, end));
        assert!(answer.whole >= ENOUGH);
    }
}

#[test]
fn latency_delays_the_head_and_a_stall_at_zero_the_body() {
    let late = get(&playing(Fault::Latency(ENOUGH)), PATH, "");
    assert!(late.first_byte >= ENOUGH);
    let stalled = get(&playing(Fault::stall(At::Byte(0), ENOUGH)), PATH, "");
    assert!(stalled.first_byte < stalled.whole && stalled.whole >= ENOUGH);
    assert_eq!((late.body, stalled.body), (content(), content()));
}

#[test]
fn rates_and_drips_take_their_time() {
    let rate = get(&playing(Fault::Rate(100_000)), PATH, "");
    assert!(rate.whole >= Duration::from_millis(99), "{:?}", rate.whole);
    let drip = get(&playing(Fault::Drip { bytes: 4000, every: ENOUGH }), PATH, "");
    assert!(drip.whole >= 2 * ENOUGH, "{:?}", drip.whole);
    assert_eq!((rate.body, drip.body), (content(), content()));
}

#[test]
fn lengths_lie_both_ways_and_cost_the_connection() {
    let long = get(&playing(Fault::LengthOff(1000)), PATH, "");
    assert_eq!((long.header("content-length"), long.body.len(), long.end), (Some("11000"), 10_000, End::Eof));
    let origin = playing(Fault::LengthOff(-1000));
    let mut client = Client::connect(&origin);
    let short = client.get(PATH, "");
    assert_eq!((short.header("content-length"), short.header("connection")), (Some("9000"), None));
    origin.clear_rules();
    let rest = client.read(true);
    assert_eq!(short.body.len() + rest.body.len(), 10_000, "all bytes come all the same");
    assert_eq!(rest.end, End::Eof);
}

#[test]
fn wrong_types_pages_and_empty_bodies_come_with_200() {
    let typed = get(&playing(Fault::Header("Content-Type".into(), "text/html".into())), PATH, "");
    assert_eq!((typed.header("content-type"), typed.body.clone()), (Some("text/html"), content()));
    let page = get(&playing(Response::html("<html>log in</html>")), PATH, "");
    assert_eq!((page.status(), page.text()), (200, "<html>log in</html>"));
    let empty = get(&playing(Response::ok("")), PATH, "");
    assert_eq!((empty.status(), empty.header("content-length"), empty.body.len()), (200, Some("0"), 0));
}

#[test]
fn not_ready_becomes_ready_by_count_or_by_time() {
    let origin = origin(Rule::on("seg").first(2).then(Response::new(202)));
    let statuses: Vec<_> = (0..3).map(|_| get(&origin, PATH, "").status()).collect();
    assert_eq!(statuses, [202, 202, 200]);

    let clock = kithara_origin::Clock::manual();
    let missing = Rule::on("seg").for_duration(Duration::from_secs(5)).then(Response::new(404));
    let site = Site::new().pattern(PATH, 1, LEN).rule(missing).clock(clock.clone());
    let origin = Origin::start(site).unwrap();
    let status_after = |seconds| {
        clock.advance(Duration::from_secs(seconds));
        get(&origin, PATH, "").status()
    };
    assert_eq!([status_after(100), status_after(4), status_after(1)], [404, 404, 200]);
}

#[test]
fn redirects_hop_and_arrive_at_another_origin() {
    let other = Origin::start_on([127, 0, 0, 2], Site::new().pattern(PATH, 1, LEN)).unwrap();
    let origin = playing(Redirect::hops(2).via(&other.addr().to_string()).status(307));
    let first = get(&origin, "/seg1.ts?a=b", "");
    assert_eq!((first.status(), first.header("location")), (307, Some("/seg1.ts?a=b&hop=1")));
    let second = get(&origin, "/seg1.ts?a=b&hop=1", "");
    let location = second.header("location").unwrap();
    let target = location.strip_prefix(&format!("http://{}", other.addr())).unwrap();
    assert_eq!(get(&other, target, "").body, content());
}

#[test]
fn redirects_lead_to_any_text() {
    for location in ["https://127.0.0.1:1/x", "file:///etc/hostname", "../elsewhere", "//host/x"] {
        let answer = get(&playing(Redirect::to(location)), PATH, "");
        assert_eq!((answer.status(), answer.header("location")), (302, Some(location)));
    }
}

#[test]
fn ranges_are_ignored_or_misplaced() {
    let ignored = get(&playing(Fault::IgnoreRange), PATH, "Range: bytes=10-19");
    assert_eq!((ignored.status(), ignored.body.len()), (200, 10_000));
    let misplaced = get(&playing(Fault::RangeOff(1)), PATH, "Range: bytes=10-19");
    assert_eq!((misplaced.status(), misplaced.header("content-range")), (206, Some("bytes 11-20/10000")));
    assert_eq!(misplaced.body, content()[10..20]);
}

#[test]
fn etags_change_between_requests() {
    let origin = playing(Fault::NewEtag);
    let tags: Vec<_> = (0..2).map(|_| get(&origin, PATH, "").header("etag").unwrap().to_owned()).collect();
    assert_ne!(tags[0], tags[1]);
    let answer = get(&origin, PATH, &format!("Range: bytes=5-\r\nIf-Range: {}", tags[1]));
    assert_eq!(answer.status(), 200);
}

#[test]
fn chunked_bodies_keep_the_connection() {
    let origin = playing(Fault::Chunked(333));
    let mut client = Client::connect(&origin);
    client.send("GET /seg1.ts HTTP/1.1\r\n\r\nGET /seg1.ts HTTP/1.1\r\nConnection: close\r\n\r\n");
    let both = client.read(true);
    assert_eq!(both.header("transfer-encoding"), Some("chunked"));
    let second = both.body.windows(9).position(|nine| nine == b"HTTP/1.1 ").unwrap();
    assert_eq!(dechunk(&both.body[..second]), (content(), true));
    assert_eq!(origin.connections().total, 1);
}

#[test]
fn a_kept_connection_is_closed_without_a_word() {
    let origin = playing(Fault::CloseAfter);
    let mut client = Client::connect(&origin);
    let answer = client.get(PATH, "");
    assert_eq!((answer.header("connection"), answer.body.clone()), (None, content()));
    assert_eq!(client.read(true).end, End::Eof);
}

#[test]
fn gzip_is_sent_when_accepted_or_although_it_is_not() {
    let unpack = |packed: &[u8]| {
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut plain).unwrap();
        plain
    };
    let origin = playing(Fault::Gzip { unasked: false });
    let plain = get(&origin, PATH, "");
    assert_eq!((plain.header("content-encoding"), plain.body.clone()), (None, content()));
    let packed = get(&origin, PATH, "Accept-Encoding: br, gzip;q=0.5");
    assert_eq!((packed.header("content-encoding"), unpack(&packed.body)), (Some("gzip"), content()));
    let unasked = get(&playing(Fault::Gzip { unasked: true }), PATH, "");
    assert_eq!(unpack(&unasked.body), content());
}

#[test]
fn damage_and_missing_ends_are_the_same_in_every_range() {
    let origin = origin(Rule::on("seg").then(Fault::bad_padding()).then(Fault::Shorten(At::Byte(9_999))));
    let whole = get(&origin, PATH, "");
    let differing: Vec<_> = (0..9_999).filter(|at| whole.body[*at] != content()[*at]).collect();
    assert_eq!((whole.header("content-length"), differing), (Some("9999"), vec![9_982]));
    assert_eq!(get(&origin, PATH, "Range: bytes=9980-").body, whole.body[9_980..]);
}

#[test]
fn raw_bytes_need_not_be_http() {
    let answer = get(&playing(Fault::Raw("ICY 200 OK\r\n\r\n\u{1}".into())), PATH, "");
    assert_eq!((answer.head.as_str(), answer.body.as_slice(), answer.end), ("ICY 200 OK", &b"\x01"[..], End::Eof));
}

#[test]
fn faults_of_several_rules_play_together() {
    let site = Site::new()
        .pattern(PATH, 1, LEN)
        .rule(Rule::on("seg").then(Fault::Latency(ENOUGH)))
        .rule(Rule::on("*").nth(2).then(Fault::truncate(At::Byte(1))));
    let origin = Origin::start(site).unwrap();
    assert_eq!(get(&origin, PATH, "").body.len(), 10_000);
    let second = get(&origin, PATH, "");
    assert!(second.first_byte >= ENOUGH);
    assert_eq!(second.body.len(), 1);
    assert_eq!(origin.log()[1].fault, "latency+truncate");
}
