//! `kithara probe`: what is in a playlist.

mod lint;
mod load;
mod neutral;
mod record;
mod table;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use kithara::{
    event::MediaId,
    playlist::{MediaPlaylist, MultivariantPlaylist, ParseOptions, Playlist, Variables, Variant, parse},
    trace::PlaylistId,
};
use serde_json::json;
use url::Url;

use crate::{
    args::{NetworkArgs, RequestArgs, VariantArg},
    failure::{Class, Failure},
    output::told,
    probe::{
        lint::Report,
        load::{Loaded, Loader},
        record::Record,
    },
    target::{Target, shown},
};

/// Show what is in a playlist: variants, renditions, segments, keys, durations
///
/// A multivariant playlist is shown with the media playlist of one of its variants. The playlist of a file is shown
/// alone: nothing is loaded over the network.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ProbeArgs {
    /// The playlist: a URL, a file, `-` for standard input, or `demo` for the built-in stream
    #[arg(value_name = "URL|FILE|demo")]
    input: String,

    /// The variant whose media playlist is shown: `best`, `worst`, its number (from 0), or the best one up to a bit rate
    #[arg(long, value_name = "WHICH", default_value = "best")]
    variant: VariantArg,

    /// Show all segments, not only the first ones
    #[arg(long)]
    all: bool,

    /// Show which rules of the specification are broken, and where; the exit status is 1 when one is that must be kept
    ///
    /// Each violation is shown with its line and the section of RFC 8216bis (draft 22) that makes the rule: `error` for
    /// what must be, `warning` for what should be. Of a URL all media playlists of the presentation are loaded and
    /// compared with each other; a live media playlist is loaded again after a target duration and compared with itself.
    #[arg(long)]
    lint: bool,

    /// An earlier version of the media playlist in the file, which is compared with it; with --lint
    #[arg(long, value_name = "FILE", requires = "lint")]
    before: Option<String>,

    #[command(flatten)]
    request: RequestArgs,

    #[command(flatten)]
    network: NetworkArgs,

    /// The address a file was loaded from, for its relative URIs and for variables from the query
    #[arg(long, value_name = "URL")]
    base: Option<String>,

    /// The variables of the multivariant playlist that a file belongs to, as a JSON object
    #[arg(long, value_name = "JSON")]
    vars: Option<String>,

    /// Write the playlists to this file as they are loaded, without secrets, as a session would be told of them; see
    /// `kithara replay`
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Print everything as one JSON object, and nothing else on standard output
    ///
    /// Facts that are absent, false or empty are left out; times are in seconds, dates in milliseconds since 1970. A
    /// playlist that must be rejected gives an object with `error`; --lint adds the list `lint`.
    #[arg(long)]
    json: bool,
}

impl ProbeArgs {
    /// Where what is loaded is recorded, if that is wanted.
    fn record(&self, url: &Url) -> Result<Option<Record>, Failure> {
        self.trace.as_deref().map(|path| Record::begin(path, url, self.variant)).transpose()
    }
}

const EXAMPLES: &str = "\
Examples:
  kithara probe https://example.com/master.m3u8
  kithara probe https://example.com/master.m3u8 --variant worst --all
  kithara probe https://example.com/master.m3u8 --lint
  kithara probe index.m3u8 --base https://example.com/live/index.m3u8 --lint
  kithara probe https://example.com/master.m3u8 --lint --trace bug.trace; kithara replay bug.trace
  kithara probe later.m3u8 --lint --before earlier.m3u8 --json | jq '.lint[].text'
  kithara probe demo --json | jq '.variants[].bandwidth'";

/// Where a file was loaded from when nobody says.
const UNKNOWN_BASE: &str = "file:///";

pub(crate) fn run(args: &ProbeArgs) -> Result<(), Failure> {
    let probed = probe(args);
    let mut out = io::stdout().lock();
    let written = match &probed {
        Ok(probed) if args.json => writeln!(out, "{}", probed.json()),
        Ok(probed) => probed.show(&mut out, args),
        Err(failure) if args.json => writeln!(out, "{}", failure.json()),
        Err(_) => Ok(()),
    };
    told(written.and_then(|()| out.flush()))?;
    probed?.lint.map_or(Ok(()), |report| report.verdict())
}

/// What was found.
struct Probed {
    primary: Playlist,
    /// Where it was loaded from, without secrets.
    at: String,
    /// The media playlist of a variant, where one was loaded.
    selected: Option<Selected>,
    /// Which rules are broken, where that was asked for.
    lint: Option<Report>,
}

struct Selected {
    number: u32,
    at: String,
    playlist: MediaPlaylist,
}

fn probe(args: &ProbeArgs) -> Result<Probed, Failure> {
    let imports = args.vars.as_deref().map(variables).transpose()?;
    if let Some(text) = load::local(&args.input)? {
        let base = args.base.as_deref().unwrap_or(UNKNOWN_BASE);
        let url = base.parse().map_err(|_| Failure::usage(format!("--base: {} is no URL", shown(base))))?;
        return probe_text(args, &Loaded { text, url }, imports.as_ref());
    }
    let target = Target::open(&args.input)?;
    let mut loader = Loader::new(target.url(), &args.request, args.network.options(), |url| args.record(url))?;
    let loaded = loader.load(PlaylistId::Primary, &loader.url().clone())?;
    let at = target.shown();
    let primary = read(&loaded, &at, imports.as_ref())?;
    let mut lint = args.lint.then(Report::default);
    if let Some(report) = &mut lint {
        report.look(&at, &loaded.text, &primary);
        match &primary {
            Playlist::Multivariant(playlist) => report.presentation(&mut loader, playlist)?,
            Playlist::Media(playlist) => report.update(&mut loader, &loaded, &at, playlist)?,
        }
    }
    let selected = match &primary {
        Playlist::Multivariant(playlist) => {
            select(playlist, args.variant)?.map(|variant| load_variant(&mut loader, playlist, variant)).transpose()?
        }
        Playlist::Media(_) => None,
    };
    Ok(Probed { primary, at, selected, lint })
}

