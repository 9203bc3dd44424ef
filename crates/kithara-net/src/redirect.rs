//! Where a redirect may lead.

use http::{HeaderMap, header};
use url::Url;

use crate::ErrorKind;

/// The URLs one attempt has asked, in order.
#[derive(Debug)]
pub(crate) struct Chain {
    visited: Vec<Url>,
    most: u32,
    hops: u32,
}

impl Chain {
    /// A chain that may have `most` redirects.
    pub(crate) fn new(most: u32) -> Self {
        Self { visited: Vec::new(), most, hops: 0 }
    }

    /// Where the redirect that `from` answered with leads. It must be a new http(s) URL, and never from https to http.
    ///
    /// With `cookies_changed` the URLs so far do not count as seen: an origin that has just set a cookie may well send
    /// us back to one of them. Their number still does.
    pub(crate) fn follow(&mut self, from: &Url, headers: &HeaderMap, cookies_changed: bool) -> Result<Url, ErrorKind> {
        let location = headers.get(header::LOCATION).ok_or(ErrorKind::BadRedirect)?;
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| ErrorKind::BadRedirect)?;
        let mut next = from.join(location).map_err(|_| ErrorKind::BadRedirect)?;
        // A fragment is inherited (RFC 9110 section 10.2.2) but is no part of what is asked for.
        next.set_fragment(None);
        match (from.scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => {}
            _ => return Err(ErrorKind::RedirectRefused),
        }
        if cookies_changed {
            self.visited.clear();
        } else {
            self.visited.push(from.clone());
        }
        if self.visited.contains(&next) {
            return Err(ErrorKind::RedirectLoop);
        }
        self.hops += 1;
        if self.hops > self.most {
            return Err(ErrorKind::TooManyRedirects);
        }
        Ok(next)
    }
}

/// Whether a status redirects a GET.
pub(crate) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn follow(chain: &mut Chain, from: &str, location: &str) -> Result<String, ErrorKind> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_bytes(location.as_bytes()).unwrap())]);
        chain.follow(&Url::parse(from).unwrap(), &headers, false).map(String::from)
    }

    #[track_caller]
    fn check(from: &str, location: &str, want: Result<&str, ErrorKind>) {
        assert_eq!(follow(&mut Chain::new(10), from, location), want.map(str::to_owned));
    }

    #[test]
    fn targets_are_relative_to_the_hop() {
        check("http://h/a/b?q", "c?x=%2F", Ok("http://h/a/c?x=%2F"));
        check("http://h/a/b", "//g/c", Ok("http://g/c"));
        check("http://h/a/b", "https://h/é", Ok("https://h/%C3%A9"));
        check("http://u:p@h/a", "/b", Ok("http://u:p@h/b"));
        check("http://u:p@h/a", "http://h/b", Ok("http://h/b"));
    }

    #[test]
    fn only_the_web_and_never_downwards() {
        check("https://h/a", "http://h/a", Err(ErrorKind::RedirectRefused));
        check("http://h/a", "file:///etc/passwd", Err(ErrorKind::RedirectRefused));
        check("http://h/a", "data:text/plain,x", Err(ErrorKind::RedirectRefused));
    }

    #[test]
    fn a_redirect_that_says_nothing_usable_is_a_bad_one() {
        check("http://h/a", "http://", Err(ErrorKind::BadRedirect));
        assert_eq!(
            Chain::new(10).follow(&Url::parse("http://h/").unwrap(), &HeaderMap::new(), false),
            Err(ErrorKind::BadRedirect)
        );
    }

    #[test]
    fn loops_are_seen_at_once() {
        check("http://h/a", "/a", Err(ErrorKind::RedirectLoop));
        check("http://h/a", "/a#other", Err(ErrorKind::RedirectLoop));
        let mut chain = Chain::new(10);
        assert_eq!(follow(&mut chain, "http://h/a", "/b").as_deref(), Ok("http://h/b"));
        assert_eq!(follow(&mut chain, "http://h/b", "/a"), Err(ErrorKind::RedirectLoop));
    }

    #[test]
    fn ten_redirects_are_followed_and_not_eleven() {
        let mut chain = Chain::new(10);
        for hop in 0..10 {
            follow(&mut chain, &format!("http://h/{hop}"), &format!("/{}", hop + 1)).unwrap();
        }
        assert_eq!(follow(&mut chain, "http://h/10", "/11"), Err(ErrorKind::TooManyRedirects));
    }

    #[test]
    fn a_cookie_redirect_may_come_back_but_not_for_ever() {
        let mut chain = Chain::new(3);
        let here = Url::parse("http://h/a").unwrap();
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_static("/a"))]);
        for _ in 0..3 {
            assert_eq!(chain.follow(&here, &headers, true), Ok(here.clone()));
        }
        assert_eq!(chain.follow(&here, &headers, true), Err(ErrorKind::TooManyRedirects));
    }
}
