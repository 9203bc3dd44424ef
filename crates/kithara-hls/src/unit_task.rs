//! The task that fetches one unit.

use std::{
    future::poll_fn,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use kithara_demux::Container;
use kithara_fetch::{FetchError, FetchErrorKind, FetchRequest, net::ErrorKind};
use kithara_hls_core::session::{Delivered, FailureKind, FetchId, Head, MediaId, Place, UnitKey, UnitRequest};
use kithara_stream::UnitBody;
use tokio::sync::{Mutex, mpsc, watch};

use crate::{
    ahead::{Origin, Taken},
    decrypt::{CbcStream, widened},
    delivery::{Attempt, Bad, Listed, Slot, Terms},
    driver::{Failed, Report},
    error::HlsError,
    keys::{KeyBytes, KeyState},
    requests::Requests,
};

/// Progress is reported this often at most.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// A transfer waits while this much of its unit is held and readers have not come for it.
const HOLD: u64 = 12 << 20;

/// Largest initialization section, in bytes. Its reader gets it as a whole, so it must not have to wait at [`HOLD`].
const MAX_INIT: u64 = 8 << 20;

/// Largest piece of text (subtitles), in bytes: it is taken apart as a whole, too.
const MAX_TEXT: u64 = 8 << 20;

/// A unit that is to be fetched, and where it goes.
pub(crate) struct UnitTask {
    pub(crate) fetch: FetchId,
    pub(crate) unit: UnitKey,
    pub(crate) request: UnitRequest,
    /// How long the playlist says that it is.
    pub(crate) duration: Option<Duration>,
    pub(crate) requests: Requests,
    pub(crate) key: Option<watch::Receiver<KeyState>>,
    pub(crate) slot: Arc<Mutex<Slot>>,
    pub(crate) body: UnitBody,
    pub(crate) container: watch::Sender<Option<Container>>,
    /// What it is taken from, if it was asked for ahead.
    pub(crate) ahead: Option<Taken>,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl UnitTask {
    /// Fetches the unit and reports how that went.
    pub(crate) async fn run(self) {
        // An earlier attempt that was cancelled may still be on its way out.
        let slot = Arc::clone(&self.slot);
        let mut slot = slot.lock().await;
        let result = self.deliver(&mut slot).await;
        match &result {
            Ok(_) if matches!(self.unit.place, Place::Init(_)) => slot.rules(self.unit.media),
            Ok(_) => {}
            Err(_) => slot.failed(tokio::time::Instant::now()),
        }
        drop(slot);
        let report = Report::Fetched { fetch: self.fetch, result };
        // The driver is gone when the session is: nobody is left to tell.
        let _ = self.reports.send(report).await;
    }

    async fn deliver(&self, slot: &mut Slot) -> Result<Delivered, Failed> {
        if let Some(taken) = &self.ahead {
            return self.receive(&mut Origin::Ahead(taken.clone()), slot).await;
        }
        let mut request = unit_request(&self.requests, &self.request);
        if matches!(self.unit.place, Place::Init(_)) {
            request.max_len = MAX_INIT;
        }
        let mut origin = Origin::Own(Box::new(self.requests.fetcher.fetch(request)));
        let result = self.receive(&mut origin, slot).await;
        let is_bad = matches!(result, Err(Failed { error: HlsError::BadDelivery { .. }, .. }));
        match origin {
            // What was stored of it is no better than what was delivered. What nothing proves is good for those who wait for it,
            // and not for ever.
            Origin::Own(delivery) if is_bad || result.is_ok() && slot.is_only_believed() => delivery.reject(),
            Origin::Own(delivery) if result.is_ok() && slot.is_proved() => delivery.accept(),
            Origin::Own(_) | Origin::Ahead(_) => {}
        }
        result
    }

    async fn receive(&self, origin: &mut Origin, slot: &mut Slot) -> Result<Delivered, Failed> {
        let (mut from_store, mut is_known) = (false, false);
        if let Origin::Own(delivery) = origin {
            let head = delivery.head().await?.clone();
            (from_store, is_known) = (head.from_cache(), head.has_end);
            self.report_head(&head).await;
        }
        let key = match &self.key {
            Some(key) => Some(wait_for(key.clone()).await?),
            None => None,
        };
        let cipher = key.and_then(|key| cipher_of(&self.request, &key));
        let terms = terms(&self.requests, &self.request, self.unit, self.duration, is_known);
        let terms = Terms { from_store, ..terms };
        let mut attempt = Attempt::new(slot, cipher, self.request.is_excerpt).under(terms);
        let bad = |bad: Bad| bad_delivery(&self.request, bad);
        let (mut bytes, mut last) = (0_u64, None::<Instant>);
        while let Some(chunk) = origin.chunk(bytes).await? {
            bytes += chunk.len() as u64;
            let known = attempt.container().is_some();
            attempt.push(chunk).map_err(bad)?;
            let is_init = matches!(self.unit.place, Place::Init(_));
            if is_init && bytes > MAX_INIT
                || bytes > MAX_TEXT && matches!(attempt.container(), Some(Container::WebVtt | Container::Ttml))
            {
                return Err(FetchError::from(FetchErrorKind::Net(ErrorKind::TooLarge)).into());
            }
            if !known {
                self.container.send_replace(attempt.container());
            }
            // Before it is recognised, nothing of it is readable: readers may still be given another variant.
            let readable = attempt.container().is_some();
            if readable && last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                last = Some(Instant::now());
                let _ = self.reports.send(Report::Progress { fetch: self.fetch, bytes }).await;
            }
            self.wait_for_room().await;
        }
        let wanted = self.request.range.filter(|_| self.ahead.is_some()).map_or(bytes, |range| range.len);
        if bytes < wanted {
            return Err(bad(Bad::new(FailureKind::Incomplete, "what was asked for ahead ends early")));
        }
        let listed = listed(&self.requests, &self.request, self.unit, self.duration, is_known).filter(|_| !from_store);
        let delivered = attempt.finish(from_store, listed).map_err(bad)?;
        self.container.send_replace(slot.container);
        Ok(delivered)
    }

    async fn report_head(&self, head: &kithara_fetch::Head) {
        let clear = self.request.encryption.is_none();
        let head = Head {
            len: head.len.filter(|_| clear),
            wire_len: head.len,
            from_store: head.from_cache(),
            time_to_first_byte: head.time_to_first_byte,
        };
        let _ = self.reports.send(Report::Head { fetch: self.fetch, head }).await;
    }

    /// A unit that is larger than all buffers waits for its reader. One that several read waits for none of them, so that
    /// one that stands still does not stop the others: then the largest resource the network takes is the bound.
    async fn wait_for_room(&self) {
        poll_fn(|cx| self.body.poll_held_below(cx, HOLD)).await;
    }
}

/// How long a segment is to be, where it is whole: pictures cut out of segments stand for more time than they have. What the
/// store has was judged when it came, so only what comes from the network is to be.
pub(crate) fn listed(
    requests: &Requests,
    request: &UnitRequest,
    unit: UnitKey,
    duration: Option<Duration>,
    is_announced: bool,
) -> Option<Listed> {
    let is_whole = matches!(unit.place, Place::Segment(_)) && !matches!(unit.media, MediaId::IFrames(_));
    Some(Listed {
        media: unit.media,
        duration: duration.filter(|_| is_whole)?,
        is_announced,
        grows: request.growing_since.is_some(),
        now: tokio::time::Instant::now(),
        patience: requests.options().playback.patience,
    })
}

/// What a unit that comes from the network is to be.
pub(crate) fn terms(
    requests: &Requests,
    request: &UnitRequest,
    unit: UnitKey,
    duration: Option<Duration>,
    is_announced: bool,
) -> Terms {
    Terms {
        media: unit.media,
        is_init: matches!(unit.place, Place::Init(_)),
        is_part: false,
        from_store: false,
        is_announced,
        grows: request.growing_since.is_some(),
        duration,
        patience: requests.options().playback.patience,
    }
}

/// Why what was delivered of a unit is no good.
pub(crate) fn bad_delivery(unit: &UnitRequest, bad: Bad) -> Failed {
    let url = kithara_fetch::net::RedactedUrl::new(&unit.url);
    Failed { kind: bad.kind, error: HlsError::BadDelivery { url, reason: bad.reason.into() } }
}

/// How a unit is asked for.
pub(crate) fn unit_request(requests: &Requests, unit: &UnitRequest) -> FetchRequest {
    let range = match encrypted_excerpt(unit) {
        Some(range) => Some(widened(&range)),
        None => unit.range.map(|range| range.start..range.end()),
    };
    FetchRequest { range, ..requests.unit(unit) }
}

/// What decrypts a unit that is [asked for](unit_request), if it is encrypted.
pub(crate) fn cipher_of(unit: &UnitRequest, key: &KeyBytes) -> Option<CbcStream> {
    let iv = unit.encryption?.iv;
    Some(match encrypted_excerpt(unit) {
        Some(range) => CbcStream::excerpt(key.get(), &iv, &range),
        None => CbcStream::new(key.get(), &iv),
    })
}

/// The range of a single picture in a ciphertext that goes on around it.
pub(crate) fn encrypted_excerpt(unit: &UnitRequest) -> Option<Range<u64>> {
    let range = unit.range.filter(|_| unit.is_excerpt && unit.encryption.is_some())?;
    Some(range.start..range.end())
}

pub(crate) async fn wait_for(mut key: watch::Receiver<KeyState>) -> Result<KeyBytes, Failed> {
    let state = key.wait_for(Option::is_some).await.map_err(|_| Failed::from(HlsError::Closed))?;
    match &*state {
        Some(Ok(key)) => Ok(key.clone()),
        Some(Err(error)) => Err(Failed { kind: FailureKind::Key, error: error.clone() }),
        None => Err(Failed::from(HlsError::Closed)),
    }
}
