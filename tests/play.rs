//! The front door, end to end: URLs of a loopback origin in, samples out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::{fs, future::Future, path::Path, thread, time::Duration};

use kithara::{
    HlsError, HlsOptions, OpenError, OpenParams, Pcm, PcmReader, Player, PlayerEvent,
    abr::AbrOptions,
    options::{BitRate, PlaybackOptions, VariantChoice},
    playlist::VariantId,
    sound::{DecodeErrorKind, DecodeOptions, Output, PcmSpec},
};
use kithara_origin::{At, Fault, Origin, Response, Rule, Site, fixtures_dir};

const STEREO_48: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };
/// Frames of the demo stream: 934 packets of AAC.
const DEMO_FRAMES: usize = 956_416;
/// Longer than anything takes that is not hung.
const PATIENCE: Duration = Duration::from_secs(60);

fn fixtures() -> Site {
    Site::new().dir("/", fixtures_dir())
}

fn serve(site: Site) -> Origin {
    Origin::start(site).expect("a port is free")
}

/// On a runtime of the test's own, within a time that tells hung from slow.
fn in_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("it hangs") })
}

async fn open(url: &str, params: impl Into<OpenParams>) -> (Player, PcmReader) {
    kithara::open(url, params).await.unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Everything from here to the end, which must be in one format.
fn hear(reader: &mut PcmReader) -> Result<(PcmSpec, Vec<f32>), kithara::sound::DecodeError> {
    let (mut spec, mut all, mut buffer) = (reader.spec(), Vec::new(), vec![0.0; 8192]);
    loop {
        match reader.read(&mut buffer)? {
            Pcm::Samples(count) => all.extend_from_slice(&buffer[..count]),
            Pcm::SpecChanged(changed) => assert_eq!(spec.replace(changed), None, "one format"),
            Pcm::End => return Ok((spec.unwrap(), all)),
        }
    }
}

async fn hear_on_a_thread(mut reader: PcmReader) -> Result<(PcmSpec, Vec<f32>), kithara::sound::DecodeError> {
    tokio::task::spawn_blocking(move || hear(&mut reader)).await.unwrap()
}

fn held(variant: u32) -> HlsOptions {
    let playback = PlaybackOptions { variant: VariantChoice::Id(VariantId(variant)), ..PlaybackOptions::default() };
    HlsOptions { playback, ..HlsOptions::default() }
}

#[track_caller]
fn check(fixture: &str, want: (PcmSpec, usize)) {
    let origin = serve(fixtures());
    let (spec, samples) = in_time(async {
        let (_player, reader) = open(&origin.url(fixture), OpenParams::default()).await;
        hear_on_a_thread(reader).await.unwrap_or_else(|error| panic!("{fixture}: {error}"))
    });
    assert_eq!((spec, samples.len() / usize::from(spec.channels)), want, "{fixture}");
    assert!(samples.iter().any(|sample| sample.abs() > 0.1), "{fixture} is silent");
}

#[test]
fn every_container_and_encryption_is_heard_to_its_last_sample() {
    check("/ts_aac/index.m3u8", (STEREO_48, 236_544));
    check("/ts_aes/index.m3u8", (STEREO_48, 236_544));
    check("/ts_rotate/index.m3u8", (STEREO_48, 236_544));
    check("/fmp4_aac/index.m3u8", (STEREO_48, 236_544));
    check("/fmp4_aes/index.m3u8", (STEREO_48, 236_544));
    check("/fmp4_aes_init/index.m3u8", (STEREO_48, 236_544));
    check("/fmp4_byterange/index.m3u8", (STEREO_48, 236_544));
    check("/adts/index.m3u8", (STEREO_48, 236_544));
}

#[test]
fn only_sound_is_fetched_where_sound_has_a_playlist_of_its_own() {
    let origin = serve(fixtures());
    in_time(async {
        let (_player, reader) = open(&origin.url("/av_master/master.m3u8"), OpenParams::default()).await;
        hear_on_a_thread(reader).await.unwrap()
    });
    let paths: Vec<String> = origin.log().iter().map(|request| request.path.clone()).collect();
    assert!(paths.iter().any(|path| path.contains("/audio_")), "{paths:?}");
    let others: Vec<&String> = paths[1..].iter().filter(|path| !path.contains("/audio_")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn nothing_is_asked_for_twice() {
    let origin = serve(kithara_origin::demo());
    in_time(async {
        let (_player, reader) = open(&origin.url("/master.m3u8"), held(0)).await;
        hear_on_a_thread(reader).await.unwrap()
    });
    let mut paths: Vec<String> = origin.log().iter().map(|request| request.path.clone()).collect();
    let asked = paths.len();
    paths.sort();
    paths.dedup();
    // Two playlists, a key, an initialization section, five segments.
    assert_eq!((asked, paths.len()), (9, 9), "{paths:?}");
}

#[test]
fn how_often_variants_change_is_not_heard() {
    let origin = serve(kithara_origin::demo());
    let url = origin.url("/master.m3u8");
    for changes in 0..4 {
        let (frames, decoders) = in_time(async {
            let (player, mut reader) = open(&url, held(0)).await;
            let changer = player.clone();
            let runtime = tokio::runtime::Handle::current();
            let read = tokio::task::spawn_blocking(move || {
                let (mut samples, mut buffer, mut changed) = (0, vec![0.0; 4096], 0);
                loop {
                    match reader.read(&mut buffer).unwrap() {
                        Pcm::Samples(count) => samples += count,
                        Pcm::SpecChanged(_) => {}
                        Pcm::End => return samples,
                    }
                    // Somewhere inside each part of the stream, to another variant.
                    if changed < changes && samples > (changed + 1) * 2 * DEMO_FRAMES / 5 {
                        changed += 1;
                        let next = VariantId(u32::try_from(changed % 3).unwrap());
                        runtime.block_on(changer.select_variant(Some(next))).unwrap();
                    }
                }
            });
            (read.await.unwrap() / 2, player.stats().sound.decoders)
        });
        assert_eq!((frames, decoders), (DEMO_FRAMES, 1), "{changes} changes");
    }
}

#[test]
fn a_seek_lands_on_its_sample_also_while_segments_arrive() {
    for fixture in ["/fmp4_aac/index.m3u8", "/ts_aes/index.m3u8", "/adts/index.m3u8"] {
        let origin = serve(fixtures());
        in_time(async {
            let url = origin.url(fixture);
            let (_player, reader) = open(&url, OpenParams::default()).await;
            let (_, whole) = hear_on_a_thread(reader).await.unwrap();
            let (player, mut reader) = open(&url, OpenParams::default()).await;
            let check = move || {
                let mut buffer = [0.0; 512];
                // Forward, back, into the segment that is being read, to the beginning, to the last frames.
                for frame in [100_000, 30_000, 30_500, 29_000, 0, 236_400, 1, 48_000, 47_999, 200_000] {
                    player.seek(Duration::from_nanos(frame * 1_000_000_000 / 48_000 + 1));
                    let count = loop {
                        match reader.read(&mut buffer).unwrap() {
                            Pcm::Samples(count) => break count,
                            Pcm::SpecChanged(_) => {}
                            Pcm::End => panic!("{fixture}: nothing at {frame}"),
                        }
                    };
                    let at = usize::try_from(frame).unwrap() * 2;
                    // Noise that a codec makes up differs from time to time; a frame too early or late differs by more.
                    for (sample, want) in buffer[..count].iter().zip(&whole[at..]) {
                        assert!((sample - want).abs() < 2.5e-2, "{fixture} at {frame}: {sample} for {want}");
                    }
                }
            };
            tokio::task::spawn_blocking(check).await.unwrap();
        });
    }
}

#[test]
fn playback_begins_where_it_is_asked_to() {
    let origin = serve(kithara_origin::demo());
    let start = Some(Duration::from_millis(13_500));
    let (_, samples) = in_time(async {
        let sound = DecodeOptions { start, ..DecodeOptions::default() };
        let (_player, reader) = open(&origin.url("/master.m3u8"), sound).await;
        hear_on_a_thread(reader).await.unwrap()
    });
    assert_eq!(samples.len() / 2, DEMO_FRAMES - 48_000 * 27 / 2);
    let early = origin.log().iter().filter(|it| it.path.contains("seg0") || it.path.contains("seg1")).count();
    assert_eq!(early, 0, "segments before the start are not fetched");
}

#[test]
fn sound_comes_before_the_first_segment_is_whole() {
    // The first segment stops in the middle, for ever.
    let stall = Rule::on("seg0.ts").then(Fault::stall(At::Fraction(0.5), PATIENCE * 2));
    let origin = serve(fixtures().rule(stall));
    in_time(async {
        let (_player, mut reader) = open(&origin.url("/ts_aac/index.m3u8"), OpenParams::default()).await;
        let first = tokio::task::spawn_blocking(move || {
            let mut buffer = [0.0; 2048];
            while let Pcm::SpecChanged(_) = reader.read(&mut buffer).unwrap() {}
        });
        first.await.unwrap();
    });
}

#[test]
fn the_format_is_as_the_stream_begins_or_as_it_is_asked_for() {
    let origin = serve(fixtures());
    let url = origin.url("/fmp4_discontinuity/index.m3u8");
    let hear = |output| {
        let sound = DecodeOptions { output, ..DecodeOptions::default() };
        in_time(async { hear_on_a_thread(open(&url, sound).await.1).await.unwrap() })
    };
    let (first, samples) = hear(Output::First);
    assert_eq!(first, STEREO_48);
    let mono = PcmSpec { sample_rate: 16_000, channels: 1 };
    let (fixed, fewer) = hear(Output::Fixed(mono));
    assert_eq!(fixed, mono);
    let (long, short) = (samples.len() as f64 / 2.0 / 48_000.0, fewer.len() as f64 / 16_000.0);
    assert!((long - short).abs() < 0.01, "{long} and {short} seconds");
}

/// The length is that of the playlist, to the millisecond, and that of what is heard, but for what a codec adds.
#[track_caller]
fn check_length(folder: &str, spec: PcmSpec, frames: usize) {
    let origin = serve(fixtures());
    let list = fs::read_to_string(fixtures_dir().join(folder).join("index.m3u8")).unwrap();
    let listed = list.lines().filter_map(|line| line.strip_prefix("#EXTINF:"));
    let listed: f64 = listed.map(|length| length.trim_end_matches(',').parse::<f64>().unwrap()).sum();
    in_time(async {
        let (player, reader) = open(&origin.url(&format!("/{folder}/index.m3u8")), OpenParams::default()).await;
        let told = player.duration().unwrap().as_secs_f64();
        assert!((told - listed).abs() < 0.001, "{folder}: {told} s of {listed} s");
        let (heard, samples) = hear_on_a_thread(reader).await.unwrap();
        assert_eq!((heard, samples.len() / usize::from(spec.channels)), (spec, frames), "{folder}");
        let heard = frames as f64 / f64::from(spec.sample_rate);
        assert!((told - heard).abs() < 0.1, "{folder}: {told} s, and {heard} s are heard");
        assert_eq!(player.duration().map(|it| it.as_secs_f64()), Some(told), "{folder}: in the end as well");
    });
}

#[test]
fn streams_say_how_long_they_are() {
    let (stereo, mono) = (PcmSpec { sample_rate: 44_100, channels: 2 }, PcmSpec { sample_rate: 16_000, channels: 1 });
    check_length("mp3", stereo, 217_728);
    check_length("fmp4_mp3", stereo, 217_728);
    check_length("fmp4_alac", mono, 30_400);
    check_length("fmp4_flac", mono, 30_400);
}

#[test]
fn a_redirect_leads_to_whatever_is_there_and_its_uris_belong_to_where_it_ends() {
    let site = fixtures()
        .bytes("/songs/tones.mp3", song("tones.mp3"))
        .route("/listen", |_| Response::redirect(302, "/moved"))
        .route("/moved", |_| Response::redirect(302, "/ts_aac/index.m3u8"))
        .route("/x.m3u8", |_| Response::redirect(302, "/songs/tones.mp3"));
    let origin = serve(site);
    let stereo = PcmSpec { sample_rate: 44_100, channels: 2 };
    for (path, spec, frames) in [("/listen", STEREO_48, 236_544), ("/x.m3u8", stereo, 127_919)] {
        let (heard, samples) = in_time(async {
            let (_player, reader) = open(&origin.url(path), OpenParams::default()).await;
            hear_on_a_thread(reader).await.unwrap_or_else(|error| panic!("{path}: {error}"))
        });
        assert_eq!((heard, samples.len() / 2), (spec, frames), "{path}");
    }
    let log = origin.log();
    assert!(log.iter().all(|request| matches!(request.status, 200 | 206 | 302)), "{log:?}");
    let segments = log.iter().filter(|request| request.path.contains("seg"));
    assert_eq!(segments.filter(|request| request.path.starts_with("/ts_aac/")).count(), 5, "{log:?}");
}

/// A file of the decoder's tests.
fn song(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/kithara-decode/tests/media").join(name)).unwrap()
}

/// Frames are those of the file's own test, where it is read from memory.
#[track_caller]
fn check_song(name: &str, spec: PcmSpec, frames: usize) {
    let origin =
        serve(Site::new().dir("/", Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/kithara-decode/tests/media")));
    let (heard, samples) = in_time(async {
        let (_player, reader) = open(&origin.url(&format!("/{name}")), OpenParams::default()).await;
        hear_on_a_thread(reader).await.unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    assert_eq!((heard, samples.len() / usize::from(spec.channels)), (spec, frames), "{name}");
    assert!(samples.iter().any(|sample| sample.abs() > 0.1), "{name} is silent");
    // A small file is fetched in one go, wherever its tables are.
    let log = origin.log();
    assert_eq!((log.len(), log[0].status), (1, 200), "{name}: {log:?}");
}

#[test]
fn files_of_six_formats_are_heard_over_http_to_their_last_sample() {
    let stereo = PcmSpec { sample_rate: 44_100, channels: 2 };
    check_song("tones.mp3", stereo, 127_919);
    check_song("tones.aac", STEREO_48, 140_288);
    check_song("tones.flac", PcmSpec { sample_rate: 16_000, channels: 1 }, 30_400);
    check_song("tones.m4a", STEREO_48, 139_200);
    check_song("tones.wav", PcmSpec { sample_rate: 8000, channels: 1 }, 15_200);
    check_song("tones.ogg", stereo, 127_890);
}

/// The song of `tones.m4a` in a file of this many bytes more: its `mdat` goes on behind it with what nobody plays, and the
/// table that tells so comes last.
fn long_way(more: usize) -> Vec<u8> {
    let file = song("tones.m4a");
    let place = |kind: &[u8; 4]| file.windows(4).rposition(|window| window == kind).unwrap() - 4;
    let (mdat, moov) = (place(b"mdat"), place(b"moov"));
    let len = u32::try_from(moov - mdat + more).unwrap();
    [&file[..mdat], &len.to_be_bytes(), &file[mdat + 4..moov], &vec![0; more], &file[moov..]].concat()
}

#[test]
fn a_file_whose_table_comes_last_costs_one_small_request() {
    let file = long_way(24 << 20);
    let origin = serve(Site::new().bytes("/song.m4a", file));
    let (heard, samples) = in_time(async {
        let (_player, reader) = open(&origin.url("/song.m4a"), OpenParams::default()).await;
        hear_on_a_thread(reader).await.unwrap()
    });
    assert_eq!((heard, samples.len() / 2), (STEREO_48, 139_200));
    let log = origin.log();
    assert_eq!(log.len(), 2, "the file, its table, and no way back: {log:?}");
    assert!(log[0].range.is_none() && log[1].range.is_some(), "{log:?}");
    assert!(log[1].bytes_sent <= 256 << 10, "{log:?}");
    assert!(log[0].bytes_sent < 16 << 20, "what nobody plays is not fetched: {log:?}");
}

/// A song of eight seconds as a WAV file: a ramp, so that every sample says where it is.
fn wav() -> Vec<u8> {
    let data: Vec<u8> = (0..64_000_i32).flat_map(|at| ((at % 32_000 - 16_000) as i16).to_le_bytes()).collect();
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0data".to_vec();
    wav.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    wav.extend(data);
    let riff = u32::try_from(wav.len() - 8).unwrap().to_le_bytes();
    wav[4..8].copy_from_slice(&riff);
    wav
}

/// Answers with these bytes under this name and type; counts nothing by itself.
fn named(site: Site, path: &str, content_type: &'static str, body: Vec<u8>) -> Site {
    site.route(path, move |_| Response::ok(body.clone()).with_header("Content-Type", content_type))
}

#[test]
fn what_a_url_is_shows_in_the_answer_and_not_in_its_name() {
    let list = std::fs::read(fixtures_dir().join("ts_aac/index.m3u8")).unwrap();
    let site = named(fixtures(), "/ts_aac/list.mp3", "audio/mpeg", list.clone());
    let site = named(site, "/ts_aac/play", "text/plain", list);
    let site = named(site, "/song", "application/octet-stream", wav());
    let site = named(site, "/song.m3u8", "application/vnd.apple.mpegurl", wav());
    let origin = serve(site);
    let mut asked = 0;
    // The path, frames, requests: a playlist is asked for once whatever it is called, a file as well; only a file that
    // is called a playlist is asked for more often, since a playlist may not be one yet.
    for (path, frames, requests) in [
        ("/ts_aac/list.mp3", 236_544, 6),
        ("/ts_aac/play", 236_544, 6),
        ("/song", 64_000, 1),
        ("/song.m3u8", 64_000, 6),
    ] {
        let (spec, samples) = in_time(async {
            let (_player, reader) = open(&origin.url(path), OpenParams::default()).await;
            hear_on_a_thread(reader).await.unwrap_or_else(|error| panic!("{path}: {error}"))
        });
        let total = origin.log().len();
        assert_eq!(samples.len() / usize::from(spec.channels), frames, "{path}");
        let is_misnamed = path == "/song.m3u8";
        let made = total - asked;
        assert!(if is_misnamed { made <= requests } else { made == requests }, "{path}: {made} requests");
        asked = total;
    }
}

#[test]
fn a_file_is_sought_and_knows_its_length() {
    let origin = serve(Site::new().bytes("/song.wav", wav()));
    in_time(async {
        let (player, mut reader) = open(&origin.url("/song.wav"), OpenParams::default()).await;
        player.seek(Duration::from_secs(5));
        let check = move || {
            let mut buffer = [0.0; 64];
            while let Pcm::SpecChanged(_) = reader.read(&mut buffer).unwrap() {}
            assert_eq!(buffer[0] * 32_768.0, (40_000 % 32_000 - 16_000) as f32);
            assert_eq!(player.duration(), Some(Duration::from_secs(8)));
            assert!(player.session().is_none());
        };
        tokio::task::spawn_blocking(check).await.unwrap();
    });
}

/// A playlist with variants of these codecs and bandwidths, all of which are the same sound.
fn variants(of: &[(&str, u32)]) -> Site {
    let stream = |(codecs, bandwidth): &(&str, u32)| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"{codecs}\"\nfmp4_aac/index.m3u8?{codecs}\n")
    };
    let text = format!("#EXTM3U\n{}", of.iter().map(stream).collect::<String>());
    named(fixtures(), "/list.m3u8", "application/vnd.apple.mpegurl", text.into_bytes())
}

#[test]
fn variants_that_nobody_decodes_are_played_by_nobody() {
    let origin = serve(variants(&[("opus", 32_000), ("mp4a.40.2", 64_000), ("Opus", 96_000), ("ac-3", 1_000)]));
    let (_, samples) = in_time(async {
        let (_player, reader) = open(&origin.url("/list.m3u8"), OpenParams::default()).await;
        hear_on_a_thread(reader).await.unwrap()
    });
    assert_eq!(samples.len() / 2, 236_544);
    assert!(origin.log().iter().all(|entry| !entry.target.contains("opus") && !entry.target.contains("ac-3")));
}

#[test]
fn variants_of_he_aac_are_played_by_who_decodes_it() {
    let origin = serve(variants(&[("mp4a.40.5", 1_000), ("mp4a.40.2", 2_000), ("mp4a.40.29", 500)]));
    in_time(async {
        let (player, _reader) = open(&origin.url("/list.m3u8"), OpenParams::default()).await;
        let status = player.session().unwrap().status();
        let playable = status.variants.iter().filter(|variant| variant.pathway.is_some()).count();
        assert_eq!(playable, if cfg!(feature = "he-aac") { 3 } else { 1 });
    });
}

#[test]
fn where_there_is_nothing_else_the_decoder_tries() {
    let origin = serve(variants(&[("mp4a.40.42", 32_000)]));
    in_time(async {
        // What is called by that name is AAC of low complexity here, and is heard.
        let (_player, reader) = open(&origin.url("/list.m3u8"), OpenParams::default()).await;
        assert_eq!(hear_on_a_thread(reader).await.unwrap().1.len() / 2, 236_544);
    });
}

#[test]
fn what_is_neither_playlist_nor_sound_is_refused_by_name() {
    let site = named(Site::new(), "/page", "text/html; charset=utf-8", b"<!DOCTYPE html><p>Sign in".to_vec());
    let origin = serve(named(site, "/live.m3u8", "text/html", b"<html>".to_vec()));
    let refused = in_time(kithara::open(&origin.url("/page?token=secret"), short())).unwrap_err();
    assert!(matches!(refused, OpenError::NotMedia { .. }), "{refused:?}");
    assert!(refused.to_string().contains("text/html") && !refused.to_string().contains("secret"), "{refused}");
    let refused = in_time(kithara::open(&origin.url("/live.m3u8"), short())).unwrap_err();
    assert!(matches!(refused, OpenError::Hls(HlsError::PlaylistParse { .. })), "{refused:?}");
}

#[test]
fn a_url_that_was_signed_for_somebody_lets_nobody_else_in() {
    let unsigned =
        |request: &kithara_origin::Request| (request.query.as_deref() != Some("token=1")).then(|| Response::new(403));
    let song = fs::read(fixtures_dir().join("adts/seg0.aac")).unwrap();
    let cached = move |_: &kithara_origin::Request| {
        Response::ok(song.clone()).with_header("Cache-Control", "max-age=600").with_header("ETag", "\"1\"")
    };
    let site = fixtures().route("/song.aac", cached).guard("/song.aac", unsigned);
    let origin = serve(site);
    in_time(async {
        let (_listener, reader) = open(&origin.url("/song.aac?token=1"), OpenParams::default()).await;
        assert!(!hear_on_a_thread(reader).await.unwrap().1.is_empty());
        // The first is still there, and with it what was stored for it.
        for path in ["/song.aac?token=2", "/song.aac"] {
            assert!(kithara::open(&origin.url(path), short()).await.is_err(), "{path}");
        }
    });
}

#[test]
fn what_cannot_be_opened_says_why() {
    let origin = serve(fixtures());
    let missing = in_time(kithara::open(&origin.url("/none/index.m3u8"), short())).unwrap_err();
    assert!(matches!(&missing, OpenError::Hls(HlsError::Net(_))), "{missing:?}");
    let other = in_time(kithara::open("ftp://127.0.0.1/a.m3u8", OpenParams::default())).unwrap_err();
    assert!(matches!(other, OpenError::Hls(HlsError::InvalidUrl(_))), "{other:?}");
    let sound =
        DecodeOptions { output: Output::Fixed(PcmSpec { sample_rate: 0, channels: 2 }), ..DecodeOptions::default() };
    let refused = in_time(kithara::open(&origin.url("/ts_aac/index.m3u8"), sound)).unwrap_err();
    assert!(matches!(&refused, OpenError::Decode(error) if error.kind() == DecodeErrorKind::Output), "{refused:?}");
}

/// Gives up soon.
fn short() -> HlsOptions {
    let mut options = HlsOptions::default();
    options.playback.ready_timeout = Duration::from_millis(100);
    options.playback.patience = Duration::from_millis(100);
    options.playback.refetch_backoff = Duration::from_millis(5);
    options.request.patience.max_elapsed = Duration::from_millis(100);
    options
}

#[test]
fn a_segment_that_cannot_be_had_ends_what_is_heard_with_the_sessions_error() {
    let origin = serve(fixtures().rule(Rule::on("seg2.ts").then(Response::new(404))));
    in_time(async {
        let (player, reader) = open(&origin.url("/ts_aac/index.m3u8"), short()).await;
        let mut events = player.events();
        let error = hear_on_a_thread(reader).await.unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Feed);
        let cause = HlsError::within(&error);
        assert!(matches!(cause, Some(HlsError::SegmentNotFound { .. })), "{cause:?}");
        while let Some(event) = events.next().await {
            if matches!(event, PlayerEvent::Stream(kithara::HlsEvent::Error { recoverable: false, .. })) {
                return;
            }
        }
        panic!("no event told of it");
    });
}

#[test]
fn a_hole_that_may_be_is_left_out_at_its_time() {
    let origin = serve(fixtures().rule(Rule::on("seg2.ts").then(Response::new(404))));
    in_time(async {
        let mut options = short();
        options.playback.on_missing = kithara::options::OnMissing::Skip;
        let (player, reader) = open(&origin.url("/ts_aac/index.m3u8"), options).await;
        let (_, samples) = hear_on_a_thread(reader).await.unwrap();
        let lost = 236_544 - samples.len() / 2;
        assert!((40_000..56_000).contains(&lost), "about a second is missing: {lost} frames");
        // The clock goes on: what is heard last is heard when it should be.
        assert_eq!(player.position().as_millis(), 4928);
    });
}

#[test]
fn an_app_without_a_runtime_hears_the_same() {
    let origin = serve(kithara_origin::demo());
    let (player, mut reader) = kithara::blocking::listen(&origin.url("/master.m3u8"), OpenParams::default()).unwrap();
    let (spec, samples) = thread::spawn(move || hear(&mut reader)).join().unwrap().unwrap();
    assert_eq!((spec, samples.len() / 2), (STEREO_48, DEMO_FRAMES));
    assert_eq!(player.duration().map(|it| it.as_secs()), Some(19));
    kithara::blocking::wait(player.close());
}

#[test]
fn closing_ends_a_reader_that_waits() {
    let stall = Rule::on("seg0.ts").then(Fault::stall(At::Byte(500), PATIENCE * 2));
    let origin = serve(fixtures().rule(stall));
    in_time(async {
        let (player, reader) = open(&origin.url("/ts_aac/index.m3u8"), OpenParams::default()).await;
        let waiting = tokio::spawn(hear_on_a_thread(reader));
        origin.until(|origin| origin.log().iter().any(|request| request.path.ends_with("seg0.ts"))).await;
        player.close().await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(HlsError::within(&error), Some(HlsError::Closed)), "{error:?}");
    });
}

#[test]
fn adaptation_climbs_while_it_plays_and_nothing_is_lost() {
    let origin = serve(kithara_origin::demo());
    let abr = AbrOptions { initial_throughput: Some(BitRate(50_000)), ..AbrOptions::default() };
    let (_, samples) = in_time(async {
        let options = HlsOptions { abr, ..HlsOptions::default() };
        hear_on_a_thread(open(&origin.url("/master.m3u8"), options).await.1).await.unwrap()
    });
    assert_eq!(samples.len() / 2, DEMO_FRAMES);
    let paths: Vec<String> = origin.log().iter().map(|request| request.path.clone()).collect();
    assert!(paths.iter().any(|path| path.starts_with("/32k/seg")), "{paths:?}");
}
