//! Bringing the text of a playlist.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use kithara::{
    HlsError,
    fetch::{
        FetchOptions, FetchRequest, Fetcher, Priority, WholeRequest,
        net::{Client, NetworkOptions, Origin, append_query_raw},
    },
    options::RequestOptions,
};
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    args::RequestArgs,
    failure::{Class, Failure},
    requests,
};

/// Largest playlist, in bytes.
const MAX_LEN: u64 = 16 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// A text and the address it was loaded from, after redirects.
pub(super) struct Loaded {
    pub(super) text: Vec<u8>,
    pub(super) url: Url,
}

/// The text of a file or of standard input; `None` when `input` is something else.
pub(super) fn local(input: &str) -> Result<Option<Vec<u8>>, Failure> {
    if input == "-" {
        let mut text = Vec::new();
        // One byte more than allowed shows the parser that it is too much.
        io::stdin()
            .take(MAX_LEN + 1)
            .read_to_end(&mut text)
            .map_err(|error| Failure::disk("cannot read", "standard input".as_ref(), &error))?;
        return Ok(Some(text));
    }
    if input == "demo" || input.contains("://") {
        return Ok(None);
    }
    let path = Path::new(input);
    fs::read(path).map(Some).map_err(|error| Failure::disk("cannot read", path, &error))
}

/// Loads playlists of one origin's presentation, with what belongs to that origin.
pub(super) struct Loader {
    runtime: Runtime,
    fetcher: Fetcher,
    url: Url,
    origin: Origin,
    options: RequestOptions,
}

impl Loader {
    pub(super) fn new(url: &str, request: &RequestArgs) -> Result<Self, Failure> {
        let not_a_url = || Failure::from(HlsError::InvalidUrl("only http and https are loaded".into()));
        let url: Url = url.parse().map_err(|_| not_a_url())?;
        let origin = Origin::of(&url).ok_or_else(not_a_url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Class::Other, format!("no runtime: {error}")))?;
        let client = Client::new(NetworkOptions::default()).map_err(HlsError::from)?;
        let fetcher = Fetcher::new(client, None, FetchOptions::default());
        Ok(Self { runtime, fetcher, url, origin, options: requests::options(request)? })
    }

    /// The address it was made for.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Loads one playlist.
    pub(super) fn load(&self, url: &Url) -> Result<Loaded, Failure> {
        let ours = Origin::of(url).as_ref() == Some(&self.origin);
        let query = self.options.query.as_deref().filter(|_| ours);
        let url = query.map_or_else(|| url.clone(), |query| append_query_raw(url, query));
        let request = FetchRequest {
            class: Priority::Demand,
            max_len: MAX_LEN,
            deadline: Some(DEADLINE),
            headers: vec![(self.origin.clone(), self.options.headers.clone())],
            ..FetchRequest::new(url)
        };
        let request = WholeRequest { gzip: true, ..WholeRequest::from(request) };
        let whole = self.runtime.block_on(self.fetcher.fetch_whole(request))?;
        Ok(Loaded { text: whole.bytes.unwrap_or_default().to_vec(), url: whole.head.url })
    }
}
