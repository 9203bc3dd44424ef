//! What the client promises, played through: in virtual time on a scripted transport, and on real connections to a
//! loopback origin.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step of a test is a failed test")]

#[cfg(target_os = "linux")]
mod connecting;
mod contract;
mod loopback;
mod proxy;
mod resume;
mod retry;
mod safety;
mod secrets;
mod tls;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kithara_net::transport::scripted::ScriptedTransport;
use kithara_net::{Client, ErrorKind, NetError, NetworkOptions, Request, Response};

fn client(origin: &ScriptedTransport) -> Client {
    client_with(NetworkOptions::default(), origin)
}

fn client_with(options: NetworkOptions, origin: &ScriptedTransport) -> Client {
    Client::with_transport(options, Arc::new(origin.clone()))
}

fn get(url: &str) -> Request {
    Request::new(url.parse().unwrap())
}

/// Fetches all of it.
async fn fetch(client: &Client, request: Request) -> Result<Bytes, NetError> {
    client.fetch(request).await?.body.collect(u64::MAX).await
}

/// The kind of the error a fetch ends with, in its head or in its body.
async fn fetch_error(client: &Client, request: Request) -> ErrorKind {
    fetch(client, request).await.map(|bytes| bytes.len()).expect_err("should fail").kind()
}

/// The error a body ends with.
async fn body_error(response: Response) -> NetError {
    response.body.collect(u64::MAX).await.map(|bytes| bytes.len()).expect_err("should break")
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The `Range` of every request that arrived.
fn ranges(origin: &ScriptedTransport) -> Vec<Option<String>> {
    origin.requests().iter().map(|sent| sent.header("range").map(str::to_owned)).collect()
}

/// Bytes that differ from place to place.
fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}
