//! The request log: what was asked and what was sent.

use std::{collections::VecDeque, fmt, time::Duration};

use crate::request::Request;

/// One request and what became of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Logged {
    /// Counts from 0 in the order in which requests arrived; [`Origin::clear_log`](crate::Origin::clear_log) does not restart it.
    pub id: u64,
    /// When the head had arrived, since the origin started, in real time.
    pub at: Duration,
    /// When the answer had been written (or given up); `None` while it is being written.
    pub ended: Option<Duration>,
    /// The connection it came on: 1 is the first that was accepted.
    pub connection: u64,
    /// The method, as sent.
    pub method: String,
    /// Path and query exactly as sent.
    pub target: String,
    /// The path, percent-decoded.
    pub path: String,
    /// What follows the first `?`, exactly as sent.
    pub query: Option<String>,
    /// The `Range` field, exactly as sent.
    pub range: Option<String>,
    /// Header fields in the order sent; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Whether the answer was held until what it needs existed (see [`Response::later`](crate::Response::later)).
    pub is_held: bool,
    /// The status sent; 0 while none was. Entered just before the head is written.
    pub status: u16,
    /// Body bytes handed to the socket, without chunk framing. Counted just before each write, so a byte that a client has is in here.
    pub bytes_sent: u64,
    /// The faults played, by name, joined with `+`; empty for an honest answer.
    pub fault: String,
}

impl Logged {
    /// The value of the first request header field called `name` (in any case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Logged {
    // Queries and header values may be credentials, so only the presence of a query is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:.3}s c{} {} {}", self.id, self.at.as_secs_f64(), self.connection, self.method, self.path)?;
        if self.query.is_some() {
            f.write_str("?..")?;
        }
        if let Some(range) = &self.range {
            write!(f, " [{range}]")?;
        }
        write!(f, " -> {} {} bytes", self.status, self.bytes_sent)?;
        if !self.fault.is_empty() {
            write!(f, " ({})", self.fault)?;
        }
        if self.is_held {
            f.write_str(" held")?;
        }
        if self.ended.is_none() { f.write_str(" ...") } else { Ok(()) }
    }
}

/// The newest entries, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Logged>,
    next: u64,
}

/// Entries kept; older ones are dropped first.
pub(crate) const LOG_LIMIT: usize = 100_000;

impl Log {
    pub(crate) fn begin(&mut self, at: Duration, request: &Request, fault: String) -> u64 {
        let id = self.next;
        self.next += 1;
        if self.entries.len() == LOG_LIMIT {
            self.entries.pop_front();
        }
        self.entries.push_back(Logged {
            id,
            at,
            ended: None,
            connection: request.connection,
            method: request.method.clone(),
            target: request.target.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            range: request.header("range").map(str::to_owned),
            headers: request.headers.clone(),
            is_held: false,
            status: 0,
            bytes_sent: 0,
            fault,
        });
        id
    }

    /// The entry called `id`, unless it was cleared or dropped.
    pub(crate) fn entry(&mut self, id: u64) -> Option<&mut Logged> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get_mut(at)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Logged> {
        self.entries.iter()
    }

    /// The entries whose id is `id` or greater.
    pub(crate) fn since(&self, id: u64) -> impl Iterator<Item = &Logged> {
        let from = self.entries.partition_point(|entry| entry.id < id);
        self.entries.range(from..)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_id_after_a_clear() {
        let request = Request::parse(b"GET /a?secret=1 HTTP/1.1\r\nAuthorization: Bearer secret").unwrap();
        let mut log = Log::default();
        let first = log.begin(Duration::ZERO, &request, String::new());
        log.clear();
        let second = log.begin(Duration::ZERO, &request, String::new());
        assert!(log.entry(first).is_none());
        log.entry(second).unwrap().status = 200;
        assert_eq!(log.entries().map(|entry| (entry.id, entry.status)).collect::<Vec<_>>(), [(1, 200)]);
        let shown = format!("{:?}", log.entries().next().unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn the_log_keeps_the_newest() {
        let request = Request::parse(b"GET /a HTTP/1.1").unwrap();
        let mut log = Log::default();
        for _ in 0..LOG_LIMIT + 5 {
            log.begin(Duration::ZERO, &request, String::new());
        }
        assert_eq!(log.entries().count(), LOG_LIMIT);
        assert_eq!(log.entries().next().unwrap().id, 5);
    }
}
