//! What a closer look at playlists finds.

use kithara_hls_core::playlist::{
    MediaPlaylist, Member, ParseOptions, Playlist, RenditionId, Rule, VariantId, Violation, lint_presentation,
    lint_text, lint_update, parse,
};

use super::{base, media, multivariant};

fn rules(violations: &[Violation]) -> Vec<(u32, Rule)> {
    violations.iter().map(|it| (it.line.0, it.rule)).collect()
}

/// The letters of the lines, which stand behind a first line.
#[track_caller]
fn check_text(lines: &str, want: &[(u32, Rule)]) {
    assert_eq!(rules(&lint_text(format!("#EXTM3U\n{lines}\n").as_bytes())), want, "{lines}");
}

#[test]
fn letters_of_a_text() {
    use Rule::*;
    check_text("#EXTINF:4,a title, with a comma\ns.ts\n\n# any comment \n#EXT-X-OTHER: a = b", &[]);
    check_text("#EXTINF:4\ns.ts", &[(2, ExtinfWithoutComma)]);
    check_text(" #EXTINF:4,\na b.ts", &[(2, Whitespace), (3, Whitespace)]);
    check_text("#EXTINF:4,\u{7}\ns.ts", &[(2, ControlCharacter)]);
    check_text("#EXT-X-SKIP:SKIPPED-SEGMENTS=3,RECENTLY-REMOVED-DATERANGES=\"a\tb\"", &[]);
    check_text("#EXT-X-SKIP:RECENTLY-REMOVED-DATERANGES=\"\"", &[(2, MissingAttribute)]);
    check_text("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.678Z", &[]);
    check_text("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05Z", &[(2, VagueDate)]);
    assert_eq!(rules(&lint_text(b"#EXTM3U\r#EXTINF:4,\rs.ts")), [(1, LineEnd)]);
}

#[test]
fn letters_of_attribute_lists() {
    use Rule::*;
    check_text("#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\"", &[]);
    check_text("#EXT-X-MAP:URI= \"i.mp4\"", &[(2, Whitespace)]);
    check_text("#EXT-X-MAP:URI=\"i.mp4\" ,BYTERANGE=\"9@0\"", &[(2, Whitespace)]);
    check_text("#EXT-X-MAP:URI=\"i.mp4\",,BYTERANGE=\"9@0\"", &[(2, Whitespace)]);
    check_text("#EXT-X-MAP:URI=i.mp4", &[(2, UnquotedString)]);
    check_text("#EXT-X-MAP:URI=\"\"", &[(2, EmptyString)]);
    check_text("#EXT-X-MAP:URI=\"i\",URI=\"j\"", &[(2, AttributeTwice)]);
    check_text("#EXT-X-MAP:uri=\"i\"", &[(2, AttributeName), (2, UnknownAttribute), (2, MissingAttribute)]);
    check_text("#EXT-X-MAP:URI", &[(2, AttributeWithoutValue)]);
    check_text("#EXT-X-START:TIME-OFFSET=-4.5,PRECISE=\"YES\"", &[(2, QuotedValue)]);
    check_text("#EXT-X-START:TIME-OFFSET=+4,PRECISE=PERHAPS", &[(2, InvalidNumber), (2, UnknownEnumerated)]);
    check_text("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x0123456789abcdef0123456789abcdef", &[(2, InvalidNumber)]);
    check_text(
        "#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=2X3,NAME=\"n\"\nv",
        &[(2, InvalidNumber), (2, UnknownAttribute)],
    );
    check_text("#EXT-X-STREAM-INF:BANDWIDTH={$rate},CLOSED-CAPTIONS=NONE\nv", &[]);
    check_text("#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i\",AUDIO=\"a\"", &[(2, UnknownAttribute)]);
    check_text("#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-02T03:04:05.6Z\",X-ANY=1,SCTE35-IN=0xFC", &[]);
}

#[test]
fn an_implied_byte_range_continues_the_same_resource() {
    let range = |value: &str, uri: &str| format!("#EXTINF:4,\n#EXT-X-BYTERANGE:{value}\n{uri}\n");
    let all = |second: &str| range("9@0", "a") + &range("9", second) + &range("9@0", "c");
    check_text(all("a").trim_end(), &[]);
    check_text(all("b").trim_end(), &[(7, Rule::RangeOfAnother)]);
}

