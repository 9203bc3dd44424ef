//! The keys a session asked its driver for.

use std::{collections::BTreeMap, time::Duration};

use super::{
    action::KeyRequest,
    ids::{KeyId, MediaId},
};
use crate::{playlist::Key, time::Tick, trace::shown_path};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyState {
    Asked,
    Ready,
    /// It is there, and what it decrypted was no media: the server may have another one by now.
    Doubted,
    Failed,
}

#[derive(Debug)]
struct Known {
    request: KeyRequest,
    state: KeyState,
    /// When it was needed last, counted in questions.
    used: u64,
    /// When it was asked for last.
    asked: Tick,
    /// The attempt that brought what decrypted something.
    fits: u32,
}

/// A key as a fetch uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyUse {
    pub(super) key: KeyId,
    /// Which time it was asked for.
    pub(super) attempt: u32,
}

/// Keys remembered at most, besides those that are needed now: a stream that changes its key with every segment has no
/// end of them.
const MOST: usize = 4096;

/// Keys by the URL they come from. A key that is re-signed is another URL and so another name; whether it is another key,
/// the driver knows.
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
    /// The use of `key`, which a playlist of `media` names, and what to fetch if it is not there or under way. `None` for a
    /// key without URI. One that is doubted is asked for at once, and then after `rest`, which doubles each time.
    pub(super) fn ask(
        &mut self,
        key: &Key,
        media: MediaId,
        now: Tick,
        rest: Duration,
    ) -> Option<(KeyUse, Option<KeyRequest>)> {
        let url = key.uri.as_ref()?.url();
        self.questions += 1;
        let id = *self.by_url.entry(url.as_str().to_owned()).or_insert_with(|| {
            self.next += 1;
            KeyId(self.next - 1)
        });
        let known = self.known.entry(id).or_insert_with(|| Known {
            request: KeyRequest {
                url,
                method: key.method.to_string(),
                iv: key.iv.map(|iv| iv.0),
                keyformat: key.keyformat.to_string(),
                keyformatversions: key.keyformatversions.to_string(),
                attempt: 0,
                named_by: Some(media),
            },
            state: KeyState::Failed,
            used: 0,
            asked: now,
            fits: 0,
        });
        self.by_use.remove(&known.used);
        known.used = self.questions;
        self.by_use.insert(known.used, id);
        let is_due = match known.state {
            KeyState::Failed => true,
            KeyState::Doubted => now.since(known.asked) >= rest_after(known.request.attempt, rest),
            KeyState::Asked | KeyState::Ready => false,
        };
        if is_due {
            (known.state, known.asked) = (KeyState::Asked, now);
            known.request.attempt = known.request.attempt.saturating_add(1);
        }
        let used = KeyUse { key: id, attempt: known.request.attempt };
        Some((used, is_due.then(|| known.request.clone())))
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

    /// Whether there is a key that could not be had.
    pub(super) fn have_failed(&self) -> bool {
        self.known.values().any(|known| known.state == KeyState::Failed)
    }

    /// Whether the key was asked for and could not be had, and is not being asked for again.
    pub(super) fn has_failed(&self, key: &Key) -> bool {
        let url = key.uri.as_ref().map(crate::playlist::Uri::url);
        let known = url.and_then(|url| self.known.get(self.by_url.get(url.as_str())?));
        known.is_some_and(|known| known.state == KeyState::Failed)
    }

    /// What was decrypted with the key was media.
    pub(super) fn fitted(&mut self, used: KeyUse) {
        if let Some(known) = self.known.get_mut(&used.key) {
            known.fits = used.attempt;
        }
    }

    /// Whether anything was decrypted with the key as it came with this attempt.
    pub(super) fn fits(&self, used: KeyUse) -> bool {
        self.known.get(&used.key).is_some_and(|known| known.fits == used.attempt)
    }

    /// What was decrypted with the key was no media: whoever needs it next asks for it again, unless that was done since.
    pub(super) fn doubt(&mut self, used: KeyUse) {
        let known = self.known.get_mut(&used.key).filter(|known| known.request.attempt == used.attempt);
        if let Some(known) = known.filter(|known| known.state == KeyState::Ready) {
            known.state = KeyState::Doubted;
        }
    }

    /// Notes what became of a key and returns its URL without user name and query, for the event.
    pub(super) fn settle(&mut self, key: KeyId, ready: bool) -> Option<String> {
        let known = self.known.get_mut(&key)?;
        known.state = if ready { KeyState::Ready } else { KeyState::Failed };
        let url = &known.request.url;
        Some(format!("{}{}", url.origin().ascii_serialization(), shown_path(url)))
    }
}

