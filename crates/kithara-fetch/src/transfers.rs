//! Transfers counted, for whoever waits for their end.

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The transfers of one user of a fetcher: a session, a file. Clones count the same ones.
///
/// A transfer counts from where it was begun or joined with [`FetchRequest::transfers`](crate::FetchRequest) to its end, unless
/// others still read it when this user has left. [`Fetcher::settled`](crate::Fetcher::settled) waits for them.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    /// Those that may still give the store something.
    delivering: TaskTracker,
    /// Those that deliver, or wait until the store has what it was given.
    running: TaskTracker,
}

/// Counts a transfer as long as it is held.
#[derive(Debug)]
pub(crate) struct Counted {
    /// `None` once it has delivered.
    delivering: Option<TaskTrackerToken>,
    _running: TaskTrackerToken,
}

impl Transfers {
    pub(crate) fn count(&self) -> Counted {
        Counted { delivering: Some(self.delivering.token()), _running: self.running.token() }
    }

    /// Waits until nothing more will be given to the store.
    pub(crate) async fn delivered(&self) {
        self.delivering.close();
        self.delivering.wait().await;
    }

    pub(crate) async fn ended(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

impl Counted {
    /// Counts on as one that gives the store nothing more. Dropping the answer may wake who waits for that.
    pub(crate) const fn delivered(&mut self) -> Option<TaskTrackerToken> {
        self.delivering.take()
    }
}
