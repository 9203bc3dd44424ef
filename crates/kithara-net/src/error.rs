//! What can go wrong with a fetch, and whether trying again helps.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::RedactedUrl;

/// Why a fetch, or one attempt of it, failed.
///
/// *Transient* kinds ([`is_transient`](Self::is_transient)) are retried by the client itself, so whoever receives one
/// knows that the attempts are used up: the same fetch may succeed later, another source may succeed now. All others
/// are answers; asking the same again gives the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself makes no sense: not an http(s) URL, an empty range. Retrying does not help.
    InvalidRequest,
    /// The client could not be built from its options (proxy address, certificates). Retrying does not help.
    Setup,
    /// The host name could not be resolved. Retrying helps when the network was away.
    Dns,
    /// No connection could be made: refused, unreachable. Retrying helps.
    Connect,
    /// No connection was made in time. Retrying helps.
    ConnectTimeout,
    /// The origin's certificate or TLS version is not acceptable. Retrying does not help.
    Tls,
    /// The connection broke before the response began. Retrying helps.
    Disconnected,
    /// What came back is not HTTP. Retrying may help.
    Protocol,
    /// The response did not begin in time. Retrying helps.
    FirstByteTimeout,
    /// The body moved less than the least progress within the stall window. Retrying helps; the client resumes.
    Stall,
    /// The body ended before its announced length, or its connection broke. Retrying helps; the client resumes.
    Truncated,
    /// The deadline the caller set passed. Retrying is the caller's decision.
    Deadline,
    /// 202: the origin is still making the resource. Retrying helps, as told by `Retry-After`.
    NotReady,
    /// 401: credentials are missing or stale. Retrying helps only with others.
    Unauthorized,
    /// 403: not allowed, often an expired signature. Retrying helps only with another URL.
    Forbidden,
    /// 404: not there; at a live edge perhaps not yet. Retrying is a decision of whoever knows what the resource is.
    NotFound,
    /// 410: no longer there. Retrying does not help.
    Gone,
    /// 429: too many requests. Retrying helps, as told by `Retry-After`.
    Throttled,
    /// 408, 425 or 5xx: the origin is in trouble. Retrying helps.
    ServerError,
    /// 416: the range begins beyond the end; `total` is the length the origin named. Retrying does not help.
    RangeNotSatisfiable {
        /// Length of the whole resource in bytes, when the origin told it.
        total: Option<u64>,
    },
    /// Any other status that is not a success. Retrying does not help.
    Rejected,
    /// A 206 that is not the range asked for, or has no usable `Content-Range`. Retrying may help.
    InvalidRange,
    /// The origin ignores ranges, and reaching the first wanted byte would skip more than allowed. Retrying does not
    /// help.
    RangeIgnored,
    /// The resource is no longer the one that was begun (other validators or length). Start over from the beginning.
    Changed,
    /// More bytes than the request allows, announced or received. Retrying does not help.
    TooLarge,
    /// A content coding that was not asked for, or compressed data that expands too much. Retrying does not help.
    Encoding,
    /// Compressed data that is broken, perhaps cut off. Retrying may help.
    Corrupt,
    /// More redirects than allowed. Retrying does not help.
    TooManyRedirects,
    /// A redirect led back to a URL of the same chain. Retrying does not help.
    RedirectLoop,
    /// A redirect without target. Retrying may help.
    BadRedirect,
    /// A redirect from https to http, or to another scheme. Retrying does not help.
    RedirectRefused,
    /// The address policy forbids this address to whoever named it. Retrying does not help.
    AddressRefused,
    /// The authorizer gave no credentials. Retrying is its decision.
    Authorizer,
    /// The origin failed so often that it is left in peace for a while. Retrying helps after
    /// [`retry_after`](NetError::retry_after).
    CircuitOpen,
}

