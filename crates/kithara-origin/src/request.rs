//! Requests as they arrive: the parser of request heads and the safe reading of paths.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::Bytes;

/// One request, as closures and rules see it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Request {
    /// The method, as sent.
    pub method: String,
    /// The request target exactly as sent: path and query, still percent-encoded.
    pub target: String,
    /// The path, percent-decoded. It begins with `/` and has no `..` component.
    pub path: String,
    /// What follows the first `?`, exactly as sent.
    pub query: Option<String>,
    /// Header fields in the order sent; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The request body; at most 1 MiB.
    pub body: Bytes,
    /// Which connection it came on: 1 is the first that was accepted.
    pub connection: u64,
    /// How many requests for this path there have been since the origin started, this one included.
    pub nth: u64,
    /// When it arrived, on the origin's [`Clock`](crate::Clock).
    pub at: Duration,
    /// When it is answered, on the same clock: later than `at` when the answer was held (see [`Response::later`]).
    ///
    /// [`Response::later`]: crate::Response::later
    pub now: Duration,
    /// The wall time when it arrived, on the same clock.
    pub wall: SystemTime,
    /// The session it belongs to, below [`Site::sessions`](crate::Site::sessions).
    pub session: Option<String>,
    pub(crate) http_1_0: bool,
}

/// A head that no answer can be given to except this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) u16);

impl Request {
    /// The value of the first header field called `name` (in any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of query parameter `name`, exactly as sent.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.as_deref()?.split('&').find_map(|pair| match pair.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (pair == name).then_some(""),
        })
    }

    /// The last component of the path; empty when the path ends with `/`.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whole seconds from 1970-01-01T00:00:00Z to [`Request::wall`], as expiry parameters count them.
    pub fn unix_seconds(&self) -> u64 {
        self.wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// Parses a head: everything before the empty line.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, Refused> {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Refused(400));
        };
        if !version.starts_with("HTTP/1.") || method.is_empty() {
            return Err(Refused(400));
        }
        let target = origin_form(target);
        let (raw_path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let headers = lines.filter(|line| !line.is_empty()).map(parse_field).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            path: safe_path(raw_path)?,
            query: query.map(str::to_owned),
            headers,
            body: Bytes::new(),
            connection: 0,
            nth: 0,
            at: Duration::ZERO,
            now: Duration::ZERO,
            wall: SystemTime::UNIX_EPOCH,
            session: None,
            http_1_0: version == "HTTP/1.0",
        })
    }

    /// Whether the client wants the connection kept after the answer.
    pub(crate) fn keeps_alive(&self) -> bool {
        match self.header("connection").map(str::to_ascii_lowercase).as_deref() {
            Some("close") => false,
            Some("keep-alive") => true,
            _ => !self.http_1_0,
        }
    }
}

impl fmt::Debug for Request {
    // Queries and header values may be credentials, so only their presence is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query.is_some() { "?.." } else { "" };
        write!(f, "Request({} {}{query}, {} fields)", self.method, self.path, self.headers.len())
    }
}

/// Turns `http://host/path` (what a client sends to a proxy) into `/path`.
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        _ => target,
    }
}

fn parse_field(line: &str) -> Result<(String, String), Refused> {
    let (name, value) = line.split_once(':').ok_or(Refused(400))?;
    Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// Percent-decodes a path and refuses those that could leave a directory.
fn safe_path(raw: &str) -> Result<String, Refused> {
    let path = String::from_utf8(percent_decode(raw)).map_err(|_| Refused(400))?;
    let unsafe_part = path.split(['/', '\\']).any(|part| part == "..") || path.contains('\0');
    if unsafe_part || !path.starts_with('/') {
        return Err(Refused(400));
    }
    Ok(path)
}

/// Decodes `%XX`; a `%` that begins no such pair stays as it is.
pub(crate) fn percent_decode(raw: &str) -> Vec<u8> {
    let raw = raw.as_bytes();
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let pair = (raw[at] == b'%').then(|| Some((hex(*raw.get(at + 1)?)?, hex(*raw.get(at + 2)?)?))).flatten();
        let (byte, used) = pair.map_or((raw[at], 1), |(high, low)| (high << 4 | low, 3));
        out.push(byte);
        at += used;
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(target: &str, want: Result<&str, u16>) {
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n");
        let got = Request::parse(head.as_bytes()).map(|request| request.path).map_err(|refused| refused.0);
        assert_eq!(got.as_deref().map_err(|status| *status), want, "{target}");
    }

    #[test]
    fn paths_are_decoded_once() {
        check_path("/a%20b/%e2%82%ac.ts?q=%20", Ok("/a b/\u{20ac}.ts"));
        check_path("/a%252e", Ok("/a%2e"));
        check_path("/100%", Ok("/100%"));
        check_path("http://host:1/a?b", Ok("/a"));
        check_path("http://host", Ok("/"));
        check_path("/redirect?to=http://x/", Ok("/redirect"));
    }

    #[test]
    fn paths_that_leave_the_directory_are_refused() {
        for target in ["/../etc/passwd", "/a/%2e%2e/b", "/a/..", "/a/..%5cb", "/a%00b", "relative", "/%ff"] {
            check_path(target, Err(400));
        }
    }

    #[test]
    fn heads_that_are_not_http_are_refused() {
        for head in ["", "GET /", "GET / HTTP/2.0", "GET  / HTTP/1.1", "GET / HTTP/1.1\r\nno colon"] {
            assert_eq!(Request::parse(head.as_bytes()).map(|_| ()), Err(Refused(400)), "{head:?}");
        }
    }

    #[test]
    fn fields_and_parameters_are_found() {
        let request = Request::parse(b"GET /a/b.ts?x=1&flag&y=a%20b HTTP/1.0\r\nRange:  bytes=0- \r\n").unwrap();
        assert_eq!(request.header("RANGE"), Some("bytes=0-"));
        assert_eq!(
            (request.param("x"), request.param("flag"), request.param("y")),
            (Some("1"), Some(""), Some("a%20b"))
        );
        assert_eq!(request.param("z"), None);
        assert_eq!(request.file_name(), "b.ts");
        assert!(!request.keeps_alive(), "HTTP/1.0 closes unless asked");
    }

    proptest::proptest! {
        #[test]
        fn no_head_leads_out_of_the_site(head in r"(GET|.{0,3}) (/|%2[EeFf]|\.|[a-z]|\\|%00|[?#:]){0,12} HTTP/1\.[01](\r\n.{0,9}){0,3}") {
            if let Ok(request) = Request::parse(head.as_bytes()) {
                proptest::prop_assert!(request.path.starts_with('/'));
                proptest::prop_assert!(!request.path.split(['/', '\\']).any(|part| part == ".."));
            }
        }

        #[test]
        fn no_bytes_break_the_parser(head: Vec<u8>) {
            let _ = Request::parse(&head);
        }
    }
}
