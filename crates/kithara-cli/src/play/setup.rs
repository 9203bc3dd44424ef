//! What the command line says, as the library takes it.

use std::sync::Arc;

use kithara::{
    HlsError, HlsOptions, HlsParams, OpenParams, Player,
    abr::{AbrOptions, AbrStrategy},
    fetch::{
        FetchOptions, Fetcher, StorePace,
        assets::{AssetStore, AssetsError, DiskOptions, event::Subscription},
    },
    options::{BitRate, PlaybackOptions, VariantChoice},
    sound::{DecodeOptions, Output, PcmSpec},
};

use crate::{
    args::VariantArg,
    cache::default_folder,
    failure::{Failure, in_one_line},
    line::Line,
    meter::Meter,
    play::{PlayArgs, args::PlayVariantArg},
    rendition::AudioArg,
};

/// What is taken for granted where only one of rate and channels is asked for.
const USUAL: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };
/// Bytes that a transfer may be ahead of its reader: what is buffered lies elsewhere.
const WINDOW: u64 = 1 << 20;
/// A link is taken for fast until it is measured, where nobody listens: no stall can be heard.
const FAST: BitRate = BitRate(1_000_000_000);

/// `spec` is the one format that can be played on, where there is only one.
pub(super) fn params(
    args: &PlayArgs,
    spec: Option<PcmSpec>,
    meter: &Arc<Meter>,
    line: &Line,
    is_demo: bool,
) -> Result<(OpenParams, Option<Subscription>), Failure> {
    let options = options(args)?;
    let client = meter.client(options.network.clone()).map_err(|error| Failure::from(HlsError::from(error)))?;
    let trace = args.session.trace(args.file())?;
    let (store, watch) = store(args, line, is_demo)?.unzip();
    // One listener hears everything once: without a store on disk nothing is kept beside the buffers.
    let no_store = store.is_none();
    let store_pace = if args.is_heard() { StorePace::Skip } else { StorePace::Wait };
    let fetching = FetchOptions { window: WINDOW, retain: WINDOW, store_pace, ..FetchOptions::default() };
    let fetcher = Some(Fetcher::new(client, store, fetching));
    let hls = HlsParams { fetcher, no_store, trace, ..HlsParams::from(options) };
    let output = match (spec, args.rate, args.channels) {
        (Some(spec), ..) => Output::Fixed(spec),
        (None, None, None) => Output::First,
        (None, rate, channels) => Output::Fixed(PcmSpec {
            sample_rate: rate.map_or(USUAL.sample_rate, Into::into),
            channels: channels.map_or(USUAL.channels, Into::into),
        }),
    };
    let sound = DecodeOptions { output, start: args.start, ..DecodeOptions::default() };
    Ok((OpenParams { hls, sound }, watch))
}

/// The store on disk: where the user says, else in the user's cache folder. The built-in stream is as near as a cache, and
/// needs none. With it who watches it.
fn store(args: &PlayArgs, line: &Line, is_demo: bool) -> Result<Option<(AssetStore, Subscription)>, Failure> {
    if args.no_cache {
        return Ok(None);
    }
    if let Some(dir) = &args.cache {
        let cannot = |error| Failure::from(HlsError::Assets(error)).while_doing("the cache cannot be opened");
        return args.store.open(dir, DiskOptions::default(), line).map(Some).map_err(cannot);
    }
    let Some(dir) = default_folder().filter(|_| !is_demo) else { return Ok(None) };
    // A cache that nobody asked for does not keep anybody from listening.
    let opened = args.store.open(&dir, DiskOptions::default(), line);
    let tell = |error: &AssetsError| {
        line.note(&format!("playing without a cache: {}: {}", dir.display(), in_one_line(error)));
    };
    Ok(opened.inspect_err(tell).ok())
}

fn options(args: &PlayArgs) -> Result<HlsOptions, Failure> {
    let is_heard = args.is_heard();
    let default = if is_heard { PlayVariantArg::Auto } else { PlayVariantArg::Held(VariantArg::Best) };
    let (variant, strategy) = match args.variant.unwrap_or(default) {
        PlayVariantArg::Auto => (VariantChoice::Auto, AbrStrategy::Auto),
        PlayVariantArg::Held(variant) => variant.choice(),
    };
    let audio = args.audio.as_ref().map(AudioArg::preference).unwrap_or_default();
    let initial_throughput = if is_heard { AbrOptions::default().initial_throughput } else { Some(FAST) };
    let options = args.session.options()?;
    Ok(HlsOptions {
        playback: PlaybackOptions { variant, audio, ..options.playback },
        abr: AbrOptions { strategy, initial_throughput, ..options.abr },
        live: args.live_start.options(),
        stored_first: args.stored_first,
        ..options
    })
}

/// That there is a session to trace, where a trace is wanted.
pub(super) fn check_trace(player: &Player, args: &PlayArgs) -> Result<(), Failure> {
    match (&args.session.trace, player.session()) {
        (Some(_), None) => Err(Failure::usage("--trace: a trace is of a session, and a single file has none")
            .with_hint("play it without --trace; -vv tells each request")),
        _ => Ok(()),
    }
}

/// That the rendition that was asked for is the one that plays.
pub(super) fn check_audio(player: &Player, args: &PlayArgs) -> Result<(), Failure> {
    match (&args.audio, player.session()) {
        (Some(wanted), Some(session)) => wanted.check(&session.status()),
        _ => Ok(()),
    }
}
