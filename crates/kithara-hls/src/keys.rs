//! Key manager: keys stay here; the session knows them by number.

use std::{collections::HashMap, fmt, sync::Arc};

use kithara_hls_core::session::{KeyId, KeyRequest};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::{error::HlsError, options::DeliveredKey, requests::Requests};

/// A key, wiped when the last holder lets it go.
#[derive(Clone)]
pub(crate) struct KeyBytes(Arc<Zeroizing<[u8; 16]>>);

impl KeyBytes {
    pub(crate) fn get(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes")
    }
}

/// What is known of a key: nothing yet, the key, or why there is none.
pub(crate) type KeyState = Option<Result<KeyBytes, HlsError>>;

/// Keys asked for in this session.
#[derive(Debug, Default)]
pub(crate) struct KeyManager {
    keys: HashMap<KeyId, watch::Sender<KeyState>>,
    /// Keys that were had and wiped, with how to come by them again.
    wiped: HashMap<KeyId, KeyRequest>,
    /// How each key was asked for.
    asked: HashMap<KeyId, KeyRequest>,
}

impl KeyManager {
    /// Whoever needs the key waits here.
    pub(crate) fn wait_for(&mut self, key: KeyId) -> watch::Receiver<KeyState> {
        self.keys.entry(key).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Wipes keys that nobody needs at present.
    pub(crate) fn wipe_unused(&mut self) {
        for (key, state) in &self.keys {
            let is_idle = state.receiver_count() == 0 && matches!(&*state.borrow(), Some(Ok(_)));
            if is_idle && let Some(request) = self.asked.get(key) {
                state.send_replace(None);
                self.wiped.insert(*key, request.clone());
            }
        }
    }

    /// Nobody needs a key any more; when somebody does, it has another number.
    pub(crate) fn forget(&mut self, key: KeyId) {
        self.keys.remove(&key);
        self.wiped.remove(&key);
        self.asked.remove(&key);
    }

    /// How to ask again for a key that was wiped and is needed; once.
    pub(crate) fn recall(&mut self, key: KeyId) -> Option<KeyRequest> {
        self.wiped.remove(&key)
    }

    /// A key is asked for, again perhaps.
    pub(crate) fn asked(&mut self, key: KeyId, request: &KeyRequest) {
        self.wiped.remove(&key);
        self.asked.insert(key, request.clone());
        self.keys.entry(key).or_insert_with(|| watch::Sender::new(None)).send_replace(None);
    }

    /// What became of it.
    pub(crate) fn settle(&mut self, key: KeyId, result: Result<KeyBytes, HlsError>) {
        self.keys.entry(key).or_insert_with(|| watch::Sender::new(None)).send_replace(Some(result));
    }
}

/// Fetches a key and makes it usable.
pub(crate) async fn fetch_key(requests: Requests, request: KeyRequest) -> Result<KeyBytes, HlsError> {
    let whole = requests.fetcher.fetch_whole(requests.key(&request.url)).await?;
    // Nothing conditional was asked, so there are bytes.
    let bytes = whole.bytes.as_deref().unwrap_or_default();
    let processed = match &requests.options().key.processor {
        Some(processor) => processor
            .process(DeliveredKey {
                bytes,
                url: &request.url,
                keyformat: &request.keyformat,
                keyformatversions: &request.keyformatversions,
            })
            .map_err(|refused| HlsError::KeyProcessing { reason: refused.0, source: None })?,
        None => <[u8; 16]>::try_from(bytes).map_err(|_| HlsError::KeyProcessing {
            reason: format!("a key has 16 bytes, the server sent {}", bytes.len()).into(),
            source: None,
        })?,
    };
    Ok(KeyBytes(Arc::new(Zeroizing::new(processed))))
}
