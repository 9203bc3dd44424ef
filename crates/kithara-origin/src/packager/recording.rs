//! What an encoder would have made: real media in segments, which a packager cuts into parts.

use std::{fmt, fs, path::Path, time::Duration};

use bytes::Bytes;

use super::{
    cut::Cut,
    fragment::{Fragments, Tracks},
    transport::{self, Units},
};
use crate::{
    error::{OriginError, OriginErrorKind},
    playlist::attribute_uri,
    vod::Vod,
};

/// Clear media of one rendition, in segments of fMP4 or MPEG-TS.
#[derive(Clone)]
pub struct Recording {
    format: Format,
}

#[derive(Clone)]
enum Format {
    Fmp4 { init: Bytes, segments: Vec<Fragments> },
    Ts { segments: Vec<(Bytes, Units)> },
}

/// A recording cut into parts.
#[derive(Clone, Debug)]
pub(crate) struct Reel {
    pub(crate) init: Option<Bytes>,
    /// At least one.
    pub(crate) segments: Vec<Cut>,
    /// Ticks per second of its parts.
    pub(crate) timescale: u32,
    /// That of its segments' names.
    pub(crate) extension: &'static str,
}

impl Recording {
    /// fMP4: an initialization section and segments of one or more fragments with `tfdt`. Indexes (`sidx`) are left out of what is
    /// published, since the fragments get other sizes.
    ///
    /// # Errors
    /// [`OriginErrorKind::Media`] for what is no such media, or encrypted sample by sample.
    pub fn fmp4(
        init: impl Into<Bytes>,
        segments: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> Result<Self, OriginError> {
        let init = init.into();
        let tracks = Tracks::parse(&init).ok_or_else(|| OriginError::media("no initialization section"))?;
        let segments = segments.into_iter().map(|segment| tracks.take_apart(&segment.into()));
        let segments: Option<Vec<_>> = segments.collect();
        let segments = segments.ok_or_else(|| OriginError::media("a segment is no clear fMP4 of these tracks"))?;
        Self { format: Format::Fmp4 { init, segments } }.checked()
    }

    /// MPEG-TS segments, each with its tables. Parts begin where a picture begins, or a PES packet of sound.
    ///
    /// # Errors
    /// [`OriginErrorKind::Media`] for what is no such media.
    pub fn ts(segments: impl IntoIterator<Item = impl Into<Bytes>>) -> Result<Self, OriginError> {
        let segments = segments.into_iter().map(|segment| {
            let segment = segment.into();
            Some((segment.clone(), Units::find(&segment)?))
        });
        let segments: Option<Vec<_>> = segments.collect();
        let segments = segments.ok_or_else(|| OriginError::media("a segment is no transport stream"))?;
        Self { format: Format::Ts { segments } }.checked()
    }

    /// The clear media of a VOD playlist on disk: files beside or below it, whole, with one initialization section or none.
    ///
    /// # Errors
    /// [`OriginErrorKind::Read`] for a file that cannot be read, and as [`Recording::fmp4`] and [`Recording::ts`].
    pub fn open(playlist: impl AsRef<Path>) -> Result<Self, OriginError> {
        let playlist = playlist.as_ref();
        let text = String::from_utf8_lossy(&read(playlist)?).into_owned();
        let vod = Vod::parse(&text).ok_or_else(|| OriginError::media("no media playlist"))?;
        let beside = |uri: &str| read(&playlist.with_file_name(uri));
        if vod.segments.iter().any(|segment| segment.is_ranged) {
            return Err(OriginError::media("byte ranges"));
        }
        let state = || vod.segments.iter().flat_map(|segment| &segment.state);
        if state().any(|line| line.starts_with("#EXT-X-KEY") && !line.contains("METHOD=NONE")) {
            return Err(OriginError::media("encrypted segments"));
        }
        let maps: Vec<_> = state().filter(|line| line.starts_with("#EXT-X-MAP")).collect();
        let segments = vod.segments.iter().map(|segment| beside(&segment.uri)).collect::<Result<Vec<_>, _>>()?;
        match maps[..] {
            [] => Self::ts(segments),
            [map] => Self::fmp4(beside(attribute_uri(map).unwrap_or_default())?, segments),
            _ => Err(OriginError::media("several initialization sections")),
        }
    }

    fn checked(self) -> Result<Self, OriginError> {
        let reel = self.reel(Duration::MAX);
        let lasts = |cut: &Cut| cut.parts.iter().any(|part| part.ticks > 0);
        if reel.segments.is_empty() || !reel.segments.iter().all(lasts) {
            return Err(OriginError::media("a segment without media"));
        }
        Ok(self)
    }

    /// The recording in parts of at most `target`.
    pub(crate) fn reel(&self, target: Duration) -> Reel {
        match &self.format {
            Format::Fmp4 { init, segments } => {
                let mut sequence = 1;
                let timescale = segments.first().map_or(1, Fragments::timescale);
                let segments = segments.iter().map(|segment| segment.cut(target, &mut sequence)).collect();
                Reel { init: Some(init.clone()), segments, timescale, extension: "m4s" }
            }
            Format::Ts { segments } => {
                let starts = segments.iter().skip(1).map(|(_, units)| Some(units.start())).chain([None]);
                let cuts = segments.iter().zip(starts).map(|((bytes, units), next)| units.cut(bytes, next, target));
                Reel { init: None, segments: cuts.collect(), timescale: transport::TIMESCALE, extension: "ts" }
            }
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, count) = match &self.format {
            Format::Fmp4 { segments, .. } => ("fMP4", segments.len()),
            Format::Ts { segments } => ("MPEG-TS", segments.len()),
        };
        write!(f, "Recording({count} segments of {name})")
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, OriginError> {
    fs::read(path).map_err(|error| OriginError::io(OriginErrorKind::Read(path.into()), error))
}
