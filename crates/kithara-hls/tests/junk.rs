//! Answers that begin rightly and go on wrongly, or are something else: one of them is asked for again, and harms nothing. Streams that
//! are made so are played.

mod support;

use kithara_hls::{
    HlsParams,
    fetch::assets::{AssetStore, MemoryOptions},
};
use kithara_origin::{Fault, Response, Rule};
use support::{assert_exact, file, fixtures, open, playlist, quick, read_all, serve, truth};

const PAGE: &[u8] = b"<html><head><title>502 Bad Gateway</title></head><body>Try again</body></html>";

/// Segments of an odd stream: more than are asked for side by side before the first one has taught anything.
const SEGMENTS: usize = 40;

/// The beginning of a body, and something else behind it.
fn cut(body: &[u8], share: f64, rest: &[u8]) -> Vec<u8> {
    let at = (body.len() as f64 * share) as usize;
    [&body[..at], rest].concat()
}

/// A body with something else in the middle, as long as before.
fn holed(body: &[u8], with: impl Fn(usize) -> u8) -> Vec<u8> {
    let hole = body.len() / 3..body.len() / 3 * 2;
    body.iter().enumerate().map(|(at, byte)| if hole.contains(&at) { with(at) } else { *byte }).collect()
}

/// The first whole packets of a transport stream, as many as this share of it has.
fn packets(body: &[u8], share: f64) -> Vec<u8> {
    let count = (body.len() as f64 * share) as usize / 188;
    body[..count * 188].to_vec()
}

fn noise(at: usize) -> u8 {
    ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8
}

