//! Input from somebody who means harm: a typed error or recovery, soon, without a panic, in bounded memory.
//!
//! The memory is that of the process, so this file is a process of its own.

mod support;

use std::{fmt::Write as _, time::Duration};

use kithara_hls::{
    HlsError, HlsOptions, HlsSource,
    fetch::net::ErrorKind,
    hls_core::session::{ReaderOptions, Track},
};
use kithara_origin::{Fault, Origin, Redirect, Rule, Site};
use support::{Dice, PATIENCE, file, fixtures, in_time, quick, read_all, read_range, serve, try_open};
use tokio::task::JoinSet;

/// What a session may need at its worst beyond what the process has before, in bytes.
const MEMORY: u64 = 200 << 20;

/// For playlists that may wait for more: nothing comes later.
const AWHILE: Duration = Duration::from_secs(1);

/// The largest resident size of this process so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel counts");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}

/// What opening and reading a little came to. Whatever it is: it is soon, and no panic.
async fn poke(origin: &Origin, path: &str, options: HlsOptions) -> Result<(HlsSource, Vec<u8>), HlsError> {
    let source = try_open(&origin.url(path), options).await?;
    let (bytes, error) = in_time(read_range(&source, 0..2_000)).await;
    match error {
        None => Ok((source, bytes)),
        Some(error) => Err(error.into()),
    }
}

