//! The adaptive view as a decoder takes it.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use kithara_demux::Container;
use kithara_hls_core::session::RunReason;
use kithara_stream::{self as stream, Run, RunId, Unit, UnitFeed};

use crate::{
    error::HlsError,
    segments::{MediaSegment, Seat, Segments},
};

/// Playback that moved less than this is not worth a word.
const TOLD_EVERY: Duration = Duration::from_millis(250);

/// The segments of a track as a [`UnitFeed`]. Given by [`HlsSession::feed`](crate::HlsSession::feed).
///
/// An error it gives has the [`HlsError`] as its source.
pub struct HlsFeed {
    seat: Arc<Seat>,
    state: State,
    run: Option<Arc<Run>>,
    /// How far playback had come when that was told last.
    told: Duration,
}

enum State {
    Idle(Segments),
    /// A segment is asked for; the stream of them comes back with it.
    Waiting(Pin<Box<dyn Future<Output = (Segments, Answer)> + Send>>),
    /// The future that had the stream of segments panicked.
    Lost,
}

type Answer = Result<Option<MediaSegment>, HlsError>;

impl HlsFeed {
    pub(crate) async fn open(segments: Segments) -> Result<Self, HlsError> {
        let seat = segments.seat();
        seat.attached().await?;
        Ok(Self { seat, state: State::Idle(segments), run: None, told: Duration::ZERO })
    }

    fn poll_segment(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut waiting = match std::mem::replace(&mut self.state, State::Lost) {
            State::Idle(mut segments) => Box::pin(async move {
                let answer = segments.next().await;
                (segments, answer)
            }),
            State::Waiting(waiting) => waiting,
            State::Lost => return Poll::Ready(Err(HlsError::Closed)),
        };
        match waiting.as_mut().poll(cx) {
            Poll::Pending => {
                self.state = State::Waiting(waiting);
                Poll::Pending
            }
            Poll::Ready((segments, answer)) => {
                self.state = State::Idle(segments);
                Poll::Ready(answer)
            }
        }
    }

    fn unit(&mut self, segment: MediaSegment) -> io::Result<Unit> {
        let id = RunId(segment.run.0);
        let run = match self.run.take().filter(|run| run.id == id) {
            Some(run) => run,
            None => Arc::new(Run {
                id,
                reason: segment.run_start.map_or(stream::RunReason::Discontinuity, reason),
                time: segment.start,
                container: container(segment.container)?,
                init: segment.init,
                codecs: self.seat.codecs_of(segment.variant),
                timestamp_offset: segment.timestamp_offset,
                discard_until: segment.discard_until,
            }),
        };
        self.run = Some(Arc::clone(&run));
        Ok(Unit { run, body: segment.body, start: segment.start, duration: segment.duration })
    }
}

impl UnitFeed for HlsFeed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Unit>>> {
        self.poll_segment(cx).map(|answer| answer?.map(|segment| self.unit(segment)).transpose())
    }

    fn seek(&mut self, time: Duration) {
        self.told = time;
        self.seat.seek(time);
    }

    fn played_to(&mut self, time: Duration) {
        if time.saturating_sub(self.told) >= TOLD_EVERY {
            self.told = time;
            self.seat.played_to(time);
        }
    }
}

fn reason(reason: RunReason) -> stream::RunReason {
    match reason {
        RunReason::Start => stream::RunReason::Start,
        RunReason::Seek => stream::RunReason::Seek,
        RunReason::Switch => stream::RunReason::Switch,
        RunReason::Init => stream::RunReason::InitSection,
        RunReason::Discontinuity => stream::RunReason::Discontinuity,
        RunReason::Cut => stream::RunReason::Cut,
        RunReason::Gap => stream::RunReason::Gap,
    }
}

fn container(container: Container) -> io::Result<stream::Container> {
    Ok(match container {
        Container::MpegTs => stream::Container::MpegTs,
        Container::Fmp4 => stream::Container::Fmp4,
        Container::Adts => stream::Container::Adts,
        Container::Mp3 => stream::Container::Mp3,
        Container::Ac3 => stream::Container::Ac3,
        Container::Eac3 => stream::Container::Eac3,
        Container::WebVtt => stream::Container::WebVtt,
        // Recognised by a demuxer that is newer than this.
        _ => return Err(io::ErrorKind::Unsupported.into()),
    })
}

impl fmt::Debug for HlsFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HlsFeed").field("run", &self.run.as_ref().map(|run| run.id)).finish_non_exhaustive()
    }
}
