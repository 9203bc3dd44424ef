//! Documents: delivered whole, conditional, compressed.

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use kithara_net::retry::Patience;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use kithara_net::{Delivery, ErrorKind, RequestRange, Validators};
use tokio::time::Instant;

use super::*;

const URL: &str = "http://h/a";

fn origin(replies: impl IntoIterator<Item = Reply>) -> ScriptedTransport {
    ScriptedTransport::new().on(URL, replies)
}

fn whole() -> Request {
    get(URL).delivery(Delivery::Whole).max_len(100_000)
}

fn inflated() -> Request {
    whole().delivery(Delivery::WholeInflated)
}

fn gzip(plain: &[u8]) -> Reply {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    Reply::resource(encoder.finish().unwrap())
        .header("content-encoding", "gzip")
        .header("etag", "W/\"v1\"")
        .ignores_ranges()
}

#[tokio::test(start_paused = true)]
async fn a_broken_document_is_fetched_anew_unless_its_version_is_proven() {
    let (old, new) = (pattern(5000), pattern(5001).slice(1..));
    let first = Reply::resource(old.clone()).breaks_after(3000);
    let origin_ = origin([first.clone().without("etag"), Reply::resource(new.clone()).without("etag")]);
    assert_eq!(fetch(&client(&origin_), whole()).await.unwrap(), new, "never a mixture");
    assert_eq!(ranges(&origin_), [None, None]);
    let origin_ = origin([first.clone(), Reply::resource(old.clone())]);
    assert_eq!(fetch(&client(&origin_), whole()).await.unwrap(), old);
    assert_eq!(ranges(&origin_), [None, Some("bytes=3000-".into())]);
    let origin_ = origin([first, Reply::resource(new.clone())]);
    assert_eq!(fetch(&client(&origin_), whole()).await.unwrap(), new, "a changed one is begun anew");
}

