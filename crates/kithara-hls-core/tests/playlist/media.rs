//! What the tags of a media playlist mean.

use std::time::Duration;

use kithara_hls_core::BitRate;
use kithara_hls_core::playlist::{
    AttributeValue, ByteRange, KeyMethod, MediaPlaylist, MediaSequence, ParseErrorKind, PlaylistType, PreloadKind,
    Rule, Segment,
};
use kithara_hls_core::time::WallTime;

use super::{media, refuse};

/// The segments of a playlist with these lines behind its header.
#[track_caller]
fn body(lines: &str) -> MediaPlaylist {
    media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n{lines}"))
}

#[track_caller]
fn facts<T: PartialEq + std::fmt::Debug>(lines: &str, fact: impl Fn(&Segment<'_>) -> T, want: &[T]) {
    assert_eq!(body(lines).segments.iter().map(|it| fact(&it)).collect::<Vec<_>>(), want, "{lines}");
}

fn rules(playlist: &MediaPlaylist) -> Vec<(u32, Rule)> {
    playlist.violations.iter().map(|it| (it.line.0, it.rule)).collect()
}

#[test]
fn a_whole_playlist() {
    let playlist = media(
        "#EXTM3U\r\n#EXT-X-VERSION:6\r\n#EXT-X-TARGETDURATION:10\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:3\r\n#EXT-X-PLAYLIST-TYPE:VOD\r\n#EXT-X-INDEPENDENT-SEGMENTS\r\n\
         #EXT-X-START:TIME-OFFSET=-2.5,PRECISE=YES\r\n\r\n#EXTINF:9.009,first, second\r\na.ts\r\n#EXTINF:3,\r\nb.ts\r\n\
         #EXT-X-ENDLIST",
    );
    assert_eq!(playlist.violations, []);
    assert_eq!(playlist.version, Some(6));
    assert_eq!(playlist.target_duration, Duration::from_secs(10));
    assert_eq!((playlist.media_sequence.0, playlist.discontinuity_sequence.map(|it| it.0)), (7, Some(3)));
    assert_eq!(playlist.playlist_type, Some(PlaylistType::Vod));
    assert!(playlist.ended && playlist.independent_segments && !playlist.iframes_only && !playlist.is_live());
    let start = playlist.start.unwrap();
    assert_eq!((start.time_offset.as_nanos(), start.precise), (-2_500_000_000, true));
    assert_eq!(playlist.segments.len(), 2);
    assert_eq!(playlist.duration(), Duration::from_millis(12_009));
    assert_eq!(playlist.end_sequence(), MediaSequence(9));
    let first = playlist.segments.get(0).unwrap();
    assert_eq!((first.msn.0, first.dsn.0, first.line.0), (7, 3, 11));
    assert_eq!((first.title(), first.duration), (Some("first, second"), Duration::from_millis(9009)));
    assert_eq!(first.uri.url().as_str(), "https://example.com/live/a.ts");
    assert_eq!(playlist.segments.get(1).unwrap().title(), None);
}

#[test]
fn segments_are_found_by_number_and_by_time() {
    let segments = body("#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:2,\na\n#EXTINF:0,\nb\n#EXTINF:3,\nc\n").segments;
    assert_eq!(segments.index_of(MediaSequence(6)), Some(1));
    assert_eq!(segments.index_of(MediaSequence(4)), None);
    assert_eq!(segments.index_of(MediaSequence(8)), None);
    assert_eq!(segments.by_msn(MediaSequence(7)).unwrap().uri.as_str(), "c");
    let at = |millis| segments.at(Duration::from_millis(millis));
    assert_eq!([at(0), at(1999), at(2000), at(4999), at(5000)], [Some(0), Some(0), Some(2), Some(2), None]);
    let starts: Vec<_> = (0..5).map(|index| segments.start(index).map(|it| it.as_secs())).collect();
    assert_eq!(starts, [Some(0), Some(2), Some(2), Some(5), None]);
    assert_eq!(segments.iter_timed().map(|(start, _)| start.as_secs()).collect::<Vec<_>>(), [0, 2, 2]);
}

#[test]
fn byte_ranges_continue_where_the_last_one_ended() {
    let range = |start, len| Some(ByteRange { start, len });
    facts(
        "#EXTINF:1,\n#EXT-X-BYTERANGE:10@5\na\n#EXTINF:1,\n#EXT-X-BYTERANGE:20\na\n#EXTINF:1,\nb\n#EXTINF:1,\n#EXT-X-BYTERANGE:7@0\na\n",
        |it| it.byte_range,
        &[range(5, 10), range(15, 20), None, range(0, 7)],
    );
    let playlist = body("#EXTINF:1,\n#EXT-X-BYTERANGE:10\na\n");
    assert_eq!(playlist.segments.get(0).unwrap().byte_range, range(0, 10));
    assert_eq!(rules(&playlist), [(4, Rule::VersionTooLow), (5, Rule::RangeWithoutOffset)]);
    refuse("#EXTM3U\n#EXT-X-BYTERANGE:x\n", ParseErrorKind::Invalid { tag: "EXT-X-BYTERANGE" }, 2);
}

#[test]
fn discontinuities_are_counted() {
    let lines = "#EXT-X-DISCONTINUITY-SEQUENCE:5\n#EXTINF:1,\na\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\nb\n#EXTINF:1,\nc\n\
                 #EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n#EXTINF:1,\nd\n";
    facts(lines, |it| (it.dsn.0, it.discontinuity), &[(5, false), (6, true), (6, false), (8, true)]);
    // A tag that comes too late is meant for all segments, those of earlier blocks too.
    let many = "#EXTINF:1,\na\n".repeat(300);
    let late = body(&format!("#EXT-X-DISCONTINUITY\n{many}#EXT-X-DISCONTINUITY-SEQUENCE:5\n#EXTINF:1,\nb\n"));
    assert!(late.segments.iter().all(|it| it.dsn.0 == 6));
}

#[test]
fn keys_apply_until_another_of_their_format() {
    let key = |format: &str, uri: &str| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{uri}\",KEYFORMAT=\"{format}\"\n");
    let segment = "#EXTINF:1,\na\n";
    let lines = [
        segment,
        &key("identity", "k1"),
        &key("com.example", "c1"),
        segment,
        &key("identity", "k2"),
        segment,
        "#EXT-X-KEY:METHOD=NONE\n",
        segment,
    ]
    .concat();
    let uris = |it: &Segment<'_>| it.keys.iter().map(|key| key.uri.as_ref().unwrap().as_str().to_owned()).collect();
    let want: [Vec<String>; 4] = [vec![], vec!["k1".into(), "c1".into()], vec!["c1".into(), "k2".into()], vec![]];
    facts(&lines, uris, &want);
}

