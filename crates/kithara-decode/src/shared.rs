//! What the player, the reader and the worker have in common.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::broadcast;

use crate::{
    DecodeError, Event, PcmSpec,
    decoder::Tally,
    wake::{Bell, News},
};

/// Events kept for a listener that lags.
const EVENTS: usize = 256;

/// Every field names who writes it and who reads it.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Number of the last seek asked for. Written by players, read by the reader, which drops what is older.
    epoch: AtomicU64,
    /// Written by players, read by the reader.
    paused: AtomicBool,
    /// Written by the reader when it goes, read by the worker.
    closed: AtomicBool,
    /// Nanoseconds; written by the reader, read by players.
    position: AtomicU64,
    /// Number of the seek that `position` lies behind. Written by the reader, read by players.
    arrived: AtomicU64,
    /// Where the last seek goes, in nanoseconds. Written by players before they count it, read by them and the reader.
    target: AtomicU64,
    /// Written by the reader, read by players and the worker.
    pub(crate) underruns: AtomicU64,
    /// Frames of silence that stood in for sound. Written by the reader, read by players.
    pub(crate) padded: AtomicU64,
    /// Samples in the ring; written by the worker and the reader, each as it sees it, read by players.
    pub(crate) buffered: AtomicU64,
    /// The worker waits for room in the ring. Set by the worker, cleared by the reader that rings.
    pub(crate) wants_room: AtomicBool,
    /// The worker sleeps on it.
    pub(crate) bell: Arc<Bell>,
    /// Blocking readers sleep on it.
    pub(crate) news: News,
    /// Held for a few instructions, never by a sound callback.
    inner: Mutex<Inner>,
    pub(crate) events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The last seek asked for and not begun.
    seek: Option<(u64, Duration)>,
    error: Option<DecodeError>,
    tally: Tally,
    spec: Option<PcmSpec>,
    duration: Option<Duration>,
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Shared {
    pub(crate) fn new(spec: Option<PcmSpec>) -> Self {
        Self {
            epoch: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            position: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            target: AtomicU64::new(0),
            underruns: AtomicU64::new(0),
            padded: AtomicU64::new(0),
            buffered: AtomicU64::new(0),
            wants_room: AtomicBool::new(false),
            bell: Arc::default(),
            news: News::default(),
            inner: Mutex::new(Inner { spec, ..Inner::default() }),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    pub(crate) fn ask_seek(&self, time: Duration) {
        let mut inner = self.inner();
        // Counted under the lock, so that the seek with the highest number is the one that is kept.
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        inner.seek = Some((epoch, time));
        inner.error = None;
        self.target.store(nanos(time), Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Release);
        // Under the lock as well: later it might interrupt what this very seek has begun.
        self.bell.interrupt();
        drop(inner);
        self.news.publish();
    }

    /// The seek to do now. Clears the interrupt that announced it.
    pub(crate) fn take_seek(&self) -> Option<(u64, Duration)> {
        let mut inner = self.inner();
        self.bell.clear_interrupt();
        inner.seek.take()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.news.publish();
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.interrupt();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The reader is at `position`, behind the seek of this number.
    pub(crate) fn set_position(&self, epoch: u64, position: Duration) {
        self.position.store(nanos(position), Ordering::Relaxed);
        self.arrived.store(epoch, Ordering::Release);
    }

    /// Where the reader is, or where it is sent.
    pub(crate) fn position(&self) -> Duration {
        let is_sent = self.arrived.load(Ordering::Acquire) < self.epoch();
        Duration::from_nanos(if is_sent { &self.target } else { &self.position }.load(Ordering::Acquire))
    }

    pub(crate) fn fail(&self, error: DecodeError) {
        self.inner().error = Some(error);
    }

    pub(crate) fn error(&self) -> Option<DecodeError> {
        self.inner().error.clone()
    }

    pub(crate) fn set_tally(&self, tally: Tally, duration: Option<Duration>) {
        let mut inner = self.inner();
        inner.tally = tally;
        inner.duration = duration;
    }

    pub(crate) fn tally(&self) -> Tally {
        self.inner().tally
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.inner().duration
    }

    pub(crate) fn set_spec(&self, spec: PcmSpec) {
        self.inner().spec = Some(spec);
    }

    /// Format of what comes out of the worker.
    pub(crate) fn spec(&self) -> Option<PcmSpec> {
        self.inner().spec
    }

    /// Tells whoever listens. Nobody listening is no failure.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No change is left half done, so poison carries no news.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::{
        FillState, PcmReader,
        ring::{Mark, ring},
    };

    #[test]
    fn a_sound_callback_waits_for_no_lock() {
        let (mut writer, reader) = ring(1024);
        let spec = PcmSpec { sample_rate: 48_000, channels: 2 };
        let shared = Arc::new(Shared::new(Some(spec)));
        let mut reader = PcmReader::new(reader, Arc::clone(&shared), Some(spec));
        writer.mark(Mark::Time { epoch: 0, at: Duration::ZERO });
        writer.push(&[0.5; 100], 2);
        shared.wants_room.store(true, Ordering::SeqCst);

        let (inner, news) = (shared.inner(), shared.news.hold());
        let (done, is_done) = mpsc::channel();
        let callback = thread::spawn(move || {
            let mut buffer = [0.0; 64];
            let states = [0; 3].map(|_| reader.fill(&mut buffer).state);
            done.send(states).unwrap();
            reader
        });
        let states = is_done.recv_timeout(Duration::from_secs(10)).expect("the callback waits for a lock");
        assert_eq!(states, [FillState::Playing, FillState::Starved, FillState::Starved]);
        assert!(!shared.wants_room.load(Ordering::SeqCst), "the bell was rung on the way");
        drop((inner, news));
        callback.join().unwrap();
    }
}
