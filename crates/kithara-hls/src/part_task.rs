//! The tasks that append parts to a segment that is still being made, and that end it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kithara_demux::Container;
use kithara_fetch::net::RedactedUrl;
use kithara_hls_core::session::{Delivered, FailureKind, FetchId, Head, MediaId, UnitRequest};
use tokio::sync::{Mutex, mpsc, watch};

use crate::{
    ahead::{Origin, Taken},
    decrypt::CbcStream,
    delivery::{Attempt, Bad, Slot, Terms},
    driver::{Failed, Report},
    error::HlsError,
    keys::KeyState,
    requests::Requests,
    unit_task::wait_for,
};

/// Progress is reported this often at most: a session takes 150 ms without any for a loss.
const REPORT_EVERY: Duration = Duration::from_millis(25);

/// A part that is to be appended.
pub(crate) struct PartTask {
    pub(crate) fetch: FetchId,
    pub(crate) media: MediaId,
    pub(crate) part: u32,
    pub(crate) request: UnitRequest,
    pub(crate) requests: Requests,
    pub(crate) key: Option<watch::Receiver<KeyState>>,
    pub(crate) slot: Arc<Mutex<Slot>>,
    pub(crate) container: watch::Sender<Option<Container>>,
    /// How many parts were appended.
    pub(crate) turn: watch::Sender<u32>,
    pub(crate) ahead: Option<Taken>,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl PartTask {
    /// Brings the part, appends it when it is its turn, and reports how that went.
    pub(crate) async fn run(self) {
        let result = self.append().await;
        // The driver is gone when the session is: nobody is left to tell.
        let _ = self.reports.send(Report::Fetched { fetch: self.fetch, result }).await;
    }

    async fn append(&self) -> Result<Delivered, Failed> {
        // It is asked for at once, whoever is before it.
        let mut origin = match &self.ahead {
            Some(taken) => Origin::Ahead(taken.clone()),
            None => Origin::Own(Box::new(self.requests.fetcher.fetch(self.requests.part(&self.request)))),
        };
        let key = match &self.key {
            Some(key) => Some(wait_for(key.clone()).await?),
            None => None,
        };
        let mut turn = self.turn.subscribe();
        let turn = *turn.wait_for(|turn| *turn >= self.part).await.map_err(|_| Failed::from(HlsError::Closed))?;
        if turn > self.part {
            // An earlier attempt was given up as it ended: its bytes are there.
            return Ok(Delivered { len: 0, wire_len: 0, from_store: false });
        }
        // An earlier attempt that was cancelled may still be on its way out.
        let mut slot = self.slot.lock().await;
        slot.part_url = Some(RedactedUrl::new(&self.request.url));
        let cipher = key.zip(self.request.encryption).map(|(key, how)| CbcStream::new(key.get(), &how.iv));
        let mut attempt = match self.part {
            0 => Attempt::new(&mut slot, cipher, false),
            _ => Attempt::of_next_part(&mut slot).map_err(|bad| self.bad(bad))?,
        }
        .under(self.terms());
        let wire_len = self.receive(&mut origin, &mut attempt).await?;
        let delivered = Delivered { wire_len, ..attempt.end_part().map_err(|bad| self.bad(bad))? };
        self.turn.send_replace(self.part.saturating_add(1));
        Ok(delivered)
    }

    async fn receive(&self, origin: &mut Origin, attempt: &mut Attempt<'_>) -> Result<u64, Failed> {
        if let Origin::Own(delivery) = origin {
            let head = delivery.head().await?;
            let time_to_first_byte = head.time_to_first_byte;
            let head = Head { len: None, wire_len: head.len, from_store: head.from_cache(), time_to_first_byte };
            let _ = self.reports.send(Report::Head { fetch: self.fetch, head }).await;
        }
        let (mut bytes, mut last) = (0_u64, None::<Instant>);
        while let Some(chunk) = origin.chunk(bytes).await? {
            bytes += chunk.len() as u64;
            let known = attempt.container().is_some();
            attempt.push(chunk).map_err(|bad| self.bad(bad))?;
            if !known {
                self.container.send_replace(attempt.container());
            }
            if matches!(origin, Origin::Own(_)) && last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                last = Some(Instant::now());
                let _ = self.reports.send(Report::Progress { fetch: self.fetch, bytes }).await;
            }
        }
        let wanted = self.request.range.map_or(bytes, |range| range.len);
        if bytes < wanted {
            return Err(self.bad(Bad::new(FailureKind::Incomplete, "the part ends early")));
        }
        Ok(bytes)
    }

    /// There is no time for doubts: what comes three times is believed, as if its length had been announced.
    fn terms(&self) -> Terms {
        Terms {
            media: self.media,
            is_init: false,
            is_part: true,
            from_store: false,
            is_announced: true,
            grows: true,
            duration: None,
            patience: self.requests.options().playback.patience,
        }
    }

    fn bad(&self, bad: Bad) -> Failed {
        let url = RedactedUrl::new(&self.request.url);
        Failed { kind: bad.kind, error: HlsError::BadDelivery { url, reason: bad.reason.into() } }
    }
}

/// Ends a segment whose parts are all there, and reports whether its container agrees.
pub(crate) async fn close_unit(
    fetch: FetchId,
    slot: Arc<Mutex<Slot>>,
    container: watch::Sender<Option<Container>>,
    reports: mpsc::Sender<Report>,
) {
    let mut slot = slot.lock().await;
    let ended = Attempt::of_next_part(&mut slot).and_then(|attempt| attempt.finish(false, None));
    container.send_replace(slot.container);
    let url = slot.part_url.clone();
    drop(slot);
    let result = ended.map_err(|bad| {
        let error = match url {
            Some(url) => HlsError::BadDelivery { url, reason: bad.reason.into() },
            None => HlsError::Driver("a segment without parts was to end".into()),
        };
        Failed { kind: bad.kind, error }
    });
    let _ = reports.send(Report::Fetched { fetch, result }).await;
}
