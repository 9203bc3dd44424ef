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
    /// When it was asked for last, counted in questions.
    used: u64,
}

/// Keys remembered at most, besides those that are needed now: a stream that changes its key with every segment has no
/// end of them.
const MOST: usize = 4096;

/// Keys by the URL they come from. A key that is re-signed is another URL and so another key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    by_url: BTreeMap<String, KeyId>,
    known: BTreeMap<KeyId, Known>,
    /// The same by when they were asked for last.
    by_use: BTreeMap<u64, KeyId>,
    next: u64,
    questions: u64,
}

impl Keys {
    /// The name of `key`, and what to fetch if it is not there or under way. `None` for a key without URI.
    pub(super) fn ask(&mut self, key: &Key) -> Option<(KeyId, Option<KeyRequest>)> {
        let url = key.uri.as_ref()?.url();
        self.questions += 1;
        let id = *self.by_url.entry(url.as_str().to_owned()).or_insert_with(|| {
            self.next += 1;
            KeyId(self.next - 1)
        });
        let known = self.known.entry(id).or_insert_with(|| Known {
            request: KeyRequest {
                url,
                keyformat: key.keyformat.to_string(),
                keyformatversions: key.keyformatversions.to_string(),
                attempt: 0,
            },
            state: KeyState::Failed,
            used: 0,
        });
        self.by_use.remove(&known.used);
        known.used = self.questions;
        self.by_use.insert(known.used, id);
        if known.state != KeyState::Failed {
            return Some((id, None));
        }
        known.state = KeyState::Asked;
        known.request.attempt += 1;
        Some((id, Some(known.request.clone())))
    }

    /// Forgets the key that was not used for longest, if there are too many, and none of these needs it.
    pub(super) fn forget_one(&mut self, needed: impl Fn(KeyId) -> bool) -> Option<KeyId> {
        if self.known.len() <= MOST {
            return None;
        }
        let asked = |id: &KeyId| self.known.get(id).is_some_and(|known| known.state == KeyState::Asked);
        let (_, id) = self.by_use.iter().find(|(_, id)| !asked(id) && !needed(**id))?;
        let id = *id;
        let known = self.known.remove(&id)?;
        self.by_use.remove(&known.used);
        self.by_url.remove(known.request.url.as_str());
        Some(id)
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.known.len()
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
