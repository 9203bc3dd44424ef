//! Adaptation: which rung of the ladder the next segment comes from.

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
pub use ladder::{LadderRung, Rung};
pub use link::LinkMeter;
pub use options::{AbrOptions, AbrProfile, AbrStrategy};
