//! HTTP Live Streaming sessions for apps: open a URL, read bytes or segments, hear what happens.
//!
//! # How it is built
//!
//! Everything that *decides* is in `kithara-hls-core`: a pure machine that is told what happened and says what it wants.
//! This crate is the shell around it. One task, the *driver*, owns the machine of a session and carries out what it wants
//! through three managers:
//!
//! ```text
//!                     ┌────────────── driver ──────────────┐
//!   HlsSession ─order─▶ Input ─▶ hls_core::Session ─▶ Action │─▶ playlist manager ─┐
//!   HlsSource ─demand─▶                                     │─▶ key manager       ├─▶ kithara-fetch
//!                     └───────▲──────────────────────────────┘─▶ fetch manager     ─┘        │
//!                             └───────────────── reports ────────────────────────────────────┘
//!   readers ◀── shelf: bodies by unit ◀── recognise, check, decrypt ◀── chunks as they arrive
//! ```
//!
//! Bytes never pass through the driver. A unit's task decrypts and checks chunks as they arrive and appends them to the
//! unit's body, where readers are woken at once, long before the unit is whole. What readers have seen never changes: a
//! unit that has to be fetched again must begin with the same bytes.
//!
//! # Two views
//!
//! - **Flat**: [`HlsSource`], one variant as one file, its initialization sections and segments in playlist order,
//!   decrypted; random access, for `std::io::Read + Seek` through `SyncReader`.
//! - **Adaptive**: [`HlsSession::segments`], segments in presentation order from whatever variant suits the link;
//!   forward, with seeks by time.
//!
//! ```no_run
//! use kithara_hls::{Hls, HlsParams};
//! use kithara_stream::{StreamSource, SyncReader};
//!
//! # async fn example(url: &str) -> Result<(), kithara_hls::HlsError> {
//! let source = StreamSource::<Hls>::open(url, HlsParams::default()).await?;
//! let mut events = source.events();
//! let reader = SyncReader::new(source); // std::io::Read + Seek for any decoder
//! # drop((events.try_recv(), reader));
//! # Ok(()) }
//! ```

mod ahead;
mod decrypt;
mod delivery;
mod driver;
mod error;
mod feed;
mod hls;
mod interstitials;
mod keep;
mod keys;
mod options;
mod part_task;
mod playlists;
mod requests;
mod seal;
mod segments;
mod session;
mod shelf;
mod sizes;
mod source;
mod standing;
mod trace_file;
mod unit_task;
mod unsigned;

pub use error::{HlsError, HlsResult, StorageError};
pub use feed::HlsFeed;
pub use hls::Hls;
pub use kithara_fetch::{CacheOptions, RequestOptions};
pub use options::{DeliveredKey, HlsOptions, HlsParams, KeyCache, KeyOptions, KeyProcessor, KeyRefused};
pub use seal::SealingKey;
pub use segments::{MediaSegment, Segments};
pub use session::HlsSession;
pub use source::HlsSource;
pub use tokio_util::sync::CancellationToken;

/// The crates this one builds on, for what their types say.
pub use {kithara_fetch as fetch, kithara_hls_core as hls_core};

/// What a session reports.
pub type HlsEvent = hls_core::session::HlsEvent<HlsError>;

// The example of the README is compiled as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
