//! The adaptive view: units in presentation order, from whatever variant suits.

use std::{
    fmt,
    future::poll_fn,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use kithara_demux::{Container, FirstTimestamp, first_timestamp};
use kithara_hls_core::{
    playlist::{DiscontinuitySequence, MediaSequence},
    session::{Demand, Entry, MediaId, ReaderId, RunId, RunReason, Track, UnitKey, View},
    time::{MediaTime, WallTime},
    timeline::TimestampMap,
};
use kithara_stream::{ChunkAt, Source, StreamError, UnitBody};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{driver::Order, error::HlsError, session::Shared};

/// First bytes of a unit in which its first timestamp is looked for.
const TIMESTAMP_WITHIN: usize = 256 << 10;

/// How long subtitles wait for the media time of what is played.
const TEXT_WAITS: Duration = Duration::from_secs(10);

const NANOS: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("a billion is not zero");

/// What the driver hands to a reader of units, and how often that reader had sought by then.
#[derive(Clone)]
pub(crate) struct Handed {
    pub(crate) seek: u64,
    pub(crate) item: Item,
}

#[derive(Clone)]
pub(crate) enum Item {
    Unit { entry: Box<Entry>, init: Option<UnitBody>, body: UnitBody, container: watch::Receiver<Option<Container>> },
    End,
    Failed(HlsError),
}

/// A media segment on its way to a demuxer.
#[derive(Clone)]
#[non_exhaustive]
pub struct MediaSegment {
    /// The track it belongs to.
    pub track: Track,
    /// The variant or rendition it comes from.
    pub variant: MediaId,
    /// Its media sequence number.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number.
    pub dsn: DiscontinuitySequence,
    /// The run it belongs to: segments of one run are read by one demuxer as one file.
    pub run: RunId,
    /// Set on the first segment of a run: why it begins.
    pub run_start: Option<RunReason>,
    /// What is presented before this time was presented by the run before, or was not asked for.
    pub discard_until: Option<Duration>,
    /// Its media initialization section, decrypted; `None` where the container needs none.
    pub init: Option<Bytes>,
    /// Its bytes, decrypted, readable while they arrive.
    pub body: UnitBody,
    /// What it is, by its first bytes.
    pub container: Container,
    /// Presentation time of its start.
    pub start: Duration,
    /// Its duration, by the playlist; of a segment that is still being made, that of the one before it.
    pub duration: Duration,
    /// Wall-clock time of its start, where the playlist states it.
    pub program_date_time: Option<WallTime>,
    /// Presentation time minus media time, in nanoseconds; `None` where the media has no timestamps.
    pub timestamp_offset: Option<i64>,
}

impl fmt::Debug for MediaSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSegment")
            .field("variant", &self.variant)
            .field("msn", &self.msn)
            .field("run", &self.run)
            .field("run_start", &self.run_start)
            .field("container", &self.container)
            .field("start", &self.start)
            .field("duration", &self.duration)
            .finish_non_exhaustive()
    }
}

/// The segments of a track, in presentation order, from the variant that suits at each time.
///
/// Handing over a segment does not wait for its end: its body grows while it is read. How far playback has come is told
/// with [`Segments::played_to`]; without it a segment counts as played when the next one is asked for.
pub struct Segments {
    seat: Arc<Seat>,
    items: mpsc::Receiver<Handed>,
    timestamps: watch::Receiver<TimestampMap>,
    /// The initialization section of the run, once it is whole.
    init: Option<(UnitKey, Bytes)>,
    /// Handed over, and not given on yet.
    held: Option<Handed>,
    asked: bool,
}

/// A place among the session's readers, given back on drop.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    reader: ReaderId,
    /// How often the reader has sought, or was moved by a seek of the session. Counted by whoever seeks, read by the one
    /// that takes segments.
    seeks: Arc<AtomicU64>,
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Segments").field(&self.seat.reader).finish()
    }
}

impl Segments {
    pub(crate) async fn open(shared: Arc<Shared>, track: Track, start: Option<Duration>) -> Result<Self, HlsError> {
        Self::open_view(shared, track, View::Adaptive, start).await
    }