/// A media playlist with `header` and segments of four seconds.
fn with_header(header: &str, segments: &str) -> MediaPlaylist {
    media(&format!("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n{header}{segments}"))
}

const FOUR: &str = "#EXTINF:4,\na\n#EXTINF:4,\nb\n#EXTINF:4,\nc\n#EXTINF:4,\nd\n";

#[track_caller]
fn check_media(header: &str, segments: &str, want: &[(u32, Rule)]) {
    assert_eq!(rules(&with_header(header, segments).lint()), want, "{header}{segments}");
}

#[test]
fn a_media_playlist_as_a_whole() {
    use Rule::*;
    check_media("", FOUR, &[]);
    check_media("#EXT-X-START:TIME-OFFSET=-2\n", FOUR, &[(4, StartNearTheEnd)]);
    check_media("#EXT-X-START:TIME-OFFSET=17\n#EXT-X-ENDLIST\n", FOUR, &[(4, StartOutside)]);
    check_media("#EXT-X-START:TIME-OFFSET=-16\n", FOUR, &[]);
    check_media("#EXT-X-PLAYLIST-TYPE:VOD\n", FOUR, &[(4, EndlessVod)]);
    check_media("#EXT-X-MEDIA-SEQUENCE:7\n", FOUR, &[]);
    check_media("#EXT-X-MEDIA-SEQUENCE:7\n", "#EXTINF:4,\na\n", &[(4, LiveTooShort)]);
    check_media("#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n", FOUR, &[(4, SkipNotOffered)]);
    check_media("#EXT-X-RENDITION-REPORT:URI=\"https://h/a\",LAST-MSN=1\n", FOUR, &[(4, AbsoluteReport)]);
    let keys = "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\",KEYFORMAT=\"x\"\n";
    check_media(keys, "#EXTINF:4,\na\n", &[(7, MethodsDiffer)]);
}

#[test]
fn parts_have_a_least_length_and_a_time_to_go() {
    use Rule::*;
    let header = "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=3\n";
    let part = |seconds: &str, more: &str| format!("#EXT-X-PART:DURATION={seconds},URI=\"p\"{more}\n");
    let all =
        part("0.5", ",INDEPENDENT=YES") + &part("0.5", "") + &part("1", "") + &part("0.5", "") + "#EXTINF:4,\na\n";
    check_media(header, &all, &[(7, PartTooShort)]);
    check_media(header, &(part("1", "") + &part("0.5", "")), &[]);
    let old = part("1", "") + "#EXTINF:4,\nz\n" + FOUR;
    check_media(header, &old, &[(6, PartsTooOld)]);
    let short = "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=2\n";
    check_media(short, "", &[(5, PartHoldBackShort)]);
}

#[test]
fn dates_are_not_ambiguous() {
    use Rule::*;
    let at = |time: &str, uri: &str| format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:{time}Z\n#EXTINF:4,\n{uri}\n");
    check_media("", &(at("00.000", "a") + &at("03.500", "b") + &at("30.000", "c")), &[]);
    check_media("", &(at("00.000", "a") + &at("02.500", "b")), &[(9, DatesOverlap)]);
    let undated = at("00.000", "a") + "#EXT-X-DISCONTINUITY\n#EXTINF:4,\nb\n";
    check_media("", &undated, &[(9, DiscontinuityWithoutDate)]);
}

