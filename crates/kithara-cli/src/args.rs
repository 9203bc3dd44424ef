//! The command line.

use std::{num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use kithara::{
    abr::AbrStrategy,
    fetch::net::address::AddressPolicy,
    options::{BitRate, KeyCache, KeyOptions, LiveOptions, LiveStart, NetworkOptions, RequestOptions, VariantChoice},
    playlist::VariantId,
};

use crate::{
    cache::CacheArgs,
    failure::Failure,
    play::PlayArgs,
    probe::ProbeArgs,
    quantity::{length, time},
    rendition::AudioArg,
    requests,
    session_args::SessionArgs,
    store::StoreArgs,
};

/// Plays HTTP Live Streams.
///
/// Plays streams, saves them as one file, shows what is in a playlist, replays traces of sessions, and looks after the
/// cache.
#[derive(Debug, Parser)]
#[command(name = "kithara", version, after_help = SHORT_EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Say more on standard error: -v what the session does, -vv what goes over the network
    ///
    /// URLs are shown without user names, passwords and queries. The environment variable RUST_LOG, where it is set,
    /// says more exactly what is wanted (for instance `kithara_net=trace`).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Play(PlayArgs),
    Save(SaveArgs),
    Probe(ProbeArgs),
    Replay(ReplayArgs),
    Cache(CacheArgs),
}

/// Save a stream as one file: all bytes of one variant, in order, decrypted
///
/// The file holds the initialization sections and segments one after the other, as players read them. Nothing is decoded
/// or repackaged. It appears under its name when it is whole; until then it has a name of its own beside it. A live
/// stream is recorded until it ends, until the time given by --for, or until Ctrl-C; what was recorded is kept.
#[derive(Debug, Args)]
#[command(after_long_help = SAVE_EXAMPLES)]
pub(crate) struct SaveArgs {
    /// The stream: the URL of a multivariant or media playlist (a single file is for `kithara play`), or `demo` for the
    /// built-in stream
    #[arg(value_name = "URL|demo")]
    pub(crate) url: String,

    /// Where to: a file, which is replaced when the new one is whole, or `-` for standard output
    #[arg(value_name = "OUT|-")]
    pub(crate) out: PathBuf,

    /// Which variant: `best`, `worst`, its number in `kithara probe` (from 0), or the best one up to a bit rate (`96k`,
    /// `2M`, or 1000 and more in bits per second)
    #[arg(long, value_name = "WHICH", default_value = "best")]
    pub(crate) variant: VariantArg,

    /// Save the sound alone: the audio rendition where there is one, so that no video is downloaded
    #[arg(long)]
    pub(crate) audio_only: bool,

    /// Save this audio rendition alone: its language, its name, or its number in `kithara probe`
    #[arg(long, value_name = "LANGUAGE|NAME|N")]
    pub(crate) audio: Option<AudioArg>,

    /// Keep what is downloaded in this folder, and take from it what is there already
    ///
    /// Without it nothing is cached: a second copy of a stream that is being saved anyway costs more than it brings.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Use no cache (the default of this command)
    #[arg(long, conflicts_with = "cache")]
    pub(crate) no_cache: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// End the recording of a live stream after this time, and keep it: 90, 90s, 30m, 2h; one that has ended is saved whole
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub(crate) length: Option<Duration>,

    /// Where to begin with a stream that still grows: `auto` (where its playlist says; else an EVENT at its beginning, a
    /// sliding window at the live edge), `beginning` (the oldest segment that is listed), `edge` (as near to the end as its
    /// playlist allows: three target durations where it does not say), or so long before the end: 90, 90s, 30m
    #[arg(long, alias = "begin", value_name = "WHERE", default_value = "auto")]
    pub(crate) live_start: LiveStartArg,

    /// Segments to download side by side, at most
    #[arg(long, value_name = "N", default_value = "4")]
    pub(crate) parallel: NonZeroUsize,

    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Print one JSON object as the last line of standard output (of standard error when OUT is `-`)
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replay a trace of a session and compare every decision
///
/// A trace holds what a session was told and what it did. The same inputs must give the same actions and events; where
/// they do not, the first difference is shown with what came before it, and the exit status is 1.
#[derive(Debug, Args)]
#[command(after_long_help = REPLAY_EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// The trace, written with `--trace`
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Print the trace, readable, from this line on (counted from 1)
    #[arg(long, value_name = "N")]
    pub(crate) from: Option<usize>,

