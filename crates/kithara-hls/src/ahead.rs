//! Resources asked for before they are announced: their bytes are kept, as they came, for the parts and
//! initialization sections they turn out to be.

use std::{
    future::poll_fn,
    time::{Duration, Instant},
};

use bytes::Bytes;
use kithara_fetch::{Delivery, FetchRequest, Head as FetchHead};
use kithara_hls_core::session::{Delivered, FetchId, Head};
use kithara_stream::{ChunkAt, Source, UnitBody, UnitWriter};
use tokio::sync::mpsc;

use crate::{
    driver::{Failed, Report},
    error::HlsError,
    requests::Requests,
};

/// Progress is reported this often at most: the speed of bursts is measured by it.
const REPORT_EVERY: Duration = Duration::from_millis(20);

/// A transfer waits while this much is kept and nothing was cut out of it.
const HOLD: u64 = 4 << 20;

/// Bytes that were asked for ahead, as far as the driver knows them.
pub(crate) struct Ahead {
    pub(crate) body: UnitBody,
    /// Bytes of it that were cut out, or will be.
    pub(crate) taken: u64,
    /// Bytes that are left to be cut out; no end is known of `u64::MAX`.
    pub(crate) left: u64,
}

/// Bytes that are taken from what was asked for ahead.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) body: UnitBody,
    pub(crate) from: u64,
    /// How many; `None` for all there are.
    pub(crate) len: Option<u64>,
}

/// Where bytes come from.
pub(crate) enum Origin {
    Own(Box<Delivery>),
    Ahead(Taken),
}

impl Ahead {
    /// Cuts out what comes next.
    pub(crate) fn take(&mut self, count: u64) -> Taken {
        let from = self.taken;
        self.taken = from.saturating_add(count);
        if self.left < u64::MAX {
            self.left = self.left.saturating_sub(count);
        }
        Taken { body: self.body.clone(), from, len: Some(count) }
    }
}

/// The task that asks for them.
pub(crate) struct AheadTask {
    pub(crate) fetch: FetchId,
    pub(crate) request: FetchRequest,
    pub(crate) requests: Requests,
    pub(crate) body: UnitBody,
    pub(crate) reports: mpsc::Sender<Report>,
}

impl AheadTask {
    /// Brings the resource and reports how that went.
    pub(crate) async fn run(self, mut writer: UnitWriter) {
        let result = self.receive(&mut writer).await;
        match &result {
            Ok(_) => writer.finish(),
            Err(failed) => writer.fail(failed.error.clone()),
        }
        // The driver is gone when the session is: nobody is left to tell.
        let _ = self.reports.send(Report::Fetched { fetch: self.fetch, result }).await;
    }

    async fn receive(&self, writer: &mut UnitWriter) -> Result<Delivered, Failed> {
        let mut delivery = self.requests.fetcher.fetch(self.request.clone());
        self.report_head(&delivery.head().await?).await;
        let (mut bytes, mut last) = (0_u64, None::<Instant>);
        while let Some(chunk) = delivery.chunk().await? {
            bytes += chunk.len() as u64;
            writer.push(chunk);
            if last.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                last = Some(Instant::now());
                let _ = self.reports.send(Report::Progress { fetch: self.fetch, bytes }).await;
            }
            poll_fn(|cx| self.body.poll_held_below(cx, HOLD)).await;
        }
        Ok(Delivered { len: bytes, wire_len: bytes, from_store: false })
    }

    async fn report_head(&self, head: &FetchHead) {
        let time_to_first_byte = head.time_to_first_byte;
        let head = Head { len: None, wire_len: head.len, from_store: false, time_to_first_byte };
        let _ = self.reports.send(Report::Head { fetch: self.fetch, head }).await;
    }
}

impl Origin {
    /// The next bytes, behind `bytes` of them; `None` behind the last one.
    pub(crate) async fn chunk(&mut self, bytes: u64) -> Result<Option<Bytes>, Failed> {
        let taken = match self {
            Self::Own(delivery) => return Ok(delivery.chunk().await?),
            Self::Ahead(taken) => taken,
        };
        let left = taken.len.map_or(u64::MAX, |len| len.saturating_sub(bytes));
        let at = taken.from + bytes;
        // What is before it was taken by others, or is appended.
        taken.body.release(at);
        if left == 0 {
            return Ok(None);
        }
        let failed = |error: std::io::Error| Failed::from(HlsError::from(error));
        poll_fn(|cx| taken.body.poll_ready(cx, at..at + 1)).await.map_err(failed)?;
        match taken.body.chunk_at(at).map_err(failed)? {
            ChunkAt::Bytes(mut chunk) => {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                Ok(Some(chunk))
            }
            ChunkAt::Pending | ChunkAt::End => Ok(None),
        }
    }
}
