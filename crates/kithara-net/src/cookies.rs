//! The cookies of a client, kept in memory.

use std::convert::Infallible;
use std::fmt;

use cookie_store::{Cookie, CookieStore};
use http::{HeaderMap, HeaderValue, header};
use url::Url;

/// Most cookies kept that have not expired; further ones are ignored. RFC 6265 section 6.1 asks for 3000 from browsers, which visit more
/// sites.
const MOST: usize = 512;
/// Longest `Set-Cookie` that is read, in bytes (RFC 6265 section 6.1).
const LONGEST: usize = 4096;

/// A jar by RFC 6265: host, path, `Secure` and expiry decide where a cookie goes.
///
/// There is no list of public suffixes; a cookie for a single label such as `com` is refused.
#[derive(Default)]
pub(crate) struct Cookies(CookieStore);

impl Cookies {
    /// The `Cookie` header for a request to `url`, if any cookie belongs there.
    pub(crate) fn header_for(&self, url: &Url) -> Option<HeaderValue> {
        let pairs: Vec<_> = self.0.get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect();
        let mut value = HeaderValue::try_from(pairs.join("; ")).ok().filter(|value| !value.is_empty())?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Keeps what a response from `url` sets. True when anything was set or removed.
    pub(crate) fn keep(&mut self, url: &Url, headers: &HeaderMap) -> bool {
        let mut changed = false;
        for value in headers.get_all(header::SET_COOKIE) {
            changed |= value.to_str().is_ok_and(|value| self.keep_one(url, value));
        }
        changed
    }

    fn keep_one(&mut self, url: &Url, value: &str) -> bool {
        if value.len() > LONGEST {
            return false;
        }
        let Ok(cookie) = Cookie::parse(value, url) else { return false };
        let too_wide = cookie.domain().is_some_and(|domain| {
            let domain = domain.trim_start_matches('.');
            !domain.contains('.') && url.host_str() != Some(domain)
        });
        !too_wide && self.has_room_for(&cookie) && self.0.insert(cookie.into_owned(), url).is_ok()
    }

    /// Whether a cookie may be kept: what is known may be renewed or removed, however many there are.
    fn has_room_for(&mut self, cookie: &Cookie<'_>) -> bool {
        if self.0.iter_any().count() < MOST {
            return true;
        }
        // The store goes on listing what has expired.
        let alive: Vec<_> = self.0.iter_unexpired().cloned().map(Ok::<_, Infallible>).collect();
        let Ok(alive) = CookieStore::from_cookies(alive, false);
        self.0 = alive;
        let name = |cookie: &Cookie<'_>| (cookie.domain.clone(), cookie.path.clone(), cookie.name().to_owned());
        self.0.iter_any().count() < MOST || self.0.iter_any().any(|known| name(known) == name(cookie))
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({})", self.0.iter_any().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(from: &str, set: &str, to: &str, want: Option<&str>) {
        let mut cookies = Cookies::default();
        let headers = HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_str(set).unwrap())]);
        cookies.keep(&Url::parse(from).unwrap(), &headers);
        let sent = cookies.header_for(&Url::parse(to).unwrap());
        assert_eq!(sent.as_ref().map(|value| value.to_str().unwrap()), want, "{set}: {from} -> {to}");
    }

    #[test]
    fn a_cookie_goes_back_where_it_belongs() {
        check("https://a.h.example/x/y", "s=1", "https://a.h.example/x/z", Some("s=1"));
        check("https://a.h.example/x/y", "s=1", "https://h.example/x/z", None);
        check("https://a.h.example/x/y", "s=1; Path=/x", "https://a.h.example/q", None);
        check("https://a.h.example/", "s=1; Domain=h.example", "https://b.h.example/", Some("s=1"));
        check("https://a.h.example/", "s=1; Secure", "http://a.h.example/", None);
        check("https://a.h.example/", "s=1; Max-Age=0", "https://a.h.example/", None);
    }

    #[test]
    fn a_cookie_for_others_is_refused() {
        check("https://h.example/", "s=1; Domain=other.example", "https://other.example/", None);
        check("https://h.example/", "s=1; Domain=example", "https://h.example/", None);
        check("http://localhost/", "s=1; Domain=localhost", "http://localhost/", Some("s=1"));
    }

    #[test]
    fn the_jar_is_bounded() {
        let mut cookies = Cookies::default();
        let url = Url::parse("http://h.example/").unwrap();
        for n in 0..2 * MOST {
            let set = HeaderValue::from_str(&format!("c{n}=1")).unwrap();
            cookies.keep(&url, &HeaderMap::from_iter([(header::SET_COOKIE, set)]));
        }
        assert_eq!(cookies.0.iter_any().count(), MOST);
        let mut set = |set: &'static str| {
            cookies.keep(&url, &HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static(set))]))
        };
        assert!(set("c5=renewed") && !set("new=1"), "what is known is renewed");
        assert!(set("c6=; Max-Age=0") && set("new=1") && !set("newer=1"), "what has expired makes room");
        let sent = cookies.header_for(&url).unwrap();
        let sent: Vec<&str> = sent.to_str().unwrap().split("; ").collect();
        assert!(["c5=renewed", "new=1"].iter().all(|pair| sent.contains(pair)), "{sent:?}");
        assert_eq!(sent.len(), MOST);
        let long = HeaderValue::from_str(&format!("long={}", "x".repeat(LONGEST))).unwrap();
        assert!(!Cookies::default().keep(&url, &HeaderMap::from_iter([(header::SET_COOKIE, long)])));
    }
}
