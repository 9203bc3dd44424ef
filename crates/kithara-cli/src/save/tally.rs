use kithara::{
    HlsEvent,
    event::{MediaId, Remedy},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{counted::Counted, save::progress::Progress};

/// What the events of a session add up to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Segments that came.
    pub(super) came: Counted,
    /// Segments that were left out.
    pub(super) skipped: u64,
    /// Deliveries that were no good and were fetched again.
    pub(super) refetched: u64,
    /// What the playlist lists, once it has ended.
    listed: Option<(MediaId, u64)>,
}

/// Listens until the session is over, and shows how far it is.
pub(super) async fn listen(mut events: Receiver<HlsEvent>, progress: Progress) -> Tally {
    let mut tally = Tally::default();
    loop {
        match events.recv().await {
            Ok(event) => tally.take(&event, &progress),
            // Counts are too low then; bytes and requests are counted elsewhere.
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "events were missed"),
            Err(RecvError::Closed) => return tally,
        }
    }
}

impl Tally {
    fn take(&mut self, event: &HlsEvent, progress: &Progress) {
        match event {
            HlsEvent::PlaylistUpdated { media, segments, ended, .. } => {
                self.listed = ended.then_some((*media, *segments));
            }
            HlsEvent::SegmentStart { variant, segment_index, .. } => {
                let listed = self.listed.filter(|(media, _)| media == variant);
                progress.segment(*segment_index, listed.map(|(_, count)| count));
            }
            HlsEvent::SegmentComplete { variant, segment_index, cached, .. } => {
                self.came.count(*variant, *segment_index, *cached);
            }
            HlsEvent::SegmentSkipped { variant, segment_index, start, .. } => {
                self.skipped += 1;
                let at = start.as_secs_f64();
                progress.line.note(&format!("segment {segment_index} of {variant}, at {at:.3} s, is left out"));
            }
            HlsEvent::Recovering { remedy, .. } => self.refetched += u64::from(*remedy == Remedy::Refetch),
            _ => {}
        }
    }
}
