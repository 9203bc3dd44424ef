use kithara::{
    HlsEvent, PlayerEvent, PlayerEvents,
    event::{MediaId, Remedy, WaitReason},
    file::FileEvent,
    sound,
};

use crate::{
    counted::Counted,
    failure::{Class, Failure},
    line::Line,
    play::performance::Ended,
};

/// What the events of playback add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Segments that came.
    pub(super) came: Counted,
    /// Segments that were left out.
    pub(super) skipped: u64,
    /// Deliveries that were no good and were fetched again.
    pub(super) refetched: u64,
    /// What went wrong last, whatever became of it.
    pub(super) cause: Option<Failure>,
    /// Packets that could not be decoded.
    pub(super) damaged: u64,
    /// What was entered, each change once.
    pub(super) played: Vec<MediaId>,
}

/// Changes of variant that are remembered.
const MOST_CHANGES: usize = 1000;

/// Listens until everything is over.
pub(super) async fn listen(mut events: PlayerEvents, line: Line) -> Tally {
    let mut tally = Tally::default();
    while let Some(event) = events.next().await {
        match event {
            PlayerEvent::Stream(event) => tally.take(&event, &line),
            PlayerEvent::File(FileEvent::Error { error, .. }) => tally.cause = Some(error.into()),
            PlayerEvent::Sound(sound::Event::Damaged { packets }) => tally.damaged += packets,
            // Counts are too low then; bytes and requests are counted elsewhere.
            PlayerEvent::Missed(missed) => tracing::warn!(missed, "events were missed"),
            _ => {}
        }
    }
    tally
}

impl Tally {
    /// How it ended, where something was played; `frames` is how much.
    ///
    /// # Errors
    /// Nothing was decoded, and nobody wanted that.
    pub(super) fn something(&mut self, ended: Ended, frames: u64) -> Result<Ended, Failure> {
        if ended != Ended::Whole || frames > 0 {
            return Ok(ended);
        }
        let undecodable = || Failure::new(Class::Media, format!("{} packets cannot be decoded", self.damaged));
        let cause = self.cause.take().or_else(|| (self.damaged > 0).then(undecodable));
        Err(Failure::nothing("nothing was played", cause, self.skipped))
    }

    fn take(&mut self, event: &HlsEvent, line: &Line) {
        match event {
            HlsEvent::SegmentStart { variant, .. }
                if self.played.last() != Some(variant) && self.played.len() < MOST_CHANGES =>
            {
                self.played.push(*variant);
            }
            HlsEvent::SegmentComplete { variant, segment_index, cached, .. } => {
                self.came.count(*variant, *segment_index, *cached);
            }
            HlsEvent::SegmentSkipped { variant, segment_index, start, duration, .. } => {
                self.skipped += 1;
                let (at, long) = (start.as_secs_f64(), duration.as_secs_f64());
                line.note(&format!("segment {segment_index} of {variant} is left out: {long:.3} s at {at:.3} s"));
            }
            HlsEvent::Recovering { error, remedy, .. } => {
                self.refetched += u64::from(*remedy == Remedy::Refetch);
                self.cause = Some(error.clone().into());
            }
            HlsEvent::Waiting { reason: WaitReason::PlaylistNotReady, .. } => line.note("waiting for the playlist"),
            _ => {}
        }
    }
}
