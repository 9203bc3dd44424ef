//! Requests, counted where they go out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use kithara::fetch::net::{
    Client, NetError, NetworkOptions,
    transport::{ReqwestTransport, Transport, WireError, WireRequest, WireResponse},
};
use url::Url;

/// How many requests went out, and how many of them failed. Counted by the transport, read by the summary.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

impl Meter {
    /// A client whose requests are counted.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn client(self: &Arc<Self>, options: NetworkOptions) -> Result<Client, NetError> {
        let wire = ReqwestTransport::new(&options)?;
        let transport = Metered { meter: Arc::clone(self), wire };
        Ok(Client::with_transport(options, Arc::new(transport)))
    }

    /// Requests sent, redirects and repetitions included.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those that got no response, an error status, or not their whole body.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// The real transport, with a count.
struct Metered {
    meter: Arc<Meter>,
    wire: ReqwestTransport,
}

impl Transport for Metered {
    fn send(&self, request: WireRequest) -> BoxFuture<'static, Result<WireResponse, WireError>> {
        let meter = Arc::clone(&self.meter);
        meter.requests.fetch_add(1, Ordering::Relaxed);
        let sending = self.wire.send(request);
        async move {
            let mut response = sending.await.inspect_err(|_| meter.fail())?;
            if response.status.is_client_error() || response.status.is_server_error() {
                meter.fail();
            }
            let watched = response.body.inspect(move |chunk| match chunk {
                Ok(bytes) => {
                    meter.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(_) => meter.fail(),
            });
            response.body = watched.boxed();
            Ok(response)
        }
        .boxed()
    }

    fn preconnect(&self, url: Url) -> BoxFuture<'static, ()> {
        self.wire.preconnect(url)
    }
}
