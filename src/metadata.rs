//! Subtitles and timed metadata on one timeline.
//!
//! A [`Metadata`] is fed with what demuxers find (cues, ID3 tags, event messages, IMSC documents) and with the date
//! ranges of playlists, and answers what happens when: [`Metadata::between`], [`Metadata::active_at`],
//! [`Metadata::crossings`]. It does no IO and keeps no clock; who has a playhead asks.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use kithara::metadata::{Metadata, TimedEvent, demux::{Container, Demuxer, DemuxOptions, Run}};
//!
//! let mut metadata = Metadata::default();
//! let mut demuxer = Demuxer::new(DemuxOptions::default());
//! demuxer.start_run(Run::new(Container::WebVtt));
//! demuxer.push(Bytes::from_static(b"WEBVTT\n\n00:01.000 --> 00:03.000\nHello\n"));
//! demuxer.end_unit();
//! while let Some(output) = demuxer.poll() {
//!     metadata.output(&output?);
//! }
//! let shown = metadata.active_at(Duration::from_secs(2));
//! assert!(matches!(&shown[0].value, TimedEvent::Cue(cue) if cue.text == "Hello"));
//! # Ok::<(), kithara::metadata::demux::DemuxError>(())
//! ```
//!
//! A [`Player`](crate::Player) gathers that of what it plays, and tells it when playback passes it:
//!
//! ```
//! use kithara::{Passing, metadata::TimedEvent};
//!
//! # async fn example(player: kithara::Player) -> Result<(), kithara::HlsError> {
//! let mut passings = player.passings();
//! while let Some(passing) = passings.next().await {
//!     let Passing::Enter(entry) = passing else { continue };
//!     match &entry.value {
//!         TimedEvent::Id3(tag) => println!("{:?}: a tag of {} bytes", entry.start, tag.len()),
//!         TimedEvent::Interstitial(interstitial) => {
//!             let Some(session) = player.session() else { continue };
//!             let list = session.assets_of(interstitial, std::time::Duration::ZERO).await?;
//!             println!("{}: {} assets, {:?}", interstitial.id, list.assets.len(), list.duration());
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```

use std::{collections::BTreeMap, num::NonZeroU32, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use kithara_hls::hls_core::{
    playlist::{DateRange, MediaPlaylist},
    time::{MediaTime, WallTime},
};
use url::Url;

pub use kithara_decode::demux;
pub use kithara_hls::hls_core::metadata::{
    Asset, AssetList, Assets, Crossing, Entry, Extent, Interstitial, InvalidInterstitial, MetadataTimeline, Occupies,
    SkipControl, TimelineStyle,
};

use demux::{
    MPEG_TIMESCALE,
    output::{Cue, MetadataKind, Output, TimedMetadata},
    track::{Codec, TrackId},
};

/// Something with a place on presentation time that is not sound or picture.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TimedEvent {
    /// A date range of a playlist.
    DateRange(Arc<DateRange>),
    /// A date range that schedules other content.
    Interstitial(Arc<Interstitial>),
    /// An ID3 tag, whole.
    Id3(Bytes),
    /// An event message of fMP4.
    Message {
        /// The scheme that gives it its meaning.
        scheme: String,
        /// The scheme's value.
        value: String,
        /// Its number within the scheme.
        id: u32,
        /// What it says.
        payload: Bytes,
    },
    /// A subtitle.
    Cue(TextCue),
    /// A document of timed text (IMSC), as it came: its own times tell what is shown when.
    Document(Bytes),
}

/// A subtitle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextCue {
    /// Its identifier; empty if it has none.
    pub id: String,
    /// Its settings as written; empty if it has none.
    pub settings: String,
    /// Its text with WebVTT markup, lines separated by LF.
    pub text: String,
}

/// What makes two events the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity {
    DateRange(Arc<str>),
    Cue { start: Duration, end: Duration, cue: TextCue },
    Message { scheme: String, value: String, id: u32, start: Duration },
    Bytes { start: Duration, bytes: Bytes },
}

/// All events of a session, in order of time.
///
/// What comes again (a cue in each segment it spans, a message that is repeated, a date range that is listed again) is
/// held once. At most as many events are held as was allowed; the earliest make room.
#[derive(Clone, Debug)]
pub struct Metadata {
    timeline: MetadataTimeline<Identity, TimedEvent>,
    /// The text tracks of the current run: ticks per second, and whether their packets are documents.
    tracks: BTreeMap<TrackId, (NonZeroU32, bool)>,
    /// Where the current unit begins, while that is known.
    unit: Option<Duration>,
}

/// Room for 20,000 events.
impl Default for Metadata {
    fn default() -> Self {
        Self::new(20_000)
    }
}

impl Metadata {
    /// An empty one that holds up to `capacity` events.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { timeline: MetadataTimeline::new(capacity), tracks: BTreeMap::new(), unit: None }
    }

    /// What comes next is of a unit that begins here. A cue that begins with its unit and repeats one that ends there
    /// continues it: live packagers cut cues at the edges of segments (RFC 8216bis section 3.1.4).
    pub fn unit(&mut self, start: Duration) {
        self.unit = Some(start);
    }

    /// Takes what a demuxer found, of which its sound and pictures are left alone.
    pub fn output(&mut self, output: &Output) {
        match output {
            Output::Tracks(tracks) => {
                self.tracks = tracks.iter().map(|it| (it.id, (it.timescale, it.codec == Codec::Ttml))).collect();
            }
            Output::Packet(packet) => {
                let Some((timescale, true)) = self.tracks.get(&packet.track).copied() else { return };
                let Some(start) = presented(packet.pts, timescale) else { return };
                let extent = extent(packet.pts, packet.duration, timescale, Extent::Open);
                let identity = Identity::Bytes { start, bytes: packet.data.clone() };
                let value = TimedEvent::Document(packet.data.clone());
                self.timeline.insert(identity, Entry { start, extent, value });
            }
            Output::Cue(cue) => self.cue(cue),
            Output::Metadata(found) => self.found(found),
            _ => {}
        }
    }

    fn cue(&mut self, cue: &Cue) {
        let timescale = self.tracks.get(&cue.track).map_or(MPEG_TIMESCALE, |(timescale, _)| *timescale);
        let (Some(start), Some(end)) = (presented(cue.start, timescale), presented(cue.end, timescale)) else { return };
        let text = TextCue { id: cue.id.clone(), settings: cue.settings.clone(), text: cue.text.clone() };
        let start = match self.unit.filter(|unit| unit.abs_diff(start) <= SAME_TIME) {
            Some(_) => self.take_continued(start, &text).unwrap_or(start),
            None => start,
        };
        let value = TimedEvent::Cue(text.clone());
        let identity = Identity::Cue { start, end, cue: text };
        self.timeline.insert(identity, Entry { start, extent: Extent::Until(end), value });
    }

    /// Takes away the cue of the same text that ends at `edge`, and tells where it began.
    fn take_continued(&mut self, edge: Duration, text: &TextCue) -> Option<Duration> {
        let before = edge.saturating_sub(SAME_TIME + SAME_TIME);
        let start = self.timeline.active_at(before).into_iter().find_map(|entry| {
            let Extent::Until(end) = entry.extent else { return None };
            let same = matches!(&entry.value, TimedEvent::Cue(cue) if cue == text);
            (same && end.abs_diff(edge) <= SAME_TIME).then_some((entry.start, end))
        });
        let (start, end) = start?;
        self.timeline.remove(&Identity::Cue { start, end, cue: text.clone() });
        Some(start)
    }

    /// Takes an ID3 tag or an event message.
    pub fn found(&mut self, found: &TimedMetadata) {
        let Some(start) = presented(found.time, found.timescale) else { return };
        let extent = extent(found.time, found.duration, found.timescale, Extent::Instant);
        let payload = found.payload.clone();
        let (identity, value) = match &found.kind {
            MetadataKind::Event { scheme, value, id } => {
                let (scheme, value, id) = (scheme.clone(), value.clone(), *id);
                (
                    Identity::Message { scheme: scheme.clone(), value: value.clone(), id, start },
                    TimedEvent::Message { scheme, value, id, payload },
                )
            }
            _ => (Identity::Bytes { start, bytes: payload.clone() }, TimedEvent::Id3(payload)),
        };
        self.timeline.insert(identity, Entry { start, extent, value });
    }

    /// Takes the date ranges of a playlist that was loaded from `base`. `place` gives the presentation time of a date
    /// (`date_map().time_at`); ranges whose date has none are left out until it has.
    ///
    /// A range that the playlist no longer lists stays as history, unless it would begin at `from` or later, the start
    /// of the first listed segment: then it was cancelled and goes.
    pub fn playlist(
        &mut self,
        playlist: &MediaPlaylist,
        base: &Url,
        from: Duration,
        place: impl Fn(WallTime) -> Option<Duration>,
    ) {
        let listed: BTreeMap<&str, &Arc<DateRange>> = playlist.date_ranges.iter().map(|it| (&*it.id, it)).collect();
        let cancelled: Vec<Identity> = self
            .timeline
            .iter()
            .filter(|(identity, entry)| match identity {
                Identity::DateRange(id) => entry.start >= from && !listed.contains_key(&**id),
                _ => false,
            })
            .map(|(identity, _)| identity.clone())
            .collect();
        for identity in cancelled {
            self.timeline.remove(&identity);
        }
        let followers = followers(&playlist.date_ranges);
        for range in &playlist.date_ranges {
            let Some(start) = range.start_date.and_then(&place) else { continue };
            let end = match range.end_on_next {
                true => followers.get(&*range.id).copied(),
                false => range.end(),
            };
            let length = end.zip(range.start_date).and_then(|(end, start)| end.checked_since(start));
            let extent = length.map_or(Extent::Open, |it| Extent::Until(start.saturating_add(it)));
            let value = match Interstitial::of(range, base) {
                Ok(interstitial) => TimedEvent::Interstitial(Arc::new(interstitial)),
                Err(_) => TimedEvent::DateRange(range.clone()),
            };
            self.timeline.insert(Identity::DateRange(range.id.clone()), Entry { start, extent, value });
        }
    }

    /// What begins within `range`, in order of time.
    pub fn between(&self, range: Range<Duration>) -> impl DoubleEndedIterator<Item = &Entry<TimedEvent>> {
        self.timeline.between(range)
    }

    /// What is active at `time`, in order of time.
    #[must_use]
    pub fn active_at(&self, time: Duration) -> Vec<&Entry<TimedEvent>> {
        self.timeline.active_at(time)
    }

    /// What a playhead that moves through `range` enters and leaves, in order of time.
    #[must_use]
    pub fn crossings(&self, range: Range<Duration>) -> Vec<Crossing<'_, TimedEvent>> {
        self.timeline.crossings(range)
    }
}

/// Two times that are the same but for rounding: cue times are milliseconds.
pub(crate) const SAME_TIME: Duration = Duration::from_millis(2);

/// Presentation time of so many ticks: at least zero; `None` when it cannot be represented.
fn presented(ticks: i64, timescale: NonZeroU32) -> Option<Duration> {
    MediaTime::from_ticks(ticks.max(0), timescale.get()).map(MediaTime::as_duration)
}

fn extent(start: i64, duration: Option<u32>, timescale: NonZeroU32, otherwise: Extent) -> Extent {
    let end = duration.and_then(|it| presented(start.saturating_add(it.into()), timescale));
    end.map_or(otherwise, Extent::Until)
}

/// Where ranges end that end where the next one of their class begins (section 4.4.5.1).
fn followers(ranges: &[Arc<DateRange>]) -> BTreeMap<&str, WallTime> {
    let mut starts: BTreeMap<&str, Vec<WallTime>> = BTreeMap::new();
    for range in ranges {
        if let (Some(class), Some(start)) = (&range.class, range.start_date) {
            starts.entry(class).or_default().push(start);
        }
    }
    starts.values_mut().for_each(|list| list.sort_unstable());
    let next = |range: &Arc<DateRange>| {
        let (list, start) = (starts.get(range.class.as_deref()?)?, range.start_date?);
        list.get(list.partition_point(|it| *it <= start)).copied()
    };
    ranges.iter().filter_map(|range| Some((&*range.id, next(range)?))).collect()
}
