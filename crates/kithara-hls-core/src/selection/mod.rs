//! What is played of what a multivariant playlist offers: variants, sound and subtitles.
//!
//! Pure questions with one answer each. [`Lineup`] says which variants can be played at all and how they are grouped into
//! pathways; adaptation chooses among those of one pathway. [`choose`] picks a rendition of a group, [`continuation`] the
//! one that goes on with it in the group of another variant. A language is met as [`match_language`] says.

mod caps;
mod language;
mod lineup;
mod rendition;

use serde::{Deserialize, Serialize};

pub use self::{
    caps::{Caps, CodecSupport, HdcpCap, RangeCap},
    language::{LanguageMatch, match_language, same_language},
    lineup::{DEFAULT_PATHWAY, Lineup},
    rendition::{RenditionPreference, choose, choose_forced, continuation},
};

/// Which subtitles a reader of subtitles is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SubtitlePreference {
    /// Which ones are shown at all. Default: [`SubtitleMode::On`].
    pub mode: SubtitleMode,
    /// Which of them. Default: no wish.
    pub wanted: RenditionPreference,
}

/// Which subtitles are shown. None are loaded as long as nobody reads them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubtitleMode {
    /// None: readers wait until some are selected.
    Off,
    /// Only what is needed to understand the sound that is played (FORCED, RFC 8216 section 4.3.4.1).
    Forced,
    /// The nearest to what is wanted.
    #[default]
    On,
}
