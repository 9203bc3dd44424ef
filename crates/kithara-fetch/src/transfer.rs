//! One transfer: from the store what is there, from the network what is not, to the readers and the store as it comes.

use std::iter;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use kithara_assets::{
    AssetsErrorKind, Meta, Present, SpanWriter, StoredVersion, StreamingResource, Ticket, WriteOutcome,
};
use kithara_net::{Body, ErrorKind, NetError, Origin, RedactedUrl, RequestRange, Response};

use crate::fetcher::Shared;
use crate::flight::Flight;
use crate::head::{meta_of, validators_of};
use crate::locate::locate;
use crate::plan::{Step, first_hole, is_believed, next_step, request_range, wanted_end};
use crate::scheduler::Turn;
use crate::version::{Version, same_version};
use crate::{CacheUse, FetchError, FetchErrorKind, FetchRequest, Head, Priority, Provider, StorePace};

/// Versions of a resource a transfer tries before it says that it changes all the time.
const VERSIONS: usize = 3;

/// Bytes read from the store at once, at most; a block of the store.
const READ: usize = 256 << 10;

pub(crate) struct Transfer {
    shared: Arc<Shared>,
    flight: Arc<Flight>,
    request: FetchRequest,
    store: Option<StreamingResource>,
    /// Whether the store is asked for bytes. It is not any more once it proved to be old or unreadable.
    reads: bool,
    /// The version of what is read from the store.
    stored: Option<StoredVersion>,
    /// Somebody put another version into the store meanwhile: the newer one.
    overtaken: bool,
    /// What is stored may be another resource's that had the name before.
    doubts: Option<Doubt>,
    /// What is stored gives way to what comes, unless both are known to be one version.
    replaces: bool,
    /// The version that bytes must be of: that of a delivery that began on another transfer.
    expected: Option<Version>,
    position: u64,
    /// Where it ends; `u64::MAX` while that is not known.
    end: u64,
    turn: Option<Turn>,
    commits: Vec<Ticket<Range<u64>>>,
}

/// What the store knows of a resource: what stands beside its bytes, and its length.
type Stored = (Meta, Option<u64>);

/// How what is stored comes to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The origin is still to be asked.
    Open,
    /// It said that it is right.
    Settled,
}

/// What a request asks the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// The bytes, of the version that is stored where that is known.
    Fill,
    /// Whether what is stored is right, and the bytes where it is not.
    Confirm,
}

/// An answered request for a hole.
struct Exchange {
    hole: Range<u64>,
    head: kithara_net::Head,
    body: Body,
}