#[test]
fn date_ranges_follow_their_classes() {
    use Rule::*;
    const DATED: &str = "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00.000Z\n#EXTINF:4,\na\n";
    #[track_caller]
    fn check(attributes: &[&str], want: &[(u32, Rule)]) {
        let all: String = attributes
            .iter()
            .enumerate()
            .map(|(id, it)| format!("#EXT-X-DATERANGE:ID=\"{id}\",START-DATE=\"2026-01-02T00:00:0{id}.000Z\"{it}\n"))
            .collect();
        check_media("", &(DATED.to_owned() + &all), want);
    }
    check(&[",X-A=\"text\",X-B=0xAB,X-C=-1.5,SCTE35-CMD=0xFC00"], &[]);
    check(&[",X-A=YES"], &[(7, InvalidClientAttribute)]);
    check(&[",SCTE35-OUT=\"fc\""], &[(7, InvalidScte35)]);
    let interstitial = ",CLASS=\"com.apple.hls.interstitial\"";
    check(&[&format!("{interstitial},X-ASSET-LIST=\"list.json\"")], &[]);
    check(&[interstitial], &[(7, InterstitialAssets)]);
    check(&[&format!("{interstitial},X-ASSET-URI=\"ad.m3u8\"")], &[(7, RelativeAsset)]);
    let label = |label: &str| format!("{interstitial},X-ASSET-LIST=\"l\",X-SKIP-CONTROL-LABEL-ID=\"{label}\"");
    check(&[&label("Skip_this-Ad")], &[]);
    check(&[&label("skip ad 1")], &[(7, InvalidSkipLabel)]);
    check(&[",CLASS=\"com.apple.hls.preload\",X-URI=\"u\",DURATION=1"], &[(7, IncompletePreload)]);
    check(&[",CLASS=\"c\",DURATION=5", ",CLASS=\"c\",END-ON-NEXT=YES"], &[(8, OverlappingRanges)]);
    check(&[",CLASS=\"c\",DURATION=1", ",CLASS=\"c\",END-ON-NEXT=YES"], &[]);
}

#[test]
fn tags_that_ask_for_more_than_we_know_are_kept_and_not_used() {
    let playlist = media(
        "#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-TARGETDURATION:4\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",REQ-CARE=\"x\"\n#EXTINF:4,\na\n",
    );
    assert!(playlist.segments.get(0).unwrap().keys.is_empty());
    assert_eq!(&*playlist.unknown[0].name, "EXT-X-KEY");
    assert_eq!(rules(&playlist.violations), [(4, Rule::UnknownRequirement)]);
}

#[track_caller]
fn check_multivariant(text: &str, want: &[(u32, Rule)]) {
    assert_eq!(rules(&multivariant(&format!("#EXTM3U\n#EXT-X-VERSION:13\n{text}")).lint()), want, "{text}");
}

#[test]
fn a_multivariant_playlist_as_a_whole() {
    use Rule::*;
    let media = |more: &str| format!("#EXT-X-MEDIA:TYPE={more}\n");
    check_multivariant(&media("CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"n\",INSTREAM-ID=\"SERVICE63\""), &[]);
    let broken = media("CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"n\",INSTREAM-ID=\"SERVICE64\"");
    check_multivariant(&broken, &[(3, InvalidInstreamId)]);
    let audio = |more: &str| media(&format!("AUDIO,URI=\"u\",{more}"));
    check_multivariant(&audio("GROUP-ID=\"a\",NAME=\"n\""), &[(3, MissingChannels)]);
    check_multivariant(&audio("GROUP-ID=\"a\",NAME=\"n\",CHANNELS=\"6//DOWNMIX\""), &[(3, InvalidChannels)]);
    check_multivariant(&audio("GROUP-ID=\"a\",NAME=\"n\",CHANNELS=\"2\",LANGUAGE=\"e n\""), &[(3, InvalidLanguage)]);
    let two = |second: &str| audio("GROUP-ID=\"a\",NAME=\"n\",CHANNELS=\"2\"") + &audio(second);
    check_multivariant(&two("GROUP-ID=\"b\",NAME=\"n\",CHANNELS=\"6\""), &[]);
    check_multivariant(&two("GROUP-ID=\"b\",NAME=\"m\",CHANNELS=\"6\""), &[(4, MembersDiffer)]);
    check_multivariant(
        &two("GROUP-ID=\"a\",NAME=\"m\",CHANNELS=\"6\",STABLE-RENDITION-ID=\"x\""),
        &[(4, StableIdsDiffer)],
    );
    let selected = |name: &str| audio(&format!("GROUP-ID=\"a\",NAME=\"{name}\",AUTOSELECT=YES,CHANNELS=\"2\""));
    check_multivariant(&(selected("n") + &selected("m")), &[(4, AmbiguousAutoselect)]);
    let key = "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n";
    check_multivariant(&key.repeat(2), &[(3, SessionKeyTwice)]);
    check_multivariant("#EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"u\",FORMAT=XML\n", &[(3, UnknownEnumerated)]);
    let import = "#EXT-X-DEFINE:IMPORT=\"a\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"mp4a.40.2\"\nv\n";
    check_multivariant(import, &[(3, ImportWithoutValue), (3, ImportInMultivariant)]);
}

