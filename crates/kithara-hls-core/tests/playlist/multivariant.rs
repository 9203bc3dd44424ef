//! What the tags of a multivariant playlist mean.

use kithara_hls_core::BitRate;
use kithara_hls_core::playlist::{
    ClosedCaptions, FrameRate, HdcpLevel, KeyMethod, MultivariantPlaylist, ParseErrorKind, RenditionKind, Resolution,
    Rule, Score, SessionValue, VariantId, VideoRange,
};

use super::{media, multivariant, refuse};

fn rules(playlist: &MultivariantPlaylist) -> Vec<(u32, Rule)> {
    playlist.violations.iter().map(|it| (it.line.0, it.rule)).collect()
}

#[test]
fn every_attribute_of_a_variant() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-STREAM-INF:BANDWIDTH=1280000,AVERAGE-BANDWIDTH=1000000,SCORE=2.5,\
         CODECS=\"avc1.4d401e, mp4a.40.2\",SUPPLEMENTAL-CODECS=\"dvh1.08.07/db4h\",RESOLUTION=1920x1080,FRAME-RATE=29.970,\
         HDCP-LEVEL=TYPE-1,ALLOWED-CPC=\"com.example.drm1:SMART-TV/PC\",VIDEO-RANGE=PQ,REQ-VIDEO-LAYOUT=\"CH-STEREO/PROJ-EQUI\",\
         STABLE-VARIANT-ID=\"s\",AUDIO=\"a\",VIDEO=\"v\",SUBTITLES=\"t\",CLOSED-CAPTIONS=\"c\",PATHWAY-ID=\"P\",NAME=\"high\",\
         PROGRAM-ID=1\nv/high.m3u8?x=1\n#EXT-X-STREAM-INF:BANDWIDTH=1,CLOSED-CAPTIONS=NONE,HDCP-LEVEL=X,VIDEO-RANGE=Y\nlow.m3u8\n",
    );
    let variant = &playlist.variants[0];
    assert_eq!((variant.id, variant.line.0), (VariantId(0), 3));
    assert_eq!(variant.uri.url().as_str(), "https://example.com/live/v/high.m3u8?x=1");
    assert_eq!((variant.bandwidth, variant.average_bandwidth), (BitRate(1_280_000), Some(BitRate(1_000_000))));
    assert_eq!((variant.score, variant.frame_rate), (Some(Score(2_500_000_000)), Some(FrameRate(29_970))));
    assert_eq!(variant.codecs.as_ref().unwrap().iter().collect::<Vec<_>>(), ["avc1.4d401e", "mp4a.40.2"]);
    assert_eq!(variant.resolution, Some(Resolution { width: 1920, height: 1080 }));
    assert_eq!((&variant.hdcp_level, &variant.video_range), (&Some(HdcpLevel::Type1), &Some(VideoRange::Pq)));
    assert_eq!(variant.closed_captions, Some(ClosedCaptions::Group("c".into())));
    let strings = [&variant.stable_variant_id, &variant.audio, &variant.video, &variant.subtitles, &variant.pathway_id];
    assert_eq!(strings.map(|it| it.as_deref().unwrap()), ["s", "a", "v", "t", "P"]);
    assert_eq!(variant.req_video_layout.as_deref(), Some("CH-STEREO/PROJ-EQUI"));
    assert_eq!(variant.name.as_deref(), Some("high"));
    let other = &playlist.variants[1];
    assert_eq!((other.id, &other.closed_captions), (VariantId(1), &Some(ClosedCaptions::None)));
    assert_eq!(other.hdcp_level, Some(HdcpLevel::Other("X".into())));
    assert_eq!(other.video_range, Some(VideoRange::Other("Y".into())));
}

