//! Each rule of the lint, broken once.

use kithara_hls_core::playlist::{Member, Playlist, Rule, VariantId, lint_presentation, lint_text, lint_update, parse};

use super::{base, media, multivariant};

/// What breaks a rule.
enum Given {
    /// A text alone.
    Text(Vec<u8>),
    /// An update: a media playlist before and after.
    Update(String, String),
    /// A multivariant playlist and the media playlists of its first two variants, of which the second one, or the one
    /// that is of I-frames, is at fault.
    Presentation { all: String, first: String, second: String, iframes: bool },
}
use Given::{Presentation, Text, Update};

/// What the lint says about it.
fn report(given: &Given) -> Vec<(Rule, u32)> {
    let found = match given {
        Text(text) => {
            let closer = match parse(text, &base(), &Default::default()) {
                Ok(Playlist::Media(it)) => it.lint(),
                Ok(Playlist::Multivariant(it)) => it.lint(),
                // The letters are looked at all the same.
                Err(_) => Vec::new(),
            };
            [closer, lint_text(text)].concat()
        }
        Update(before, after) => lint_update(&media(before), &media(after)),
        Presentation { all, first, second, iframes } => {
            let member = if *iframes { Member::IframeVariant(VariantId(0)) } else { Member::Variant(VariantId(1)) };
            let members = [(Member::Variant(VariantId(0)), media(first)), (member, media(second))];
            lint_presentation(&multivariant(all), &members).remove(1)
        }
    };
    found.iter().map(|it| (it.rule, it.line.0)).collect()
}

/// A text as it stands.
fn raw(text: &str) -> Given {
    Text(text.into())
}

/// A media playlist of these lines, the first of which is the fourth one.
fn list(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-TARGETDURATION:4\n{lines}\n")
}

fn lines(lines: &str) -> Given {
    Text(list(lines).into())
}

/// A segment behind these tags.
fn segment(tags: &str) -> Given {
    lines(&format!("{tags}\n#EXTINF:4,\na"))
}

/// A dated segment, and a date range with these attributes in line 7.
fn range(attributes: &str) -> Given {
    lines(&format!("{DATE}\n#EXTINF:4,\na\n#EXT-X-DATERANGE:{attributes}"))
}

/// A date range of this class in line 7 that has an ID and begins.
fn class(name: &str, attributes: &str) -> Given {
    range(&format!("ID=\"r\",{START},CLASS=\"com.apple.hls.{name}\"{attributes}"))
}

/// Parts of a second, the first line of which is the sixth one.
fn parts(of: &str) -> Given {
    lines(&format!("#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=3\n{of}"))
}

/// A multivariant playlist of these lines, the first of which is the third one.
fn all(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:13\n{lines}\n")
}

fn whole(lines: &str) -> Given {
    Text(all(lines).into())
}

/// A variant with these attributes in line 3.
fn variant(attributes: &str) -> Given {
    whole(&format!("#EXT-X-STREAM-INF:BANDWIDTH=9{attributes}\nv"))
}

/// Renditions with these attributes from line 3 on.
fn renditions(attributes: &[&str]) -> Given {
    whole(&attributes.iter().map(|it| format!("#EXT-X-MEDIA:TYPE={it}\n")).collect::<String>())
}

fn update(before: &str, after: &str) -> Given {
    Update(list(before), list(after))
}

/// Two playlists that have ended, the first lines of which are the fifth ones, below a multivariant playlist with this
/// in front.
fn beside(front: &str, first: &str, second: &str) -> Given {
    let ended = |it: &str| list(&format!("#EXT-X-ENDLIST\n{it}"));
    let variants = "#EXT-X-STREAM-INF:BANDWIDTH=9\nv\n#EXT-X-STREAM-INF:BANDWIDTH=9\nw";
    Presentation { all: all(&format!("{front}{variants}")), first: ended(first), second: ended(second), iframes: false }
}

const DATE: &str = "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00.000Z";
const START: &str = "START-DATE=\"2026-01-02T00:00:00.000Z\"";
const ONE: &str = "#EXTINF:4,\na";
const TWO: &str = "#EXTINF:4,\na\n#EXTINF:4,\nb";
const FOUR: &str = "#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n#EXTINF:4,\nd";
const VARIANT: &str = "#EXT-X-STREAM-INF:BANDWIDTH=9\nv";