#[test]
fn variants_say_what_they_need() {
    use Rule::*;
    #[track_caller]
    fn check(attributes: &str, want: &[Rule]) {
        let want: Vec<_> = want.iter().map(|rule| (3, *rule)).collect();
        check_multivariant(&format!("#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"avc1\"{attributes}\nv\n"), &want);
    }
    check(",AVERAGE-BANDWIDTH=9,ALLOWED-CPC=\"urn:x:HW/SW-1\",REQ-VIDEO-LAYOUT=\"CH-STEREO,CH-MONO\"", &[]);
    check(",AVERAGE-BANDWIDTH=10", &[AverageAboveBandwidth]);
    check(",ALLOWED-CPC=\"HW\"", &[InvalidAllowedCpc]);
    check(",REQ-VIDEO-LAYOUT=\"CH-MONO/PROJ-RECT\"", &[UselessVideoLayout]);
}

fn of(variant: u32) -> Member {
    Member::Variant(VariantId(variant))
}

#[track_caller]
fn check_pair(common: &str, one: &MediaPlaylist, other: &MediaPlaylist, want: &[(u32, Rule)]) {
    let variants = "#EXT-X-STREAM-INF:BANDWIDTH=9\nv\n#EXT-X-STREAM-INF:BANDWIDTH=9\nw\n";
    let all = multivariant(&format!("#EXTM3U\n{common}{variants}"));
    let found = lint_presentation(&all, &[(of(0), one.clone()), (of(1), other.clone())]);
    assert_eq!(rules(&found[1]), want);
}

#[test]
fn playlists_of_one_presentation_fit_together() {
    use Rule::*;
    let plain = with_header("#EXT-X-ENDLIST\n", FOUR);
    check_pair("", &plain, &plain, &[]);
    let slow = media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-ENDLIST\n{FOUR}"));
    check_pair("", &plain, &slow, &[(2, TargetDurationsDiffer)]);
    let vod = with_header("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n", FOUR);
    check_pair("", &plain, &vod, &[(4, PlaylistTypesDiffer)]);
    let control = with_header("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-ENDLIST\n", FOUR);
    check_pair("", &plain, &control, &[(4, ServerControlDiffers)]);
    let long = with_header("#EXT-X-ENDLIST\n", &FOUR.repeat(2));
    check_pair("", &plain, &long, &[(4, DurationsDiffer)]);
    let jump = with_header("#EXT-X-ENDLIST\n", &format!("#EXT-X-DISCONTINUITY\n{FOUR}"));
    check_pair("", &plain, &jump, &[(1, DiscontinuitiesDiffer)]);
    let dated = |second: &str| {
        let date = format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:0{second}.000Z\n");
        with_header("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n", &(date + FOUR))
    };
    check_pair("", &dated("0"), &vod, &[(1, DatesHereAndThere)]);
    check_pair("", &dated("0"), &dated("1"), &[(8, FirstDatesDiffer)]);
    let start = with_header("#EXT-X-START:TIME-OFFSET=1\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-ENDLIST\n", FOUR);
    let common = "#EXT-X-START:TIME-OFFSET=2\n#EXT-X-INDEPENDENT-SEGMENTS\n";
    check_pair(common, &plain, &start, &[(4, StartTwice), (4, StartsDiffer), (5, IndependentTwice)]);
    let key = with_header("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-ENDLIST\n", FOUR);
    check_pair("#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n", &plain, &key, &[(7, SessionKeyDiffers)]);
    let ranges =
        with_header("#EXT-X-ENDLIST\n", "#EXTINF:4,\n#EXT-X-BYTERANGE:9@0\na\n#EXTINF:4,\n#EXT-X-BYTERANGE:9\na\n");
    check_pair("", &ranges, &ranges, &[(1, PeakAboveBandwidth)]);
}

