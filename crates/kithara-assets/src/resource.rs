//! The two ways to use a resource.

mod atomic;
mod streaming;

pub use atomic::AtomicResource;
pub use streaming::{Present, StreamingResource};
