//! A look at what a URL is, that costs nothing.

use std::fmt;

use bytes::{Bytes, BytesMut};
use kithara_fetch::{Delivery, FetchError, FetchErrorKind, Head, Priority, net::ErrorKind};
use tokio::runtime::Handle;

use crate::{
    FileError, FileParams, FileSource, driver::Begun, options::parse_url, requests::Requests, source::Beginning,
};

/// The answer to a request for a URL that may be anything: its head, and its first bytes as far as one wants to look.
///
/// Looking is free: a probe that turns out to be a file becomes its [`FileSource`], which goes on with the same request
/// and the same bytes; one that turns out to be something small is [`collect`](Self::collect)ed.
pub struct Probe {
    requests: Requests,
    runtime: Handle,
    head: Head,
    delivery: Delivery,
    chunks: Vec<Bytes>,
    prefix: Bytes,
    ended: bool,
}

impl Probe {
    pub(crate) async fn begin(url: &str, params: FileParams) -> Result<Self, FileError> {
        let runtime = kithara_fetch::runtime().map_err(|error| FileError::Driver(error.to_string().into()))?;
        let requests = Requests::new(parse_url(url)?, params)?;
        let mut delivery = {
            let _inside = runtime.enter();
            requests.fetcher.fetch(requests.of(0..u64::MAX, Priority::Demand))
        };
        let head = delivery.head().await?;
        Ok(Self { requests, runtime, head, delivery, chunks: Vec::new(), prefix: Bytes::new(), ended: false })
    }

    /// What the origin answered: the URL after all redirects, the content type, the length.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The first `count` bytes; fewer where there are not so many. Asking for more later is possible.
    ///
    /// # Errors
    /// The bytes could not be had.
    pub async fn prefix(&mut self, count: usize) -> Result<&[u8], FileError> {
        let mut here: usize = self.chunks.iter().map(Bytes::len).sum();
        while here < count && !self.ended {
            match self.delivery.chunk().await? {
                Some(bytes) => {
                    here += bytes.len();
                    self.chunks.push(bytes);
                }
                None => self.ended = true,
            }
        }
        let count = count.min(here);
        if self.prefix.len() < count {
            self.prefix = joined(&self.chunks, count);
        }
        Ok(&self.prefix[..count])
    }

    /// It is a file: goes on as one, without another request.
    #[must_use]
    pub fn into_source(self) -> FileSource {
        let position = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let begun = Begun { delivery: self.delivery, position };
        let beginning = Beginning { head: self.head, chunks: self.chunks, begun };
        FileSource::new(self.requests, beginning, &self.runtime)
    }

    /// It is something small that is wanted whole, such as a playlist: all of its bytes, at most `max`. It does not stay in
    /// the store as a file.
    ///
    /// # Errors
    /// The bytes could not be had, or there are more than `max`.
    pub async fn collect(mut self, max: u64) -> Result<Bytes, FileError> {
        let mut here: u64 = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let outcome = loop {
            if here > max {
                break Err(too_large());
            }
            match self.delivery.chunk().await {
                Ok(Some(bytes)) => {
                    here += bytes.len() as u64;
                    self.chunks.push(bytes);
                }
                Ok(None) => break Ok(joined(&self.chunks, usize::MAX)),
                Err(error) => break Err(error),
            }
        };
        self.delivery.reject();
        Ok(outcome?)
    }

    /// It is nothing that is wanted: ends the transfer and takes what came of it out of the store.
    pub fn reject(self) {
        self.delivery.reject();
    }
}

/// The first `count` bytes of `chunks`, in one piece.
fn joined(chunks: &[Bytes], count: usize) -> Bytes {
    if let [first, ..] = chunks
        && (first.len() >= count || chunks.len() == 1)
    {
        return first.slice(..count.min(first.len()));
    }
    let mut all = BytesMut::new();
    for chunk in chunks {
        let part = chunk.len().min(count - all.len());
        all.extend_from_slice(&chunk[..part]);
    }
    all.freeze()
}

fn too_large() -> FetchError {
    FetchErrorKind::Net(ErrorKind::TooLarge).into()
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("head", &self.head).finish_non_exhaustive()
    }
}
