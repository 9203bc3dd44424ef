//! Units in, timed packets out: push parsers for what HLS delivers, without IO and without a codec.
//!
//! # Words
//!
//! - A *unit* is a media segment, a part of one, or an initialization section: some bytes that arrive in chunks and end.
//! - A *run* is a stretch of units that reads as one file. Within it a frame may begin in one unit and end in the next; at its start nothing
//!   is remembered.
//! - *Media time* is what the container writes. *Presentation time* is media time plus the offset of the run, which the caller knows and this
//!   crate never guesses. All times that come out are presentation times, in ticks of their track.
//! - A *packet* is what a decoder takes at a time: an access unit, a frame, a sample.
//!
//! # Before demuxing: three questions
//!
//! Each is answered from the bytes alone; neither the URL nor Content-Type is asked.
//!
//! - **What is it?** [`sniff()`] recognises the [`Container`] by the first bytes, or says what else the server has sent.
//! - **Is it whole?** [`SegmentCheck`] watches the bytes pass and judges at the end by packets, boxes and frames, so that a body that was cut
//!   is noticed even where no length was promised. It says while they pass how much is in order, and where something else stands.
//! - **When does it begin?** [`first_timestamp()`] finds the media time of the unit, which ties the container's clock to the playlist's.
//!
//! # Demuxing
//!
//! A [`Demuxer`] is told that a run starts, is pushed bytes, is told that a unit ends, and is polled for [`output`]s: the [`track`]s, then
//! packets, cues, metadata, and damage that was passed over. It works while bytes arrive: a sample comes out with its last byte, and where it
//! lay in one chunk it shares that chunk's memory. MPEG-TS is copied once, to take out what stands between.
//!
//! ```text
//! MPEG-TS       packets -> PSI -> program          -> PES -> frames, access units, tags
//! fMP4          boxes   -> moov -> tracks; moof -> runs -> samples of mdat
//! packed audio  tags and frames
//! WebVTT, TTML  documents -> cues
//! ```
//!
//! Bytes wait in a rope until something whole is in front, one step of a parser takes one thing off it, and steps are made only when someone
//! polls. So what is held is bounded by what was pushed, whatever a header promises.
//!
//! Nothing here reads a clock, takes a lock, opens a file or waits; the crate's `clippy.toml` makes sure of it. What comes out does not depend
//! on the portions in which bytes go in. No byte sequence makes a parser panic or loop.
//!
//! # Example
//!
//! ```
//! use bytes::Bytes;
//! use kithara_demux::output::Output;
//! use kithara_demux::{Container, DemuxOptions, Demuxer, FirstTimestamp, Run, SegmentCheck, Sniff, Timestamp, first_timestamp, sniff};
//!
//! let unit = Bytes::from("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\nHello\n");
//!
//! let Sniff::Media(container) = sniff(&unit, true) else { panic!("not media") };
//! assert_eq!(container, Container::WebVtt);
//!
//! let mut check = SegmentCheck::new(container);
//! check.push(&unit);
//! assert_eq!(check.finish(), Ok(()));
//!
//! // The playlist says that this unit is presented from zero, so its media time is what is taken off.
//! let FirstTimestamp::At(start) = first_timestamp(container, None, &unit) else { panic!("no timestamp") };
//! let offset = Timestamp::new(-start.value, start.timescale);
//!
//! let mut demuxer = Demuxer::new(DemuxOptions::default());
//! demuxer.start_run(Run { offset, ..Run::new(container) });
//! demuxer.push(unit);
//! demuxer.end_unit();
//!
//! let mut cues = Vec::new();
//! while let Some(output) = demuxer.poll() {
//!     if let Output::Cue(cue) = output? {
//!         cues.push((cue.start, cue.end, cue.text));
//!     }
//! }
//! assert_eq!(cues, [(90_000, 180_000, "Hello".to_owned())]);
//! # Ok::<(), kithara_demux::DemuxError>(())
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

pub use check::{Clocks, Incomplete, IncompleteKind, SegmentCheck, Stray};
pub use container::Container;
pub use demuxer::{Deliver, DemuxOptions, Demuxer, Run};
pub use error::{DemuxError, DemuxErrorKind};
pub use first_timestamp::{FirstTimestamp, first_timestamp};
pub use sniff::{MAX_SNIFF, NotMedia, Sniff, sniff};
pub use timestamp::{MPEG_TIMESCALE, Timestamp};
