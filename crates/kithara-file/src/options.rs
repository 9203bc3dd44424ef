//! What an application can choose.

use std::{fmt, sync::Arc};

use kithara_fetch::{
    CacheOptions, Fetcher, RequestOptions, UrlResolver,
    assets::AssetStore,
    net::{Client, NetworkOptions},
};
use url::Url;

use crate::FileError;

/// How a file is opened and read. Values, not handles: what is shared with others is in [`FileParams`].
#[derive(Clone, Debug, Default)]
pub struct FileOptions {
    /// How much is kept ready around a reader, and how it is come by.
    pub read_ahead: ReadAhead,
    /// What is sent with each request, and how long one may take.
    pub request: RequestOptions,
    /// How the file is named in the store.
    pub cache: CacheOptions,
    /// Only the store is read; what is not there fails with
    /// [`OfflineMiss`](kithara_fetch::FetchErrorKind::OfflineMiss). Default: no.
    pub offline: bool,
    /// How the network is used, when the file makes its own client ([`FileParams::client`] is `None`).
    pub network: NetworkOptions,
}

/// Distances in bytes that decide what is fetched, and when. Memory of one reader stays below three times
/// `ahead + behind`, plus what the fetcher has under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAhead {
    /// Kept ready ahead of a reader that reads in sequence. Default: 2 MiB, a minute of most music.
    pub ahead: u64,
    /// Kept behind a reader, for decoders that step back. Default: 256 KiB.
    pub behind: u64,
    /// Fetched where a reader jumps to, before it is known whether it will read on: one small request that leaves its
    /// connection open for the next one. Default: 256 KiB.
    pub look: u64,
    /// A position no farther than this ahead of a running transfer is waited for; a farther one is asked for. Default: 256
    /// KiB, about what a new request costs in the meantime.
    pub near: u64,
    /// Bytes that may be read only to be thrown away, on the way to a position at an origin that does not serve ranges;
    /// beyond, reads fail with [`FileError::OutOfReach`]. Default: 32 MiB.
    pub max_skip: u64,
}

impl Default for ReadAhead {
    fn default() -> Self {
        Self { ahead: 2 << 20, behind: 256 << 10, look: 256 << 10, near: 256 << 10, max_skip: 32 << 20 }
    }
}

/// How to open a file: its options, and the parts it may share with others.
#[derive(Default)]
pub struct FileParams {
    /// How it is read.
    pub options: FileOptions,
    /// The HTTP client. Default: one of its own, made with [`FileOptions::network`].
    pub client: Option<Client>,
    /// The store. Default: 8 MiB in memory, shared with nobody.
    pub store: Option<AssetStore>,
    /// Everything that fetches; takes the place of `client` and `store`. Default: one of its own.
    pub fetcher: Option<Fetcher>,
    /// Whether the store may be used at all. Default: yes.
    pub no_store: bool,
    /// Asked for a new URL when the old one does not work any more (401, 403, 404, 410). What is there is the same file: its
    /// name in the store does not change, and reading goes on at the same byte. Default: nobody.
    pub resolver: Option<Arc<dyn UrlResolver>>,
}

impl From<FileOptions> for FileParams {
    fn from(options: FileOptions) -> Self {
        Self { options, ..Self::default() }
    }
}

impl fmt::Debug for FileParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileParams").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A URL that can be opened.
pub(crate) fn parse_url(url: &str) -> Result<Url, FileError> {
    let url = Url::parse(url).map_err(|error| FileError::InvalidUrl(error.to_string().into()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(FileError::InvalidUrl(format!("only http and https are read, not {scheme}").into())),
    }
}
