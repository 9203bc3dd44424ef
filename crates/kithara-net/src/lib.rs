//! HTTP with bounds: one retry loop over a pure policy, ranged resume, origin-bound credentials.

pub mod address;
mod attempt;
mod body;
pub mod breaker;
mod client;
mod cookies;
mod credentials;
mod error;
mod fetch;
pub mod header;
mod inflate;
mod options;
mod origin;
mod origins;
mod placement;
mod query;
mod redact;
mod redirect;
mod request;
mod response;
pub mod retry;
mod stall;
mod transfer;
pub mod transport;
mod tries;

pub use body::Body;
pub use client::Client;
pub use credentials::Authorizer;
pub use error::{ErrorKind, NetError};
pub use options::{NetworkOptions, Proxy, Timeouts};
pub use origin::Origin;
pub use query::append_query_raw;
pub use redact::RedactedUrl;
pub use request::{Attempt, Delivery, Request, RequestRange};
pub use response::{Head, Response, Validators};
