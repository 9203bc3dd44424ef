//! What the command line says, as the library takes it.

use std::{fs::File, io::Write, sync::Arc, time::Duration};

use kithara::{
    HlsError, HlsOptions, HlsParams, OpenParams, Player,
    abr::{AbrOptions, AbrStrategy},
    fetch::assets::{AssetStore, DiskOptions},
    options::{BitRate, OnMissing, PlaybackOptions, VariantChoice},
    playlist::VariantId,
    sound::{DecodeOptions, Output, PcmSpec},
};

use crate::{
    args::{OnMissingArg, VariantArg},
    cache::default_folder,
    failure::Failure,
    meter::Meter,
    play::{PlayArgs, args::PlayVariantArg, status_line::StatusLine},
    rendition::AudioArg,
    requests,
};

/// What is taken for granted where only one of rate and channels is asked for.
const USUAL: PcmSpec = PcmSpec { sample_rate: 48_000, channels: 2 };
/// A link is taken for fast until it is measured, where nobody listens: no stall can be heard.
const FAST: BitRate = BitRate(1_000_000_000);

/// `spec` is the one format that can be played on, where there is only one.
pub(super) fn params(
    args: &PlayArgs,
    spec: Option<PcmSpec>,
    meter: &Arc<Meter>,
    line: &StatusLine,
    is_demo: bool,
) -> Result<OpenParams, Failure> {
    let options = options(args)?;
    let client = meter.client(options.network.clone()).map_err(|error| Failure::from(HlsError::from(error)))?;
    let trace =
        args.trace.as_ref().map(|path| File::create(path).map_err(|error| Failure::disk("cannot write", path, &error)));
    let trace = trace.transpose()?.map(|file| Box::new(file) as Box<dyn Write + Send>);
    let store = store(args, line, is_demo)?;
    let hls = HlsParams { client: Some(client), store, trace, ..HlsParams::from(options) };
    let output = match (spec, args.rate, args.channels) {
        (Some(spec), ..) => Output::Fixed(spec),
        (None, None, None) => Output::First,
        (None, rate, channels) => Output::Fixed(PcmSpec {
            sample_rate: rate.map_or(USUAL.sample_rate, Into::into),
            channels: channels.map_or(USUAL.channels, Into::into),
        }),
    };
    let sound = DecodeOptions { output, start: args.start.map(|start| start.0), ..DecodeOptions::default() };
    Ok(OpenParams { hls, sound })
}

/// The store on disk: where the user says, else in the user's cache folder. The built-in stream is as near as a cache, and
/// needs none.
fn store(args: &PlayArgs, line: &StatusLine, is_demo: bool) -> Result<Option<AssetStore>, Failure> {
    if args.no_cache {
        return Ok(None);
    }
    if let Some(dir) = &args.cache {
        let cannot = |error| Failure::from(HlsError::Assets(error)).while_doing("the cache cannot be opened");
        return AssetStore::open(dir, DiskOptions::default()).map(Some).map_err(cannot);
    }
    let Some(dir) = default_folder().filter(|_| !is_demo) else { return Ok(None) };
    // A cache that nobody asked for does not keep anybody from listening.
    let opened = AssetStore::open(&dir, DiskOptions::default());
    Ok(opened.inspect_err(|error| line.note(&format!("playing without a cache: {}: {error}", dir.display()))).ok())
}

fn options(args: &PlayArgs) -> Result<HlsOptions, Failure> {
    let is_heard = args.is_heard();
    let default = if is_heard { PlayVariantArg::Auto } else { PlayVariantArg::Held(VariantArg::Best) };
    let (variant, strategy) = match args.variant.unwrap_or(default) {
        PlayVariantArg::Auto => (VariantChoice::Auto, AbrStrategy::Auto),
        PlayVariantArg::Held(VariantArg::Best) => (VariantChoice::Best, AbrStrategy::Auto),
        PlayVariantArg::Held(VariantArg::Worst) => (VariantChoice::Worst, AbrStrategy::Auto),
        PlayVariantArg::Held(VariantArg::Number(number)) => (VariantChoice::Id(VariantId(number)), AbrStrategy::Auto),
        PlayVariantArg::Held(VariantArg::Rate(rate)) => (VariantChoice::Auto, AbrStrategy::Fixed(BitRate(rate))),
    };
    let mut request = requests::options(&args.request)?;
    let audio = args.audio.as_ref().map(AudioArg::preference).unwrap_or_default();
    let mut playback = PlaybackOptions { variant, audio, ..PlaybackOptions::default() };
    playback.on_missing = match args.on_missing {
        OnMissingArg::Fail => OnMissing::Fail,
        OnMissingArg::Skip => OnMissing::Skip,
    };
    if let Some(seconds) = args.patience {
        let patience = Duration::from_secs(seconds.into());
        request.patience.max_elapsed = patience;
        playback.patience = patience;
        playback.ready_timeout = patience.min(playback.ready_timeout);
    }
    let initial_throughput = (!is_heard).then_some(FAST);
    let abr = AbrOptions { strategy, ..AbrOptions::default() };
    let abr = if is_heard { abr } else { AbrOptions { initial_throughput, ..abr } };
    Ok(HlsOptions { playback, abr, request, ..HlsOptions::default() })
}

/// That the rendition that was asked for is the one that plays.
pub(super) fn check_audio(player: &Player, args: &PlayArgs) -> Result<(), Failure> {
    match (&args.audio, player.session()) {
        (Some(wanted), Some(session)) => wanted.check(&session.status()),
        _ => Ok(()),
    }
}
