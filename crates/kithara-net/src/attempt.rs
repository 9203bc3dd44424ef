//! One attempt: a request, the redirects it meets, and the response at their end.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::address::{AddressPolicy, Provenance, is_public, literal_address};
use crate::client::Shared;
use crate::credentials::{Carried, add_secret, take_userinfo};
use crate::header::{ContentRange, retry_after};
use crate::origins::{KnownOrigin, blames_origin, lock};
use crate::redirect::{Chain, is_redirect};
use crate::transport::{Reach, WireBody, WireError, WireRequest, WireResponse};
use crate::tries::Clock;
use crate::{ErrorKind, NetError, Origin, RedactedUrl, Request};

/// What one attempt asks for, beyond what its request says.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) range: Option<String>,
    pub(crate) if_range: Option<String>,
    pub(crate) if_none_match: Option<String>,
    pub(crate) if_modified_since: Option<String>,
    pub(crate) gzip: bool,
}

/// The response at the end of the redirects: 2xx, or 304 to a conditional request.
pub(crate) struct Answer {
    /// Where it came from; userinfo included, for it is part of the base of relative references.
    pub(crate) url: Url,
    pub(crate) origin: Origin,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: WireBody,
    /// Whether the end of the body shows: it has a length, or comes in frames.
    pub(crate) has_end: bool,
    pub(crate) time_to_first_byte: Duration,
    pub(crate) provenance: Provenance,
}

/// A failed attempt and the origin it failed at.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: NetError,
    pub(crate) origin: Option<Origin>,
}

impl Answer {
    /// A failure of this answer, found after its head had arrived.
    pub(crate) fn failure(&self, kind: ErrorKind) -> Failure {
        let error = NetError::new(kind).at(&RedactedUrl::new(&self.url)).with_status(self.status);
        Failure { error, origin: Some(self.origin.clone()) }
    }
}

/// What says where a body ends that has its connection for itself.
const FRAMES: [HeaderName; 2] = [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING];

/// Sends `request` as `ask` says and follows redirects.
pub(crate) async fn attempt(shared: &Shared, request: &Request, ask: &Ask, clock: &Clock) -> Result<Answer, Failure> {
    let mut walk = Walk {
        shared,
        request,
        ask,
        clock,
        carried: Carried::new(&request.headers),
        chain: Chain::new(shared.options.max_redirects),
        namer: request.named_by,
    };
    let mut url = request.url.clone();
    url.set_fragment(None);
    loop {
        let hop = match clock.left() {
            Some(left) => timeout(left, walk.hop(&url)).await.unwrap_or_else(|_| Err(clock.deadline_error())),
            None => walk.hop(&url).await,
        };
        match hop {
            Ok(Hop::Answer(answer)) => return Ok(*answer),
            Ok(Hop::Redirect(next)) => url = next,
            Err(error) => {
                let origin = Origin::of(&url);
                return Err(Failure { error: error.at(&RedactedUrl::new(&url)), origin });
            }
        }
    }
}

enum Hop {
    Answer(Box<Answer>),
    Redirect(Url),
}

/// The way along the redirects of one attempt, and what may still be taken along.
struct Walk<'a> {
    shared: &'a Shared,
    request: &'a Request,
    ask: &'a Ask,
    clock: &'a Clock,
    carried: Carried<'a>,
    chain: Chain,
    namer: Provenance,
}