#[test]
fn a_key_without_a_vector_uses_the_number() {
    let lines = "#EXT-X-MEDIA-SEQUENCE:258\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\na\n\
                 #EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0xABc\n#EXTINF:1,\nb\n#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI=\"k\"\n#EXTINF:1,\nc\n";
    let iv = |it: &Segment<'_>| it.keys[0].iv_for(it.msn).map(|iv| iv.to_string());
    facts(lines, iv, &[Some(format!("{:032x}", 258)), Some(format!("{:032x}", 0xabc)), None]);
}

#[test]
fn a_key_that_cannot_be_used_is_not_taken_for_another() {
    let method = |attributes: &str| {
        let playlist = body(&format!("#EXT-X-KEY:{attributes}\n#EXTINF:1,\na\n"));
        (playlist.segments.get(0).unwrap().keys[0].method.clone(), playlist.violations[0].rule)
    };
    let (unknown, rule) = method("METHOD=ROT-13,URI=\"k\"");
    assert_eq!((unknown, rule), (KeyMethod::Other("ROT-13".into()), Rule::UnknownKeyMethod));
    let (unreadable, rule) = method("METHOD=AES-128,URI=\"k\",IV=[IV]");
    assert_eq!((unreadable, rule), (KeyMethod::Other("AES-128".into()), Rule::InvalidIv));
    refuse("#EXTM3U\n#EXT-X-KEY:URI=\"k\"\n", ParseErrorKind::Missing { tag: "EXT-X-KEY", attribute: "METHOD" }, 2);
}

