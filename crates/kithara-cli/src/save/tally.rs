use kithara::{
    HlsEvent,
    event::{MediaId, Remedy},
};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{
    counted::Counted,
    failure::Failure,
    save::{progress::Progress, recording::Ended},
};

/// What the events of a session add up to.
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
    /// How it ended, where something came; `bytes` is how much.
    ///
    /// # Errors
    /// Nothing came, and nobody wanted that: an empty file is no stream.
    pub(super) fn something(&mut self, ended: Ended, bytes: u64) -> Result<Ended, Failure> {
        // An initialization section alone is nothing, either.
        let is_nothing = bytes == 0 || (self.came.segments == 0 && self.skipped > 0);
        if matches!(ended, Ended::Stopped | Ended::Unread) || !is_nothing {
            return Ok(ended);
        }
        Err(Failure::nothing("nothing was saved", self.cause.take(), self.skipped))
    }

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
            HlsEvent::Recovering { error, remedy, .. } => {
                self.refetched += u64::from(*remedy == Remedy::Refetch);
                self.cause = Some(error.clone().into());
            }
            _ => {}
        }
    }
}
