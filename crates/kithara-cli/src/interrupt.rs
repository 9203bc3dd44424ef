//! Ctrl-C, being asked to end, and terminals that go away.

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
    /// `None` where somebody wants the command to outlive its terminal (`nohup`).
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
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
        let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
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
            Some(()) = hung_up(self.hangup.as_mut()) => {}
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

/// Ready when the terminal went away, if that counts.
#[cfg(unix)]
async fn hung_up(hangup: Option<&mut tokio::signal::unix::Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    }
}

/// Whether the command was started so that it does not end with its terminal. Only Linux says so.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| is_hangup_ignored(&status))
}

/// By the mask of ignored signals in the status of a process, of which SIGHUP is the first.
#[cfg(unix)]
fn is_hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_which_signals_it_ignores() {
        assert!(is_hangup_ignored("Name:\tkithara\nSigIgn:\t0000000000001001\n"));
        assert!(!is_hangup_ignored("SigIgn:\t0000000000001000\n"));
        assert!(!is_hangup_ignored("SigCgt:\t0000000000000001\n"));
    }
}