impl Transfer {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        flight: &Arc<Flight>,
        request: FetchRequest,
        expected: Option<Version>,
    ) -> Self {
        let usable = request.cache != CacheUse::Bypass;
        let key = request.key.filter(|_| usable);
        let store = shared.store.as_ref().zip(key).map(|(store, key)| store.streaming(&key));
        let range = wanted(&request);
        Self {
            shared: Arc::clone(shared),
            flight: Arc::clone(flight),
            reads: request.cache.reads(),
            stored: None,
            overtaken: false,
            doubts: None,
            replaces: request.cache == CacheUse::WriteOnly,
            store,
            expected,
            position: range.start,
            end: range.end,
            turn: None,
            commits: Vec::new(),
            request,
        }
    }

    /// Delivers everything, ends the flight, and waits until the store has what it was given.
    pub(crate) async fn run(mut self) {
        let outcome = self.deliver().await;
        match &outcome {
            Ok(()) => tracing::debug!(url = %self.shown_url(), bytes = self.position, "delivered"),
            Err(error) => tracing::debug!(url = %self.shown_url(), %error, "not delivered"),
        }
        self.turn = None;
        // Readers see the end now: the disk may take its time.
        self.flight.land(outcome);
        for commit in self.commits {
            if let Err(error) = commit.await {
                tracing::debug!(%error, "not stored");
            }
        }
    }

    async fn deliver(&mut self) -> Result<(), FetchError> {
        for _ in 0..VERSIONS {
            let outcome = self.deliver_version().await;
            match outcome {
                Err(error) if error.kind() == FetchErrorKind::Changed => self.start_over(error)?,
                outcome => return outcome,
            }
        }
        Err(FetchError::new(FetchErrorKind::Changed))
    }

    /// Forgets the version that proved to be old, if nobody has seen a byte of it.
    fn start_over(&mut self, changed: FetchError) -> Result<(), FetchError> {
        tracing::debug!(url = %self.shown_url(), "the resource changed");
        if !std::mem::take(&mut self.overtaken) {
            if self.request.cache.writes()
                && let Some(store) = &self.store
            {
                store.invalidate();
            }
            self.reads = false;
        }
        if self.can_start_over() { Ok(()) } else { Err(changed) }
    }

    fn can_start_over(&self) -> bool {
        self.expected.is_none() && self.flight.is_untouched()
    }

    /// Delivers one version from where it stands. Nothing that is stored in parts is delivered before the origin has confirmed, by
    /// its answer to the first hole, that it is still the same.
    async fn deliver_version(&mut self) -> Result<(), FetchError> {
        let (stored, holes) = self.stored();
        let mut version = self.known_version(stored.as_ref())?;
        self.end = wanted_end(Some(&wanted(&self.request)), version.total_len);
        let mut ahead = match first_hole(self.position, self.end, &holes) {
            Some(hole) => self.open(hole, Ask::Fill, &mut version).await?,
            None if self.doubts == Some(Doubt::Open) => {
                let all = self.position..wanted(&self.request).end;
                self.open(all, Ask::Confirm, &mut version).await?
            }
            None => None,
        };
        self.publish(stored.as_ref(), ahead.as_ref(), &version)?;
        loop {
            let until = ahead.as_ref().map_or(self.end, |exchange| exchange.hole.start);
            self.copy_stored(until, &version).await?;
            let holes = if self.position < until { self.holes() } else { Vec::new() };
            match next_step(self.position, until, &holes) {
                Step::End => match ahead.take() {
                    Some(exchange) => self.stream(exchange).await?,
                    None => return Ok(()),
                },
                Step::Hole(hole) => {
                    if let Some(exchange) = self.open(hole, Ask::Fill, &mut version).await? {
                        self.stream(exchange).await?;
                    }
                }
                // The store has bytes that it could not give: the network has them, too.
                Step::Stored(_) => self.reads = false,
            }
        }
    }

    /// What the store knows of the resource, and what is absent from here on.
    fn stored(&mut self) -> (Option<Stored>, Vec<Range<u64>>) {
        let range = self.position..wanted(&self.request).end;
        let Some(store) = self.store.as_ref().filter(|_| self.reads) else {
            return (None, iter::once(range).collect());
        };
        let present = store.present(range.clone());
        let now = self.shared.options.clock.now();
        let is_believed = is_believed(self.request.belief, self.request.cache, &present, now);
        let Present { meta, total_len, holes, version, .. } = present;
        self.stored = version;
        // An empty resource has no span that could hold a meta.
        let known = (meta.is_some() || total_len.is_some()).then(|| (meta.unwrap_or_default(), total_len));
        let Some((meta, _)) = &known else { return (known, holes) };
        let nameless = validators_of(meta).is_empty();
        if self.doubts.is_none() && !is_believed {
            self.doubts = Some(Doubt::Open);
        }
        // Nobody can say whether it is right, or what its other half is.
        let is_doubtful = nameless && self.doubts == Some(Doubt::Open);
        let is_half = nameless && total_len.is_none() && !holes.is_empty() && holes.as_slice() != [range.clone()];
        if is_doubtful || is_half && self.request.cache != CacheUse::OfflineOnly {
            (self.reads, self.replaces) = (false, true);
            return (None, iter::once(range).collect());
        }
        (known, holes)
    }

    fn known_version(&self, stored: Option<&Stored>) -> Result<Version, FetchError> {
        let stored = stored.map(|(meta, total)| Version { validators: validators_of(meta), total_len: *total });
        match (&self.expected, stored) {
            (Some(expected), Some(stored)) => expected.clone().joined_by(&stored),
            (Some(expected), None) => Ok(expected.clone()),
            (None, stored) => Ok(stored.unwrap_or_default()),
        }
    }

    /// Absent ranges from here to the end.
    fn holes(&self) -> Vec<Range<u64>> {
        match &self.store {
            Some(store) if self.reads => store.holes(self.position..self.end),
            _ => iter::once(self.position..self.end).collect(),
        }
    }

    /// Tells the readers what is coming.
    fn publish(&self, stored: Option<&Stored>, ahead: Option<&Exchange>, version: &Version) -> Result<(), FetchError> {
        let mut head = match (ahead, stored) {
            (Some(exchange), _) => Head::of_network(&exchange.head),
            (None, stored) => {
                let meta = stored.map(|(meta, _)| meta.clone()).unwrap_or_default();
                Head::of_store(&meta, &self.request.url, version.total_len)
            }
        };
        if self.doubts == Some(Doubt::Settled) && ahead.is_none() {
            head.provider = Provider::Confirmed;
        }
        head.total_len = head.total_len.or(version.total_len);
        if ahead.is_some_and(|Exchange { hole, .. }| hole.start > self.position || hole.end < self.end) {
            head.provider = Provider::Both;
        }
        let known_len = (self.end != u64::MAX).then(|| self.end.saturating_sub(self.position));
        if known_len.is_some_and(|len| len > self.request.max_len) {
            return Err(FetchError::new(FetchErrorKind::Net(ErrorKind::TooLarge)));
        }
        self.flight.publish(head);
        Ok(())
    }

    /// Asks the network for a hole, or for what may have taken the place of what is stored. `None`: the resource ends where the hole
    /// begins, or what is stored is right.
    async fn open(
        &mut self,
        hole: Range<u64>,
        ask: Ask,
        version: &mut Version,
    ) -> Result<Option<Exchange>, FetchError> {
        if self.request.cache == CacheUse::OfflineOnly {
            return Err(FetchError::offline_miss(None));
        }
        let located = locate(&self.request).await?;
        let origin = Origin::of(&located.url);
        let begun = wanted(&self.request).start;
        let left = self.request.max_len.saturating_sub(hole.start - begun);
        let mut wire = self.request.on_the_wire(located.url, located.headers).max_len(left);
        if let Some(range) = request_range(&hole) {
            let range = match range {
                RequestRange::From(start) if self.request.may_block.is_some() => RequestRange::Growing(start),
                range => range,
            };
            wire = wire.range(range);
            if !version.validators.is_empty() && ask == Ask::Fill {
                wire = wire.provided_matches(version.validators.clone());
            }
        }
        if ask == Ask::Confirm {
            wire = wire.unless_matches(version.validators.clone());
        }
        if self.request.may_block.is_none() {
            self.take_turn(origin).await;
        }
        match self.shared.client.fetch(wire).await {
            Ok(Response { head, .. }) if head.not_modified => {
                self.doubts = Some(Doubt::Settled);
                Ok(None)
            }
            Ok(Response { head, body }) => {
                if ask == Ask::Confirm {
                    (self.reads, self.replaces) = (false, true);
                    self.end = hole.end;
                    *version = self.expected.clone().unwrap_or_default();
                }
                let answered = Version::of(&head);
                if self.doubts == Some(Doubt::Open) && self.reads && answered.validators.is_empty() {
                    return Err(FetchError::new(FetchErrorKind::Changed));
                }
                *version = version.clone().joined_by(&answered)?;
                self.doubts = self.doubts.map(|_| Doubt::Settled);
                self.make_way(&answered);
                self.end = wanted_end(Some(&(begun..self.end)), version.total_len);
                Ok(Some(Exchange { hole, head, body }))
            }
            Err(error) if hole.start > begun && ends_at(&error, hole.start) => {
                version.total_len = Some(hole.start);
                self.end = hole.start;
                Ok(None)
            }
            // What is stored cannot be gone on with: nothing before the hole can be left out, and there is too much to throw away.
            Err(error) if hole.start > begun && error.kind() == ErrorKind::RangeIgnored && self.can_start_over() => {
                Err(FetchError::new(FetchErrorKind::Changed))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is stored goes before bytes of another version are. It stays where both say that they are the same.
    fn make_way(&mut self, version: &Version) {
        let Some(store) = self.store.as_ref().filter(|_| self.replaces && self.request.cache.writes()) else { return };
        self.replaces = false;
        if store.version().is_some() && same_version(store, version).is_none() {
            store.invalidate();
        }
    }

    /// Hands over what the store has from here to `until`, as far as it can be read.
    ///
    /// Read on the task itself: handing a block to another thread costs more than reading it.
    async fn copy_stored(&mut self, until: u64, version: &Version) -> Result<(), FetchError> {
        let Some(store) = self.store.clone().filter(|_| self.reads && self.position < until) else { return Ok(()) };
        if self.stored.is_none() {
            self.stored = same_version(&store, version);
        }
        let Some(stored) = self.stored else { return Ok(()) };
        while self.position < until {
            let max = usize::try_from(until - self.position).unwrap_or(READ).min(READ);
            match store.read_span_of(&stored, self.position, max) {
                Ok(Some(bytes)) if !bytes.is_empty() => self.hand_over(bytes, false),
                // All of it is gone, and of what the network has nobody can say whether it is the rest.
                Ok(_) if !version.can_be_told() && store.version().is_none() => {
                    return Err(FetchError::new(FetchErrorKind::Changed));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == AssetsErrorKind::Changed => {
                    self.overtaken = true;
                    return Err(FetchError::new(FetchErrorKind::Changed));
                }
                Err(error) => {
                    tracing::debug!(%error, "the store cannot be read");
                    self.reads = false;
                    return Ok(());
                }
            }
            self.wait_for_room().await;
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    /// Hands over a hole as it arrives, and stores it.
    async fn stream(&mut self, mut exchange: Exchange) -> Result<(), FetchError> {
        let mut writer = self.writer(&exchange);
        loop {
            self.pause_if_due().await;
            match exchange.body.chunk().await {
                Ok(Some(mut bytes)) => {
                    // More than was asked for is nobody's.
                    let wanted = exchange.hole.end - self.position;
                    bytes.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
                    if bytes.is_empty() {
                        break;
                    }
                    self.hand_over(bytes.clone(), true);
                    writer = self.keep(writer, bytes).await;
                }
                Ok(None) => break,
                Err(error) => return Err(self.broken(writer, error)),
            }
        }
        // The end of the body is the proof of a length, whatever was announced.
        let ended = self.position < exchange.hole.end;
        if ended {
            self.end = self.position;
        }
        let total_len = if ended { Some(self.position) } else { exchange.head.total_len };
        match writer {
            // One that does not show may be a cut, which is for the readers to tell.
            Some(writer) if ended && !exchange.head.has_end => self.flight.doubt(writer),
            writer => self.commits.extend(writer.map(|writer| writer.commit(total_len))),
        }
        Ok(())
    }

    /// Whole blocks of what came before a failure stay, unless they are of a version that is no more.
    fn broken(&self, writer: Option<SpanWriter>, error: NetError) -> FetchError {
        if error.kind() == ErrorKind::Changed
            && let Some(writer) = writer
        {
            writer.discard();
        }
        error.into()
    }

    fn hand_over(&mut self, bytes: Bytes, from_network: bool) {
        self.position += bytes.len() as u64;
        self.flight.push(bytes, from_network);
    }

    fn writer(&self, exchange: &Exchange) -> Option<SpanWriter> {
        let forbidden = exchange.head.no_store && !self.shared.options.keep_no_store;
        let store = self.store.as_ref().filter(|_| self.request.cache.writes() && !forbidden)?;
        let meta = meta_of(&exchange.head, &self.request.url, &self.shared.options.clock);
        let start = exchange.hole.start;
        let mut writer =
            if self.request.piecewise { store.piecewise_writer(start, meta) } else { store.writer(start, meta) };
        if let Some(total_len) = exchange.head.total_len {
            // Half of it is never joined with half of something longer.
            writer.expect_total(total_len);
        }
        Some(writer)
    }

    /// Stores bytes by reference count. A download goes at the pace of the disk, until somebody joins it for whom that is too slow; and
    /// everybody does where the app wants it so.
    async fn keep(&self, writer: Option<SpanWriter>, bytes: Bytes) -> Option<SpanWriter> {
        let mut writer = writer?;
        let outcome = if self.shared.options.store_pace == StorePace::Wait {
            writer.write_paced(bytes).await
        } else if self.flight.class() == Priority::Download {
            tokio::select! {
                biased;
                outcome = writer.write_paced(bytes) => outcome,
                () = self.flight.wait_until_urgent() => {
                    tracing::debug!(url = %self.shown_url(), "the disk is too slow for who plays this: the span is given up");
                    return None;
                }
            }
        } else {
            writer.write(bytes)
        };
        match outcome {
            WriteOutcome::Accepted => Some(writer),
            WriteOutcome::GaveUp(reason) => {
                tracing::debug!(url = %self.shown_url(), ?reason, "caching of this span is given up");
                None
            }
        }
    }

    async fn take_turn(&mut self, origin: Option<Origin>) {
        let flight = &self.flight;
        self.turn.get_or_insert_with(|| flight.enter(origin)).wait().await;
    }

    /// Waits while others are more urgent, and while nobody reads what is here already; the latter without keeping a turn.
    async fn pause_if_due(&mut self) {
        self.wait_for_room().await;
        if let Some(turn) = &mut self.turn {
            turn.wait().await;
        }
    }

    async fn wait_for_room(&mut self) {
        if self.flight.has_room() {
            return;
        }
        match &mut self.turn {
            Some(turn) => turn.pass_during(self.flight.wait_for_room()).await,
            None => self.flight.wait_for_room().await,
        }
    }

    fn shown_url(&self) -> RedactedUrl {
        RedactedUrl::new(&self.request.url)
    }
}

/// The wanted range of a request; everything where it names none.
pub(crate) fn wanted(request: &FetchRequest) -> Range<u64> {
    request.range.clone().unwrap_or(0..u64::MAX)
}

/// The offset behind the last byte that may be delivered for a request.
pub(crate) fn allowed_end(request: &FetchRequest) -> u64 {
    wanted(request).start.saturating_add(request.max_len)
}

/// Whether the origin said that the resource ends exactly at `position`.
fn ends_at(error: &NetError, position: u64) -> bool {
    matches!(error.kind(), ErrorKind::RangeNotSatisfiable { total: Some(total) } if total == position)
}
