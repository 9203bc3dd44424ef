//! What a session looks like from outside, at a glance.

use std::{sync::Arc, time::Duration};

use url::Url;

use super::{MediaId, ReaderId, Session, media::Media, readers::ReaderState, units::UnitState};
use crate::{
    BitRate,
    playlist::{
        Characteristics, MediaPlaylist, MultivariantPlaylist, Rendition, RenditionId, RenditionKind, VariantId,
    },
    selection::Lineup,
    timeline::{DateMap, Timeline},
};

/// A copy of what matters, made after each input.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The variant units are planned from.
    pub variant: Option<VariantId>,
    /// All variants, in playlist order; empty until the multivariant playlist is there, or when there is none.
    pub variants: Arc<[VariantStatus]>,
    /// All audio and subtitle renditions, of all groups.
    pub renditions: Arc<[RenditionStatus]>,
    /// The audio rendition that is selected; `None` when the variant in force has none.
    pub audio: Option<RenditionId>,
    /// The subtitle rendition that is selected.
    pub subtitles: Option<RenditionId>,
    /// The pathway variants are chosen from.
    pub pathway: Option<Arc<str>>,
    /// Length of the stream; `None` while it grows or is not known.
    pub duration: Option<Duration>,
    /// Presentation times that can be sought: what is listed, and of a live stream what the store has before that.
    pub window: Option<(Duration, Duration)>,
    /// Whether the stream still grows.
    pub is_live: bool,
    /// Which dates belong to which presentation times (EXT-X-PROGRAM-DATE-TIME); empty for a stream without dates.
    pub dates: Arc<DateMap>,
    /// Complete media ahead of the reader that has least.
    pub buffered: Duration,
    /// Measured rate of the link.
    pub throughput: Option<BitRate>,
    /// Fetches under way for readers.
    pub fetches: usize,
    /// How far behind the live edge playback was when it last said where it is; `None` for a stream that is not read by
    /// parts and has no [`target_latency`](super::LiveOptions::target_latency).
    pub latency: Option<Duration>,
    /// How far behind it should be.
    pub target_latency: Option<Duration>,
}

/// The media playlist that is read, as last loaded, and where it lies in presentation time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// What it says.
    pub playlist: Arc<MediaPlaylist>,
    /// Where it was loaded from, after redirects: the base of what it names.
    pub base: Arc<Url>,
    /// Presentation time of its first segment.
    pub start: Duration,
    /// Which dates belong to which presentation times.
    pub dates: Arc<DateMap>,
}

impl Listed {
    /// Whether it is the same snapshot in the same place.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.playlist, &other.playlist)
            && Arc::ptr_eq(&self.dates, &other.dates)
            && self.start == other.start
    }
}

/// What is known of a variant.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VariantStatus {
    /// Its name: its place in the playlist.
    pub id: VariantId,
    /// BANDWIDTH.
    pub bandwidth: BitRate,
    /// CODECS.
    pub codecs: Option<String>,
    /// RESOLUTION, width and height.
    pub resolution: Option<(u32, u32)>,
    /// The group of its audio renditions.
    pub audio_group: Option<String>,
    /// The group of its subtitle renditions.
    pub subtitle_group: Option<String>,
    /// The pathway it stands on; redundant streams stand on `.~1`, `.~2`, ... `None` for a variant that is never chosen,
    /// because the player cannot play it or because another one does the same better.
    pub pathway: Option<String>,
}

/// What is known of a rendition.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RenditionStatus {
    /// Its name: its place in the playlist.
    pub id: RenditionId,
    /// Audio or subtitles.
    pub kind: RenditionKind,
    /// NAME.
    pub name: String,
    /// LANGUAGE.
    pub language: Option<String>,
    /// ASSOC-LANGUAGE.
    pub assoc_language: Option<String>,
    /// GROUP-ID.
    pub group: String,
    /// CHARACTERISTICS.
    pub characteristics: Vec<String>,
    /// CHANNELS, as written.
    pub channels: Option<String>,
    /// DEFAULT.
    pub default: bool,
    /// AUTOSELECT.
    pub autoselect: bool,
    /// FORCED.
    pub forced: bool,
}

