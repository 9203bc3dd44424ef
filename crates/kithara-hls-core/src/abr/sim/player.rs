//! The library's own adaptation as a player of simulated sessions.

use std::time::Duration;

use super::{Adaptation, Arriving, Moment};
use crate::abr::{AbrController, AbrOptions, Progress, Rung, Seen, ThroughputEstimator, ThroughputSample};

/// [`AbrController`] and [`ThroughputEstimator`], wired as a session wires them.
#[derive(Clone, Debug)]
pub struct Player {
    controller: AbrController,
    estimator: ThroughputEstimator,
    audio_only: bool,
    switched: Option<Duration>,
}

impl Player {
    /// A player that follows `options`; `audio_only` as in [`Seen`].
    pub fn new(options: &AbrOptions, audio_only: bool) -> Self {
        Self {
            controller: AbrController::new(options),
            estimator: ThroughputEstimator::new(options.initial_throughput),
            audio_only,
            switched: None,
        }
    }
}

impl Adaptation for Player {
    fn choose(&mut self, at: &Moment<'_>) -> Rung {
        let decision = self.controller.decide(&Seen {
            ladder: at.ladder,
            current: at.current,
            selected: None,
            estimate: self.estimator.estimate(),
            buffered: at.buffered,
            buffer_goal: at.buffer_limit,
            segment_duration: at.segment_duration,
            segments_left: u64::try_from(at.segments_left).ok(),
            since_switch: self.switched.map(|switched| at.now.saturating_sub(switched)),
            audio_only: self.audio_only,
        });
        decision.map_or(Rung(0), |decision| {
            if decision.changed {
                self.switched = Some(at.now);
            }
            decision.target
        })
    }

    fn measured(&mut self, sample: &ThroughputSample) {
        self.estimator.add(sample);
    }

    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        let abandon = self.controller.progress(&Progress {
            ladder: at.ladder,
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
        Some(abandon.target)
    }
}