#[test]
fn an_initialization_section_has_the_keys_before_it() {
    let lines = "#EXT-X-MAP:URI=\"clear.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n#EXTINF:1,\na\n\
                 #EXT-X-MAP:URI=\"secret.mp4\",BYTERANGE=\"100@20\"\n#EXTINF:1,\nb\n#EXTINF:1,\nc\n";
    let init = |it: &Segment<'_>| {
        let init = it.init.unwrap();
        (init.uri.as_str().to_owned(), init.keys.len(), init.byte_range)
    };
    let range = Some(ByteRange { start: 20, len: 100 });
    facts(
        lines,
        init,
        &[("clear.mp4".into(), 0, None), ("secret.mp4".into(), 1, range), ("secret.mp4".into(), 1, range)],
    );
    let playlist = body(lines);
    let shared = |index: usize| std::sync::Arc::as_ptr(playlist.segments.get(index).unwrap().init.as_ref().unwrap());
    assert_eq!(shared(1), shared(2));
}

#[test]
fn an_encrypted_section_should_have_a_vector() {
    let text = |tail: &str| format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-MAP:URI=\"i\"{tail}\n#EXTINF:1,\na\n");
    assert!(body(&text("")).breaks(Rule::EncryptedMapWithoutIv));
    refuse(&format!("#EXTM3U\n{}", text("#EXTINF:1,")), ParseErrorKind::NoIv, 3);
}

#[test]
fn dates_are_carried_both_ways() {
    let lines =
        "#EXTINF:2,\na\n#EXTINF:3,\nb\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:05Z\n#EXTINF:1,\nc\n#EXTINF:1,\nd\n";
    let playlist = body(lines);
    let dates: Vec<_> = (0..5).map(|at| playlist.date_of(at).map(|date| date.to_string())).collect();
    let date = |second| Some(format!("2026-01-01T00:00:0{second}.000Z"));
    assert_eq!(dates, [date(0), date(2), date(5), date(6), None]);
    facts(lines, |it| it.program_date_time.is_some(), &[false, false, true, false]);
    assert_eq!(body("#EXTINF:1,\na\n").date_of(0), None);
}

#[test]
fn rates_apply_to_whole_resources() {
    let lines =
        "#EXTINF:1,\na\n#EXT-X-BITRATE:800\n#EXTINF:1,\nb\n#EXT-X-BYTERANGE:1@0\n#EXTINF:1,\nc\n#EXTINF:1,\nd\n";
    let rate = Some(800_000);
    facts(lines, |it| it.bitrate().map(BitRate::bits_per_second), &[None, rate, None, rate]);
}

#[test]
fn gaps() {
    facts("#EXT-X-GAP\n#EXTINF:1,\na\n#EXTINF:1,\nb\n", |it| it.gap, &[true, false]);
}

#[test]
fn durations_that_are_none_are_the_usual_one() {
    let millis = |it: &Segment<'_>| it.duration.as_millis();
    facts("a\n#EXTINF:,title\nb\n#EXTINF:2,\nc\n#EXTINF:-1,\nd\n", millis, &[9000, 9000, 2000, 0]);
    let playlist = media("#EXTM3U\n#EXTINF:4.6,\na\n#EXTINF:3,\nb\n");
    assert_eq!(playlist.target_duration, Duration::from_secs(5));
    assert_eq!(rules(&playlist), [(2, Rule::VersionTooLow), (5, Rule::MissingTargetDuration)]);
}

