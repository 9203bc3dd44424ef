//! What an application can choose, in one place.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    io::Write,
    sync::Arc,
};

use http::{HeaderMap, HeaderName};
use kithara_fetch::{
    CacheOptions, ClientOf, Fetcher, RequestOptions, StoreOf, UrlResolver,
    assets::{AssetStore, MemoryOptions},
    net::{Client, NetworkOptions, address::Provenance},
};
use kithara_hls_core::{
    abr::AbrOptions,
    session::{LiveOptions, PlaybackOptions, PlaylistText, ReaderOptions, SessionOptions},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{error::HlsError, seal::SealingKey};

/// How a session plays. Values, not handles: what is shared between sessions is in [`HlsParams`].
#[derive(Clone, Debug, Default)]
pub struct HlsOptions {
    /// How the variant is chosen.
    pub abr: AbrOptions,
    /// What is played, how much is kept ready, and what is done when something cannot be had.
    pub playback: PlaybackOptions,
    /// How live streams are played: where to begin, how much of the past is remembered.
    pub live: LiveOptions,
    /// What readers of bytes may do.
    pub reader: ReaderOptions,
    /// How the network is used, when no client is given ([`HlsParams::client`] is `None`).
    pub network: NetworkOptions,
    /// What is sent with the requests of this session, and how long one may take.
    pub request: RequestOptions,
    /// How resources are named in the store.
    pub cache: CacheOptions,
    /// Whether a stored playlist of a stream that has ended is played at once, and its origin asked meanwhile (as RFC 5861 has
    /// it of what is stale): no round trip before the first sound, and what is stored plays without a network. What the origin
    /// says then is stored for the next time; that it is something else, or that it refuses, is told as an error that can be
    /// recovered from ([`FailureKind::Changed`](kithara_hls_core::session::FailureKind::Changed) for the former). Right for streams
    /// that never change, where whoever has the store may hear what is in it. Playlists that grow, those that named signed
    /// URLs, and those without validators are not played so. Default: no, the origin is asked first unless it calls the stored
    /// copy fresh.
    pub stored_first: bool,
    /// How keys are fetched, made and kept.
    pub key: KeyOptions,
}

impl HlsOptions {
    /// Whether requests carry what may let them in where others are not.
    fn has_secrets(&self) -> bool {
        let (request, key) = (&self.request, &self.key);
        !(request.headers.is_empty() && request.query.is_none() && key.headers.is_empty() && key.query.is_none())
    }

    pub(crate) fn session(&self, has_resolver: bool, store_room: u64) -> SessionOptions {
        SessionOptions {
            playback: self.playback.clone(),
            reader: self.reader,
            abr: self.abr.clone(),
            live: self.live,
            has_resolver,
            store_room,
            plain_keys: self.key.plain,
            // Clients that fail together should not come back together.
            seed: RandomState::new().hash_one(0_u8),
        }
    }
}

/// How keys are fetched, made and kept.
#[derive(Clone, Default)]
pub struct KeyOptions {
    /// Makes the key from what the server delivers. Default: the delivered 16 bytes are the key.
    pub processor: Option<Arc<dyn KeyProcessor>>,
    /// Headers for key requests, whatever their origin: whoever sets them trusts every key server of the playlist.
    /// Default: none.
    pub headers: HeaderMap,
    /// `name=value&...`, appended as it is to key URLs, whatever their origin, in place of that of other requests. Default: none.
    pub query: Option<String>,
    /// Where keys are kept after use. Default: [`KeyCache::Memory`].
    pub cache: KeyCache,
    /// Whether keys may be asked for by plain http although their playlist came by https: then who listens in on the way has
    /// them. Default: no; what is encrypted with them cannot be played.
    pub plain: bool,
}

impl fmt::Debug for KeyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOptions")
            .field("processor", &self.processor.as_ref().map(|_| "..."))
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("query", &self.query.as_ref().map(|_| "..."))
            .field("cache", &self.cache)
            .field("plain", &self.plain)
            .finish()
    }
}

/// Where keys are kept.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum KeyCache {
    /// Nowhere: wiped as soon as no unit under way needs it, and asked for again when one does.
    Never,
    /// In the session's memory while it lasts, as far as they are the 4096 that were needed last; wiped when it ends.
    #[default]
    Memory,
    /// In the store as well, as delivered, also where the server says `no-store`: whoever can read the store can decrypt
    /// what is in it. A stored key is used while it is fresh, and confirmed by the server afterwards.
    Disk,
    /// As `Disk`, and sealed: only who has this secret can use what is stored.
    Sealed(SealingKey),
}

/// Makes a key from what a key server delivers: unwraps it, derives it, checks it.
pub trait KeyProcessor: Send + Sync + 'static {
    /// The 16 bytes of the AES-128 key.
    ///
    /// # Errors
    /// Why there is none; the text reaches the application and must not contain the key.
    fn process(&self, delivered: DeliveredKey<'_>) -> Result<[u8; 16], KeyRefused>;
}

