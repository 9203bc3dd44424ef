//! URLs as they may be shown: without what lets somebody in.

use std::fmt;

use url::Url;

/// A URL without its userinfo, query and fragment, and without tokens in its path, safe for logs and errors.
///
/// Signed URLs carry their secret in the query, some in the path and some origins in the userinfo; scheme, host, port and
/// the rest of the path stay. A removed query leaves the mark `?…`, a removed part of the path (between two slashes) `…`:
///
/// - one that assigns a value to the name of a credential (`hdntl=…~hmac=…`, `a.ts;Play-Token=…`), also percent-encoded;
/// - a folder behind one that is such a name (`/token/…/a.ts`);
/// - one with a JSON Web Token, or what begins like one;
/// - a folder that looks drawn at random and in both cases, or in any beside a time of expiry.
///
/// Equality and hashing are those of the shown text.
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

    /// Whether the path of `url` has a credential in it, by its name or its form. What only looks drawn at random does not count: it is
    /// hidden where a URL is shown, and is mostly a name.
    #[must_use]
    pub fn has_credentials_in_path(url: &Url) -> bool {
        let (mut named, mut parts) = (false, url.path().split('/').peekable());
        std::iter::from_fn(|| Some((parts.next()?, parts.peek().is_some()))).any(|(part, is_folder)| {
            let plain = decoded(part);
            let is_named = std::mem::replace(&mut named, is_credential(&plain)) && is_folder && !part.is_empty();
            is_named || assigns_credential(&plain) || has_json_token(&plain)
        })
    }
}

/// A path without its tokens.
fn shown_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let expires = parts.iter().any(|part| is_time(part));
    let mut named = false;
    let shown = parts.iter().enumerate().map(|(idx, part)| {
        let is_folder = idx + 1 < parts.len();
        let plain = decoded(part);
        let is_named = std::mem::replace(&mut named, is_credential(&plain));
        let is_token = assigns_credential(&plain) || has_json_token(&plain);
        let is_token = is_token || (is_folder && !part.is_empty() && (is_named || is_random(&plain, expires)));
        if is_token { "…" } else { *part }
    });
    shown.collect::<Vec<_>>().join("/")
}

/// `part` without percent-encoding, also where that was done more than once.
fn decoded(part: &str) -> String {
    let mut text = part.to_owned();
    for _ in 0..MOST_ENCODED {
        if !text.contains('%') {
            break;
        }
        text = decoded_once(&text);
    }
    text
}

fn decoded_once(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let escaped = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a part of a path is, or holds, a list of parameters with the value of a credential among them.
fn assigns_credential(part: &str) -> bool {
    let parameters = part.split(|c: char| !c.is_ascii_alphanumeric() && !"=:-_.".contains(c));
    parameters.filter_map(|it| it.split_once(['=', ':'])).any(|(name, _)| is_credential(name))
}

/// Whether `name` is that of a credential, or ends with one behind another word: `token`, `X-Play-Token`.
fn is_credential(name: &str) -> bool {
    let is = |name: &str| CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known));
    let ends = name.match_indices(['-', '_', '.']).any(|(at, _)| name.get(at + 1..).is_some_and(is));
    is(name) || ends
}

/// Whether a part of a path holds a JSON object in Base64, as the first piece of a token or by itself.
fn has_json_token(part: &str) -> bool {
    let begins =
        part.match_indices("eyJ").filter(|(at, _)| !part[..*at].ends_with(|c: char| c.is_ascii_alphanumeric()));
    begins.map(|(at, _)| &part[at..]).any(|token| {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "-_+/=".contains(c);
        let len = token.find(|c| !is_base64(c)).unwrap_or(token.len());
        len >= 16 || (len >= 10 && token[len..].starts_with('.'))
    })
}

/// Whether a part of a path looks drawn rather than written: of one piece, with many turns between letters and digits or
/// between cases.
fn is_random(part: &str, expires: bool) -> bool {
    let is_word = part.len() < 16 || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte));
    let turns = |of: fn(&u8) -> u8| part.as_bytes().windows(2).filter(|pair| of(&pair[0]) != of(&pair[1])).count();
    let has = |of: fn(&u8) -> bool| part.as_bytes().iter().any(of);
    let both_cases = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let numbered = turns(|byte| u8::from(byte.is_ascii_digit())) > 4;
    let mixed = both_cases && turns(class) * 2 >= part.len();
    !is_word && (mixed || (numbered && (both_cases || expires)))
}

fn class(byte: &u8) -> u8 {
    match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    }
}

