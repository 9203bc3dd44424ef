//! The controller: what is seen goes in, one decision with its reason comes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    AbrOptions, AbrStrategy, Estimate, LadderRung, Left, Rung, abandon, ladder::Choices, look_ahead::LookAhead,
    threshold::Threshold,
};

/// Everything a decision depends on besides the options.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The rungs, lowest first.
    pub ladder: &'a [LadderRung],
    /// The rung of the last segment; `None` before the first one, or if it is in no ladder any more.
    pub current: Option<Rung>,
    /// The rung the user asked for, if any.
    pub selected: Option<Rung>,
    /// What the link is expected to do, if anything is known of it.
    pub estimate: Option<Estimate>,
    /// Media ahead of the reader; the least of all tracks that play together.
    pub buffered: Duration,
    /// The most media there will ever be ahead of the reader: the buffer goal or, in a live stream, the distance
    /// to its edge if that is less.
    pub buffer_goal: Duration,
    /// How long the next segments are; the target duration if nothing better is known.
    pub segment_duration: Duration,
    /// Segments still to come, the next one included; `None` when nobody knows, as in a live stream.
    pub segments_left: Option<u64>,
    /// Time since the rung last changed; `None` if it never did.
    pub since_switch: Option<Duration>,
    /// Whether nothing but audio is played.
    pub audio_only: bool,
}

/// What is seen of a download under way.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The rungs, lowest first.
    pub ladder: &'a [LadderRung],
    /// The rung of the segment that is arriving.
    pub rung: Rung,
    /// What the link was expected to do before it.
    pub estimate: Option<Estimate>,
    /// Body bytes received so far.
    pub received: u64,
    /// Body bytes the response announced, if it did.
    pub length: Option<u64>,
    /// Time since the request.
    pub elapsed: Duration,
    /// Time from the request to the first byte; `None` while that is awaited.
    pub time_to_first_byte: Option<Duration>,
    /// Media ahead of the reader now.
    pub buffered: Duration,
    /// How long the segment is.
    pub segment_duration: Duration,
    /// How often this segment was given up already.
    pub abandoned: u32,
    /// Whether nothing but audio is played.
    pub audio_only: bool,
}

/// Why a rung was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AbrReason {
    /// The first choice of a session.
    Initial,
    /// Nothing speaks for a change.
    Hold,
    /// The link and the buffer allow more.
    Headroom,
    /// The link carries less than the present rate needs.
    Throughput,
    /// The link might carry on, but too little media is buffered to try.
    BufferLow,
    /// The reader has nothing left.
    Starved,
    /// The user or the app chose.
    Manual,
    /// A bandwidth limit of the options forbids the present rung.
    Capped,
    /// The present rung is excluded.
    Excluded,
    /// A download was given up for a lower rung.
    Abandoned,
    /// The present variant failed and another takes its place. Never the controller's own choice.
    Failover,
    /// The steering server wants another pathway. Never the controller's own choice.
    Steered,
}

/// What to play next, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbrDecision {
    /// The rung of the next segment.
    pub target: Rung,
    /// Why this one.
    pub reason: AbrReason,
    /// Whether it differs from the current one; false for the first choice.
    pub changed: bool,
    /// To be noted in the ladder, if it is there.
    pub left: Option<Left>,
}

/// A download to cut, and the rung to fetch the same segment from instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abandon {
    /// Lower than the rung that was arriving.
    pub target: Rung,
    /// To be noted in the ladder, if it is there.
    pub left: Option<Left>,
}

/// Decides which rung comes next and which download is not worth waiting for.
///
/// It keeps nothing between two calls: the same sight always gives the same answer.
#[derive(Clone, Debug)]
pub struct AbrController {
    options: AbrOptions,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    LookAhead(LookAhead),
    Threshold(Threshold),
    Fixed(f64),
}

impl AbrController {
    /// A controller that follows these options.
    pub fn new(options: &AbrOptions) -> Self {
        let options = options.sanitized();
        let rule = match options.resolved_strategy() {
            AbrStrategy::Threshold => Rule::Threshold(Threshold::new(&options)),
            AbrStrategy::Fixed(rate) => Rule::Fixed(rate.as_f64()),
            AbrStrategy::LookAhead | AbrStrategy::Auto => Rule::LookAhead(LookAhead::new(options.profile)),
        };
        Self { options, rule }
    }

    /// The rung of the next segment; `None` when there is no rung that is not excluded.
    pub fn decide(&self, seen: &Seen<'_>) -> Option<AbrDecision> {
        let choices = Choices::new(seen.ladder, &self.options)?;
        let current = seen.current.filter(|rung| rung.0 < seen.ladder.len());
        let (target, manual) = self.target(seen, &choices, current);
        let reason = match current {
            _ if manual => AbrReason::Manual,
            None => AbrReason::Initial,
            Some(current) => self.reason(seen, &choices, current, target),
        };
        let changed = current.is_some_and(|current| current != target);
        let too_much = matches!(reason, AbrReason::Throughput | AbrReason::BufferLow | AbrReason::Starved);
        let left = current.filter(|_| too_much).and_then(|rung| left(rung, seen.estimate));
        Some(AbrDecision { target, reason, changed, left })
    }

    /// Whether the download should be cut: it would end after the reader has run dry, and the same segment from a
    /// lower rung would not, or would at least end much sooner.
    pub fn progress(&self, seen: &Progress<'_>) -> Option<Abandon> {
        if !self.options.abandon || matches!(self.rule, Rule::Fixed(_)) {
            return None;
        }
        let target = abandon::better(seen, &Choices::new(seen.ladder, &self.options)?)?;
        Some(Abandon { target, left: left(seen.rung, seen.estimate) })
    }

    fn target(&self, seen: &Seen<'_>, choices: &Choices<'_>, current: Option<Rung>) -> (Rung, bool) {
        let playable = |rung: &Rung| seen.ladder.get(rung.0).is_some_and(|at| !at.excluded);
        if let Some(selected) = seen.selected.filter(playable) {
            return (selected, true);
        }
        let target = match (&self.rule, seen.estimate) {
            (Rule::Fixed(rate), _) => return (choices.highest_within(*rate), true),
            (_, None) => match current {
                Some(rung) if choices.allows(rung) => rung,
                Some(rung) => choices.highest_within(choices.rate(rung)),
                None => choices.lowest(),
            },
            (Rule::LookAhead(rule), Some(estimate)) => rule.choose(seen, choices, current, estimate),
            (Rule::Threshold(rule), Some(estimate)) => rule.choose(seen, choices, current, estimate),
        };
        (target, false)
    }

    fn reason(&self, seen: &Seen<'_>, choices: &Choices<'_>, current: Rung, target: Rung) -> AbrReason {
        let throughput = seen.estimate.map_or(0.0, |estimate| estimate.throughput.as_f64());
        match target {
            _ if target == current => AbrReason::Hold,
            _ if seen.ladder[current.0].excluded => AbrReason::Excluded,
            _ if !choices.allows(current) => AbrReason::Capped,
            _ if target > current => AbrReason::Headroom,
            _ if seen.buffered.is_zero() => AbrReason::Starved,
            _ if throughput < choices.rate(current) => AbrReason::Throughput,
            _ => AbrReason::BufferLow,
        }
    }
}

fn left(rung: Rung, estimate: Option<Estimate>) -> Option<Left> {
    estimate.map(|estimate| Left { rung, throughput: estimate.throughput })
}
