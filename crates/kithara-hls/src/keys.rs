//! Key manager: keys stay here; the session knows them by number.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kithara_fetch::net::RedactedUrl;
use kithara_hls_core::session::{KeyId, KeyRequest};
use tokio::sync::watch;
use zeroize::{Zeroize, Zeroizing};

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
    asked: HashMap<KeyId, Asked>,
    /// Keys under way, with those that are the same under another URL.
    followers: HashMap<KeyId, Vec<KeyId>>,
}

/// What is to be done for a key that is asked for.
#[derive(Debug)]
pub(crate) enum Asking {
    /// It is to be fetched.
    Fetch,
    /// It is on its way already, for another number.
    Follow,
    /// It is here.
    Here(KeyBytes),
}

#[derive(Debug)]
struct Asked {
    request: KeyRequest,
    /// What it is called without signatures.
    name: String,
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
            if is_idle && let Some(asked) = self.asked.get(key) {
                state.send_replace(None);
                self.wiped.insert(*key, asked.request.clone());
            }
        }
    }

    /// How to ask again for a key that was wiped and is needed; once.
    pub(crate) fn recall(&mut self, key: KeyId) -> Option<KeyRequest> {
        self.wiped.remove(&key)
    }

    /// A key is asked for, again perhaps. It may be here, or under way, under another URL with the same `name`; unless it is
    /// asked for again, because then it may be another one by now.
    pub(crate) fn asked(&mut self, key: KeyId, request: &KeyRequest, name: String) -> Asking {
        self.wiped.remove(&key);
        let state = self.keys.entry(key).or_insert_with(|| watch::Sender::new(None));
        state.send_replace(None);
        let same = self.asked.iter().filter(|(_, asked)| request.attempt <= 1 && asked.name == name);
        // The newest of several: the others may have been doubted.
        let same = same.map(|(other, _)| *other).filter(|other| *other != key && !self.wiped.contains_key(other)).max();
        self.asked.insert(key, Asked { request: request.clone(), name });
        let Some((same, state)) = same.and_then(|same| Some((same, self.keys.get(&same)?.borrow().clone()))) else {
            return Asking::Fetch;
        };
        match state {
            Some(Ok(known)) => Asking::Here(known),
            Some(Err(_)) => Asking::Fetch,
            None => {
                self.followers.entry(same).or_default().push(key);
                Asking::Follow
            }
        }
    }

    /// What became of it. Returns those that are the same key.
    pub(crate) fn settle(&mut self, key: KeyId, result: Result<KeyBytes, HlsError>) -> Vec<KeyId> {
        // One that was forgotten is asked for by another number.
        if let Some(state) = self.keys.get(&key) {
            state.send_replace(Some(result));
        }
        self.followers.remove(&key).unwrap_or_default()
    }

    /// Whoever has the key or waits for it keeps it.
    pub(crate) fn forget(&mut self, key: KeyId) {
        self.keys.remove(&key);
        self.wiped.remove(&key);
        self.asked.remove(&key);
    }
}

/// A key, and whether it was known already.
#[derive(Clone, Debug)]
pub(crate) struct FetchedKey {
    pub(crate) key: KeyBytes,
    pub(crate) cached: bool,
}

/// Fetches a key and makes it usable. What the store has is not asked for when the key is asked for again, and is fetched
/// anew when no key can be made of it.
pub(crate) async fn fetch_key(requests: Requests, request: KeyRequest) -> Result<FetchedKey, HlsError> {
    if request.attempt <= 1 {
        match bring(&requests, &request, false).await? {
            (Err(_), true) => {}
            (made, cached) => return Ok(FetchedKey { key: made?, cached }),
        }
    }
    let (made, cached) = bring(&requests, &request, true).await?;
    Ok(FetchedKey { key: made?, cached })
}

type Made = Result<KeyBytes, HlsError>;

/// What can be made of what is delivered, and whether the store delivered it.
async fn bring(requests: &Requests, request: &KeyRequest, again: bool) -> Result<(Made, bool), HlsError> {
    // Made where it is decided whether it is stored, else when it is here.
    let made = Arc::new(OnceLock::<Made>::new());
    let is_worth_it = {
        let (made, requests, request) = (Arc::clone(&made), requests.clone(), request.clone());
        move |bytes: &Bytes| made.get_or_init(|| make(&requests, &request, bytes)).is_ok()
    };
    let whole = requests.fetcher.fetch_whole(requests.key(&request.url, again, is_worth_it)).await;
    let whole = whole.map_err(|error| HlsError::without_key(&request.url, error.into()))?;
    let cached = whole.head.from_cache();
    // Nothing conditional was asked, so there are bytes.
    let bytes = whole.bytes.unwrap_or_default();
    let made = made.get_or_init(|| make(requests, request, &bytes)).clone();
    wipe(bytes);
    Ok((made, cached))
}

fn make(requests: &Requests, request: &KeyRequest, bytes: &[u8]) -> Made {
    let none = |reason| HlsError::KeyProcessing { url: Some(RedactedUrl::new(&request.url)), reason, source: None };
    let key = match &requests.options().key.processor {
        Some(processor) => processor
            .process(DeliveredKey {
                bytes,
                url: &request.url,
                method: &request.method,
                iv: request.iv.as_ref(),
                keyformat: &request.keyformat,
                keyformatversions: &request.keyformatversions,
            })
            .map_err(|refused| none(refused.0))?,
        None => <[u8; 16]>::try_from(bytes)
            .map_err(|_| none(format!("a key has 16 bytes, the server sent {}", bytes.len()).into()))?,
    };
    Ok(KeyBytes(Arc::new(Zeroizing::new(key))))
}

/// Wipes what was delivered, where nobody else holds it: the store does while it writes a key that is kept.
fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
}
