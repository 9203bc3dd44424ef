//! `kithara save`: all bytes of one variant, in order, in one file.
//!
//! Chunks go from the network's buffers to the file without a copy. Everything runs on one worker thread, where a chunk
//! is written while it is still in that core's cache; only when the output is not a file, and a write may wait for
//! another program, writing has a thread of its own, so that the session goes on meanwhile.

mod progress;
mod recording;
mod summary;
mod tally;

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use kithara::{
    Hls, HlsError, HlsOptions, HlsParams, StreamSource,
    abr::AbrOptions,
    event::{MediaId, Status},
    fetch::{
        FetchOptions, Fetcher, StorePace,
        assets::{AssetStore, DiskOptions, event::Subscription},
    },
    options::{BitRate, MediaSelection, PlaybackOptions},
    playlist::VariantId,
};
use serde_json::json;

use crate::{
    args::{SaveArgs, VariantArg},
    failure::{Class, Failure},
    interrupt::{Interrupt, STILL_OPENING},
    meter::Meter,
    output::{Output, told},
    rendition::AudioArg,
    save::{
        progress::Progress,
        recording::{Ended, Recording},
        summary::{Chosen, Summary},
    },
    target::Target,
};

/// Media held in memory, in bytes: three segments of 4 MiB side by side.
const BUFFER: u64 = 12 << 20;
/// Media that wait for a slow disk, in bytes: then the download waits.
const QUEUE: usize = 2 << 20;
/// More than any stream that is held in memory: bytes are the bound.
const BUFFER_TIME: Duration = Duration::from_secs(24 * 3600);
/// Bytes that a transfer may be ahead of the session.
const WINDOW: u64 = 512 << 10;
/// A link is taken for fast until it is measured: nobody is kept waiting by segments that share it.
const FAST: BitRate = BitRate(1_000_000_000);

pub(crate) fn run(args: &SaveArgs, verbose: u8) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Class::Other, format!("no runtime: {error}")))?;
    let (summary, failure) = match runtime.block_on(save(args, verbose)) {
        Ok(summary) if summary.is_kept => (Some(summary), None),
        Ok(summary) => (Some(summary), Some(Failure::interrupted())),
        Err(failure) => (None, Some(failure)),
    };
    if args.json {
        tell_json(args, summary.as_ref(), failure.as_ref())?;
    }
    failure.map_or(Ok(()), Err)
}

fn tell_json(args: &SaveArgs, summary: Option<&Summary>, failure: Option<&Failure>) -> Result<(), Failure> {
    let facts = summary.map_or_else(|| json!({}), Summary::json);
    let object = match failure {
        Some(failure) => failure.json_beside(facts),
        None => facts,
    };
    let line = format!("{object}\n");
    // Standard output is the stream itself when that is where it goes.
    let to_stdout = args.out.as_os_str() != "-";
    told(if to_stdout { io::stdout().write_all(line.as_bytes()) } else { io::stderr().write_all(line.as_bytes()) })
}

async fn save(args: &SaveArgs, verbose: u8) -> Result<Summary, Failure> {
    let started = Instant::now();
    let no_signals = |error| Failure::new(Class::Other, format!("no signals: {error}"));
    let mut interrupt = Interrupt::listen().map_err(no_signals)?;
    let target = Target::open(&args.url)?;
    let output = Output::create(&args.out)?;
    let progress = Progress::new(verbose);
    let meter = Arc::new(Meter::default());
    let (params, _watch) = params(args, &meter, &progress)?;
    let cannot_save = |failure: Failure| failure.of_stream(target.url()).while_doing_to("cannot save", &target.shown());
    let cannot_open = |error| match (error, args.variant) {
        (HlsError::NoSuitableVariant, VariantArg::Number(number)) => {
            HlsError::VariantNotFound { wanted: MediaId::Variant(VariantId(number)) }
        }
        (error, _) => error,
    };
    let opening = Box::pin(StreamSource::<Hls>::open(target.url(), params));
    let opened = interrupt.until_stopped(opening, || progress.line.note(STILL_OPENING)).await?;
    let no_stream = |error| cannot_save(Failure::from(cannot_open(error)).of_playlists_alone());
    let source = opened.map_err(no_stream)?.into_inner();
    let session = source.session().clone();
    if let Some(audio) = &args.audio {
        audio.check(&session.status()).map_err(cannot_save)?;
    }
    let tally = tokio::spawn(tally::listen(session.events(), progress.clone()));
    let until = end(args, &session.status(), &progress);
    let recording = Recording { source, output, interrupt, progress, until };
    let (mut recording, ended) = recording.run_where_it_is_cheapest().await?;

    let status = session.status();
    let media = recording.source.media();
    tokio::select! {
        () = session.close() => {}
        () = recording.interrupt.wait() => {}
    }
    recording.progress.line.clear();
    let Recording { source, output, .. } = recording;
    drop((source, session));
    let mut tally = tally.await.map_err(|error| Failure::new(Class::Other, error.to_string()))?;
    let bytes = output.written();
    let ended = ended.and_then(|ended| tally.something(ended, bytes));
    // Who stopped reading is content with less.
    let is_wanted = !matches!(ended, Ok(Ended::Unread));
    let is_kept = settle(output, ended, &status).map_err(cannot_save)?;
    let summary = Summary {
        out: args.out.clone(),
        bytes,
        segments: tally.came.segments,
        skipped: tally.skipped,
        seconds: started.elapsed().as_secs_f64(),
        requests: meter.requests(),
        from_store: tally.came.from_store,
        retries: meter.failed() + tally.refetched,
        variant: Chosen::of(media, &status),
        is_complete: is_kept && is_wanted && tally.skipped == 0,
        is_kept,
    };
    summary.tell();
    Ok(summary)
}