impl Session {
    /// A copy of what matters.
    pub fn status(&self) -> Status {
        let media = self.main_media();
        let timeline = media.and_then(|media| media.timeline.as_ref());
        let buffered = self.least_level().unwrap_or_default();
        Status {
            variant: self.variant,
            variants: Arc::clone(&self.offered.0),
            renditions: Arc::clone(&self.offered.1),
            audio: self.selecting.audio,
            subtitles: self.selecting.subtitles,
            pathway: self.steering.pathways.current().cloned(),
            duration: timeline.filter(|timeline| timeline.ended()).map(Timeline::end),
            window: media.and_then(seekable),
            is_live: timeline.is_some_and(|timeline| timeline.snapshot().is_live()),
            dates: timeline.map(|timeline| Arc::clone(timeline.dates())).unwrap_or_default(),
            buffered,
            throughput: self.adaptation.estimate(),
            fetches: self.units.fetches.len() - self.units.keeping() + self.units.hinted.len(),
            latency: self.latency.latency,
            target_latency: self.latency.target,
        }
    }

    /// The media playlist that is read; `None` until it is there.
    #[must_use]
    pub fn listed(&self) -> Option<Listed> {
        let media = self.main_media()?;
        let timeline = media.timeline.as_ref()?;
        Some(Listed {
            playlist: Arc::clone(timeline.snapshot()),
            base: Arc::clone(media.base.as_ref()?),
            start: timeline.start(),
            dates: Arc::clone(timeline.dates()),
        })
    }

    fn main_media(&self) -> Option<&Media> {
        let read = self.readers.values().find_map(super::readers::Reader::media);
        self.medias.get(&read.or(self.variant.map(MediaId::Variant))?)
    }

    /// Complete media ahead of the player that has least.
    pub(super) fn least_level(&self) -> Option<Duration> {
        let players = self.readers.iter().filter(|(_, reader)| reader.plays());
        players.filter_map(|(id, _)| self.level(*id)).min()
    }

    /// Complete media ahead of one reader.
    pub(super) fn level(&self, id: ReaderId) -> Option<Duration> {
        match &self.readers.get(&id)?.state {
            ReaderState::Adaptive(_) => Some(self.buffered(id)),
            ReaderState::Flat(flat) => {
                let media = self.medias.get(&flat.media?)?;
                let ahead = media.layout.from(flat.cursor?).map(|(_, piece)| piece);
                let ready = |unit| matches!(self.units.state(unit), Some(UnitState::Ready { .. }));
                Some(ahead.take_while(|piece| ready(piece.unit)).map(|piece| piece.duration).sum())
            }
        }
    }
}

/// What is listed, and what the store has before that without a hole.
fn seekable(media: &Media) -> Option<(Duration, Duration)> {
    let timeline = media.timeline.as_ref()?;
    Some((media.kept.reach().unwrap_or(timeline.start()).min(timeline.start()), timeline.end()))
}

/// What a multivariant playlist offers, for the status.
pub(super) fn offered(
    playlist: &MultivariantPlaylist,
    lineup: &Lineup,
) -> (Arc<[VariantStatus]>, Arc<[RenditionStatus]>) {
    let owned = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let variants = playlist.variants.iter().map(|variant| VariantStatus {
        id: variant.id,
        bandwidth: variant.bandwidth,
        codecs: variant.codecs.as_ref().map(|codecs| codecs.as_str().to_owned()),
        resolution: variant.resolution.map(|resolution| (resolution.width, resolution.height)),
        audio_group: owned(&variant.audio),
        subtitle_group: owned(&variant.subtitles),
        pathway: lineup.pathway_of(variant.id).map(ToString::to_string),
    });
    let selectable = |it: &&Rendition| match it.kind {
        RenditionKind::Audio => true,
        RenditionKind::Subtitles => it.uri.is_some(),
        RenditionKind::Video | RenditionKind::ClosedCaptions => false,
    };
    let renditions = playlist.renditions.iter().filter(selectable).map(|rendition| RenditionStatus {
        id: rendition.id,
        kind: rendition.kind,
        name: rendition.name.to_string(),
        language: owned(&rendition.language),
        assoc_language: owned(&rendition.assoc_language),
        group: rendition.group_id.to_string(),
        characteristics: rendition.characteristics.iter().flat_map(Characteristics::iter).map(str::to_owned).collect(),
        channels: rendition.channels.as_ref().map(|channels| channels.as_str().to_owned()),
        default: rendition.default,
        autoselect: rendition.autoselect,
        forced: rendition.forced,
    });
    (variants.collect(), renditions.collect())
}
