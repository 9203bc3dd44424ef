//! Honest responses, and the part of one that a request asks for.

use std::{
    fmt,
    ops::Range,
    time::{Duration, SystemTime},
};

use crate::{
    body::Body,
    range::{Wanted, if_range_holds, none_match_hits, wanted},
    request::Request,
};

/// An answer: status, header fields and the whole body. Ranges and conditions are applied by the origin when it is sent with 200.
#[derive(Clone)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// `Retry-After` as a date this long after the answer.
    retry_date: Option<Duration>,
    pub(crate) readiness: Readiness,
}

/// When what is answered exists, on the site's clock.
#[derive(Clone, Debug, Default)]
pub(crate) enum Readiness {
    /// All of it now.
    #[default]
    Whole,
    /// Nothing of it: the site is asked again at this time.
    Later(Duration),
    /// Its head now, its body piece by piece.
    Growing(Growth),
}

/// A body that is still being made: where each piece ends, and when it is there. Ends rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth(pub(crate) Vec<(u64, Duration)>);

impl Response {
    /// An answer of `status` without body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::empty(), retry_date: None, readiness: Readiness::Whole }
    }

    /// No answer yet: the request is held until the site's clock shows `at`, then the site is asked again. The client hears nothing
    /// until then. Answered so although [`Request::now`] is not before `at`, the request gets 503.
    pub fn later(at: Duration) -> Self {
        Self { readiness: Readiness::Later(at), ..Self::new(503) }
    }

    /// 200 with `body`. Without a `Content-Type` field, one is chosen by the extension of the path.
    pub fn ok(body: impl Into<Body>) -> Self {
        Self::new(200).with_body(body)
    }

    /// 200 with an HTML page, as captive portals and misconfigured servers answer.
    pub fn html(page: &str) -> Self {
        Self::ok(page.to_owned()).with_header("Content-Type", "text/html; charset=utf-8")
    }

    /// `status` with a JSON document.
    pub fn json(status: u16, document: &str) -> Self {
        Self::new(status).with_body(document.to_owned()).with_header("Content-Type", "application/json")
    }

    /// A redirect of `status` to `location`, which is sent as it is.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::new(status).with_header("Location", location)
    }

    /// Replaces the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header field; an earlier one of the same name is replaced.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks the client to come back after `delay`, in whole seconds (rounded up).
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        self.with_header("Retry-After", &seconds.to_string())
    }

    /// Asks the client to come back at the date `delay` after the answer, on the site's clock (dates have whole seconds).
    #[must_use]
    pub fn with_retry_after_date(mut self, delay: Duration) -> Self {
        self.retry_date = Some(delay);
        self
    }

    /// Lets the body come piece by piece, as chunks without a length.
    pub(crate) fn growing(mut self, growth: Growth) -> Self {
        self.readiness = Readiness::Growing(growth);
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of the header field called `name` (in any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The whole body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Without the header field called `name` (in any case).
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// With the fields that follow from the rest: validators of a 200, and the date of `Retry-After`.
    pub(crate) fn completed(mut self, now: SystemTime) -> Self {
        if let Some(at) = self.retry_date.and_then(|delay| now.checked_add(delay)) {
            self = self.with_header("Retry-After", &httpdate::fmt_http_date(at));
        }
        if self.status != 200 {
            return self;
        }
        let etag = self.body.etag().map(str::to_owned);
        let modified = self.body.modified().map(httpdate::fmt_http_date);
        let ranges = Some("bytes".to_owned());
        for (name, value) in [("ETag", etag), ("Last-Modified", modified), ("Accept-Ranges", ranges)] {
            if let (Some(value), None) = (value, self.header(name)) {
                self = self.with_header(name, &value);
            }
        }
        self
    }
}

impl fmt::Debug for Response {
    // Header values may be credentials, so only their number is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} fields, {:?})", self.status, self.headers.len(), self.body)
    }
}

/// A response cut down to what one request asked for, ready to be framed.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) response: Response,
    /// The bytes of the response's body that are to be sent.
    pub(crate) range: Range<u64>,
}

