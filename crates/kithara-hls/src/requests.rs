//! How a session's requests look: names, headers, limits.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use kithara_fetch::{
    Belief, CacheUse, FetchRequest, Fetcher, Located, Priority, Seal, Transfers, WholeRequest, asked,
    assets::{AssetId, Lease, ResourceKey, UnixMillis},
    net::{Origin, RedactedUrl, address::Provenance, retry::Patience},
};
use kithara_hls_core::{
    playlist::Limits,
    session::{KeyRequest, OPEN_END, UnitRequest, Urgency},
    steering::MAX_MANIFEST,
};
use url::Url;

use crate::{
    error::HlsError,
    options::{HlsOptions, KeyCache},
    seal::Sealed,
    unsigned::unsigned,
};

/// Largest key response: room for wrapped ones.
const MAX_KEY: u64 = 64 << 10;

/// Attempts of one load of a playlist; when to load it again is the session's to say.
const PLAYLIST_ATTEMPTS: u32 = 4;

/// How long a server may take to decide what an interstitial plays (RFC 8216bis appendix D.5).
const DECIDES: Duration = Duration::from_secs(60);

/// Makes the requests of one session.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    pub(crate) fetcher: Fetcher,
    options: Arc<HlsOptions>,
    asset: AssetId,
    opened: Origin,
    /// Origins that the application named later, and the headers it gave for them; the newest last.
    located: Vec<(Origin, HeaderMap)>,
    cache: CacheUse,
    named_by: Provenance,
    transfers: Transfers,
    /// When the session began, by the clock of what is stored.
    began: UnixMillis,
    /// By both clocks: since when streams grow that began anew, and what was the newest that was stored when that was first heard of.
    growth: Arc<Mutex<VecDeque<(Duration, UnixMillis)>>>,
}

/// Beginnings of streams that are remembered. Of one that was forgotten, more is asked about than needs to be.
const GROWTHS: usize = 64;

/// Origins that the application may name before the first of them is forgotten.
const LOCATED: usize = 16;

impl Requests {
    pub(crate) fn new(fetcher: Fetcher, options: Arc<HlsOptions>, url: &Url, no_store: bool) -> Result<Self, HlsError> {
        let asset = fetcher.asset(&options.cache.partition, url, &options.cache.identity);
        let opened = Origin::of(url).ok_or_else(|| HlsError::InvalidUrl("a URL without host".into()))?;
        let cache = if no_store { CacheUse::Bypass } else { CacheUse::ReadWrite };
        let located = Vec::new();
        let (named_by, transfers) = (Provenance::App, Transfers::default());
        let (began, growth) = (fetcher.now(), Arc::default());
        Ok(Self { fetcher, options, asset, opened, located, cache, named_by, transfers, began, growth })
    }

    /// Keeps what is stored of this stream while it plays, and names it for lists. On disk that opens a file.
    pub(crate) fn lease(&self, url: &Url) -> Option<Lease> {
        let store = self.fetcher.store().filter(|_| self.cache != CacheUse::Bypass)?;
        // What is not leased may be cleared away, its name as well.
        let lease = store.lease(&self.asset);
        let name = RedactedUrl::new(url).to_string();
        if store.label(&self.asset).as_ref() != Some(&name)
            && let Err(error) = store.set_label(&self.asset, &name)
        {
            tracing::debug!(%error, "the store cannot note how a stream is called");
        }
        Some(lease)
    }

    /// Bytes that segments may take which no playlist lists any more: half of the quota of a store on disk.
    pub(crate) fn store_room(&self) -> u64 {
        let store = self.fetcher.store().filter(|store| self.cache != CacheUse::Bypass && store.is_on_disk());
        store.map_or(0, |store| store.usage().limit / 2)
    }

    /// Takes a resource out of the store.
    pub(crate) fn forget(&self, url: &Url) {
        if let Some(store) = self.fetcher.store() {
            let key = ResourceKey::for_url(self.asset, url, &self.options.cache.identity);
            store.streaming(&key).invalidate();
        }
    }

    /// Waits until everything that was begun has ended and is stored.
    pub(crate) async fn settled(&self) {
        self.fetcher.settled(&self.transfers).await;
    }

    /// Requests for what a document with this provenance names.
    pub(crate) fn named_by(&self, namer: Provenance) -> Self {
        Self { named_by: namer, ..self.clone() }
    }

