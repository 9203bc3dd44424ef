//! What interstitials play, asked of a server that decides it.

mod support;

use std::time::Duration;

use kithara_hls::{
    Hls, HlsError, HlsEvent, HlsSession,
    hls_core::{
        metadata::{AssetList, Interstitial},
        session::Track,
    },
};
use kithara_origin::{Origin, Response, Site};
use support::{file, fixtures, in_time, quick, serve};

/// A playlist that schedules an interstitial of these attributes two seconds after its beginning.
fn scheduled(attributes: &str) -> String {
    let playlist = String::from_utf8(file("ts_aac/index.m3u8")).expect("UTF-8");
    let (head, rest) = playlist.split_once("#EXTINF").expect("segments are listed");
    format!(
        "{head}#EXT-X-PROGRAM-DATE-TIME:2026-01-02T00:00:00Z\n#EXT-X-DATERANGE:ID=\"ad\",\
         CLASS=\"com.apple.hls.interstitial\",START-DATE=\"2026-01-02T00:00:02Z\",DURATION=15,{attributes}\n#EXTINF{rest}"
    )
}

fn site(attributes: &str, list: Response) -> Site {
    let playlist = Response::new(200).with_body(scheduled(attributes));
    fixtures().route("/ts_aac/ad.m3u8", move |_| playlist.clone()).route("/ts_aac/list.json", move |_| list.clone())
}

/// Opens the stream and finds its interstitial.
async fn opened(origin: &Origin) -> (HlsSession, Interstitial) {
    let session = Hls::session(&origin.url("/ts_aac/ad.m3u8"), quick().into()).expect("a URL");
    let mut segments = session.segments(Track::Main).await.expect("it lives");
    in_time(segments.next()).await.expect("it plays");
    let listed = session.listed().expect("a segment was read, so its playlist is there");
    let range = listed.playlist.date_ranges.first().expect("one is scheduled");
    let interstitial = Interstitial::of(range, &listed.base).expect("it is one");
    let at = listed.dates.time_at(interstitial.start_date);
    assert_eq!(at, Some(Duration::from_secs(2)), "it has its place in presentation time");
    (session, interstitial)
}

const LIST: &str = r#"{"ASSETS":[{"URI":"https://ads.test/1.m3u8?a=b","DURATION":10},{"URI":"https://ads.test/2.m3u8","DURATION":5}]}"#;

fn urls(list: &AssetList) -> Vec<String> {
    list.assets.iter().map(|asset| asset.url.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_asked_for_once_for_each_place_and_names_the_playback() {
    let origin = serve(site("X-ASSET-LIST=\"list.json?slot=1\"", Response::new(200).with_body(LIST)));
    let (session, interstitial) = opened(&origin).await;
    let list = in_time(session.assets_of(&interstitial, Duration::ZERO)).await.expect("it is there");
    assert_eq!(list.duration(), Duration::from_secs(15));
    let again = in_time(session.assets_of(&interstitial, Duration::ZERO)).await.expect("it is remembered");
    assert_eq!(list, again);
    in_time(session.assets_of(&interstitial, Duration::from_millis(2_500))).await.expect("it is there");
    let asked: Vec<String> =
        origin.requests_of("/ts_aac/list.json").iter().map(|it| it.query.clone().unwrap_or_default()).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let id = asked[0].strip_prefix("slot=1&_HLS_primary_id=").expect("the session has a name");
    assert_eq!(id.len(), 32);
    assert_eq!(asked[1], format!("slot=1&_HLS_primary_id={id}&_HLS_start_offset=2.5"));
    let named = [
        format!("https://ads.test/1.m3u8?a=b&_HLS_primary_id={id}"),
        format!("https://ads.test/2.m3u8?_HLS_primary_id={id}"),
    ];
    assert_eq!(urls(&list), named, "what is loaded for it says so, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_asset_costs_no_request() {
    let origin = serve(site("X-ASSET-URI=\"https://ads.test/1.m3u8\"", Response::new(404)));
    let (session, interstitial) = opened(&origin).await;
    let list = in_time(session.assets_of(&interstitial, Duration::ZERO)).await.expect("it is named");
    assert_eq!((list.assets.len(), list.duration()), (1, Duration::from_secs(15)));
    assert!(urls(&list)[0].starts_with("https://ads.test/1.m3u8?_HLS_primary_id="));
}

/// What becomes of a list that the server answers so.
async fn refused(list: Response) -> HlsError {
    let origin = serve(site("X-ASSET-LIST=\"list.json\"", list));
    let (session, interstitial) = opened(&origin).await;
    let mut events = session.events();
    let error = in_time(session.assets_of(&interstitial, Duration::ZERO)).await.expect_err("it cannot be used");
    loop {
        let event = in_time(events.recv()).await.expect("the session lives");
        if let HlsEvent::Error { error: told, recoverable, .. } = event {
            assert!(recoverable, "playback goes on");
            assert_eq!(told.to_string(), error.to_string());
            return error;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_used_is_a_typed_error_and_an_event() {
    let error = refused(Response::new(404)).await;
    assert!(matches!(error, HlsError::Net(_)), "{error:?}");
    let error = refused(Response::new(200).with_body("<html>")).await;
    assert!(matches!(error, HlsError::PlaylistParse { .. }), "{error:?}");
    let huge = format!("{{\"ASSETS\":[]}}{}", " ".repeat(2 << 20));
    let error = refused(Response::new(200).with_body(huge)).await;
    assert!(matches!(error, HlsError::Net(_)), "{error:?}");
}
