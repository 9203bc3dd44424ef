//! `kithara play`: a URL in, sound out.
//!
//! One thread decodes, one writes; the session's tasks have a worker of their own, and the main thread listens for
//! signals and draws. Whatever ends playback, the sink is finished: the header of a WAV file is right also after Ctrl-C.

mod args;
#[cfg(feature = "device")]
mod device;
mod encode;
mod performance;
mod setup;
mod sink;
mod status_line;
mod summary;
mod tally;
mod wav;

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use kithara::{HlsError, OpenError, Player, event::MediaId, playlist::VariantId};
use tokio::{sync::oneshot, time::MissedTickBehavior};

pub(crate) use crate::play::args::PlayArgs;
use crate::{
    args::VariantArg,
    failure::{Class, Failure},
    interrupt::{Interrupt, STILL_OPENING},
    line::Line,
    meter::Meter,
    output::told,
    play::{
        args::PlayVariantArg,
        performance::{Ended, Performance, Played},
        sink::Outlet,
        summary::Summary,
    },
    target::Target,
};

/// How long a sink may take to end after Ctrl-C: it may be writing into a pipe that nobody reads.
const GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &PlayArgs, verbose: u8) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Class::Other, format!("no runtime: {error}")))?;
    let result = runtime.block_on(play(args, verbose));
    if args.json {
        let object = match &result {
            Ok(summary) => summary.json(),
            Err((Some(summary), failure)) => failure.json_beside(summary.json()),
            Err((None, failure)) => failure.json(),
        };
        let line = format!("{object}\n");
        let to_stderr = args.is_stdout();
        let written =
            if to_stderr { io::stderr().write_all(line.as_bytes()) } else { io::stdout().write_all(line.as_bytes()) };
        told(written)?;
    }
    result.map(|_| ()).map_err(|(_, failure)| failure)
}

type Failed = (Option<Summary>, Failure);

async fn play(args: &PlayArgs, verbose: u8) -> Result<Summary, Failed> {
    let started = Instant::now();
    let target = Target::open(&args.url).map_err(before)?;
    let cannot_play = |failure: Failure| failure.of_stream(target.url()).while_doing_to("cannot play", &target.shown());
    let no_signals = |error| before(Failure::new(Class::Other, format!("no signals: {error}")));
    let mut interrupt = Interrupt::listen().map_err(no_signals)?;
    let line = status_line::line(verbose);
    let outlet = Outlet::open(args, &line).map_err(before)?;
    let meter = Arc::new(Meter::default());
    let (params, _watch) = setup::params(args, outlet.spec(), &meter, &line, target.is_demo()).map_err(before)?;
    let opening = Box::pin(kithara::open(target.url(), params));
    let opened = interrupt.until_stopped(opening, || line.note(STILL_OPENING)).await.map_err(before)?;
    let (player, reader) = opened.map_err(|error| before(cannot_play(cannot_open(error, args))))?;
    setup::check_trace(&player, args).map_err(|failure| before(cannot_play(failure)))?;
    let tally = tokio::spawn(tally::listen(player.events(), line.clone()));
    setup::check_audio(&player, args).map_err(before)?;
    let performance = Performance::new(reader, outlet, args, started);
    let stop = performance.stop_handle();
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("kithara-play".into()).spawn(move || {
        // Nobody listens any more only when the grace after Ctrl-C is over.
        let _ = done.send(performance.run());
    });
    thread.map_err(|error| before(Failure::new(Class::Other, format!("no thread: {error}"))))?;
    let played = attend(&player, ended, &mut interrupt, &line, || stop.stop()).await;
    let status = player.stats();
    let position = player.position();
    tokio::select! {
        () = player.close() => {}
        () = interrupt.wait() => {}
    }
    line.clear();
    drop(player);
    let played = played.map_err(before)?;
    let mut tally = tally.await.map_err(|error| before(Failure::new(Class::Other, error.to_string())))?;
    let Played { ended, spec, frames, first, stalls, written } = played;
    let ended = ended.and_then(|ended| tally.something(ended, frames));
    let stream = status.stream.unwrap_or_default();
    let summary = Summary {
        seconds: started.elapsed().as_secs_f64(),
        first_sample_seconds: first.map(|first| first.as_secs_f64()),
        played_seconds: spec.map_or(0.0, |spec| spec.duration_of(frames).as_secs_f64()),
        position_seconds: position.as_secs_f64(),
        frames,
        sample_rate: spec.map(|spec| spec.sample_rate),
        channels: spec.map(|spec| spec.channels),
        codec: status.sound.codec.map(|codec| codec.to_string()),
        played: tally.played.iter().map(|media| summary::Played::of(*media, &stream)).collect(),
        bytes: meter.bytes(),
        requests: meter.requests(),
        retries: meter.failed() + tally.refetched,
        segments: tally.came.segments,
        from_store: tally.came.from_store,
        skipped: tally.skipped,
        damaged: tally.damaged,
        stalls: stalls.0,
        stalled_seconds: stalls.1.as_secs_f64(),
        written,
        is_complete: matches!(ended, Ok(Ended::Whole)) && tally.skipped == 0,
    };
    summary.tell();
    match ended {
        Ok(Ended::Interrupted) => Err((Some(summary), Failure::interrupted())),
        Ok(_) => Ok(summary),
        Err(failure) => Err((Some(summary), cannot_play(failure))),
    }
}

/// Nothing was played yet.
fn before(failure: Failure) -> Failed {
    (None, failure)
}

/// Draws, and listens for Ctrl-C, until the performance is over.
async fn attend(
    player: &Player,
    mut ended: oneshot::Receiver<Played>,
    interrupt: &mut Interrupt,
    line: &Line,
    stop: impl Fn(),
) -> Result<Played, Failure> {
    let gone = |_| Failure::new(Class::Other, "the thread that plays has ended unexpectedly");
    let mut ticks = tokio::time::interval(status_line::EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            played = &mut ended => return played.map_err(gone),
            () = interrupt.wait() => break,
            _ = ticks.tick(), if !line.is_hidden() => status_line::draw(line, player),
        }
    }
    stop();
    // A reader that waits for samples is told that there will be none.
    player.close().await;
    tokio::select! {
        played = ended => played.map_err(gone),
        () = tokio::time::sleep(GRACE) => Err(Failure::interrupted()),
        () = interrupt.wait() => Err(Failure::interrupted()),
    }
}

fn cannot_open(error: OpenError, args: &PlayArgs) -> Failure {
    match (error, args.variant) {
        (OpenError::Hls(HlsError::NoSuitableVariant), Some(PlayVariantArg::Held(VariantArg::Number(number)))) => {
            HlsError::VariantNotFound { wanted: MediaId::Variant(VariantId(number)) }.into()
        }
        (error, _) => error.into(),
    }
}