fn letters() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    vec![
        (ByteOrderMark, 1, raw("\u{feff}#EXTM3U\n#EXT-X-TARGETDURATION:4\n")),
        (InvalidUtf8, 6, Text([list(ONE).as_bytes(), b"#EXTINF:4,\xff\nb\n"].concat())),
        (UnquotedString, 4, segment("#EXT-X-MAP:URI=i")),
        (LineEnd, 1, raw("#EXTM3U\r#EXT-X-TARGETDURATION:4\r#EXTINF:4,\ra\r")),
        (ControlCharacter, 4, lines("#EXTINF:4,\u{7}\na")),
        (Whitespace, 4, lines(" #EXTINF:4,\na")),
        (InvalidNumber, 4, segment("#EXT-X-BITRATE:fast")),
        (AttributeTwice, 4, segment("#EXT-X-MAP:URI=\"i\",URI=\"i\"")),
        (AttributeWithoutValue, 4, segment("#EXT-X-START:TIME-OFFSET=0,PRECISE")),
        (AttributeName, 4, segment("#EXT-X-START:TIME-OFFSET=0,precise=YES")),
        (QuotedValue, 4, segment("#EXT-X-START:TIME-OFFSET=0,PRECISE=\"YES\"")),
        (EmptyString, 4, segment("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"\"")),
        (UnknownEnumerated, 4, segment("#EXT-X-START:TIME-OFFSET=0,PRECISE=PERHAPS")),
        (UnknownAttribute, 4, segment("#EXT-X-START:TIME-OFFSET=0,OTHER=1")),
        (UnknownRequirement, 4, segment("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",REQ-CARE=\"x\"")),
        (MissingAttribute, 4, segment("#EXT-X-MAP:BYTERANGE=\"9@0\"")),
        (LostLineEnd, 4, segment("#EXT-X-MAP:URI=\"i\"#EXT-X-GAP")),
        (HeaderNotFirst, 1, raw("# a comment\n#EXTM3U\n#EXT-X-TARGETDURATION:4\n")),
        (MissingHeader, 1, raw("#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na\n")),
        (HeaderAgain, 4, segment("#EXTM3U")),
        (UnknownVersion, 2, raw("#EXTM3U\n#EXT-X-VERSION:99\n#EXT-X-TARGETDURATION:4\n")),
        (VersionTooLow, 3, raw("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:3.5,\na\n")),
        (RemovedFromTheLanguage, 4, segment("#EXT-X-ALLOW-CACHE:YES")),
        (UndefinedInValue, 4, segment("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{$b}\"")),
        (ImportWithoutValue, 4, segment("#EXT-X-DEFINE:IMPORT=\"a\"")),
        (QueryParameterWithoutValue, 4, segment("#EXT-X-DEFINE:QUERYPARAM=\"other\"")),
    ]
}

