//! The receiving end of a fetch.

use std::fmt;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kithara_net::ErrorKind;
use tokio::time::Instant;

use crate::fetcher::Shared;
use crate::flight::{Flight, ReaderId, Taken};
use crate::flights::FlightKey;
use crate::transfer::{allowed_end, wanted};
use crate::version::Version;
use crate::{FetchError, FetchErrorKind, FetchRequest, Head, Priority};

/// One resource, or a part of one, on its way to one reader.
///
/// The bytes come from a transfer that may serve others, too. Dropping the delivery leaves it; the last one to leave cancels it.
pub struct Delivery {
    shared: Arc<Shared>,
    request: FetchRequest,
    /// `None` where no transfer could be begun.
    seat: Result<Seat, FetchError>,
    position: u64,
    version: Option<Version>,
    deadline: Option<Instant>,
    joined: bool,
}

const TOO_LARGE: FetchErrorKind = FetchErrorKind::Net(ErrorKind::TooLarge);

/// A reader's place at a transfer. Dropping it leaves.
pub(crate) struct Seat {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Option<FlightKey>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) reader: ReaderId,
}

impl Delivery {
    pub(crate) fn new(shared: Arc<Shared>, request: FetchRequest, seat: Result<(Seat, bool), FetchError>) -> Self {
        let deadline = request.deadline.and_then(|time| Instant::now().checked_add(time));
        let position = wanted(&request).start;
        let joined = seat.as_ref().is_ok_and(|(_, joined)| *joined);
        let seat = seat.map(|(seat, _)| seat);
        Self { shared, request, seat, position, version: None, deadline, joined }
    }

    /// What is known of the resource, as soon as it is. Cancel-safe.
    ///
    /// # Errors
    /// The fetch failed before that.
    pub async fn head(&mut self) -> Result<Head, FetchError> {
        let head = loop {
            match self.in_time(|seat, range| seat.flight.head(&range)).await? {
                Ok(head) => break head,
                Err(error) if self.failed_for_another(&error) => self.begin_own()?,
                Err(error) => return Err(self.about(error)),
            }
        };
        self.version.get_or_insert_with(|| Version { validators: head.validators.clone(), total_len: head.total_len });
        self.check_size(head.len.map_or(head.start, |len| head.start.saturating_add(len)))?;
        Ok(head)
    }

