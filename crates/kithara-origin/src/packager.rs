//! A low-latency packager: recordings published part by part, as the second edition of RFC 8216 has it.

mod boxes;
mod cut;
mod directives;
mod fragment;
mod open;
mod playlist;
mod recording;
mod resources;
mod timeline;
mod told;
mod transport;

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

pub use recording::Recording;
pub use told::Told;

use self::{
    recording::Reel,
    timeline::{Place, Timeline},
};
use crate::request::Request;

/// Publishes recordings as a low-latency live stream: parts, blocking reloads, preload hints, delta updates, rendition reports.
///
/// Time begins at the first request for one of its playlists, on the site's clock. From then on media are recorded in real time: a part
/// is published when all of it has been recorded, and its segment with its last part. What is published follows from that time alone,
/// so a stream is the same at every run, and stands still with a clock that is moved by hand.
///
/// The second edition (draft-pantos-hls-rfc8216bis) is kept where not told otherwise: segments carry `EXT-X-PROGRAM-DATE-TIME`; parts
/// stay in the playlist for three target durations and can be had for three more; a request for a part that is hinted is held until it
/// is there, and any other part that does not exist yet is 404 (sections 6.2.2 and 6.2.6); a reload is held, refused with 400 when it is
/// too far ahead and answered with 503 after three target durations (section 6.2.5.2).
///
/// Names are `init.mp4` (of lap 0, see [`Packager::renewed`]), `seg12.m4s` and `seg12.3.m4s` (part 3 of the segment with media sequence number 12) beside each playlist, so
/// each playlist needs a folder of its own. Segments are cut anew: their samples are those of the recording, their fragments are the
/// parts. Rules play their faults on these resources as on any others.
///
/// ```
/// use kithara_origin::{Packager, Recording, Site, fixtures_dir};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), kithara_origin::OriginError> {
/// let sound = Recording::open(fixtures_dir().join("fmp4_aac/index.m3u8"))?;
/// let packager = Packager::new(Duration::from_millis(200)).rendition("sound/index.m3u8", &sound);
/// let site = Site::new().low_latency("/live", &packager);
/// # let _ = site;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Packager {
    part_target: Duration,
    renditions: Vec<Arc<Rendition>>,
    /// Name and text of a playlist that lists the renditions.
    multivariant: Option<(String, String)>,
    window: usize,
    start: usize,
    is_looped: bool,
    /// Each lap has an initialization section of its own.
    renews_init: bool,
    delivery: Delivery,
    can_block: bool,
    can_skip: bool,
    cached: Option<Duration>,
    encryption: Option<Encryption>,
    stale: Vec<(Duration, Duration)>,
    gaps: BTreeSet<Place>,
    replanned: BTreeSet<Place>,
    /// Set at the first request for a playlist, read by all others. Shared by clones.
    begun: Arc<Mutex<Option<Begun>>>,
}

/// How parts are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivery {
    /// As ranges of their segment.
    by_range: bool,
    /// While they are being recorded.
    is_trickled: bool,
}

#[derive(Clone)]
struct Encryption {
    uri: String,
    key: [u8; 16],
}

/// When time began.
#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Duration,
    wall: SystemTime,
}

struct Rendition {
    /// The path of its playlist below that of the packager.
    path: String,
    reel: Reel,
    timeline: Timeline,
}

/// A part as [`Packager::schedule`] lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The media sequence number of its segment.
    pub msn: u64,
    /// Its index in the segment.
    pub part: usize,
    /// When it is published, since time began ([`Packager::begun`]).
    pub at: Duration,
    /// Where its media begin, since the beginning of the recording.
    pub start: Duration,
    /// Its place in [`Packager::content`].
    pub bytes: Range<usize>,
}

impl Packager {
    /// A packager without renditions whose parts last `part_target` at most. Media whose units are longer (packets with much sound in
    /// MPEG-TS) have longer parts. The `PART-TARGET` of a playlist is its longest part.
    pub fn new(part_target: Duration) -> Self {
        Self {
            part_target,
            renditions: Vec::new(),
            multivariant: None,
            window: 20,
            start: 3,
            is_looped: false,
            renews_init: false,
            delivery: Delivery { by_range: false, is_trickled: false },
            can_block: true,
            can_skip: true,
            cached: None,
            encryption: None,
            stale: Vec::new(),
            gaps: BTreeSet::new(),
            replanned: BTreeSet::new(),
            begun: Arc::default(),
        }
    }

    /// Publishes `recording` with a playlist at `path` (relative, such as `sound/index.m3u8`), in time with the other renditions.
    #[must_use]
    pub fn rendition(mut self, path: &str, recording: &Recording) -> Self {
        let reel = recording.reel(self.part_target);
        let timeline = Timeline::new(&reel);
        let path = path.trim_start_matches('/').to_owned();
        self.renditions.push(Arc::new(Rendition { path, reel, timeline }));
        self
    }

