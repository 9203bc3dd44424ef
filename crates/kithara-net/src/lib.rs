//! HTTP fetching with bounds: for programs that must get the right bytes, soon, from servers that fail.
//!
//! A [`Client`] fetches resources. It knows nothing of what they are, so whatever streams, caches or downloads over
//! HTTP can use it.
//!
//! ```no_run
//! use std::time::Duration;
//! use kithara_net::retry::Patience;
//! use kithara_net::{Client, NetworkOptions, Request, RequestRange};
//!
//! # async fn example() -> Result<(), kithara_net::NetError> {
//! let client = Client::new(NetworkOptions::default())?;
//! let url = "https://media.example/track.mp4?token=secret".parse().unwrap();
//! let request = Request::new(url)
//!     .range(RequestRange::From(4096))
//!     .max_len(64 << 20)
//!     .patience(Patience::default())
//!     .deadline(Duration::from_secs(60));
//!
//! let mut response = client.fetch(request).await?;
//! println!("{:?} bytes from {}", response.head.len, response.head.range_start);
//! while let Some(chunk) = response.body.chunk().await? {
//!     println!("{} bytes, up to {}", chunk.len(), response.body.position());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Words
//!
//! - A *fetch* is one wanted resource or part of it: a [`Request`] that becomes a [`Response`] or a [`NetError`].
//! - An *attempt* is one try of a fetch: a chain of *hops* that follows redirects. Each hop is one *exchange* on the
//!   wire.
//! - An [`Origin`] is scheme, host and port. Credentials, retry budgets and circuit breakers belong to one.
//! - *Progress* is at least [`Timeouts::min_progress`] bytes. A body without it in a window of waiting has *stalled*; a
//!   fetch that has made it counts its failures anew.
//! - A *laggard* is a body that moves far less than others of its origin did lately ([`Timeouts::laggard`]).
//!
//! # How a fetch flows
//!
//! ```text
//! Request -> attempt: per hop { breaker of the origin -> headers that may go there -> exchange -> redirect? }
//!              | failed: RetryPolicy::verdict -> wait -> next attempt, or NetError
//!            Head: status, validators, where the bytes lie
//!            Body: chunk, chunk, .. broken? -> attempt for the rest (Range, If-Range) -> chunk, .. end
//! ```
//!
//! **Decisions are pure.** [`retry`], [`breaker`], [`header`] and [`address`] take time, chance and bytes as arguments;
//! the loop around them is the only one that waits, and the only one that repeats. Whoever uses this crate needs no
//! retries of its own, only the decision what else to do when a fetch has failed.
//!
//! **Bytes are right or an error.** A 206 must begin where the range asked for does and not go beyond it; where it is
//! shorter, the rest is asked for. A 200 in its place is skipped or cut to it. A broken body continues at the byte it
//! lost, and only if nothing speaks for another version; else [`ErrorKind::Changed`] says so. A `Content-Length` that
//! promised too much is found out by the 416 behind the end, which must say where that is. A part whose resource is of
//! unknown length is followed by the next one until a 416 says that there is none.
//! Small documents that change are delivered whole or not at all ([`Delivery::Whole`]). What HTTP cannot show, a body
//! cut short whose length says so or has none, is for those who know the content.
//!
//! **Everything ends.** Connecting, the first byte, every window of a body: each has a limit, attempts are counted, and
//! an origin that keeps failing is left in peace. With [`Patience`](retry::Patience) a fetch survives fifteen seconds
//! of almost anything, in less than twenty, with eight attempts at most while no bytes arrive. An attempt is one request,
//! and one more for each redirect it meets; nothing below the policy sends one again.
//!
//! **Nothing leaks.** Headers, userinfo and cookies reach only the origin they are for; a redirect that leaves drops
//! them and one that comes back does not restore them. URLs in errors and logs are [`RedactedUrl`]s, header values are
//! never shown. Sizes are capped, and nothing is allocated because a header promised it.
//!
//! The wire itself is a [`Transport`](transport::Transport): real connections, or a
//! [script](transport::scripted) for tests in virtual time. Each fetch is one `tracing` span at debug level.

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
mod pace;
mod placement;
mod prefix;
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
