//! Units in, timed packets out: push parsers for what HLS delivers, without IO and without a codec.
//!
//! A *unit* is a media segment, a part of one, or an initialization section: some bytes that arrive in chunks and end. This crate answers,
//! from those bytes alone, the questions a player has about a unit:
//!
//! - **What is it?** [`sniff`] recognises the [`Container`] by the first bytes, or says what else the server has sent. Neither the URL nor
//!   Content-Type is asked.
//! - **Is it whole?** [`SegmentCheck`] watches the bytes pass and judges at the end by packets, boxes and frames, so that a body that was cut
//!   is noticed even where no length was promised.
//! - **When does it begin?** [`first_timestamp`] finds the media time of the unit, which ties the container's clock to the playlist's.
//!
//! Nothing here reads a clock, takes a lock, opens a file or waits; the crate's `clippy.toml` makes sure of it. Bytes go in by `push`, in any
//! portions, and what comes out does not depend on the portions. No byte sequence makes a parser panic, loop or allocate more than it was
//! given.
//!
//! ```
//! use kithara_demux::{Container, FirstTimestamp, NotMedia, SegmentCheck, Sniff, Timestamp, first_timestamp, sniff};
//!
//! let unit = b"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\nHello\n";
//!
//! assert_eq!(sniff(unit, true), Sniff::Media(Container::WebVtt));
//! assert_eq!(sniff(b"<!DOCTYPE html><title>502</title>", true), Sniff::NotMedia(NotMedia::Html));
//! assert_eq!(first_timestamp(Container::WebVtt, None, unit), FirstTimestamp::At(Timestamp::mpeg(900_000)));
//!
//! // A box that promises 16 bytes and has 9 of them.
//! let mut check = SegmentCheck::new(Container::Fmp4);
//! check.push(b"\0\0\0\x10sty");
//! check.push(b"pm");
//! assert!(check.finish().is_err());
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod bits;
mod bmff;
mod check;
mod clock;
mod container;
mod cursor;
mod demuxer;
mod error;
mod first_timestamp;
mod frames;
mod gapless;
mod id3;
pub mod output;
mod outputs;
mod packed;
mod rope;
mod sniff;
#[cfg(test)]
mod tests;
mod text;
mod timestamp;
pub mod track;
mod ts;
mod webvtt;

pub use check::{Incomplete, IncompleteKind, SegmentCheck};
pub use container::Container;
pub use demuxer::{Deliver, DemuxOptions, Demuxer, Run};
pub use error::{DemuxError, DemuxErrorKind};
pub use first_timestamp::{FirstTimestamp, first_timestamp};
pub use sniff::{MAX_SNIFF, NotMedia, Sniff, sniff};
pub use timestamp::{MPEG_TIMESCALE, Timestamp};
