//! Violations of the playlist rules that do not stop the parser.
//!
//! The parser notes what it sees on its way. The rest takes a closer look, which playing does not need: at the letters of
//! the text ([`lint_text`]), at a snapshot as a whole ([`MediaPlaylist::lint`], [`MultivariantPlaylist::lint`]), at the
//! playlists of one presentation ([`lint_presentation`]), and at two snapshots of one playlist ([`lint_update`]).

use std::fmt;
use std::sync::Arc;

use super::{Line, MediaPlaylist, MultivariantPlaylist};

mod media;
mod multivariant;
mod presentation;
mod table;
mod text;
mod update;

pub use presentation::{Member, lint_presentation};
pub use text::lint_text;
pub use update::lint_update;

impl MediaPlaylist {
    /// Where the playlist breaks the rules: what the parser noticed, and what a closer look shows, in order of lines.
    ///
    /// What only the text shows is found by [`lint_text`], what other playlists show by [`lint_presentation`] and
    /// [`lint_update`]. Not found is what only media or the network show, and whether the text is normalized.
    #[must_use]
    pub fn lint(&self) -> Vec<Violation> {
        sorted(self.violations.iter().cloned().chain(media::lint(self)).collect())
    }
}

impl MultivariantPlaylist {
    /// Where the playlist breaks the rules: what the parser noticed, and what a closer look shows, in order of lines.
    #[must_use]
    pub fn lint(&self) -> Vec<Violation> {
        sorted(self.violations.iter().cloned().chain(multivariant::lint(self)).collect())
    }
}

/// Violations in order of lines, each once.
fn sorted(mut violations: Vec<Violation>) -> Vec<Violation> {
    violations.sort_by_key(|it| (it.line.0, it.rule));
    violations.dedup_by_key(|it| (it.line.0, it.rule));
    violations
}

/// Violations as they are found; beyond a thousand they are dropped.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, right: bool, line: Line, rule: Rule) {
        if !right && self.0.len() < MAX_VIOLATIONS {
            self.0.push(Violation { line, rule, found: None });
        }
    }

    /// A violation and the name of what is at fault; never a value that may be a secret.
    fn named(&mut self, right: bool, line: Line, rule: Rule, name: &str) {
        if !right && self.0.len() < MAX_VIOLATIONS {
            let end = name.char_indices().nth(MAX_NAME).map_or(name.len(), |(end, _)| end);
            self.0.push(Violation { line, rule, found: Some(name[..end].into()) });
        }
    }
}

