//! How long a unit is for its readers, found without fetching it.
//!
//! A length that is wrong moves everything behind it, so it is believed only of what shows that it is the unit: clear media
//! by its first bytes, ciphertext by the padding in its last block. An origin that does not serve ranges tells a length
//! that nothing shows to be right: there the unit is fetched.

use bytes::BytesMut;
use kithara_demux::{Sniff, sniff};
use kithara_fetch::{CacheUse, FetchRequest};
use kithara_hls_core::session::{FailureKind, UnitRequest};
use kithara_stream::UnitBody;
use tokio::sync::watch;

use crate::{
    decrypt::{BLOCK, plain_len},
    delivery::{Bad, Slot},
    driver::Failed,
    keep::read_through,
    keys::KeyState,
    requests::Requests,
    unit_task::{bad_delivery, encrypted_excerpt, unit_request, wait_for},
};

/// The status of an answer that ignores the range that was asked for.
const WHOLE: u16 = 200;

/// First bytes of a unit, in most cases enough to recognise it.
const FIRST: u64 = 1024;

/// Finds out how many bytes a reader will see of a unit: with one small request, or a few where answers are bad.
pub(crate) async fn size_of(
    requests: Requests,
    unit: UnitRequest,
    key: Option<watch::Receiver<KeyState>>,
) -> Result<u64, Failed> {
    let playback = &requests.options().playback;
    let mut wait = playback.refetch_backoff;
    for _ in 0..playback.refetches {
        match ask(&requests, &unit, key.clone()).await {
            // A key that is refused is refused again.
            Err(failed) if failed.kind.is_bad_delivery() && failed.kind != FailureKind::Key => {
                tokio::time::sleep(wait).await;
                wait = wait.saturating_mul(2);
            }
            answer => return answer,
        }
    }
    ask(&requests, &unit, key).await
}

async fn ask(requests: &Requests, unit: &UnitRequest, key: Option<watch::Receiver<KeyState>>) -> Result<u64, Failed> {
    if let Some(range) = encrypted_excerpt(unit) {
        return Ok(range.end - range.start);
    }
    let request = unit_request(requests, unit);
    if let Some((encryption, key)) = unit.encryption.zip(key) {
        let tail = requests.fetcher.tail(request, 2 * BLOCK as u64).await?;
        let key = wait_for(key).await?;
        let len = plain_len(key.get(), &encryption.iv, &tail.bytes, tail.len);
        return len.map_err(|error| bad_delivery(unit, error.into()));
    }
    // These bytes would only leave a hole to fill around them.
    let cache = if request.cache == CacheUse::ReadWrite { CacheUse::ReadOnly } else { request.cache };
    let first = FetchRequest { range: Some(0..FIRST), cache, ..request.clone() };
    let mut delivery = requests.fetcher.fetch(first);
    let mut first = BytesMut::new();
    while let Some(chunk) = delivery.chunk().await? {
        first.extend_from_slice(&chunk);
    }
    // Behind the bytes, so that it is the head of the answer they came with.
    let head = delivery.head().await?;
    let Some(len) = head.total_len.filter(|_| head.status != Some(WHOLE)) else {
        return fetched(requests, request, unit).await;
    };
    match sniff(&first, len == first.len() as u64) {
        Sniff::Media(_) | Sniff::NeedMore(_) => Ok(len),
        Sniff::NotMedia(what) => {
            let reason = format!("the bytes are not media ({what:?})");
            Err(bad_delivery(unit, Bad { kind: FailureKind::NotMedia, reason }))
        }
    }
}

/// The length of a unit whose origin does not serve ranges: it is fetched whole, which the store may remember.
async fn fetched(requests: &Requests, request: FetchRequest, unit: &UnitRequest) -> Result<u64, Failed> {
    let delivery = requests.fetcher.fetch(request);
    let mut slot = Slot::new(UnitBody::channel().0);
    read_through(delivery, None, unit, &mut slot, (None, || None)).await.map(|(delivered, _)| delivered.len)
}
