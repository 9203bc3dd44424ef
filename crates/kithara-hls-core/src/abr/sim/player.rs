//! The library's own adaptation as a player of simulated sessions.

use std::time::Duration;

use super::{Adaptation, Arriving, Moment};
use crate::abr::{AbrController, AbrOptions, LadderRung, Progress, Rung, Seen, ThroughputEstimator, ThroughputSample};

/// [`AbrController`] and [`ThroughputEstimator`], wired as a session wires them.
#[derive(Clone, Debug)]
pub struct Player {
    controller: AbrController,
    estimator: ThroughputEstimator,
    audio_only: bool,
    switched: Option<Duration>,
    ladder: Vec<LadderRung>,
}

impl Player {
    /// A player that follows `options`; `audio_only` as in [`Seen`].
    pub fn new(options: &AbrOptions, audio_only: bool) -> Self {
        Self {
            controller: AbrController::new(options),
            estimator: ThroughputEstimator::new(options.initial_throughput),
            audio_only,
            switched: None,
            ladder: Vec::new(),
        }
    }
}

impl Adaptation for Player {
    fn choose(&mut self, at: &Moment<'_>) -> Rung {
        if self.ladder.len() != at.ladder.len() {
            self.ladder = at.ladder.to_vec();
        }
        let decision = self.controller.decide(&Seen {
            ladder: &self.ladder,
            current: at.current,
            selected: None,
            estimate: self.estimator.estimate(),
            buffered: at.buffered,
            buffer_goal: at.buffer_goal,
            segment_duration: at.segment_duration,
            segments_left: at.segments_left,
            since_switch: self.switched.map(|switched| at.now.saturating_sub(switched)),
            audio_only: self.audio_only,
        });
        let Some(decision) = decision else { return Rung(0) };
        if decision.changed {
            self.switched = Some(at.now);
        }
        if let Some(left) = decision.left {
            left.note(&mut self.ladder);
        }
        decision.target
    }

    fn measured(&mut self, sample: &ThroughputSample) {
        self.estimator.add(sample);
    }

    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        let abandon = self.controller.progress(&Progress {
            ladder: &self.ladder,
            rung: at.rung,
            estimate: self.estimator.estimate(),
            received: at.received,
            length: Some(at.length),
            elapsed: at.elapsed,
            time_to_first_byte: Some(at.time_to_first_byte),
            buffered: at.buffered,
            segment_duration: at.segment_duration,
            abandoned: at.abandoned,
            audio_only: self.audio_only,
        })?;
        if let Some(left) = abandon.left {
            left.note(&mut self.ladder);
        }
        Some(abandon.target)
    }
}
