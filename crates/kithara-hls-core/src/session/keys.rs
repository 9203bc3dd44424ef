//! The keys a session asked its driver for.

use std::collections::BTreeMap;

use super::{action::KeyRequest, ids::KeyId};
use crate::playlist::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    Asked,
    Ready,
    Failed,
}

#[derive(Debug)]
struct Known {
    request: KeyRequest,
    state: KeyState,
}

/// Keys by the URL they come from. A key that is re-signed is another URL and so another key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_url: BTreeMap<String, KeyId>,
    known: BTreeMap<KeyId, Known>,
}

impl Keys {
    /// The name of `key`, and what to fetch if it is not there or under way. `None` for a key without URI.
    pub(super) fn ask(&mut self, key: &Key) -> Option<(KeyId, Option<KeyRequest>)> {
        let url = key.uri.as_ref()?.url();
        let next = KeyId(self.by_url.len() as u64);
        let id = *self.by_url.entry(url.as_str().to_owned()).or_insert(next);
        let known = self.known.entry(id).or_insert_with(|| Known {
            request: KeyRequest {
                url,
                keyformat: key.keyformat.to_string(),
                keyformatversions: key.keyformatversions.to_string(),
                attempt: 0,
            },
            state: KeyState::Failed,
        });
        if known.state != KeyState::Failed {
            return Some((id, None));
        }
        known.state = KeyState::Asked;
        known.request.attempt += 1;
        Some((id, Some(known.request.clone())))
    }

    /// Whether the key was asked for and could not be had, and is not being asked for again.
    pub(super) fn has_failed(&self, key: &Key) -> bool {
        let url = key.uri.as_ref().map(crate::playlist::Uri::url);
        let known = url.and_then(|url| self.known.get(self.by_url.get(url.as_str())?));
        known.is_some_and(|known| known.state == KeyState::Failed)
    }

    /// Notes what became of a key and returns its URL without user name and query, for the event.
    pub(super) fn settle(&mut self, key: KeyId, ready: bool) -> Option<String> {
        let known = self.known.get_mut(&key)?;
        known.state = if ready { KeyState::Ready } else { KeyState::Failed };
        let mut url = known.request.url.clone();
        // A URL that cannot have a user name has none to remove.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        Some(url.into())
    }
}
