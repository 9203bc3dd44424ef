//! What a session tells the rest of the process while it lives: what it plays, and whether it is short of it.

use std::time::Duration;

use kithara_fetch::{PlaybackGate, assets::Lease};
use kithara_hls_core::session::Status;

/// A session's claims on what it shares with others. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Standing {
    /// Keeps what is stored of the stream from being evicted.
    _lease: Option<Lease>,
    /// Tells downloads to stand still.
    gate: PlaybackGate,
    goal: Duration,
}

impl Standing {
    pub(crate) fn new(lease: Option<Lease>, gate: PlaybackGate, goal: Duration) -> Self {
        Self { _lease: lease, gate, goal }
    }

    /// Downloads stand still while media is on its way to a buffer below its goal, and while the session opens.
    pub(crate) fn follow(&mut self, status: &Status) {
        let is_on_its_way = status.fetches > 0 || status.window.is_none();
        self.gate.set_below_goal(is_on_its_way && status.buffered < self.goal);
    }
}