/// When the recording is long enough, if ever: a stream that has ended has a length of its own.
fn end(args: &SaveArgs, status: &Status, progress: &Progress) -> Option<tokio::time::Instant> {
    let length = args.length?;
    if status.duration.is_some() {
        progress.line.note("--for is for live streams: this one has ended, and is saved whole");
        return None;
    }
    tokio::time::Instant::now().checked_add(length)
}

/// What becomes of the file: kept when it is whole. A recording of a live stream is whole whenever it ends; what was
/// recorded before something failed is kept as well, since nobody can record it again.
///
/// Answers whether it is kept.
fn settle(output: Output, ended: Result<Ended, Failure>, status: &Status) -> Result<bool, Failure> {
    let is_live = status.duration.is_none();
    match ended {
        Ok(Ended::Whole | Ended::LongEnough | Ended::Unread) => output.keep().map(|()| true),
        Ok(Ended::Stopped) if is_live && output.written() > 0 => output.keep().map(|()| true),
        Ok(Ended::Stopped) => Ok(false),
        Err(failure) if is_live && output.written() > 0 => {
            output.keep()?;
            Err(failure.while_doing("the recording broke off, and is kept up to there"))
        }
        Err(failure) => Err(failure),
    }
}

fn params(
    args: &SaveArgs,
    meter: &Arc<Meter>,
    progress: &Progress,
) -> Result<(HlsParams, Option<Subscription>), Failure> {
    let options = options(args)?;
    let client = meter.client(options.network.clone()).map_err(|error| Failure::from(HlsError::from(error)))?;
    let (store, watch) = store(args, progress)?.unzip();
    // One reader reads everything once: nothing is kept for others.
    let fetching = FetchOptions {
        window: WINDOW,
        retain: 0,
        per_origin: args.parallel.get().max(1),
        store_pace: StorePace::Wait,
        ..FetchOptions::default()
    };
    let no_store = store.is_none();
    let fetcher = Fetcher::new(client, store, fetching);
    let trace = args.session.trace(Some(&args.out))?;
    Ok((HlsParams { fetcher: Some(fetcher), no_store, trace, ..HlsParams::from(options) }, watch))
}

/// The cache, where one is wanted, and who watches it.
fn store(args: &SaveArgs, progress: &Progress) -> Result<Option<(AssetStore, Subscription)>, Failure> {
    let Some(dir) = &args.cache else {
        let is_useless = args.store.quota.is_some();
        let useless = || Failure::usage("--quota is for a cache: name its folder with --cache");
        return if is_useless { Err(useless()) } else { Ok(None) };
    };
    let cannot = |error| Failure::from(HlsError::Assets(error)).while_doing("the cache cannot be opened");
    let options = DiskOptions { queue_bytes: QUEUE, ..DiskOptions::default() };
    args.store.open(dir, options, &progress.line).map(Some).map_err(cannot)
}

fn options(args: &SaveArgs) -> Result<HlsOptions, Failure> {
    let (variant, strategy) = args.variant.choice();
    let options = args.session.options()?;
    Ok(HlsOptions {
        playback: PlaybackOptions {
            buffer_goal: BUFFER_TIME,
            buffer_bytes: BUFFER,
            parallel_fetches: args.parallel.get(),
            selection: match args.audio_only || args.audio.is_some() {
                true => MediaSelection::AudioOnly,
                false => MediaSelection::All,
            },
            audio: args.audio.as_ref().map(AudioArg::preference).unwrap_or_default(),
            variant,
            ..options.playback
        },
        abr: AbrOptions { strategy, initial_throughput: Some(FAST), ..options.abr },
        live: args.live_start.options(),
        ..options
    })
}
