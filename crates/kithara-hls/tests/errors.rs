//! Errors: what they carry, and that they can be kept, shared and sent.

mod support;

use kithara_hls::{Hls, HlsError, HlsEvent, HlsOptions, HlsParams, HlsSession, hls_core::session::Stats};
use kithara_origin::{Response, Rule};
use support::{fixtures, in_time, open, ours, playlist, quick, read_all, serve, try_open};

const fn is_shared<T: Clone + Send + Sync + 'static>() {}
const fn is_sent<T: Send + 'static>() {}

// What the contract promises of the types that cross threads; it does not compile where it does not hold.
const _: () = {
    is_shared::<HlsError>();
    is_shared::<HlsEvent>();
    is_shared::<HlsSession>();
    is_shared::<HlsOptions>();
    is_shared::<Stats>();
    is_sent::<HlsParams>();
    is_sent::<kithara_hls::HlsSource>();
    is_sent::<kithara_hls::Segments>();
    is_sent::<kithara_hls::MediaSegment>();
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_cannot_be_parsed_is_an_error_with_its_url_and_line() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n#EXT-X-TARGETDURATION:5\n#EXT-X-ENDLIST\n";
    let origin = serve(fixtures().bytes("/bad.m3u8", text));
    let error = try_open(&origin.url("/bad.m3u8?token=0123456789abcdef"), quick()).await.map(|_| ());
    let Err(HlsError::PlaylistParse { url: Some(url), line: Some(5), reason }) = &error else {
        unreachable!("{error:?}")
    };
    assert!(url.to_string().contains("/bad.m3u8") && !url.to_string().contains("0123"), "{url}");
    assert!(reason.contains("line 5"), "{reason}");
    assert_eq!(error.as_ref().expect_err("it was one").url(), Some(url));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_had_is_an_error_with_its_url() {
    let refusals = [Response::new(403), Response::ok(vec![7; 5])];
    for refusal in refusals {
        let origin = serve(fixtures().rule(Rule::on("/ts_aes/key.bin").then(refusal)));
        let source = open(&playlist(&origin, "ts_aes"), quick()).await;
        let error = read_all(&source).await.1.expect("there is no key");
        let HlsError::KeyProcessing { url: Some(url), .. } = ours(&error) else { unreachable!("{error:?}") };
        assert!(url.to_string().ends_with("/ts_aes/key.bin"), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_mean_nothing_to_adaptation_are_refused_when_a_session_is_opened() {
    let origin = serve(fixtures());
    let url = playlist(&origin, "ts_aac");
    let wrong = [
        ("min_buffer_for_up_switch_secs", f64::INFINITY),
        ("throughput_safety_factor", f64::NAN),
        ("up_hysteresis_ratio", 0.0),
        ("down_hysteresis_ratio", -0.8),
    ];
    for (field, value) in wrong {
        let mut options = quick();
        match field {
            "min_buffer_for_up_switch_secs" => options.abr.min_buffer_for_up_switch_secs = value,
            "throughput_safety_factor" => options.abr.throughput_safety_factor = value,
            "up_hysteresis_ratio" => options.abr.up_hysteresis_ratio = value,
            _ => options.abr.down_hysteresis_ratio = value,
        }
        let refused = Hls::session(&url, options.clone().into()).map(|_| ());
        assert!(matches!(&refused, Err(HlsError::Abr(option)) if option.field == field), "{refused:?}");
        let refused = try_open(&url, options).await.map(|_| ());
        assert!(matches!(&refused, Err(HlsError::Abr(option)) if option.field == field), "{refused:?}");
    }
    assert!(origin.log().is_empty(), "nothing is asked for");
    let session = Hls::session(&url, quick().into()).expect("the defaults mean something");
    in_time(session.close()).await;
}
