//! A body on its way, through as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http::HeaderMap;
use http::header::ACCEPT_RANGES;
use tokio::time::{Instant, timeout};

use crate::attempt::{Answer, Ask, Failure, attempt};
use crate::client::Shared;
use crate::fetch::{GROWING_END, check_coding};
use crate::header::Coding;
use crate::origins::KnownOrigin;
use crate::pace::{Lag, MOST_LAGGING};
use crate::placement::{Placement, Rest};
use crate::prefix::{OtherBytes, Skip, Sum};
use crate::stall::Progress;
use crate::transport::{WireBody, WireError};
use crate::tries::Tries;
use crate::{Delivery, ErrorKind, NetError, Origin, RedactedUrl, Request, RequestRange, Validators};

/// The wanted bytes of one resource, in order, from `position` on.
pub(crate) struct Transfer {
    shared: Arc<Shared>,
    request: Arc<Request>,
    tries: Tries,
    state: State,
    /// Where the bytes come from at the moment, for errors and the origin's budget.
    url: RedactedUrl,
    origin: Origin,
    validators: Validators,
    /// Of what was delivered, where nothing stronger tells whether it comes again.
    sum: Option<Sum>,
    coding: Coding,
    position: u64,
    /// Offset behind the last byte the caller wants; `None` for all there are.
    bound: Option<u64>,
    /// Offset behind the last wanted byte that exists, as far as known.
    end: Option<u64>,
    /// Offset behind the last byte of the part that was answered last; `None` where the resource ends with its message.
    part_end: Option<u64>,
    total: Option<u64>,
    delivered: u64,
    /// Bytes this connection delivered since the attempts were last counted anew.
    fresh: u64,
    /// Stall windows in which the connection of the time was much slower than others.
    lagging: u32,
    /// Whether the server is known to answer ranges with the whole resource.
    ignores_ranges: bool,
}