fn media_playlists() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    vec![
        (LateTag, 6, lines(&format!("{ONE}\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n{ONE}"))),
        (NegativeSequence, 4, segment("#EXT-X-DISCONTINUITY-SEQUENCE:-1")),
        (StartOutside, 4, segment("#EXT-X-START:TIME-OFFSET=17")),
        (StartNearTheEnd, 4, segment("#EXT-X-START:TIME-OFFSET=-2")),
        (StartWithoutOffset, 4, segment("#EXT-X-START:PRECISE=YES")),
        (MissingTargetDuration, 3, raw("#EXTM3U\n#EXTINF:4,\na\n")),
        (FractionalTargetDuration, 2, raw("#EXTM3U\n#EXT-X-TARGETDURATION:4.5\n")),
        (TargetDurationTooShort, 2, raw("#EXTM3U\n#EXT-X-TARGETDURATION:0\n")),
        (LongerThanTarget, 4, lines("#EXTINF:4.5,\na")),
        (UnknownPlaylistType, 4, segment("#EXT-X-PLAYLIST-TYPE:LIVE")),
        (EndlessVod, 4, segment("#EXT-X-PLAYLIST-TYPE:VOD")),
        (LiveTooShort, 4, segment("#EXT-X-MEDIA-SEQUENCE:7")),
        (MissingPartTarget, 4, segment("#EXT-X-PART-INF:OTHER=1")),
        (PartWithoutPartInf, 4, segment("#EXT-X-PART:DURATION=1,URI=\"p\"")),
        (HoldBackTooShort, 4, segment("#EXT-X-SERVER-CONTROL:HOLD-BACK=11")),
        (SkipBoundaryTooShort, 4, segment("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=23")),
        (SkipDateRangesAlone, 4, segment("#EXT-X-SERVER-CONTROL:CAN-SKIP-DATERANGES=YES")),
        (MissingPartHoldBack, 4, segment("#EXT-X-PART-INF:PART-TARGET=1")),
        (PartHoldBackShort, 5, segment("#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=2.9")),
        (PartHoldBackTooShort, 5, segment("#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1.9")),
        (SkipNotOffered, 4, segment("#EXT-X-SKIP:SKIPPED-SEGMENTS=3")),
        (MissingExtinf, 4, lines("a")),
        (ExtinfWithoutComma, 4, lines("#EXTINF:4\na")),
        (InvalidDuration, 4, lines("#EXTINF:long,\na")),
        (RangeWithoutOffset, 6, segment("#EXT-X-BYTERANGE:9")),
        (RangeOfAnother, 9, lines(&format!("#EXT-X-BYTERANGE:9@0\n{ONE}\n#EXT-X-BYTERANGE:9\n#EXTINF:4,\nb"))),
        (UnknownKeyMethod, 4, segment("#EXT-X-KEY:METHOD=ROT-13,URI=\"k\"")),
        (MethodsDiffer, 7, segment(&format!("{KEY}\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"x\""))),
        (InvalidIv, 4, segment("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=[IV]")),
        (KeyWithoutUri, 4, segment("#EXT-X-KEY:METHOD=AES-128")),
        (NoneWithAttributes, 4, segment("#EXT-X-KEY:METHOD=NONE,URI=\"k\"")),
        (IvWithoutUse, 4, segment("#EXT-X-KEY:METHOD=AES-256-GCM,URI=\"k\",IV=0x1")),
        (MapRangeWithoutOffset, 4, segment("#EXT-X-MAP:URI=\"i\",BYTERANGE=\"9\"")),
        (EncryptedMapWithoutIv, 5, segment(&format!("{KEY}\n#EXT-X-MAP:URI=\"i\""))),
        (InvalidDate, 4, segment("#EXT-X-PROGRAM-DATE-TIME:yesterday")),
        (VagueDate, 4, segment("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00Z")),
        (DatesOverlap, 9, lines(&format!("{DATE}\n{ONE}\n{DATE}\n{ONE}"))),
        (DiscontinuityWithoutDate, 9, lines(&format!("{DATE}\n{ONE}\n#EXT-X-DISCONTINUITY\n{ONE}"))),
        (UnusablePreloadHint, 4, segment("#EXT-X-PRELOAD-HINT:TYPE=PART")),
        (PreloadHintTwice, 5, segment(&format!("{HINT}\n{HINT}"))),
        (HintAfterEnd, 5, segment(&format!("#EXT-X-ENDLIST\n{HINT}"))),
        (ReportWithoutUri, 4, segment("#EXT-X-RENDITION-REPORT:LAST-MSN=1")),
        (AbsoluteReport, 4, segment("#EXT-X-RENDITION-REPORT:URI=\"https://h/a\",LAST-MSN=1")),
    ]
}

fn low_latency() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    let part = |seconds: &str| format!("#EXT-X-PART:DURATION={seconds},URI=\"p\"\n");
    vec![
        (TagAfterPart, 7, parts(&format!("{}#EXT-X-DISCONTINUITY\n{ONE}", part("1")))),
        (TagAfterPart, 7, parts(&format!("{}{KEY}\n{ONE}", part("1")))),
        (TagAfterPart, 7, parts(&format!("{}#EXT-X-MAP:URI=\"i\"\n{ONE}", part("1")))),
        (PartTooShort, 6, parts(&format!("{}{}{ONE}", part("0.5"), part("1")))),
        (PartsTooOld, 6, parts(&format!("{}{ONE}\n{FOUR}", part("1")))),
        (PartsOfIframes, 7, parts(&format!("#EXT-X-I-FRAMES-ONLY\n{}{ONE}", part("1")))),
        (PartLacksAttribute, 6, parts("#EXT-X-PART:DURATION=1")),
        (PartLacksAttribute, 6, parts("#EXT-X-PART:URI=\"p\"")),
        (LongerThanPartTarget, 6, parts(&part("1.5"))),
    ]
}

