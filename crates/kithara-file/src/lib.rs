//! A progressive file over HTTP as random access: music, audiobooks, recordings that are one URL each.
//!
//! A decoder wants to read here and seek there; an origin wants few requests. Between the two stands one *plan*: given
//! where the reader is, what is in memory, what is under way and how long the file is, what is fetched next? It is a
//! pure function with tables for tests; one task per reader carries it out over [`kithara_fetch`], so bytes come from the
//! store as far as they are there, broken bodies resume, and two readers of one file share their transfers. This crate
//! knows no format.
//!
//! # Words
//!
//! - A *transfer* brings bytes in order. At most two are under way for a reader: where it is, and where it was before it
//!   jumped, standing still. A table of contents at the end of a file so costs one small request, and the way back none.
//! - A *look* is what is fetched where a reader jumps to, before it has read on from there for a while.
//! - A [`Probe`] is a file that is not known to be one yet. Looking at its first bytes is free: as a [`FileSource`] it goes
//!   on with the same request.
//!
//! # How it flows
//!
//! ```text
//! SyncReader --read_at--> shelf: bytes around the reader <--push-- driver <--chunks-- Fetcher (store, network)
//!                           `--cursor, demand------------notify----^  `-- plan::next_step: rest, read on, ask
//! ```
//!
//! # Promises
//!
//! - No request but `GET`, and none for bytes that are in memory, in the store or on their way. A sequential read is one.
//! - Memory is bounded ([`ReadAhead`]), however long the file is and however slow its reader.
//! - An origin that does not serve ranges is read forward; seeks read on, as far as
//!   [`ReadAhead::max_skip`] allows, and fail with [`FileError::OutOfReach`] beyond.
//! - Bytes of two versions are never mixed: a file that changes before a byte was read begins again, one that changes
//!   later fails with [`FileError::Changed`].
//! - A failed read-ahead fails nothing; it is tried again when a reader gets there. What a reader waited for in vain is told
//!   to it once; when it reads there again, it is tried again.
//!
//! # Example
//!
//! ```
//! use std::io::{Read, Seek, SeekFrom};
//! use kithara_file::{File, FileParams};
//! use kithara_stream::{StreamSource, SyncReader};
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 1)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = kithara_origin::Origin::start(kithara_origin::Site::new().bytes("/song.flac", "fLaC and more"))?;
//! # let url = origin.url("/song.flac");
//! let source = StreamSource::<File>::open(&url, FileParams::default()).await?;
//! let text = tokio::task::spawn_blocking(move || {
//!     let mut reader = SyncReader::new(source);
//!     reader.seek(SeekFrom::End(-4))?;
//!     let mut text = String::new();
//!     reader.read_to_string(&mut text).map(|_| text)
//! });
//! assert_eq!(text.await??, "more");
//! # Ok(()) }
//! ```
//!
//! # What is it?
//!
//! ```
//! use kithara_file::{File, FileParams};
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 1)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = kithara_origin::Origin::start(kithara_origin::Site::new().bytes("/x", "#EXTM3U\n"))?;
//! # let url = origin.url("/x");
//! let mut probe = File::probe(&url, FileParams::default()).await?;
//! if probe.prefix(7).await? == b"#EXTM3U" {
//!     let playlist = probe.collect(16 << 20).await?;
//! #   assert_eq!(playlist, "#EXTM3U\n");
//! } else {
//!     let source = probe.into_source();
//! #   let _ = source;
//! }
//! # assert_eq!(origin.log().len(), 1);
//! # Ok(()) }
//! ```

mod driver;
mod error;
mod event;
mod file;
mod held;
mod options;
mod plan;
mod probe;
mod requests;
mod shelf;
mod source;
mod version;

pub use error::FileError;
pub use event::FileEvent;
pub use file::File;
pub use kithara_fetch::{CacheOptions, RequestOptions};
pub use options::{FileOptions, FileParams, ReadAhead};
pub use probe::Probe;
pub use source::FileSource;

/// What options, heads and errors are made of.
pub use kithara_fetch as fetch;

// The example of the README is compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
