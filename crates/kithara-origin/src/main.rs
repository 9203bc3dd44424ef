//! `kithara-origin`: serves a directory or the demo stream on loopback, with faults told on the command line.

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    str::FromStr,
    time::Duration,
};

use kithara_origin::{Link, Live, Origin, OriginError, Packager, Rule, Site, access::SecureLink, demo};

const USAGE: &str = "\
Serves a directory (or an embedded demo stream) over HTTP on loopback and misbehaves as told.

Usage: kithara-origin [--dir DIR] [options]

  --dir DIR            serve the files below DIR at /; without it, the demo stream at /master.m3u8
  --addr ADDR          listen on ADDR (default 127.0.0.1:0: a free port, which is printed)
  --fault RULE         play faults on requests; may be given several times (see below)
  --live PATTERN:VIEW  show VOD playlists whose path matches PATTERN as live ones (see below)
  --low-latency PLAYLIST[:WORDS]
                       publish the clear VOD media of a playlist on disk as a low-latency live stream, below /live/ (see below)
  --link WORDS         the network: rtt=TIME, rate=N (bytes per second, shared by all connections)
  --sign PATTERN:SECRET:SECONDS
                       demand signatures (nginx secure_link: md5, expires) of paths that match PATTERN; playlists hand them out
  --bearer PATTERN:TOKEN
                       demand `Authorization: Bearer TOKEN` of paths that match PATTERN
  --seed N             the seed of rules with chance=... (default 0)
  --quiet              do not print the requests
  --help               this text

Examples:
  kithara-origin                                                   the demo stream
  kithara-origin --dir www --fault 'seg:first=2:status=503,retry-after=1'
                                                                   each segment answers 503 twice, then works
  kithara-origin --dir www --fault '*.m4s:nth=1:truncate=50%'      each segment breaks in the middle once
  kithara-origin --dir www --fault '*:chance=0.1:reset' --seed 7   one request in ten is reset, always the same ones
  kithara-origin --dir www --live '*:sliding=6,start=3'            a live stream with a window of six segments
  kithara-origin --low-latency www/master.m3u8:loop,part=200ms    a low-latency stream without end
  kithara-origin --dir www --link rtt=100ms,rate=250k              a slow road
";

/// What the command line asks for.
#[derive(Debug)]
enum Command {
    Help,
    Serve { site: Box<Site>, addr: SocketAddr, is_quiet: bool },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing is left to do when not even standard error takes the message.
            let _ = writeln!(io::stderr(), "kithara-origin: {message}\nTry kithara-origin --help");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (site, addr, is_quiet) = match parse(std::env::args().skip(1))? {
        Command::Help => {
            let text = format!(
                "{USAGE}\nRules\n{}\n\nLive views\n{}\n\nLow-latency streams\n{}\n",
                Rule::SYNTAX,
                Live::SYNTAX,
                Packager::SYNTAX
            );
            return io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string());
        }
        Command::Serve { site, addr, is_quiet } => (site, addr, is_quiet),
    };
    let origin = Origin::listen(addr, *site).map_err(|error| with_source(&error))?;
    writeln!(io::stdout(), "{}", origin.url("/")).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    let mut next = 0;
    // Ends when its standard output is closed, or by a signal.
    runtime.block_on(origin.until(|origin| {
        let ended = origin.log_since(next).into_iter().take_while(|entry| entry.ended.is_some());
        for entry in ended {
            next = entry.id + 1;
            if !is_quiet && writeln!(io::stdout(), "{entry:?}").is_err() {
                return true;
            }
        }
        false
    }));
    Ok(())
}

fn with_source(error: &OriginError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Reads the arguments behind the command's name.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let mut contents: Option<Site> = None;
    let mut changes: Vec<Box<dyn FnOnce(Site) -> Site>> = Vec::new();
    let mut addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut is_quiet = false;
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--quiet" => is_quiet = true,
            "--dir" => contents = Some(directory(&value()?)?),
            "--addr" => addr = read(&option, &value()?)?,
            "--fault" => {
                let rule: Rule = read(&option, &value()?)?;
                changes.push(Box::new(|site| site.rule(rule)));
            }
            "--live" => {
                let (pattern, view) = pair(&option, &value()?)?;
                let live: Live = read(&option, &view)?;
                changes.push(Box::new(move |site| site.live(&pattern, live)));
            }
            "--low-latency" => {
                let value = value()?;
                let (playlist, words) = value.split_once(':').unwrap_or((&value, ""));
                let packager: Packager = read(&option, words)?;
                let packager = packager.presentation(playlist).map_err(|error| with_source(&error))?;
                changes.push(Box::new(move |site| site.low_latency("/live", &packager)));
            }
            "--link" => {
                let link: Link = read(&option, &value()?)?;
                changes.push(Box::new(move |site| site.link(link)));
            }
            "--sign" => {
                let (pattern, rest) = pair(&option, &value()?)?;
                let (secret, seconds) = pair(&option, &rest)?;
                let link = SecureLink::new(&secret, Duration::from_secs(read(&option, &seconds)?));
                changes.push(Box::new(move |site| site.secure_link(&pattern, &link)));
            }
            "--bearer" => {
                let (pattern, token) = pair(&option, &value()?)?;
                changes.push(Box::new(move |site| site.bearer(&pattern, &token)));
            }
            "--seed" => {
                let seed = read(&option, &value()?)?;
                changes.push(Box::new(move |site| site.seed(seed)));
            }
            _ => return Err(format!("{option} is not an option")),
        }
    }
    let site = changes.into_iter().fold(contents.unwrap_or_else(demo), |site, change| change(site));
    Ok(Command::Serve { site: Box::new(site), addr, is_quiet })
}

fn directory(path: &str) -> Result<Site, String> {
    if std::path::Path::new(path).is_dir() {
        Ok(Site::new().dir("/", path))
    } else {
        Err(format!("{path} is no directory"))
    }
}

fn read<T: FromStr<Err: std::fmt::Display>>(option: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error| format!("{option} {value}: {error}"))
}

fn pair(option: &str, value: &str) -> Result<(String, String), String> {
    let (first, rest) = value.split_once(':').ok_or_else(|| format!("{option} {value}: a `:` is missing"))?;
    Ok((first.to_owned(), rest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_error(arguments: &[&str], want: &str) {
        let error = parse(arguments.iter().map(|&argument| argument.to_owned())).unwrap_err();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        check_error(&["--dir"], "--dir needs a value");
        check_error(&["--dir", "/does/not/exist"], "/does/not/exist is no directory");
        check_error(&["--fault", "seg:clothes"], "`clothes` is not understood");
        check_error(&["--low-latency", "none.m3u8"], "cannot read none.m3u8");
        check_error(&["--low-latency", "none.m3u8:slowly"], "`slowly` is not understood");
        check_error(&["--live", "*"], "a `:` is missing");
        check_error(&["--live", "*:slowly"], "event or sliding=N");
        check_error(&["--sign", "*.ts:secret:soon"], "--sign soon");
        check_error(&["--faults"], "--faults is not an option");
        check_error(&["--addr", "here"], "--addr here");
    }

    #[test]
    fn every_option_is_taken() {
        let line = "--dir . --addr 127.0.0.1:8080 --fault seg:close --live *:event --link rtt=1s --sign *.ts:s:60 --bearer *.m3u8:t --seed 3 --quiet";
        let command = parse(line.split(' ').map(str::to_owned)).unwrap();
        assert!(matches!(command, Command::Serve { addr, is_quiet: true, .. } if addr.port() == 8080));
        assert!(matches!(parse(["--help".to_owned()].into_iter()), Ok(Command::Help)));
    }
}
