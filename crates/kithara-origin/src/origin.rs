//! A running origin: its thread, its address and what it remembers.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    thread::JoinHandle,
    time::Instant,
};

use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{oneshot, watch},
};

use crate::{
    body::Body,
    connection,
    error::{OriginError, OriginErrorKind},
    fault::Fault,
    link::{Link, SharedLink},
    log::{Log, Logged},
    request::Request,
    rule::{Rule, Script},
    site::Site,
    wire::rest_after_failed_accept,
};

/// A server on loopback that serves a [`Site`] until it is shut down or dropped; either closes all its connections.
///
/// It runs on a thread and a runtime of its own, so it needs no runtime of the caller and serves callers that block.
pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How many connections an origin has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connections {
    /// Those open now.
    pub open: u64,
    /// All that were ever accepted.
    pub total: u64,
}

/// What the connections write and the [`Origin`] handle reads.
pub(crate) struct Shared {
    started: Instant,
    /// Changed by the handle, read by the connections.
    site: RwLock<Site>,
    /// Written by the connections, read and cleared by the handle.
    log: Mutex<Log>,
    /// Requests per path; used by the connections alone.
    counts: Mutex<HashMap<String, u64>>,
    /// Changed by the handle, played by the connections.
    script: Mutex<Script>,
    /// Set by the handle, booked by the connections.
    link: SharedLink,
    /// Counted by the connections; every change of it or of the log is announced here.
    changes: watch::Sender<Connections>,
}

impl Origin {
    /// Serves `site` on 127.0.0.1 at a free port.
    ///
    /// # Errors
    /// [`OriginErrorKind::Listen`] or [`OriginErrorKind::Thread`] when the system refuses.
    pub fn start(site: Site) -> Result<Self, OriginError> {
        Self::start_on(Ipv4Addr::LOCALHOST, site)
    }

    /// Serves `site` on `ip` at a free port. 127.0.0.2 makes a second origin for cross-origin tests (Linux has all of 127/8).
    ///
    /// # Errors
    /// As [`Origin::start`].
    pub fn start_on(ip: impl Into<IpAddr>, site: Site) -> Result<Self, OriginError> {
        Self::listen(SocketAddr::new(ip.into(), 0), site)
    }

    /// Serves `site` on exactly `addr`.
    ///
    /// # Errors
    /// As [`Origin::start`].
    pub fn listen(addr: SocketAddr, site: Site) -> Result<Self, OriginError> {
        let refused = |error| OriginError::io(OriginErrorKind::Listen(addr), error);
        let listener = std::net::TcpListener::bind(addr).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let addr = listener.local_addr().map_err(refused)?;
        let no_thread = |error| OriginError::io(OriginErrorKind::Thread, error);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let link = SharedLink::default();
        link.set(site.link);
        let shared = Arc::new(Shared {
            script: Mutex::new(site.script.clone()),
            link,
            started: Instant::now(),
            site: RwLock::new(site),
            log: Mutex::default(),
            counts: Mutex::default(),
            changes: watch::Sender::new(Connections::default()),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::Builder::new()
            .name("kithara-origin".to_owned())
            .spawn(move || serve(&runtime, listener, serving, stopped))
            .map_err(no_thread)?;
        Ok(Self { addr, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of `path` (and query), which is appended as it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.addr, path.trim_start_matches('/'))
    }

    /// The URL of `path` with another name of this host, such as `localhost`: the same server, but another origin to a client.
    pub fn url_via(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}/{}", self.addr.port(), path.trim_start_matches('/'))
    }

    /// All requests since the start or the last [`Origin::clear_log`], in the order they arrived; the newest 100,000 are kept.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.log().entries().cloned().collect()
    }

    /// The logged requests whose [`Logged::id`] is `id` or greater.
    pub fn log_since(&self, id: u64) -> Vec<Logged> {
        self.shared.log().since(id).cloned().collect()
    }

    /// The logged requests for exactly this (decoded) path.
    pub fn requests_of(&self, path: &str) -> Vec<Logged> {
        self.shared.log().entries().filter(|entry| entry.path == path).cloned().collect()
    }

    /// Forgets the log. Counters of rules and [`Request::nth`](crate::Request::nth) go on.
    pub fn clear_log(&self) {
        self.shared.log().clear();
    }

    /// How many connections are open, and how many there were.
    pub fn connections(&self) -> Connections {
        *self.shared.changes.borrow()
    }

    /// Puts (or replaces) the content at `path` while the origin runs.
    pub fn put(&self, path: &str, body: impl Into<Body>) {
        self.shared.site_mut(|site| site.put(path, body.into()));
    }

    /// Takes the content put at exactly `path` away; requests for it are answered with 404 from now on.
    pub fn remove(&self, path: &str) {
        self.shared.site_mut(|site| site.remove(path));
    }

    /// Adds a rule behind those there are; it counts requests from now on.
    pub fn add_rule(&self, rule: Rule) {
        self.shared.script_mut(|script| script.add(rule));
    }

    /// Takes all rules away, with what they have counted.
    pub fn clear_rules(&self) {
        self.shared.script_mut(Script::clear);
    }

    /// Replaces the link to the clients from the next bytes on.
    pub fn set_link(&self, link: Link) {
        self.shared.link.set(link);
    }

    /// Waits until `condition` holds. It is asked now and after every request, answer and change of connections.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        while !condition(self) {
            // The sender lives in `self`, so a change is the only way out.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops listening, closes all connections and waits for the thread to end. Dropping does the same.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the origin's thread has been printed there already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("addr", &self.addr)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn site<T>(&self, read: impl FnOnce(&Site) -> T) -> T {
        read(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn site_mut(&self, change: impl FnOnce(&mut Site)) {
        change(&mut self.site.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn link(&self) -> &SharedLink {
        &self.link
    }

    fn script_mut<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Stamps a request that has arrived with time and count; returns the faults to play on it.
    pub(crate) fn admit(&self, request: &mut Request) -> Vec<Fault> {
        (request.at, request.wall) = self.site(|site| (site.clock.elapsed(), site.clock.wall()));
        request.now = request.at;
        request.nth = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(request.path.clone()).or_default();
            *count += 1;
            *count
        };
        self.script_mut(|script| script.faults_for(request))
    }

    /// Changes the log and wakes those who wait for a change.
    pub(crate) fn log_mut<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let changed = change(&mut self.log());
        self.changes.send_modify(|_| {});
        changed
    }
}

/// One open connection in the count, from now until it is dropped.
pub(crate) struct Counted {
    shared: Arc<Shared>,
    pub(crate) id: u64,
}

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        let mut id = 0;
        shared.changes.send_modify(|counts| {
            counts.open += 1;
            counts.total += 1;
            id = counts.total;
        });
        Self { shared, id }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.shared.changes.send_modify(|counts| counts.open -= 1);
    }
}

/// The thread: accepts until told to stop. The runtime ends with it, and all connections with the runtime.
fn serve(runtime: &Runtime, listener: std::net::TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async move {
        let accepting = async {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return tracing::error!(%error, "the listener cannot be used"),
            };
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(connection::run(stream, Counted::new(shared.clone())))),
                    Err(error) => {
                        // Mostly "too many open files": others must close some first.
                        tracing::warn!(%error, "a connection could not be accepted");
                        rest_after_failed_accept().await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stopped => {}
        }
    });
}
