//! A server that makes a URL on demand and asks for patience meanwhile.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::SecureLink;
use crate::{request::Request, response::Response};

/// An endpoint that answers with JSON: first `{"status":"generating","retry_after":2}`, later `{"status":"ready","url":"..."}`.
///
/// It is ready when both the count and the time it was told to wait for are over. Clones share what they have counted.
#[derive(Clone, Debug)]
pub struct Generating {
    target: String,
    requests: u64,
    time: Duration,
    status: u16,
    retry_after: Duration,
    link: Option<SecureLink>,
    /// How many requests there were, and when the first came.
    seen: Arc<Mutex<Option<(u64, Duration)>>>,
}

impl Generating {
    /// Generates the URL of `target` on this host (a path, perhaps with a query), or `target` itself if it is an absolute URL.
    pub fn new(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            requests: 1,
            time: Duration::ZERO,
            status: 202,
            retry_after: Duration::from_secs(2),
            link: None,
            seen: Arc::default(),
        }
    }

    /// How many requests are put off. Default: 1.
    #[must_use]
    pub fn ready_after_requests(mut self, count: u64) -> Self {
        self.requests = count;
        self
    }

    /// How long requests are put off, from the first one on, on the site's clock. Default: zero.
    #[must_use]
    pub fn ready_after(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// The status while it is not ready. Default: 202; 503 is common too.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// What `Retry-After` and the JSON say while it is not ready. Default: 2 s.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// Signs the URL, which must then be a path, anew at each request.
    #[must_use]
    pub fn signed(mut self, link: &SecureLink) -> Self {
        self.link = Some(link.clone());
        self
    }

    pub(crate) fn answer(&self, request: &Request) -> Response {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, first) = seen.get_or_insert((0, request.at));
        *count += 1;
        let is_ready = *count > self.requests && request.at.saturating_sub(*first) >= self.time;
        if !is_ready {
            let seconds = self.retry_after.as_secs();
            let document = format!("{{\"status\":\"generating\",\"retry_after\":{seconds}}}");
            return Response::json(self.status, &document).with_retry_after(self.retry_after);
        }
        let target =
            self.link.as_ref().map_or_else(|| self.target.clone(), |link| link.sign_for(request, &self.target));
        let host = request.header("host").unwrap_or_default();
        let url = if target.starts_with('/') { format!("http://{host}{target}") } else { target };
        Response::json(200, &format!("{{\"status\":\"ready\",\"url\":\"{url}\"}}"))
    }
}
