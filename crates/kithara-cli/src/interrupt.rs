//! Ctrl-C, and being asked to end.

use std::{future::Future, io, pin::pin, time::Duration};

use crate::failure::Failure;

/// What is said when opening takes long: a server that is away for a moment is waited for.
pub(crate) const STILL_OPENING: &str = "still opening: the server does not answer as it should (Ctrl-C stops)";
/// Longer than opening takes where nothing is wrong.
const LONG: Duration = Duration::from_secs(3);

/// Waits for the user, or the system, to stop the command. Signals that arrive between two waits are kept.
pub(crate) struct Interrupt {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

impl Interrupt {
    /// Listens from now on; the process does not end by itself any more.
    ///
    /// # Errors
    /// The system refuses.
    #[cfg(unix)]
    pub(crate) fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Listens from now on; the process does not end by itself any more.
    ///
    /// # Errors
    /// The system refuses.
    #[cfg(windows)]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    /// Ready when the command is to stop.
    #[cfg(unix)]
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Ready when the command is to stop.
    #[cfg(windows)]
    pub(crate) async fn wait(&mut self) {
        let _ = self.interrupt.recv().await;
    }

    /// What `coming` brings. Where that takes long, `slow` is called once.
    ///
    /// # Errors
    /// The command is to stop.
    pub(crate) async fn until_stopped<T>(
        &mut self,
        coming: impl Future<Output = T>,
        slow: impl FnOnce(),
    ) -> Result<T, Failure> {
        let mut coming = pin!(coming);
        tokio::select! {
            biased;
            here = &mut coming => return Ok(here),
            () = self.wait() => return Err(Failure::interrupted()),
            () = tokio::time::sleep(LONG) => slow(),
        }
        tokio::select! {
            here = coming => Ok(here),
            () = self.wait() => Err(Failure::interrupted()),
        }
    }
}
