//! Play HTTP Live Streams: give it a URL, it plays, adapts, caches and survives.
//!
//! This crate is the front door. Everything an application needs has one name here; the rooms behind it are crates of
//! their own, each useful alone: [`fetch`] (HTTP and the store joined), `kithara-stream` (bytes on their way),
//! `kithara-hls-core` (every decision, without IO) and `kithara-hls` (the session that carries them out).
//!
//! # Words
//!
//! - A *session* plays one presentation: [`HlsSession`]. One task owns it; handles are cheap clones, and when the last
//!   one is dropped, the session's transfers end.
//! - The *flat view* is one variant as one file of bytes, decrypted: [`HlsSource`], a [`Source`]. [`SyncReader`] makes it
//!   [`std::io::Read`] and [`Seek`](std::io::Seek) for any decoder, [`AsyncReader`] the same for tokio.
//! - The *adaptive view* is segments in presentation order, from whatever variant suits the link: [`Segments`], for apps
//!   that demux by themselves.
//! - *Events* ([`HlsEvent`]) report; nothing waits for them, and a listener that is slow misses some.
//!
//! # Bytes for a decoder
//!
//! ```
//! use std::io::Read;
//! use kithara::{Hls, HlsParams, StreamSource, SyncReader};
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 1)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = kithara_origin::Origin::start(kithara_origin::demo())?;
//! # let url = origin.url("/master.m3u8");
//! let source = StreamSource::<Hls>::open(url, HlsParams::default()).await?;
//! let mut reader = SyncReader::new(source);
//!
//! // A decoder blocks on its reads: on a thread of its own, or with `spawn_blocking`.
//! let size = tokio::task::spawn_blocking(move || {
//!     let mut media = Vec::new();
//!     reader.read_to_end(&mut media).map(|_| media.len())
//! });
//! assert!(size.await?? > 80_000);
//! # Ok(()) }
//! ```
//!
//! # Segments for a demuxer
//!
//! ```
//! use kithara::{Hls, HlsParams, event::Track};
//!
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 1)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let origin = kithara_origin::Origin::start(kithara_origin::demo())?;
//! # let url = origin.url("/master.m3u8");
//! let session = Hls::session(&url, HlsParams::default())?;
//! let mut segments = session.segments(Track::Main).await?;
//! let mut count = 0;
//! while let Some(segment) = segments.next().await? {
//!     count += 1; // `segment.body` grows while it is read
//! #   let _ = segment;
//! }
//! assert_eq!(count, 5);
//! # Ok(()) }
//! ```
//!
//! # Choosing
//!
//! Everything that can be chosen is in [`HlsOptions`], field by field with its unit and default; what several sessions may
//! share (client, store, fetcher, cancel token) is in [`HlsParams`] beside them. [`options`] and [`abr`] have the types the fields are made of.
//!
//! Apps without tokio find blocking doors in [`blocking`].

pub mod blocking;
mod kind;
pub mod metadata;
mod open;
mod passing;
mod player;
mod subtitles;

pub use kithara_hls::{
    Hls, HlsError, HlsEvent, HlsOptions, HlsParams, HlsResult, HlsSession, HlsSource, MediaSegment, Segments,
};
pub use kithara_stream::{
    AsyncReader, ChunkAt, ReadAt, Source, SourceFactory, StreamError, StreamSource, SyncReader, UnitBody,
};

pub use kithara_decode::{Pcm, PcmReader};
pub use open::{OpenError, OpenParams, open};
pub use passing::{Passing, Passings, PlayedMetadata};
pub use player::{Player, PlayerEvent, PlayerEvents, PlayerStats};
pub use subtitles::{Subtitles, SubtitlesError};

/// Progressive files: what [`OpenError::File`] and [`PlayerEvent::File`] carry, and the source itself for other decoders.
pub mod file {
    pub use kithara_file::{File, FileError, FileEvent, FileOptions, FileParams, FileSource};
}

/// Sound: formats, how it is decoded and handed over, what can go wrong with it.
pub mod sound {
    pub use kithara_decode::{
        DecodeError, DecodeErrorKind, DecodeOptions, Event, Fill, FillState, Output, PcmSpec, SoundCodec, Stats,
        UNDECODABLE, UnitReader, pcm,
    };
}

/// Resources brought once, from the store or the network: what sessions stand on, for apps that share a client or a
/// store between them, or fetch other things with the same care.
pub use kithara_hls::fetch;

/// Adaptation as values: its options, the estimator and the controller.
pub use kithara_hls::hls_core::abr;

/// Playlists as values: what one parse of one text gives.
pub use kithara_hls::hls_core::playlist;

/// Traces of sessions: recorded without secrets, replayed decision for decision. With them what their lines are made of.
pub mod trace {
    pub use kithara_hls::hls_core::{
        session::{Action, FetchFailure, HlsEvent, Input, PlaylistId, PlaylistText, SessionOptions},
        time::{Now, Tick, WallTime},
        trace::*,
    };
}

/// What the fields of [`HlsOptions`] are made of.
pub mod options {
    pub use kithara_hls::hls_core::{
        BitRate,
        selection::{
            Caps, CodecSupport, HdcpCap, RangeCap, RenditionPreference, SubtitleMode, SubtitlePreference, same_language,
        },
        session::{LiveOptions, LiveStart, MediaSelection, OnMissing, PlaybackOptions, ReaderOptions, VariantChoice},
    };
    pub use kithara_hls::{
        CacheOptions, CancellationToken, DeliveredKey, KeyCache, KeyOptions, KeyProcessor, KeyRefused, RequestOptions,
        SealingKey, fetch::net::NetworkOptions,
    };
}

/// What events, segments and the status are made of.
pub mod event {
    pub use kithara_hls::hls_core::session::{
        LiveEvent, MediaId, NetworkLoad, Remedy, RenditionStatus, RunId, RunReason, Stats, Status, Track, TrackBuffer,
        VariantStatus, WaitReason,
    };
}

/// What [`HlsError`] is made of; the errors of the network and the store are in [`fetch`].
pub mod error {
    pub use kithara_hls::{
        StorageError,
        hls_core::session::{Failure, FailureKind, Subject},
    };
}

// The examples of the README are compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
