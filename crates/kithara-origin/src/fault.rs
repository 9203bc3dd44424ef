//! Faults: what can be done wrong with one answer, as plain values.

use std::time::Duration;

use bytes::Bytes;

use crate::{request::Request, response::Response};

/// One thing done wrong (or just differently) with an answer.
///
/// Faults of one request combine: latency, chunking and truncation may all be played on the same answer. Where two contradict each
/// other, the first wins. Places in the body ([`At`]) count the bytes that are sent for this request, after a range was applied,
/// except where a variant says otherwise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Wait before the first byte of the head.
    Latency(Duration),
    /// Hang up before the answer: orderly (FIN) or by a reset.
    HangUp(Ending),
    /// Send these bytes in place of an answer, then close. They need not be HTTP.
    Raw(Bytes),
    /// Answer with this in place of the content; a 200 is still subject to ranges and conditions.
    Answer(Response),
    /// Send the client elsewhere first.
    Redirect(Redirect),
    /// Let `Content-Length` be off by so many bytes (positive: promises too much). The connection is closed after the body,
    /// without being announced.
    LengthOff(i64),
    /// Let `Content-Range` of a 206 name a place shifted by so many bytes; the body stays as asked.
    RangeOff(i64),
    /// Set a header field, or replace it.
    Header(String, String),
    /// Leave a header field out. Without `ETag` and `Last-Modified` conditions never hold; without `Accept-Ranges` ranges still work.
    NoHeader(String),
    /// Answer a range request with 200 and everything.
    IgnoreRange,
    /// Give the content another `ETag` at every request, so that `If-Range` and `If-None-Match` never hold.
    NewEtag,
    /// Frame the body in chunks of at most so many bytes. A truncated one ends without the last chunk.
    Chunked(usize),
    /// Send no length: the body ends where the connection does.
    NoLength,
    /// Close after the answer without having announced it, as servers do whose keep-alive timeout is over.
    CloseAfter,
    /// Compress with gzip (bodies up to 64 MiB): only when the client accepts it, or although it does not. Ranges then count
    /// compressed bytes, as RFC 9110 has it.
    Gzip {
        /// Whether to compress although the client did not ask for it.
        unasked: bool,
    },
    /// Flip the bits of `xor` in the byte at `at`. The place counts bytes of the whole content, so every range shows the same damage.
    Corrupt {
        /// Which byte; one behind the end changes nothing.
        at: At,
        /// The bits to flip; 0 changes nothing.
        xor: u8,
    },
    /// Let the content be shorter, with a length that says so: an upload that was cut. The place counts bytes of the whole content.
    Shorten(At),
    /// Stop in the body and hang up.
    Cut {
        /// Before which byte.
        at: At,
        /// How.
        ending: Ending,
    },
    /// Fall silent in the body.
    Stall {
        /// Before which byte.
        at: At,
        /// For how long.
        time: Duration,
        /// How to hang up afterwards; `None` goes on with the body.
        ending: Option<Ending>,
    },
    /// Send at most so many body bytes per second; 0 counts as 1.
    Rate(u64),
    /// Send `bytes` body bytes, wait for `every`, and so on.
    Drip {
        /// Bytes at once; 0 counts as 1.
        bytes: u64,
        /// The wait between two sends.
        every: Duration,
    },
}

/// A place in a body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// Before the byte of this index.
    Byte(u64),
    /// So far into the body: 0.0 is the start, 1.0 the end; clamped.
    Fraction(f64),
    /// So many bytes before the end.
    FromEnd(u64),
}

/// How a connection is ended by the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Orderly, by a FIN: the client reads an end of file.
    Close,
    /// By a reset (`SO_LINGER` 0): the client reads an error. Bytes still in the origin's send buffer are lost.
    Reset,
}

/// Redirects to play before, or in place of, the content.
///
/// Hops are counted in a query parameter (`hop`) of the redirected URL, so that the origin keeps no state; other parameters stay.
/// Each hop is a request of its own to the rules: one that plays only once plays one hop.
#[derive(Clone, Debug)]
pub struct Redirect {
    status: u16,
    to: Target,
    hops: Option<u32>,
}

#[derive(Clone, Debug)]
enum Target {
    /// The same path on the same host, as an absolute path.
    Same,
    /// The same path, as a reference relative to the directory.
    Relative,
    /// The same path on another host and port.
    Host(String),
    /// Exactly this.
    Location(String),
}

impl Fault {
    /// End the body before `at` with an orderly close, whatever was promised.
    pub fn truncate(at: At) -> Self {
        Self::Cut { at, ending: Ending::Close }
    }

    /// Reset the connection in the body, before `at`.
    pub fn reset_at(at: At) -> Self {
        Self::Cut { at, ending: Ending::Reset }
    }

    /// Fall silent before `at` for `time`, then go on.
    pub fn stall(at: At, time: Duration) -> Self {
        Self::Stall { at, time, ending: None }
    }

    /// Make the PKCS7 padding of AES-CBC content wrong.
    ///
    /// Flipping a bit of the block before the last flips the same bit of the last plaintext block: a padding length of 1..=16 becomes
    /// 129..=144, which no padding has. Needs at least two blocks.
    pub fn bad_padding() -> Self {
        Self::Corrupt { at: At::FromEnd(17), xor: 0x80 }
    }

