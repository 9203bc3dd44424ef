//! Units that go into the store and to nobody else: what a live stream drops before its readers come to it.

use std::{sync::Arc, time::Duration};

use kithara_fetch::{Delivery, FetchRequest, Priority};
use kithara_hls_core::session::{Delivered, FailureKind, Place, UnitKey, UnitRequest};
use kithara_stream::UnitBody;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use crate::{
    decrypt::CbcStream,
    delivery::{Attempt, Listed, Slot, Terms},
    driver::Failed,
    error::{HlsError, StorageError},
    keys::KeyState,
    requests::Requests,
    unit_task::{bad_delivery, cipher_of, listed, terms, unit_request, wait_for},
};

/// A unit that is to be kept.
pub(crate) struct KeepTask {
    pub(crate) unit: UnitKey,
    pub(crate) request: UnitRequest,
    /// How long the playlist says that it is.
    pub(crate) duration: Option<Duration>,
    pub(crate) requests: Requests,
    pub(crate) key: Option<watch::Receiver<KeyState>>,
    /// That of all attempts to keep it.
    pub(crate) slot: Arc<Mutex<Slot>>,
}

impl KeepTask {
    /// Brings the unit into the store and makes sure that it is there, whole and media. Answers with the bytes it takes.
    ///
    /// It is decrypted on the way, which shows that its key is at hand and is the right one; nobody sees the plaintext.
    pub(crate) async fn run(self) -> Result<u64, Failed> {
        // An earlier attempt that was cancelled may still be on its way out.
        let mut slot = self.slot.lock().await;
        let request = FetchRequest { class: Priority::Download, ..unit_request(&self.requests, &self.request) };
        let (name, range) = (request.key, request.range.clone());
        let delivered = self.deliver(request, &mut slot).await.inspect_err(|_| slot.failed(Instant::now()))?;
        let store = self.requests.fetcher.store().zip(name);
        let Some((store, name)) = store else { return Err(not_stored("there is no store")) };
        // What was handed on is on its way to the disk: this comes after it.
        store.flush().await.map_err(|error| Failed { kind: FailureKind::NotStored, error: HlsError::Assets(error) })?;
        let range = range.unwrap_or(0..delivered.wire_len);
        if store.streaming(&name).contains(range) {
            Ok(delivered.wire_len)
        } else {
            Err(not_stored("the store is full"))
        }
    }

    async fn deliver(&self, request: FetchRequest, slot: &mut Slot) -> Result<Delivered, Failed> {
        let cipher = match &self.key {
            Some(key) => cipher_of(&self.request, &wait_for(key.clone()).await?),
            None => None,
        };
        let mut delivery = self.requests.fetcher.fetch(request);
        let head = delivery.head().await?;
        let listed = || {
            let listed = listed(&self.requests, &self.request, self.unit, self.duration, head.has_end);
            listed.filter(|_| !head.from_cache())
        };
        let terms = terms(&self.requests, &self.request, self.unit, self.duration, head.has_end);
        let judged = (Some(Terms { from_store: head.from_cache(), ..terms }), listed);
        let (delivered, delivery) = read_through(delivery, cipher, &self.request, slot, judged).await?;
        // Believed, or more than anybody can judge: it is better than the hole that would be there without it.
        delivery.accept();
        if matches!(self.unit.place, Place::Init(_)) {
            slot.rules(self.unit.media);
        }
        Ok(delivered)
    }
}

/// Takes a delivery to its end, and lets its bytes go: what remains is whether it is what it should be, which `judged` says from
/// the start, and at the end what the playlist says of it.
pub(crate) async fn read_through(
    mut delivery: Delivery,
    cipher: Option<CbcStream>,
    unit: &UnitRequest,
    slot: &mut Slot,
    judged: (Option<Terms>, impl FnOnce() -> Option<Listed>),
) -> Result<(Delivered, Delivery), Failed> {
    let (writer, body) = UnitBody::channel();
    slot.begin_again(writer);
    let (terms, listed) = judged;
    let attempt = Attempt::new(slot, cipher, unit.is_excerpt);
    let mut attempt = match terms {
        Some(terms) => attempt.under(terms),
        None => attempt,
    };
    let whole = loop {
        match delivery.chunk().await? {
            None => break attempt.finish(false, listed()),
            Some(chunk) => {
                if let Err(error) = attempt.push(chunk) {
                    break Err(error);
                }
                body.release(body.len());
            }
        }
    };
    match whole {
        Ok(delivered) => Ok((delivered, delivery)),
        Err(bad) => {
            // What was stored of it is no better.
            delivery.reject();
            Err(bad_delivery(unit, bad))
        }
    }
}

fn not_stored(reason: &'static str) -> Failed {
    let error = StorageError::new("keeping a segment", std::io::Error::other(reason));
    Failed { kind: FailureKind::NotStored, error: HlsError::Storage(error) }
}