fn date_ranges() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    let one = format!("ID=\"r\",{START}");
    let two = |first: &str, second: &str| range(&format!("{one}{first}\n#EXT-X-DATERANGE:{second}"));
    let label = ",X-ASSET-LIST=\"l\",X-SKIP-CONTROL-LABEL-ID=\"skip it\"";
    vec![
        (DateRangeWithoutId, 7, range(START)),
        (DateRangeContradiction, 8, two(",DURATION=1", &format!("{one},DURATION=2"))),
        (InvalidClientAttribute, 7, range(&format!("{one},X-A=YES"))),
        (InvalidScte35, 7, range(&format!("{one},SCTE35-OUT=\"fc\""))),
        (OverlappingRanges, 8, {
            two(",CLASS=\"c\",DURATION=5", &format!("ID=\"s\",{START},CLASS=\"c\",END-ON-NEXT=YES"))
        }),
        (InterstitialAssets, 7, class("interstitial", "")),
        (RelativeAsset, 7, class("interstitial", ",X-ASSET-URI=\"ad.m3u8\"")),
        (InvalidSkipLabel, 7, class("interstitial", label)),
        (IncompletePreload, 7, class("preload", ",X-URI=\"u\",DURATION=1")),
        (DateRangeWithoutStart, 7, range("ID=\"r\"")),
        (DateRangeWithoutDates, 6, lines(&format!("{ONE}\n#EXT-X-DATERANGE:{one}"))),
        (DateRangeEndsTwice, 7, range(&format!("{one},DURATION=9,END-DATE=\"2026-01-02T00:00:01.000Z\""))),
        (DateRangeEndsTwice, 7, range(&format!("{one},END-DATE=\"2026-01-01T00:00:00.000Z\""))),
        (EndOnNextWithEnd, 7, range(&format!("{one},CLASS=\"c\",END-ON-NEXT=YES,DURATION=1"))),
        (CueBothWays, 7, range(&format!("{one},CUE=\"PRE,POST\""))),
        (InvalidDate, 7, range("ID=\"r\",START-DATE=\"soon\"")),
    ]
}

