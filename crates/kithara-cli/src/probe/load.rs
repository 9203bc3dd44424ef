//! Bringing the text of a playlist.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use kithara::{
    HlsError,
    fetch::{
        FetchOptions, FetchRequest, Fetcher, Priority, WholeRequest,
        net::{Client, NetworkOptions, Origin, address::Provenance},
    },
    options::RequestOptions,
    playlist::Limits,
    trace::PlaylistId,
};
use tokio::runtime::Runtime;
use url::Url;

use crate::{
    args::RequestArgs,
    failure::{Class, Failure},
    probe::record::Record,
    requests,
};

/// Largest playlist, in bytes.
const MAX_LEN: u64 = Limits::BYTES as u64;

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
    /// What the playlists that were loaded are as namers of others.
    named_by: Provenance,
    /// Where a trace is wanted.
    record: Option<Record>,
}

impl Loader {
    /// A loader, which tells the record that `begin` makes for its address of all that it loads.
    pub(super) fn new(
        url: &str,
        request: &RequestArgs,
        network: NetworkOptions,
        begin: impl FnOnce(&Url) -> Result<Option<Record>, Failure>,
    ) -> Result<Self, Failure> {
        let not_a_url = || Failure::from(HlsError::InvalidUrl("only http and https are loaded".into()));
        let url: Url = url.parse().map_err(|_| not_a_url())?;
        let origin = Origin::of(&url).ok_or_else(not_a_url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Class::Other, format!("no runtime: {error}")))?;
        let client = Client::new(network).map_err(HlsError::from)?;
        let fetcher = Fetcher::new(client, None, FetchOptions::default());
        let record = begin(&url)?;
        let (options, named_by) = (requests::options(request)?, Provenance::App);
        Ok(Self { runtime, fetcher, url, origin, options, named_by, record })
    }

    /// The address it was made for.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Loads one playlist.
    pub(super) fn load(&mut self, id: PlaylistId, url: &Url) -> Result<Loaded, Failure> {
        let request = FetchRequest {
            class: Priority::Demand,
            max_len: MAX_LEN,
            deadline: Some(self.options.deadline),
            headers: self.options.headers_for(&self.origin),
            named_by: self.named_by,
            ..FetchRequest::new(self.options.asked(url, &self.origin))
        };
        let request = WholeRequest { gzip: true, ..WholeRequest::from(request) };
        let whole = self.runtime.block_on(self.fetcher.fetch_whole(request))?;
        self.named_by = self.named_by.max(whole.head.provenance);
        let loaded = Loaded { text: whole.bytes.unwrap_or_default().to_vec(), url: whole.head.url };
        self.record.as_mut().map_or(Ok(()), |record| record.loaded(id, &loaded))?;
        Ok(loaded)
    }
}
