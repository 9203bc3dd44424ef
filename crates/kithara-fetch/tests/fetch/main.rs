//! Everything this crate promises, in virtual time against an origin in memory, over both stores; and once over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod coalescing;
mod crash;
mod damage;
mod disks;
mod holes;
mod loopback;
mod random;
mod secrets;
mod slow_link;
mod support;
mod tail;
mod turns;
mod whole;