/// What a key server delivered, and the attributes of the EXT-X-KEY that named it (RFC 8216 section 4.3.2.4); of several
/// that name the same URL, of the first.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct DeliveredKey<'a> {
    /// The body of the response.
    pub bytes: &'a [u8],
    /// The URL it was asked at: URI.
    pub url: &'a Url,
    /// METHOD.
    pub method: &'a str,
    /// IV, where the playlist states one; segments without are decrypted with their number.
    pub iv: Option<&'a [u8; 16]>,
    /// KEYFORMAT; `identity` where the playlist does not say.
    pub keyformat: &'a str,
    /// KEYFORMATVERSIONS; `1` where the playlist does not say.
    pub keyformatversions: &'a str,
}

impl fmt::Debug for DeliveredKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeliveredKey({} bytes)", self.bytes.len())
    }
}

/// Why a [`KeyProcessor`] has no key.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyRefused(pub Arc<str>);

/// How to open a session: its options, and the parts it may share with others.
#[derive(Default)]
pub struct HlsParams {
    /// How it plays.
    pub options: HlsOptions,
    /// The HTTP client. Default: one made with [`HlsOptions::network`]; sessions with equal options and the same store, or none
    /// given, have the same one, unless it keeps cookies.
    pub client: Option<Client>,
    /// The store. Default: 8 MiB in memory; sessions with the same client, or none given, have the same one unless something lets
    /// them in where others are not: [`HlsOptions::request`], [`HlsOptions::key`], a resolver.
    pub store: Option<AssetStore>,
    /// Everything that fetches; takes the place of `client` and `store`. Sessions that have the same one share their transfers and
    /// let each other's playback go first. Default: the same for all sessions of the process that have the same client and the
    /// same store (see [`Fetcher::in_use`]).
    pub fetcher: Option<Fetcher>,
    /// Whether the store may be used at all. Default: yes.
    pub no_store: bool,
    /// Ends the session when it is cancelled, as [`HlsSession::close`](crate::HlsSession::close) does: its transfers end,
    /// and whoever reads gets [`HlsError::Closed`] behind what is held. One token may end many sessions; no session cancels
    /// it. Default: none, the session ends when it is closed or its last handle is dropped.
    pub cancel: Option<CancellationToken>,
    /// Asked for URLs when the ones in the playlist do not work any more. Default: nobody.
    pub resolver: Option<Arc<dyn UrlResolver>>,
    /// Where to write a trace of the session's decisions, without secrets. Default: nowhere.
    pub trace: Option<Box<dyn Write + Send>>,
    /// The playlist at the URL, where somebody has loaded it already: the session does not ask for it a second time.
    /// Default: the session loads it.
    pub playlist: Option<PlaylistText>,
    /// Whose word that playlist is, for [`AddressPolicy::PublicOnly`](kithara_fetch::net::address::AddressPolicy). Default: the
    /// application's own, which may name any address.
    pub playlist_provenance: Provenance,
}

impl HlsParams {
    /// The fetcher that sessions opened with these parameters use: the given one, else the one that sessions with the same client
    /// and store use already, else one made of the given client and store, or of new ones. It is given from now on.
    ///
    /// Sessions to which neither client nor store was given have one fetcher, too, when their network options are equal. They share
    /// transfers and what is stored only where they were opened with one URL, to the last letter of its query.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn share_fetcher(&mut self) -> Result<Fetcher, HlsError> {
        if let Some(fetcher) = &self.fetcher {
            return Ok(fetcher.clone());
        }
        let (client, store) = (self.client.take(), self.store.take());
        // What somebody was let in for is not for others, unless they chose to share a store.
        let has_own = store.is_none() && (self.options.has_secrets() || self.resolver.is_some());
        let own = has_own.then(|| AssetStore::memory(MemoryOptions::default()));
        let store = match (&store, &own) {
            // Also where nothing is stored: what is on its way is not for others, either.
            (_, Some(own)) => StoreOf::Caller(own),
            _ if self.no_store => StoreOf::Nobody,
            (Some(store), None) => StoreOf::Caller(store),
            (None, None) => StoreOf::Fetcher,
        };
        let client = client.as_ref().map_or(ClientOf::Fetcher(&self.options.network), ClientOf::Caller);
        let fetcher = Fetcher::in_use(client, store)?;
        Ok(self.fetcher.insert(fetcher).clone())
    }
}

impl fmt::Debug for HlsParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsParams").field("options", &self.options).finish_non_exhaustive()
    }
}

impl From<HlsOptions> for HlsParams {
    fn from(options: HlsOptions) -> Self {
        Self { options, ..Self::default() }
    }
}

/// A URL a session can open.
pub(crate) fn parse_url(url: &str) -> Result<Url, HlsError> {
    let url = Url::parse(url).map_err(|error| HlsError::InvalidUrl(error.to_string().into()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(HlsError::InvalidUrl(format!("only http and https are played, not {scheme}").into())),
    }
}