#[test]
fn every_attribute_of_a_rendition() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",ASSOC-LANGUAGE=\"de\",\
         URI=\"a.m3u8\",DEFAULT=YES,AUTOSELECT=YES,CHANNELS=\"6/JOC,X/BINAURAL\",BIT-DEPTH=24,SAMPLE-RATE=48000,\
         CHARACTERISTICS=\"public.easy-to-read,private\",STABLE-RENDITION-ID=\"s\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"a\",NAME=\"t\",URI=\"t.m3u8\",FORCED=YES\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"cc\",INSTREAM-ID=\"SERVICE1\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\"\nv\n",
    );
    assert_eq!(playlist.violations, []);
    let audio = &playlist.renditions[0];
    assert_eq!((audio.kind, &*audio.group_id, &*audio.name), (RenditionKind::Audio, "a", "English"));
    assert_eq!((audio.language.as_deref(), audio.assoc_language.as_deref()), (Some("en"), Some("de")));
    assert!(audio.default && audio.autoselect && !audio.forced);
    let channels = audio.channels.as_ref().unwrap();
    assert_eq!(channels.count(), Some(6));
    assert_eq!(channels.coding().collect::<Vec<_>>(), ["JOC", "X"]);
    assert_eq!(channels.usage().collect::<Vec<_>>(), ["BINAURAL"]);
    assert_eq!((audio.bit_depth, audio.sample_rate), (Some(24), Some(48_000)));
    assert!(audio.characteristics.as_ref().unwrap().contains("private"));
    assert_eq!(audio.stable_rendition_id.as_deref(), Some("s"));
    assert!(playlist.renditions[1].forced);
    assert_eq!(playlist.renditions[2].instream_id.as_deref(), Some("SERVICE1"));
    let group: Vec<_> = playlist.group(RenditionKind::Audio, "a").map(|it| it.id.0).collect();
    assert_eq!(group, [0]);
}

#[test]
fn renditions_that_break_rules_are_kept() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",DEFAULT=YES\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",DEFAULT=YES,URI=\"\"\n#EXT-X-MEDIA:TYPE=SUBTITLES\n\
         #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"c\",NAME=\"n\",URI=\"x\"\n#EXT-X-MEDIA:TYPE=SMELL,GROUP-ID=\"s\",NAME=\"n\"\n",
    );
    assert_eq!(playlist.renditions.len(), 4);
    assert_eq!(playlist.renditions[1].uri, None);
    let want = [
        (3, Rule::RenditionNameTwice),
        (3, Rule::TwoDefaults),
        (4, Rule::RenditionWithoutGroup),
        (4, Rule::RenditionWithoutName),
        (4, Rule::SubtitlesWithoutUri),
        (5, Rule::CaptionsWithUri),
        (5, Rule::CaptionsWithoutInstreamId),
        (6, Rule::UnknownRenditionType),
    ];
    assert_eq!(rules(&playlist), want);
}

#[test]
fn iframe_variants_are_a_list_of_their_own() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2\nv\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i\",CODECS=\"avc1\"\n\
         #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1\n",
    );
    assert_eq!((playlist.variants.len(), playlist.iframe_variants.len()), (1, 1));
    assert_eq!(playlist.iframe_variants[0].uri.as_str(), "i");
    assert_eq!(rules(&playlist), [(2, Rule::MissingCodecs), (5, Rule::VariantWithoutUri)]);
}

#[test]
fn a_variant_needs_its_uri_and_survives_without_bandwidth() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:CODECS=\"mp4a.40.2\"\n# comment\n\nv\nstray\n\
         #EXT-X-STREAM-INF:BANDWIDTH=3\n",
    );
    let variants: Vec<_> = playlist.variants.iter().map(|it| (it.uri.as_str(), it.bandwidth.0)).collect();
    assert_eq!(variants, [("v", 0)]);
    let want = [
        (3, Rule::VariantWithoutUri),
        (3, Rule::MissingBandwidth),
        (7, Rule::UriWithoutStream),
        (8, Rule::VariantWithoutUri),
    ];
    assert_eq!(rules(&playlist), want);
}

#[test]
fn variants_that_need_what_we_do_not_know_are_left_out() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-VERSION:12\n#EXT-X-STREAM-INF:BANDWIDTH=1,REQ-SMELL=\"x\"\na\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2,REQ-VIDEO-LAYOUT=\"CH-STEREO,CH-FOO\"\nb\n#EXT-X-STREAM-INF:BANDWIDTH=3\nc\n\
         #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",REQ-SMELL=\"x\"\n",
    );
    let variants: Vec<_> = playlist.variants.iter().map(|it| it.uri.as_str()).collect();
    assert_eq!((variants, playlist.renditions.len()), (vec!["c"], 0));
}

