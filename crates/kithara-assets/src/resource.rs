//! The two ways to use a resource.

mod atomic;
mod streaming;
mod version;

pub use atomic::AtomicResource;
pub use streaming::{Present, StreamingResource};
pub use version::StoredVersion;