    /// The stream has moved: requests to where it is now have the headers that the application gave with that. They are
    /// bound to that origin, as those of the options are to the one that was opened.
    pub(crate) fn relocate(&mut self, located: &Located) {
        let Some(origin) = Origin::of(&located.url) else { return };
        self.located.retain(|(known, _)| *known != origin);
        if !located.headers.is_empty() {
            self.located.push((origin, located.headers.clone()));
        }
        let surplus = self.located.len().saturating_sub(LOCATED);
        self.located.drain(..surplus);
    }

    pub(crate) fn options(&self) -> &HlsOptions {
        &self.options
    }

    /// A unit of media.
    pub(crate) fn unit(&self, unit: &UnitRequest) -> FetchRequest {
        let request = self.base(&unit.url, self.options.request.query.as_deref());
        let patience = self.options.request.patience;
        let max_elapsed = unit.patience.map_or(patience.max_elapsed, |left| left.min(patience.max_elapsed));
        let patience = Some(Patience { max_elapsed, ..patience });
        FetchRequest { class: class_of(unit), patience, belief: self.belief(unit.growing_since), ..request }
    }

    /// What is stored of a stream that grows `since` then may be of an earlier one; since the session began, or for certain since
    /// its encoder began anew.
    fn belief(&self, since: Option<Duration>) -> Belief {
        match since {
            None => Belief::All,
            Some(Duration::ZERO) => Belief::SinceOrFresh(self.began),
            Some(since) => Belief::Since(self.heard_of(since)),
        }
    }

