//! The attributes of all tags: their types, and which must be there.

/// How a value is written (section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A quoted string.
    Quoted,
    /// A quoted string that may be empty.
    QuotedOrEmpty,
    Integer,
    Hexadecimal,
    Decimal,
    SignedDecimal,
    Resolution,
    /// An enumerated string, and what it may be.
    Enumerated(&'static [&'static str]),
    /// A quoted string or the enumerated string `NONE`.
    QuotedOrNone,
    /// A quoted string with a date.
    Date,
}

/// An attribute of a tag.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) required: bool,
}

/// What is known of the attributes of `tag`; `None` for tags that have no attribute list, or are not known.
pub(super) fn attributes(tag: &str) -> Option<&'static [Known]> {
    TAGS.iter().find(|(name, _)| *name == tag).map(|(_, attributes)| *attributes)
}

const fn must(name: &'static str, form: Form) -> Known {
    Known { name, form, required: true }
}

/// What may be absent, or is looked after elsewhere.
const fn may(name: &'static str, form: Form) -> Known {
    Known { name, form, required: false }
}

use Form::{
    Date, Decimal, Enumerated, Hexadecimal, Integer, Quoted, QuotedOrEmpty, QuotedOrNone, Resolution, SignedDecimal,
};

const YES: Form = Enumerated(&["YES"]);
const YES_NO: Form = Enumerated(&["YES", "NO"]);
const METHODS: Form = Enumerated(&["NONE", "AES-128", "AES-256-GCM", "SAMPLE-AES", "SAMPLE-AES-CTR"]);

const TAGS: &[(&str, &[Known])] = &[
    ("EXT-X-START", &[may("TIME-OFFSET", SignedDecimal), may("PRECISE", YES_NO)]),
    (
        "EXT-X-DEFINE",
        &[may("NAME", Quoted), may("VALUE", QuotedOrEmpty), may("IMPORT", Quoted), may("QUERYPARAM", Quoted)],
    ),
    ("EXT-X-PART-INF", &[may("PART-TARGET", Decimal)]),
    (
        "EXT-X-SERVER-CONTROL",
        &[
            may("CAN-SKIP-UNTIL", Decimal),
            may("CAN-SKIP-DATERANGES", YES_NO),
            may("HOLD-BACK", Decimal),
            may("PART-HOLD-BACK", Decimal),
            may("CAN-BLOCK-RELOAD", YES_NO),
        ],
    ),
    ("EXT-X-KEY", KEY),
    ("EXT-X-SESSION-KEY", KEY),
    ("EXT-X-MAP", &[must("URI", Quoted), may("BYTERANGE", Quoted)]),
    (
        "EXT-X-PART",
        &[
            may("URI", Quoted),
            may("DURATION", Decimal),
            may("INDEPENDENT", YES_NO),
            may("BYTERANGE", Quoted),
            may("GAP", YES_NO),
        ],
    ),
    (
        "EXT-X-DATERANGE",
        &[
            may("ID", Quoted),
            may("CLASS", Quoted),
            may("START-DATE", Date),
            may("CUE", Quoted),
            may("END-DATE", Date),
            may("DURATION", Decimal),
            may("PLANNED-DURATION", Decimal),
            may("SCTE35-CMD", Hexadecimal),
            may("SCTE35-OUT", Hexadecimal),
            may("SCTE35-IN", Hexadecimal),
            may("END-ON-NEXT", YES),
        ],
    ),
    ("EXT-X-SKIP", &[must("SKIPPED-SEGMENTS", Integer), may("RECENTLY-REMOVED-DATERANGES", QuotedOrEmpty)]),
    (
        "EXT-X-PRELOAD-HINT",
        &[
            may("TYPE", Enumerated(&["PART", "MAP"])),
            may("URI", Quoted),
            may("BYTERANGE-START", Integer),
            may("BYTERANGE-LENGTH", Integer),
        ],
    ),
    ("EXT-X-RENDITION-REPORT", &[may("URI", Quoted), may("LAST-MSN", Integer), may("LAST-PART", Integer)]),
    (
        "EXT-X-MEDIA",
        &[
            may("TYPE", Enumerated(&["AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"])),
            may("URI", Quoted),
            may("GROUP-ID", Quoted),
            may("LANGUAGE", Quoted),
            may("ASSOC-LANGUAGE", Quoted),
            may("NAME", Quoted),
            may("STABLE-RENDITION-ID", Quoted),
            may("DEFAULT", YES_NO),
            may("AUTOSELECT", YES_NO),
            may("FORCED", YES_NO),
            may("INSTREAM-ID", Quoted),
            may("BIT-DEPTH", Integer),
            may("SAMPLE-RATE", Integer),
            may("CHARACTERISTICS", Quoted),
            may("CHANNELS", Quoted),
        ],
    ),
    (
        "EXT-X-STREAM-INF",
        &[
            may("BANDWIDTH", Integer),
            may("AVERAGE-BANDWIDTH", Integer),
            may("SCORE", Decimal),
            may("CODECS", Quoted),
            may("SUPPLEMENTAL-CODECS", Quoted),
            may("RESOLUTION", Resolution),
            may("FRAME-RATE", Decimal),
            may("HDCP-LEVEL", HDCP),
            may("ALLOWED-CPC", Quoted),
            may("VIDEO-RANGE", RANGES),
            may("REQ-VIDEO-LAYOUT", Quoted),
            may("STABLE-VARIANT-ID", Quoted),
            may("AUDIO", Quoted),
            may("VIDEO", Quoted),
            may("SUBTITLES", Quoted),
            may("CLOSED-CAPTIONS", QuotedOrNone),
            may("PATHWAY-ID", Quoted),
        ],
    ),
    (
        "EXT-X-I-FRAME-STREAM-INF",
        &[
            may("BANDWIDTH", Integer),
            may("AVERAGE-BANDWIDTH", Integer),
            may("SCORE", Decimal),
            may("CODECS", Quoted),
            may("SUPPLEMENTAL-CODECS", Quoted),
            may("RESOLUTION", Resolution),
            may("HDCP-LEVEL", HDCP),
            may("ALLOWED-CPC", Quoted),
            may("VIDEO-RANGE", RANGES),
            may("REQ-VIDEO-LAYOUT", Quoted),
            may("STABLE-VARIANT-ID", Quoted),
            may("VIDEO", Quoted),
            may("PATHWAY-ID", Quoted),
            may("URI", Quoted),
        ],
    ),
    (
        "EXT-X-SESSION-DATA",
        &[
            may("DATA-ID", Quoted),
            may("VALUE", Quoted),
            may("URI", Quoted),
            may("FORMAT", Enumerated(&["JSON", "RAW"])),
            may("LANGUAGE", Quoted),
        ],
    ),
    ("EXT-X-CONTENT-STEERING", &[must("SERVER-URI", Quoted), may("PATHWAY-ID", Quoted)]),
];

const KEY: &[Known] = &[
    must("METHOD", METHODS),
    may("URI", Quoted),
    may("IV", Hexadecimal),
    may("KEYFORMAT", Quoted),
    may("KEYFORMATVERSIONS", Quoted),
];

const HDCP: Form = Enumerated(&["NONE", "TYPE-0", "TYPE-1"]);
const RANGES: Form = Enumerated(&["SDR", "HLG", "PQ"]);
