//! Headers that let somebody in, and where they may go.

use std::error::Error;

use futures_util::future::BoxFuture;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use url::Url;

use crate::Origin;

/// Gives the credentials for one hop of one attempt.
///
/// Asked anew at every hop, redirects included, with the very URL that is about to be requested. What it returns is
/// sent to that URL and nowhere else; it wins over headers of the same name from the request.
pub trait Authorizer: Send + Sync + 'static {
    /// Headers for a request to `url`; empty for none. An error fails the fetch with
    /// [`ErrorKind::Authorizer`](crate::ErrorKind::Authorizer); its text is shown, so it must hold no secret. One that does
    /// not answer within [`Timeouts::first_byte`](crate::Timeouts::first_byte) fails it, too.
    fn authorize<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<HeaderMap, Box<dyn Error + Send + Sync>>>;
}

/// Headers bound to origins, along one chain of redirects. What does not belong to a hop's origin is dropped there for
/// good: a foreign origin that sends us back must not be able to choose what our credentials are used for.
pub(crate) struct Carried<'a>(Vec<(&'a Origin, &'a HeaderMap)>);

impl<'a> Carried<'a> {
    pub(crate) fn new(bound: &'a [(Origin, HeaderMap)]) -> Self {
        Self(bound.iter().map(|(origin, headers)| (origin, headers)).collect())
    }

    /// Adds to `headers` what may go to `origin`, and drops the rest.
    pub(crate) fn enter(&mut self, origin: &Origin, headers: &mut HeaderMap) {
        self.0.retain(|(bound, _)| *bound == origin);
        for (_, carried) in &self.0 {
            add_secret(headers, carried);
        }
    }
}

/// Puts `added` into `headers` in place of what stood there. Headers that the client itself must control are left out.
pub(crate) fn add_secret(headers: &mut HeaderMap, added: &HeaderMap) {
    for name in added.keys().filter(|name| !RESERVED.contains(name)) {
        headers.remove(name);
        for value in added.get_all(name) {
            let mut value = value.clone();
            value.set_sensitive(true);
            headers.append(name.clone(), value);
        }
    }
}

/// Ranges, conditions, coding and framing are the client's: foreign values would break the promises of the body.
const RESERVED: [HeaderName; 13] = [
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::UPGRADE,
    header::HOST,
];

/// Moves the userinfo of `url`, if any, into Basic credentials (RFC 7617).
pub(crate) fn take_userinfo(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair = percent_decoded(url.username());
    pair.push(b':');
    pair.extend(percent_decoded(url.password().unwrap_or_default()));
    // An http(s) URL always has a host, so both setters succeed.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut value = HeaderValue::try_from(format!("Basic {}", base64(&pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&Url::parse(url).unwrap()).unwrap()
    }

    fn secret() -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("secret"))])
    }

    /// Where of `hops` headers bound to `http://a` arrive.
    fn arrives(hops: &[&str]) -> Vec<bool> {
        let bound = [(origin("http://a"), secret())];
        let mut carried = Carried::new(&bound);
        let enter = |hop: &&str| {
            let mut headers = HeaderMap::new();
            carried.enter(&origin(hop), &mut headers);
            headers.contains_key(header::AUTHORIZATION)
        };
        hops.iter().map(enter).collect()
    }

    #[test]
    fn bound_headers_stay_with_their_origin_and_never_come_back() {
        assert_eq!(arrives(&["http://a/1", "http://a/2"]), [true, true]);
        assert_eq!(arrives(&["http://a/", "http://b/", "http://a/"]), [true, false, false]);
        assert_eq!(arrives(&["http://a/", "https://a/"]), [true, false]);
        assert_eq!(arrives(&["http://a/", "http://a:81/"]), [true, false]);
        assert_eq!(arrives(&["http://b/", "http://a/"]), [false, false]);
    }

    #[test]
    fn what_the_client_controls_cannot_be_set_from_outside() {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("*/*"))]);
        let mut added = secret();
        added.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        added.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        added.insert(header::ACCEPT, HeaderValue::from_static("text/plain"));
        add_secret(&mut headers, &added);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[header::ACCEPT], "text/plain");
        assert!(headers[header::AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn userinfo_becomes_basic_credentials() {
        let table = [
            ("http://Aladdin:open%20sesame@h/", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")),
            ("http://u@h/", Some("Basic dTo=")),
            ("http://u:p%zz@h/", Some("Basic dTpwJXp6")),
            ("http://h/", None),
        ];
        for (text, want) in table {
            let mut url = Url::parse(text).unwrap();
            let value = take_userinfo(&mut url);
            assert_eq!(value.as_ref().map(|value| value.to_str().unwrap()), want, "{text}");
            assert_eq!(url.as_str(), "http://h/");
        }
    }
}
