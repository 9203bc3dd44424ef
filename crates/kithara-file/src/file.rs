//! Opening a file.

use kithara_stream::SourceFactory;
use tokio::sync::broadcast;

use crate::{FileError, FileEvent, FileParams, FileSource, Probe};

/// A progressive file, as a kind of stream: `StreamSource::<File>::open(url, params)`.
#[derive(Debug)]
pub struct File;

impl File {
    /// Asks for `url` to see what it is, before it is decided how it is opened. Ready when the origin has answered.
    ///
    /// # Errors
    /// The URL is not one, or the origin did not answer with bytes.
    pub async fn probe(url: &str, params: FileParams) -> Result<Probe, FileError> {
        Probe::begin(url, params).await
    }
}

impl SourceFactory for File {
    type Params = FileParams;
    type Source = FileSource;
    type Event = FileEvent;
    type Error = FileError;

    /// Ready when the origin has answered: what cannot be had at all fails here.
    async fn open(url: &str, params: FileParams) -> Result<FileSource, FileError> {
        Ok(Self::probe(url, params).await?.into_source())
    }

    fn events(source: &FileSource) -> broadcast::Receiver<FileEvent> {
        source.events()
    }
}