#[test]
fn parts_belong_to_the_segment_behind_them() {
    let playlist = body(
        "#EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=54,\
         CAN-SKIP-DATERANGES=YES,HOLD-BACK=27\n\
         #EXT-X-PART:DURATION=0.5,URI=\"a.mp4\",BYTERANGE=\"10@0\",INDEPENDENT=YES\n\
         #EXT-X-PART:DURATION=0.4,URI=\"a.mp4\",BYTERANGE=\"20\",GAP=YES\n#EXTINF:0.9,\na.mp4\n\
         #EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"b.mp4\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"b2.mp4\",BYTERANGE-START=7,BYTERANGE-LENGTH=9\n\
         #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"i.mp4\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"ignored\"\n\
         #EXT-X-RENDITION-REPORT:URI=\"../o.m3u8\",LAST-MSN=3,LAST-PART=1\n#EXT-X-RENDITION-REPORT:URI=\"p.m3u8\"\n",
    );
    let parts: Vec<_> =
        playlist.segments.get(0).unwrap().parts.iter().map(|it| (it.byte_range, it.independent, it.gap)).collect();
    let range = |start, len| Some(ByteRange { start, len });
    assert_eq!(parts, [(range(0, 10), true, false), (range(10, 20), false, true)]);
    let incomplete = playlist.incomplete.as_ref().unwrap();
    assert_eq!((incomplete.msn.0, incomplete.dsn.0, incomplete.parts.len()), (1, 1, 1));
    assert!(incomplete.discontinuity);
    assert_eq!(playlist.duration(), Duration::from_millis(1400));
    assert_eq!(playlist.part_target, Some(Duration::from_millis(500)));
    let control = &playlist.server_control;
    assert!(control.can_block_reload && control.can_skip_date_ranges);
    let seconds = [control.can_skip_until, control.hold_back].map(|it| it.unwrap().as_secs());
    assert_eq!((seconds, control.part_hold_back), ([54, 27], Some(Duration::from_millis(1500))));
    let hints: Vec<_> = playlist.preload_hints.iter().map(|it| (it.kind, it.byte_start, it.byte_len)).collect();
    assert_eq!(hints, [(PreloadKind::Part, 7, Some(9)), (PreloadKind::Init, 0, None)]);
    let reports: Vec<_> =
        playlist.rendition_reports.iter().map(|it| (it.last_msn.map(|it| it.0), it.last_part)).collect();
    assert_eq!(reports, [(Some(3), Some(1)), (None, None)]);
}

#[test]
fn date_ranges_of_one_id_are_one() {
    let playlist = body(
        "#EXT-X-DATERANGE:ID=\"a\",CLASS=\"com.apple.hls.interstitial\",START-DATE=\"2026-01-01T00:00:00Z\",X-ASSET-URI=\"u\",CUE=\"PRE,ONCE\"\n\
         #EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2026-01-01T00:00:00Z\",END-ON-NEXT=YES,CLASS=\"c\"\n\
         #EXT-X-DATERANGE:ID=\"a\",DURATION=1.5,SCTE35-OUT=0xFC\n#EXT-X-DATERANGE:ID=\"a\",DURATION=2\n\
         #EXT-X-DATERANGE:CLASS=\"none\"\n#EXTINF:1,\ns\n",
    );
    assert_eq!(playlist.date_ranges.len(), 2);
    let range = &playlist.date_ranges[0];
    assert!(range.is_interstitial() && range.cue.pre && range.cue.once && !range.cue.post);
    assert_eq!(range.text("X-ASSET-URI"), Some("u"));
    assert_eq!(range.attributes.get("SCTE35-OUT"), Some(&AttributeValue::Plain("0xFC".into())));
    assert_eq!(range.end().map(WallTime::as_millis), Some(range.start_date.unwrap().as_millis() + 1500));
    assert!(playlist.date_ranges[1].end_on_next);
    assert!(playlist.breaks(Rule::DateRangeContradiction) && playlist.breaks(Rule::DateRangeWithoutId));
}

#[test]
fn unknown_tags_are_kept_in_their_place() {
    let playlist = body("#EXT-X-ALLOW-CACHE:YES\n#EXTINF:1,\na\n#EXT-X-CUE-OUT\n# comment\n#EXTINF:1,\nb\n");
    let tags: Vec<_> = playlist.unknown.iter().map(|it| (&*it.name, it.value.as_deref(), it.line.0)).collect();
    assert_eq!(tags, [("EXT-X-ALLOW-CACHE", Some("YES"), 3), ("EXT-X-CUE-OUT", None, 6)]);
    assert_eq!(playlist.unknown[1].before, Some(MediaSequence(1)));
}

#[test]
fn variables_are_replaced_in_uris_and_strings() {
    let playlist = body(
        "#EXT-X-DEFINE:NAME=\"host\",VALUE=\"cdn.example.com\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
         #EXT-X-MAP:URI=\"https://{$host}/i.mp4?t={$token}\"\n#EXTINF:1,a {$title}\nhttps://{$host}/{$host}.ts\n",
    );
    let segment = playlist.segments.get(0).unwrap();
    assert_eq!(segment.uri.url().as_str(), "https://cdn.example.com/cdn.example.com.ts");
    assert_eq!(segment.init.as_ref().unwrap().uri.as_str(), "https://cdn.example.com/i.mp4?t=secret");
    assert_eq!(segment.title(), Some("a {$title}"), "titles are not subject to substitution");
    assert_eq!(playlist.variables.get("host").map(|it| &**it), Some("cdn.example.com"));
}

