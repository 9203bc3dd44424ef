//! Bodies that break, and how they go on.

use kithara_net::retry::Patience;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::{Attempt, Client, Delivery, ErrorKind, NetworkOptions, RequestRange, Validators};
use tokio::time::{Instant, timeout};

use super::*;

const URL: &str = "http://h/a";

fn origin(replies: impl IntoIterator<Item = Reply>) -> ScriptedTransport {
    ScriptedTransport::new().on(URL, replies)
}

fn resource(len: usize) -> Reply {
    Reply::resource(pattern(len))
}

/// Whether `request` delivers exactly `want` through `replies`, asking for exactly these ranges.
#[track_caller]
fn check(replies: impl IntoIterator<Item = Reply>, request: Request, want: &[u8], asked: &[Option<&str>]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let origin = origin(replies);
    let got = runtime.block_on(fetch(&client(&origin), request)).unwrap();
    assert!(got == want, "{} bytes, {} wanted", got.len(), want.len());
    assert_eq!(ranges(&origin), asked.iter().map(|range| range.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn a_broken_body_resumes_at_the_lost_byte() {
    let (all, replies) = (pattern(9000), [resource(9000).breaks_after(4000), resource(9000)]);
    check(replies, get(URL), &all, &[None, Some("bytes=4000-")]);
}

#[test]
fn a_body_that_ends_early_in_order_is_broken_too() {
    let (all, replies) = (pattern(9000), [resource(9000).ends_after(4000), resource(9000)]);
    check(replies, get(URL), &all, &[None, Some("bytes=4000-")]);
}

#[test]
fn a_body_that_breaks_before_its_first_byte_is_asked_for_again() {
    let (all, replies) = (pattern(900), [resource(900).breaks_after(0), resource(900)]);
    check(replies, get(URL), &all, &[None, None]);
}

#[test]
fn a_ranged_body_resumes_within_its_range() {
    let all = pattern(9000);
    let replies = || [resource(9000).breaks_after(1500), resource(9000)];
    let bounded = get(URL).range(RequestRange::Bounded(1000..5000));
    check(replies(), bounded, &all[1000..5000], &[Some("bytes=1000-4999"), Some("bytes=2500-4999")]);
    let from = get(URL).range(RequestRange::From(1000));
    check(replies(), from, &all[1000..], &[Some("bytes=1000-"), Some("bytes=2500-")]);
    let suffix = get(URL).range(RequestRange::Suffix(4000));
    check(replies(), suffix, &all[5000..], &[Some("bytes=-4000"), Some("bytes=6500-")]);
}

#[test]
fn many_breaks_are_survived_as_long_as_there_is_progress() {
    let all = pattern(60_000);
    let replies = (0..14).map(|_| resource(60_000).breaks_after(4000)).chain([resource(60_000)]);
    let asked: Vec<_> = (1..15).map(|n| format!("bytes={}-", n * 4000)).collect();
    let asked: Vec<_> = [None].into_iter().chain(asked.iter().map(|range| Some(range.as_str()))).collect();
    check(replies, get(URL), &all, &asked);
}

#[test]
fn a_resume_names_the_version_it_continues() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let dated =
        |etag: &str| resource(5000).header("etag", etag).header("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    let table = [
        (dated("\"v1\""), Some("\"v1\"")),
        (dated("W/\"v1\""), None),
        (dated("").without("etag"), Some("Sun, 06 Nov 1994 08:49:37 GMT")),
        (resource(5000).without("etag"), None),
    ];
    for (reply, want) in table {
        let origin = origin([reply.clone().breaks_after(2000), reply]);
        assert_eq!(runtime.block_on(fetch(&client(&origin), get(URL))).unwrap(), pattern(5000));
        assert_eq!(origin.requests()[1].header("if-range"), want);
    }
}

#[test]
fn a_whole_answer_to_a_resume_is_skipped_correctly() {
    let all = pattern(9000);
    let replies = [resource(9000).breaks_after(4000), resource(9000).ignores_ranges().in_chunks(700, ms(1))];
    check(replies, get(URL), &all, &[None, Some("bytes=4000-")]);
}

/// A resource of which nothing is known: no validators, no length, no ranges.
fn nameless(bytes: impl Into<Bytes>) -> Reply {
    Reply::resource(bytes).without("etag").ignores_ranges().announces(None).in_chunks(700, ms(1))
}

#[test]
fn a_server_without_ranges_validators_and_lengths_is_resumed_exactly() {
    let (all, again) = (pattern(9000), || nameless(pattern(9000)));
    let replies = [again().breaks_after(2800), again().breaks_after(1400), again().breaks_after(5600), again()];
    let asked = [None, Some("bytes=2800-"), Some("bytes=2800-"), Some("bytes=5600-")];
    check(replies, get(URL), &all, &asked);
    let from = get(URL).range(RequestRange::From(1000));
    let asked = [Some("bytes=1000-"), Some("bytes=2800-")];
    check([again().breaks_after(2800), again()], from, &all[1000..], &asked);
    let part = resource(9000).without("etag").breaks_after(1500);
    let bounded = get(URL).range(RequestRange::Bounded(1000..5000));
    check([part, again()], bounded, &all[1000..5000], &[Some("bytes=1000-4999"), Some("bytes=2500-4999")]);
}

#[tokio::test(start_paused = true)]
async fn a_page_in_the_place_of_the_rest_is_not_joined_to_media() {
    let page = || "<html>Service is busy, please come back</html>\n".repeat(300);
    let media = || nameless(pattern(9000)).breaks_after(4200);
    let dated = "Sun, 06 Nov 1994 08:49:37 GMT";
    let table = [
        ("nothing known of either", media(), nameless(page())),
        ("a page with a length", media(), nameless(page()).announces(Some(page().len() as u64))),
        ("a page with an etag", media(), nameless(page()).header("etag", "\"page\"")),
        ("a length before", media().announces(Some(9000)), nameless(page())),
        ("the same length", media().announces(Some(9000)), nameless(page()).announces(Some(9000))),
        ("the same date", media().header("last-modified", dated), nameless(page()).header("last-modified", dated)),
        ("nothing in common", media().header("etag", "\"a\""), nameless(page()).header("last-modified", dated)),
        ("a part before", resource(9000).without("etag").breaks_after(4200), nameless(page())),
    ];
    for (what, first, page) in table {
        let origin = origin([first.in_chunks(700, ms(1)), page]);
        let mut body = client(&origin).fetch(get(URL).range(RequestRange::From(0))).await.unwrap().body;
        let mut got = Vec::new();
        let error = loop {
            match body.chunk().await {
                Ok(chunk) => got.extend_from_slice(&chunk.expect(what)),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Changed, "{what}");
        assert_eq!(got, pattern(9000).slice(..4200), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_first_byte_only_the_length_tells_a_page_from_the_rest() {
    let first = || resource(9000).without("etag").breaks_after(0);
    let from = || get(URL).range(RequestRange::From(1000));
    let kind = fetch_error(&client(&origin([first(), nameless(pattern(9000))])), from()).await;
    assert_eq!(kind, ErrorKind::Changed, "nothing says what it is");
    let same = origin([first(), nameless(pattern(9000)).announces(Some(9000))]);
    assert_eq!(fetch(&client(&same), from()).await.unwrap(), pattern(9000).slice(1000..));
}

#[test]
fn a_whole_answer_to_a_range_is_cut_to_it() {
    let all = pattern(9000);
    let replies = || [resource(9000).ignores_ranges().in_chunks(700, ms(1))];
    let bounded = get(URL).range(RequestRange::Bounded(1000..5000));
    check(replies(), bounded, &all[1000..5000], &[Some("bytes=1000-4999")]);
    check(replies(), get(URL).range(RequestRange::From(8999)), &all[8999..], &[Some("bytes=8999-")]);
    check(replies(), get(URL).range(RequestRange::Suffix(10)), &all[8990..], &[Some("bytes=-10")]);
    let unsized_ = || replies().map(|reply| reply.announces(None));
    let bounded = get(URL).range(RequestRange::Bounded(1000..50_000));
    check(unsized_(), bounded, &all[1000..], &[Some("bytes=1000-49999")]);
}

#[tokio::test(start_paused = true)]
async fn skipping_has_a_cap() {
    let options = || NetworkOptions { max_skip: 4000, ..NetworkOptions::default() };
    let whole = || resource(9000).ignores_ranges();
    let from = |start| get(URL).range(RequestRange::From(start));
    let fetch_all = async |origin: ScriptedTransport, request| fetch(&client_with(options(), &origin), request).await;
    assert_eq!(fetch_all(origin([whole()]), from(4000)).await.unwrap().len(), 5000);
    let error = fetch_all(origin([whole()]), from(4001)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RangeIgnored);
    let error = fetch_all(origin([resource(9000).breaks_after(4001), whole()]), get(URL)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RangeIgnored);
}

#[tokio::test(start_paused = true)]
async fn the_head_tells_where_and_how_much() {
    let head = async |reply: Reply, request| client(&origin([reply])).fetch(request).await.unwrap().head;
    let all = head(resource(9000), get(URL)).await;
    assert_eq!((all.status, all.range_start, all.len, all.total_len), (200, 0, Some(9000), Some(9000)));
    let part = head(resource(9000), get(URL).range(RequestRange::Bounded(10..20))).await;
    assert_eq!((part.status, part.range_start, part.len, part.total_len), (206, 10, Some(10), Some(9000)));
    let skipped = head(resource(9000).ignores_ranges(), get(URL).range(RequestRange::Bounded(10..20))).await;
    assert_eq!((skipped.status, skipped.range_start, skipped.len), (200, 10, Some(10)));
    let unknown = head(resource(9000).announces(None), get(URL)).await;
    assert_eq!((unknown.len, unknown.total_len), (None, None));
}

#[test]
fn a_content_length_that_was_too_long_is_found_out() {
    let lies = || resource(9000).announces(Some(10_000)).breaks_after(9000);
    check([lies(), resource(9000)], get(URL), &pattern(9000), &[None, Some("bytes=9000-")]);
    let named = Reply::status(416).header("content-range", "bytes */9000");
    check([lies(), named], get(URL), &pattern(9000), &[None, Some("bytes=9000-")]);
}

#[test]
fn a_false_length_is_corrected_by_a_resume_of_the_same_version() {
    let lies = resource(9000).announces(Some(10_000)).breaks_after(4000);
    check([lies, resource(9000)], get(URL), &pattern(9000), &[None, Some("bytes=4000-")]);
}

#[test]
fn a_part_shorter_than_asked_is_completed() {
    let short = Reply::status(206).header("content-range", "bytes 0-999/9000").body(pattern(9000).slice(..1000));
    let request = get(URL).range(RequestRange::Bounded(0..2000));
    check([short, resource(9000)], request, &pattern(9000)[..2000], &[Some("bytes=0-1999"), Some("bytes=1000-1999")]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_names_no_length_proves_no_end() {
    let broken = [
        resource(1000).breaks_after(500),
        resource(1000).ignores_ranges().announces(None).breaks_after(500),
        resource(1000).ignores_ranges().announces(Some(2000)).breaks_after(1000),
        resource(1000).breaks_after(500).without("etag"),
        Reply::status(206).header("content-range", "bytes 0-999/*").body(pattern(1000)).breaks_after(500),
    ];
    for first in broken {
        let origin = origin([first, Reply::status(416)]);
        let mut body = client(&origin).fetch(get(URL).range(RequestRange::From(0))).await.unwrap().body;
        let position = body.chunk().await.unwrap().unwrap().len() as u64;
        let error = body.chunk().await.unwrap_err();
        assert_eq!((error.kind(), body.position()), (ErrorKind::Truncated, position));
        assert!(origin.requests().len() > 2, "it may be another server next time");
    }
    let origin = origin([resource(1000).breaks_after(500), Reply::status(416), resource(1000)]);
    assert_eq!(fetch(&client(&origin), get(URL)).await.unwrap(), pattern(1000));
}

/// A part of [`pattern`] whose resource is of unknown length.
fn part_of_unknown(range: std::ops::Range<usize>) -> Reply {
    let told = format!("bytes {}-{}/*", range.start, range.end - 1);
    let part = Reply::status(206).header("content-range", &told).header("etag", "\"e\"");
    part.body(pattern(9000).slice(range))
}

#[test]
fn a_short_part_of_unknown_length_is_completed() {
    let rest = |range| get(URL).range(range);
    let all = pattern(9000);
    let short = || part_of_unknown(5..7);
    let bounded = || rest(RequestRange::Bounded(5..8));
    check([short(), part_of_unknown(7..8)], bounded(), &all[5..8], &[Some("bytes=5-7"), Some("bytes=7-7")]);
    check([part_of_unknown(5..8)], bounded(), &all[5..8], &[Some("bytes=5-7")]);
    let nameless = |_: u64| Reply::status(416);
    let named = |total: u64| Reply::status(416).header("content-range", &format!("bytes */{total}"));
    for end in [nameless, named] as [fn(u64) -> Reply; 2] {
        check([short(), end(7)], bounded(), &all[5..7], &[Some("bytes=5-7"), Some("bytes=7-7")]);
        let open = [Some("bytes=5-"), Some("bytes=7-"), Some("bytes=9-")];
        check([short(), part_of_unknown(7..9), end(9)], rest(RequestRange::From(5)), &all[5..9], &open);
        let last = [Some("bytes=-8"), Some("bytes=7-")];
        check([part_of_unknown(0..7), end(7)], rest(RequestRange::Suffix(8)), &all[..7], &last);
    }
    // Where nothing tells versions apart, a 416 behind all that was announced is believed of what was to go on to the end.
    let replies = [part_of_unknown(5..9).without("etag"), Reply::status(416)];
    check(replies, rest(RequestRange::From(5)), &all[5..9], &[Some("bytes=5-"), Some("bytes=9-")]);
    // More in the message than its own range says is not of the resource.
    let surplus = part_of_unknown(5..7).body(pattern(9000).slice(1000..9000));
    let want = [&all[1000..1002], &all[7..8]].concat();
    check([surplus, part_of_unknown(7..8)], bounded(), &want, &[Some("bytes=5-7"), Some("bytes=7-7")]);
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_cuts_ranges_is_asked_for_the_next_one_at_once() {
    for total in ["*", "60000"] {
        let all = pattern(60_000);
        let sent = all.clone();
        let origin = ScriptedTransport::new().otherwise(move |sent_request| {
            let range = sent_request.header("range").unwrap().trim_start_matches("bytes=");
            let start: usize = range.split('-').next().unwrap().parse().unwrap();
            if start == sent.len() {
                return Reply::status(416).header("content-range", "bytes */60000");
            }
            let end = sent.len().min(start + 2000);
            let told = format!("bytes {start}-{}/{total}", end - 1);
            Reply::status(206).header("content-range", &told).body(sent.slice(start..end))
        });
        let unfailing = Arc::new(|attempt: &Attempt| panic!("{attempt:?}"));
        let begun = Instant::now();
        let request = get(URL).range(RequestRange::From(0)).observer(unfailing);
        assert_eq!(fetch(&client(&origin), request).await.unwrap(), all);
        assert_eq!(origin.requests().len(), if total == "*" { 31 } else { 30 });
        assert_eq!(begun.elapsed(), secs(0), "more of them than the origin would have to bear retries");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_beside_a_part_is_no_progress() {
    let origin = ScriptedTransport::new().otherwise(|sent| {
        let start = sent.header("range").unwrap().trim_start_matches("bytes=").trim_end_matches('-');
        assert!(start.parse::<u32>().unwrap() < 100, "byte by byte it is asked without end");
        let told = format!("bytes {start}-{start}/*");
        Reply::status(206).header("content-range", &told).header("etag", "\"e\"").body(pattern(2000))
    });
    let kind = fetch_error(&client(&origin), get(URL).range(RequestRange::From(0))).await;
    assert_eq!((kind, origin.requests().len()), (ErrorKind::Truncated, 4));
}

#[tokio::test(start_paused = true)]
async fn a_short_part_that_cannot_be_completed_is_an_error() {
    let origin = origin([part_of_unknown(5..7), Reply::status(404)]);
    let response = client(&origin).fetch(get(URL).range(RequestRange::Bounded(5..8))).await.unwrap();
    assert_eq!((response.head.len, response.head.total_len), (None, None));
    assert_eq!(body_error(response).await.kind(), ErrorKind::NotFound);
    let nameless = self::origin([part_of_unknown(5..7).without("etag"), Reply::status(416)]);
    let kind = fetch_error(&client(&nameless), get(URL).range(RequestRange::Bounded(5..8))).await;
    assert_eq!(kind, ErrorKind::Truncated);
}

#[test]
fn a_body_of_unknown_length_ends_where_it_ends() {
    check([resource(9000).announces(None)], get(URL), &pattern(9000), &[None]);
    let broken = resource(9000).announces(None).breaks_after(5000);
    check([broken, resource(9000)], get(URL), &pattern(9000), &[None, Some("bytes=5000-")]);
}

#[test]
fn an_empty_body_is_complete() {
    check([resource(0)], get(URL), b"", &[None]);
    check([Reply::status(204)], get(URL), b"", &[None]);
}

#[tokio::test(start_paused = true)]
async fn another_version_is_never_joined_to_the_first() {
    let other = pattern(9001).slice(1..);
    let first = || resource(9000).breaks_after(4000);
    let table = [
        ("other etag, whole", first(), Reply::resource(other.clone())),
        ("other etag, part", first(), Reply::resource(other.clone()).header("etag", "\"x\"").without("if-range")),
        ("no etag any more", first(), Reply::resource(other.clone()).without("etag")),
        ("other length, part", first().without("etag"), Reply::resource(pattern(9001)).without("etag")),
        (
            "other length, whole",
            first().without("etag"),
            Reply::resource(pattern(9001)).without("etag").ignores_ranges(),
        ),
        ("shorter now", first().without("etag"), Reply::resource(pattern(3000)).without("etag")),
        ("other weak etag", first().header("etag", "W/\"a\""), Reply::resource(other).header("etag", "W/\"b\"")),
    ];
    for (what, first, second) in table {
        let origin = origin([first, second]);
        let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
        assert_eq!(body.chunk().await.unwrap().unwrap(), pattern(9000).slice(..4000));
        let error = body.chunk().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed, "{what}");
        assert_eq!(body.chunk().await.unwrap_err().kind(), ErrorKind::Changed, "the error stays");
        assert_eq!(body.position(), 4000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_filled_only_from_the_version_it_belongs_to() {
    let held = Validators { etag: Some("\"v1\"".into()), last_modified: None };
    let request = || get(URL).range(RequestRange::Bounded(5..10)).provided_matches(held.clone());
    let same = origin([resource(100).header("etag", "\"v1\"")]);
    assert_eq!(fetch(&client(&same), request()).await.unwrap(), pattern(100).slice(5..10));
    assert_eq!(same.requests()[0].header("if-range"), Some("\"v1\""));
    for other in [
        resource(100).header("etag", "\"v2\""),
        resource(100).without("etag"),
        resource(100).without("etag").ignores_ranges(),
    ] {
        assert_eq!(fetch_error(&client(&origin([other])), request()).await, ErrorKind::Changed);
    }
    let ignoring = origin([resource(100).header("etag", "\"v1\"").ignores_ranges()]);
    assert_eq!(fetch(&client(&ignoring), request()).await.unwrap(), pattern(100).slice(5..10));
}

#[tokio::test(start_paused = true)]
async fn wrong_parts_are_refused() {
    for range in ["bytes 1-9/10", "bytes 0-9/9", "bytes 9-0/10", "0-9/10", ""] {
        let origin = origin([Reply::status(206).header("content-range", range).body(pattern(10))]);
        let kind = fetch_error(&client(&origin), get(URL).range(RequestRange::From(0))).await;
        assert_eq!(kind, ErrorKind::InvalidRange, "{range}");
    }
    let far = part_of_unknown(5..101);
    let kind = fetch_error(&client(&origin([far])), get(URL).range(RequestRange::Bounded(5..8))).await;
    assert_eq!(kind, ErrorKind::InvalidRange, "more than was asked for");
    let unasked = origin([Reply::status(206).header("content-range", "bytes 0-4/10").body("01234")]);
    assert_eq!(fetch_error(&client(&unasked), get(URL)).await, ErrorKind::InvalidRange);
}

#[tokio::test(start_paused = true)]
async fn a_range_beyond_the_end_tells_the_length() {
    for reply in [resource(100), resource(100).ignores_ranges()] {
        let kind = fetch_error(&client(&origin([reply])), get(URL).range(RequestRange::From(100))).await;
        assert_eq!(kind, ErrorKind::RangeNotSatisfiable { total: Some(100) });
    }
    let unsized_ = origin([resource(100).ignores_ranges().announces(None)]);
    let kind = fetch_error(&client(&unsized_), get(URL).range(RequestRange::From(200))).await;
    assert_eq!(kind, ErrorKind::RangeNotSatisfiable { total: Some(100) });
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_resumed_after_the_window() {
    let origin = origin([resource(9000).stalls_after(4000), resource(9000)]);
    let begun = Instant::now();
    assert_eq!(fetch(&client(&origin), get(URL)).await.unwrap(), pattern(9000));
    assert!(begun.elapsed() >= secs(5) && begun.elapsed() <= ms(5250), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_slow_drip_is_a_stall_and_a_slow_link_is_not() {
    let drips = origin([resource(9000).in_chunks(10, ms(100)), resource(9000)]);
    let begun = Instant::now();
    assert_eq!(fetch(&client(&drips), get(URL)).await.unwrap(), pattern(9000));
    assert_eq!(drips.requests().len(), 2);
    assert!(begun.elapsed() < ms(5400), "{:?}", begun.elapsed());
    let slow = origin([resource(9000).in_chunks(300, secs(1))]);
    assert_eq!(fetch(&client(&slow), get(URL)).await.unwrap(), pattern(9000));
    assert_eq!(slow.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endless_drip_is_an_error_and_not_a_hang() {
    let drips = origin([resource(9000).in_chunks(10, ms(100))]);
    let begun = Instant::now();
    let response = client(&drips).fetch(get(URL).patience(Patience::default())).await.unwrap();
    let error = body_error(response).await;
    assert_eq!(error.kind(), ErrorKind::Stall);
    assert!(begun.elapsed() < secs(45) && drips.requests().len() <= 8);
}

/// 3 kB/s.
fn crawls() -> Reply {
    resource(137_000).in_chunks(300, ms(100))
}

#[tokio::test(start_paused = true)]
async fn a_body_far_slower_than_those_before_it_goes_on_over_another_connection() {
    let quick = || resource(137_000).in_chunks(20_000, ms(10));
    let origin = origin([quick(), crawls(), quick()]);
    let client = client(&origin);
    fetch(&client, get(URL)).await.unwrap();
    let begun = Instant::now();
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(137_000));
    assert!(begun.elapsed() < ms(5500), "{:?}", begun.elapsed());
    assert_eq!(ranges(&origin), [None, None, Some("bytes=15000-".into())], "what came is kept");
}

/// A client to an origin that is known to be quick, and then answers with `replies`.
async fn known_as_quick(replies: impl IntoIterator<Item = Reply>) -> (ScriptedTransport, Client) {
    let quick = resource(137_000).in_chunks(20_000, ms(10));
    let origin = origin([quick].into_iter().chain(replies));
    let client = client(&origin);
    fetch(&client, get(URL)).await.unwrap();
    (origin, client)
}

/// When the requests after the first one were sent, in whole seconds since the second one.
fn sent_at(origin: &ScriptedTransport) -> Vec<u64> {
    let requests = origin.requests();
    requests[1..].iter().map(|sent| sent.at.duration_since(requests[1].at).as_secs()).collect()
}

#[tokio::test(start_paused = true)]
async fn connections_that_crawl_for_fifteen_seconds_do_not_hold_a_body_for_longer() {
    let quick = resource(137_000).in_chunks(20_000, ms(10));
    let (origin, client) = known_as_quick([crawls(), crawls(), crawls(), quick]).await;
    let begun = Instant::now();
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(137_000));
    assert!(begun.elapsed() < ms(16_000), "{:?}", begun.elapsed());
    assert_eq!(sent_at(&origin), [0, 5, 10, 15]);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_became_slow_is_left_alone_after_four_changes() {
    let (origin, client) = known_as_quick([resource(200_000).in_chunks(300, ms(100))]).await;
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(200_000));
    assert_eq!(sent_at(&origin), [0, 5, 10, 15, 30]);
    let sent = origin.requests().len();
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(200_000));
    assert_eq!(origin.requests().len(), sent + 1, "that is how fast the link is");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_crawls_while_others_are_quick_looks_for_another_connection_ever_more_seldom() {
    let crawling = resource(1_000_000).in_chunks(300, ms(100));
    let (origin, client) = known_as_quick([crawling]).await;
    let origin = origin.on("http://h/quick", [Reply::resource(pattern(137_000))]);
    let others = async {
        loop {
            fetch(&client, get("http://h/quick")).await.unwrap();
            tokio::time::sleep(ms(900)).await;
        }
    };
    tokio::select! {
        got = fetch(&client, get(URL)) => assert_eq!(got.unwrap(), pattern(1_000_000)),
        () = others => {}
    }
    let begun = origin.requests()[1].at;
    let requests = origin.requests().into_iter().skip(1).filter(|sent| sent.request.url.path() == "/a");
    let at: Vec<_> = requests.map(|sent| sent.at.duration_since(begun).as_secs()).collect();
    assert_eq!(at.len(), 7, "{at:?}");
    for (at, want) in at.iter().zip([0, 5, 10, 15, 30, 60, 120]) {
        assert!((want..want + 4).contains(at), "{at} {want}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crawling_body_does_not_begin_anew_at_a_server_that_ignores_ranges() {
    let whole = || crawls().ignores_ranges();
    let (origin, client) = known_as_quick([whole()]).await;
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(137_000));
    assert_eq!(ranges(&origin)[1..], [None, Some("bytes=15000-".into())], "it was not known before that");

    let (origin, client) = known_as_quick([whole().header("accept-ranges", "none")]).await;
    assert_eq!(fetch(&client, get(URL)).await.unwrap(), pattern(137_000));
    assert_eq!(origin.requests().len(), 2, "it said so");

    let (origin, client) = known_as_quick([whole()]).await;
    let got = fetch(&client, get(URL).range(RequestRange::From(1000))).await.unwrap();
    assert_eq!(got, pattern(137_000).slice(1000..));
    assert_eq!(origin.requests().len(), 2, "its first answer showed it");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_cannot_be_resumed_is_waited_for() {
    let quick = resource(137_000).in_chunks(20_000, ms(10));
    let origin = origin([quick, resource(60_000).in_chunks(300, ms(100)).without("etag")]);
    let client = client(&origin);
    fetch(&client, get(URL)).await.unwrap();
    let whole = client.fetch(get(URL).delivery(Delivery::Whole)).await.unwrap();
    assert_eq!(whole.body.collect(u64::MAX).await.unwrap().len(), 60_000);
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nobody_reads_is_no_stall() {
    let origin = origin([resource(9000).in_chunks(3000, ms(10))]);
    let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
    let mut len = 0;
    while let Some(chunk) = body.chunk().await.unwrap() {
        len += chunk.len();
        tokio::time::sleep(secs(600)).await;
    }
    assert_eq!((len, origin.requests().len()), (9000, 1));
}

#[tokio::test(start_paused = true)]
async fn time_between_cancelled_reads_is_no_stall_and_that_within_them_is() {
    let origin = origin([resource(9000).in_chunks(9000, secs(30)), resource(9000)]);
    let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
    // Four seconds of waiting in pieces, and most of the half minute between them.
    for _ in 0..4 {
        assert!(timeout(secs(1), body.chunk()).await.is_err());
        tokio::time::sleep(ms(5500)).await;
    }
    assert!(timeout(ms(900), body.chunk()).await.is_err());
    assert_eq!(origin.requests().len(), 1);
    tokio::time::sleep(secs(600)).await;
    assert_eq!(body.chunk().await.unwrap().unwrap(), pattern(9000), "it had come meanwhile");
    assert_eq!(origin.requests().len(), 1);

    let origin = self::origin([resource(9000).stalls_after(4000), resource(9000)]);
    let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
    assert_eq!(body.chunk().await.unwrap().unwrap().len(), 4000);
    let mut waited = Duration::ZERO;
    while origin.requests().len() == 1 {
        assert!(timeout(secs(2), body.chunk()).await.is_err() || waited >= secs(4));
        waited += secs(2);
        tokio::time::sleep(secs(60)).await;
    }
    assert_eq!(waited, secs(6), "five seconds of waiting are a stall however they are cut");
}

#[tokio::test(start_paused = true)]
async fn cancelled_reads_lose_nothing_and_hurry_nothing() {
    let replies =
        [resource(9000).stalls_after(4000), Reply::status(503), resource(9000).after(secs(2)).in_chunks(1000, ms(30))];
    let origin = origin(replies);
    let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
    let (mut got, begun) = (Vec::new(), Instant::now());
    loop {
        match timeout(ms(7), body.chunk()).await {
            Ok(Ok(Some(chunk))) => got.extend_from_slice(&chunk),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => {}
        }
    }
    assert_eq!(got, pattern(9000));
    assert_eq!(origin.requests().len(), 3);
    assert!(begun.elapsed() < secs(9), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_is_a_stream_too() {
    use futures_util::TryStreamExt;
    let origin = origin([resource(9000).in_chunks(1000, ms(1)).breaks_after(4000), Reply::status(404)]);
    let mut stream = client(&origin).fetch(get(URL)).await.unwrap().body.into_stream();
    let mut len = 0;
    let error = loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => len += chunk.len(),
            Ok(None) => panic!("the error is an item"),
            Err(error) => break error,
        }
    };
    assert_eq!((len, error.kind()), (4000, ErrorKind::NotFound));
    assert!(matches!(stream.try_next().await, Ok(None)), "and the last one");
}

#[tokio::test(start_paused = true)]
async fn what_a_resume_is_answered_with_goes_up() {
    let origin = origin([resource(9000).breaks_after(4000), Reply::status(403)]);
    let mut body = client(&origin).fetch(get(URL)).await.unwrap().body;
    body.chunk().await.unwrap();
    let error = body.chunk().await.unwrap_err();
    assert_eq!((error.kind(), error.status(), error.attempts()), (ErrorKind::Forbidden, Some(403), 2));
    assert_eq!(body.position(), 4000, "the caller can go on from here, elsewhere");
}

mod randomly {
    use proptest::prelude::*;

    use super::*;

    fn breakage() -> impl Strategy<Value = Reply> {
        let len = 20_000usize;
        (0..len, 0..5u8, any::<bool>(), any::<bool>(), 100..9000usize).prop_map(
            move |(at, how, ranged, sized, chunk)| {
                let reply = resource(len).in_chunks(chunk, ms(1));
                let reply = if ranged { reply } else { reply.ignores_ranges() };
                // An unannounced end in order cannot be told from the real one.
                let reply = if sized || how == 1 { reply } else { reply.announces(None) };
                match how {
                    0 => reply.breaks_after(at),
                    1 => reply.ends_after(at),
                    2 => reply.stalls_after(at),
                    3 => Reply::status(503),
                    _ => Reply::failure(ErrorKind::Disconnected),
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_breaks_the_bytes_are_the_bytes(
            replies in prop::collection::vec(breakage(), 0..4),
            start in 0..19_999u64,
            len in 1..30_000u64,
            whole in any::<bool>(),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let origin = origin(replies.into_iter().chain([resource(20_000)]));
            let (request, want) = if whole {
                (get(URL), pattern(20_000))
            } else {
                let end = (start + len).min(20_000) as usize;
                (get(URL).range(RequestRange::Bounded(start..start + len)), pattern(20_000).slice(start as usize..end))
            };
            let got = runtime.block_on(fetch(&client(&origin), request.patience(Patience::default())));
            prop_assert_eq!(got.unwrap(), want);
        }
    }
}
