//! What a command works on.

use kithara::fetch::net::RedactedUrl;
use kithara_origin::Origin;
use url::Url;

use crate::failure::{Class, Failure};

/// The URL a command was given, or the built-in stream with the server that serves it.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    /// Lives as long as the command works on it.
    demo: Option<Origin>,
}

impl Target {
    /// A URL as it is, or the demo stream for the word `demo`.
    pub(crate) fn open(text: &str) -> Result<Self, Failure> {
        if text != "demo" {
            return Ok(Self { url: text.to_owned(), demo: None });
        }
        let origin = Origin::start(kithara_origin::demo())
            .map_err(|error| Failure::new(Class::Network, format!("the demo stream cannot be served: {error}")))?;
        Ok(Self { url: origin.url("/master.m3u8"), demo: Some(origin) })
    }

    /// Whether it is the built-in stream.
    pub(crate) fn is_demo(&self) -> bool {
        self.demo.is_some()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it is called in front of people: without secrets.
    pub(crate) fn shown(&self) -> String {
        if self.demo.is_some() {
            return "the demo stream".to_owned();
        }
        Url::parse(&self.url).map_or_else(|_| self.url.clone(), |url| RedactedUrl::new(&url).to_string())
    }
}
