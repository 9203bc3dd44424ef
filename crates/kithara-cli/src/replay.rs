//! `kithara replay`: does a session still decide as it did?

use std::{
    fs,
    io::{self, Write},
};

use kithara::trace::{Divergence, Line, Replayed, Trace};
use serde_json::json;

use crate::{
    args::ReplayArgs,
    failure::{Class, Failure},
    output::told,
};

/// Lines of a trace shown before the one that differs.
const CONTEXT: usize = 8;
/// Longer inputs, playlists above all, are cut in front of people.
const WIDTH: usize = 160;

pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let trace = read(args).inspect_err(|failure| failure.tell_json(args.json))?;
    let result = trace.replay();
    let mut out = io::stdout().lock();
    told(tell(&mut out, args, &trace, &result).and_then(|()| out.flush()))?;
    result.map(|_| ()).map_err(|divergence| differs(&divergence))
}

fn differs(divergence: &Divergence) -> Failure {
    Failure::new(Class::Other, format!("the replay differs at line {}", divergence.line))
        .with_hint("a session of another version decides otherwise; within one version it is a bug")
}

fn read(args: &ReplayArgs) -> Result<Trace, Failure> {
    let text = fs::read_to_string(&args.file).map_err(|error| Failure::disk("cannot read", &args.file, &error))?;
    Trace::read(&text).map_err(|error| Failure::new(Class::Playlist, format!("{}: {error}", args.file.display())))
}

fn tell(
    out: &mut impl Write,
    args: &ReplayArgs,
    trace: &Trace,
    result: &Result<Replayed, Divergence>,
) -> io::Result<()> {
    if let Some(from) = args.from {
        show(out, trace, from, trace.lines().len())?;
    }
    match result {
        Ok(done) => {
            let Replayed { inputs, actions, events } = *done;
            writeln!(out, "{inputs} inputs replayed: {actions} actions and {events} events agree")?;
            if args.json {
                let object = json!({ "inputs": inputs, "actions": actions, "events": events, "differs_at": null });
                writeln!(out, "{object}")?;
            }
        }
        Err(divergence) => {
            if args.from.is_none() {
                show(out, trace, divergence.line.saturating_sub(CONTEXT), divergence.line - 1)?;
            }
            writeln!(out, "{divergence}")?;
            if args.json {
                let facts = json!({ "differs_at": divergence.line, "difference": divergence.to_string() });
                writeln!(out, "{}", differs(divergence).json_beside(facts))?;
            }
        }
    }
    Ok(())
}

/// Prints the lines from `first` to `last`, counted from 1.
fn show(out: &mut impl Write, trace: &Trace, first: usize, last: usize) -> io::Result<()> {
    let lines = trace.lines().iter().zip(1..);
    for (line, number) in lines.filter(|(_, number)| (first..=last).contains(number)) {
        writeln!(out, "{number:>6} {}", readable(line))?;
    }
    Ok(())
}

fn readable(line: &Line) -> String {
    let text = match line {
        Line::Open { url, version, .. } => format!("open {url} (trace version {version})"),
        Line::In { now, input } => format!("{:.3} s  > {input:?}", now.at.as_nanos() as f64 / 1e9),
        Line::Do(action) => format!("        < {action}"),
        Line::Say(event) => format!("        * {event}"),
    };
    match text.char_indices().nth(WIDTH) {
        Some((cut, _)) => format!("{} ...", &text[..cut]),
        None => text,
    }
}