async fn poke_text(text: impl Into<bytes::Bytes>) -> Result<Vec<u8>, HlsError> {
    let site = fixtures().bytes("/hostile.m3u8", text).bytes("/s", file("ts_aac/seg0.ts"));
    let origin = serve(site);
    poke(&origin, "/hostile.m3u8", quick()).await.map(|(_, bytes)| bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_playlist_is_an_error_that_says_so() {
    let texts: [&[u8]; 9] = [
        b"",
        b"\n\n\n",
        b"#EXTM3",
        b"<html><body>Please log in.</body></html>",
        b"{\"error\": \"gone\"}",
        &[0; 4096],
        &[0xff; 4096],
        b"\xef\xbb\xbf",
        b"GIF89a\x01\x00\x01\x00",
    ];
    for text in texts {
        let error = poke_text(text).await.expect_err("it is none");
        assert!(matches!(error, HlsError::PlaylistParse { .. }), "{:?}: {error:?}", text.escape_ascii().to_string());
        let words = error.to_string();
        assert!(words.contains("/hostile.m3u8") && words.contains("line 1:"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_without_media_is_an_error_or_an_empty_stream() {
    for text in ["#EXTM3U\n", "#EXTM3U\n#EXT-X-ENDLIST\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-ENDLIST\n"] {
        match poke_text(text).await {
            Ok(bytes) => assert!(bytes.is_empty()),
            Err(error) => assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{text}: {error:?}"),
        }
    }
    let error = poke_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n").await.expect_err("a variant without URI");
    assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_cut_anywhere_is_an_error_or_a_shorter_stream() {
    let text = file("fmp4_aes/index.m3u8");
    let mut tasks = JoinSet::new();
    for len in (0..text.len()).step_by(7) {
        let text = text[..len].to_vec();
        tasks.spawn(async move {
            let origin = serve(fixtures().bytes("/fmp4_aes/index.m3u8", text));
            // Without an end it is a live one: whoever reads it waits for more.
            let poked = tokio::time::timeout(AWHILE, poke(&origin, "/fmp4_aes/index.m3u8", quick())).await;
            if let Ok(Err(error)) = poked {
                assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{len}: {error:?}");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_with_wrong_bytes_anywhere_never_panics() {
    let (mut dice, mut tasks) = (Dice(7), JoinSet::new());
    for fixture in ["fmp4_byterange", "ts_rotate", "fmp4_discontinuity"] {
        for _ in 0..25 {
            let mut text = file(&format!("{fixture}/index.m3u8"));
            for _ in 0..4 {
                let at = usize::try_from(dice.below(text.len() as u64)).expect("small");
                text[at] = u8::try_from(dice.below(256)).expect("a byte");
            }
            let path = format!("/{fixture}/index.m3u8");
            let origin = serve(fixtures().bytes(&path, text));
            // Whatever it comes to; perhaps it is a live one now.
            tasks.spawn(async move { drop(tokio::time::timeout(AWHILE, poke(&origin, &path, quick())).await) });
        }
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_at_the_end_of_their_range_never_panic() {
    let most = u64::MAX;
    let lines = [
        format!("#EXT-X-MEDIA-SEQUENCE:{most}"),
        format!("#EXT-X-MEDIA-SEQUENCE:{}", most - 1),
        format!("#EXT-X-DISCONTINUITY-SEQUENCE:{most}"),
        format!("#EXT-X-TARGETDURATION:{most}"),
        "#EXT-X-MEDIA-SEQUENCE:99999999999999999999999999".to_owned(),
        "#EXT-X-VERSION:18446744073709551616".to_owned(),
        format!("#EXT-X-DISCONTINUITY-SEQUENCE:{most}\n#EXT-X-DISCONTINUITY"),
        format!("#EXT-X-BYTERANGE:{most}@{most}"),
        format!("#EXT-X-BYTERANGE:{most}@0"),
        format!("#EXT-X-BYTERANGE:1@{most}"),
        "#EXT-X-BYTERANGE:0@0".to_owned(),
        format!("#EXT-X-MAP:URI=\"s\",BYTERANGE=\"{most}@{most}\""),
        format!("#EXT-X-START:TIME-OFFSET=-{most}.9"),
        "#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59.999Z".to_owned(),
        "#EXT-X-PROGRAM-DATE-TIME:0000-01-01T00:00:00Z".to_owned(),
        format!("#EXT-X-BITRATE:{most}"),
        "#EXT-X-KEY:METHOD=AES-128,URI=\"ts_aes/key.bin\",IV=0xffffffffffffffffffffffffffffffffff".to_owned(),
    ];
    let durations =
        ["1".to_owned(), most.to_string(), format!("{most}.{most}"), "1e308".into(), "-1".into(), "NaN".into()];
    let mut tasks = JoinSet::new();
    for line in lines {
        for duration in &durations {
            let text = format!("#EXTM3U\n{line}\n#EXTINF:{duration},\ns\n#EXTINF:{duration},\ns?2\n#EXT-X-ENDLIST\n");
            let work = read_everywhere(text.clone());
            tasks.spawn(async move { tokio::time::timeout(PATIENCE / 2, work).await.err().map(|_| text) });
        }
    }
    let hung: Vec<String> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(hung.is_empty(), "these never end: {hung:#?}");
}

/// Uses a playlist in both views. Whatever it comes to.
async fn read_everywhere(text: String) {
    let origin = serve(Site::new().bytes("/hostile.m3u8", text).bytes("/s", file("ts_aac/seg0.ts")));
    let options = HlsOptions { reader: ReaderOptions { resolve_sizes: true }, ..quick() };
    let Ok((source, _)) = poke(&origin, "/hostile.m3u8", options).await else { return };
    let _ = read_range(&source, u64::MAX - 10..u64::MAX).await;
    let session = source.session();
    session.seek(Duration::MAX).await.expect("it lives");
    let mut segments = session.segments(Track::Main).await.expect("it lives");
    let _ = segments.next().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_given_up() {
    let endless = |site: Site, path: &str| site.pattern(path, 1, 1 << 40).rule(Rule::on(path).then(Fault::NoLength));
    let origin = serve(endless(Site::new(), "/endless.m3u8"));
    let error = poke(&origin, "/endless.m3u8", quick()).await.expect_err("it has no end");
    assert!(matches!(&error, HlsError::Net(net) if net.kind() == ErrorKind::TooLarge), "{error:?}");

    // It says at once that it is too large.
    let origin = serve(Site::new().pattern("/huge.m3u8", 1, 1 << 40));
    let error = poke(&origin, "/huge.m3u8", quick()).await.expect_err("it is too large");
    assert!(matches!(&error, HlsError::Net(net) if net.kind() == ErrorKind::TooLarge), "{error:?}");
    assert!(origin.log()[0].bytes_sent < 64 << 20, "{:?}", origin.log());

    // A key, an initialization section.
    let text = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n#EXTINF:1,\nts_aes/seg7.ts\n#EXT-X-ENDLIST\n";
    let origin = serve(endless(fixtures().bytes("/hostile.m3u8", text), "/key"));
    let error = poke(&origin, "/hostile.m3u8", quick()).await.expect_err("no key has that many bytes");
    assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{error:?}");

    let text = "#EXTM3U\n#EXT-X-MAP:URI=\"init\"\n#EXTINF:1,\nfmp4_aac/seg0.m4s\n#EXT-X-ENDLIST\n";
    let origin = serve(endless(fixtures().bytes("/hostile.m3u8", text), "/init"));
    let error = poke(&origin, "/hostile.m3u8", quick()).await.expect_err("it is noise");
    assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{error:?}");
}

/// Dripping, a playlist may never move too little for the stall window and never end either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_playlist_that_drips_for_ever_is_given_up_at_the_deadline() {
    let drip = Rule::on("/slow.m3u8").then(Fault::Drip { bytes: 400, every: Duration::from_millis(50) });
    let origin =
        serve(Site::new().pattern("/slow.m3u8", 1, 1 << 30).rule(drip).rule(Rule::on("*").then(Fault::NoLength)));
    let mut options = quick();
    options.request.deadline = Duration::from_secs(1);
    let error = poke(&origin, "/slow.m3u8", options).await.expect_err("it never ends");
    assert!(matches!(error, HlsError::Net(_) | HlsError::Fetch(_)), "{error:?}");
}

/// A key of sixteen bytes, each of them progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_drips_is_given_up_at_the_deadline() {
    let each = Duration::from_secs(3);
    let drip = Rule::on("/ts_aes/key.bin").then(Fault::Drip { bytes: 1, every: each / 8 });
    let origin = serve(fixtures().rule(drip));
    let mut options = quick();
    options.request.deadline = Duration::from_secs(1);
    options.network.timeouts.min_progress = 1;
    let begun = std::time::Instant::now();
    let error = poke(&origin, "/ts_aes/index.m3u8", options).await.expect_err("the whole key takes six seconds");
    let took = begun.elapsed();
    assert!(took < each, "{took:?}: {error:?}");
    let keys = origin.requests_of("/ts_aes/key.bin");
    assert!(keys.iter().all(|key| (1..16).contains(&key.bytes_sent)), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_that_lead_nowhere_are_errors() {
    let targets = [
        Redirect::endless(),
        Redirect::hops(100),
        Redirect::to("/hostile.m3u8"),
        Redirect::to("file:///etc/passwd"),
        Redirect::to("data:application/x-mpegurl,#EXTM3U"),
        Redirect::to("ftp://127.0.0.1/x"),
        Redirect::to("http://"),
        Redirect::to(""),
    ];
    for redirect in targets {
        let shown = format!("{redirect:?}");
        let origin = serve(Site::new().rule(Rule::on("/hostile.m3u8").then(redirect)));
        let error = poke(&origin, "/hostile.m3u8", quick()).await.expect_err("it leads nowhere");
        assert!(matches!(error, HlsError::Net(_)), "{shown}: {error:?}");
        assert!(origin.log().len() <= 45, "{shown}: {} requests", origin.log().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multivariant_playlist_that_names_itself_or_another_is_an_error() {
    let itself =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhostile.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nhostile.m3u8?2\n";
    let origin = serve(Site::new().bytes("/hostile.m3u8", itself));
    let error = poke(&origin, "/hostile.m3u8", quick()).await.expect_err("there is no media in it");
    assert!(matches!(error, HlsError::PlaylistParse { .. }), "{error:?}");
    assert!(origin.log().len() <= 8, "{:?}", origin.log());

    let other =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\nts_aac/index.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=3\nhostile.m3u8\n";
    let origin = serve(fixtures().bytes("/hostile.m3u8", other));
    let (_, bytes) = poke(&origin, "/hostile.m3u8", quick()).await.expect("one variant is good");
    assert_eq!(bytes, file("ts_aac/seg0.ts")[..2_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_uri_of_another_scheme_is_an_error() {
    for uri in ["file:///etc/passwd", "data:video/mp2t,x", "ftp://127.0.0.1/s", "javascript:1", "http://[", "//"] {
        let text = format!("#EXTM3U\n#EXTINF:1,\n{uri}\n#EXT-X-ENDLIST\n");
        let error = poke_text(text).await.expect_err("nothing can be had from there");
        assert!(!matches!(error, HlsError::Driver(_) | HlsError::Closed), "{uri}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_playlist_that_never_moves_ends_with_its_session() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ns\n";
    let site = Site::new().bytes("/hostile.m3u8", text).bytes("/s", file("ts_aac/seg0.ts"));
    let origin = serve(site);
    let (source, _) = poke(&origin, "/hostile.m3u8", quick()).await.expect("it has a segment");
    let session = source.session().clone();
    let reading = tokio::spawn(async move { read_all(&source).await });
    in_time(session.close()).await;
    let (bytes, error) = in_time(reading).await.expect("no panic");
    assert!(error.is_some() && file("ts_aac/seg0.ts").starts_with(&bytes));
}

fn segments(count: usize) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
    (0..count).for_each(|_| text.push_str("#EXTINF:1,\ns\n"));
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_segments_are_read_and_a_million_refused_in_bounded_memory() {
    let before = peak();
    let bytes = poke_text(segments(200_000)).await.expect("it is a playlist");
    assert_eq!(bytes, file("ts_aac/seg0.ts")[..2_000]);
    let error = poke_text(segments(1_000_000)).await.expect_err("it is too large");
    assert!(matches!(error, HlsError::PlaylistParse { .. }), "{error:?}");
    assert!(error.to_string().contains("200000 segments"), "{error}");
    // More bytes than are allowed.
    let error = poke_text(segments(1_500_000)).await.expect_err("it is too large");
    assert!(matches!(&error, HlsError::Net(net) if net.kind() == ErrorKind::TooLarge), "{error:?}");
    let after = peak();
    println!("peak: {} MiB before, {} MiB after", before >> 20, after >> 20);
    assert!(after - before < MEMORY, "{} MiB", (after - before) >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_and_variables_without_bound_are_read_in_bounded_memory() {
    let mut bomb = String::from("#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-DEFINE:NAME=\"a0\",VALUE=\"aaaaaaaaaaaaaaaa\"\n");
    for n in 1..60 {
        let before = n - 1;
        writeln!(bomb, "#EXT-X-DEFINE:NAME=\"a{n}\",VALUE=\"{{$a{before}}}{{$a{before}}}{{$a{before}}}\"")
            .expect("text");
    }
    bomb.push_str("#EXTINF:1,\ns?{$a59}\n#EXT-X-ENDLIST\n");
    let mut many = String::from("#EXTM3U\n#EXT-X-KEY:METHOD=NONE");
    (0..50_000).for_each(|n| write!(many, ",X-{n}=\"{n}\"").expect("text"));
    many.push_str("\n#EXTINF:1,\ns\n#EXT-X-ENDLIST\n");
    let mut variants = String::from("#EXTM3U\n");
    (0..30_000).for_each(|n| write!(variants, "#EXT-X-STREAM-INF:BANDWIDTH={n}\ns{n}\n").expect("text"));
    let line = format!("#EXTM3U\n#EXTINF:1,{}\ns\n#EXT-X-ENDLIST\n", "x".repeat(4 << 20));
    for text in [bomb, many, variants, line] {
        // Whatever it came to.
        let _ = poke_text(text).await;
    }
    assert!(peak() < MEMORY + (100 << 20), "{} MiB", peak() >> 20);
}

/// Content that lies about itself in every other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_http_are_errors() {
    let answers: [&[u8]; 6] = [
        b"",
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        b"HTTP/9.9 999 What\r\n\r\n",
    ];
    for answer in answers {
        let raw = Rule::on("*").then(Fault::Raw(bytes::Bytes::from_static(answer)));
        let origin = serve(Site::new().rule(raw));
        let error = poke(&origin, "/hostile.m3u8", quick()).await.expect_err("it is no answer");
        assert!(matches!(error, HlsError::Net(_)), "{:?}: {error:?}", answer.escape_ascii().to_string());
    }
}