/// A playlist that is there as a text, and perhaps an earlier version of it.
fn probe_text(args: &ProbeArgs, loaded: &Loaded, imports: Option<&Variables>) -> Result<Probed, Failure> {
    let at = args.input.clone();
    let mut record = args.record(&loaded.url)?;
    let mut note =
        |loaded: &Loaded| record.as_mut().map_or(Ok(()), |record| record.loaded(PlaylistId::Primary, loaded));
    let earlier = match &args.before {
        Some(path) => {
            let text = load::local(path)?.ok_or_else(|| Failure::usage(format!("--before: {path} is no file")))?;
            let before = Loaded { text, url: loaded.url.clone() };
            note(&before)?;
            let Playlist::Media(playlist) = read(&before, path, imports)? else {
                return Err(Failure::usage(format!("--before: {path} is no media playlist")));
            };
            Some(playlist)
        }
        None => None,
    };
    note(loaded)?;
    let primary = reread(loaded, &at, imports, earlier.as_ref())?;
    let mut lint = args.lint.then(Report::default);
    if let Some(report) = &mut lint {
        report.look(&at, &loaded.text, &primary);
        if let (Some(before), Playlist::Media(after)) = (&earlier, &primary) {
            report.compare(&at, before, after);
        }
    }
    Ok(Probed { primary, at, selected: None, lint })
}

fn load_variant(loader: &mut Loader, playlist: &MultivariantPlaylist, variant: &Variant) -> Result<Selected, Failure> {
    let at = variant.uri.to_string();
    let loaded = loader.load(PlaylistId::Media(MediaId::Variant(variant.id)), &variant.uri.url())?;
    match read(&loaded, &at, Some(&playlist.variables))? {
        Playlist::Media(playlist) => Ok(Selected { number: variant.id.0, at, playlist }),
        Playlist::Multivariant(_) => {
            Err(Failure::new(Class::Playlist, format!("{at}: a media playlist was expected, not a multivariant one")))
        }
    }
}

fn read(loaded: &Loaded, at: &str, imports: Option<&Variables>) -> Result<Playlist, Failure> {
    reread(loaded, at, imports, None)
}

/// Reads a text that may be a later version of a playlist.
fn reread(
    loaded: &Loaded,
    at: &str,
    imports: Option<&Variables>,
    previous: Option<&MediaPlaylist>,
) -> Result<Playlist, Failure> {
    let options = ParseOptions { imports, previous, ..ParseOptions::default() };
    parse(&loaded.text, &loaded.url, &options).map_err(|error| Failure::new(Class::Playlist, format!("{at}: {error}")))
}

fn variables(json: &str) -> Result<Variables, Failure> {
    serde_json::from_str(json)
        .map_err(|error| Failure::usage(format!("--vars: not a JSON object of names and texts: {error}")))
}

/// The variant that was asked for; none where there are none.
fn select(playlist: &MultivariantPlaylist, which: VariantArg) -> Result<Option<&Variant>, Failure> {
    let variants = || playlist.variants.iter();
    let rate = |variant: &&Variant| variant.bandwidth;
    Ok(match which {
        // The first of equals.
        VariantArg::Best => variants().rev().max_by_key(rate),
        VariantArg::Worst => variants().min_by_key(rate),
        VariantArg::Number(number) => {
            let found = variants().find(|variant| variant.id.0 == number);
            Some(found.ok_or_else(|| Failure::usage(format!("there is no variant {number}")))?)
        }
        VariantArg::Rate(limit) => {
            let fitting = variants().rev().filter(|variant| variant.bandwidth.0 <= limit).max_by_key(rate);
            fitting.or_else(|| variants().min_by_key(rate))
        }
    })
}

impl Probed {
    fn json(&self) -> serde_json::Value {
        let mut object = neutral::neutral(&self.primary);
        if let Some(selected) = &self.selected {
            let playlist = neutral::neutral(&Playlist::Media(selected.playlist.clone()));
            object["selected"] = json!({ "variant": selected.number, "playlist": playlist });
        }
        if let Some(report) = &self.lint {
            object["lint"] = report.json();
        }
        object
    }

    fn show(&self, out: &mut impl Write, args: &ProbeArgs) -> io::Result<()> {
        match &self.primary {
            Playlist::Multivariant(playlist) => table::multivariant(out, playlist, &self.at)?,
            Playlist::Media(playlist) => table::media(out, playlist, &format!("media playlist {}", self.at), args.all)?,
        }
        table::violations(out, &self.primary, self.lint.is_some())?;
        if let Some(Selected { number, at, playlist }) = &self.selected {
            writeln!(out)?;
            table::media(out, playlist, &format!("media playlist of variant {number}: {at}"), args.all)?;
            table::violations(out, &Playlist::Media(playlist.clone()), self.lint.is_some())?;
        }
        match &self.lint {
            Some(report) => {
                writeln!(out)?;
                report.show(out)
            }
            None => Ok(()),
        }
    }
}