    /// Serves `text` at `path` (relative): the playlist that lists the renditions.
    #[must_use]
    pub fn multivariant(mut self, path: &str, text: impl Into<String>) -> Self {
        self.multivariant = Some((path.trim_start_matches('/').to_owned(), text.into()));
        self
    }

    /// Segments that a playlist lists at most; more while they last less than three target durations. Default: 20.
    #[must_use]
    pub fn window(mut self, segments: usize) -> Self {
        self.window = segments;
        self
    }

    /// Segments (of the first rendition) that are there at the beginning. Default: 3.
    #[must_use]
    pub fn start(mut self, segments: usize) -> Self {
        self.start = segments;
        self
    }

    /// Records the same again and again, without end. Timestamps go on where all renditions are fMP4 and equally long; else each lap
    /// begins with a discontinuity.
    #[must_use]
    pub fn looped(mut self) -> Self {
        self.is_looped = true;
        self
    }

    /// Gives each lap an initialization section of its own, `init1.mp4` in lap 1 and so on. It is hinted at while the segment before it
    /// is recorded, and a request for one that is hinted is held until that segment is whole.
    #[must_use]
    pub fn renewed(mut self) -> Self {
        self.renews_init = true;
        self
    }

    /// Lets parts be ranges of their segment, which grows while it is recorded. Default: each part is a resource of its own.
    ///
    /// A range that ends at 2^53-1 (RFC 8673) is answered with each part in turn until the segment is whole, an open one with what there
    /// is.
    #[must_use]
    pub fn by_range(mut self) -> Self {
        self.delivery.by_range = true;
        self
    }

    /// Sends what is being recorded as fast as it is recorded, in chunks: the hinted part, and its whole segment. Section 6.2.6 forbids
    /// that, because throughput cannot be told from it; many servers do it.
    #[must_use]
    pub fn trickled(mut self) -> Self {
        self.delivery.is_trickled = true;
        self
    }

    /// Does not hold reloads, and says so: `_HLS_msn` and `_HLS_part` are ignored.
    #[must_use]
    pub fn without_blocking(mut self) -> Self {
        self.can_block = false;
        self
    }

    /// Does not skip, and says so: `_HLS_skip` is ignored.
    #[must_use]
    pub fn without_skipping(mut self) -> Self {
        self.can_skip = false;
        self
    }

    /// Puts a cache before the playlists that keeps them for `lifetime`, and says in `Age` how old they are (whole seconds). A playlist
    /// asked for with directives is that of the moment when it came to be, unless it is older than six target durations.
    #[must_use]
    pub fn cached(mut self, lifetime: Duration) -> Self {
        self.cached = Some(lifetime).filter(|lifetime| !lifetime.is_zero());
        self
    }

    /// Encrypts segments with AES-128 under `key`, by media sequence number; initialization sections stay clear. `uri` is what playlists
    /// name, and the site must serve the key there. Parts are slices of the encrypted segment that end with a whole cipher block, so a
    /// part can be decrypted with the last block of the one before it.
    #[must_use]
    pub fn encrypted(mut self, uri: &str, key: [u8; 16]) -> Self {
        self.encryption = Some(Encryption { uri: uri.to_owned(), key });
        self
    }

    /// Publishes nothing for `time`, from `after` on, and then all that was recorded meanwhile. May be given several times.
    #[must_use]
    pub fn stale(mut self, after: Duration, time: Duration) -> Self {
        self.stale.push((after, time));
        self
    }

    /// Loses a part, of all renditions: it is listed with `GAP=YES` and is 404. A segment that has lost all parts is a gap itself; one
    /// that has lost some is whole in the end.
    #[must_use]
    pub fn gap(mut self, msn: u64, part: usize) -> Self {
        self.gaps.insert(Place { msn, part });
        self
    }

    /// Hints another resource in place of this part, which never comes: a request for it is held, and answered with 404 when the part is
    /// published.
    #[must_use]
    pub fn replanned(mut self, msn: u64, part: usize) -> Self {
        self.replanned.insert(Place { msn, part });
        self
    }

