//! Violations of the playlist rules that do not stop the parser.

use std::fmt;
use std::sync::Arc;

use super::Line;

/// A place where a playlist breaks a rule, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Where.
    pub line: Line,
    /// What.
    pub rule: Rule,
    /// The value at fault, where showing it helps.
    pub found: Option<Arc<str>>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, rule, found } = self;
        write!(f, "line {line}: {}: {rule}", rule.severity())?;
        if let Some(found) = found {
            write!(f, ": {found}")?;
        }
        write!(f, " (section {})", rule.section())
    }
}

/// How bad a violation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A SHOULD, or something that older clients cannot read.
    Warning,
    /// A MUST.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

macro_rules! rules {
    ($($name:ident $severity:ident $section:literal $text:literal)*) => {
        /// A rule of RFC 8216bis (draft 22) that a playlist can break and still be used.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!($text, " (section ", $section, ").")] $name,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The section of RFC 8216bis (draft 22) that makes the rule.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// How bad it is to break it.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What is wrong, for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

rules! {
    ByteOrderMark Error "4.1" "the text begins with a byte order mark"
    InvalidUtf8 Error "4.1" "the text is not UTF-8"
    UnquotedString Error "4.2" "a string is not quoted"
    InvalidNumber Error "4.2" "a value is not the number it should be"
    AttributeTwice Error "4.2" "an attribute stands twice in one tag"
    HeaderNotFirst Error "4.4.1.1" "something stands before EXTM3U"
    MissingHeader Error "4.4.1.1" "EXTM3U is missing"
    UndefinedInValue Error "6.3.1" "the value of a variable uses a variable that is not defined yet"
    HeaderAgain Error "4.4.1.1" "EXTM3U stands again"
    UnknownVersion Error "4.4.1.2" "EXT-X-VERSION is higher than any that is defined"
    VersionTooLow Error "8" "EXT-X-VERSION is lower than this line needs"
    RemovedFromTheLanguage Warning "8" "this is no longer part of the language"
    ImportWithoutValue Error "4.4.2.3" "an imported variable is not defined by a multivariant playlist"
    QueryParameterWithoutValue Error "4.4.2.3" "the address has no value for a query parameter"
    MixedTags Error "4.4.6" "a media playlist tag in a multivariant playlist"
    LateTag Error "4.4.3" "a tag stands behind a segment that it must precede"
    NegativeSequence Error "4.4.3.2" "a sequence number is negative"
    StartWithoutOffset Error "4.4.2.2" "EXT-X-START lacks a usable TIME-OFFSET"
    MissingTargetDuration Error "4.4.3.1" "EXT-X-TARGETDURATION is missing"
    FractionalTargetDuration Error "4.4.3.1" "EXT-X-TARGETDURATION is not an integer"
    TargetDurationTooShort Error "4.4.3.1" "EXT-X-TARGETDURATION is less than a second"
    LongerThanTarget Error "4.4.3.1" "a segment is longer than the target duration"
    UnknownPlaylistType Error "4.4.3.5" "EXT-X-PLAYLIST-TYPE is neither EVENT nor VOD"
    MissingPartTarget Error "4.4.3.7" "EXT-X-PART-INF lacks PART-TARGET"
    PartWithoutPartInf Error "4.4.3.7" "EXT-X-PART without EXT-X-PART-INF"
    HoldBackTooShort Error "4.4.3.8" "HOLD-BACK is less than three target durations"
    MissingPartHoldBack Error "4.4.3.8" "EXT-X-PART-INF without PART-HOLD-BACK"
    PartHoldBackTooShort Error "4.4.3.8" "PART-HOLD-BACK is less than twice PART-TARGET"
    SkipBoundaryTooShort Error "4.4.3.8" "CAN-SKIP-UNTIL is less than six target durations"
    SkipDateRangesAlone Error "4.4.3.8" "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL"
    MissingExtinf Error "4.4.4.1" "a segment has no EXTINF"
    InvalidDuration Error "4.4.4.1" "EXTINF has no usable duration"
    RangeWithoutOffset Error "4.4.4.2" "a byte range has no offset and continues none"
    UnknownKeyMethod Error "4.4.4.4" "the METHOD of a key is not defined"
    InvalidIv Error "4.4.4.4" "the IV of a key is not up to 32 hexadecimal digits behind 0x"
    KeyWithoutUri Error "4.4.4.4" "a key has no URI"
    NoneWithAttributes Error "4.4.4.4" "a key with the method NONE has other attributes"
    IvWithoutUse Error "4.4.4.4" "a key has an IV that its method does not allow"
    LostLineEnd Error "4.1" "a tag stands behind another one in the same line"
    MapRangeWithoutOffset Error "4.4.4.5" "the BYTERANGE of EXT-X-MAP has no offset"
    EncryptedMapWithoutIv Error "4.4.4.5" "an encrypted initialization section has no IV"
    InvalidDate Error "4.4.4.6" "a date is not an ISO 8601 date and time"
    TagAfterPart Error "4.4.4.9" "a tag that applies to the segment stands behind its first EXT-X-PART"
    PartLacksAttribute Error "4.4.4.9" "EXT-X-PART lacks URI or DURATION"
    LongerThanPartTarget Error "4.4.4.9" "a part is longer than PART-TARGET"
    DateRangeWithoutId Error "4.4.5.1" "EXT-X-DATERANGE lacks ID"
    DateRangeContradiction Error "4.4.5.1" "EXT-X-DATERANGE contradicts an earlier one of the same ID"
    DateRangeWithoutStart Error "4.4.5.1" "EXT-X-DATERANGE lacks START-DATE"
    DateRangeWithoutDates Error "4.4.5.1" "EXT-X-DATERANGE without any EXT-X-PROGRAM-DATE-TIME"
    DateRangeEndsTwice Error "4.4.5.1" "END-DATE precedes START-DATE or contradicts DURATION"
    EndOnNextWithEnd Error "4.4.5.1" "END-ON-NEXT without CLASS, or with DURATION or END-DATE"
    CueBothWays Error "4.4.5.1" "CUE has both PRE and POST"
    UnusablePreloadHint Error "4.4.5.3" "EXT-X-PRELOAD-HINT lacks a known TYPE or URI"
    PreloadHintTwice Warning "6.2.6" "a second EXT-X-PRELOAD-HINT of one TYPE"
    HintAfterEnd Error "4.4.5.3" "EXT-X-PRELOAD-HINT in a playlist that has ended"
    ReportWithoutUri Error "4.4.5.4" "EXT-X-RENDITION-REPORT lacks URI"
    UnknownRenditionType Error "4.4.6.1" "EXT-X-MEDIA lacks a known TYPE"
    RenditionWithoutGroup Error "4.4.6.1" "EXT-X-MEDIA lacks GROUP-ID"
    RenditionWithoutName Error "4.4.6.1" "EXT-X-MEDIA lacks NAME"
    CaptionsWithUri Error "4.4.6.1" "closed captions have a URI"
    CaptionsWithoutInstreamId Error "4.4.6.1" "closed captions lack INSTREAM-ID"
    SubtitlesWithoutUri Error "4.4.6.2.1" "subtitles have no URI"
    ForcedWithoutSubtitles Error "4.4.6.1" "FORCED on something else than subtitles"
    AudioAttributeElsewhere Error "4.4.6.1" "CHANNELS, BIT-DEPTH or SAMPLE-RATE on something else than audio"
    DefaultNotSelected Error "4.4.6.1" "DEFAULT=YES with AUTOSELECT=NO"
    InvalidStableId Error "4.4.6.1" "a stable ID has a character that is not allowed"
    RenditionNameTwice Error "4.4.6.1.1" "two renditions of a group have the same NAME"
    TwoDefaults Error "4.4.6.1.1" "two renditions of a group are the default"
    VariantWithoutUri Error "4.4.6.2" "a variant has no URI"
    UriWithoutStream Error "4.4.6.2" "a URI without EXT-X-STREAM-INF before it"
    MissingBandwidth Error "4.4.6.2" "a variant lacks BANDWIDTH"
    MissingCodecs Warning "4.4.6.2" "a variant lacks CODECS"
    MissingScore Warning "4.4.6.2" "some variants have a SCORE and this one has none"
    UnknownGroup Error "4.4.6.2" "a variant uses a group that no EXT-X-MEDIA defines"
    CaptionsHereAndThere Error "4.4.6.2" "some variants have CLOSED-CAPTIONS=NONE and this one has not"
    SessionDataIncomplete Error "4.4.6.4" "EXT-X-SESSION-DATA lacks DATA-ID, or has not one of VALUE and URI"
    SessionDataTwice Error "4.4.6.4" "EXT-X-SESSION-DATA repeats a DATA-ID in the same language"
    SessionKeyNone Error "4.4.6.5" "EXT-X-SESSION-KEY has the method NONE"
    UnknownPathway Error "4.4.6.6" "PATHWAY-ID of EXT-X-CONTENT-STEERING is that of no variant"
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
