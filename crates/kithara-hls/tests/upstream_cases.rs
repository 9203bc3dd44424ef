//! Valid streams that players of this kind are known to get wrong, one test each.

mod support;

use std::{collections::BTreeSet, time::Duration};

use kithara_hls::{
    HlsError, HlsOptions, HlsParams,
    fetch::assets::{AssetStore, MemoryOptions},
    hls_core::{
        playlist::VariantId,
        session::{MediaId, MediaSelection, PlaybackOptions, VariantChoice},
    },
};
use kithara_origin::{Fault, Origin, Response, Rule, Site};
use support::{
    assert_exact, chain, file, fixtures, joined, open, ours, playlist, quick, read_all, serve, truth, try_open,
};

fn playing(change: impl FnOnce(&mut PlaybackOptions)) -> HlsOptions {
    let mut options = quick();
    change(&mut options.playback);
    options
}

fn selecting(choice: VariantChoice) -> HlsOptions {
    playing(|playback| playback.variant = choice)
}

/// Paths that were asked for, each once or not at all.
#[track_caller]
fn paths(origin: &Origin) -> BTreeSet<String> {
    let log = origin.log();
    let paths: BTreeSet<String> = log.iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths.len(), log.len(), "something was asked for twice: {log:#?}");
    paths
}

fn below(folder: &str, names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| format!("{folder}/{name}")).collect()
}

const FMP4: [&str; 7] = ["index.m3u8", "init.mp4", "seg0.m4s", "seg1.m4s", "seg2.m4s", "seg3.m4s", "seg4.m4s"];

/// A media playlist in front of the files of a fixture.
fn rewritten(fixture: &str, change: impl Fn(&str) -> String) -> Site {
    let text = String::from_utf8(file(&format!("{fixture}/index.m3u8"))).expect("playlists are UTF-8");
    fixtures().bytes(&format!("/{fixture}/index.m3u8"), change(&text))
}