/// Plays a stream of which one resource is answered with `bad` once: all bytes are right, and so is what was stored.
#[track_caller]
fn check(fixture: &str, hit: &str, bad: Vec<u8>, faults: &[Fault]) -> impl Future<Output = ()> {
    let what = format!("{fixture}/{hit}, {} bytes, {faults:?}", bad.len());
    let path = format!("/{fixture}/{hit}");
    let rule = Rule::on(&path).first(1).then(Response::ok(bad));
    let origin = serve(fixtures().rule(faults.iter().cloned().fold(rule, Rule::then)));
    let (url, truth) = (playlist(&origin, fixture), truth(fixture));
    async move {
        let store = AssetStore::memory(MemoryOptions::default());
        let params = || HlsParams { store: Some(store.clone()), ..HlsParams::from(quick()) };
        assert_exact(&read_all(&open(&url, params()).await).await, &truth, &what);
        assert_eq!(origin.requests_of(&path).len(), 2, "{what}");
        assert_exact(&read_all(&open(&url, params()).await).await, &truth, &format!("{what}, from the store"));
        assert_eq!(origin.requests_of(&path).len(), 2, "{what}, from the store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_behind_the_beginning_of_a_segment_is_asked_for_again() {
    for (fixture, hit) in [("ts_aac", "seg1.ts"), ("ts_aes", "seg8.ts"), ("fmp4_aac", "seg1.m4s"), ("adts", "seg1.aac")]
    {
        let body = file(&format!("{fixture}/{hit}"));
        for share in [0.2, 0.5, 0.9] {
            for faults in [&[][..], &[Fault::NoLength], &[Fault::Chunked(700)]] {
                check(fixture, hit, cut(&body, share, PAGE), faults).await;
            }
        }
    }
    let body = file("ts_aac/seg1.ts");
    for share in [0.2, 0.9] {
        let bad = [&packets(&body, share)[..], &PAGE[..74]].concat();
        check("ts_aac", "seg1.ts", bad, &[Fault::Chunked(700)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_else_in_the_middle_of_a_segment_is_asked_for_again() {
    for (fixture, hit) in [("ts_aac", "seg1.ts"), ("ts_aes", "seg8.ts"), ("adts", "seg1.aac")] {
        let body = file(&format!("{fixture}/{hit}"));
        check(fixture, hit, holed(&body, |_| 0), &[]).await;
        check(fixture, hit, holed(&body, noise), &[]).await;
        check(fixture, hit, holed(&body, |at| PAGE[at % PAGE.len()]), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_resource_in_the_place_of_one_is_asked_for_again() {
    let (init, boxes) = (file("fmp4_aac/init.mp4"), file("fmp4_aac/seg3.m4s"));
    let (ts, aac) = (file("ts_aac/seg3.ts"), file("adts/seg3.aac"));
    let text = b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n".to_vec();
    for bad in [&boxes, &ts, &aac] {
        check("fmp4_aac", "init.mp4", bad.clone(), &[]).await;
    }
    for bad in [&init, &ts, &aac, &text] {
        check("fmp4_aac", "seg1.m4s", bad.clone(), &[]).await;
    }
    for bad in [&init, &boxes, &aac, &text] {
        check("ts_aac", "seg1.ts", bad.clone(), &[]).await;
    }
    check("adts", "seg1.aac", ts, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardly_anything_of_a_short_segment_is_asked_for_again_although_its_length_was_announced() {
    for faults in [&[][..], &[Fault::Chunked(100)]] {
        check("ts_aac", "seg1.ts", file("ts_aac/seg1.ts")[..188].to_vec(), faults).await;
    }
}

/// Plays a stream all of whose segments are changed alike: as they are, and once the first ones were, nothing is asked for again.
async fn check_odd(fixture: &str, ending: &str, change: impl Fn(&[u8]) -> Vec<u8>, faults: &[Fault]) {
    let mut site = fixtures().rule(faults.iter().cloned().fold(Rule::on("odd*"), Rule::then));
    let (mut list, mut all) = (String::from("#EXTM3U\n#EXT-X-TARGETDURATION:2\n"), Vec::new());
    for n in 0..SEGMENTS {
        let body = change(&file(&format!("{fixture}/seg{}.{ending}", n % 5)));
        all.extend_from_slice(&body);
        list.push_str(&format!("#EXTINF:1.0,\nodd{n}.{ending}\n"));
        site = site.bytes(&format!("/{fixture}/odd{n}.{ending}"), body);
    }
    let origin = serve(site.bytes(&format!("/{fixture}/odd.m3u8"), list + "#EXT-X-ENDLIST\n"));
    let read = read_all(&open(&origin.url(&format!("/{fixture}/odd.m3u8")), quick()).await).await;
    assert_exact(&read, &all, fixture);
    for n in SEGMENTS / 2..SEGMENTS {
        let requests = origin.requests_of(&format!("/{fixture}/odd{n}.{ending}")).len();
        assert_eq!(requests, 1, "{fixture}, segment {n}, {faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_with_padding_or_junk_in_every_segment_is_played_as_it_is() {
    for faults in [&[][..], &[Fault::NoLength]] {
        for padding in [0, 0xFF] {
            check_odd("ts_aac", "ts", |body| [body, &[padding; 500]].concat(), faults).await;
            check_odd("adts", "aac", |body| [body, &[padding; 500]].concat(), faults).await;
        }
        check_odd("fmp4_aac", "m4s", |body| [body, &[0; 500]].concat(), faults).await;
        // Sixteen bytes behind some packets, and behind none of the first ones.
        let sparse = |body: &[u8]| {
            let packets = body.chunks(188).enumerate();
            packets.flat_map(|(n, packet)| [packet, &[7; 16][..usize::from(n % 9 == 8) * 16]].concat()).collect()
        };
        check_odd("ts_aac", "ts", sparse, faults).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_packet_in_front_of_a_segment_costs_nothing() {
    let origin =
        serve(["seg0.ts", "seg1.ts", "seg2.ts", "seg3.ts", "seg4.ts"].iter().fold(fixtures(), |site, name| {
            site.bytes(
                &format!("/ts_aac/{name}"),
                [&b"the rest of a packet"[..], &file(&format!("ts_aac/{name}"))].concat(),
            )
        }));
    let (bytes, error) = read_all(&open(&playlist(&origin, "ts_aac"), quick()).await).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(bytes.len(), truth("ts_aac").len() + 5 * 20);
    assert_eq!(origin.requests_of("/ts_aac/seg1.ts").len(), 1);
}
