//! The `kithara` command: the library at work, for people and for scripts.
//!
//! Each command is a module with a `run` that returns what went wrong, if anything; `main` alone turns that into words on
//! standard error and an exit status, so that everything a command holds is dropped before the process ends.

mod args;
mod cache;
mod counted;
mod failure;
mod interrupt;
mod line;
mod logging;
mod meter;
mod output;
mod play;
mod probe;
mod quantity;
mod rendition;
mod replay;
mod requests;
mod save;
mod session_args;
mod store;
mod target;
mod trace_file;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is a mistake. Either way nothing has begun.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    logging::start(cli.verbose);
    let result = match &cli.command {
        Command::Play(args) => play::run(args, cli.verbose),
        Command::Save(args) => save::run(args, cli.verbose),
        Command::Probe(args) => probe::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Cache(args) => cache::run(args, cli.verbose),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    }
}