    /// The name under which the log shows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Latency(_) => "latency",
            Self::HangUp(Ending::Close) => "close",
            Self::HangUp(Ending::Reset) => "reset",
            Self::Raw(_) => "raw",
            Self::Answer(_) => "answer",
            Self::Redirect(_) => "redirect",
            Self::LengthOff(_) => "length-off",
            Self::RangeOff(_) => "range-off",
            Self::Header(..) => "header",
            Self::NoHeader(_) => "no-header",
            Self::IgnoreRange => "ignore-range",
            Self::NewEtag => "new-etag",
            Self::Chunked(_) => "chunked",
            Self::NoLength => "no-length",
            Self::CloseAfter => "close-after",
            Self::Gzip { .. } => "gzip",
            Self::Corrupt { .. } => "corrupt",
            Self::Shorten(_) => "shorten",
            Self::Cut { ending: Ending::Close, .. } => "truncate",
            Self::Cut { ending: Ending::Reset, .. } => "reset-at",
            Self::Stall { .. } => "stall",
            Self::Rate(_) => "rate",
            Self::Drip { .. } => "drip",
        }
    }
}

impl From<Response> for Fault {
    fn from(response: Response) -> Self {
        Self::Answer(response)
    }
}

impl From<Redirect> for Fault {
    fn from(redirect: Redirect) -> Self {
        Self::Redirect(redirect)
    }
}

impl At {
    /// The index in a body of `len` bytes, at most `len`.
    pub fn index(self, len: u64) -> u64 {
        match self {
            Self::Byte(index) => index.min(len),
            // Fractions are of test contents, whose lengths a double holds exactly.
            Self::Fraction(part) => ((len as f64 * part.clamp(0.0, 1.0)) as u64).min(len),
            Self::FromEnd(count) => len.saturating_sub(count),
        }
    }
}

impl Redirect {
    /// One redirect (302) of every request to exactly `location`: another scheme, `file:`, a relative reference, anything.
    pub fn to(location: &str) -> Self {
        Self { status: 302, to: Target::Location(location.to_owned()), hops: None }
    }

    /// `count` redirects (302) of the path to itself, then the content.
    pub fn hops(count: u32) -> Self {
        Self { status: 302, to: Target::Same, hops: Some(count) }
    }

    /// Redirects (302) of the path to itself without end.
    pub fn endless() -> Self {
        Self { status: 302, to: Target::Same, hops: None }
    }

    /// Uses references relative to the directory of the path.
    #[must_use]
    pub fn relative(mut self) -> Self {
        self.to = Target::Relative;
        self
    }

    /// Lets the last hop go to `authority` (`host:port`): another origin, which must serve the same path.
    #[must_use]
    pub fn via(mut self, authority: &str) -> Self {
        self.to = Target::Host(authority.to_owned());
        self
    }

    /// The status of each redirect. Default: 302.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The redirect to answer `request` with; `None` once all hops were made.
    pub(crate) fn response(&self, request: &Request) -> Option<Response> {
        let made = request.param(HOP).and_then(|hop| hop.parse::<u32>().ok()).unwrap_or(0);
        if self.hops.is_some_and(|hops| made >= hops) {
            return None;
        }
        let hop = made.saturating_add(1);
        let query = with_hop(request.query.as_deref(), hop);
        let path = request.target.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_last = self.hops.is_none_or(|hops| hop == hops);
        let location = match &self.to {
            Target::Location(location) => location.clone(),
            Target::Relative => format!("{name}?{query}"),
            Target::Host(authority) if is_last => format!("http://{authority}{path}?{query}"),
            Target::Same | Target::Host(_) => format!("{path}?{query}"),
        };
        Some(Response::redirect(self.status, &location))
    }
}

/// The query parameter that counts redirects.
const HOP: &str = "hop";

fn with_hop(query: Option<&str>, hop: u32) -> String {
    let is_hop = |pair: &&str| pair.split('=').next() == Some(HOP);
    let others = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !is_hop(pair));
    let hop = format!("{HOP}={hop}");
    others.chain([hop.as_str()]).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_clamped_to_the_body() {
        let places = [At::Byte(3), At::Byte(11), At::Fraction(0.5), At::Fraction(7.0), At::FromEnd(1), At::FromEnd(11)];
        assert_eq!(places.map(|at| at.index(10)), [3, 10, 5, 10, 9, 0]);
        assert_eq!(At::Fraction(f64::NAN).index(10), 0);
    }

    #[track_caller]
    fn check(redirect: &Redirect, target: &str, want: Option<&str>) {
        let request = Request::parse(format!("GET {target} HTTP/1.1").as_bytes()).unwrap();
        let got = redirect.response(&request);
        assert_eq!(got.as_ref().and_then(|response| response.header("location")), want, "{target}");
    }

    #[test]
    fn hops_are_counted_in_the_query() {
        let two = Redirect::hops(2);
        check(&two, "/a/b.ts?md5=x", Some("/a/b.ts?md5=x&hop=1"));
        check(&two, "/a/b.ts?md5=x&hop=1", Some("/a/b.ts?md5=x&hop=2"));
        check(&two, "/a/b.ts?md5=x&hop=2", None);
        check(&two.clone().via("localhost:1"), "/a/b.ts", Some("/a/b.ts?hop=1"));
        check(&two.via("localhost:1"), "/a/b.ts?hop=1", Some("http://localhost:1/a/b.ts?hop=2"));
        check(&Redirect::hops(1).relative(), "/a/b%20c.ts", Some("b%20c.ts?hop=1"));
        check(&Redirect::endless(), "/a?hop=900", Some("/a?hop=901"));
        check(&Redirect::to("file:///etc/hostname"), "/a", Some("file:///etc/hostname"));
    }
}
