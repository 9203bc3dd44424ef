//! An origin in memory that answers as scripted: for tests of anything that fetches, in virtual time and without a
//! socket.
//!
//! ```
//! use std::sync::Arc;
//! use kithara_net::transport::scripted::{Reply, ScriptedTransport};
//! use kithara_net::{Client, NetworkOptions, Request};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), kithara_net::NetError> {
//! let origin = ScriptedTransport::new()
//!     .on("http://h/a", [Reply::status(503), Reply::resource("0123456789").breaks_after(4), Reply::resource("0123456789")]);
//! let client = Client::with_transport(NetworkOptions::default(), Arc::new(origin.clone()));
//!
//! let response = client.fetch(Request::new("http://h/a".parse().unwrap())).await?;
//! assert_eq!(response.body.collect(100).await?, "0123456789");
//! let ranges: Vec<_> = origin.requests().iter().map(|sent| sent.header("range").map(str::to_owned)).collect();
//! assert_eq!(ranges, [None, None, Some("bytes=4-".to_owned())]);
//! # Ok(())
//! # }
//! ```

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::{Instant, sleep};

use super::{Transport, WireBody, WireError, WireRequest, WireResponse};
use crate::ErrorKind;
use crate::origins::lock;

/// Answers requests by a script and remembers them. Clones share both.
#[derive(Clone, Default)]
pub struct ScriptedTransport {
    state: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    otherwise: Option<Answerer>,
    requests: Vec<Sent>,
}

type Answerer = Arc<dyn Fn(&Sent) -> Reply + Send + Sync>;

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The request.
    pub request: WireRequest,
    /// When it arrived.
    pub at: Instant,
}

impl Sent {
    /// The value of a header, when it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers.get(name)?.to_str().ok()
    }
}

impl ScriptedTransport {
    /// An origin that answers 404 to everything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers requests for `url` with `replies`, one each; the last one for ever.
    #[must_use]
    pub fn on(self, url: &str, replies: impl IntoIterator<Item = Reply>) -> Self {
        lock(&self.state).replies.entry(url.to_owned()).or_default().extend(replies);
        self
    }

    /// Answers requests for all other URLs by a function.
    #[must_use]
    pub fn otherwise(self, reply: impl Fn(&Sent) -> Reply + Send + Sync + 'static) -> Self {
        lock(&self.state).otherwise = Some(Arc::new(reply));
        self
    }

    /// All requests so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Sent> {
        lock(&self.state).requests.clone()
    }

    fn reply_to(&self, sent: Sent) -> Reply {
        let mut script = lock(&self.state);
        script.requests.push(sent.clone());
        let otherwise = match script.replies.get_mut(sent.request.url.as_str()) {
            Some(replies) if replies.len() > 1 => return replies.pop_front().unwrap_or_default(),
            Some(replies) => return replies.front().cloned().unwrap_or_default(),
            None => script.otherwise.clone(),
        };
        drop(script);
        otherwise.map(|reply| reply(&sent)).unwrap_or_default()
    }
}

impl Transport for ScriptedTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let transport = self.clone();
        Box::pin(async move {
            let reply = transport.reply_to(Sent { request: request.clone(), at: Instant::now() });
            sleep(reply.delay).await;
            reply.answer(&request)
        })
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport").field("requests", &lock(&self.state).requests.len()).finish_non_exhaustive()
    }
}

/// One scripted answer. The default is a 404.
#[derive(Clone, Debug)]
pub struct Reply {
    outcome: Result<u16, ErrorKind>,
    headers: HeaderMap,
    body: Bytes,
    serves_ranges: bool,
    length: Option<Option<u64>>,
    delay: Duration,
    chunk: usize,
    pace: Duration,
    cut: Option<(usize, Ending)>,
    remote: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Clean,
    Broken,
    Silent,
}

impl Default for Reply {
    fn default() -> Self {
        Self::status(404)
    }
}