/// Applies `If-None-Match`, `If-Modified-Since`, `If-Range` and `Range` to a response of 200; leaves others as they are.
///
/// Validators are those in the response's header, so that a fault that changes them is believed here too.
pub(crate) fn select(request: &Request, mut response: Response) -> Selected {
    let len = response.body.len();
    if response.status != 200 || !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Selected { response, range: 0..len };
    }
    if is_unchanged(request, &response) {
        response.status = 304;
        return Selected { response, range: 0..0 };
    }
    let (etag, modified) = (response.header("etag"), response.header("last-modified"));
    let ranged = request.header("if-range").is_none_or(|value| if_range_holds(value, etag, modified));
    match wanted(request.header("range").filter(|_| ranged), len) {
        Wanted::Whole => Selected { response, range: 0..len },
        Wanted::Part(range) => {
            response.status = 206;
            let value = content_range(range.start, range.end, len);
            Selected { response: response.with_header("Content-Range", &value), range }
        }
        Wanted::Unsatisfiable => {
            let response = Response::new(416).with_header("Content-Range", &format!("bytes */{len}"));
            Selected { response, range: 0..0 }
        }
    }
}

fn is_unchanged(request: &Request, response: &Response) -> bool {
    if let Some(value) = request.header("if-none-match") {
        return response.header("etag").is_some_and(|etag| none_match_hits(value, etag));
    }
    let modified = response.header("last-modified");
    modified.is_some() && request.header("if-modified-since") == modified
}

/// The value of `Content-Range` for a half-open, non-empty range.
pub(crate) fn content_range(start: u64, end: u64, len: u64) -> String {
    format!("bytes {start}-{}/{len}", end.saturating_sub(1))
}

/// The reason phrase of a status; empty for those this table does not know.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        425 => "Too Early",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

/// The media type by which servers usually announce a file of this name.
pub(crate) fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "m3u8" => "application/vnd.apple.mpegurl",
        "ts" => "video/mp2t",
        "mp4" | "m4s" | "m4v" | "cmfv" => "video/mp4",
        "m4a" | "cmfa" => "audio/mp4",
        "aac" => "audio/aac",
        "mp3" => "audio/mpeg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "ac3" => "audio/ac3",
        "ec3" => "audio/eac3",
        "vtt" => "text/vtt",
        "json" => "application/json",
        "html" => "text/html",
        "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &str) -> Request {
        Request::parse(format!("GET /a HTTP/1.1\r\n{fields}").as_bytes()).unwrap()
    }

    fn whole() -> Response {
        Response::ok("0123456789").completed(SystemTime::UNIX_EPOCH)
    }

    #[track_caller]
    fn check(fields: &str, status: u16, range: Range<u64>) {
        let tag = Body::from("0123456789").etag().unwrap().to_owned();
        let selected = select(&request(&fields.replace("TAG", &tag)), whole());
        assert_eq!((selected.response.status, selected.range), (status, range), "{fields}");
    }

    #[test]
    fn conditions_come_before_ranges() {
        check("", 200, 0..10);
        check("If-None-Match: TAG", 304, 0..0);
        check("If-None-Match: TAG\r\nRange: bytes=1-2", 304, 0..0);
        check("If-None-Match: \"other\"\r\nRange: bytes=1-2", 206, 1..3);
        check("If-Range: TAG\r\nRange: bytes=1-2", 206, 1..3);
        check("If-Range: \"other\"\r\nRange: bytes=1-2", 200, 0..10);
        check("Range: bytes=10-", 416, 0..0);
    }

    #[test]
    fn a_part_names_its_place() {
        let selected = select(&request("Range: bytes=-3"), whole());
        assert_eq!(selected.response.header("content-range"), Some("bytes 7-9/10"));
        let selected = select(&request("Range: bytes=10-"), whole());
        assert_eq!(selected.response.header("content-range"), Some("bytes */10"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let complete = |response: Response| response.completed(SystemTime::UNIX_EPOCH);
        let seconds = complete(Response::new(503).with_retry_after(Duration::from_millis(1500)));
        assert_eq!(seconds.header("retry-after"), Some("2"));
        let date = complete(Response::new(503).with_retry_after_date(Duration::from_secs(61)));
        assert_eq!(date.header("retry-after"), Some("Thu, 01 Jan 1970 00:01:01 GMT"));
    }

    #[test]
    fn only_a_200_is_cut() {
        let selected = select(&request("Range: bytes=1-2"), Response::json(503, "{\"a\":1}"));
        assert_eq!((selected.response.status, selected.range), (503, 0..7));
    }
}
