//! Nothing secret is shown.

use std::fmt::Debug;
use std::sync::Arc;

use http::HeaderMap;
use kithara_fetch::{FetchRequest, WholeRequest};
use kithara_net::Origin;
use kithara_net::transport::scripted::{Reply, ScriptedTransport};
use url::Url;

use crate::support::*;

const SECRET: &str = "s3cr3t";

fn check(what: &dyn Debug) {
    let text = format!("{what:?} {what:#?}");
    assert!(!text.contains(SECRET), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_debug_and_no_error_shows_a_query_a_password_or_a_header() {
    let url: Url = format!("http://user:{SECRET}@h/a?token={SECRET}").parse().unwrap();
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, SECRET.parse().unwrap())]);
    let request = FetchRequest {
        headers: vec![(Origin::of(&url).unwrap(), headers)],
        key: Some(key_of(URL)),
        ..FetchRequest::new(url)
    };
    let seen = Arc::new(std::sync::Mutex::new(String::new()));
    let writer = Arc::clone(&seen);
    let observed = FetchRequest {
        observer: Some(Arc::new(move |attempt| writer.lock().unwrap().push_str(&format!("{attempt:?}")))),
        ..request.clone()
    };
    let replies = [Reply::status(403), Reply::resource(DIGITS), Reply::status(500)];
    let world = World::new(
        ScriptedTransport::new().otherwise({
            let replies = std::sync::Mutex::new(replies.into_iter());
            move |_| replies.lock().unwrap().next().unwrap_or_default()
        }),
        None,
    );

    let error = world.bytes(observed).await.unwrap_err();
    check(&error);
    assert!(!error.to_string().contains(SECRET), "{error}");
    assert_eq!(error.status(), Some(403));
    check(&*seen.lock().unwrap());
    assert!(!seen.lock().unwrap().is_empty(), "the observer was told");

    let mut delivery = world.fetcher.fetch(request.clone());
    check(&delivery.head().await.unwrap());
    check(&delivery);
    check(&world.fetcher);
    check(&WholeRequest::from(request));
    let sent = world.origin.requests();
    assert_eq!(sent[0].header("authorization"), Some(SECRET), "and yet it was sent");
}
