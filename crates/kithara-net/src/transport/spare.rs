//! Connections opened ahead of the request that will use them.
//!
//! reqwest opens a connection only for a request. Its connector can be layered, though, and that is enough: a second
//! client, the [`Opener`], shares a shelf with the main one. Its connector makes a connection, puts it on the shelf and
//! fails, so its request is never sent; the main client's connector looks on the shelf before it makes a connection of
//! its own. They must be two clients: within one, the pool could hand the opener's request a connection that has just
//! become free.
//!
//! A connector is not told in words where it connects to (the type of its request is private), so the origin travels in
//! a task local around the request.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

use crate::Origin;
use crate::origins::lock;

tokio::task_local! {
    /// Where the request that this task is polling wants to connect to.
    static ORIGIN: Option<Origin>;
}

/// How long a spare connection is worth keeping: origins close idle ones after a few seconds at the earliest.
const FRESH: Duration = Duration::from_secs(4);
/// Most spare connections on the shelf.
const MOST: usize = 8;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The shelf: at most one spare connection per origin. The opener's connector writes, the main client's takes.
#[derive(Clone, Default)]
pub(super) struct SpareConnections(Arc<Mutex<HashMap<Origin, Spare>>>);

/// When a connection was put on the shelf, and the connection, whose type is private to reqwest.
type Spare = (Instant, Box<dyn Any + Send>);

impl SpareConnections {
    /// The layer of the client that uses spare connections.
    pub(super) fn taking(&self) -> SpareLayer {
        SpareLayer { shelf: self.clone(), role: Role::Take }
    }

    /// The layer of the client that makes them.
    pub(super) fn storing(&self) -> SpareLayer {
        SpareLayer { shelf: self.clone(), role: Role::Store }
    }

    /// Runs a request so that its connector knows the origin; `None` keeps it away from the shelf.
    pub(super) fn for_origin<F: Future>(origin: Option<Origin>, request: F) -> impl Future<Output = F::Output> {
        ORIGIN.scope(origin, request)
    }

    fn take<T: 'static>(&self, origin: &Origin) -> Option<T> {
        let (stored, connection) = lock(&self.0).remove(origin)?;
        if stored.elapsed() > FRESH {
            return None;
        }
        connection.downcast().ok().map(|connection| *connection)
    }

    fn store<T: Send + 'static>(&self, origin: Origin, connection: T) {
        let mut shelf = lock(&self.0);
        shelf.retain(|_, (stored, _)| stored.elapsed() <= FRESH);
        if shelf.len() < MOST {
            shelf.insert(origin, (Instant::now(), Box::new(connection)));
        }
    }

    fn has(&self, origin: &Origin) -> bool {
        lock(&self.0).get(origin).is_some_and(|(stored, _)| stored.elapsed() <= FRESH)
    }
}

impl std::fmt::Debug for SpareConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SpareConnections").field(&lock(&self.0).len()).finish()
    }
}

/// Makes spare connections.
#[derive(Debug)]
pub(super) struct Opener {
    client: reqwest::Client,
    shelf: SpareConnections,
}

impl Opener {
    /// `client` has the [`storing`](SpareConnections::storing) layer of `shelf`.
    pub(super) fn new(client: reqwest::Client, shelf: SpareConnections) -> Self {
        Self { client, shelf }
    }

    /// Puts a connection to the origin of `url` on the shelf, unless there is one.
    pub(super) fn open(&self, mut url: Url) -> BoxFuture<'static, ()> {
        let Some(origin) = Origin::of(&url).filter(|origin| !self.shelf.has(origin)) else {
            return Box::pin(async {});
        };
        // Nothing of the URL but its origin is needed, and nothing of it should travel further.
        url.set_path("/");
        url.set_query(None);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        // The request fails in any case; what matters is on the shelf then.
        let request = self.client.get(url).send().map(drop);
        SpareConnections::for_origin(Some(origin), request).boxed()
    }
}

/// Puts the shelf before a connector.
#[derive(Clone, Debug)]
pub(super) struct SpareLayer {
    shelf: SpareConnections,
    role: Role,
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Take,
    Store,
}

impl<S> Layer<S> for SpareLayer {
    type Service = SpareService<S>;

    fn layer(&self, connector: S) -> Self::Service {
        SpareService { connector, layer: self.clone() }
    }
}

/// A connector behind the shelf.
#[derive(Clone, Debug)]
pub(super) struct SpareService<S> {
    connector: S,
    layer: SpareLayer,
}

#[derive(Debug, thiserror::Error)]
#[error("the connection was stored")]
struct Stored;

impl<S, R> Service<R> for SpareService<S>
where
    S: Service<R, Error = Error>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = Error;
    type Future = BoxFuture<'static, Result<S::Response, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Called while the request's own future is polled, so inside its scope.
        let origin = ORIGIN.try_with(Clone::clone).ok().flatten();
        let shelf = self.layer.shelf.clone();
        match (self.layer.role, origin) {
            (Role::Take, Some(origin)) => match shelf.take(&origin) {
                Some(connection) => Box::pin(std::future::ready(Ok(connection))),
                None => self.connector.call(request).boxed(),
            },
            (Role::Store, Some(origin)) => {
                let store = move |connection| {
                    shelf.store(origin, connection);
                    std::future::ready(Err(Stored.into()))
                };
                self.connector.call(request).and_then(store).boxed()
            }
            (_, None) => self.connector.call(request).boxed(),
        }
    }
}