enum State {
    /// A connection delivers.
    Arriving(Arrival),
    /// Nothing arrives; the rest must be asked for.
    Broken,
    /// The rest was asked for. The exchange is kept here so that cancelling a wait for it does not begin it anew.
    Reopening { asked_if_range: bool, answer: BoxFuture<'static, Result<Answer, Failure>> },
    /// All bytes were delivered, or never will be.
    Over(Result<(), NetError>),
}

/// Why a transfer does not go on.
pub(crate) enum Interruption {
    /// What has arrived is void: begin anew. Only for whole deliveries.
    Restart,
    /// It failed for good.
    Final(NetError),
}

enum Step {
    Chunk(Bytes),
    Nothing,
    End,
}

impl Transfer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        request: Arc<Request>,
        tries: Tries,
        answer: Answer,
        placement: Placement,
    ) -> Self {
        let bound = match &request.range {
            Some(RequestRange::Bounded(range)) => Some(range.end),
            Some(RequestRange::Suffix(len)) => Some(placement.start.saturating_add(*len)),
            _ => None,
        };
        let validators = Validators::of(&answer.headers);
        let summed = request.delivery == Delivery::Streamed && !validators.has_strong_etag();
        let is_ranged = request.range.is_some();
        let mut transfer = Self {
            shared,
            request,
            tries,
            state: State::Broken,
            url: RedactedUrl::new(&answer.url),
            validators,
            sum: summed.then(Sum::default),
            coding: Coding::of(&answer.headers),
            origin: answer.origin,
            position: placement.start,
            bound,
            end: placement.end,
            part_end: placement.part_end,
            total: placement.total,
            delivered: 0,
            fresh: 0,
            lagging: 0,
            ignores_ranges: answer.status != 206 && (is_ranged || refuses_ranges(&answer.headers)),
        };
        transfer.arrive(answer.body, Skip::unseen(placement.skip), true);
        transfer
    }

    pub(crate) fn into_tries(self) -> Tries {
        self.tries
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn max_len(&self) -> u64 {
        self.request.max_len
    }

    pub(crate) fn max_inflate_ratio(&self) -> u32 {
        self.shared.options.max_inflate_ratio
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Interruption> {
        loop {
            let step = match &self.state {
                State::Over(outcome) => return outcome.clone().map(|()| None).map_err(Interruption::Final),
                State::Arriving(_) => self.read().await,
                State::Broken | State::Reopening { .. } => self.reopen().await,
            };
            match step {
                Ok(Step::Chunk(chunk)) => return Ok(Some(chunk)),
                Ok(Step::Nothing) => {}
                Ok(Step::End) => self.end_well(),
                Err(error) => self.interrupted(error)?,
            }
        }
    }

    /// The failure of a whole body that has arrived and turned out to be no good: `kind` decides whether to begin anew.
    pub(crate) fn rejected(&mut self, kind: ErrorKind) -> Interruption {
        match self.interrupted(self.failure(kind)) {
            Ok(()) => Interruption::Restart,
            Err(interruption) => interruption,
        }
    }

    /// Decides what becomes of a transfer whose connection or answer failed: `Ok` to ask for the rest.
    fn interrupted(&mut self, error: NetError) -> Result<(), Interruption> {
        // Nobody has seen anything of a whole delivery yet, so its new version is as good as the old one.
        let changed = error.kind() == ErrorKind::Changed && self.request.delivery != Delivery::Streamed;
        let error = if changed { self.failure(ErrorKind::Truncated).caused_by(Arc::new(error)) } else { error };
        self.state = State::Broken;
        if let Err(error) = self.tries.failed(&self.shared, error, Some(&self.origin), self.position) {
            self.state = State::Over(Err(error.clone()));
            return Err(Interruption::Final(error));
        }
        if changed || !self.resumable() { Err(Interruption::Restart) } else { Ok(()) }
    }

    /// Whether the rest of a broken body may be joined to its beginning.
    ///
    /// A stream is resumed whenever nothing speaks against it. A document that is wanted whole may change at any time,
    /// and only a strong ETag proves that it has not.
    fn resumable(&self) -> bool {
        self.request.delivery == Delivery::Streamed || self.validators.has_strong_etag()
    }

    fn arrive(&mut self, body: WireBody, skip: Skip, first: bool) {
        let timeouts = &self.shared.options.timeouts;
        let progress = Progress::new(self.stall_window(), timeouts.min_progress);
        self.fresh = 0;
        let known = self.shared.origins.get(&self.origin);
        let (waiting, waited) = (Duration::ZERO, Duration::ZERO);
        let from = self.position;
        let arrival = Arrival { body, known, from, skip, first, progress, waiting, moved: 0, waited };
        self.state = State::Arriving(arrival);
        if self.limit() == Some(self.position) {
            self.finish();
        }
    }

    /// Offset behind the last byte to deliver, as far as known.
    fn limit(&self) -> Option<u64> {
        [self.end, self.bound].into_iter().flatten().min()
    }

    /// Waits for the next bytes of the connection there is.
    async fn read(&mut self) -> Result<Step, NetError> {
        let least = self.least_progress();
        let State::Arriving(arrival) = &mut self.state else { return Ok(Step::Nothing) };
        if self.part_end == Some(self.position) {
            return self.part_ended();
        }
        arrival.progress.want(least);
        match arrival.next(self.tries.clock.left()).await {
            Next::Bytes(bytes) => self.received(bytes),
            Next::Other => Err(self.failure(ErrorKind::Changed)),
            Next::End { skip, first } => self.ended(skip, first),
            Next::Broken(error) => {
                let failure = self.failure(error.kind());
                Err(error.into_cause().into_iter().fold(failure, NetError::caused_by))
            }
            Next::Stalled { moved } => self.stalled(moved),
            Next::OutOfTime => Err(self.tries.clock.deadline_error().at(&self.url)),
        }
    }

    fn stall_window(&self) -> Duration {
        let stall = self.shared.options.timeouts.stall;
        self.request.may_block.map_or(stall, |time| time.max(stall))
    }

    /// Bytes that must move within the stall window.
    fn least_progress(&self) -> u64 {
        let timeouts = &self.shared.options.timeouts;
        match &self.state {
            State::Arriving(arrival) if self.may_lag() => {
                arrival.known.least_progress(timeouts).max(timeouts.min_progress)
            }
            _ => timeouts.min_progress,
        }
    }

    /// Whether the body is held against the pace of its origin. One that cannot be resumed is not given up for being slow,
    /// nor one of which all that came would have to come again, and one that comes as it is made is no laggard.
    fn may_lag(&self) -> bool {
        self.lagging < MOST_LAGGING && self.resumable() && !self.ignores_ranges && self.request.may_block.is_none()
    }

    /// The body moved only so much within the stall window.
    fn stalled(&mut self, moved: u64) -> Result<Step, NetError> {
        let timeouts = &self.shared.options.timeouts;
        if let State::Arriving(arrival) = &mut self.state
            && moved >= timeouts.min_progress.max(1)
        {
            self.lagging += 1;
            match Lag::after(self.lagging) {
                Lag::Change => {}
                Lag::ChangeAndSlow => arrival.known.slowed(moved, timeouts.stall),
                Lag::Bear => {
                    arrival.progress.begin_anew();
                    return Ok(Step::Nothing);
                }
            }
        }
        Err(self.failure(ErrorKind::Stall).with_limit(self.stall_window()))
    }

    /// Takes what is wanted of `bytes`.
    fn received(&mut self, mut bytes: Bytes) -> Result<Step, NetError> {
        if let Some(limit) = [self.limit(), self.part_end].into_iter().flatten().min() {
            bytes.truncate(usize::try_from(limit - self.position).unwrap_or(usize::MAX));
        }
        if bytes.is_empty() {
            return Ok(Step::Nothing);
        }
        let len = bytes.len() as u64;
        self.delivered += len;
        if self.delivered > self.request.max_len {
            return Err(self.failure(ErrorKind::TooLarge));
        }
        self.position += len;
        self.fresh += len;
        self.count(&bytes);
        // The bytes of a whole delivery may all turn out to be for nothing, so they are no progress.
        let streamed = self.request.delivery == Delivery::Streamed;
        if streamed && self.fresh >= self.shared.options.timeouts.min_progress {
            self.fresh = 0;
            self.tries.progressed();
        }
        if self.limit() == Some(self.position) {
            self.finish();
        }
        Ok(Step::Chunk(bytes))
    }

    /// Keeps the sum of what is delivered, as long as an answer with all of it would be taken.
    fn count(&mut self, bytes: &[u8]) {
        if self.position > self.shared.options.max_skip {
            self.sum = None;
        } else if let Some(sum) = &mut self.sum {
            sum.add(bytes);
        }
    }

    /// All wanted bytes are there.
    fn finish(&mut self) {
        if let State::Arriving(arrival) = &mut self.state {
            arrival.see_end();
        }
        self.end_well();
    }

    fn end_well(&mut self) {
        self.tries.succeeded();
        if let State::Arriving(arrival) = &self.state {
            arrival.known.moved(arrival.moved, arrival.waited);
        }
        self.state = State::Over(Ok(()));
    }

    /// The part is all there, and more is wanted. An origin may cut ranges as it likes (RFC 9110 section 15.3.7): asking for
    /// the next one is no failure, unless so little comes of it that it would be asked without end.
    fn part_ended(&mut self) -> Result<Step, NetError> {
        let State::Arriving(arrival) = &mut self.state else { return Ok(Step::Nothing) };
        arrival.see_end();
        // What came beside the part that it says it is does not count.
        let is_progress = self.position - arrival.from >= self.shared.options.timeouts.min_progress;
        if is_progress && self.request.delivery == Delivery::Streamed {
            arrival.known.moved(arrival.moved, arrival.waited);
            self.state = State::Broken;
            return Ok(Step::Nothing);
        }
        self.ended(0, true)
    }

    /// The message ended in order: is it the end of what is wanted?
    fn ended(&self, skip: u64, first: bool) -> Result<Step, NetError> {
        // The end of a part is that of the resource only where its length is known.
        let missing = self.end.map_or(self.part_end.is_some(), |end| self.position < end);
        if missing {
            return Err(self.failure(ErrorKind::Truncated));
        }
        match (skip, first) {
            (0, _) => Ok(Step::End),
            (_, true) => Err(self.failure(ErrorKind::RangeNotSatisfiable { total: Some(self.position - skip) })),
            (_, false) => Err(self.failure(ErrorKind::Changed)),
        }
    }

    /// Asks for the rest and waits for the answer.
    async fn reopen(&mut self) -> Result<Step, NetError> {
        if matches!(self.state, State::Broken) {
            self.tries.next().await;
            let ask = self.ask_for_rest();
            let asked_if_range = ask.if_range.is_some();
            let (shared, request, clock) = (Arc::clone(&self.shared), Arc::clone(&self.request), self.tries.clock);
            let answer = Box::pin(async move { attempt(&shared, &request, &ask, &clock).await });
            self.state = State::Reopening { asked_if_range, answer };
        }
        let State::Reopening { asked_if_range, answer } = &mut self.state else { return Ok(Step::Nothing) };
        let (answer, asked_if_range) = (answer.await, *asked_if_range);
        self.state = State::Broken;
        match answer {
            Ok(answer) => self.accept_rest(answer),
            Err(Failure { error, origin }) => {
                self.origin = origin.unwrap_or_else(|| self.origin.clone());
                match error.kind() {
                    ErrorKind::RangeNotSatisfiable { total } => self.beyond_end(error, total, asked_if_range),
                    _ => Err(error),
                }
            }
        }
    }

    fn ask_for_rest(&self) -> Ask {
        let gzip = self.request.delivery == Delivery::WholeInflated;
        if self.position == 0 && self.bound.is_none() {
            return Ask { gzip, ..Ask::default() };
        }
        let range = match (&self.request.range, self.limit()) {
            (Some(RequestRange::Bounded(_)), Some(limit)) => format!("bytes={}-{}", self.position, limit - 1),
            (Some(RequestRange::Growing(_)), _) => format!("bytes={}-{GROWING_END}", self.position),
            _ => format!("bytes={}-", self.position),
        };
        let if_range = self.validators.for_if_range().map(str::to_owned);
        Ask { range: Some(range), if_range, gzip, ..Ask::default() }
    }

    fn accept_rest(&mut self, answer: Answer) -> Result<Step, NetError> {
        self.url = RedactedUrl::new(&answer.url);
        self.origin = answer.origin.clone();
        let placement = self.place_rest(&answer).map_err(|kind| answer.failure(kind).error)?;
        self.end = placement.end;
        self.part_end = placement.part_end;
        self.total = placement.total;
        self.ignores_ranges = answer.status != 206 && (self.ignores_ranges || placement.skip > 0);
        if self.validators.is_empty() {
            self.validators = Validators::of(&answer.headers);
        }
        tracing::debug!(position = self.position, skip = placement.skip, "resumed");
        let skip = self.sum.as_ref().map_or(Skip::unseen(placement.skip), |sum| sum.expected_in(placement.skip));
        self.arrive(answer.body, skip, false);
        Ok(Step::Nothing)
    }

    /// Where the bytes of an answer for the rest belong, if they belong here at all.
    fn place_rest(&self, answer: &Answer) -> Result<Placement, ErrorKind> {
        check_coding(&self.request, answer)?;
        let now = Validators::of(&answer.headers);
        // A whole resource that no longer has what ours was known by is another one.
        let unproven = answer.status != 206 && self.position > 0 && now.is_empty() && !self.validators.is_empty();
        if unproven || !self.validators.agree_with(&now) || Coding::of(&answer.headers) != self.coding {
            return Err(ErrorKind::Changed);
        }
        let rest = Rest {
            position: self.position,
            bound: self.bound,
            end: self.end,
            total: self.total,
            growing: matches!(self.request.range, Some(RequestRange::Growing(_))),
            proven: self.validators.has_strong_etag() && self.validators.etag == now.etag,
            known_again: self.is_known_again(&now),
        };
        let placement = Placement::of_rest(&rest, answer.status, &answer.headers)?;
        let len = placement.end.map(|end| self.delivered.saturating_add(end - self.position));
        if len.is_some_and(|len| len > self.request.max_len) {
            return Err(ErrorKind::TooLarge);
        }
        if placement.skip > self.shared.options.max_skip { Err(ErrorKind::RangeIgnored) } else { Ok(placement) }
    }

    /// Whether something will tell that a whole resource with these validators is ours; see [`Rest::known_again`].
    fn is_known_again(&self, now: &Validators) -> bool {
        let nothing_known = self.delivered == 0 && self.total.is_none() && self.validators.is_empty();
        let comparable = self.sum.as_ref().is_some_and(|sum| sum.len() > 0);
        nothing_known || comparable || self.validators.share_with(now)
    }

    /// The origin says that there is nothing at our position: where that is the end, the length it announced was too
    /// long, or it had announced none, and all is delivered.
    fn beyond_end(&mut self, error: NetError, total: Option<u64>, asked_if_range: bool) -> Result<Step, NetError> {
        match total {
            Some(total) if total == self.position => Ok(Step::End),
            Some(total) if total < self.position => Err(self.failure(ErrorKind::Changed)),
            Some(_) => Err(self.failure(ErrorKind::InvalidRange).caused_by(Arc::new(error))),
            // Nothing beyond the part we hold was ever announced or asked for by its place, or our validators were accepted.
            None if (asked_if_range || self.bound.is_none())
                && self.end.is_none()
                && self.part_end == Some(self.position) =>
            {
                Ok(Step::End)
            }
            // A refusal that names no length proves nothing against a body that was announced, or that broke.
            None => Err(self.failure(ErrorKind::Truncated).caused_by(Arc::new(error))),
        }
    }

    fn failure(&self, kind: ErrorKind) -> NetError {
        NetError::new(kind).at(&self.url)
    }
}

/// One connection that delivers.
struct Arrival {
    body: WireBody,
    known: Arc<KnownOrigin>,
    /// Offset of its first byte that is wanted.
    from: u64,
    /// What is to be thrown away of it.
    skip: Skip,
    /// Whether this is the answer to the first request, not to one for the rest.
    first: bool,
    progress: Progress,
    /// How long the next chunk was waited for by waits that were cancelled. Time between them is not the origin's.
    waiting: Duration,
    /// All that came, and how long it was waited for.
    moved: u64,
    waited: Duration,
}

enum Next {
    /// Bytes behind those to throw away; may be empty.
    Bytes(Bytes),
    /// Those to throw away are not those that came before.
    Other,
    /// The message ended in order, with so many bytes still to be thrown away.
    End {
        skip: u64,
        first: bool,
    },
    Broken(WireError),
    /// No more than this moved within the window.
    Stalled {
        moved: u64,
    },
    OutOfTime,
}

impl Arrival {
    /// Lets the transport see the end of the message, so that the connection can be used again.
    fn see_end(&mut self) {
        let _ = self.body.next().now_or_never();
    }

    /// Waits for the next chunk, until the body has stalled or `left` is over.
    async fn next(&mut self, left: Option<Duration>) -> Next {
        let until_stall = self.progress.left().saturating_sub(self.waiting);
        let wait = left.map_or(until_stall, |left| left.min(until_stall));
        let item = {
            let _wait = Wait { begun: Instant::now(), waited: &mut self.waiting };
            timeout(wait, self.body.next()).await
        };
        let waited = std::mem::take(&mut self.waiting);
        match item {
            Ok(Some(Ok(bytes))) => {
                self.moved += bytes.len() as u64;
                self.waited += waited;
                self.progress.moved(bytes.len() as u64, waited);
                self.skipped(bytes)
            }
            Ok(Some(Err(error))) => Next::Broken(error),
            Ok(None) => Next::End { skip: self.skip.left(), first: self.first },
            Err(_) => {
                self.progress.waited(waited);
                if self.progress.left().is_zero() {
                    Next::Stalled { moved: self.progress.in_window() }
                } else {
                    Next::OutOfTime
                }
            }
        }
    }

    fn skipped(&mut self, mut bytes: Bytes) -> Next {
        match self.skip.next(&bytes) {
            Ok(skip) => {
                bytes.advance(skip);
                Next::Bytes(bytes)
            }
            Err(OtherBytes) => Next::Other,
        }
    }
}

/// One wait, which counts also when it is cancelled.
struct Wait<'a> {
    begun: Instant,
    waited: &'a mut Duration,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        *self.waited += self.begun.elapsed();
    }
}

/// Whether the server says that it serves no ranges (RFC 9110 section 14.3).
fn refuses_ranges(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT_RANGES).is_some_and(|units| units.as_bytes().trim_ascii().eq_ignore_ascii_case(b"none"))
}