impl Walk<'_> {
    async fn hop(&mut self, url: &Url) -> Result<Hop, NetError> {
        let origin = Origin::of(url).ok_or_else(|| NetError::new(ErrorKind::InvalidRequest))?;
        let reach = self.reach(url)?;
        let wire = self.wire_request(url, &origin, reach).await?;
        let (response, time_to_first_byte) = self.exchange(wire, &origin, url).await?;

        let cookies = self.shared.cookies.as_ref();
        let cookies_changed = cookies.is_some_and(|cookies| lock(cookies).keep(url, &response.headers));
        let provenance = provenance(response.remote, url);
        let status = response.status.as_u16();
        if is_redirect(status) {
            drain(response.body).await;
            let next = self.chain.follow(url, &response.headers, cookies_changed);
            let next = next.map_err(|kind| NetError::new(kind).with_status(status))?;
            tracing::debug!(status, to = %RedactedUrl::new(&next), "redirected");
            self.namer = provenance;
            return Ok(Hop::Redirect(next));
        }
        let unasked = status == 304 && self.request.unless.is_none();
        let failure = if unasked { Some(ErrorKind::Rejected) } else { ErrorKind::of_status(status) };
        if let Some(kind) = failure {
            drain(response.body).await;
            return Err(status_error(kind, status, &response.headers));
        }
        let WireResponse { headers, body, multiplexed, .. } = response;
        let has_end = multiplexed || FRAMES.iter().any(|name| headers.contains_key(name));
        let url = url.clone();
        Ok(Hop::Answer(Box::new(Answer {
            url,
            origin,
            status,
            headers,
            body,
            has_end,
            time_to_first_byte,
            provenance,
        })))
    }

    /// The addresses `url` may lead to, given who named it.
    fn reach(&self, url: &Url) -> Result<Reach, NetError> {
        let guarded = self.shared.options.address_policy == AddressPolicy::PublicOnly;
        if !guarded || self.namer != Provenance::Public {
            return Ok(Reach::Anywhere);
        }
        match literal_address(url) {
            Some(address) if !is_public(address) => Err(NetError::new(ErrorKind::AddressRefused)),
            _ => Ok(Reach::Public),
        }
    }

    async fn wire_request(&mut self, url: &Url, origin: &Origin, reach: Reach) -> Result<WireRequest, NetError> {
        let mut target = url.clone();
        let mut headers = self.plain_headers();
        if let Some(basic) = take_userinfo(&mut target) {
            headers.insert(header::AUTHORIZATION, basic);
        }
        if let Some(cookie) = self.shared.cookies.as_ref().and_then(|cookies| lock(cookies).header_for(&target)) {
            headers.insert(header::COOKIE, cookie);
        }
        self.carried.enter(origin, &mut headers);
        let authorizer = self.request.authorizer.as_ref().or(self.shared.options.authorizer.as_ref());
        if let Some(authorizer) = authorizer {
            let limit = self.clock.first_byte_limit(self.shared.options.timeouts.first_byte);
            let given = timeout(limit, authorizer.authorize(&target)).await;
            let given = given.map_err(|_| NetError::new(ErrorKind::Authorizer).with_limit(limit))?;
            let given = given.map_err(|cause| NetError::new(ErrorKind::Authorizer).caused_by(cause.into()))?;
            add_secret(&mut headers, &given);
        }
        Ok(WireRequest { url: target, headers, reach })
    }

    /// Headers that are no secret and go to every hop.
    fn plain_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(user_agent) = &self.shared.user_agent {
            headers.insert(header::USER_AGENT, user_agent.clone());
        }
        headers.insert(header::ACCEPT, self.request.accept.clone().unwrap_or(HeaderValue::from_static("*/*")));
        let coding = if self.ask.gzip { "gzip" } else { "identity" };
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
        let mut put = |name: HeaderName, text: &Option<String>| {
            if let Some(value) = text.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        };
        put(header::RANGE, &self.ask.range);
        put(header::IF_RANGE, &self.ask.if_range);
        put(header::IF_NONE_MATCH, &self.ask.if_none_match);
        put(header::IF_MODIFIED_SINCE, &self.ask.if_modified_since);
        headers
    }

    /// One exchange with `origin`, as soon as its breaker allows it; tells the breaker how it went.
    async fn exchange(
        &self,
        wire: WireRequest,
        origin: &Origin,
        url: &Url,
    ) -> Result<(WireResponse, Duration), NetError> {
        let known = self.shared.origins.get(origin);
        let probe = known.admitted(self.clock.longest_pause()).await;
        let probe = probe.map_err(|pause| NetError::new(ErrorKind::CircuitOpen).with_retry_after(Some(pause)))?;

        let first_byte = self.shared.options.timeouts.first_byte;
        let first_byte = self.request.may_block.map_or(first_byte, |time| time.max(first_byte));
        let limit = self.clock.first_byte_limit(first_byte);
        let begun = Instant::now();
        let sent = timeout(limit, self.shared.transport.send(wire)).await;
        let sent = match sent {
            Ok(sent) => sent.map_err(|error| self.wire_error(error)),
            Err(_) => Err(NetError::new(ErrorKind::FirstByteTimeout).with_limit(limit)),
        };
        report(&known, &sent, url, probe);
        sent.map(|response| (response, begun.elapsed()))
    }

    fn wire_error(&self, error: WireError) -> NetError {
        let failure = NetError::new(error.kind());
        let failure = match error.kind() {
            ErrorKind::ConnectTimeout => failure.with_limit(self.shared.options.timeouts.connect),
            _ => failure,
        };
        match error.into_cause() {
            Some(cause) => failure.caused_by(cause),
            None => failure,
        }
    }
}

/// Reads the short body of a redirect or error page, so that its connection can be used again.
async fn drain(mut body: WireBody) {
    let mut left = DRAINED;
    let drained = async {
        while let Some(Ok(chunk)) = body.next().await {
            match left.checked_sub(chunk.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Such a page comes with its head or not soon; then another connection is cheaper than waiting.
    let _ = timeout(DRAIN_TIME, drained).await;
}

/// Longest page that is read for the sake of its connection, and the longest time that may take.
const DRAINED: usize = 16 << 10;
const DRAIN_TIME: Duration = Duration::from_millis(20);

/// Tells an origin's breaker how an exchange went.
fn report(known: &KnownOrigin, sent: &Result<WireResponse, NetError>, url: &Url, probe: bool) {
    let failed = match sent {
        Ok(response) => ErrorKind::of_status(response.status.as_u16()).is_some_and(blames_origin),
        Err(error) => blames_origin(error.kind()),
    };
    match sent {
        Ok(response) if !failed => known.answered(response.multiplexed),
        _ if failed => known.failed(url, probe),
        // Our own refusal (certificate, address) says nothing about how the origin is.
        _ => {}
    }
}

fn status_error(kind: ErrorKind, status: u16, headers: &HeaderMap) -> NetError {
    let kind = match (kind, ContentRange::of(headers)) {
        (ErrorKind::RangeNotSatisfiable { .. }, Some(ContentRange::Unsatisfied { total })) => {
            ErrorKind::RangeNotSatisfiable { total: Some(total) }
        }
        (kind, _) => kind,
    };
    // A date is read by the origin's own clock, where it tells it: ours may be wrong.
    let origin_clock = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let now = origin_clock.unwrap_or_else(SystemTime::now);
    NetError::new(kind).with_status(status).with_retry_after(retry_after(headers, now))
}

/// What a response is as the namer of other URLs. An address we do not know might be public.
fn provenance(remote: Option<SocketAddr>, url: &Url) -> Provenance {
    match remote.map(|remote| remote.ip()).or_else(|| literal_address(url)) {
        Some(address) if !is_public(address) => Provenance::Private,
        _ => Provenance::Public,
    }
}
