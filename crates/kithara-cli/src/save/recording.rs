use std::{
    future::{pending, poll_fn},
    io,
};

use bytes::Bytes;
use kithara::{ChunkAt, HlsError, HlsSource, Source};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

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
    /// Whoever read it is gone.
    Unread,
}

impl Recording {
    /// Records to the end. Into a file, on the worker that brings the chunks; into anything that may keep a write
    /// waiting, through a thread of its own, which is left behind when the user stops the recording meanwhile.
    ///
    /// # Errors
    /// The task is gone. What went wrong with the recording itself is in the answer.
    pub(super) async fn run_where_it_is_cheapest(mut self) -> Result<(Self, Result<Ended, Failure>), Failure> {
        if !self.output.is_file() {
            let ended = self.run_through_a_thread().await;
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
            match self.next(offset).await? {
                Next::Chunk(bytes) => {
                    self.output.write(&bytes)?;
                    offset += bytes.len() as u64;
                    self.progress.line.bytes(offset);
                }
                Next::Ended(ended) => return Ok(ended),
            }
        }
    }

    async fn run_through_a_thread(&mut self) -> Result<Ended, Failure> {
        let (chunks, mut written) = writer(self.output.second()?)?;
        let mut offset = 0;
        let ended = loop {
            let bytes = match self.next(offset).await? {
                Next::Chunk(bytes) => bytes,
                Next::Ended(Ended::Stopped) => return Ok(Ended::Stopped),
                Next::Ended(ended) => break ended,
            };
            offset += bytes.len() as u64;
            tokio::select! {
                biased;
                () = self.interrupt.wait() => return Ok(Ended::Stopped),
                () = come(self.until) => break Ended::LongEnough,
                sent = chunks.send(bytes) => {
                    if sent.is_err() {
                        // The thread ended early, and says why.
                        break Ended::Whole;
                    }
                }
            }
            self.progress.line.bytes(offset);
        };
        drop(chunks);
        tokio::select! {
            biased;
            () = self.interrupt.wait() => Ok(Ended::Stopped),
            outcome = &mut written => match outcome {
                Ok(outcome) => outcome.map(|early| early.unwrap_or(ended)),
                Err(_) => Err(Failure::new(Class::Other, "the thread that writes has ended unexpectedly")),
            },
        }
    }

    /// What comes next, from `offset` on.
    async fn next(&mut self, offset: u64) -> Result<Next, Failure> {
        loop {
            let Self { source, interrupt, until, .. } = self;
            tokio::select! {
                biased;
                () = interrupt.wait() => return Ok(Next::Ended(Ended::Stopped)),
                () = come(*until) => return Ok(Next::Ended(Ended::LongEnough)),
                ready = poll_fn(|cx| source.poll_ready(cx, offset..u64::MAX)) => ready.map_err(HlsError::from)?,
            }
            match self.source.chunk_at(offset).map_err(HlsError::from)? {
                ChunkAt::Bytes(bytes) => return Ok(Next::Chunk(bytes)),
                ChunkAt::End => return Ok(Next::Ended(Ended::Whole)),
                ChunkAt::Pending => {}
            }
        }
    }
}

enum Next {
    Chunk(Bytes),
    Ended(Ended),
}

/// How writing ended, and how the recording did where that is the reason.
type Written = oneshot::Receiver<Result<Option<Ended>, Failure>>;

/// A thread that writes what it is sent, one chunk ahead, and says how that ended. Nobody waits for it when the process ends.
fn writer(mut output: Output) -> Result<(mpsc::Sender<Bytes>, Written), Failure> {
    let (chunks, mut inbox) = mpsc::channel::<Bytes>(1);
    let (done, written) = oneshot::channel();
    let work = move || {
        let mut outcome = Ok(None);
        while let (Ok(None), Some(bytes)) = (&outcome, inbox.blocking_recv()) {
            outcome = write(&mut output, &bytes);
        }
        drop(inbox);
        // Whoever stopped the recording does not listen any more.
        let _ = done.send(outcome);
    };
    let thread = std::thread::Builder::new().name("kithara-write".into()).spawn(work);
    thread.map_err(|error| Failure::new(Class::Other, format!("no thread: {error}")))?;
    Ok((chunks, written))
}

/// Writes, and says how the recording ends where nobody reads it any more.
fn write(output: &mut Output, bytes: &[u8]) -> Result<Option<Ended>, Failure> {
    match output.try_write(bytes) {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(Ended::Unread)),
        Err(error) => Err(Failure::disk("cannot write", output.shown(), &error)),
    }
}

/// Ready at that time, if ever.
async fn come(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => pending().await,
    }
}
