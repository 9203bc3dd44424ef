//! A persistent asset cache: resources by key, spans and holes, leases, quota, crash-safe.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod disk;
mod error;
mod event;
mod fate;
pub mod format;
mod identity;
mod index;
mod key;
mod lease;
mod maintain;
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
pub use maintain::{AssetSummary, GcOptions, GcReport, ResourceSummary, Usage, Verified};
pub use meta::{BaseUrl, Clock, Meta, UnixMillis, Validators};
pub use options::{DiskOptions, MemoryOptions};
pub use resource::{AtomicResource, StreamingResource};
pub use span_writer::{SpanWriter, WriteOutcome};
pub use store::{AssetStore, Lease};
pub use ticket::Ticket;