/// Whether a part of a path is a time in seconds since 1970, of these decades.
fn is_time(part: &str) -> bool {
    part.len() == 10 && part.starts_with(['1', '2']) && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// How often percent-encoding is taken off before a part is looked at.
const MOST_ENCODED: usize = 3;

const CREDENTIALS: &[&str] = &[
    "hdntl",
    "hdnts",
    "hdnea",
    "hmac",
    "token",
    "tkn",
    "tok",
    "access_token",
    "accesstoken",
    "authtoken",
    "auth",
    "authorization",
    "bearer",
    "sig",
    "sign",
    "signature",
    "md5",
    "jwt",
    "policy",
    "key",
    "apikey",
    "secret",
    "password",
    "passwd",
    "pwd",
    "credential",
    "session",
    "sessionid",
    "jsessionid",
    "phpsessid",
    "sid",
    "ticket",
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
    fn tokens_are_removed_however_they_are_written() {
        // Percent-encoded, once and more often.
        check("https://h/token%3Dabc/a.ts", "https://h/…/a.ts");
        check("https://h/%74oken%3dabc/a.ts", "https://h/…/a.ts");
        check("https://h/token%253Dabc/a.ts", "https://h/…/a.ts");
        check("https://h/x%2Ftoken=abc/a.ts", "https://h/…/a.ts");
        check("https://h/exp=1%7Ehmac%3D2f/a.ts", "https://h/…/a.ts");
        check("https://h/%65yJhbGciOi.eyJleHAi.c2ln/a.ts", "https://h/…/a.ts");
        check("https://h/Zk3jQ9x0aB7%2BcD1eF%3D%3D/a.ts", "https://h/…/a.ts");
        // As parameters of a file or folder, in any case.
        check("https://h/v/a.ts;jsessionid=12ab", "https://h/v/…");
        check("https://h/v;TOKEN=12ab/a.ts", "https://h/…/a.ts");
        check("https://h/a.ism/Manifest(format=m3u8,token=12ab)", "https://h/a.ism/…");
        check("https://h/x!sig=12ab/a.ts", "https://h/…/a.ts");
        check("https://h/token=%20%2B12ab/a.ts", "https://h/…/a.ts");
        check("https://h/token:12ab/a.ts", "https://h/…/a.ts");
        // By longer names.
        check("https://h/X-Amz-Signature=12ab/a.ts", "https://h/…/a.ts");
        check("https://h/play_token=12ab/a.ts", "https://h/…/a.ts");
        // With the name in a folder of its own.
        check("https://h/token/12ab/a.ts", "https://h/token/…/a.ts");
        check("https://h/Auth_Token/12ab/v/a.ts", "https://h/Auth_Token/…/v/a.ts");
        // JSON Web Tokens with something before and behind them.
        check("https://h/eyJhbGciOi.eyJleHAi.c2ln.m3u8", "https://h/…");
        check("https://h/v-eyJhbGciOi.eyJleHAi.c2ln/a.ts", "https://h/…/a.ts");
        check("https://h/eyJhbGciOi.a.b.c.d/a.ts", "https://h/…/a.ts");
        check("https://h/eyJ1c2VyIjoxMjN9/a.ts", "https://h/…/a.ts");
        // Few digits, and all the more turns between cases.
        check("https://h/aBxKqWzRtYpLmNvCdFgH/a.ts", "https://h/…/a.ts");
    }

    #[test]
    fn what_is_no_path_is_removed_however_it_is_written() {
        check("https://u%40x:p%3Aq@h/a?t=%26s#x", "https://h/a?…");
        check("https://tok@h/a;b#sig=1", "https://h/a;b");
        check("HTTPS://U:P@H/a", "https://h/a");
        check("https://h/a#", "https://h/a");
        check("https://h/a%3Ftoken=12ab", "https://h/…");
        check("https://h/a%23sig%3D12ab", "https://h/…");
    }

    #[test]
    fn what_names_a_stream_stays_in_the_path() {
        for path in [
            "/v/550e8400-e29b-41d4-a716-446655440000/master.m3u8",
            "/0cc175b9c0f1b6a831c399e269772661/a.ts",
            "/BigBuckBunny1080pSurround51/segment_00000123.m4s",
            "/a=1/b.ts",
            "/token/a.ts",
            "/auth",
            "/monkey=1/b.ts",
            "/design=2/b.ts",
            "/a%20b%zz/100%/b.ts",
            "/a.ism/QualityLevels(128000)/Fragments(audio=0)",
            "/eyJ/b.ts",
            "/LiveAtTheRoyalAlbertHall/b.ts",
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
