//! A cache for what is streamed: assets on disk or in memory, in pieces, shared between processes, right after every
//! crash.
//!
//! It knows no protocol and no network. It is plain synchronous code that can be called from async tasks: lookups take
//! less than a microsecond, writes are handed over to one thread by reference count, and whoever wants to wait for one
//! gets a [`Ticket`], which is a future and can be waited for by a thread, too.
//!
//! # Words
//!
//! - An *asset* is all that belongs to one presentation; a *resource* is one HTTP object of it, named by a
//!   [`ResourceKey`]. Keys are hashes of a [`Partition`] (whose bytes they are) and a URL without its signature
//!   ([`UrlIdentity`]). Nothing a server says becomes a path.
//! - A *span* is a byte range of a resource that is present; what is not present is a *hole*. A segment is one span, a
//!   progressive file has many. To *commit* is to make a span present, all at once. A committed span never changes.
//! - An [`AtomicResource`] is there as a whole or not at all (a playlist, a key); a [`StreamingResource`] is spans and
//!   holes. Both are views: a handle costs nothing and holds nothing but the block it read last.
//! - To *lease* an asset is to keep it from being evicted while it plays; to *pin* it, until it is unpinned. To *evict*
//!   is to remove the least recently used for want of room.
//!
//! # How it flows
//!
//! ```text
//! fetch ── write(Bytes) ──> bounded queue ──> writer thread ──> file: data, footer = commit ──> index, journal
//!            never waits      full: given up     one per store                                                           │
//! read_at ── index ──> file of the span ──> footer checked once, each block before it is served <── observers, waiters <─┘
//! ```
//!
//! Files are the truth, and the index is a memory of them, restored from journals. What a file holds is checked before
//! it is served, so whatever happens to a disk (cut, flipped, filled with zeros, deleted, taken back in time), a reader
//! gets the bytes that were committed or a hole. See [`format`](mod@format) for what stands where, and why nothing has
//! to be forced to the medium.
//!
//! A store that cannot write goes on as "not caching" and says so once ([`event::StoreEvent::Degraded`]). Nothing here
//! ever stops playback.
//!
//! # Example
//!
//! ```
//! use kithara_assets::{AssetId, AssetStore, MemoryOptions, Meta, Partition, ResourceKey, UrlIdentity, WriteOutcome};
//!
//! let store = AssetStore::memory(MemoryOptions::default()); // or AssetStore::open("some/folder", DiskOptions::default())?
//! let (mine, identity) = (Partition::new("my app"), UrlIdentity::default());
//! let asset = AssetId::for_url(&mine, &"https://cdn.example/album/master.m3u8".parse()?, &identity);
//! let segment = ResourceKey::for_url(asset, &"https://cdn.example/album/1.m4s?token=abc".parse()?, &identity);
//! let _playing = store.lease(&asset);
//!
//! let resource = store.streaming(&segment);
//! for hole in resource.holes(0..10) {
//!     let mut writer = resource.writer(hole.start, Meta::default());
//!     assert_eq!(writer.write("0123456789".into()), WriteOutcome::Accepted); // chunks, as they arrive
//!     writer.commit(Some(10)).wait()?;
//! }
//!
//! // Signed again, it is the same resource.
//! let again = ResourceKey::for_url(asset, &"https://cdn.example/album/1.m4s?token=xyz".parse()?, &identity);
//! assert_eq!(store.streaming(&again).read_span(4, 3)?.as_deref(), Some(&b"456"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod disk;
mod error;
pub mod event;
mod fate;
pub mod format;
mod identity;
mod index;
mod key;
mod lease;
pub mod maintain;
mod medium;
mod memory;
mod meta;
mod offer;
mod options;
mod resource;
mod shared;
mod span_writer;
mod spans;
mod store;
mod ticket;

pub use error::{AssetsError, AssetsErrorKind};
pub use identity::UrlIdentity;
pub use key::{AssetId, Partition, ResourceKey};
pub use meta::{BaseUrl, Clock, Meta, UnixMillis, Validators};
pub use options::{DiskOptions, MemoryOptions};
pub use resource::{AtomicResource, Present, StoredVersion, StreamingResource};
pub use span_writer::{SpanWriter, WriteOutcome};
pub use store::{AssetStore, Lease};
pub use ticket::Ticket;
