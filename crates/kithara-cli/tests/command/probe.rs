//! What is in a playlist, for people and for programs.

use kithara_origin::fixtures_dir;
use serde_json::json;

use crate::{Run, fixtures, scratch, serve, text};

#[test]
fn a_url_is_shown_with_the_media_playlist_of_a_variant() {
    let origin = serve(fixtures());
    let run = Run::of(["probe", &origin.url("/av_master/master.m3u8")]).succeeded();
    let shown = String::from_utf8(run.stdout).unwrap();
    for part in ["multivariant playlist http://", "AUDIO", "SUBTITLES", "media playlist of variant 0", "5 segments"] {
        assert!(shown.contains(part), "`{part}` is missing in {shown}");
    }
}

#[test]
fn the_demo_is_shown_with_its_key() {
    let run = Run::of(["probe", "demo", "--variant", "worst"]).succeeded();
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(shown.contains("key AES-128") && shown.contains("19.921 s in all"), "{shown}");
}

#[test]
fn json_holds_the_facts() {
    let run = Run::of(["probe", "demo", "--json"]).succeeded();
    let json = run.json();
    assert_eq!(json["type"], "multivariant");
    assert_eq!(json["n_variants"], 3);
    assert_eq!(json["selected"]["playlist"]["n_segments"], 5);

    let file = fixtures_dir().join("ts_aes/index.m3u8");
    let json = Run::of(["probe", text(&file), "--json"]).succeeded().json();
    assert_eq!(json["media_sequence"], 7);
    assert_eq!(json["segments"][0]["key"]["method"], "AES-128");
}

#[test]
fn a_file_is_read_with_the_address_and_variables_it_belongs_to() {
    let (_dir, file) = scratch("index.m3u8");
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-DEFINE:IMPORT=\"a\"\n#EXT-X-DEFINE:QUERYPARAM=\"q\"\n\
        #EXTINF:4,\n{$a}/{$q}.ts\n";
    std::fs::write(&file, playlist).unwrap();
    let base = "https://h/index.m3u8?q=2";
    let args = ["probe", text(&file), "--json", "--base", base, "--vars", r#"{"a":"1"}"#];
    assert_eq!(Run::of(args).succeeded().json()["segments"][0]["uri"], json!("1/2.ts"));
}

#[test]
fn what_must_be_rejected_is_an_error_in_words_and_in_json() {
    let (_dir, file) = scratch("index.m3u8");
    std::fs::write(&file, "<html>").unwrap();
    let run = Run::of(["probe", text(&file), "--json"]);
    assert_eq!(run.status, Some(5));
    assert!(run.json()["error"]["message"].as_str().unwrap().contains("not a playlist"), "{run:?}");
    assert!(run.stderr.contains("line 1"), "{}", run.stderr);
}

#[test]
fn broken_rules_are_named_when_asked_for() {
    let (_dir, file) = scratch("index.m3u8");
    std::fs::write(&file, "\u{feff}#EXTM3U\n#EXTINF:4,\na.ts\n").unwrap();
    let shown = String::from_utf8(Run::of(["probe", text(&file)]).succeeded().stdout).unwrap();
    assert!(shown.contains("rules are broken"), "{shown}");
    let run = Run::of(["probe", text(&file), "--lint"]);
    assert_eq!(run.status, Some(1));
    let shown = String::from_utf8(run.stdout).unwrap();
    assert!(shown.contains("line 1: error: the text begins with a byte order mark (section 4.1)"), "{shown}");
    assert!(run.stderr.contains("rules are broken"), "{}", run.stderr);
}

#[test]
fn warnings_alone_are_no_failure() {
    let (_dir, file) = scratch("all.m3u8");
    std::fs::write(&file, "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nv.m3u8\n").unwrap();
    let found = Run::of(["probe", text(&file), "--lint", "--json"]).succeeded().json();
    assert_eq!(found["lint"][0]["rule"], "MissingCodecs");
    assert_eq!((&found["lint"][0]["severity"], &found["lint"][0]["line"]), (&"warning".into(), &2.into()));
}

#[test]
fn an_earlier_version_is_compared() {
    let (dir, later) = scratch("later.m3u8");
    let earlier = dir.path().join("earlier.m3u8");
    let text_of = |uri: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{uri}\n");
    std::fs::write(&later, text_of("b.ts")).unwrap();
    std::fs::write(&earlier, text_of("a.ts")).unwrap();
    let run = Run::of(["probe", text(&later), "--lint", "--before", text(&earlier), "--json"]);
    assert_eq!(run.status, Some(1));
    assert_eq!(run.json()["lint"][0]["rule"], "SegmentChanged");
}

#[test]
fn all_playlists_of_a_presentation_are_looked_at() {
    let found = Run::of(["probe", "demo", "--lint", "--json"]).json();
    let playlists: std::collections::BTreeSet<String> =
        found["lint"].as_array().unwrap().iter().map(|it| it["playlist"].to_string()).collect();
    assert!(found["variants"].as_array().unwrap().len() >= playlists.len().saturating_sub(1), "{found}");
    let errors: Vec<_> = found["lint"].as_array().unwrap().iter().filter(|it| it["severity"] == "error").collect();
    assert!(errors.is_empty(), "{errors:?}");
}