impl ErrorKind {
    /// Whether the same request may well succeed when it is sent again.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Dns
                | Self::Connect
                | Self::ConnectTimeout
                | Self::Disconnected
                | Self::Protocol
                | Self::FirstByteTimeout
                | Self::Stall
                | Self::Truncated
                | Self::NotReady
                | Self::Throttled
                | Self::ServerError
                | Self::InvalidRange
                | Self::Corrupt
                | Self::BadRedirect
                | Self::CircuitOpen
        )
    }

    /// What an HTTP status means as a failure; `None` for those that carry the resource (2xx but 202), are handled
    /// apart (3xx, 416 excepted).
    pub(crate) fn of_status(status: u16) -> Option<Self> {
        Some(match status {
            202 => Self::NotReady,
            200..=299 | 304 => return None,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            410 => Self::Gone,
            408 | 425 => Self::ServerError,
            416 => Self::RangeNotSatisfiable { total: None },
            429 => Self::Throttled,
            500..=599 => Self::ServerError,
            _ => Self::Rejected,
        })
    }

    fn text(self) -> &'static str {
        match self {
            Self::InvalidRequest => "not a request that can be sent",
            Self::Setup => "the HTTP client could not be set up",
            Self::Dns => "the host name could not be resolved",
            Self::Connect => "no connection",
            Self::ConnectTimeout => "no connection in time",
            Self::Tls => "no acceptable TLS",
            Self::Disconnected => "connection closed before the response",
            Self::Protocol => "the answer is not valid HTTP",
            Self::FirstByteTimeout => "no first byte in time",
            Self::Stall => "the body stalled",
            Self::Truncated => "the body ended early",
            Self::Deadline => "deadline passed",
            Self::NotReady => "not ready yet",
            Self::Unauthorized => "credentials required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::Gone => "gone",
            Self::Throttled => "too many requests",
            Self::ServerError => "the server failed",
            Self::RangeNotSatisfiable { .. } => "the range begins beyond the end",
            Self::Rejected => "refused by the server",
            Self::InvalidRange => "not the range asked for",
            Self::RangeIgnored => "the server ignores ranges",
            Self::Changed => "the resource changed while it was read",
            Self::TooLarge => "larger than allowed",
            Self::Encoding => "content coding not acceptable",
            Self::Corrupt => "the compressed data is broken",
            Self::TooManyRedirects => "too many redirects",
            Self::RedirectLoop => "redirect loop",
            Self::BadRedirect => "a redirect that leads nowhere",
            Self::RedirectRefused => "redirect refused",
            Self::AddressRefused => "address refused by policy",
            Self::Authorizer => "no credentials from the authorizer",
            Self::CircuitOpen => "the origin keeps failing and is left in peace",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A cause below an error, shared so that errors can be cloned.
pub(crate) type Cause = Arc<dyn Error + Send + Sync + 'static>;

/// A failed fetch: a [`kind`](Self::kind) for the program, the rest for people.
///
/// Cheap to clone. Shown without secrets: the URL is a [`RedactedUrl`] and no header value is kept.
#[derive(Clone)]
pub struct NetError(Arc<Report>);

#[derive(Clone)]
struct Report {
    kind: ErrorKind,
    url: Option<RedactedUrl>,
    status: Option<u16>,
    attempts: u32,
    elapsed: Duration,
    in_vain: Duration,
    limit: Option<Duration>,
    retry_after: Option<Duration>,
    source: Option<Cause>,
}

impl NetError {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Report {
            kind,
            url: None,
            status: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            in_vain: Duration::ZERO,
            limit: None,
            retry_after: None,
            source: None,
        }))
    }

    fn edit(mut self, change: impl FnOnce(&mut Report)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    pub(crate) fn at(self, url: &RedactedUrl) -> Self {
        self.edit(|report| report.url = Some(url.clone()))
    }

    pub(crate) fn tried(self, attempts: u32, elapsed: Duration, in_vain: Duration) -> Self {
        self.edit(|report| (report.attempts, report.elapsed, report.in_vain) = (attempts, elapsed, in_vain))
    }

    /// At the same place and after as many attempts as `other`.
    pub(crate) fn like(self, other: &Self) -> Self {
        self.edit(|report| {
            report.url.clone_from(&other.0.url);
            (report.attempts, report.elapsed) = (other.0.attempts, other.0.elapsed);
            report.in_vain = other.0.in_vain;
        })
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        self.edit(|report| report.status = Some(status))
    }

    pub(crate) fn with_limit(self, limit: Duration) -> Self {
        self.edit(|report| report.limit = Some(limit))
    }

    pub(crate) fn with_retry_after(self, wait: Option<Duration>) -> Self {
        self.edit(|report| report.retry_after = wait)
    }

    pub(crate) fn caused_by(self, source: Cause) -> Self {
        self.edit(|report| report.source = Some(source))
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where: the URL of the hop that failed. `None` when no URL was involved ([`ErrorKind::Setup`]).
    #[must_use]
    pub fn url(&self) -> Option<&RedactedUrl> {
        self.0.url.as_ref()
    }

    /// The HTTP status, when the origin answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Requests made for this fetch, each chain of redirects counted once; 0 when none was sent.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Time from the start of the fetch to this failure.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// Time from the last progress of the fetch, or else its start, to this failure: how long nothing came of it.
    #[must_use]
    pub fn in_vain(&self) -> Duration {
        self.0.in_vain
    }

    /// How long the origin (or the circuit breaker) wants to be left alone, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Display for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &*self.0;
        if let Some(url) = &report.url {
            write!(f, "GET {url}: ")?;
        }
        match (report.kind, report.limit) {
            (ErrorKind::FirstByteTimeout, Some(limit)) => write!(f, "no first byte within {}", Seconds(limit))?,
            (ErrorKind::ConnectTimeout, Some(limit)) => write!(f, "no connection within {}", Seconds(limit))?,
            (ErrorKind::Authorizer, Some(limit)) => write!(f, "no credentials within {}", Seconds(limit))?,
            (ErrorKind::Stall, Some(limit)) => write!(f, "the body stalled for {}", Seconds(limit))?,
            (ErrorKind::Deadline, Some(limit)) => write!(f, "not done within {}", Seconds(limit))?,
            (kind, _) => write!(f, "{kind}")?,
        }
        if let Some(status) = report.status {
            write!(f, " (HTTP {status})")?;
        }
        match report.attempts {
            0 => Ok(()),
            1 => write!(f, " (1 attempt, {})", Seconds(report.elapsed)),
            n => write!(f, " ({n} attempts, {})", Seconds(report.elapsed)),
        }
    }
}

