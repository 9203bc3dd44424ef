//! A scripted loopback HTTP origin: it serves contents exactly, and lies, stalls and resets exactly as told.
//!
//! Tests of a streaming client need a server that misbehaves on purpose and byte-exactly, and that remembers what it was asked.
//! This one is written on raw TCP so that nothing between the script and the wire repairs a fault.
//!
//! Words:
//!
//! - An [`Origin`] is a running server on a loopback address. It lives on a thread of its own, with its own runtime and real time,
//!   so it answers whatever the test's runtime does (a blocked thread, paused time). Dropping it stops it.
//! - A [`Site`] is what the origin serves: contents by path, from bytes, directories, a synthetic pattern or a closure; what guards
//!   them ([`access`]) and what changes them on the way ([`Live`] shows VOD playlists as live ones).
//! - A [`Request`] is what arrived, a [`Response`] the honest answer to it; its [`Body`] is random access, so 1 GiB costs no memory.
//! - A [`Fault`] is one thing done wrong with an answer, as a plain value; faults combine. A [`Rule`] says on which requests faults
//!   are played. Rules count, and their dice are seeded: the same requests meet the same faults.
//! - The [`Link`] is the network in between; the [`Clock`] is the time that rules and live playlists see.
//! - A [`Packager`] publishes [`Recording`]s part by part, as a low-latency live stream; requests for what does not exist yet are held.
//! - The log holds one [`Logged`] entry per request: who asked for what, and what was sent.
//!
//! A request flows: head parsed -> rules asked for faults -> entered in the log -> answered by the site, or by a fault in its place
//! -> conditions and ranges applied -> lies told in the head -> body cut into steps (send, pause, end) -> written. All of it but the
//! first and the last is one pure function, so what a fault does is tested without a socket.
//!
//! ```
//! use kithara_origin::{Origin, Site};
//! use std::io::{Read, Write};
//!
//! let origin = Origin::start(Site::new().bytes("/hello.txt", "hello")).unwrap();
//! let mut client = std::net::TcpStream::connect(origin.addr()).unwrap();
//! client.write_all(b"GET /hello.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=1-3\r\nConnection: close\r\n\r\n").unwrap();
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).unwrap();
//! assert!(answer.starts_with("HTTP/1.1 206 "));
//! assert!(answer.ends_with("\r\n\r\nell"));
//! assert_eq!(origin.requests_of("/hello.txt").len(), 1);
//! ```

pub mod access;
mod body;
mod clock;
mod connection;
mod date;
mod delivery;
mod demo;
mod error;
mod fault;
mod link;
mod live;
mod log;
mod origin;
mod packager;
mod playlist;
mod range;
mod request;
mod response;
mod rule;
mod script;
mod site;
mod vod;
mod wire;

pub use body::{Body, pattern_bytes};
pub use clock::Clock;
pub use demo::{demo, fixtures_dir};
pub use error::{OriginError, OriginErrorKind};
pub use fault::{At, Ending, Fault, Redirect};
pub use link::Link;
pub use live::Live;
pub use log::Logged;
pub use origin::{Connections, Origin};
pub use packager::{Packager, Published, Recording, Told};
pub use request::Request;
pub use response::Response;
pub use rule::Rule;
pub use site::Site;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
