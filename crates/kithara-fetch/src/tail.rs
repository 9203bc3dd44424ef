//! The end of a resource, with one small request.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kithara_net::{ErrorKind, Origin, RequestRange, Response};

use crate::fetcher::Shared;
use crate::locate::locate;
use crate::plan::is_believed;
use crate::{Belief, CacheUse, FetchError, FetchErrorKind, FetchRequest, Fetcher};

/// The last bytes of a resource, or of a range of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// As many as were asked for; fewer where there are not so many.
    pub bytes: Bytes,
    /// Length of the whole resource, or of the range.
    pub len: u64,
}

impl Fetcher {
    /// The last `count` bytes of what `request` describes, and how long that is. One ranged request at most; none where the
    /// store has them. Where nobody knows the length yet, the origin is asked for the last bytes, and its answer is not stored.
    ///
    /// An origin that does not serve ranges but says its length sends everything, and what comes before the end is thrown away on the
    /// way; one that says neither is refused with [`RangeIgnored`](ErrorKind::RangeIgnored).
    ///
    /// # Errors
    /// Those of a fetch.
    pub async fn tail(&self, request: FetchRequest, count: u64) -> Result<Tail, FetchError> {
        let known = request.range.clone().filter(|range| range.end < u64::MAX).or_else(|| self.stored_len(&request));
        let Some(range) = known else { return self.suffix(&request, count).await };
        let len = range.end.saturating_sub(range.start);
        let start = range.end.saturating_sub(count).max(range.start);
        let max_len = request.max_len;
        let part = FetchRequest { range: Some(start..range.end), ..request };
        let bytes = if start == range.end { Bytes::new() } else { self.fetch(part).collect(max_len).await? };
        Ok(Tail { bytes, len })
    }

    fn stored_len(&self, request: &FetchRequest) -> Option<Range<u64>> {
        let key = request.key.filter(|_| request.cache.reads())?;
        let resource = self.store()?.streaming(&key);
        if request.belief == Belief::All {
            // Without a look into the file.
            return resource.total_len().map(|len| 0..len);
        }
        let stored = resource.present(0..0);
        let now = self.shared().options.clock.now();
        stored.total_len.filter(|_| is_believed(request.belief, request.cache, &stored, now)).map(|len| 0..len)
    }

    async fn suffix(&self, request: &FetchRequest, count: u64) -> Result<Tail, FetchError> {
        if request.cache == CacheUse::OfflineOnly {
            return Err(FetchError::offline_miss(None).at(&request.url));
        }
        let tail = ask_for_suffix(self.shared(), request, count);
        let outcome = match request.deadline {
            None => tail.await,
            Some(time) => tokio::time::timeout(time, tail)
                .await
                .unwrap_or_else(|_| Err(FetchError::new(FetchErrorKind::Deadline))),
        };
        outcome.map_err(|error| error.at(&request.url))
    }
}

async fn ask_for_suffix(shared: &Arc<Shared>, request: &FetchRequest, count: u64) -> Result<Tail, FetchError> {
    let located = locate(request).await?;
    let mut turn = shared.scheduler.enter(Origin::of(&located.url), request.class);
    turn.wait().await;
    let wire = request.on_the_wire(located.url, located.headers).range(RequestRange::Suffix(count.max(1)));
    let Response { mut body, .. } = match shared.client.fetch(wire).await {
        // An empty resource has no last byte.
        Err(error) if error.kind() == (ErrorKind::RangeNotSatisfiable { total: Some(0) }) => {
            return Ok(Tail { bytes: Bytes::new(), len: 0 });
        }
        answer => answer?,
    };
    let mut last = Last::new(count);
    while let Some(chunk) = body.chunk().await? {
        last.push(chunk);
        turn.wait().await;
    }
    // The end of the body is the proof of a length, whatever was announced.
    let len = body.position();
    Ok(Tail { bytes: last.joined(), len })
}

/// The last bytes of what is pushed.
struct Last {
    count: u64,
    chunks: VecDeque<Bytes>,
    held: u64,
}

impl Last {
    fn new(count: u64) -> Self {
        Self { count, chunks: VecDeque::new(), held: 0 }
    }

    fn push(&mut self, chunk: Bytes) {
        self.held += chunk.len() as u64;
        self.chunks.push_back(chunk);
        while let Some(first) = self.chunks.front().map(|first| first.len() as u64)
            && self.held - first >= self.count
        {
            self.chunks.pop_front();
            self.held -= first;
        }
    }

    fn joined(self) -> Bytes {
        let mut all = BytesMut::new();
        self.chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
        let surplus = usize::try_from(self.held.saturating_sub(self.count)).unwrap_or(all.len());
        all.split_off(surplus.min(all.len())).freeze()
    }
}
