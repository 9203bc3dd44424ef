//! Every decision of an HLS client, as pure state machines.
//!
//! (essay follows)

pub mod abr;
pub mod fallback;
pub mod key;
pub mod layout;
pub mod playlist;
pub mod reload;
pub mod session;
pub mod sim;
pub mod time;
pub mod timeline;
pub mod trace;
mod units;

pub use units::BitRate;
