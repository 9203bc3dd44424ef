//! Transfers counted, for whoever waits for their end.

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The transfers of one user of a fetcher: a session, a file. Clones count the same ones.
///
/// A transfer counts from where it was begun or joined with [`FetchRequest::transfers`](crate::FetchRequest) to its end, unless
/// others still read it when this user has left. [`Fetcher::settled`](crate::Fetcher::settled) waits for them.
#[derive(Clone, Debug, Default)]
pub struct Transfers(TaskTracker);

impl Transfers {
    /// Counts a transfer as long as it is held.
    pub(crate) fn token(&self) -> TaskTrackerToken {
        self.0.token()
    }

    pub(crate) async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
