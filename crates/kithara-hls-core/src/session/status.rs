//! What a session looks like from outside, at a glance.

use std::{sync::Arc, time::Duration};

use super::{MediaId, ReaderId, Session, readers::ReaderState, units::UnitState};
use crate::{
    BitRate,
    playlist::{MultivariantPlaylist, RenditionId, RenditionKind, VariantId},
    timeline::Timeline,
};

/// A copy of what matters, made after each input.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// The variant units are planned from.
    pub variant: Option<VariantId>,
    /// All variants, in playlist order; empty until the multivariant playlist is there, or when there is none.
    pub variants: Arc<[VariantStatus]>,
    /// All audio and subtitle renditions with a playlist of their own.
    pub renditions: Arc<[RenditionStatus]>,
    /// Length of the stream; `None` while it grows or is not known.
    pub duration: Option<Duration>,
    /// Presentation times that can be sought.
    pub window: Option<(Duration, Duration)>,
    /// Complete media ahead of the reader that has least.
    pub buffered: Duration,
    /// Measured rate of the link.
    pub throughput: Option<BitRate>,
    /// Fetches under way.
    pub fetches: usize,
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
}

impl Session {
    /// A copy of what matters.
    pub fn status(&self) -> Status {
        let timeline = self.main_timeline();
        let buffered = self.readers.keys().filter_map(|id| self.level(*id)).min().unwrap_or_default();
        Status {
            variant: self.variant,
            variants: Arc::clone(&self.offered.0),
            renditions: Arc::clone(&self.offered.1),
            duration: timeline.filter(|timeline| timeline.ended()).map(Timeline::end),
            window: timeline.map(|timeline| (timeline.start(), timeline.end())),
            buffered,
            throughput: self.adaptation.estimate(),
            fetches: self.units.fetches.len(),
        }
    }

    fn main_timeline(&self) -> Option<&Timeline> {
        let read = self.readers.values().find_map(super::readers::Reader::media);
        let media = read.or(self.variant.map(MediaId::Variant))?;
        self.medias.get(&media)?.timeline.as_ref()
    }

    /// Complete media ahead of one reader.
    pub(super) fn level(&self, id: ReaderId) -> Option<Duration> {
        match &self.readers.get(&id)?.state {
            ReaderState::Adaptive(_) => Some(self.buffered(id)),
            ReaderState::Flat(flat) => {
                let media = self.medias.get(&flat.media?)?;
                let ahead = media.layout.pieces().iter().skip(flat.cursor?);
                let ready = |unit| matches!(self.units.state(unit), Some(UnitState::Ready { .. }));
                Some(ahead.take_while(|piece| ready(piece.unit)).map(|piece| piece.duration).sum())
            }
        }
    }
}

/// What a multivariant playlist offers, for the status.
pub(super) fn offered(playlist: &MultivariantPlaylist) -> (Arc<[VariantStatus]>, Arc<[RenditionStatus]>) {
    let variants = playlist.variants.iter().map(|variant| VariantStatus {
        id: variant.id,
        bandwidth: variant.bandwidth,
        codecs: variant.codecs.as_ref().map(|codecs| codecs.as_str().to_owned()),
        resolution: variant.resolution.map(|resolution| (resolution.width, resolution.height)),
    });
    let renditions = playlist.renditions.iter().filter(|rendition| rendition.uri.is_some());
    let renditions = renditions.map(|rendition| RenditionStatus {
        id: rendition.id,
        kind: rendition.kind,
        name: rendition.name.to_string(),
        language: rendition.language.as_deref().map(str::to_owned),
    });
    (variants.collect(), renditions.collect())
}
