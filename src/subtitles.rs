//! The subtitles of a session as timed text.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::poll_fn,
    num::NonZeroU32,
    time::Duration,
};

use kithara_hls::{
    HlsError, HlsSession, MediaSegment, Segments,
    hls_core::session::{RunId, RunReason, Track},
};
use kithara_stream::{ChunkAt, Source, StreamError, UnitBody};

use crate::metadata::{
    Entry, Extent, Metadata, SAME_TIME, TimedEvent,
    demux::{self, Deliver, DemuxError, DemuxOptions, Demuxer, Timestamp},
};

/// The chosen subtitles of a session, cue by cue, in the order of their segments: [`TimedEvent::Cue`] of WebVTT, also in
/// fMP4, and [`TimedEvent::Document`] of IMSC, as it came.
///
/// Text is loaded as fast as it is asked for: a player asks for more when playback comes near what it was told last, and
/// says with [`Subtitles::played_to`] how far it is. A seek of the session is one of its subtitles. Which rendition it is follows from
/// [`PlaybackOptions::subtitles`](crate::options::PlaybackOptions) and `HlsSession::select_subtitles`.
///
/// ```no_run
/// use kithara::{Hls, HlsParams, Subtitles, metadata::TimedEvent};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let session = Hls::session("https://example.com/master.m3u8", HlsParams::default())?;
/// let mut subtitles = Subtitles::open(&session).await?;
/// while let Some(entry) = subtitles.next().await? {
///     if let TimedEvent::Cue(cue) = &entry.value {
///         println!("{:?} {}", entry.start, cue.text);
///     }
///     subtitles.played_to(entry.start);
/// }
/// # Ok(()) }
/// ```
pub struct Subtitles {
    segments: Segments,
    demuxer: Demuxer,
    run: Option<RunId>,
    open: Option<Open>,
    /// What was read lately.
    read: Metadata,
    /// What was told lately, by its start, so that what comes again is not.
    told: BTreeMap<Duration, Vec<Entry<TimedEvent>>>,
    waiting: VecDeque<Entry<TimedEvent>>,
    /// What begins before this is not told any more, and not remembered.
    since: Duration,
}

/// A segment that is being read.
struct Open {
    body: UnitBody,
    start: Duration,
    end: Duration,
    taken: u64,
}