impl Reply {
    /// An answer with this status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            outcome: Ok(status),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            serves_ranges: false,
            length: None,
            delay: Duration::ZERO,
            chunk: usize::MAX,
            pace: Duration::ZERO,
            cut: None,
            remote: None,
        }
    }

    /// A well-behaved 200 with these bytes, their length and an ETag made from them; it honours `Range`, `If-Range` and
    /// `If-None-Match`.
    #[must_use]
    pub fn resource(bytes: impl Into<Bytes>) -> Self {
        let body: Bytes = bytes.into();
        let sum = body.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        let etag = format!("\"{:x}-{sum:x}\"", body.len());
        Self { body, serves_ranges: true, ..Self::status(200) }.header("etag", &etag)
    }

    /// No answer: the exchange fails like this.
    #[must_use]
    pub fn failure(kind: ErrorKind) -> Self {
        Self { outcome: Err(kind), ..Self::status(200) }
    }

    /// A redirect.
    #[must_use]
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("location", location)
    }

    /// Sets a header. A name or value that cannot be one is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Removes a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = bytes.into();
        self
    }

    /// Answers ranges with everything.
    #[must_use]
    pub fn ignores_ranges(mut self) -> Self {
        self.serves_ranges = false;
        self
    }

    /// Announces this `Content-Length` whatever the body; `None` announces none.
    #[must_use]
    pub fn announces(mut self, length: Option<u64>) -> Self {
        self.length = Some(length);
        self
    }

    /// The head comes after `delay`.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// The body comes in chunks of `len` bytes, each after a pause.
    #[must_use]
    pub fn in_chunks(mut self, len: usize, pause: Duration) -> Self {
        (self.chunk, self.pace) = (len.max(1), pause);
        self
    }

    /// The connection breaks after so many bytes of this answer.
    #[must_use]
    pub fn breaks_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, Ending::Broken));
        self
    }

    /// The message ends in order after so many bytes of this answer, whatever was announced.
    #[must_use]
    pub fn ends_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, Ending::Clean));
        self
    }

    /// Nothing more comes after so many bytes of this answer, for ever.
    #[must_use]
    pub fn stalls_after(mut self, bytes: usize) -> Self {
        self.cut = Some((bytes, Ending::Silent));
        self
    }

    /// The address that answers. By default it is unknown.
    #[must_use]
    pub fn from_address(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    fn answer(mut self, request: &WireRequest) -> Result<WireResponse, WireError> {
        let mut status = self.outcome.map_err(WireError::new)?;
        if status == 200 && self.serves_ranges {
            status = self.apply_conditions(request);
        }
        let length = self.length.unwrap_or(Some(self.body.len() as u64));
        if let Some(length) = length.filter(|_| status != 304) {
            self.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (headers, remote) = (std::mem::take(&mut self.headers), self.remote);
        Ok(WireResponse { status, headers, body: self.into_body(), remote, multiplexed: false })
    }

    /// What an honest server makes of the request's conditions and range: the status; cuts the body.
    fn apply_conditions(&mut self, request: &WireRequest) -> u16 {
        let etag = self.headers.get(header::ETAG);
        let asked = |name: HeaderName| request.headers.get(name);
        if etag.is_some() && asked(header::IF_NONE_MATCH) == etag {
            self.body = Bytes::new();
            return 304;
        }
        let condition = asked(header::IF_RANGE);
        let holds = condition.is_none_or(|_| condition == etag || condition == self.headers.get(header::LAST_MODIFIED));
        let range =
            asked(header::RANGE).filter(|_| holds).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        let Some((first, last)) = range.and_then(|range| range.split_once('-')) else { return 200 };
        let len = self.body.len();
        let number = |text: &str| text.parse::<usize>().ok();
        let (start, end) = match (number(first), number(last)) {
            (Some(start), last) => (start, last.map_or(len, |last| last.saturating_add(1).min(len))),
            (None, Some(suffix)) => (len.saturating_sub(suffix), len),
            (None, None) => return 200,
        };
        if start >= end {
            self.body = Bytes::new();
            *self = self.clone().header("content-range", &format!("bytes */{len}"));
            return 416;
        }
        self.body = self.body.slice(start..end);
        *self = self.clone().header("content-range", &format!("bytes {start}-{}/{len}", end - 1));
        206
    }

    fn into_body(self) -> WireBody {
        let (at, ending) = self.cut.unwrap_or((self.body.len(), Ending::Clean));
        let body = self.body.slice(..at.min(self.body.len()));
        let (chunk, pace) = (self.chunk, self.pace);
        let chunks = futures_util::stream::unfold(body, move |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            sleep(pace).await;
            let next = rest.split_to(chunk.min(rest.len()));
            Some((Ok(next), rest))
        });
        let end = futures_util::stream::once(async move {
            match ending {
                Ending::Clean => None,
                Ending::Broken => Some(Err(WireError::new(ErrorKind::Truncated))),
                Ending::Silent => std::future::pending().await,
            }
        });
        chunks.chain(end.filter_map(std::future::ready)).boxed()
    }
}