impl fmt::Debug for NetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &*self.0;
        f.debug_struct("NetError")
            .field("kind", &report.kind)
            .field("url", &report.url)
            .field("status", &report.status)
            .field("attempts", &report.attempts)
            .field("elapsed", &report.elapsed)
            .field("retry_after", &report.retry_after)
            .field("source", &report.source)
            .finish()
    }
}

impl Error for NetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}

/// A duration for people: `0.2 s`, `21 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if self.0.subsec_nanos() == 0 || seconds >= 10.0 {
            write!(f, "{seconds:.0} s")
        } else {
            write!(f, "{seconds:.1} s")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &NetError) -> String {
        error.to_string()
    }

    #[test]
    fn an_error_reads_as_a_sentence_for_people() {
        let url = RedactedUrl::new(&"http://h/p?secret=1".parse().unwrap());
        let error = NetError::new(ErrorKind::FirstByteTimeout).at(&url).with_limit(Duration::from_secs(10)).tried(
            4,
            Duration::from_millis(21_300),
            Duration::ZERO,
        );
        assert_eq!(shown(&error), "GET http://h/p?…: no first byte within 10 s (4 attempts, 21 s)");
        let error = NetError::new(ErrorKind::NotFound).at(&url).with_status(404).tried(
            1,
            Duration::from_millis(210),
            Duration::ZERO,
        );
        assert_eq!(shown(&error), "GET http://h/p?…: not found (HTTP 404) (1 attempt, 0.2 s)");
        assert_eq!(shown(&NetError::new(ErrorKind::Setup)), "the HTTP client could not be set up");
    }

    #[test]
    fn errors_travel() {
        fn travels<T: Clone + Send + Sync + Error + 'static>() {}
        travels::<NetError>();
    }

    #[test]
    fn statuses_keep_their_meaning() {
        let table = [
            (200, None),
            (202, Some(ErrorKind::NotReady)),
            (206, None),
            (401, Some(ErrorKind::Unauthorized)),
            (403, Some(ErrorKind::Forbidden)),
            (404, Some(ErrorKind::NotFound)),
            (408, Some(ErrorKind::ServerError)),
            (410, Some(ErrorKind::Gone)),
            (418, Some(ErrorKind::Rejected)),
            (425, Some(ErrorKind::ServerError)),
            (429, Some(ErrorKind::Throttled)),
            (500, Some(ErrorKind::ServerError)),
            (599, Some(ErrorKind::ServerError)),
            (999, Some(ErrorKind::Rejected)),
        ];
        for (status, want) in table {
            assert_eq!(ErrorKind::of_status(status), want, "{status}");
        }
    }
}