/// How long a key that does not fit is left alone once it was asked for so often.
fn rest_after(attempt: u32, rest: Duration) -> Duration {
    match attempt.checked_sub(2) {
        Some(doublings) => rest.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST),
        None => Duration::ZERO,
    }
}

/// Less than units rest, so that each try of a unit may have a new key.
const LONGEST_REST: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{ParseOptions, Playlist, VariantId, parse};

    fn key(url: &str) -> Key {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"{url}\"\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n"
        );
        let base = "https://a.example/a.m3u8".parse().expect("a URL");
        let Ok(Playlist::Media(playlist)) = parse(text.as_bytes(), &base, &ParseOptions::default()) else {
            unreachable!("a media playlist")
        };
        playlist.segments.first().and_then(|segment| segment.keys.first().cloned()).expect("a key")
    }

    /// Asks, and says which attempt is begun by that.
    fn ask(keys: &mut Keys, url: &str) -> (KeyUse, Option<u32>) {
        ask_at(keys, url, 0)
    }

    fn ask_at(keys: &mut Keys, url: &str, millis: u64) -> (KeyUse, Option<u32>) {
        let (now, rest) = (Tick::ZERO + Duration::from_millis(millis), Duration::from_millis(250));
        let asked = keys.ask(&key(url), MediaId::Variant(VariantId(0)), now, rest);
        let (used, request) = asked.expect("a key with a URI");
        (used, request.map(|request| request.attempt))
    }

    #[test]
    fn a_key_that_never_fits_is_asked_for_more_and_more_seldom_by_however_many_units() {
        let mut keys = Keys::default();
        let mut asked = Vec::new();
        for millis in (0..20_000).step_by(50) {
            let (used, attempt) = ask_at(&mut keys, "k", millis);
            asked.extend(attempt.map(|_| millis));
            keys.settle(used.key, true);
            keys.doubt(used);
        }
        assert_eq!(asked, [0, 50, 300, 800, 1_800, 3_800, 6_800, 9_800, 12_800, 15_800, 18_800]);
    }

    #[test]
    fn a_key_is_asked_for_once_and_again_after_a_failure() {
        let mut keys = Keys::default();
        let (used, first) = ask(&mut keys, "k");
        assert_eq!((first, ask(&mut keys, "k").1), (Some(1), None));
        keys.settle(used.key, false);
        assert!(keys.has_failed(&key("k")));
        assert_eq!(ask(&mut keys, "k").1, Some(2));
        keys.settle(used.key, true);
        assert_eq!(ask(&mut keys, "k").1, None);
    }

    #[test]
    fn a_key_that_does_not_decrypt_is_asked_for_again_once_for_all_who_used_it() {
        let mut keys = Keys::default();
        let (used, _) = ask(&mut keys, "k");
        keys.doubt(used);
        assert_eq!(ask(&mut keys, "k").1, None, "it is not even there");
        keys.settle(used.key, true);
        keys.doubt(used);
        assert!(!keys.has_failed(&key("k")), "it may be asked for ahead of time");
        let (newer, again) = ask(&mut keys, "k");
        assert_eq!(again, Some(2));
        keys.settle(used.key, true);
        keys.doubt(used);
        assert_eq!(ask(&mut keys, "k"), (newer, None), "the doubt was about the one before");
    }

    #[test]
    fn what_is_remembered_of_a_stream_with_a_key_for_each_segment_is_bounded() {
        let mut keys = Keys::default();
        let mut gone = Vec::new();
        let (asked, _) = ask(&mut keys, "under-way");
        for n in 0..5_000 {
            let (used, request) = ask(&mut keys, &format!("k{n}?token={n}"));
            assert_eq!(request, Some(1));
            keys.settle(used.key, true);
            gone.extend(keys.forget_one(|id| id == used.key));
        }
        assert_eq!([keys.len(), keys.by_url.len(), keys.by_use.len(), gone.len()], [MOST, MOST, MOST, 5_001 - MOST]);
        assert!(!gone.contains(&asked.key), "somebody waits for it");
        assert_eq!(ask(&mut keys, "k4999?token=4999").1, None);
        let (again, request) = ask(&mut keys, "k0?token=0");
        assert_eq!(request, Some(1));
        assert!(!gone.contains(&again.key), "its name is new");
    }
}