    /// Print one JSON object as the last line of standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is sent with requests.
#[derive(Debug, Default, Args)]
pub(crate) struct RequestArgs {
    /// Send this header to the origin of the URL, and to no other; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Append this to the query of every URL of the origin of the URL; may be given several times
    #[arg(long = "query", value_name = "NAME=VALUE")]
    pub(crate) query: Vec<String>,
}

/// How the network is used.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct NetworkArgs {
    /// Keep the cookies that servers set while the command runs, and send them back
    #[arg(long)]
    pub(crate) cookies: bool,

    /// Follow what servers of the public internet name, by redirect or in a playlist, to public addresses only
    #[arg(long)]
    pub(crate) public_only: bool,
}

impl NetworkArgs {
    pub(crate) fn options(self) -> NetworkOptions {
        let address_policy = if self.public_only { AddressPolicy::PublicOnly } else { AddressPolicy::Allow };
        NetworkOptions { cookies: self.cookies, address_policy, ..NetworkOptions::default() }
    }
}

/// How keys are asked for and kept.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Send this header with requests for keys, whichever server they are at; may be given several times
    #[arg(long = "key-header", value_name = "NAME: VALUE")]
    pub(crate) key_headers: Vec<String>,

    /// Append this to the query of the URLs of keys, wherever they are, as it is and in place of --query
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) key_query: Option<String>,

    /// Ask for keys by plain http also where their playlist came by https
    #[arg(long)]
    pub(crate) plain_keys: bool,

    /// Where keys are kept
    #[arg(long, value_enum, default_value_t = KeysArg::Memory)]
    pub(crate) keys: KeysArg,
}

/// Where keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeysArg {
    /// Nowhere: each is asked for whenever it is needed
    Never,
    /// In memory, while the command runs
    Memory,
    /// In the cache: whoever can read that can play what is in it
    Disk,
}

impl KeyArgs {
    pub(crate) fn options(&self) -> Result<KeyOptions, Failure> {
        let cache = match self.keys {
            KeysArg::Never => KeyCache::Never,
            KeysArg::Memory => KeyCache::Memory,
            KeysArg::Disk => KeyCache::Disk,
        };
        let headers = requests::with_headers(RequestOptions::default(), "--key-header", &self.key_headers)?.headers;
        Ok(KeyOptions {
            headers,
            query: self.key_query.clone(),
            cache,
            plain: self.plain_keys,
            ..KeyOptions::default()
        })
    }
}

/// Where to begin with a stream that still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveStartArg(pub(crate) LiveStart);

impl FromStr for LiveStartArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(match text {
            "auto" => LiveStart::Auto,
            "beginning" => LiveStart::Beginning,
            "edge" => LiveStart::Edge,
            text => {
                LiveStart::Behind(time(text).map_err(|_| "`auto`, `beginning`, `edge`, or seconds before the end")?)
            }
        }))
    }
}

impl LiveStartArg {
    pub(crate) fn options(self) -> LiveOptions {
        LiveOptions { start: self.0, ..LiveOptions::default() }
    }
}

/// Which variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VariantArg {
    Best,
    Worst,
    Number(u32),
    /// Bits per second, at most.
    Rate(u64),
}

impl VariantArg {
    /// What a session is told.
    pub(crate) fn choice(self) -> (VariantChoice, AbrStrategy) {
        match self {
            Self::Best => (VariantChoice::Best, AbrStrategy::Auto),
            Self::Worst => (VariantChoice::Worst, AbrStrategy::Auto),
            Self::Number(number) => (VariantChoice::Id(VariantId(number)), AbrStrategy::Auto),
            Self::Rate(rate) => (VariantChoice::Auto, AbrStrategy::Fixed(BitRate(rate))),
        }
    }
}

/// Numbers below are places in the playlist, the others bits per second.
const LEAST_RATE: u64 = 1000;