fn multivariant_playlists() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    let captions = |more: &str| renditions(&[&format!("CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"n\"{more}")]);
    let audio = |more: &str| renditions(&[&format!("AUDIO,GROUP-ID=\"a\",NAME=\"n\",URI=\"u\"{more}")]);
    let pair = |one: &str, other: &str| {
        let of = |it: &str| format!("AUDIO,URI=\"u\",CHANNELS=\"2\",{it}");
        renditions(&[&of(one), &of(other)])
    };
    let a = |name: &str| format!("GROUP-ID=\"a\",NAME=\"{name}\"");
    let session = "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"";
    let data = "#EXT-X-SESSION-DATA:DATA-ID=\"d\",VALUE=\"v\"";
    vec![
        (MixedTags, 3, whole(&format!("#EXT-X-TARGETDURATION:4\n{VARIANT}"))),
        (ImportInMultivariant, 3, whole(&format!("#EXT-X-DEFINE:IMPORT=\"a\"\n{VARIANT}"))),
        (UnknownRenditionType, 3, renditions(&["SMELL,GROUP-ID=\"a\",NAME=\"n\",URI=\"u\""])),
        (RenditionWithoutGroup, 3, renditions(&["AUDIO,NAME=\"n\",URI=\"u\""])),
        (RenditionWithoutName, 3, renditions(&["AUDIO,GROUP-ID=\"a\",URI=\"u\""])),
        (CaptionsWithUri, 3, captions(",INSTREAM-ID=\"CC1\",URI=\"u\"")),
        (CaptionsWithoutInstreamId, 3, captions("")),
        (InvalidInstreamId, 3, captions(",INSTREAM-ID=\"CC5\"")),
        (MissingChannels, 3, audio("")),
        (InvalidChannels, 3, audio(",CHANNELS=\"two\"")),
        (InvalidLanguage, 3, audio(",LANGUAGE=\"e n\"")),
        (StableIdsDiffer, 4, pair(&a("n"), &(a("m") + ",STABLE-RENDITION-ID=\"x\""))),
        (SubtitlesWithoutUri, 3, renditions(&["SUBTITLES,GROUP-ID=\"s\",NAME=\"n\""])),
        (ForcedWithoutSubtitles, 3, audio(",FORCED=YES")),
        (AudioAttributeElsewhere, 3, captions(",INSTREAM-ID=\"CC1\",CHANNELS=\"2\"")),
        (DefaultNotSelected, 3, audio(",DEFAULT=YES,AUTOSELECT=NO")),
        (InvalidStableId, 3, audio(",STABLE-RENDITION-ID=\"a b\"")),
        (InvalidStableId, 3, variant(",STABLE-VARIANT-ID=\"a b\"")),
        (RenditionNameTwice, 4, pair(&a("n"), &a("n"))),
        (TwoDefaults, 4, pair(&(a("n") + ",DEFAULT=YES"), &(a("m") + ",DEFAULT=YES"))),
        (MembersDiffer, 4, pair(&a("n"), "GROUP-ID=\"b\",NAME=\"m\"")),
        (AmbiguousAutoselect, 4, pair(&(a("n") + ",AUTOSELECT=YES"), &(a("m") + ",AUTOSELECT=YES"))),
        (VariantWithoutUri, 3, whole("#EXT-X-STREAM-INF:BANDWIDTH=9")),
        (UriWithoutStream, 5, whole(&format!("{VARIANT}\nw"))),
        (MissingBandwidth, 3, whole("#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\"\nv")),
        (MissingCodecs, 3, variant("")),
        (SupplementWithoutBase, 3, variant(",SUPPLEMENTAL-CODECS=\"dvh1.08.07/db4h\"")),
        (InvalidAllowedCpc, 3, variant(",ALLOWED-CPC=\"HW\"")),
        (UselessVideoLayout, 3, variant(",REQ-VIDEO-LAYOUT=\"CH-MONO\"")),
        (EmptyVideoLayout, 3, variant(",REQ-VIDEO-LAYOUT=\"CH-STEREO,\"")),
        (AverageAboveBandwidth, 3, variant(",AVERAGE-BANDWIDTH=10")),
        (MissingScore, 5, whole(&format!("{VARIANT}\n{VARIANT}").replacen("=9", "=9,SCORE=1", 1))),
        (UnknownGroup, 3, variant(",AUDIO=\"a\"")),
        (CaptionsHereAndThere, 5, {
            whole(&format!("{VARIANT}\n{VARIANT}").replacen("=9", "=9,CLOSED-CAPTIONS=NONE", 1))
        }),
        (SessionDataIncomplete, 3, whole(&format!("#EXT-X-SESSION-DATA:DATA-ID=\"d\"\n{VARIANT}"))),
        (SessionDataTwice, 4, whole(&format!("{data}\n{data}\n{VARIANT}"))),
        (SessionKeyNone, 3, whole(&format!("#EXT-X-SESSION-KEY:METHOD=NONE\n{VARIANT}"))),
        (SessionKeyTwice, 3, whole(&format!("{session}\n{session}\n{VARIANT}"))),
        (UnknownPathway, 3, whole(&format!("#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\",PATHWAY-ID=\"p\"\n{VARIANT}"))),
    ]
}

fn presentations() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    let start = |offset: u32| format!("#EXT-X-START:TIME-OFFSET={offset}\n");
    let dated =
        |second: u32| format!("#EXT-X-PLAYLIST-TYPE:VOD\n{}\n{ONE}", DATE.replace("00.000", &format!("0{second}.000")));
    let ranged = |id: &str| format!("{DATE}\n{ONE}\n#EXT-X-DATERANGE:ID=\"{id}\",{START}");
    let bytes = "#EXT-X-BYTERANGE:9@0\n#EXTINF:4,\na";
    let iframes = Presentation { all: all(VARIANT), first: list(ONE), second: list(ONE), iframes: true };
    let slow = Presentation {
        all: all(VARIANT),
        first: list(ONE),
        second: list(ONE).replace("DURATION:4", "DURATION:5"),
        iframes: false,
    };
    let key = "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n";
    vec![
        (StartTwice, 5, beside(&start(1), ONE, &(start(1) + ONE))),
        (StartsDiffer, 5, beside(&start(1), ONE, &(start(2) + ONE))),
        (IndependentTwice, 5, {
            beside("#EXT-X-INDEPENDENT-SEGMENTS\n", ONE, &format!("#EXT-X-INDEPENDENT-SEGMENTS\n{ONE}"))
        }),
        (SessionKeyDiffers, 7, beside(key, ONE, &format!("{KEY}\n{ONE}"))),
        (PeakAboveBandwidth, 1, beside("", ONE, bytes)),
        (IframesOnlyMissing, 1, iframes),
        (TargetDurationsDiffer, 3, slow),
        (PlaylistTypesDiffer, 5, beside("", ONE, &format!("#EXT-X-PLAYLIST-TYPE:VOD\n{ONE}"))),
        (DatesHereAndThere, 1, beside("", &dated(0), ONE)),
        (FirstDatesDiffer, 8, beside("", &dated(0), &dated(1))),
        (DateRangesDiffer, 8, beside("", &ranged("r"), &ranged("s"))),
        (ServerControlDiffers, 5, beside("", ONE, &format!("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n{ONE}"))),
        (DiscontinuitiesDiffer, 1, beside("", ONE, &format!("#EXT-X-DISCONTINUITY\n{ONE}"))),
        (DurationsDiffer, 4, beside("", ONE, FOUR)),
    ]
}

