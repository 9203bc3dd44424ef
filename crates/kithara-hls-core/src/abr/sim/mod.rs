//! Sessions over recorded networks, in virtual time.
//!
//! [`play`] plays a [`Presentation`] over a [`NetworkTrace`] as an [`Adaptation`] chooses, and returns the account:
//! what was played, how long there was no sound, what was thrown away. [`Playback::metrics`] turns it into the usual
//! figures. [`Player`] is this library's own adaptation; anything else that implements the trait can be compared
//! with it on the same terms.
//!
//! The model:
//!
//! 1. A request waits the latency of the network once, then receives bits at its bandwidth, period by period. A
//!    wait that outlasts a period goes on in the next one, scaled to its latency. A trace that ends starts again.
//! 2. There is one request at a time. Playback starts when the first segment is whole.
//! 3. Before each request, playback goes on until the buffer has room for a segment. Then the adaptation is asked.
//! 4. The buffer drains in real time during a request. When it is empty playback stalls, until a segment is whole.
//! 5. A request above the lowest rung is shown to the adaptation every tenth of a second, counted from the request,
//!    and may be cut at most twice a segment; the same segment is then requested again from a lower rung.
//! 6. In the end the rest plays out.
//!
//! [`SimOptions`] change the buffer, add seeks, or make it a live stream whose segments are not there before their
//! time.

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