/// Why there is no text.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubtitlesError {
    /// The stream failed. Whether trying again helps is told by the error inside.
    #[error(transparent)]
    Hls(#[from] HlsError),
    /// A segment is not what it should be. Asked again, it goes on with the next one.
    #[error("a segment of the subtitles cannot be read")]
    Demux(#[from] DemuxError),
}

/// Cues that began earlier than this before their segment are not told.
const LOOK_BACK: Duration = Duration::from_secs(600);

impl Subtitles {
    /// The subtitles of a session, from where its playback is.
    ///
    /// # Errors
    /// The session is over.
    pub async fn open(session: &HlsSession) -> Result<Self, HlsError> {
        Ok(Self {
            segments: session.segments(Track::Subtitles).await?,
            demuxer: demuxer(),
            run: None,
            open: None,
            read: Metadata::default(),
            told: BTreeMap::new(),
            waiting: VecDeque::new(),
            since: Duration::ZERO,
        })
    }

    /// The next cue or document; `None` at the end. A cue that goes on in the next segment is told once, with its whole
    /// length. May be dropped and called again.
    ///
    /// # Errors
    /// The stream failed, or a segment cannot be read; see [`SubtitlesError`].
    pub async fn next(&mut self) -> Result<Option<Entry<TimedEvent>>, SubtitlesError> {
        loop {
            if let Some(entry) = self.waiting.pop_front() {
                return Ok(Some(entry));
            }
            if self.open.is_some() {
                self.read_on().await?;
            } else if let Some(segment) = self.segments.next().await? {
                self.enter(segment);
            } else {
                self.tell(Duration::MAX, None);
                return Ok(self.waiting.pop_front());
            }
        }
    }

    /// Goes on at `time`: what is shown from there on is told, also what was told before. Seeks of a
    /// [`Player`](crate::Player) do not move it, those of the session do.
    pub fn seek(&mut self, time: Duration) {
        self.segments.seek(time);
        (self.open, self.run, self.demuxer) = (None, None, demuxer());
        (self.read, self.told) = (Metadata::default(), BTreeMap::new());
        self.waiting.clear();
    }

    /// Playback has come this far.
    pub fn played_to(&mut self, time: Duration) {
        self.segments.played_to(time);
    }

    fn enter(&mut self, segment: MediaSegment) {
        // What is read again is told again.
        if segment.run_start == Some(RunReason::Seek) {
            (self.read, self.told) = (Metadata::default(), BTreeMap::new());
            self.waiting.clear();
        }
        // Documents by themselves have no times: each begins where its segment does.
        if self.run != Some(segment.run) || segment.container == demux::Container::Ttml {
            let mut run = demux::Run::new(segment.container);
            run.init = segment.init;
            run.offset = nanos(segment.timestamp_offset.unwrap_or(0));
            run.start = Some(nanos(i64::try_from(segment.start.as_nanos()).unwrap_or(i64::MAX)));
            self.demuxer.start_run(run);
            self.run = Some(segment.run);
        }
        self.read.unit(segment.start);
        let end = segment.start.saturating_add(segment.duration);
        self.open = Some(Open { body: segment.body, start: segment.start, end, taken: 0 });
    }

    /// Takes what there is of the open segment.
    async fn read_on(&mut self) -> Result<(), SubtitlesError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match open.body.chunk_at(open.taken) {
            Ok(ChunkAt::Bytes(bytes)) => {
                open.taken += bytes.len() as u64;
                self.demuxer.push(bytes);
                self.take()
            }
            Ok(ChunkAt::Pending) => {
                let (body, from) = (&open.body, open.taken);
                // Whatever became of the body is told when it is asked for the chunk again.
                let _ = poll_fn(|cx| body.poll_ready(cx, from..u64::MAX)).await;
                Ok(())
            }
            Ok(ChunkAt::End) => {
                self.demuxer.end_unit();
                let taken = self.take();
                if let Some(open) = self.open.take() {
                    self.tell(open.end, Some(open.start));
                }
                taken
            }
            // The next run delivers it again, or it was left by a seek.
            Err(error) if matches!(StreamError::of(&error), Some(StreamError::Cut | StreamError::Abandoned)) => {
                self.open = None;
                Ok(())
            }
            Err(error) => {
                self.open = None;
                Err(HlsError::from(error).into())
            }
        }
    }

    fn take(&mut self) -> Result<(), SubtitlesError> {
        let mut refused = None;
        while let Some(output) = self.demuxer.poll() {
            match output {
                Ok(output) => self.read.output(&output),
                Err(error) => {
                    // The next segment is read anew.
                    (self.demuxer, self.run, self.open) = (demuxer(), None, None);
                    refused = Some(error.into());
                    break;
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Puts what was read and begins before `end` in line, but for cues that may go on behind it.
    fn tell(&mut self, end: Duration, start: Option<Duration>) {
        self.since = start.map_or(self.since, |start| start.saturating_sub(LOOK_BACK));
        self.told = self.told.split_off(&self.since);
        let may_go_on = |entry: &Entry<TimedEvent>| match entry.extent {
            Extent::Until(until) => until.abs_diff(end) <= SAME_TIME,
            _ => false,
        };
        for entry in self.read.between(self.since..end).filter(|entry| !may_go_on(entry)) {
            let told = self.told.entry(entry.start).or_default();
            if !told.contains(entry) {
                told.push(entry.clone());
                self.waiting.push_back(entry.clone());
            }
        }
    }
}

fn demuxer() -> Demuxer {
    let deliver = Deliver { audio: false, video: false, text: true, metadata: false };
    Demuxer::new(DemuxOptions { deliver, ..DemuxOptions::default() })
}

fn nanos(time: i64) -> Timestamp {
    const NANOS: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("not zero");
    Timestamp::new(time, NANOS)
}

impl fmt::Debug for Subtitles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subtitles").field("run", &self.run).finish_non_exhaustive()
    }
}
