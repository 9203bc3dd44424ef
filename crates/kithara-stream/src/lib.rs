//! Random access to bytes that may still be on their way.
//!
//! A decoder wants a file: read here, seek there. A stream is no file: its bytes arrive when they arrive, some have to
//! be asked for, some never come. This crate is the seam between the two, and knows neither protocols nor formats.
//!
//! # Words
//!
//! - A [`Source`] answers `read_at(offset)` at once: bytes, *pending*, or the end. What is pending is waited for with a
//!   waker ([`Source::poll_ready`]), so a source needs no thread and no runtime of its own, and neither do its readers.
//! - A [`SyncReader`] makes it a [`std::io::Read`] + [`Seek`](std::io::Seek) that parks its thread; an [`AsyncReader`]
//!   makes it a [`tokio::io::AsyncRead`] + [`AsyncSeek`](tokio::io::AsyncSeek).
//! - A [`SourceFactory`] opens one kind of stream by URL; [`StreamSource`] is what it opens, together with its events.
//! - A [`Feed`] is what a decoder of ours is handed: a `Source`, or *units* ([`UnitFeed`]) with known times, grouped in
//!   *runs* that one demuxer reads as one file.
//! - A [`UnitBody`] is a body that grows while it is read: one [`UnitWriter`] appends chunks by reference count, any
//!   number of readers take them, and what is behind them all is released.
//!
//! # How it flows
//!
//! ```text
//! network task --push(Bytes)--> UnitWriter | UnitBody --read_at--> SyncReader --read--> decoder's thread
//!                                    `---------- wakes ----------------^ (parked in wait_range)
//! ```
//!
//! # Example
//!
//! ```
//! use std::io::{Read, Seek, SeekFrom};
//! use kithara_stream::{SyncReader, UnitBody};
//!
//! # fn main() -> std::io::Result<()> {
//! let (mut writer, body) = UnitBody::channel();
//! let network = std::thread::spawn(move || {
//!     writer.push("bytes that were ".into());
//!     writer.push("on their way".into());
//!     writer.finish();
//! });
//!
//! let mut reader = SyncReader::new(body);
//! reader.seek(SeekFrom::Start(6))?;
//! let mut text = String::new();
//! reader.read_to_string(&mut text)?;
//! assert_eq!(text, "that were on their way");
//! # network.join().unwrap();
//! # Ok(()) }
//! ```
//!
//! Whoever implements [`Source`] runs the suites of [`contract`] over it.

pub mod contract;

mod async_reader;
mod body;
mod error;
mod factory;
mod feed;
mod memory;
mod park;
mod source;
mod sync_reader;
mod waiters;

pub use async_reader::AsyncReader;
pub use body::{ChunkAt, UnitBody, UnitWriter};
pub use error::StreamError;
pub use factory::{SourceFactory, StreamSource};
pub use feed::{Container, Feed, Run, RunId, RunReason, Unit, UnitFeed, UnitList};
pub use memory::BytesSource;
pub use source::{ReadAt, Source};
pub use sync_reader::SyncReader;
pub use waiters::Waiters;

// The example of the README is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
