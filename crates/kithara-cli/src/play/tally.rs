use kithara::{
    HlsEvent, PlayerEvent, PlayerEvents,
    event::{MediaId, Remedy, WaitReason},
    sound,
};

use crate::line::Line;

/// What the events of playback add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Segments that came, from wherever.
    pub(super) segments: u64,
    /// Segments that came from the store.
    pub(super) from_store: u64,
    /// Segments that were left out.
    pub(super) skipped: u64,
    /// Deliveries that were no good and were fetched again.
    pub(super) refetched: u64,
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
            PlayerEvent::Sound(sound::Event::Damaged { packets }) => tally.damaged += packets,
            // Counts are too low then; bytes and requests are counted elsewhere.
            PlayerEvent::Missed(missed) => tracing::warn!(missed, "events were missed"),
            _ => {}
        }
    }
    tally
}

impl Tally {
    fn take(&mut self, event: &HlsEvent, line: &Line) {
        match event {
            HlsEvent::SegmentStart { variant, .. }
                if self.played.last() != Some(variant) && self.played.len() < MOST_CHANGES =>
            {
                self.played.push(*variant);
            }
            HlsEvent::SegmentComplete { cached, .. } => {
                self.segments += 1;
                self.from_store += u64::from(*cached);
            }
            HlsEvent::SegmentSkipped { variant, segment_index, start, duration, .. } => {
                self.skipped += 1;
                let (at, long) = (start.as_secs_f64(), duration.as_secs_f64());
                line.note(&format!("segment {segment_index} of {variant} is left out: {long:.3} s at {at:.3} s"));
            }
            HlsEvent::Recovering { remedy, .. } => self.refetched += u64::from(*remedy == Remedy::Refetch),
            HlsEvent::Waiting { reason: WaitReason::PlaylistNotReady, .. } => line.note("waiting for the playlist"),
            _ => {}
        }
    }
}
