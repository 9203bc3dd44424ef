//! Date ranges and tags this library does not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::time::WallTime;

use super::{Line, MediaSequence};

/// A date range: all EXT-X-DATERANGE tags of one ID (RFC 8216 section 4.3.2.7), consolidated.
#[derive(Clone, Debug, PartialEq)]
pub struct DateRange {
    /// ID.
    pub id: Arc<str>,
    /// CLASS.
    pub class: Option<Arc<str>>,
    /// START-DATE; `None` when a delta update carries only what is new.
    pub start_date: Option<WallTime>,
    /// END-DATE.
    pub end_date: Option<WallTime>,
    /// DURATION.
    pub duration: Option<Duration>,
    /// PLANNED-DURATION.
    pub planned_duration: Option<Duration>,
    /// END-ON-NEXT: it ends where the next range of its class starts.
    pub end_on_next: bool,
    /// CUE: triggers that do not depend on the date.
    pub cue: Cue,
    /// All other attributes: SCTE-35 commands, `X-` attributes, unknown ones.
    pub attributes: BTreeMap<Arc<str>, AttributeValue>,
    /// The line of its first tag, in the text it was parsed from: a range taken over from an earlier snapshot keeps it.
    pub line: Line,
}

impl DateRange {
    /// CLASS of the interstitials of RFC 8216bis appendix D.
    pub const INTERSTITIAL: &'static str = "com.apple.hls.interstitial";

    /// CLASS of ranges that ask to load a resource of another range early (RFC 8216bis appendix F).
    pub const PRELOAD: &'static str = "com.apple.hls.preload";

    /// When the range ends, as far as its own attributes tell.
    #[must_use]
    pub fn end(&self) -> Option<WallTime> {
        self.end_date.or_else(|| self.start_date?.checked_add(self.duration?))
    }

    /// Whether this is an interstitial (RFC 8216bis appendix D).
    #[must_use]
    pub fn is_interstitial(&self) -> bool {
        self.class.as_deref() == Some(Self::INTERSTITIAL)
    }

    /// The text of the quoted attribute `name`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(AttributeValue::Quoted(text)) => Some(text),
            _ => None,
        }
    }
}

/// The CUE attribute (RFC 8216bis section 4.4.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cue {
    /// Trigger before playback begins.
    pub pre: bool,
    /// Trigger after playback has ended.
    pub post: bool,
    /// Trigger at most once.
    pub once: bool,
}

/// An attribute as written (RFC 8216 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// A quoted string, without its quotes, variables substituted.
    Quoted(Arc<str>),
    /// Anything else: a number, a hexadecimal sequence, an enumerated string.
    Plain(Arc<str>),
}

impl AttributeValue {
    /// The text, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Quoted(text) | Self::Plain(text) => text,
        }
    }
}

/// A tag that this library does not know: kept, so that an application can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTag {
    /// The name, from the `EXT` on: `EXT-X-CUE-OUT`.
    pub name: Arc<str>,
    /// What stands behind the colon; `None` without one.
    pub value: Option<Arc<str>>,
    /// The segment that follows it, in a media playlist.
    pub before: Option<MediaSequence>,
    /// Where it stands.
    pub line: Line,
}