    /// The time of the store when it was first heard that a stream grows `since` then. The store's times say what was stored
    /// after what; they are no clock, so nothing can be subtracted from them.
    fn heard_of(&self, since: Duration) -> UnixMillis {
        // Nothing panics while the lock is held.
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, heard)) = growth.iter().find(|(known, _)| *known == since) {
            return *heard;
        }
        let heard = self.fetcher.now();
        growth.truncate(GROWTHS - 1);
        growth.push_front((since, heard));
        heard
    }

    /// A part of a segment that is still being made: the store is for whole segments.
    pub(crate) fn part(&self, part: &UnitRequest) -> FetchRequest {
        let class = class_of(part);
        let request = self.base(&part.url, self.options.request.query.as_deref());
        let range = part.range.map(|range| range.start..if range.end() == OPEN_END { u64::MAX } else { range.end() });
        // One that is begun anew must not join the one that was too slow.
        FetchRequest { key: None, class, range, cache: CacheUse::Bypass, ..request }
    }

    /// What is asked for before it is announced: the server may be silent for so long.
    pub(crate) fn ahead(&self, part: &UnitRequest, patience: Duration) -> FetchRequest {
        FetchRequest { may_block: Some(patience), ..self.part(part) }
    }

    /// A playlist; `again` when a stored copy is no use.
    pub(crate) fn playlist(&self, url: &Url, again: bool, limit: Option<Duration>) -> WholeRequest {
        let request = self.base(url, self.options.request.query.as_deref());
        let request = FetchRequest {
            class: Priority::Demand,
            max_len: Limits::BYTES as u64,
            // As few attempts as without: what counts is that the last of them is not too late.
            patience: limit
                .is_none()
                .then_some(Patience { attempts: PLAYLIST_ATTEMPTS, ..self.options.request.patience }),
            deadline: Some(
                limit.map_or(self.options.request.deadline, |limit| limit.min(self.options.request.deadline)),
            ),
            cache: match self.cache {
                // A playlist that grows is good for nothing once it is stored.
                _ if again && limit.is_some() => CacheUse::Bypass,
                CacheUse::ReadWrite if again => CacheUse::WriteOnly,
                cache => cache,
            },
            ..request
        };
        let identity = self.options.cache.identity.clone();
        let store_as = Arc::new(move |playlist: &Bytes| unsigned(playlist, &identity));
        WholeRequest { gzip: true, store_as: Some(store_as), ..WholeRequest::from(request) }
    }

    /// The stored copy of a playlist, however old; none where the origin is asked first.
    pub(crate) fn stored_playlist(&self, url: &Url) -> Option<WholeRequest> {
        if !self.options.stored_first || self.cache == CacheUse::Bypass {
            return None;
        }
        let WholeRequest { request, .. } = self.playlist(url, false, None);
        Some(WholeRequest::from(FetchRequest { cache: CacheUse::OfflineOnly, ..request }))
    }

    /// What a steering server says: never from the store, and nothing to wait long for.
    pub(crate) fn steering(&self, url: &Url) -> WholeRequest {
        let request = self.base(url, self.options.request.query.as_deref());
        let request = FetchRequest {
            class: Priority::Playback,
            max_len: MAX_MANIFEST as u64,
            deadline: Some(self.options.request.deadline),
            cache: CacheUse::Bypass,
            ..request
        };
        WholeRequest { gzip: true, ..WholeRequest::from(request) }
    }

    /// A list of assets: made for this session, so never from the store.
    pub(crate) fn asset_list(&self, url: &Url) -> WholeRequest {
        let mut request = self.steering(url);
        request.request.deadline = Some(DECIDES);
        request
    }

    /// Keys with the same name are the same key, whatever signs their URLs.
    pub(crate) fn name_of_key(&self, request: &KeyRequest) -> String {
        let url = self.options.cache.identity.canonical(&request.url);
        format!("{url} {} {}", request.keyformat, request.keyformatversions)
    }

    /// A key; `again` when a stored copy is no use. It is stored if it `is_worth_it`.
    pub(crate) fn key(
        &self,
        url: &Url,
        again: bool,
        is_worth_it: impl Fn(&Bytes) -> bool + Send + Sync + 'static,
    ) -> WholeRequest {
        let key = &self.options.key;
        let mut request = self.base(url, self.options.request.query.as_deref());
        if let (Some(query), Some(origin)) = (key.query.as_deref(), Origin::of(url)) {
            request.url = asked(url, &origin, Some(query));
        }
        if let Some(origin) = Origin::of(url).filter(|_| !key.headers.is_empty()) {
            request.headers.push((origin, key.headers.clone()));
        }
        request.class = Priority::Demand;
        request.max_len = MAX_KEY;
        request.deadline = Some(self.options.request.deadline);
        // Without its key a segment is worth nothing: it is waited for as long as for the segment.
        request.patience = Some(self.options.request.patience);
        let seal = match &key.cache {
            KeyCache::Never | KeyCache::Memory => {
                return WholeRequest::from(FetchRequest { cache: CacheUse::Bypass, ..request });
            }
            KeyCache::Disk => None,
            KeyCache::Sealed(secret) => {
                let place = format!("sealed {}", self.options.cache.identity.canonical(url));
                // Beside the key in the clear that another session may have stored.
                request.key = Some(ResourceKey::named(self.asset, &place));
                Some(Arc::new(Sealed::new(secret, place)) as Arc<dyn Seal>)
            }
        };
        if again && request.cache == CacheUse::ReadWrite {
            request.cache = CacheUse::WriteOnly;
        }
        // The application decided that it is kept.
        let store_if = Arc::new(is_worth_it);
        WholeRequest { seal, store_if: Some(store_if), keep_no_store: true, ..WholeRequest::from(request) }
    }

    /// Headers by the origin they belong to. What the application said last takes the place of what it said before.
    fn headers(&self) -> Vec<(Origin, HeaderMap)> {
        let mut first = self.options.request.headers.clone();
        let again = self.located.iter().find(|(origin, _)| *origin == self.opened);
        for name in again.iter().flat_map(|(_, headers)| headers.keys()) {
            first.remove(name);
        }
        let first = (!first.is_empty()).then(|| (self.opened.clone(), first));
        first.into_iter().chain(self.located.iter().cloned()).collect()
    }

    fn base(&self, url: &Url, query: Option<&str>) -> FetchRequest {
        let key = ResourceKey::for_url(self.asset, url, &self.options.cache.identity);
        let asked = asked(url, &self.opened, query);
        let headers = self.headers();
        let (cache, named_by, transfers) = (self.cache, self.named_by, Some(self.transfers.clone()));
        FetchRequest { key: Some(key), headers, cache, named_by, transfers, ..FetchRequest::new(asked) }
    }
}

const fn class_of(unit: &UnitRequest) -> Priority {
    match unit.urgency {
        Urgency::Demand => Priority::Demand,
        Urgency::Playback => Priority::Playback,
    }
}
