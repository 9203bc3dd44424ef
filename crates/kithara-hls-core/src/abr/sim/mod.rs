//! sim
mod metrics;
mod player;
mod presentation;
mod session;
mod trace;
pub use metrics::{Metrics, Playback};
pub use player::Player;
pub use presentation::{Presentation, PresentationError};
pub use session::{Adaptation, Arriving, Moment, SimOptions, play};
pub use trace::{NetworkTrace, TraceError, TracePeriod};
