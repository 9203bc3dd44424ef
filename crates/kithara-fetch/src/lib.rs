//! One resource, delivered once.
//!
//! The network ([`kithara_net`]) knows no cache and the store ([`kithara_assets`]) knows no network. Here, and only here, they meet:
//! whoever wants a resource asks a [`Fetcher`], and gets its bytes from the store as far as they are there and from the origin as far
//! as they are not. What comes over the network goes to the reader and to the store by reference count, exactly as received. This
//! crate knows no word of any media format.
//!
//! # Words
//!
//! - A [`FetchRequest`] names a resource or a range of it: its URL, its key in the store, how urgent it is, what the store may do.
//! - A [`Delivery`] is one reader's end: the [`Head`], then chunks. Dropping it cancels, unless others read the same.
//! - A *transfer* brings the bytes, for all deliveries that want them. A second reader of what is under way attaches to its transfer
//!   and sends no request; it gets the bytes from the start as long as they are retained.
//! - A [`Whole`] is a small resource in one piece (a playlist, a key), with conditional requests and freshness.
//! - A [`PlaybackGate`] makes downloads stand still while a playback has less than it wants.
//! - A [`UrlResolver`] is the app's answer to "where is it now?".
//!
//! # How it flows
//!
//! ```text
//!                       ,-- present spans --------------------.
//! fetch(request) --> transfer                                  +--> flight --> Delivery, Delivery, ...
//!                       `-- holes --> its turn --> client -----+
//!                                                              `--> SpanWriter (commit at the end)
//! ```
//!
//! # Promises
//!
//! - Only holes are fetched. A resource that is stored in parts is confirmed by the answer to the first hole (`If-Range`, validators,
//!   length) before any stored byte is delivered; if it is another one by now, the stored one is thrown away and the transfer starts
//!   over. Where an origin gives no validators, the length alone must agree.
//! - At each origin the most urgent transfers move and the others stand still, begun or not ([`Priority`]).
//! - Memory is bounded: a transfer pauses when its fastest reader is a window behind, and what is kept for late readers has one budget.
//! - A disk that is full, or slow to write, delays no reader: the span is given up and the transfer goes on. Only downloads go at the
//!   disk's pace, until somebody plays one of them. What is stored is read at the pace of the disk, on the task that delivers it.
//! - Bytes of two versions are never joined, also where another session or process replaces what is being read; nor are halves that
//!   nothing tells apart, no validator and no length.
//! - What ended with its connection and nothing else may be cut, and is not stored as a whole resource ([`Delivery::accept`]).
//! - What may be another resource's that had the name before, as with live streams, is asked about ([`Belief`]).
//!
//! # Example
//!
//! ```
//! use kithara_assets::{AssetId, AssetStore, MemoryOptions, Partition, ResourceKey, UrlIdentity};
//! use kithara_fetch::{FetchOptions, FetchRequest, Fetcher};
//! use kithara_net::{Client, NetworkOptions};
//! # use kithara_origin::{Origin, Site};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = Origin::start(Site::new().bytes("/a.ts", "media"))?;
//! # let url: url::Url = origin.url("/a.ts").parse()?;
//! let store = AssetStore::memory(MemoryOptions::default());
//! let fetcher = Fetcher::new(Client::new(NetworkOptions::default())?, Some(store), FetchOptions::default());
//!
//! let asset = AssetId::named(&Partition::new("my app"), "album 7");
//! let key = ResourceKey::for_url(asset, &url, &UrlIdentity::default());
//! let request = FetchRequest { key: Some(key), ..FetchRequest::new(url) };
//!
//! let mut delivery = fetcher.fetch(request.clone());
//! assert!(!delivery.head().await?.from_cache());
//! while let Some(chunk) = delivery.chunk().await? {
//!     assert_eq!(chunk, "media");
//! }
//!
//! let mut again = fetcher.fetch(request);
//! assert_eq!(again.chunk().await?.as_deref(), Some(&b"media"[..]));
//! # assert_eq!(origin.log().len(), 1);
//! # Ok(()) }
//! ```

mod delivery;
mod error;
mod fetcher;
mod flight;
mod flights;
mod head;
mod in_use;
mod locate;
mod options;
mod plan;
mod request;
mod resolver;
mod runtime;
mod schedule;
mod scheduler;
mod tail;
mod transfer;
mod transfers;
mod version;
mod whole;
mod wishes;

pub use delivery::Delivery;
pub use error::{FetchError, FetchErrorKind};
pub use fetcher::Fetcher;
pub use head::{Head, Provider};
pub use in_use::{ClientOf, StoreOf};
pub use options::{FetchOptions, StorePace};
pub use request::{Belief, CacheUse, FetchRequest, Priority, Seal, WholeRequest};
pub use resolver::{Ask, AskReason, Located, Resolution, UrlResolver, resolve_in_time};
pub use runtime::runtime;
pub use scheduler::PlaybackGate;
pub use tail::Tail;
pub use transfers::Transfers;
pub use whole::Whole;
pub use wishes::{CacheOptions, RequestOptions, asked};

/// The two sides that meet here, for what their types say.
pub use {kithara_assets as assets, kithara_net as net};

// The example of the README is compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