#[test]
fn session_tags_and_steering() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-START:TIME-OFFSET=3\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"x\",LANGUAGE=\"en\"\n#EXT-X-SESSION-DATA:DATA-ID=\"b\",URI=\"d.json\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"c\",URI=\"d.bin\",FORMAT=RAW\n#EXT-X-SESSION-DATA:DATA-ID=\"d\"\n\
         #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n#EXT-X-SESSION-KEY:METHOD=NONE\n\
         #EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\",PATHWAY-ID=\"P\"\n#EXT-X-FOO:bar\n",
    );
    assert!(playlist.independent_segments && playlist.start.is_some());
    let values: Vec<_> = playlist.session_data.iter().map(|it| (&*it.id, &it.value)).collect();
    assert!(matches!(values[0], ("a", SessionValue::Text(text)) if &**text == "x"));
    assert!(matches!(values[1], ("b", SessionValue::Json(uri)) if uri.as_str() == "d.json"));
    assert!(matches!(values[2], ("c", SessionValue::Raw(uri)) if uri.as_str() == "d.bin"));
    assert_eq!(playlist.session_keys.iter().map(|key| &key.method).collect::<Vec<_>>(), [&KeyMethod::Aes128]);
    let steering = playlist.content_steering.as_ref().unwrap();
    assert_eq!((steering.server_uri.as_str(), steering.pathway_id.as_deref()), ("/s", Some("P")));
    assert_eq!(playlist.unknown[0].value.as_deref(), Some("bar"));
    let want = [(7, Rule::SessionDataIncomplete), (9, Rule::SessionKeyNone), (10, Rule::UnknownPathway)];
    assert_eq!(rules(&playlist), want);
}

#[test]
fn steering_without_a_server_or_twice_is_refused() {
    let tag = "EXT-X-CONTENT-STEERING";
    let missing = ParseErrorKind::Missing { tag, attribute: "SERVER-URI" };
    refuse("#EXTM3U\n#EXT-X-CONTENT-STEERING:PATHWAY-ID=\"P\"\n", missing, 2);
    let twice = "#EXT-X-CONTENT-STEERING:SERVER-URI=\"s\"\n".repeat(2);
    refuse(&format!("#EXTM3U\n{twice}"), ParseErrorKind::Duplicate { tag }, 3);
}

#[test]
fn both_kinds_in_one_text() {
    let segment = "#EXTINF:1,\na\n";
    let stream = "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\"\nv\n";
    refuse(&format!("#EXTM3U\n{segment}{stream}"), ParseErrorKind::Mixed, 4);
    refuse(&format!("#EXTM3U\n{stream}{segment}"), ParseErrorKind::Mixed, 4);
    // Tags that speak of a whole playlist of the other kind are mistakes without consequence.
    let playlist = multivariant(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n{stream}#EXT-X-ENDLIST\n"));
    assert_eq!(rules(&playlist), [(2, Rule::MixedTags)]);
    let playlist =
        media(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"k\"\n{segment}"));
    assert!(playlist.breaks(Rule::MixedTags));
}

#[test]
fn a_text_without_tags_of_either_kind_is_an_empty_multivariant_playlist() {
    assert_eq!(multivariant("#EXTM3U\n#EXT-X-VERSION:3\n").variants, []);
    assert_eq!(media("#EXTM3U\n#EXT-X-TARGETDURATION:3\n").segments.len(), 0);
}

#[test]
fn rules_between_tags() {
    let playlist = multivariant(
        "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"n\",DEFAULT=YES,AUTOSELECT=NO,FORCED=YES,STABLE-RENDITION-ID=\"?\"\n\
         #EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"v\",NAME=\"n\",CHANNELS=\"2\",NAME=\"n\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\",AUDIO=\"a\",VIDEO=\"a\",SCORE=1,CLOSED-CAPTIONS=NONE\nx\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"c\",STABLE-VARIANT-ID=\" \",PROGRAM-ID=1\ny\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"x\"\n#EXT-X-SESSION-DATA:DATA-ID=\"a\",VALUE=\"y\"\n",
    );
    let want = [
        (2, Rule::DefaultNotSelected),
        (2, Rule::ForcedWithoutSubtitles),
        (2, Rule::InvalidStableId),
        (3, Rule::AttributeTwice),
        (3, Rule::AudioAttributeElsewhere),
        (4, Rule::UnknownGroup),
        (6, Rule::RemovedFromTheLanguage),
        (6, Rule::InvalidStableId),
        (6, Rule::MissingScore),
        (6, Rule::CaptionsHereAndThere),
        (9, Rule::SessionDataTwice),
    ];
    assert_eq!(rules(&playlist), want);
}