    /// The segment of `track` that holds `time`, when it is whole.
    pub(crate) async fn single(
        shared: Arc<Shared>,
        track: Track,
        time: Duration,
    ) -> Result<Option<MediaSegment>, HlsError> {
        let mut segments = Self::open_view(shared, track, View::Single, Some(time)).await?;
        loop {
            let Some(segment) = segments.next().await? else { return Ok(None) };
            match poll_fn(|cx| segment.body.poll_len(cx)).await {
                Ok(_) => return Ok(Some(segment)),
                // It comes again, from elsewhere.
                Err(error) if StreamError::of(&error) == Some(StreamError::Cut) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn open_view(
        shared: Arc<Shared>,
        track: Track,
        view: View,
        start: Option<Duration>,
    ) -> Result<Self, HlsError> {
        // One unit is asked for at a time; an end or an error may follow it.
        let (sender, items) = mpsc::channel(4);
        let reader = shared.shelf.register(Demand::Open { view, track });
        let timestamps = shared.timestamps.clone();
        let seat = Arc::new(Seat { shared, reader, seeks: Arc::default() });
        if let Some(start) = start {
            seat.seek(start);
        }
        // A look at one segment stays where it is.
        let seeks = (view != View::Single).then(|| Arc::clone(&seat.seeks));
        seat.shared.order(Order::Feed { reader, items: sender, seeks }).await?;
        Ok(Self { seat, items, timestamps, init: None, held: None, asked: false })
    }

    pub(crate) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// The next segment, or `None` at the end. May be dropped and called again; nothing is lost.
    ///
    /// # Errors
    /// The stream cannot go on.
    pub async fn next(&mut self) -> Result<Option<MediaSegment>, HlsError> {
        loop {
            let Handed { seek, item } = self.handed().await?;
            let segment = match item {
                _ if seek != self.seat.seeks() => Ok(None),
                Item::Unit { entry, init, body, container } => self.segment(*entry, init, body, container).await,
                Item::End => {
                    self.held = None;
                    return Ok(None);
                }
                Item::Failed(error) => Err(error),
            };
            self.held = None;
            // What became of a segment that was left by a seek meanwhile concerns nobody.
            if seek == self.seat.seeks()
                && let Some(segment) = segment?
            {
                return Ok(Some(segment));
            }
            // Cut before anything was known of it: the same time comes again in another run.
        }
    }

    /// Goes on at `time`: the next segment is the one that holds it, and begins a run. What was handed over before and is
    /// still being read may end with an error.
    pub fn seek(&self, time: Duration) {
        self.seat.seek(time);
    }

    /// Tells how far playback has come, so that the buffer is measured from there.
    pub fn played_to(&self, at: Duration) {
        self.seat.played_to(at);
    }

    /// What comes next, from the driver or kept from a call that was dropped.
    async fn handed(&mut self) -> Result<Handed, HlsError> {
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        if !self.asked {
            self.asked = true;
            self.seat.shared.shelf.say(self.seat.reader, Demand::Next);
        }
        let Some(handed) = self.items.recv().await else {
            return Err(self.over());
        };
        self.asked = false;
        self.held = Some(handed.clone());
        Ok(handed)
    }

    async fn segment(
        &mut self,
        entry: Entry,
        init: Option<UnitBody>,
        body: UnitBody,
        mut container: watch::Receiver<Option<Container>>,
    ) -> Result<Option<MediaSegment>, HlsError> {
        let init = match (entry.init, init) {
            (Some(name), Some(init)) => Some(self.whole_init(name, &init).await?),
            _ => None,
        };
        if let Err(error) = first_byte(&body).await {
            return if StreamError::of(&error) == Some(StreamError::Cut) { Ok(None) } else { Err(error.into()) };
        }
        let container = container.wait_for(Option::is_some).await.ok().and_then(|container| *container);
        let Some(container) = container else { return Err(self.over()) };
        let timestamp_offset = self.timestamp_offset(&entry, container, init.as_deref(), &body).await?;
        Ok(Some(MediaSegment {
            track: entry.track,
            variant: entry.unit.media,
            msn: entry.msn,
            dsn: entry.dsn,
            run: entry.run,
            run_start: entry.run_start.as_ref().map(|start| start.reason),
            discard_until: entry.run_start.map(|start| start.discard_until),
            init,
            body,
            container,
            start: entry.start,
            duration: entry.duration,
            program_date_time: entry.program_date_time,
            timestamp_offset,
        }))
    }

    async fn whole_init(&mut self, name: UnitKey, body: &UnitBody) -> Result<Bytes, HlsError> {
        if let Some((known, bytes)) = &self.init
            && *known == name
        {
            return Ok(bytes.clone());
        }
        poll_fn(|cx| body.poll_len(cx)).await?;
        let bytes = arrived(body, usize::MAX)?;
        self.init = Some((name, bytes.clone()));
        Ok(bytes)
    }

    /// The offset of the segment's discontinuity sequence, found by whoever comes to it first.
    async fn timestamp_offset(
        &mut self,
        entry: &Entry,
        container: Container,
        init: Option<&[u8]>,
        body: &UnitBody,
    ) -> Result<Option<i64>, HlsError> {
        if let Some(offset) = self.timestamps.borrow().get(entry.dsn) {
            return Ok(Some(offset));
        }
        let Some(time) = first_media_time(container, init, body).await? else { return Ok(None) };
        let (done, told) = oneshot::channel();
        let (unit, dsn, start) = (entry.unit, entry.dsn, entry.start);
        self.seat.shared.order(Order::MediaTime { unit, dsn, start, time, done }).await?;
        told.await.map_err(|_| self.over())?;
        if let Some(offset) = self.timestamps.borrow().get(dsn) {
            return Ok(Some(offset));
        }
        if let Some(error) = self.seat.shared.shelf.over() {
            return Err(error);
        }
        // Text waits for the tracks beside it, which know where the media lies, and may not have any times themselves.
        let shared = &self.seat.shared;
        match tokio::time::timeout(TEXT_WAITS, self.timestamps.wait_for(|map| map.get(dsn).is_some())).await {
            Ok(map) => Ok(map.map_err(|_| shared.over())?.get(dsn)),
            Err(_) => Ok(None),
        }
    }

    fn over(&self) -> HlsError {
        self.seat.shared.over()
    }
}

impl Seat {
    pub(crate) fn seek(&self, at: Duration) {
        let number = self.seeks.fetch_add(1, Ordering::AcqRel) + 1;
        self.shared.shelf.say(self.reader, Demand::Seek { at, number });
    }

    pub(crate) fn played_to(&self, at: Duration) {
        self.shared.shelf.say(self.reader, Demand::Position { at });
    }

    /// The codecs of a variant, as the playlist declares them.
    pub(crate) fn codecs_of(&self, media: MediaId) -> Option<Arc<str>> {
        let MediaId::Variant(id) = media else { return None };
        let status = self.shared.status.borrow();
        status.variants.iter().find(|variant| variant.id == id)?.codecs.as_deref().map(Arc::from)
    }

    /// Waits until the reader has a stream whose playlist is there.
    pub(crate) async fn attached(&self) -> Result<MediaId, HlsError> {
        poll_fn(|cx| self.shared.shelf.poll_attached(self.reader, cx)).await
    }

    fn seeks(&self) -> u64 {
        self.seeks.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.shelf.unregister(self.reader);
    }
}

async fn first_byte(body: &UnitBody) -> std::io::Result<()> {
    poll_fn(|cx| body.poll_ready(cx, 0..1)).await?;
    match body.chunk_at(0) {
        // It was handed over because it had failed before.
        Err(error) if StreamError::of(&error) == Some(StreamError::Released) => {
            let ended = poll_fn(|cx| Poll::Ready(body.poll_len(cx))).await;
            Err(if let Poll::Ready(Err(why)) = ended { why } else { error })
        }
        first => first.map(|_| ()),
    }
}

async fn first_media_time(
    container: Container,
    init: Option<&[u8]>,
    body: &UnitBody,
) -> Result<Option<MediaTime>, HlsError> {
    loop {
        let prefix = arrived(body, TIMESTAMP_WITHIN)?;
        match first_timestamp(container, init, &prefix) {
            FirstTimestamp::At(timestamp) => return Ok(Some(MediaTime::from_nanos(timestamp.rescale(NANOS)))),
            FirstTimestamp::None => return Ok(None),
            FirstTimestamp::NeedMore if body.is_finished() || prefix.len() >= TIMESTAMP_WITHIN => return Ok(None),
            FirstTimestamp::NeedMore => {}
        }
        let from = prefix.len() as u64;
        poll_fn(|cx| body.poll_ready(cx, from..from + 1)).await?;
        // A body that ended early has nothing there but the reason.
        body.chunk_at(from)?;
    }
}

/// What has arrived of a body, at most `limit` bytes.
fn arrived(body: &UnitBody, limit: usize) -> Result<Bytes, HlsError> {
    let mut all = BytesMut::new();
    while all.len() < limit {
        match body.chunk_at(all.len() as u64)? {
            ChunkAt::Bytes(bytes) if all.is_empty() && bytes.len() as u64 == body.len() => return Ok(bytes),
            ChunkAt::Bytes(bytes) => all.extend_from_slice(&bytes),
            ChunkAt::Pending | ChunkAt::End => break,
        }
    }
    Ok(all.freeze())
}