    /// The next bytes in order, never empty; `None` at the end. Cancel-safe: a dropped future loses no byte.
    ///
    /// # Errors
    /// The fetch failed; further calls say so again. After [`Changed`](FetchErrorKind::Changed) the bytes that came before are of an
    /// older version than a new fetch will give.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            self.check_size(self.position)?;
            let taken = self.in_time(|seat, _| match seat.flight.take(seat.reader) {
                Taken::Pending => None,
                taken => Some(taken),
            });
            match taken.await? {
                Taken::Bytes(bytes) => {
                    self.position += bytes.len() as u64;
                    self.check_size(self.position)?;
                    return Ok(Some(bytes));
                }
                Taken::End => return Ok(None),
                Taken::Failed(error) if self.failed_for_another(&error) => self.go_alone().await?,
                Taken::Failed(error) => return Err(self.about(error)),
                Taken::Lagged => self.go_alone().await?,
                Taken::Pending => {}
            }
        }
    }

    /// All bytes that are left, at most `max`.
    ///
    /// # Errors
    /// Those of [`chunk`](Self::chunk); [`TooLarge`](ErrorKind::TooLarge) beyond `max`.
    pub async fn collect(mut self, max: u64) -> Result<Bytes, FetchError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            if whole.len() as u64 + bytes.len() as u64 > max {
                return Err(self.about(FetchError::new(TOO_LARGE)));
            }
            if whole.is_empty() && self.is_last(&bytes) {
                return Ok(bytes);
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// Offset in the resource of the next byte [`chunk`](Self::chunk) will give.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Makes the fetch more or less urgent. A shared transfer is as urgent as its most urgent reader.
    pub fn set_priority(&mut self, class: Priority) {
        self.request.class = class;
        if let Ok(seat) = &self.seat {
            seat.flight.set_class(seat.reader, class);
        }
    }

    /// Whether it joined a transfer that was under way: then its first bytes say nothing about the network.
    #[must_use]
    pub fn joined(&self) -> bool {
        self.joined
    }

    /// Bytes the transfer has brought over the network so far, whoever wanted them.
    #[must_use]
    pub fn network_bytes(&self) -> u64 {
        self.seat.as_ref().map_or(0, |seat| seat.flight.network_bytes())
    }

    /// The bytes proved to be all there are, although their end does not show ([`Head::has_end`]): only now the store takes them for
    /// the whole resource. Without that it has of them what it has of a transfer that broke off, and a later fetch asks for
    /// the rest. Does nothing where the end showed, or has not been reached.
    pub fn accept(self) {
        if let Ok(seat) = &self.seat {
            seat.flight.accept(self.position);
        }
    }

    /// The bytes proved to be wrong (an error page, not media): they are taken out of the store, and a new fetch asks the origin.
    pub fn reject(self) {
        let key = self.request.key.filter(|_| self.request.cache.writes());
        if let Some((store, key)) = self.shared.store.as_ref().zip(key) {
            store.streaming(&key).invalidate();
        }
        if let Ok(seat) = &self.seat {
            seat.close();
        }
    }

    /// Goes on with a transfer of its own: the one it had runs too far ahead, for somebody who reads faster, or goes no further.
    async fn go_alone(&mut self) -> Result<(), FetchError> {
        if self.version.is_none() && self.position > wanted(&self.request).start {
            self.head().await?;
        }
        self.begin_own()
    }

    /// Whether the transfer it joined failed for whoever began it, for reasons that need not hold here: it was refused, or is larger
    /// than was to be delivered.
    fn failed_for_another(&self, error: &FetchError) -> bool {
        let Some(flight) = self.seat.as_ref().ok().map(|seat| &seat.flight).filter(|_| self.joined) else {
            return false;
        };
        let is_untouched = self.position == wanted(&self.request).start;
        let is_refused = flight.credentials.as_ref().is_some_and(|theirs| theirs.failed_alone(&self.request, error));
        let is_too_large = error.kind() == TOO_LARGE && flight.allowed_end < allowed_end(&self.request);
        is_untouched && is_refused || is_too_large
    }

    /// Asks by itself for what is left, once: that transfer is its own, and of the version whose head was given, if one was.
    fn begin_own(&mut self) -> Result<(), FetchError> {
        let wanted = wanted(&self.request);
        self.request.max_len = allowed_end(&self.request) - self.position;
        self.request.range = Some(self.position..wanted.end);
        self.joined = false;
        self.seat = self.shared.clone().start(&self.request, self.version.clone());
        self.seat.as_ref().map(|_| ()).map_err(|error| self.about(error.clone()))
    }

    /// Whether bytes up to `end` may be delivered: a transfer it joined may bring more.
    fn check_size(&self, end: u64) -> Result<(), FetchError> {
        if end > allowed_end(&self.request) { Err(self.about(FetchError::new(TOO_LARGE))) } else { Ok(()) }
    }

    /// Looks until there is something, at most up to the deadline.
    async fn in_time<T>(&self, look: impl Fn(&Seat, Range<u64>) -> Option<T>) -> Result<T, FetchError> {
        let seat = self.seat.as_ref().map_err(|error| self.about(error.clone()))?;
        let found = seat.until(|| look(seat, wanted(&self.request)));
        match self.deadline {
            None => Ok(found.await),
            Some(deadline) => tokio::time::timeout_at(deadline, found)
                .await
                .map_err(|_| self.about(FetchError::new(FetchErrorKind::Deadline))),
        }
    }

    fn about(&self, error: FetchError) -> FetchError {
        error.at(&self.request.url)
    }

    /// Whether `bytes`, the first of a collection, are all of it.
    fn is_last(&self, bytes: &Bytes) -> bool {
        let head = self.seat.as_ref().ok().and_then(|seat| seat.flight.head(&wanted(&self.request)));
        head.is_some_and(|head| head.is_ok_and(|head| head.len == Some(bytes.len() as u64)))
    }
}

impl Seat {
    /// Looks now and at all news until there is something.
    async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        loop {
            let mut news = pin!(self.flight.news());
            // Listening begins before the look, so that no news falls between the two.
            news.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            news.await;
        }
    }

    /// Counts the transfer where its end is waited for.
    pub(crate) fn count(&self, request: &FetchRequest) {
        if let Some(transfers) = &request.transfers {
            self.flight.count(self.reader, transfers.count());
        }
    }

    /// Lets nobody join any more.
    fn close(&self) {
        if let Some(key) = &self.key {
            self.shared.flights.remove(key, &self.flight);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.flights.leave(self.key.as_ref(), &self.flight, self.reader);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Delivery");
        out.field("request", &self.request).field("position", &self.position).field("joined", &self.joined);
        match &self.seat {
            Ok(seat) => out.field("flight", &seat.flight),
            Err(error) => out.field("error", error),
        };
        out.finish()
    }
}
