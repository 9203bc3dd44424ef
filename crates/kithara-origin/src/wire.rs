//! The socket of one connection: paced writes, silence that notices when the client has left, and resets.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, sleep_until, timeout},
};

use crate::link::{Gate, Pacer, Permit, SharedLink};

/// A client's socket.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// Bytes that arrived and are not consumed yet.
    arrived: BytesMut,
    pacer: Pacer,
}

/// Bytes of further requests that may wait while an answer is sent.
const MAX_PIPELINED: usize = 2 << 20;

impl Wire {
    pub(crate) fn new(stream: TcpStream, link: SharedLink) -> io::Result<Self> {
        // Every write is a packet of its own as far as it fits: faults happen at the byte they are told.
        stream.set_nodelay(true)?;
        Ok(Self { stream, arrived: BytesMut::new(), pacer: Pacer::new(link) })
    }

    pub(crate) fn arrived(&self) -> &[u8] {
        &self.arrived
    }

    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        self.arrived.split_to(count).freeze()
    }

    /// Waits for more bytes; `false` at the end of what the client sends.
    pub(crate) async fn read_more(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.arrived).await? > 0)
    }

    /// Writes without regard to the link, as heads and frames are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// How many of `want` body bytes may be written now; waits until then. `rate` is that of this answer alone.
    pub(crate) async fn permit(&mut self, want: usize, rate: &mut Option<Gate>) -> io::Result<usize> {
        loop {
            match self.pacer.permit(Instant::now(), want, rate.as_mut()) {
                Permit::Wait(until) => self.silent_until(until).await?,
                Permit::Send { bytes, at } => {
                    self.silent_until(at).await?;
                    return Ok(bytes);
                }
            }
        }
    }

    /// Sends nothing for `time`.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] as soon as the client has closed its side: it will not read the rest.
    pub(crate) async fn silence(&mut self, time: Duration) -> io::Result<()> {
        match Instant::now().checked_add(time) {
            Some(until) => self.silent_until(until).await,
            None => self.silent_until(Instant::now() + Duration::from_secs(u64::from(u32::MAX))).await,
        }
    }

    async fn silent_until(&mut self, until: Instant) -> io::Result<()> {
        if until <= Instant::now() {
            return Ok(());
        }
        self.silent_during(sleep_until(until.into())).await
    }

    /// Sends nothing until `over` is.
    ///
    /// # Errors
    /// As [`Wire::silence`].
    pub(crate) async fn silent_during(&mut self, over: impl Future<Output = ()>) -> io::Result<()> {
        tokio::pin!(over);
        while self.arrived.len() < MAX_PIPELINED {
            tokio::select! {
                () = &mut over => return Ok(()),
                read = self.stream.read_buf(&mut self.arrived) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::BrokenPipe.into());
                    }
                }
            }
        }
        over.await;
        Ok(())
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Ends the connection in order.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Closes while the client may still be sending. Dropping unread bytes would reset the connection and could destroy the answer
    /// before the client reads it, so what comes is read away, for a second at most.
    pub(crate) async fn close_lingering(&mut self) -> io::Result<()> {
        self.close().await?;
        let drained = async {
            loop {
                self.arrived.clear();
                if !matches!(self.stream.read_buf(&mut self.arrived).await, Ok(1..)) {
                    return;
                }
            }
        };
        // Either way the connection ends here.
        let _ = timeout(Duration::from_secs(1), drained).await;
        Ok(())
    }
}

/// Waits after a failed accept, so that a lasting failure does not spin.
pub(crate) async fn rest_after_failed_accept() {
    sleep(Duration::from_millis(10)).await;
}