#[test]
fn variables_without_a_value_matter_where_they_are_used() {
    let define = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"a\"\n#EXT-X-DEFINE:QUERYPARAM=\"b\"\n#EXTINF:1,\n";
    let playlist = media(&format!("{define}x\n"));
    let found: Vec<_> = playlist.violations.iter().filter_map(|it| it.found.as_deref()).collect();
    assert_eq!(found, ["a", "b"]);
    refuse(&format!("{define}{{$a}}\n"), ParseErrorKind::UndefinedVariable, 5);
    refuse(&format!("{define}{{$b}}\n"), ParseErrorKind::UndefinedVariable, 5);
    refuse("#EXTM3U\n#EXTINF:1,\n{$a}\n#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n", ParseErrorKind::UndefinedVariable, 3);
}

#[test]
fn definitions_that_are_refused() {
    let invalid = ParseErrorKind::Invalid { tag: "EXT-X-DEFINE" };
    for (list, kind) in [
        ("", invalid),
        ("VALUE=\"x\"", invalid),
        ("NAME=\"a\",IMPORT=\"a\",VALUE=\"x\"", invalid),
        ("NAME=\"a b\",VALUE=\"x\"", invalid),
        ("NAME=\"a\"", ParseErrorKind::Missing { tag: "EXT-X-DEFINE", attribute: "VALUE" }),
    ] {
        refuse(&format!("#EXTM3U\n#EXT-X-DEFINE:{list}\n"), kind, 2);
    }
    let twice = "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"x\"\n".repeat(2);
    refuse(&format!("#EXTM3U\n{twice}"), ParseErrorKind::DuplicateVariable, 3);
}

#[test]
fn tags_that_may_stand_once() {
    for tag in [
        "EXT-X-VERSION:3",
        "EXT-X-TARGETDURATION:9",
        "EXT-X-MEDIA-SEQUENCE:1",
        "EXT-X-DISCONTINUITY-SEQUENCE:1",
        "EXT-X-PLAYLIST-TYPE:VOD",
        "EXT-X-ENDLIST",
        "EXT-X-I-FRAMES-ONLY",
        "EXT-X-INDEPENDENT-SEGMENTS",
        "EXT-X-START:TIME-OFFSET=1",
        "EXT-X-PART-INF:PART-TARGET=1",
        "EXT-X-SERVER-CONTROL:HOLD-BACK=30",
        "EXT-X-SKIP:SKIPPED-SEGMENTS=1",
    ] {
        let name = tag.split(':').next().unwrap();
        let error = super::try_parse(&format!("#EXTM3U\n#{tag}\n#{tag}\n#EXTINF:1,\na\n")).unwrap_err();
        assert!(matches!(error.kind, ParseErrorKind::Duplicate { tag } if tag == name), "{tag}: {error}");
        assert_eq!(error.line.0, 3);
    }
}

#[test]
fn tags_that_come_too_late() {
    let late = "#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:4\n";
    refuse(late, ParseErrorKind::Misplaced { tag: "EXT-X-MEDIA-SEQUENCE" }, 4);
    let playlist = body("#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:1,\na\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXTINF:1,\nb\n");
    assert_eq!(playlist.delta.as_ref().unwrap().before.get(0).unwrap().msn, MediaSequence(1));
    assert_eq!((playlist.segments.get(0).unwrap().msn, playlist.end_sequence()), (MediaSequence(5), MediaSequence(6)));
}

#[test]
fn texts_in_other_clothes() {
    let want = body("#EXTINF:1,\na.ts\n").segments;
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\na.ts\n";
    for other in [
        text.trim_end().to_owned(),
        text.replace('\n', "\r\n"),
        text.replace('\n', "\r"),
        text.replace('\n', "\n\n"),
        text.replace('\n', "  \n\t"),
        format!("\u{feff}{text}"),
        format!("# a comment first\n{text}"),
        text.replace("#EXTM3U\n", ""),
        text.replace("#EXTM3U", "#EXTM3U url-tvg=\"x\""),
    ] {
        assert_eq!(media(&other).segments, want, "{other:?}");
    }
}

