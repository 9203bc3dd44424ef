//! The arguments of every command that runs a session.

use std::{
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use kithara::{HlsOptions, options::OnMissing};

use crate::{
    args::{KeyArgs, NetworkArgs, RequestArgs},
    failure::Failure,
    requests,
    trace_file::TraceFile,
};

/// How a session is run.
#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,

    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) network: NetworkArgs,

    /// What to do with a segment that cannot be had
    #[arg(long, value_enum, default_value_t = OnMissingArg::Fail)]
    pub(crate) on_missing: OnMissingArg,

    /// How long to keep trying for what does not come, in seconds: also for the stream itself, when it is opened [default: 20]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) patience: Option<u32>,

    /// Write what the session was told and what it decided to this file, without secrets; see `kithara replay`
    ///
    /// An earlier trace is replaced, any other file is not.
    /// A trace is of a session of HLS. A single file of sound has none, and is refused together with this option.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum OnMissingArg {
    /// End with an error
    Fail,
    /// Leave it out and say so
    Skip,
}

/// As long as a playlist or key may take, however little patience there is.
const ONE_TRY: Duration = Duration::from_secs(2);

impl SessionArgs {
    /// The options of a session, with what these arguments say in them.
    pub(crate) fn options(&self) -> Result<HlsOptions, Failure> {
        let (request, key) = (requests::options(&self.request)?, self.key.options()?);
        let mut options = HlsOptions { request, key, network: self.network.options(), ..HlsOptions::default() };
        let playback = &mut options.playback;
        playback.on_missing = match self.on_missing {
            OnMissingArg::Fail => OnMissing::Fail,
            OnMissingArg::Skip => OnMissing::Skip,
        };
        if let Some(seconds) = self.patience {
            let patience = Duration::from_secs(seconds.into());
            options.request.patience.max_elapsed = patience;
            playback.patience = patience;
            playback.ready_timeout = patience;
            // Who has no patience at all still gets what is there.
            options.request.deadline = patience.clamp(ONE_TRY, options.request.deadline);
        }
        Ok(options)
    }

    /// Where the trace goes, if one is wanted; `out` is where something else goes.
    pub(crate) fn trace(&self, out: Option<&Path>) -> Result<Option<Box<dyn Write + Send>>, Failure> {
        let file = self.trace.as_deref().map(|path| TraceFile::at(path, out)).transpose()?;
        Ok(file.map(|file| Box::new(file) as Box<dyn Write + Send>))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use kithara::{fetch::net::address::AddressPolicy, options::KeyCache};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        session: SessionArgs,
    }

    fn options(args: &[&str]) -> HlsOptions {
        Line::try_parse_from([&["kithara"], args].concat()).unwrap().session.options().unwrap()
    }

    #[test]
    fn patience_is_for_all_that_does_not_come() {
        for (seconds, deadline) in [(0, 2), (5, 5), (120, 30)] {
            let options = options(&["--patience", &seconds.to_string()]);
            let patience = Duration::from_secs(seconds);
            let told =
                (options.playback.patience, options.playback.ready_timeout, options.request.patience.max_elapsed);
            assert_eq!(told, (patience, patience, patience));
            assert_eq!(options.request.deadline, Duration::from_secs(deadline), "{seconds}");
        }
        let (unsaid, usual) = (options(&[]), HlsOptions::default());
        assert_eq!((unsaid.playback, unsaid.request.deadline), (usual.playback, usual.request.deadline));
    }
    #[test]
    fn switches_reach_the_library() {
        let options = options(&[
            "--key-header",
            "X-Key: 1",
            "--key-query",
            "a=%2F",
            "--plain-keys",
            "--keys",
            "disk",
            "--cookies",
            "--public-only",
        ]);
        let (key, network) = (options.key, options.network);
        assert_eq!((key.headers["x-key"].as_bytes(), key.query.as_deref()), (&b"1"[..], Some("a=%2F")));
        assert!(key.plain && matches!(key.cache, KeyCache::Disk));
        assert_eq!((network.cookies, network.address_policy), (true, AddressPolicy::PublicOnly));
        assert!(matches!(self::options(&["--keys", "never"]).key.cache, KeyCache::Never));
    }
}
