//! What an app may choose about the requests for one stream or file, and about its name in the store.

use std::{fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use kithara_assets::{Partition, UrlIdentity};
use kithara_net::{Origin, append_query_raw, retry::Patience};
use url::Url;

/// What is sent with requests, and how long they may take.
#[derive(Clone)]
pub struct RequestOptions {
    /// Headers for the origin of the URL that was opened; no other origin gets them, also not by redirect, and also not where
    /// a resolver says later that the stream is: it gives headers with that. Default: none.
    pub headers: HeaderMap,
    /// `name=value&...`, appended as it is to every URL at the origin of the URL that was opened: of a stream, those of its
    /// playlists, segments and keys. Default: none.
    pub query: Option<String>,
    /// How long what is of use only as a whole, a playlist or a key, may take, all attempts together. What is read while it
    /// arrives has no such limit. Default: 30 s.
    pub deadline: Duration,
    /// How long to keep trying for media while nothing arrives. Default: 20 s and 8 attempts.
    pub patience: Patience,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            headers: HeaderMap::new(),
            query: None,
            deadline: Duration::from_secs(30),
            patience: Patience::default(),
        }
    }
}

impl RequestOptions {
    /// Adds a header.
    ///
    /// # Errors
    /// When the name or value is not one HTTP allows.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, http::Error> {
        let mut secret = HeaderValue::from_str(value)?;
        secret.set_sensitive(true);
        self.headers.append(HeaderName::from_bytes(name.as_bytes())?, secret);
        Ok(self)
    }

    /// What is sent to `origin`, the one of the URL that was opened, as [`FetchRequest::headers`](crate::FetchRequest)
    /// wants it.
    #[must_use]
    pub fn headers_for(&self, origin: &Origin) -> Vec<(Origin, HeaderMap)> {
        if self.headers.is_empty() { Vec::new() } else { vec![(origin.clone(), self.headers.clone())] }
    }

    /// `url` as it is asked for when `opened` is the origin of the URL that was opened: with [`query`](Self::query) if it
    /// lies there.
    #[must_use]
    pub fn asked(&self, url: &Url, opened: &Origin) -> Url {
        asked(url, opened, self.query.as_deref())
    }
}

/// `url` with `query`, if it lies at `opened`.
#[must_use]
pub fn asked(url: &Url, opened: &Origin, query: Option<&str>) -> Url {
    match query.filter(|_| Origin::of(url).as_ref() == Some(opened)) {
        Some(query) => append_query_raw(url, query),
        None => url.clone(),
    }
}

/// Names of headers and everything but secrets.
impl fmt::Debug for RequestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("RequestOptions")
            .field("headers", &names)
            .field("query", &self.query.as_ref().map(|_| "..."))
            .field("deadline", &self.deadline)
            .field("patience", &self.patience)
            .finish()
    }
}

/// How resources are named in the store.
#[derive(Clone, Debug, Default)]
pub struct CacheOptions {
    /// Whose resources these are: bytes are shared within a partition only. An application that plays for several users over one store
    /// gives each a [`scope`](Partition::scoped) of their own, or one is served what was fetched with the headers of another. (Headers
    /// cannot tell users apart: most tokens change with every visit.) Default: the public one.
    pub partition: Partition,
    /// Which parts of a URL name a resource; signing parameters do not. Default: [`UrlIdentity::default`].
    pub identity: UrlIdentity,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[track_caller]
    fn check(at: &str, want: &str) {
        let opened = Origin::of(&url("https://a.example/master.m3u8")).expect("an origin");
        let options = RequestOptions { query: Some("t=a%2Fb".to_owned()), ..RequestOptions::default() };
        assert_eq!(options.asked(&url(at), &opened).as_str(), want);
    }

    #[test]
    fn the_query_goes_to_the_origin_that_was_opened_and_as_it_is() {
        check("https://a.example/1.ts", "https://a.example/1.ts?t=a%2Fb");
        check("https://a.example/1.ts?x=1", "https://a.example/1.ts?x=1&t=a%2Fb");
        check("https://b.example/1.ts", "https://b.example/1.ts");
        check("http://a.example/1.ts", "http://a.example/1.ts");
    }

    #[test]
    fn headers_and_query_are_not_shown() {
        let options = RequestOptions { query: Some("token=secret".to_owned()), ..RequestOptions::default() };
        let options = options.with_header("Authorization", "secret").expect("a header");
        let shown = format!("{options:?}");
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
    }
}
