//! How the requests of one file look: its name, headers, limits.

use std::{ops::Range, sync::Arc};

use kithara_fetch::{
    Ask, AskReason, CacheUse, FetchError, FetchOptions, FetchRequest, Fetcher, Priority, Transfers, UrlResolver,
    assets::{AssetStore, MemoryOptions, ResourceKey},
    net::{Client, Origin, RedactedUrl},
    resolve_in_time,
};
use url::Url;

use crate::{FileError, FileParams, options::ReadAhead};

/// Largest file. Bytes are not held, so this bounds traffic and not memory.
const MAX_LEN: u64 = 1 << 40;

/// Makes the requests of one file.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) fetcher: Fetcher,
    pub(crate) read_ahead: ReadAhead,
    /// What was opened.
    url: Url,
    template: FetchRequest,
    resolver: Option<Arc<dyn UrlResolver>>,
}

impl Requests {
    pub(crate) fn new(url: Url, params: FileParams) -> Result<Self, FileError> {
        let FileParams { options, client, store, fetcher, no_store, resolver } = params;
        let fetcher = match fetcher {
            Some(fetcher) => fetcher,
            None => {
                let client = client.map_or_else(|| Client::new(options.network.clone()), Ok)?;
                let store = store.unwrap_or_else(|| AssetStore::memory(MemoryOptions::default()));
                // What the reader needs is held around it: transfers need to keep little themselves.
                let little = FetchOptions { window: 512 << 10, retain: 512 << 10, ..FetchOptions::default() };
                Fetcher::new(client, Some(store).filter(|_| !no_store), little)
            }
        };
        let asset = fetcher.asset(&options.cache.partition, &url, &options.cache.identity);
        let origin = Origin::of(&url).ok_or_else(|| FileError::InvalidUrl("a URL without host".into()))?;
        let template = FetchRequest {
            key: Some(ResourceKey::for_url(asset, &url, &options.cache.identity)),
            max_len: MAX_LEN,
            cache: match (options.offline, no_store) {
                (true, _) => CacheUse::OfflineOnly,
                (false, true) => CacheUse::Bypass,
                (false, false) => CacheUse::ReadWrite,
            },
            piecewise: true,
            transfers: Some(Transfers::default()),
            patience: Some(options.request.patience),
            headers: options.request.headers_for(&origin),
            ..FetchRequest::new(options.request.asked(&url, &origin))
        };
        Ok(Self { fetcher, read_ahead: options.read_ahead, url, template, resolver })
    }

    /// The same file, for another reader.
    pub(crate) fn again(&self) -> Self {
        let template = FetchRequest { transfers: Some(Transfers::default()), ..self.template.clone() };
        Self { template, ..self.clone() }
    }

    /// Waits until everything that was begun has ended and is stored.
    pub(crate) async fn settled(&self) {
        if let Some(transfers) = &self.template.transfers {
            self.fetcher.settled(transfers).await;
        }
    }

    /// A request for `range`, whose end may be `u64::MAX` for that of the file.
    pub(crate) fn of(&self, range: Range<u64>, class: Priority) -> FetchRequest {
        let range = (range != (0..u64::MAX)).then_some(range);
        FetchRequest { range, class, ..self.template.clone() }
    }

    /// Asks the app where the file is now. `None`: there is nobody to ask.
    pub(crate) async fn relocate(&mut self, error: &FileError, attempt: u32) -> Option<Result<(), FetchError>> {
        let resolver = self.resolver.clone()?;
        let last_error = match error {
            FileError::Fetch(error) => Some(error.clone()),
            _ => None,
        };
        let ask = Ask { url: self.url.clone(), reason: AskReason::Failure, attempt, last_error };
        let limit = self.template.patience.map(|patience| patience.max_elapsed).unwrap_or_default();
        Some(resolve_in_time(&*resolver, ask, limit).await.map(|located| {
            let origin = Origin::of(&located.url).filter(|_| !located.headers.is_empty());
            self.template.headers.extend(origin.map(|origin| (origin, located.headers)));
            self.template.url = located.url;
        }))
    }

    pub(crate) fn shown_url(&self) -> RedactedUrl {
        RedactedUrl::new(&self.url)
    }
}
