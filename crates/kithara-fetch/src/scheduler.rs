//! Whose turn it is: the shell around [`Schedule`].

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kithara_net::Origin;
use tokio::sync::watch;

use crate::Priority;
use crate::schedule::{Schedule, TransferId};

/// One below all sessions of a process: it lives as long as the fetcher and its transfers.
pub(crate) struct Scheduler {
    /// Changed by transfers that come, go or pause, and by playback gates; never held while anybody is awaited.
    state: Mutex<State>,
}

struct State {
    schedule: Schedule<Option<Origin>>,
    /// Where each transfer learns whether it moves.
    signs: HashMap<TransferId, watch::Sender<bool>>,
    hungry: usize,
}

/// A transfer's place in the schedule. Dropping it leaves.
pub(crate) struct Turn {
    scheduler: Arc<Scheduler>,
    id: TransferId,
    sign: watch::Receiver<bool>,
}

/// Tells downloads to stand still: a session sets it while it has less media than it wants.
///
/// While any gate says so, no fetch of [`Priority::Download`] starts a request, and those under way pause at their next chunk.
/// Dropping the gate takes its word back.
pub struct PlaybackGate {
    scheduler: Arc<Scheduler>,
    below_goal: bool,
}

impl Scheduler {
    pub(crate) fn new(per_origin: usize) -> Self {
        let state = State { schedule: Schedule::new(per_origin), signs: HashMap::new(), hungry: 0 };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn enter(self: &Arc<Self>, origin: Option<Origin>, class: Priority) -> Turn {
        let (sender, sign) = watch::channel(false);
        let mut state = self.lock();
        let id = state.schedule.handle_enter(origin, class);
        state.signs.insert(id, sender);
        state.announce();
        drop(state);
        Turn { scheduler: Arc::clone(self), id, sign }
    }

    pub(crate) fn set_class(&self, id: TransferId, class: Priority) {
        self.change(|schedule| schedule.handle_class(id, class));
    }

    pub(crate) fn gate(self: &Arc<Self>) -> PlaybackGate {
        PlaybackGate { scheduler: Arc::clone(self), below_goal: false }
    }

    fn change(&self, change: impl FnOnce(&mut Schedule<Option<Origin>>)) {
        let mut state = self.lock();
        change(&mut state.schedule);
        state.announce();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn announce(&mut self) {
        while let Some(change) = self.schedule.poll_change() {
            if let Some(sign) = self.signs.get(&change.id) {
                sign.send_replace(change.moves);
            }
        }
    }
}

impl Turn {
    pub(crate) const fn id(&self) -> TransferId {
        self.id
    }

    /// Waits until this transfer may move. Whoever moves asks again before each chunk.
    pub(crate) async fn wait(&mut self) {
        // The sender lives until this turn is dropped, so there is no end to wait for.
        let _ = self.sign.wait_for(|moves| *moves).await;
    }

    /// Gives the turn to others while `pause` runs, for as long as it would be of no use here.
    pub(crate) async fn pass_during(&mut self, pause: impl Future<Output = ()>) {
        let passed = Passed::new(self);
        pause.await;
        drop(passed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.scheduler.lock();
        state.schedule.handle_leave(self.id);
        state.signs.remove(&self.id);
        state.announce();
    }
}

/// A turn that is given away until this is dropped, also when the wait is.
struct Passed<'a>(&'a Turn);

impl<'a> Passed<'a> {
    fn new(turn: &'a Turn) -> Self {
        turn.scheduler.change(|schedule| schedule.handle_idle(turn.id, true));
        Self(turn)
    }
}

impl Drop for Passed<'_> {
    fn drop(&mut self) {
        self.0.scheduler.change(|schedule| schedule.handle_idle(self.0.id, false));
    }
}

impl PlaybackGate {
    /// Says whether this playback has less media than it wants. A new gate says no.
    pub fn set_below_goal(&mut self, below_goal: bool) {
        if self.below_goal == below_goal {
            return;
        }
        self.below_goal = below_goal;
        let mut state = self.scheduler.lock();
        state.hungry = if below_goal { state.hungry + 1 } else { state.hungry - 1 };
        let hungry = state.hungry;
        state.schedule.handle_hungry(hungry);
        state.announce();
    }
}

impl Drop for PlaybackGate {
    fn drop(&mut self) {
        self.set_below_goal(false);
    }
}

impl fmt::Debug for PlaybackGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaybackGate").field("below_goal", &self.below_goal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("transfers", &self.lock().signs.len()).finish_non_exhaustive()
    }
}
