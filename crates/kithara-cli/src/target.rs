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
        shown(&self.url)
    }
}

/// A URL as it may be shown. Of a text that is none all is left out in which a secret may be: user names, passwords, queries.
pub(crate) fn shown(text: &str) -> String {
    if let Ok(url) = Url::parse(text) {
        return RedactedUrl::new(&url).to_string();
    }
    let host = text.find("://").map_or(0, |at| at + "://".len());
    // Where a password ends that has any sign in it, nobody can tell.
    let end = if text[host..].contains('@') { Some(host) } else { text.find(['?', '#']) };
    end.map_or_else(|| text.to_owned(), |end| format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        assert_eq!(shown(text), want);
    }

    #[test]
    fn a_text_that_is_no_url_is_shown_without_secrets() {
        check("http://u:SECRET@h:99999/a?sig=TOK", "http://…");
        check("http://u:SE?C#RE/T@h:99999/a", "http://…");
        check("http://h:99999/a?mail=TOK@h", "http://…");
        check("http://h:99999/a?sig=TOK", "http://h:99999/a…");
        check("http://h:99999/a#TOK", "http://h:99999/a…");
        check("u@h/a", "…");
        check("somewhere/a.m3u8", "somewhere/a.m3u8");
        check("http://u:SECRET@h/a?sig=TOK", "http://h/a?…");
    }
}