async fn assert_reads(site: Site, path: &str, options: HlsOptions, truth: &[u8]) -> Origin {
    let origin = serve(site);
    let read = read_all(&open(&origin.url(path), options).await).await;
    assert_exact(&read, truth, path);
    origin
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byte_ranges_are_fetched_as_ranges() {
    let origin = assert_reads(fixtures(), "/fmp4_byterange/index.m3u8", quick(), &truth("fmp4_byterange")).await;
    let log = origin.requests_of("/fmp4_byterange/all.mp4");
    assert!(log.iter().all(|request| request.range.is_some() && request.status == 206), "{log:#?}");
    let sent: u64 = log.iter().map(|request| request.bytes_sent).sum();
    assert_eq!(sent, truth("fmp4_byterange").len() as u64, "{log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byte_ranges_without_offset_go_on_where_the_one_before_ended() {
    let site = rewritten("fmp4_byterange", |text| {
        ["@7273", "@13697", "@20103", "@26471"].iter().fold(text.to_owned(), |text, offset| text.replace(offset, ""))
    });
    assert_reads(site, "/fmp4_byterange/index.m3u8", quick(), &truth("fmp4_byterange")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_map_stands_where_it_begins_to_count() {
    let origin =
        assert_reads(fixtures(), "/fmp4_discontinuity/index.m3u8", quick(), &truth("fmp4_discontinuity")).await;
    for init in ["/fmp4_discontinuity/a_init.mp4", "/fmp4_discontinuity/b_init.mp4"] {
        assert_eq!(origin.requests_of(init).len(), 1, "{init}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audio_only_session_reads_the_audio_rendition_and_no_video() {
    let options = playing(|playback| playback.selection = MediaSelection::AudioOnly);
    let origin = assert_reads(fixtures(), "/av_master/master.m3u8", options, &truth("av_master/audio_en")).await;
    let mut want = below("/av_master/audio_en", &FMP4);
    want.insert("/av_master/master.m3u8".to_owned());
    assert_eq!(paths(&origin), want);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_i_frame_variant_is_no_variant() {
    for choice in [VariantChoice::Auto, VariantChoice::Worst, VariantChoice::Best] {
        let origin = serve(fixtures());
        let source = open(&origin.url("/av_master/master.m3u8"), selecting(choice)).await;
        assert_eq!(source.session().status().variants.len(), 1);
        assert_eq!(source.media(), MediaId::Variant(VariantId(0)));
        assert_exact(&read_all(&source).await, &truth("av_master/video"), "the video");
        assert!(paths(&origin).iter().all(|path| !path.contains("iframes")), "{:?}", origin.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_playlist_that_is_played_is_loaded() {
    for (choice, folder) in [(VariantChoice::Worst, "32k"), (VariantChoice::Best, "128k")] {
        let origin = serve(kithara_origin::demo());
        let source = open(&origin.url("/master.m3u8"), selecting(choice)).await;
        let (bytes, error) = read_all(&source).await;
        assert!(error.is_none() && bytes.len() > 50_000, "{error:?}");
        let mut want = below(&format!("/{folder}"), &FMP4);
        want.extend(["/master.m3u8".to_owned(), "/key.bin".to_owned()]);
        assert_eq!(paths(&origin), want);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_playlist_can_be_opened_directly() {
    let origin = assert_reads(fixtures(), "/ts_aac/index.m3u8", quick(), &truth("ts_aac")).await;
    let segments = ["index.m3u8", "seg0.ts", "seg1.ts", "seg2.ts", "seg3.ts", "seg4.ts"];
    assert_eq!(paths(&origin), below("/ts_aac", &segments));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_without_codecs_is_played() {
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=60000\nfmp4_aac/index.m3u8\n";
    assert_reads(fixtures().bytes("/master.m3u8", master), "/master.m3u8", quick(), &truth("fmp4_aac")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn playlists_of_every_version_are_read() {
    for version in 1..=13 {
        let site = rewritten("fmp4_aac", |text| text.replace("VERSION:7", &format!("VERSION:{version}")));
        let master = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-STREAM-INF:BANDWIDTH=60000,CODECS=\"mp4a.40.2\"\nfmp4_aac/index.m3u8\n"
        );
        assert_reads(site.bytes("/master.m3u8", master), "/master.m3u8", quick(), &truth("fmp4_aac")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clear_init_section_may_precede_encrypted_segments() {
    for fixture in ["fmp4_aes", "fmp4_aes_init"] {
        let path = format!("/{fixture}/index.m3u8");
        let origin = assert_reads(fixtures(), &path, quick(), &truth("fmp4_aac")).await;
        assert_eq!(origin.requests_of(&format!("/{fixture}/key.bin")).len(), 1, "one key, one request");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_rotate_are_fetched_once_each() {
    let origin = assert_reads(fixtures(), "/ts_rotate/index.m3u8", quick(), &truth("ts_rotate")).await;
    let keys = paths(&origin).into_iter().filter(|path| path.contains("key")).count();
    assert_eq!(keys, 3);
}

/// Three variants; the one that is missing is named by its place.
fn master_without(missing: usize) -> Site {
    let names = ["fmp4_aac", "ts_aac", "adts"];
    let site = fixtures().rule(Rule::on(&format!("/{}/index.m3u8", names[missing])).then(Response::new(404)));
    let variants = names.iter().zip([40_000, 80_000, 120_000]);
    let lines = variants.map(|(name, rate)| format!("#EXT-X-STREAM-INF:BANDWIDTH={rate}\n{name}/index.m3u8\n"));
    site.bytes("/master.m3u8", format!("#EXTM3U\n{}", lines.collect::<String>()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_whose_playlist_is_missing_is_replaced_by_another() {
    let names = ["fmp4_aac", "ts_aac", "adts"];
    for choice in [VariantChoice::Auto, VariantChoice::Worst, VariantChoice::Best] {
        for missing in 0..3 {
            let origin = serve(master_without(missing));
            let source = open(&origin.url("/master.m3u8"), selecting(choice)).await;
            let MediaId::Variant(VariantId(chosen)) = source.media() else { panic!("a rendition was chosen") };
            let chosen = usize::try_from(chosen).expect("three variants");
            assert_ne!(chosen, missing, "{choice:?}");
            assert_exact(&read_all(&source).await, &truth(names[chosen]), names[chosen]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_that_was_asked_for_and_is_missing_is_an_error() {
    let origin = serve(master_without(1));
    let error = try_open(&origin.url("/master.m3u8"), selecting(VariantChoice::Id(VariantId(1)))).await;
    let error = error.expect_err("nothing else was asked for");
    assert_eq!(error.status(), Some(404), "{error:?}");
}

/// Before a byte is handed out, a stream that does not deliver is given up for another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variant_whose_first_segment_is_no_media_is_replaced_by_another() {
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=40000\nadts/index.m3u8\n\
        #EXT-X-STREAM-INF:BANDWIDTH=120000\nts_aac/index.m3u8\n";
    let site = fixtures()
        .bytes("/master.m3u8", master)
        .rule(Rule::on("/ts_aac/seg0.ts").then(Response::html("<html>Please log in.</html>")));
    let origin = serve(site);
    let source = open(&origin.url("/master.m3u8"), selecting(VariantChoice::Best)).await;
    assert_exact(&read_all(&source).await, &truth("adts"), "the other variant");
}

/// Encryption that is not supported, in every place where it can stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encryption_that_is_not_supported_is_never_read_as_clear() {
    let keys = [
        "METHOD=SAMPLE-AES,URI=\"key.bin\"",
        "METHOD=SAMPLE-AES-CTR,URI=\"key.bin\"",
        "METHOD=ROT13,URI=\"key.bin\"",
        "METHOD=AES-128,URI=\"skd://key\",KEYFORMAT=\"com.apple.streamingkeydelivery\"",
        "METHOD=SAMPLE-AES,URI=\"data:text/plain;base64,AAAA\",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"",
    ];
    for key in keys {
        for (fixture, before) in [("ts_aac", ""), ("fmp4_aac", "seg0.m4s\n"), ("adts", "seg1.aac\n")] {
            let tag = format!("#EXT-X-KEY:{key}\n");
            let site = rewritten(fixture, |text| match before {
                "" => text.replacen("#EXTINF", &format!("{tag}#EXTINF"), 1),
                before => text.replace(before, &format!("{before}{tag}")),
            });
            let clear = match before {
                "" => Vec::new(),
                "seg0.m4s\n" => joined(fixture, &["init.mp4", "seg0.m4s"]),
                _ => joined(fixture, &["seg0.aac", "seg1.aac"]),
            };
            let origin = serve(site);
            let error = match try_open(&playlist(&origin, fixture), quick()).await {
                Err(error) => error,
                Ok(source) => {
                    let (bytes, error) = read_all(&source).await;
                    assert_eq!(bytes.len(), clear.len(), "{key} on {fixture}: bytes of something encrypted");
                    assert_eq!(bytes, clear, "{key} on {fixture}");
                    ours(&error.expect("it cannot go on")).clone()
                }
            };
            assert!(matches!(error, HlsError::KeyProcessing { .. }), "{key} on {fixture}: {error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_503_is_an_error_after_a_handful_of_requests() {
    for path in ["/master.m3u8", "/ts_aac/index.m3u8", "/ts_aac/seg2.ts"] {
        let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=60000\nts_aac/index.m3u8\n";
        let site = fixtures().bytes("/master.m3u8", master).rule(Rule::on(path).then(Response::new(503)));
        let origin = serve(site);
        let error = match try_open(&origin.url("/master.m3u8"), quick()).await {
            Err(error) => error,
            Ok(source) => {
                let (bytes, error) = read_all(&source).await;
                assert!(truth("ts_aac").starts_with(&bytes));
                ours(&error.expect("it fails")).clone()
            }
        };
        assert_eq!(error.status(), Some(503), "{path}: {error:?}");
        assert!(chain(&error).contains(path), "{path}: {}", chain(&error));
        let requests = origin.requests_of(path).len();
        assert!(requests <= 8, "{path}: {requests} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_is_generated_first_is_waited_for() {
    let answers =
        [(1, Response::new(404)), (3, Response::new(202).with_retry_after(Duration::ZERO)), (3, Response::new(503))];
    for (times, answer) in answers {
        let site = fixtures().rule(Rule::on("/ts_aac/index.m3u8").first(times).then(answer));
        let options = playing(|playback| playback.ready_timeout = Duration::from_secs(20));
        assert_reads(site, "/ts_aac/index.m3u8", options, &truth("ts_aac")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relative_uris_are_resolved_against_the_url_after_redirects() {
    let site = fixtures().route("/go", |_| Response::redirect(302, "/fmp4_aac/index.m3u8"));
    assert_reads(site, "/go", quick(), &truth("fmp4_aac")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_media_playlist_imports_variables_of_its_multivariant_playlist() {
    let text = String::from_utf8(file("fmp4_aac/index.m3u8")).expect("playlists are UTF-8");
    let text = text.replace("#EXT-X-VERSION:7", "#EXT-X-VERSION:8\n#EXT-X-DEFINE:IMPORT=\"edge\"");
    let text = text.replace(".m4s", ".m4s?edge={$edge}");
    let main = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"edge\",VALUE=\"north\"\n#EXT-X-STREAM-INF:BANDWIDTH=100000\nb\n";
    let site = fixtures().bytes("/fmp4_aac/a", main).bytes("/fmp4_aac/b", text);
    let origin = assert_reads(site, "/fmp4_aac/a", quick(), &truth("fmp4_aac")).await;
    for n in 0..5 {
        let asked = origin.requests_of(&format!("/fmp4_aac/seg{n}.m4s"));
        assert!(!asked.is_empty() && asked.iter().all(|it| it.query.as_deref() == Some("edge=north")), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_parameters_of_a_playlist_are_those_of_the_url_after_redirects() {
    let text = String::from_utf8(file("fmp4_aac/index.m3u8")).expect("playlists are UTF-8");
    let define = "#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"token\"";
    let text = text.replace("#EXT-X-VERSION:7", define).replace(".m4s", ".m4s?token={$token}");
    let site = fixtures().route("/a", |_| Response::redirect(302, "/fmp4_aac/b?token=9")).bytes("/fmp4_aac/b", text);
    let origin = assert_reads(site, "/a?x=1&token=1", quick(), &truth("fmp4_aac")).await;
    for n in 0..5 {
        let asked = origin.requests_of(&format!("/fmp4_aac/seg{n}.m4s"));
        assert!(!asked.is_empty() && asked.iter().all(|it| it.query.as_deref() == Some("token=9")), "{asked:?}");
    }
    assert!(origin.requests_of("/fmp4_aac/init.mp4").iter().all(|it| it.query.is_none()), "it does not use it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_playlist_has_the_query_parameters_that_it_is_asked_for_with() {
    let text = String::from_utf8(file("fmp4_aac/index.m3u8")).expect("playlists are UTF-8");
    let define = "#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"edge\"";
    let text = text.replace("#EXT-X-VERSION:7", define).replace(".m4s", ".m4s?edge={$edge}");
    let fresh = Fault::Header("Cache-Control".into(), "max-age=60".into());
    let origin = serve(fixtures().bytes("/fmp4_aac/b", text).rule(Rule::on("/fmp4_aac/b").then(fresh)));
    let store = AssetStore::memory(MemoryOptions::default());
    for what in ["loaded", "stored"] {
        let params = HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) };
        let read = read_all(&open(&origin.url("/fmp4_aac/b?edge=north"), params).await).await;
        assert_exact(&read, &truth("fmp4_aac"), what);
    }
    assert_eq!(origin.requests_of("/fmp4_aac/b").len(), 1, "it is fresh");
}