    /// When time began, on the site's clock; `None` before the first request for a playlist.
    pub fn begun(&self) -> Option<Duration> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).map(|begun| begun.at)
    }

    /// The parts of the rendition with the playlist `path` in the order in which they are published, without laps; empty when there is
    /// no such rendition.
    pub fn schedule(&self, path: &str) -> Vec<Published> {
        let Some(rendition) = self.find(path) else {
            return Vec::new();
        };
        let timeline = &rendition.timeline;
        let mut begin = rendition.reel.init.as_ref().map_or(0, Bytes::len);
        let mut start = Duration::ZERO;
        let mut schedule = Vec::new();
        for (msn, cut) in (0..).zip(&rendition.reel.segments) {
            let segment = begin;
            for (part, piece) in cut.parts.iter().enumerate() {
                let over = timeline.end(Place { msn, part });
                let (from, upto) = (begin, segment + piece.end);
                schedule.push(Published { msn, part, at: self.published(over), start, bytes: from..upto });
                (begin, start) = (upto, over);
            }
        }
        schedule
    }

    /// What a reader of the rendition with the playlist `path` reads from beginning to end (of the first lap): its initialization
    /// section and all segments, clear. Empty when there is no such rendition.
    pub fn content(&self, path: &str) -> Bytes {
        let Some(rendition) = self.find(path) else {
            return Bytes::new();
        };
        let init = rendition.reel.init.iter().map(Bytes::as_ref);
        init.chain(rendition.reel.segments.iter().map(|cut| cut.bytes.as_slice())).collect::<Vec<_>>().concat().into()
    }

    /// Everything that can be told in words, as text that can be compared.
    #[cfg(test)]
    pub(crate) fn shape(&self) -> String {
        let flags = (self.is_looped, self.renews_init, self.can_block, self.can_skip);
        let places = (&self.stale, &self.gaps, &self.replanned);
        format!(
            "{:?} {} {} {flags:?} {:?} {:?} {places:?}",
            self.part_target, self.window, self.start, self.delivery, self.cached
        )
    }

    /// How long the recording of the rendition with the playlist `path` is (one lap); zero when there is no such rendition.
    pub fn length(&self, path: &str) -> Duration {
        self.find(path).map_or(Duration::ZERO, |rendition| rendition.timeline.lap())
    }

    /// Media that are there at the beginning.
    pub fn history(&self) -> Duration {
        self.renditions.first().map_or(Duration::ZERO, |first| first.timeline.start(self.start as u64))
    }

    /// When the part that has the media at `media` is published, since time began; `None` when there is no such rendition. Laps go on.
    pub fn published_at(&self, path: &str, media: Duration) -> Option<Duration> {
        let timeline = &self.find(path)?.timeline;
        Some(self.published(timeline.end(timeline.edge(media))))
    }

    /// The media that are recorded at `date`, as playlists have it; `None` before time began, or before the beginning.
    pub fn media_at(&self, date: SystemTime) -> Option<Duration> {
        let begun = (*self.begun.lock().unwrap_or_else(PoisonError::into_inner))?.wall.checked_sub(self.history())?;
        date.duration_since(begun).ok()
    }

    fn find(&self, path: &str) -> Option<&Rendition> {
        let path = path.trim_start_matches('/');
        self.renditions.iter().find(|rendition| rendition.path == path).map(Arc::as_ref)
    }

    /// Time begins, if it has not.
    fn begin(&self, request: &Request) -> Begun {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // The wall time of a request is that of its arrival.
        let wall = request.wall.checked_add(request.now.saturating_sub(request.at)).unwrap_or(request.wall);
        *begun.get_or_insert(Begun { at: request.now, wall })
    }

    /// Media that have been published when time has lasted for `since`.
    fn recorded(&self, since: Duration) -> Duration {
        let is_frozen = |(after, time): &&(Duration, Duration)| since >= *after && since < after.saturating_add(*time);
        let shown = self.stale.iter().find(is_frozen).map_or(since, |(after, _)| *after);
        self.history().saturating_add(shown)
    }

    /// When media up to `end` are published, since time began.
    fn published(&self, end: Duration) -> Duration {
        let over = end.saturating_sub(self.history());
        let is_frozen = |(after, time): &&(Duration, Duration)| over > *after && over < after.saturating_add(*time);
        self.stale.iter().find(is_frozen).map_or(over, |(after, time)| after.saturating_add(*time))
    }

    /// Whether timestamps go on from lap to lap.
    fn is_seamless(&self) -> bool {
        let lap = self.renditions.first().map(|first| first.timeline.lap());
        self.renditions.iter().all(|each| each.reel.init.is_some() && Some(each.timeline.lap()) == lap)
    }

    /// The target duration: the longest segment of all renditions, in whole seconds.
    fn target_duration(&self) -> Duration {
        let longest = self.renditions.iter().map(|rendition| rendition.timeline.longest_segment()).max();
        Duration::from_secs((longest.unwrap_or_default().as_secs_f64().round() as u64).max(1))
    }
}

impl fmt::Debug for Packager {
    // The key is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = self.renditions.iter().map(|rendition| rendition.path.as_str()).collect();
        f.debug_struct("Packager")
            .field("part_target", &self.part_target)
            .field("renditions", &paths)
            .finish_non_exhaustive()
    }
}
