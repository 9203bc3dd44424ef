//! A persistent asset cache: resources by key, spans and holes, leases, quota, crash-safe.

mod error;
mod event;
mod fate;
mod format;
mod identity;
mod index;
mod key;
mod lease;
mod medium;
mod memory;
mod meta;
mod options;
mod resource;
mod shared;
mod span_writer;
mod spans;
mod store;
mod ticket;

pub use error::{AssetsError, AssetsErrorKind};
pub use event::{LossReason, StoreEvent, Subscription};
pub use identity::UrlIdentity;
pub use key::{AssetId, InvalidKey, Partition, ResourceKey};
pub use meta::{Clock, Meta, UnixMillis, Validators};
pub use options::{DiskOptions, MemoryOptions};
pub use resource::{AtomicResource, StreamingResource};
pub use span_writer::{SpanWriter, WriteOutcome};
pub use store::{AssetStore, Lease};
pub use ticket::Ticket;