#[test]
fn what_is_not_utf8_costs_its_line() {
    let text = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,caf\xe9\na.ts\n#EXTINF:1,\nb.ts\n";
    let playlist = kithara_hls_core::playlist::parse(text, &super::base(), &Default::default()).unwrap();
    let kithara_hls_core::playlist::Playlist::Media(playlist) = playlist else { panic!("a media playlist") };
    assert_eq!(playlist.segments.get(0).unwrap().title(), Some("caf\u{fffd}"));
    assert_eq!(playlist.segments.get(1).unwrap().uri.as_str(), "b.ts");
    assert_eq!(rules(&playlist), [(3, Rule::InvalidUtf8)]);
}

#[test]
fn versions_are_checked_against_what_is_used() {
    for (version, lines) in [
        (2, "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n"),
        (3, "#EXTINF:1.5,\na\n"),
        (4, "#EXT-X-I-FRAMES-ONLY\n"),
        (5, "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n"),
        (6, "#EXT-X-MAP:URI=\"i\"\n"),
        (8, "#EXT-X-DEFINE:NAME=\"a\",VALUE=\"b\"\n"),
        (9, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"),
        (10, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1,RECENTLY-REMOVED-DATERANGES=\"\"\n"),
        (11, "#EXT-X-DEFINE:QUERYPARAM=\"token\"\n"),
    ] {
        let text = |version| format!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:9\n{lines}");
        assert!(!media(&text(version)).breaks(Rule::VersionTooLow), "{lines}");
        assert!(media(&text(version - 1)).breaks(Rule::VersionTooLow), "{lines}");
    }
    let playlist = media("#EXTM3U\n#EXT-X-VERSION:99\n#EXTINF:1,\na\n");
    assert!(playlist.breaks(Rule::UnknownVersion));
    assert_eq!(
        playlist.violations[0].to_string(),
        "line 2: error: EXT-X-VERSION is higher than any that is defined: 99 (section 4.4.1.2)"
    );
}

#[test]
fn rules_between_tags() {
    let playlist = media(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=1\n\
         #EXT-X-SERVER-CONTROL:HOLD-BACK=11,CAN-SKIP-DATERANGES=YES\n#EXTINF:4.5,\na\n#EXT-X-KEY:METHOD=NONE,URI=\"k\"\n\
         #EXT-X-KEY:METHOD=AES-256-GCM,URI=\"k\",IV=0x1\n#EXT-X-PART:DURATION=1.1,URI=\"p\"\n\
         #EXT-X-DATERANGE:ID=\"a\",CUE=\"PRE,POST\",END-ON-NEXT=YES\n\
         #EXT-X-DATERANGE:ID=\"b\",START-DATE=\"2026-01-01T00:00:01Z\",END-DATE=\"2026-01-01T00:00:00Z\"\n\
         #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q\"\n#EXT-X-ENDLIST\n#EXT-X-ALLOW-CACHE:NO\n",
    );
    let want = [
        (4, Rule::MissingPartHoldBack),
        (5, Rule::HoldBackTooShort),
        (5, Rule::SkipDateRangesAlone),
        (6, Rule::LongerThanTarget),
        (8, Rule::NoneWithAttributes),
        (9, Rule::IvWithoutUse),
        (10, Rule::LongerThanPartTarget),
        (11, Rule::DateRangeWithoutDates),
        (11, Rule::DateRangeWithoutStart),
        (11, Rule::EndOnNextWithEnd),
        (11, Rule::CueBothWays),
        (12, Rule::DateRangeWithoutDates),
        (12, Rule::DateRangeEndsTwice),
        (13, Rule::HintAfterEnd),
        (15, Rule::RemovedFromTheLanguage),
    ];
    assert_eq!(rules(&playlist), want);
}

#[test]
fn every_rule_names_its_section() {
    for rule in Rule::ALL {
        assert!(rule.section().starts_with(['4', '6', '8', 'D', 'F']), "{rule:?}");
        assert!(!rule.text().ends_with('.'), "{rule:?}");
    }
}

#[test]
fn a_target_duration_of_nothing_is_not_believed() {
    assert_eq!(media("#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXTINF:3,\na\n").target_duration.as_secs(), 3);
    assert_eq!(media("#EXTM3U\n#EXT-X-TARGETDURATION:0\n").target_duration.as_secs(), 1);
}
