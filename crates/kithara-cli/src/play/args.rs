//! The command line of `kithara play`.

use std::{
    num::{NonZeroU16, NonZeroU32},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;

use crate::{
    args::{LiveStartArg, VariantArg},
    play::encode::SampleFormat,
    quantity::{length, time},
    rendition::AudioArg,
    session_args::SessionArgs,
    store::StoreArgs,
};

/// Play a stream or a single file: its sound, decoded while it arrives
///
/// A line on standard error shows time, buffer, variant and link while it plays; a sentence at the end says how it went.
/// Files and pipes are written as fast as the stream comes, and in the variant of highest bandwidth; playback in real time
/// adapts to the link.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PlayArgs {
    /// The stream: the URL of a playlist or of a single file of sound, or `demo` for the built-in stream
    #[arg(value_name = "URL|demo")]
    pub(crate) url: String,

    /// Where sound goes: `device`, `null` (decoded and dropped), `wav:FILE`, `raw:FILE`; `-` as a file is standard output
    ///
    /// `device` needs a build with the feature `device`. Files, pipes and `null` go as fast as the stream comes [default:
    /// the sound device; where there is none, real time to nothing]
    #[arg(short, long, value_name = "WHERE")]
    pub(crate) output: Option<OutputArg>,

    /// How samples are written to `wav:` and `raw:`
    #[arg(long, value_enum, default_value_t = SampleFormat::S16le)]
    pub(crate) format: SampleFormat,

    /// Frames per second; other sound is resampled [default: as the stream begins; 48000 with --channels; a device's own]
    #[arg(long, value_name = "HZ")]
    pub(crate) rate: Option<NonZeroU32>,

    /// Channels; other sound is mixed [default: as the stream begins; 2 with --rate; a device's own]
    #[arg(long, value_name = "N")]
    pub(crate) channels: Option<NonZeroU16>,

    /// Begin at this time, exact to the sample: 90, 12.5, 1.5h
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) start: Option<Duration>,

    /// Where to begin with a stream that still grows: `auto` (where its playlist says; else an EVENT at its beginning, a
    /// sliding window at the live edge), `beginning` (the oldest segment that is listed), `edge` (as near to the end as its
    /// playlist allows: three target durations where it does not say), or so long before the end: 90, 90s, 30m
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub(crate) live_start: LiveStartArg,

    /// Stop after so much sound: 90, 90s, 30m, 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    pub(crate) limit: Option<Duration>,

    /// Which variant: `auto` adapts to the link, the others hold one: `best`, `worst`, its number in `kithara probe` (from
    /// 0), or the best one up to a bit rate (`96k`) [default: auto for `device`, best for files]
    #[arg(long, value_name = "WHICH")]
    pub(crate) variant: Option<PlayVariantArg>,

    /// Which audio rendition: its language, its name, or its number in `kithara probe`
    #[arg(long, value_name = "LANGUAGE|NAME|N")]
    pub(crate) audio: Option<AudioArg>,

    /// Keep what is downloaded in this folder, and take from it what is there already [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Keep nothing on disk
    #[arg(long, conflicts_with = "cache")]
    pub(crate) no_cache: bool,

    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Play a stream from the cache at once if it is there and has ended, and ask its server meanwhile: also when that is gone
    #[arg(long, conflicts_with = "no_cache")]
    pub(crate) stored_first: bool,

    #[command(flatten)]
    pub(crate) session: SessionArgs,

    /// Print one JSON object as the last line of standard output (of standard error when sound goes there)
    #[arg(long)]
    pub(crate) json: bool,
}

impl PlayArgs {
    /// Whether it is played for somebody to hear, in real time.
    pub(crate) fn is_heard(&self) -> bool {
        matches!(self.output, None | Some(OutputArg::Device))
    }

    /// The file that sound goes to, if it goes to one; `-` is standard output.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.output {
            Some(OutputArg::Wav(path) | OutputArg::Raw(path)) => Some(path),
            _ => None,
        }
    }

    /// Whether standard output is taken by sound.
    pub(crate) fn is_stdout(&self) -> bool {
        self.file().is_some_and(|path| path.as_os_str() == "-")
    }
}

/// Where sound goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputArg {
    Device,
    Null,
    Wav(PathBuf),
    Raw(PathBuf),
}

impl FromStr for OutputArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "device" => Ok(Self::Device),
            None if text == "null" => Ok(Self::Null),
            Some(("wav", path)) if !path.is_empty() => Ok(Self::Wav(path.into())),
            Some(("raw", path)) if !path.is_empty() => Ok(Self::Raw(path.into())),
            _ => Err("`device`, `null`, `wav:FILE` or `raw:FILE`"),
        }
    }
}

/// Which variant is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlayVariantArg {
    Auto,
    Held(VariantArg),
}

impl FromStr for PlayVariantArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Held),
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  kithara play demo
  kithara play https://example.com/master.m3u8 --start 90 --variant 96k
  kithara play https://example.com/master.m3u8 --output wav:talk.wav
  kithara play https://example.com/master.m3u8 --output raw:- --format s16le --rate 48000 --channels 2 | aplay -f dat
  kithara play https://example.com/live.m3u8 --output wav:radio.wav --for 1h
  kithara play https://example.com/live.m3u8 --live-start beginning   # all that its playlist still lists
  kithara play https://example.com/film.m3u8 --audio fr
  kithara play demo --output null --json | tail -n 1 | jq .first_sample_seconds

A WAV file beyond 4 GiB is written as RF64. Ctrl-C ends playback; what was written is kept and whole. The exit status is
explained in `kithara --help`.";

#[cfg(test)]
mod tests {
    use kithara::options::LiveStart;

    use super::*;

    #[test]
    fn outputs_are_named_in_four_ways() {
        assert_eq!("device".parse(), Ok(OutputArg::Device));
        assert_eq!("null".parse(), Ok(OutputArg::Null));
        assert_eq!("wav:a:b.wav".parse(), Ok(OutputArg::Wav("a:b.wav".into())));
        assert_eq!("raw:-".parse(), Ok(OutputArg::Raw("-".into())));
        for text in ["", "wav", "wav:", "raw:", "null:x", "mp3:x", "/tmp/x"] {
            assert!(text.parse::<OutputArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_live_stream_begins_where_it_is_told() {
        let at = |text: &str| text.parse::<LiveStartArg>().map(|arg| arg.0);
        assert_eq!(at("auto"), Ok(LiveStart::Auto));
        assert_eq!(at("beginning"), Ok(LiveStart::Beginning));
        assert_eq!(at("edge"), Ok(LiveStart::Edge));
        assert_eq!(at("30"), Ok(LiveStart::Behind(Duration::from_secs(30))));
        assert_eq!(at("2m"), Ok(LiveStart::Behind(Duration::from_secs(120))));
        for text in ["", "end", "-3", "1:30"] {
            assert!(at(text).is_err(), "{text}");
        }
    }
}
