//! What can be played at all: codecs, output protection, picture.

use serde::{Deserialize, Serialize};

use crate::playlist::{Codecs, HdcpLevel, Variant, VideoRange};

/// What the player and its output can do. A variant that needs more is never chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caps {
    /// Codecs that can be decoded. Default: [`CodecSupport::All`].
    pub codecs: CodecSupport,
    /// Largest picture that can be made use of, width and height. Where every variant has a larger one, the smallest is
    /// played. Default: no bound. (The bound for bit rates is [`AbrOptions::max_bandwidth`](crate::abr::AbrOptions).)
    pub resolution: Option<(u32, u32)>,
    /// Output protection that can be had. Default: [`HdcpCap::Type1`], which is all there is.
    pub hdcp: HdcpCap,
    /// Transfer characteristics that can be shown, the preferred first. All variants played are of one of them: the first
    /// that any variant has. Default: SDR, HLG, PQ.
    pub video_ranges: Vec<RangeCap>,
    /// Specifiers of REQ-VIDEO-LAYOUT that are understood. Default: `CH-MONO`.
    pub video_layouts: Vec<String>,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            codecs: CodecSupport::All,
            resolution: None,
            hdcp: HdcpCap::Type1,
            video_ranges: vec![RangeCap::Sdr, RangeCap::Hlg, RangeCap::Pq],
            video_layouts: vec!["CH-MONO".into()],
        }
    }
}

/// Which codecs can be decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecSupport {
    /// Whatever comes: the application decodes, or does not.
    #[default]
    All,
    /// These, as prefixes of RFC 6381 names that end at a dot: `mp4a.40` covers `mp4a.40.2`, `avc1` all of H.264.
    Only(Vec<String>),
    /// All but these: for a decoder that knows what it cannot do, and tries the rest.
    AllBut(Vec<String>),
    /// These only where nothing else can be played: for a decoder that then says by name what it cannot do.
    Avoid(Vec<String>),
}

impl CodecSupport {
    /// Whether `codec`, an RFC 6381 name, can be decoded; one to avoid counts as one that cannot.
    #[must_use]
    pub fn supports(&self, codec: &str) -> bool {
        let covers = |prefix: &String| {
            let head = codec.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
            head && matches!(codec.as_bytes().get(prefix.len()), None | Some(b'.'))
        };
        match self {
            Self::All => true,
            Self::Only(prefixes) => prefixes.iter().any(covers),
            Self::AllBut(prefixes) | Self::Avoid(prefixes) => !prefixes.iter().any(covers),
        }
    }
}

/// Output protection that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HdcpCap {
    /// None.
    None,
    /// HDCP of type 0.
    Type0,
    /// HDCP of type 1.
    Type1,
}

/// A VIDEO-RANGE that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeCap {
    /// SDR, which is also what a variant without VIDEO-RANGE is.
    Sdr,
    /// HLG.
    Hlg,
    /// PQ.
    Pq,
}

impl Caps {
    /// Whether a variant can be played, its picture's size and range aside. Of a player of sound only the sound counts.
    pub(super) fn allow(&self, variant: &Variant, sound_only: bool) -> bool {
        let codecs = || variant.codecs.iter().flat_map(Codecs::iter);
        if sound_only {
            let mut sounds = codecs().filter(|codec| kind_of(codec) == CodecKind::Audio).peekable();
            return sounds.peek().is_none() || sounds.any(|codec| self.codecs.supports(codec));
        }
        let hdcp = match &variant.hdcp_level {
            None | Some(HdcpLevel::None) => HdcpCap::None <= self.hdcp,
            Some(HdcpLevel::Type0) => HdcpCap::Type0 <= self.hdcp,
            Some(HdcpLevel::Type1) => HdcpCap::Type1 <= self.hdcp,
            Some(HdcpLevel::Other(_)) => false,
        };
        // REQ-VIDEO-LAYOUT lists presentations, each a slash-separated list of specifiers.
        let layouts = variant.req_video_layout.iter().flat_map(|list| list.split([',', '/'])).map(str::trim);
        let understood = |layout: &str| self.video_layouts.iter().any(|known| known == layout);
        hdcp && codecs().all(|codec| self.codecs.supports(codec))
            && layouts.filter(|layout| !layout.is_empty()).all(understood)
    }

    /// The place of a variant's VIDEO-RANGE among those that can be shown.
    pub(super) fn range_rank(&self, variant: &Variant) -> Option<usize> {
        let range = match &variant.video_range {
            None | Some(VideoRange::Sdr) => RangeCap::Sdr,
            Some(VideoRange::Hlg) => RangeCap::Hlg,
            Some(VideoRange::Pq) => RangeCap::Pq,
            Some(VideoRange::Other(_)) => return None,
        };
        self.video_ranges.iter().position(|it| *it == range)
    }

    pub(super) fn fits(&self, variant: &Variant) -> bool {
        match (self.resolution, variant.resolution) {
            (Some((width, height)), Some(picture)) => picture.width <= width && picture.height <= height,
            _ => true,
        }
    }
}

/// What a codec is for, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodecKind {
    Video,
    Audio,
    Text,
}

/// What is no picture and no text is taken for sound.
pub(super) fn kind_of(codec: &str) -> CodecKind {
    const VIDEO: [&str; 19] = [
        "avc1", "avc2", "avc3", "avc4", "hvc1", "hev1", "dvh1", "dvhe", "dva1", "dvav", "dav1", "av01", "vp08", "vp09",
        "vvc1", "vvi1", "mp4v", "mjpg", "s263",
    ];
    const TEXT: [&str; 4] = ["stpp", "wvtt", "tx3g", "sbtt"];
    let name = codec.split('.').next().unwrap_or_default();
    let is = |list: &[&str]| list.iter().any(|it| it.eq_ignore_ascii_case(name));
    match name {
        _ if is(&VIDEO) => CodecKind::Video,
        _ if is(&TEXT) => CodecKind::Text,
        _ => CodecKind::Audio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_names_that_go_on_with_a_dot() {
        let support = CodecSupport::Only(vec!["mp4a.40".into(), "flac".into()]);
        for (codec, want) in [("mp4a.40.2", true), ("MP4A.40.5", true), ("mp4a.40", true), ("mp4a.4", false)] {
            assert_eq!(support.supports(codec), want, "{codec}");
        }
        for (codec, want) in [("mp4a.404", false), ("flac", true), ("fLaC", true), ("ac-3", false), ("", false)] {
            assert_eq!(support.supports(codec), want, "{codec}");
        }
        assert!(CodecSupport::All.supports("anything"));
        let but = CodecSupport::AllBut(vec!["ac-3".into(), "mp4a.40.42".into()]);
        assert!(but.supports("mp4a.40.2") && !but.supports("AC-3") && !but.supports("mp4a.40.42"));
    }
}
