//! URLs as they may be shown: without what lets somebody in.

use std::fmt;

use url::Url;

/// A URL without its userinfo, query and fragment, and without tokens in its path, safe for logs and errors.
///
/// Signed URLs carry their secret in the query, some in the path and some origins in the userinfo; scheme, host, port and
/// the rest of the path stay. A removed query leaves the mark `?…`, a removed part of the path `…`: one with the name of a
/// signature (`hdntl=…~hmac=…`), a JSON Web Token, and a folder that looks drawn at random and in both cases, or in any
/// beside a time of expiry. Equality and hashing are those of the shown text.
///
/// ```
/// # use kithara_net::RedactedUrl;
/// let url = "https://user:pass@cdn.example/a/seg1.ts?token=secret#t".parse().unwrap();
/// assert_eq!(RedactedUrl::new(&url).to_string(), "https://cdn.example/a/seg1.ts?…");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<str>);

impl RedactedUrl {
    /// What may be shown of `url`.
    #[must_use]
    pub fn new(url: &Url) -> Self {
        // Anything but a web address (a `data:` URL, say) is payload all over.
        let Some(host) = url.host_str() else {
            return Self(format!("{}:…", url.scheme()).into());
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let query = if url.query().is_some() { "?…" } else { "" };
        Self(format!("{}://{host}{port}{}{query}", url.scheme(), shown_path(url.path())).into())
    }

    /// The text that is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path without its tokens.
fn shown_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let expires = parts.iter().any(|part| is_time(part));
    let shown = parts.iter().enumerate().map(|(idx, part)| {
        let is_folder = idx + 1 < parts.len();
        let is_token = is_signature(part) || (is_folder && is_random(part, expires));
        if is_token { "…" } else { *part }
    });
    shown.collect::<Vec<_>>().join("/")
}

/// Whether a part of a path is a list of parameters with a signature among them, or a JSON Web Token.
fn is_signature(part: &str) -> bool {
    let parameters = part.split(['~', '&', ';', ',']).filter_map(|it| it.split_once('='));
    let mut names = parameters.map(|(name, _)| name);
    let is_jwt = part.starts_with("eyJ") && part.split('.').count() == 3;
    is_jwt || names.any(|name| SIGNATURES.iter().any(|signature| name.eq_ignore_ascii_case(signature)))
}

/// Whether a part of a path looks drawn rather than written: letters and digits in many turns.
fn is_random(part: &str, expires: bool) -> bool {
    let has = |of: fn(&u8) -> bool| part.as_bytes().iter().any(of);
    let is_word = part.len() < 16 || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
    let both_cases = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let turns = part.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    !is_word && turns > 4 && (both_cases || expires)
}

/// Whether a part of a path is a time in seconds since 1970, of these decades.
fn is_time(part: &str) -> bool {
    part.len() == 10 && part.starts_with(['1', '2']) && part.bytes().all(|byte| byte.is_ascii_digit())
}

const SIGNATURES: &[&str] = &[
    "hdntl",
    "hdnts",
    "hdnea",
    "hmac",
    "token",
    "access_token",
    "auth",
    "sig",
    "sign",
    "signature",
    "md5",
    "jwt",
    "policy",
];

impl From<&Url> for RedactedUrl {
    fn from(url: &Url) -> Self {
        Self::new(url)
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of `headers`, for `Debug` output: values may be credentials.
pub(crate) struct HeaderNames<'a>(pub(crate) &'a http::HeaderMap);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, want: &str) {
        let shown = RedactedUrl::new(&Url::parse(url).unwrap());
        assert_eq!(shown.to_string(), want);
        assert_eq!(format!("{shown:?}"), want);
    }

    #[test]
    fn userinfo_query_and_fragment_are_removed() {
        check("http://u:p@h:8080/a/b.ts?sig=1&x=2#f", "http://h:8080/a/b.ts?…");
    }

    #[test]
    fn a_plain_url_is_shown_whole() {
        check("https://h/a%20b/c", "https://h/a%20b/c");
    }

    #[test]
    fn tokens_are_removed_from_the_path() {
        check("https://h/hdntl=exp=1~acl=*~hmac=2f/v/a.ts?x", "https://h/…/v/a.ts?…");
        check("https://h/hdntl=exp=1~acl=/*~hmac=2f/v/a.ts", "https://h/…/…/v/a.ts");
        check("https://h/Token=abc/a.ts", "https://h/…/a.ts");
        check("https://h/v/eyJhbGciOi.eyJleHAi.c2ln/a.ts", "https://h/v/…/a.ts");
        check("https://h/s/Zk3jQ9x0aB7cD1eF/1700000000/a_01.ts", "https://h/s/…/1700000000/a_01.ts");
        check("https://h/0cc175b9c0f1b6a831c399e269772661/1700000000/a.ts", "https://h/…/1700000000/a.ts");
    }

    #[test]
    fn what_names_a_stream_stays_in_the_path() {
        for path in [
            "/v/550e8400-e29b-41d4-a716-446655440000/master.m3u8",
            "/0cc175b9c0f1b6a831c399e269772661/a.ts",
            "/BigBuckBunny1080pSurround51/segment_00000123.m4s",
            "/a=1/b.ts",
            "/v/Zk3jQ9x0aB7cD1eF.ts",
        ] {
            check(&format!("https://h{path}"), &format!("https://h{path}"));
        }
    }

    #[test]
    fn an_empty_query_is_marked_too() {
        check("http://h/?", "http://h/?…");
    }

    #[test]
    fn a_url_without_host_shows_only_its_scheme() {
        check("data:text/plain,secret", "data:…");
    }
}