#[tokio::test(start_paused = true)]
async fn a_document_that_always_breaks_is_an_error_after_a_few_attempts() {
    for reply in [Reply::resource(pattern(50_000)).without("etag"), Reply::resource(pattern(50_000)).ignores_ranges()] {
        let origin = origin([reply.breaks_after(20_000)]);
        assert_eq!(fetch_error(&client(&origin), whole()).await, ErrorKind::Truncated);
        assert!(origin.requests().len() <= 8, "{}", origin.requests().len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_that_changes_and_breaks_for_ever_is_an_error_too() {
    let versions = AtomicU32::new(0);
    let origin = ScriptedTransport::new().otherwise(move |_| {
        let etag = format!("\"v{}\"", versions.fetch_add(1, Ordering::Relaxed));
        Reply::resource(pattern(50_000)).header("etag", &etag).breaks_after(20_000)
    });
    let begun = Instant::now();
    assert_eq!(fetch_error(&client(&origin), whole().patience(Patience::default())).await, ErrorKind::Truncated);
    assert_eq!(origin.requests().len(), 8);
    assert!(begun.elapsed() < secs(20));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_delivered_before_all_is_there() {
    let origin = origin([Reply::resource(pattern(5000)).in_chunks(1000, secs(1))]);
    let begun = Instant::now();
    let mut response = client(&origin).fetch(whole()).await.unwrap();
    assert_eq!(begun.elapsed(), secs(5));
    assert_eq!(response.body.chunk().await.unwrap().unwrap(), pattern(5000));
    assert_eq!(response.body.chunk().await.unwrap(), None);
    assert_eq!(response.body.position(), 5000);
}

#[tokio::test(start_paused = true)]
async fn a_false_length_of_a_document_is_survived() {
    let origin = origin([
        Reply::resource(pattern(5000)).announces(Some(6000)).breaks_after(5000),
        Reply::resource(pattern(5000)),
    ]);
    let response = client(&origin).fetch(whole()).await.unwrap();
    assert_eq!((response.head.len, response.head.total_len), (Some(5000), Some(5000)));
    assert_eq!(response.body.collect(9999).await.unwrap(), pattern(5000));
}

#[tokio::test(start_paused = true)]
async fn gzip_is_asked_for_and_inflated() {
    let text = "#EXTINF:4,\nsegment.ts\n".repeat(1000);
    let origin_ = origin([gzip(text.as_bytes()), Reply::resource(text.clone())]);
    for _ in 0..2 {
        let response = client(&origin_).fetch(inflated()).await.unwrap();
        assert_eq!(response.head.len, Some(text.len() as u64));
        assert_eq!(response.body.collect(100_000).await.unwrap(), text);
    }
    assert_eq!(origin_.requests()[0].header("accept-encoding"), Some("gzip"));
    fetch(&client(&origin_), get(URL)).await.unwrap();
    assert_eq!(origin_.requests()[2].header("accept-encoding"), Some("identity"));
}

#[tokio::test(start_paused = true)]
async fn a_broken_gzip_body_is_fetched_anew() {
    let text = "abcdefghij".repeat(500);
    for first in [gzip(text.as_bytes()).breaks_after(30), gzip(text.as_bytes()).announces(None).ends_after(30)] {
        let origin_ = origin([first, gzip(text.as_bytes())]);
        assert_eq!(fetch(&client(&origin_), inflated()).await.unwrap(), text);
        assert_eq!(ranges(&origin_), [None, None]);
    }
}

#[tokio::test(start_paused = true)]
async fn compression_has_its_caps() {
    let bomb = origin([gzip(&vec![0; 50 << 20])]);
    assert_eq!(fetch_error(&client(&bomb), inflated().max_len(1 << 30)).await, ErrorKind::Encoding, "by ratio");
    assert_eq!(fetch_error(&client(&bomb), inflated()).await, ErrorKind::TooLarge, "by size");
    let garbage = origin([Reply::status(200).header("content-encoding", "gzip").body("this is no gzip at all")]);
    assert_eq!(fetch_error(&client(&garbage), inflated()).await, ErrorKind::Corrupt);
    assert_eq!(garbage.requests().len(), 4, "it might have been cut off");
}

#[tokio::test(start_paused = true)]
async fn codings_nobody_asked_for_are_refused() {
    let coded = |coding: &str| origin([Reply::resource("x").header("content-encoding", coding)]);
    assert_eq!(fetch_error(&client(&coded("gzip")), get(URL)).await, ErrorKind::Encoding);
    assert_eq!(fetch_error(&client(&coded("br")), inflated()).await, ErrorKind::Encoding);
    assert_eq!(fetch(&client(&coded("identity")), get(URL)).await.unwrap(), "x");
    assert_eq!(fetch(&client(&coded("aws-chunked")), get(URL)).await.unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_resource_is_not_sent_again() {
    let origin_ = origin([Reply::resource("text").header("etag", "\"v1\"").header("cache-control", "max-age=7")]);
    let client = client(&origin_);
    let first = client.fetch(whole()).await.unwrap().head;
    assert_eq!((first.not_modified, first.max_age), (false, Some(secs(7))));
    for request in [whole(), get(URL)] {
        let again = client.fetch(request.unless_matches(first.validators.clone())).await.unwrap();
        assert!(again.head.not_modified);
        assert_eq!(again.body.collect(10).await.unwrap(), "");
    }
    let dated = Validators { etag: None, last_modified: Some("Sun, 06 Nov 1994 08:49:37 GMT".into()) };
    client.fetch(whole().unless_matches(dated)).await.unwrap();
    let sent = origin_.requests();
    assert_eq!(sent[1].header("if-none-match"), Some("\"v1\""));
    assert_eq!(sent[3].header("if-modified-since"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
}

#[tokio::test(start_paused = true)]
async fn a_part_can_be_wanted_whole_too() {
    let origin = origin([Reply::resource(pattern(100)).breaks_after(5), Reply::resource(pattern(100))]);
    let response = client(&origin).fetch(whole().range(RequestRange::Bounded(10..40))).await.unwrap();
    assert_eq!((response.head.range_start, response.head.len, response.head.total_len), (10, Some(30), Some(100)));
    assert_eq!(response.body.collect(100).await.unwrap(), pattern(100).slice(10..40));
}
