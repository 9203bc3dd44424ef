use std::future::{pending, poll_fn};

use kithara::{ChunkAt, HlsError, HlsSource, Source};
use tokio::time::{Instant, sleep_until};

use crate::{
    failure::{Class, Failure},
    interrupt::Interrupt,
    output::Output,
    save::progress::Progress,
};

/// A stream on its way into a file.
pub(super) struct Recording {
    pub(super) source: HlsSource,
    pub(super) output: Output,
    pub(super) interrupt: Interrupt,
    pub(super) progress: Progress,
    /// When it is long enough.
    pub(super) until: Option<Instant>,
}

/// How a recording came to its end without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The stream ended.
    Whole,
    /// The user stopped it.
    Stopped,
    /// It has the length the user wants.
    LongEnough,
}

impl Recording {
    /// Records to the end. Into a file, on the worker that brings the chunks; into anything that may keep a write
    /// waiting, on the calling thread.
    ///
    /// # Errors
    /// The task is gone. What went wrong with the recording itself is in the answer.
    pub(super) async fn run_where_it_is_cheapest(mut self) -> Result<(Self, Result<Ended, Failure>), Failure> {
        if !self.output.is_file() {
            let ended = self.run().await;
            return Ok((self, ended));
        }
        let task = tokio::spawn(async move {
            let ended = self.run().await;
            (self, ended)
        });
        task.await.map_err(|error| Failure::new(Class::Other, error.to_string()))
    }

    async fn run(&mut self) -> Result<Ended, Failure> {
        let mut offset = 0;
        loop {
            let Self { source, interrupt, until, .. } = self;
            tokio::select! {
                biased;
                () = interrupt.wait() => return Ok(Ended::Stopped),
                () = come(*until) => return Ok(Ended::LongEnough),
                ready = poll_fn(|cx| source.poll_ready(cx, offset..u64::MAX)) => ready.map_err(HlsError::from)?,
            }
            match self.source.chunk_at(offset).map_err(HlsError::from)? {
                ChunkAt::Bytes(bytes) => {
                    self.output.write(&bytes)?;
                    offset += bytes.len() as u64;
                    self.progress.line.bytes(offset);
                }
                ChunkAt::End => return Ok(Ended::Whole),
                ChunkAt::Pending => {}
            }
        }
    }
}

/// Ready at that time, if ever.
async fn come(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}