impl FromStr for VariantArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "`best`, `worst`, a number of a variant, or a bit rate such as 96k";
        match text {
            "best" => return Ok(Self::Best),
            "worst" => return Ok(Self::Worst),
            _ => {}
        }
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], Some(1_000)),
            Some(b'm' | b'M') => (&text[..text.len() - 1], Some(1_000_000)),
            _ => (text, None),
        };
        let number: u64 = digits.parse().map_err(|_| WANTED)?;
        match unit {
            Some(unit) => number.checked_mul(unit).map(Self::Rate).ok_or(WANTED),
            None if number < LEAST_RATE => u32::try_from(number).map(Self::Number).map_err(|_| WANTED),
            None => Ok(Self::Rate(number)),
        }
    }
}

const SHORT_EXAMPLES: &str = "\
Examples:
  kithara play demo                             the built-in stream
  kithara play demo --output wav:demo.wav       its sound, as a WAV file
  kithara save demo demo.mp4                    its bytes, as one file
  kithara probe https://example.com/live.m3u8   what is in a playlist
Try `kithara --help` for more, and `kithara COMMAND --help` for each command.";

const EXAMPLES: &str = "\
Examples:
  kithara play https://example.com/master.m3u8
      Decoded while it arrives; a line shows time, buffer, variant and link.
  kithara play https://example.com/master.m3u8 --output wav:talk.wav --start 60 --for 30
      Half a minute of its sound as a WAV file, as fast as it comes.
  kithara save demo demo.mp4
      The built-in stream (twenty seconds of music, AES-128), as one file.
  kithara save https://example.com/master.m3u8 - | ffplay -
      Into another program, while it arrives.
  kithara save https://example.com/master.m3u8 talk.mp4 --audio-only --variant 96k
      The sound alone, the best variant up to 96 kbit/s.
  kithara probe https://example.com/master.m3u8
      Its variants, renditions, segments, keys and durations.
  kithara save https://example.com/live.m3u8 out.ts --trace bug.trace; kithara replay bug.trace
      A bug report that can be replayed.
  kithara cache ls
      What is kept on disk.

Exit status:
    0  done
    1  a replay differs, `probe --lint` found a broken rule, or something failed that has no other number
    2  the command line cannot be used
    3  the network: no connection, timeouts, a server in trouble
    4  not found, gone, forbidden, or credentials needed
    5  not a playlist, or one that cannot be played
    6  the media is broken, or cannot be decrypted
    7  the disk: a file or folder cannot be read or written
  130  interrupted";

const SAVE_EXAMPLES: &str = "\
Examples:
  kithara save demo demo.mp4
  kithara save https://example.com/master.m3u8 film.mp4 --variant worst
  kithara save https://example.com/master.m3u8 - | ffmpeg -i - -c copy film.mkv
  kithara save https://example.com/private.m3u8 talk.mp4 --header 'Authorization: Bearer TOKEN'
  kithara save https://example.com/master.m3u8 ton.mp4 --audio de
  kithara save https://example.com/live.m3u8 radio.ts --for 30m  (or until Ctrl-C)
  kithara save https://example.com/master.m3u8 film.mp4 --json | tail -n 1 | jq .bytes

Standard error shows progress when it is a terminal. The exit status is explained in `kithara --help`.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  kithara replay session.trace              does it still decide the same?
  kithara replay session.trace --from 40    and show it from line 40 on";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(text: &str, want: Option<VariantArg>) {
        assert_eq!(text.parse().ok(), want, "{text}");
    }

    #[test]
    fn variants_are_named_in_five_ways() {
        check("best", Some(VariantArg::Best));
        check("worst", Some(VariantArg::Worst));
        check("0", Some(VariantArg::Number(0)));
        check("999", Some(VariantArg::Number(999)));
        check("1000", Some(VariantArg::Rate(1000)));
        check("96k", Some(VariantArg::Rate(96_000)));
        check("2M", Some(VariantArg::Rate(2_000_000)));
    }

    #[test]
    fn nonsense_is_no_variant() {
        for text in ["", "k", "-1", "1.5M", "finest", "18446744073709551615k", "ü"] {
            check(text, None);
        }
    }
}
