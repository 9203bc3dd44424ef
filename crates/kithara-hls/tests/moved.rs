//! Streams that move: URLs are refused from one moment on, and the application says where the stream is now.

mod support;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use kithara_hls::{
    HlsParams,
    fetch::{Ask, AskReason, Located, Resolution, UrlResolver},
};
use kithara_origin::{Origin, Response, Rule};
use support::{assert_exact, fixtures, open, playlist, quick, read_all, read_range, serve, truth, try_open, url};

/// Says that the stream is there now, and what opens it.
struct Moved {
    to: String,
    token: &'static str,
    asked: AtomicU32,
}

impl UrlResolver for Moved {
    fn resolve<'a>(&'a self, ask: &'a Ask) -> Pin<Box<dyn Future<Output = Resolution> + Send + 'a>> {
        assert_eq!(ask.reason, AskReason::Failure);
        self.asked.fetch_add(1, Ordering::Relaxed);
        let value = format!("Bearer {}", self.token).parse().expect("a header");
        let headers = [(http::header::AUTHORIZATION, value)].into_iter().collect();
        Box::pin(std::future::ready(Resolution::Located(Located { url: url(&self.to), headers })))
    }
}

/// An origin that refuses everything as soon as it is told to, one that takes over and wants a token, and an application
/// that knows of that.
fn moving(fixture: &str) -> (Origin, Arc<AtomicBool>, Origin, Arc<Moved>) {
    let refuses = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&refuses);
    let old = Rule::on("/**").when(move |_| flag.load(Ordering::Acquire)).then(Response::new(403));
    let (old, new) = (serve(fixtures().rule(old)), serve(fixtures().bearer("/**", "sesame")));
    let resolver = Moved { to: playlist(&new, fixture), token: "sesame", asked: AtomicU32::new(0) };
    (old, refuses, new, Arc::new(resolver))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_moved_before_it_is_opened_is_found_with_its_token() {
    for fixture in ["ts_aac", "fmp4_aes"] {
        let (old, refuses, new, resolver) = moving(fixture);
        refuses.store(true, Ordering::Release);
        let params = HlsParams { resolver: Some(resolver.clone()), ..HlsParams::from(quick()) };
        let source = open(&playlist(&old, fixture), params).await;
        assert_exact(&read_all(&source).await, &truth(fixture), fixture);
        assert_eq!((old.log().len(), resolver.asked.load(Ordering::Relaxed)), (1, 1));
        assert!(new.log().iter().all(|request| request.header("authorization") == Some("Bearer sesame")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_moves_while_it_is_read_goes_on_from_the_same_byte() {
    let fixture = "ts_aac";
    let (old, refuses, new, resolver) = moving(fixture);
    let mut options = quick();
    // Not everything is there before the move.
    options.playback.buffer_bytes = 1;
    let params = HlsParams { resolver: Some(resolver.clone()), ..HlsParams::from(options) };
    let source = open(&playlist(&old, fixture), params).await;
    let truth = truth(fixture);
    let (mut all, error) = read_range(&source, 0..1_000).await;
    assert!(error.is_none(), "{error:?}");
    refuses.store(true, Ordering::Release);
    let (rest, error) = read_range(&source, 1_000..u64::MAX).await;
    all.extend(rest);
    assert_exact(&(all, error), &truth, fixture);
    assert!(!new.log().is_empty());
    assert!(new.log().iter().all(|request| request.header("authorization") == Some("Bearer sesame")));
    assert!(old.log().iter().all(|request| request.header("authorization").is_none()), "no token for the old one");
    assert!(resolver.asked.load(Ordering::Relaxed) <= 2);
}

/// An application that fails at the worst time.
struct Panics;

impl UrlResolver for Panics {
    fn resolve<'a>(&'a self, _: &'a Ask) -> Pin<Box<dyn Future<Output = Resolution> + Send + 'a>> {
        Box::pin(async { std::panic::resume_unwind(Box::new("by intention")) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_panics_is_one_that_does_not_know() {
    let (old, refuses, ..) = moving("ts_aac");
    refuses.store(true, Ordering::Release);
    let params = HlsParams { resolver: Some(Arc::new(Panics)), ..HlsParams::from(quick()) };
    let error = try_open(&playlist(&old, "ts_aac"), params).await.expect_err("nobody knows where it is");
    assert_eq!(error.status(), Some(403), "{error:?}");
}
