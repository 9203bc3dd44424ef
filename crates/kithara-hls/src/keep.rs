//! Units that go into the store and to nobody else: what a live stream drops before its readers come to it.

use kithara_fetch::{Delivery, FetchRequest, Priority};
use kithara_hls_core::session::{Delivered, FailureKind, UnitRequest};
use kithara_stream::UnitBody;
use tokio::sync::watch;

use crate::{
    decrypt::CbcStream,
    delivery::{Attempt, Bad, Slot},
    driver::Failed,
    error::{HlsError, StorageError},
    keys::KeyState,
    requests::Requests,
    unit_task::{bad_delivery, cipher_of, unit_request, wait_for},
};

/// Brings a unit into the store and makes sure that it is there, whole and media. Answers with the bytes it takes.
///
/// It is decrypted on the way, which shows that its key is at hand and is the right one; nobody sees the plaintext.
pub(crate) async fn keep_unit(
    requests: Requests,
    unit: UnitRequest,
    key: Option<watch::Receiver<KeyState>>,
) -> Result<u64, Failed> {
    let request = FetchRequest { class: Priority::Download, ..unit_request(&requests, &unit) };
    let (name, range) = (request.key, request.range.clone());
    let cipher = match key {
        Some(key) => cipher_of(&unit, &wait_for(key).await?),
        None => None,
    };
    let delivered = read_through(requests.fetcher.fetch(request), cipher, &unit).await?;
    let store = requests.fetcher.store().zip(name);
    let Some((store, name)) = store else { return Err(not_stored("there is no store")) };
    // What was handed on is on its way to the disk: this comes after it.
    store.flush().await.map_err(|error| Failed { kind: FailureKind::NotStored, error: HlsError::Assets(error) })?;
    let range = range.unwrap_or(0..delivered.wire_len);
    if store.streaming(&name).contains(range) { Ok(delivered.wire_len) } else { Err(not_stored("the store is full")) }
}

/// Takes a delivery to its end, and lets its bytes go: what remains is whether it is what it should be.
pub(crate) async fn read_through(
    mut delivery: Delivery,
    cipher: Option<CbcStream>,
    unit: &UnitRequest,
) -> Result<Delivered, Failed> {
    let (writer, body) = UnitBody::channel();
    let mut slot = Slot::new(writer);
    let mut attempt = Attempt::new(&mut slot, cipher, unit.is_excerpt);
    let whole = loop {
        match delivery.chunk().await? {
            None => break attempt.finish(false, None),
            Some(chunk) => {
                if let Err(error) = attempt.push(chunk) {
                    break Err(error);
                }
                body.release(body.len());
            }
        }
    };
    whole.map_err(|bad: Bad| {
        // What was stored of it is no better.
        delivery.reject();
        bad_delivery(unit, bad)
    })
}

fn not_stored(reason: &'static str) -> Failed {
    let error = StorageError::new("keeping a segment", std::io::Error::other(reason));
    Failed { kind: FailureKind::NotStored, error: HlsError::Storage(error) }
}