const MAX_VIOLATIONS: usize = 1_000;
const MAX_NAME: usize = 40;

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
    LineEnd Error "4.1" "lines end with a carriage return alone"
    ControlCharacter Error "4.1" "a control character"
    Whitespace Error "4.1" "whitespace where none is allowed"
    InvalidNumber Error "4.2" "a value is not the number it should be"
    AttributeTwice Error "4.2" "an attribute stands twice in one tag"
    AttributeWithoutValue Error "4.2" "an attribute without a value"
    AttributeName Error "4.2" "the name of an attribute has a character that is not allowed"
    QuotedValue Error "4.2" "a value is quoted that must not be"
    EmptyString Error "4.2" "a string is empty"
    UnknownEnumerated Error "6.3.1" "an enumerated string that is not defined"
    UnknownAttribute Warning "6.3.1" "an attribute that is not defined"
    UnknownRequirement Warning "6.3.1" "the tag is ignored: it has an attribute that must be understood and is not"
    MissingAttribute Error "4.4" "a required attribute is missing"
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
    ImportInMultivariant Error "4.4.2.3" "a multivariant playlist imports a variable"
    StartOutside Warning "4.4.2.2" "TIME-OFFSET reaches beyond the playlist"
    StartNearTheEnd Warning "4.4.2.2" "TIME-OFFSET is within three target durations of the end of a live playlist"
    StartTwice Warning "4.4.2.2" "EXT-X-START stands in the multivariant playlist too"
    StartsDiffer Error "4.4.2.2" "EXT-X-START differs from that of the multivariant playlist"
    IndependentTwice Warning "4.4.2.1" "EXT-X-INDEPENDENT-SEGMENTS stands in the multivariant playlist too"
    StartWithoutOffset Error "4.4.2.2" "EXT-X-START lacks a usable TIME-OFFSET"
    MissingTargetDuration Error "4.4.3.1" "EXT-X-TARGETDURATION is missing"
    FractionalTargetDuration Error "4.4.3.1" "EXT-X-TARGETDURATION is not an integer"
    TargetDurationTooShort Error "4.4.3.1" "EXT-X-TARGETDURATION is less than a second"
    LongerThanTarget Error "4.4.3.1" "a segment is longer than the target duration"
    UnknownPlaylistType Error "4.4.3.5" "EXT-X-PLAYLIST-TYPE is neither EVENT nor VOD"
    EndlessVod Error "6.2.1" "a playlist of the type VOD has no EXT-X-ENDLIST"
    LiveTooShort Error "6.2.2" "a live playlist has lost segments and is shorter than three target durations"
    MissingPartTarget Error "4.4.3.7" "EXT-X-PART-INF lacks PART-TARGET"
    PartWithoutPartInf Error "4.4.3.7" "EXT-X-PART without EXT-X-PART-INF"
    HoldBackTooShort Error "4.4.3.8" "HOLD-BACK is less than three target durations"
    PartHoldBackShort Warning "4.4.3.8" "PART-HOLD-BACK is less than three times PART-TARGET"
    MissingPartHoldBack Error "4.4.3.8" "EXT-X-PART-INF without PART-HOLD-BACK"
    PartHoldBackTooShort Error "4.4.3.8" "PART-HOLD-BACK is less than twice PART-TARGET"
    SkipBoundaryTooShort Error "4.4.3.8" "CAN-SKIP-UNTIL is less than six target durations"
    SkipDateRangesAlone Error "4.4.3.8" "CAN-SKIP-DATERANGES without CAN-SKIP-UNTIL"
    MissingExtinf Error "4.4.4.1" "a segment has no EXTINF"
    ExtinfWithoutComma Error "4.4.4.1" "EXTINF has no comma behind its duration"
    InvalidDuration Error "4.4.4.1" "EXTINF has no usable duration"
    RangeWithoutOffset Error "4.4.4.2" "a byte range has no offset and continues none"
    RangeOfAnother Error "4.4.4.2" "a byte range without offset continues that of another resource"
    UnknownKeyMethod Error "4.4.4.4" "the METHOD of a key is not defined"
    MethodsDiffer Error "6.2.3" "keys of one segment have different methods"
    InvalidIv Error "4.4.4.4" "the IV of a key is not up to 32 hexadecimal digits behind 0x"
    KeyWithoutUri Error "4.4.4.4" "a key has no URI"
    NoneWithAttributes Error "4.4.4.4" "a key with the method NONE has other attributes"
    IvWithoutUse Error "4.4.4.4" "a key has an IV that its method does not allow"
    LostLineEnd Error "4.1" "a tag stands behind another one in the same line"
    MapRangeWithoutOffset Error "4.4.4.5" "the BYTERANGE of EXT-X-MAP has no offset"
    EncryptedMapWithoutIv Error "4.4.4.5" "an encrypted initialization section has no IV"
    InvalidDate Error "4.4.4.6" "a date is not an ISO 8601 date and time"
    VagueDate Warning "4.4.4.6" "a date lacks its time zone or fractions of a second"
    DatesOverlap Error "6.2.1" "a date lies a second or more before the end of the segment before"
    DiscontinuityWithoutDate Warning "6.2.1" "a segment behind a discontinuity has no date, others have"
    TagAfterPart Error "4.4.4.9" "a tag that applies to the segment stands behind its first EXT-X-PART"
    PartTooShort Error "4.4.4.9" "a part is shorter than 85 % of PART-TARGET"
    PartsTooOld Warning "6.2.2" "parts are listed further than three target durations from the end"
    PartsOfIframes Warning "4.4.4.9" "a playlist of I-frames has parts"
    PartLacksAttribute Error "4.4.4.9" "EXT-X-PART lacks URI or DURATION"
    LongerThanPartTarget Error "4.4.4.9" "a part is longer than PART-TARGET"
    DateRangeWithoutId Error "4.4.5.1" "EXT-X-DATERANGE lacks ID"
    DateRangeContradiction Error "4.4.5.1" "EXT-X-DATERANGE contradicts an earlier one of the same ID"
    InvalidClientAttribute Error "4.4.5.1" "an X- attribute is neither a string, a hexadecimal sequence nor a number"
    InvalidScte35 Error "4.4.5.1.1" "an SCTE35- attribute is no hexadecimal sequence"
    OverlappingRanges Error "4.4.5.1" "a range overlaps another one of its class, which has END-ON-NEXT"
    InterstitialAssets Error "D.2" "an interstitial has not exactly one of X-ASSET-URI and X-ASSET-LIST"
    RelativeAsset Error "D.2" "X-ASSET-URI is not absolute"
    InvalidSkipLabel Error "D.3" "X-SKIP-CONTROL-LABEL-ID has a character that is not allowed"
    IncompletePreload Error "F" "a preload range lacks X-URI, X-TARGET-ID, X-TARGET-CLASS or its end, or has CUE or END-ON-NEXT"
    SkipNotOffered Error "6.2.5.1" "EXT-X-SKIP in a playlist that has ended or lacks CAN-SKIP-UNTIL"
    DateRangeWithoutStart Error "4.4.5.1" "EXT-X-DATERANGE lacks START-DATE"
    DateRangeWithoutDates Error "4.4.5.1" "EXT-X-DATERANGE without any EXT-X-PROGRAM-DATE-TIME"
    DateRangeEndsTwice Error "4.4.5.1" "END-DATE precedes START-DATE or contradicts DURATION"
    EndOnNextWithEnd Error "4.4.5.1" "END-ON-NEXT without CLASS, or with DURATION or END-DATE"
    CueBothWays Error "4.4.5.1" "CUE has both PRE and POST"
    UnusablePreloadHint Error "4.4.5.3" "EXT-X-PRELOAD-HINT lacks a known TYPE or URI"
    PreloadHintTwice Warning "6.2.6" "a second EXT-X-PRELOAD-HINT of one TYPE"
    HintAfterEnd Error "4.4.5.3" "EXT-X-PRELOAD-HINT in a playlist that has ended"
    ReportWithoutUri Error "4.4.5.4" "EXT-X-RENDITION-REPORT lacks URI"
    AbsoluteReport Error "4.4.5.4" "the URI of EXT-X-RENDITION-REPORT is not relative"
    UnknownRenditionType Error "4.4.6.1" "EXT-X-MEDIA lacks a known TYPE"
    RenditionWithoutGroup Error "4.4.6.1" "EXT-X-MEDIA lacks GROUP-ID"
    RenditionWithoutName Error "4.4.6.1" "EXT-X-MEDIA lacks NAME"
    CaptionsWithUri Error "4.4.6.1" "closed captions have a URI"
    CaptionsWithoutInstreamId Error "4.4.6.1" "closed captions lack INSTREAM-ID"
    InvalidInstreamId Error "4.4.6.1" "INSTREAM-ID names no caption channel, or has a character that is not allowed"
    MissingChannels Warning "4.4.6.1" "audio lacks CHANNELS"
    InvalidChannels Error "4.4.6.1" "CHANNELS is not a count and lists of identifiers"
    InvalidLanguage Error "4.4.6.1" "a language is no language tag"
    StableIdsDiffer Warning "4.4.6.1" "the same URI has different stable IDs"
    SubtitlesWithoutUri Error "4.4.6.2.1" "subtitles have no URI"
    ForcedWithoutSubtitles Error "4.4.6.1" "FORCED on something else than subtitles"
    AudioAttributeElsewhere Error "4.4.6.1" "CHANNELS, BIT-DEPTH or SAMPLE-RATE on something else than audio"
    DefaultNotSelected Error "4.4.6.1" "DEFAULT=YES with AUTOSELECT=NO"
    InvalidStableId Error "4.4.6.1" "a stable ID has a character that is not allowed"
    RenditionNameTwice Error "4.4.6.1.1" "two renditions of a group have the same NAME"
    TwoDefaults Error "4.4.6.1.1" "two renditions of a group are the default"
    MembersDiffer Error "4.4.6.1.1" "groups of one type have not the same members with the same attributes"
    AmbiguousAutoselect Warning "4.4.6.1.1" "a rendition that may be selected by itself does not differ from another one of its group"
    VariantWithoutUri Error "4.4.6.2" "a variant has no URI"
    UriWithoutStream Error "4.4.6.2" "a URI without EXT-X-STREAM-INF before it"
    MissingBandwidth Error "4.4.6.2" "a variant lacks BANDWIDTH"
    MissingCodecs Warning "4.4.6.2" "a variant lacks CODECS"
    SupplementWithoutBase Error "4.4.6.2" "SUPPLEMENTAL-CODECS without CODECS"
    InvalidAllowedCpc Error "4.4.6.2" "an entry of ALLOWED-CPC is no KEYFORMAT with labels"
    UselessVideoLayout Warning "4.4.6.2" "REQ-VIDEO-LAYOUT says what holds anyway"
    EmptyVideoLayout Error "4.4.6.2" "REQ-VIDEO-LAYOUT has an empty entry"
    PeakAboveBandwidth Error "4.4.6.2" "the byte ranges of the segments make a higher peak rate than BANDWIDTH"
    AverageAboveBandwidth Error "4.4.6.2" "AVERAGE-BANDWIDTH is higher than BANDWIDTH"
    IframesOnlyMissing Error "4.4.6.3" "a playlist of I-frames lacks EXT-X-I-FRAMES-ONLY"
    MissingScore Warning "4.4.6.2" "some variants have a SCORE and this one has none"
    UnknownGroup Error "4.4.6.2" "a variant uses a group that no EXT-X-MEDIA defines"
    CaptionsHereAndThere Error "4.4.6.2" "some variants have CLOSED-CAPTIONS=NONE and this one has not"
    SessionDataIncomplete Error "4.4.6.4" "EXT-X-SESSION-DATA lacks DATA-ID, or has not one of VALUE and URI"
    SessionDataTwice Error "4.4.6.4" "EXT-X-SESSION-DATA repeats a DATA-ID in the same language"
    SessionKeyNone Error "4.4.6.5" "EXT-X-SESSION-KEY has the method NONE"
    SessionKeyTwice Error "4.4.6.5" "EXT-X-SESSION-KEY stands again with the same attributes"
    SessionKeyDiffers Error "4.4.6.5" "a key differs from the EXT-X-SESSION-KEY of the same URI"
    UnknownPathway Error "4.4.6.6" "PATHWAY-ID of EXT-X-CONTENT-STEERING is that of no variant"
    TargetDurationsDiffer Error "6.2.4" "the target duration differs from that of other playlists of the presentation"
    PlaylistTypesDiffer Error "6.2.4" "EXT-X-PLAYLIST-TYPE differs from that of other playlists of the presentation"
    DatesHereAndThere Error "6.2.4" "other playlists of the presentation have dates and this one has none"
    FirstDatesDiffer Error "6.2.4" "the first date differs from that of other playlists of the presentation"
    DateRangesDiffer Error "6.2.4" "the date ranges differ from those of other playlists of the presentation"
    ServerControlDiffers Error "6.2.4" "EXT-X-SERVER-CONTROL differs from that of other playlists of the presentation"
    DiscontinuitiesDiffer Error "6.2.4" "the discontinuities differ from those of other playlists of the presentation"
    DurationsDiffer Error "6.2.4" "the playlist is longer or shorter than others of the presentation by more than a target duration"
    TargetDurationChanged Error "6.2.1" "an update changes the target duration"
    VodChanged Error "6.2.1" "a playlist of the type VOD changed"
    TypeChanged Error "6.2.1" "an update changes EXT-X-PLAYLIST-TYPE"
    EndTakenBack Error "6.2.1" "an update lacks the EXT-X-ENDLIST that was there"
    SequenceWentBack Error "6.2.2" "an update has a lower media sequence number"
    DiscontinuityRenumbered Error "6.2.2" "an update gives a segment another discontinuity sequence number"
    RemovedFromTheFront Error "6.2.1" "an update of a playlist of the type EVENT removes segments"
    RemovedFromTheEnd Error "6.2.2" "an update removes segments at the end"
    SegmentChanged Error "6.3.4" "an update changes the URI, byte range or duration of a segment"
    KeyChanged Error "6.2.3" "an update changes or removes the keys of a segment"
    InitSectionChanged Error "6.2.1" "an update changes the initialization section of a segment"
    DateChanged Error "6.2.1" "an update changes the date of a segment"
    PartChanged Error "6.2.1" "an update changes a part"
    DateRangeChanged Error "4.4.5.1" "an update changes or loses an attribute of a date range"
    DateRangeRemoved Error "6.2.1" "an update removes a date range while segments of its time are listed"
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
