//! Adaptation: from which rung of the ladder the next segment comes, and which download is not worth waiting for.
//!
//! # Words
//!
//! - A *ladder* is the list of what may be played, sorted by rate; a [`Rung`] is a place in it. Higher is better.
//! - A *sample* is one measured delivery; the *estimate* is what the samples say of the link.
//! - The *buffer goal* is the most media there will ever be ahead of the reader.
//!
//! # Flow
//!
//! ```text
//!   transfers ──► LinkMeter ──► ThroughputSample ──► ThroughputEstimator ──► Estimate ─┐
//!   start, bytes, end            bytes over time,      two averages, waits             │
//!   of each                      each second once      for first bytes apart           │
//!                                                                                      ▼
//!   playlist, failures, store ──► [LadderRung] ───────────────────────────────►  Seen / Progress
//!   user, app ──► AbrOptions, selected ───────────────────────────────────────►        │
//!   reader ──► buffered ──────────────────────────────────────────────────────►        │
//!                  ▲                                                                   ▼
//!                  │                       AbrDecision { target, reason, .. }    AbrController
//!                  └── segments of `target` ◄── before each segment ─────────────── decide
//!                      cut, same segment lower ◄── while one arrives ────────────── progress
//! ```
//!
//! Nothing here reads a clock or keeps a decision to itself: [`AbrController`] answers the same sight always with
//! the same decision, so a recorded session replays, and the networks on which a change to the rules is measured
//! ([`sim`]) run through the code that ships.
//!
//! # Rules
//!
//! The default, *look-ahead*, weighs what each rung would be worth over the next seconds against the step to it and
//! the risk that the link turns out slower than estimated. The *threshold* rule follows six ratios and intervals, for
//! apps that set them. Both serve segments of any size and buffers of any length, and on a link that does not change
//! both come to rest. A download that would starve the reader is given up under either.
//!
//! ```
//! use std::time::Duration;
//! use kithara_hls_core::{
//!     BitRate,
//!     abr::{
//!         AbrController, AbrOptions, AbrReason, LadderRung, LinkMeter, Rung, SampleSource, Seen, ThroughputEstimator,
//!     },
//! };
//!
//! let mut meter = LinkMeter::new();
//! meter.transfer_started(1, SampleSource::Network, Duration::ZERO);
//! meter.transfer_progress(1, 1_000, Duration::from_millis(50));
//! meter.transfer_progress(1, 63_000, Duration::from_millis(550));
//!
//! let mut estimator = ThroughputEstimator::default();
//! estimator.add(&meter.transfer_ended(1, Duration::from_millis(550)).expect("bytes arrived"));
//!
//! let decision = AbrController::new(&AbrOptions::default()).decide(&Seen {
//!     ladder: &[64, 128, 256].map(|kbps| LadderRung::new(BitRate::from_kbps(kbps))),
//!     current: Some(Rung(0)),
//!     selected: None,
//!     estimate: estimator.estimate(),
//!     buffered: Duration::from_secs(8),
//!     buffer_goal: Duration::from_secs(30),
//!     segment_duration: Duration::from_secs(4),
//!     segments_left: None,
//!     since_switch: None,
//!     audio_only: true,
//! }).expect("there are rungs to choose from");
//! assert_eq!((decision.target, decision.reason), (Rung(2), AbrReason::Headroom));
//! ```

mod abandon;
mod controller;
mod estimator;
mod ladder;
mod link;
mod look_ahead;
mod options;
pub mod sim;
mod threshold;

pub use controller::{Abandon, AbrController, AbrDecision, AbrReason, Progress, Seen};
pub use estimator::{Estimate, SampleSource, ThroughputEstimator, ThroughputSample};
pub use ladder::{LadderRung, Left, Rung};
pub use link::LinkMeter;
pub use options::{AbrOptions, AbrProfile, AbrStrategy, InvalidAbrOption};