fn updates() -> Vec<(Rule, u32, Given)> {
    use Rule::*;
    let vod = "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n";
    let event = "#EXT-X-PLAYLIST-TYPE:EVENT\n";
    let at = |msn: u32, more: &str| format!("#EXT-X-MEDIA-SEQUENCE:{msn}\n{more}");
    let map = |uri: &str| format!("#EXT-X-MAP:URI=\"{uri}\"\n{ONE}");
    let ranged = |more: &str| format!("{DATE}\n{ONE}\n{more}");
    let range = format!("#EXT-X-DATERANGE:ID=\"r\",{START},DURATION=2");
    let part = |uri: &str| format!("#EXT-X-PART-INF:PART-TARGET=4\n#EXT-X-PART:DURATION=4,URI=\"{uri}\"\n{ONE}");
    let slow = Update(list(ONE), list(ONE).replace("DURATION:4", "DURATION:5"));
    vec![
        (TargetDurationChanged, 3, slow),
        (VodChanged, 4, update(&format!("{vod}{ONE}"), &format!("{vod}{FOUR}"))),
        (TypeChanged, 4, update(ONE, &format!("{event}{ONE}"))),
        (EndTakenBack, 1, update(&format!("#EXT-X-ENDLIST\n{ONE}"), ONE)),
        (SequenceWentBack, 4, update(&at(5, ONE), &at(4, TWO))),
        (DiscontinuityRenumbered, 6, update(ONE, &format!("#EXT-X-DISCONTINUITY\n{ONE}"))),
        (RemovedFromTheFront, 5, update(&format!("{event}{TWO}"), &format!("{event}{}", at(1, "#EXTINF:4,\nb")))),
        (RemovedFromTheEnd, 5, update(TWO, ONE)),
        (SegmentChanged, 5, update(ONE, "#EXTINF:3,\na")),
        (KeyChanged, 6, update(ONE, &format!("{KEY}\n{ONE}"))),
        (InitSectionChanged, 6, update(&map("i"), &map("j"))),
        (DateChanged, 6, update(&ranged(""), &ranged("").replace("00.000", "01.000"))),
        (PartChanged, 7, update(&part("p"), &part("q"))),
        (DateRangeChanged, 7, update(&ranged(&range), &ranged(&range.replace("=2", "=3")))),
        (DateRangeRemoved, 1, update(&ranged(&range), &ranged(""))),
    ]
}

const KEY: &str = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"";
const HINT: &str = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p\"";

#[test]
fn each_rule_is_found_where_it_is_broken() {
    let tables = [
        letters(),
        media_playlists(),
        low_latency(),
        date_ranges(),
        multivariant_playlists(),
        presentations(),
        updates(),
    ];
    let rows: Vec<_> = tables.into_iter().flatten().collect();
    let reports = rows.iter().map(|(rule, line, given)| ((*rule, *line), report(given)));
    let missed: Vec<_> = reports.filter(|(want, found)| !found.contains(want)).collect();
    assert!(missed.is_empty(), "wanted, and found in its place: {missed:#?}");
    let without: Vec<_> = Rule::ALL.iter().filter(|rule| !rows.iter().any(|row| row.0 == **rule)).collect();
    assert!(without.is_empty(), "no row has {without:?}");
}

#[test]
fn what_breaks_no_rule_has_no_violations() {
    let clean = [
        segment(""),
        parts(&format!("#EXT-X-PART:DURATION=1,URI=\"p\"\n{ONE}")),
        range(&format!("ID=\"r\",{START}")),
        variant(",CODECS=\"mp4a.40.2\""),
        beside("", ONE, ONE),
        update(ONE, TWO),
    ];
    for given in &clean {
        assert_eq!(report(given), []);
    }
}
