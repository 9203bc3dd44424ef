//! The security boundary of the web: scheme, host and port.

use std::fmt;

use url::{Host, Url};

/// Scheme, host and port of a URL (RFC 6454).
///
/// Credentials, retry budgets and circuit breakers belong to an origin. Two URLs share one exactly when all three parts
/// are equal; a missing port means the scheme's default.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: String,
    host: Host<String>,
    port: u16,
}

impl Origin {
    /// The origin of an `http` or `https` URL; `None` for any other scheme.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        Some(Self { scheme: url.scheme().to_owned(), host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// Whether `url` belongs to this origin.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        Self::of(url).is_some_and(|other| other == *self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, same: bool) {
        let origin = |text: &str| Origin::of(&Url::parse(text).unwrap());
        assert_eq!(origin(a) == origin(b), same, "{a} and {b}");
    }

    #[test]
    fn path_query_and_userinfo_do_not_matter() {
        check("http://h/a?b#c", "http://u:p@H:80/", true);
    }

    #[test]
    fn scheme_host_and_port_matter() {
        check("http://h/", "https://h/", false);
        check("http://h/", "http://h:81/", false);
        check("http://h/", "http://www.h/", false);
        check("https://h:80/", "http://h:80/", false);
    }

    #[test]
    fn only_the_web_has_origins_here() {
        assert_eq!(Origin::of(&Url::parse("file:///etc/passwd").unwrap()), None);
        assert_eq!(Origin::of(&Url::parse("data:text/plain,x").unwrap()), None);
    }
}
