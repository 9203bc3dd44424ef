//! What playlists of the public internet may name under `AddressPolicy::PublicOnly`.

mod support;

use std::sync::Arc;

use kithara_hls::{
    Hls, HlsError, HlsParams,
    fetch::net::{
        Client, ErrorKind, NetworkOptions,
        address::{AddressPolicy, Provenance},
        transport::scripted::{Reply, ScriptedTransport},
    },
    hls_core::session::{PlaylistText, Track},
};
use support::{in_time, quick, url};

const PUBLIC: &str = "93.184.215.14:80";
const PRIVATE: &str = "192.168.1.5:80";

fn from(address: &str, text: &str) -> Reply {
    Reply::resource(text.to_owned()).from_address(address.parse().expect("an address"))
}

fn media(lines: &str) -> String {
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n{lines}\n#EXT-X-ENDLIST\n")
}

fn master(uri: &str) -> String {
    format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=60000\n{uri}\n")
}

fn params(origin: &ScriptedTransport) -> HlsParams {
    let network = NetworkOptions { address_policy: AddressPolicy::PublicOnly, ..quick().network };
    let client = Client::with_transport(network, Arc::new(origin.clone()));
    HlsParams { client: Some(client), no_store: true, ..quick().into() }
}

/// Why there is no first segment, and what was asked for.
async fn refused(origin: &ScriptedTransport, opened: &str, params: HlsParams) -> (Option<ErrorKind>, Vec<String>) {
    let session = Hls::session(opened, params).expect("a URL");
    let mut segments = session.segments(Track::Main).await.expect("the session lives");
    let error = in_time(segments.next()).await.expect_err("nothing there is media");
    let asked = origin.requests().iter().map(|sent| sent.request.url.to_string()).collect();
    let net = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source());
    let net = net.filter_map(|error| error.downcast_ref::<HlsError>());
    let kinds = net.filter_map(|error| if let HlsError::Net(net) = error { Some(net.kind()) } else { None });
    (kinds.last(), asked)
}

#[track_caller]
fn is_private(url: &str) -> bool {
    ["http://192.168.", "http://169.254.", "http://127.0.", "http://localhost"].iter().any(|it| url.starts_with(it))
}

#[tokio::test]
async fn a_public_playlist_may_not_name_private_addresses() {
    let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"http://169.254.169.254/latest/key\"\n#EXTINF:4,\na.ts";
    let map = "#EXT-X-MAP:URI=\"http://127.0.0.1/init.mp4\"\n#EXTINF:4,\na.m4s";
    for (what, primary, second) in [
        ("a segment", media("#EXTINF:4,\nhttp://192.168.0.1/admin"), String::new()),
        ("a key", media(key), String::new()),
        ("an initialization section", media(map), String::new()),
        ("a media playlist", master("http://192.168.0.1/a.m3u8"), String::new()),
        ("a segment of a media playlist", master("b.m3u8"), media("#EXTINF:4,\nhttp://localhost/admin")),
    ] {
        let origin = ScriptedTransport::new()
            .on("http://cdn.example/a.m3u8", [from(PUBLIC, &primary)])
            .on("http://cdn.example/b.m3u8", [from(PUBLIC, &second)])
            .otherwise(|_| Reply::resource(vec![0x47; 188]).from_address(PUBLIC.parse().expect("an address")));
        let (kind, asked) = refused(&origin, "http://cdn.example/a.m3u8", params(&origin)).await;
        assert!(!asked.iter().any(|url| is_private(url)), "{what}: {asked:?}");
        assert_eq!(kind, Some(ErrorKind::AddressRefused), "{what}");
    }
}

#[tokio::test]
async fn a_private_playlist_and_the_application_may_name_any() {
    let segment = "http://192.168.0.1/a.ts";
    let text = media(&format!("#EXTINF:4,\n{segment}"));
    let origin = ScriptedTransport::new().on("http://home.example/a.m3u8", [from(PRIVATE, &text)]);
    let (_, asked) = refused(&origin, "http://home.example/a.m3u8", params(&origin)).await;
    assert!(asked.iter().any(|url| url == segment), "{asked:?}");

    let handed = |provenance| {
        let playlist = PlaylistText {
            url: url("http://cdn.example/a.m3u8"),
            text: text.clone(),
            from_store: false,
            age: None,
            may_be_cut: false,
        };
        HlsParams { playlist: Some(playlist), playlist_provenance: provenance, ..params(&origin) }
    };
    for (provenance, may) in [(Provenance::App, true), (Provenance::Private, true), (Provenance::Public, false)] {
        let origin = ScriptedTransport::new();
        let params = HlsParams { client: params(&origin).client, ..handed(provenance) };
        let (_, asked) = refused(&origin, "http://cdn.example/a.m3u8", params).await;
        assert_eq!(asked.iter().any(|url| url == segment), may, "{provenance:?}: {asked:?}");
    }
}
