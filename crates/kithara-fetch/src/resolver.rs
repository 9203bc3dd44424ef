//! Where a resource is now: asked of the app.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use kithara_net::RedactedUrl;
use tokio::time::Instant;
use url::Url;

use crate::{FetchError, FetchErrorKind};

/// Gives URLs that only the app can make: signed ones, those of a session, those of another mirror.
///
/// It is asked when a stream is opened, after a failure that a new URL may cure, and before each request where the app signs every
/// URL. What is asked for stays the same resource: its key in the store does not change.
pub trait UrlResolver: Send + Sync + 'static {
    /// Where `ask.url` is now. May take its time; the caller has a limit of its own.
    fn resolve<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Resolution>;
}

/// What a [`UrlResolver`] is asked.
#[derive(Clone)]
pub struct Ask {
    /// The URL as the stream names it, or as it was opened.
    pub url: Url,
    /// Why it is asked.
    pub reason: AskReason,
    /// How often this was asked, this time included; from 1.
    pub attempt: u32,
    /// What went wrong last, if anything did.
    pub last_error: Option<FetchError>,
}

/// Why a [`UrlResolver`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AskReason {
    /// The stream is being opened.
    Open,
    /// A request for this URL is about to be sent.
    Request,
    /// The URL does not work any more; see [`Ask::last_error`].
    Failure,
}

/// What a [`UrlResolver`] answers.
#[derive(Clone, Debug)]
pub enum Resolution {
    /// It is there.
    Located(Located),
    /// It is not ready: ask again, after the hint if there is one.
    NotYet(Option<Duration>),
    /// It will not be ready. The text of the error is shown, so it must hold no secret.
    Failed(Arc<dyn Error + Send + Sync>),
}

/// A URL with what it takes to use it.
#[derive(Clone)]
pub struct Located {
    /// Where the resource is; used as it is, never encoded again.
    pub url: Url,
    /// Headers for the origin of `url`.
    pub headers: HeaderMap,
}

/// Asks `resolver` until it has an answer, at most for `limit`. Between answers of "not yet" it waits as told, and a second
/// otherwise; never less than a quarter of a second.
///
/// # Errors
/// [`Unresolved`](FetchErrorKind::Unresolved) with the resolver's own error; [`NotReady`](FetchErrorKind::NotReady) after `limit`, or
/// as soon as the next wait would end beyond it.
pub async fn resolve_in_time(resolver: &dyn UrlResolver, ask: Ask, limit: Duration) -> Result<Located, FetchError> {
    let not_ready = || FetchError::new(FetchErrorKind::NotReady);
    let begun = Instant::now();
    let mut ask = ask;
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let answer = tokio::time::timeout(left, resolver.resolve(&ask)).await;
        let hint = match answer.map_err(|_| not_ready())? {
            Resolution::Located(located) => return Ok(located),
            Resolution::Failed(error) => return Err(FetchError::unresolved(error)),
            Resolution::NotYet(hint) => hint,
        };
        let wait = hint.unwrap_or(USUAL_WAIT).max(LEAST_WAIT);
        if wait >= limit.saturating_sub(begun.elapsed()) {
            return Err(not_ready());
        }
        tokio::time::sleep(wait).await;
        ask.attempt = ask.attempt.saturating_add(1);
    }
}

/// Whatever the hint of a resolver says, it is not asked in a tight loop.
const LEAST_WAIT: Duration = Duration::from_millis(250);

const USUAL_WAIT: Duration = Duration::from_secs(1);

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("url", &RedactedUrl::new(&self.url))
            .field("reason", &self.reason)
            .field("attempt", &self.attempt)
            .field("last_error", &self.last_error)
            .finish()
    }
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(http::HeaderName::as_str).collect();
        f.debug_struct("Located").field("url", &RedactedUrl::new(&self.url)).field("headers", &names).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Gives its answers one after the other and notes when and how it was asked.
    struct Scripted {
        begun: Instant,
        answers: Mutex<Vec<Resolution>>,
        asked: Mutex<Vec<(Duration, u32)>>,
    }

    impl UrlResolver for Scripted {
        fn resolve<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Resolution> {
            self.asked.lock().unwrap().push((self.begun.elapsed(), ask.attempt));
            let answer = self.answers.lock().unwrap().remove(0);
            Box::pin(std::future::ready(answer))
        }
    }

    fn scripted(answers: impl IntoIterator<Item = Resolution>) -> Scripted {
        let answers = Mutex::new(answers.into_iter().collect());
        Scripted { begun: Instant::now(), answers, asked: Mutex::default() }
    }

    fn located() -> Resolution {
        let headers = HeaderMap::from_iter([(http::header::COOKIE, "secret=2".parse().unwrap())]);
        Resolution::Located(Located { url: url(), headers })
    }

    fn url() -> Url {
        "https://a.example/x?token=secret".parse().unwrap()
    }

    fn ask() -> Ask {
        Ask { url: url(), reason: AskReason::Open, attempt: 1, last_error: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_is_not_ready_is_asked_again_when_it_said() {
        let hint = Duration::from_secs(3);
        let resolver = scripted([
            Resolution::NotYet(Some(hint)),
            Resolution::NotYet(None),
            Resolution::NotYet(Some(Duration::ZERO)),
            located(),
        ]);
        let found = resolve_in_time(&resolver, ask(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(found.url, url());
        let third = hint + USUAL_WAIT;
        let asked = [(Duration::ZERO, 1), (hint, 2), (third, 3), (third + LEAST_WAIT, 4)];
        assert_eq!(*resolver.asked.lock().unwrap(), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_beyond_the_limit_is_not_begun() {
        let resolver = scripted([Resolution::NotYet(Some(Duration::from_secs(10)))]);
        let error = resolve_in_time(&resolver, ask(), Duration::from_secs(10)).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::NotReady);
        assert_eq!(resolver.begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_never_answers_is_left_in_time() {
        struct Silent;
        impl UrlResolver for Silent {
            fn resolve<'a>(&'a self, _: &'a Ask) -> BoxFuture<'a, Resolution> {
                Box::pin(std::future::pending())
            }
        }
        let begun = Instant::now();
        let error = resolve_in_time(&Silent, ask(), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (FetchErrorKind::NotReady, Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_resolvers_own_error_is_the_cause() {
        let resolver = scripted([Resolution::Failed(Arc::new(std::fmt::Error))]);
        let error = resolve_in_time(&resolver, ask(), Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::Unresolved);
        assert!(error.source().unwrap().is::<std::fmt::Error>());
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?} {:?}", ask(), located());
        assert!(text.contains("cookie") && !text.contains("secret"), "{text}");
    }
}