#[test]
fn subtitles_and_iframes_have_their_own_rules() {
    let all = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"n\",URI=\"u\"\n#EXT-X-STREAM-INF:BANDWIDTH=9\nv\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9,URI=\"i\"\n",
    );
    let vod = with_header("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n", FOUR);
    let long = "#EXTM3U\n#EXT-X-TARGETDURATION:16\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n#EXTINF:16,\ns\n";
    let subtitles = (Member::Rendition(RenditionId(0)), media(long));
    let iframes = (Member::IframeVariant(VariantId(0)), vod.clone());
    let found = lint_presentation(&all, &[(of(0), vod), subtitles, iframes]);
    assert_eq!(rules(&found[1]), []);
    assert_eq!(rules(&found[2]), [(1, Rule::IframesOnlyMissing)]);
}

#[track_caller]
fn check_update(before: &MediaPlaylist, after: &MediaPlaylist, want: &[(u32, Rule)]) {
    assert_eq!(rules(&lint_update(before, after)), want);
}

#[test]
fn an_update_appends_and_removes_in_order() {
    use Rule::*;
    let at = |msn: u32, segments: &str| with_header(&format!("#EXT-X-MEDIA-SEQUENCE:{msn}\n"), segments);
    let before = at(5, FOUR);
    let later = &FOUR[FOUR.find("#EXTINF:4,\nb").unwrap()..];
    check_update(&before, &at(6, &format!("{later}#EXTINF:4,\ne\n")), &[]);
    check_update(
        &before,
        &at(4, FOUR),
        &[
            (4, SequenceWentBack),
            (8, SegmentChanged),
            (10, SegmentChanged),
            (12, RemovedFromTheEnd),
            (12, SegmentChanged),
        ],
    );
    check_update(&before, &at(5, &FOUR.replace("EXTINF:4,\nd", "EXTINF:3,\nd")), &[(12, SegmentChanged)]);
    let key = format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n{FOUR}");
    check_update(&at(5, &key), &at(5, FOUR), &[(6, KeyChanged), (8, KeyChanged), (10, KeyChanged), (12, KeyChanged)]);
    let jump = FOUR.replace("#EXTINF:4,\nd", "#EXT-X-DISCONTINUITY\n#EXTINF:4,\nd");
    check_update(&before, &at(5, &jump), &[(13, DiscontinuityRenumbered)]);
}

#[test]
fn what_is_promised_for_ever_stays() {
    use Rule::*;
    let with = |header: &str| with_header(header, FOUR);
    let event = with("#EXT-X-PLAYLIST-TYPE:EVENT\n");
    check_update(&event, &with("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-ENDLIST\n"), &[]);
    check_update(&event, &with(""), &[(1, TypeChanged)]);
    check_update(&with("#EXT-X-ENDLIST\n"), &with(""), &[(1, EndTakenBack)]);
    let vod = with("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n");
    let more = with_header("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-ENDLIST\n", &FOUR.repeat(2));
    check_update(&vod, &more, &[(4, VodChanged)]);
    let moved =
        with_header("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-MEDIA-SEQUENCE:1\n", &FOUR.replace("#EXTINF:4,\na\n", ""));
    check_update(&event, &moved, &[(5, RemovedFromTheFront)]);
    let target = media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:5\n{FOUR}"));
    check_update(&with(""), &target, &[(2, TargetDurationChanged)]);
}

#[test]
fn date_ranges_only_gain_attributes() {
    use Rule::*;
    let with =
        |ranges: &str| with_header("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00.000Z\n", &format!("{FOUR}{ranges}"));
    let range = |more: &str| format!("#EXT-X-DATERANGE:ID=\"x\",START-DATE=\"2026-01-02T00:00:01.000Z\"{more}\n");
    check_update(&with(&range("")), &with(&range(",DURATION=2")), &[]);
    check_update(&with(&range(",DURATION=2")), &with(&range("")), &[(13, DateRangeChanged)]);
    check_update(&with(&range(",DURATION=2")), &with(""), &[(1, DateRangeRemoved)]);
}

#[test]
fn a_delta_update_is_compared_when_it_is_merged() {
    let control = "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=24\n";
    let before = with_header(control, FOUR);
    let text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n{control}#EXT-X-MEDIA-SEQUENCE:0\n\
         #EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:4,\nd\n#EXTINF:4,\ne\n"
    );
    let options = ParseOptions { previous: Some(&before), ..ParseOptions::default() };
    let Ok(Playlist::Media(after)) = parse(text.as_bytes(), &base(), &options) else { panic!("it is one") };
    check_update(&before, &after, &[]);
}
