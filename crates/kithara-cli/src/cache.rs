//! `kithara cache`: what is kept on disk, whether it is right, what may go.

mod folder;
mod verify;

use std::{
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanDuration};
use kithara::fetch::assets::{
    AssetId, AssetStore, AssetsErrorKind, DiskOptions, Partition, UnixMillis, UrlIdentity,
    maintain::{AssetSummary, GcOptions, ResourceSummary},
};
use serde_json::{Value, json};
use url::Url;

pub(crate) use self::folder::default_folder;
use crate::{
    failure::{Class, Failure},
    output::told,
    quantity::{bytes, time},
    target::shown,
};

/// Look after the cache: list it, check it, make room in it, remove from it
///
/// The cache is a folder that any number of processes share. What one of them plays is never removed by another. Nothing is
/// loaded and no session runs here, so there is no --trace: traces are of sessions.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    command: CacheCommand,

    /// The folder of the cache [default: `kithara` in the user's folder for caches]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,

    /// Print one JSON object as the last line of standard output
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum CacheCommand {
    /// List what is kept, the least recently used first
    #[command(after_long_help = LS_EXAMPLES)]
    Ls {
        /// List the resources of this one: its id (or the beginning of it), or the URL it was opened with
        #[arg(value_name = "ASSET|URL")]
        asset: Option<String>,
    },
    /// Read everything and check it; what is not right is removed and will be fetched again
    ///
    /// The exit status is 7 when something was not right, or could not be read.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify,
    /// Remove what is beyond the limits, and what processes left behind when they died
    ///
    /// What is being played or kept offline stays.
    #[command(after_long_help = GC_EXAMPLES)]
    Gc {
        /// Let this many bytes stay (500M, 2G) [default: 1G]
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        quota: Option<u64>,

        /// Remove what was not used for this long (90, 90s, 45m, 12h, 30d) [default: 30d]
        #[arg(long, value_name = "TIME", value_parser = time)]
        unused_for: Option<Duration>,
    },
    /// Remove assets with everything in them
    ///
    /// One that is being played or kept offline stays, and the exit status is 7.
    #[command(after_long_help = RM_EXAMPLES)]
    Rm {
        /// Which: ids (or their beginnings), or URLs they were opened with
        #[arg(value_name = "ASSET|URL", required_unless_present = "all")]
        assets: Vec<String>,

        /// All there are
        #[arg(long, conflicts_with = "assets")]
        all: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  kithara cache ls
  kithara cache ls https://example.com/master.m3u8 --cache /var/cache/films
  kithara cache verify --json | tail -n 1 | jq .bad_bytes
  kithara cache gc --quota 500M --unused-for 7d
  kithara cache rm 3f2a";

const LS_EXAMPLES: &str = "\
Examples:
  kithara cache ls
  kithara cache ls --cache /var/cache/films
  kithara cache ls 3f2a                                  what is kept of this one
  kithara cache ls https://example.com/master.m3u8       the same, by the URL it was opened with
  kithara cache ls --json | tail -n 1 | jq '.assets[].label'";

const VERIFY_EXAMPLES: &str = "\
Examples:
  kithara cache verify
  kithara cache verify --cache /var/cache/films
  kithara cache verify --json | tail -n 1 | jq .bad_bytes";

const GC_EXAMPLES: &str = "\
Examples:
  kithara cache gc                                       down to 1G, and nothing older than 30 days
  kithara cache gc --quota 500M --unused-for 7d
  kithara cache gc --quota 0 --cache /var/cache/films    all that nobody plays or keeps offline";

const RM_EXAMPLES: &str = "\
Examples:
  kithara cache rm 3f2a
  kithara cache rm https://example.com/master.m3u8 https://example.com/film.m3u8
  kithara cache rm --all --cache /var/cache/films";

pub(crate) fn run(args: &CacheArgs, verbose: u8) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let (written, outcome) = work(&mut out, args, verbose).inspect_err(|failure| failure.tell_json(args.json))?;
    told(written.and_then(|()| out.flush()))?;
    outcome
}

/// What was written, and how the work ended that it tells of.
type Told = (io::Result<()>, Result<(), Failure>);

/// Does what is wanted, and tells of it.
///
/// # Errors
/// There is nothing to tell of.
fn work(out: &mut impl Write, args: &CacheArgs, verbose: u8) -> Result<Told, Failure> {
    let store = open(args)?;
    Ok(match &args.command {
        CacheCommand::Ls { asset: None } => (list(out, &store, args.json), Ok(())),
        CacheCommand::Ls { asset: Some(name) } => {
            let resources = store.resources(&find(&store, name)?);
            (list_resources(out, &resources, args.json), Ok(()))
        }
        CacheCommand::Verify => verify::run(out, &store, args.json, verbose),
        CacheCommand::Gc { quota, unused_for } => collect(out, &store, limits(*quota, *unused_for), args.json)?,
        CacheCommand::Rm { assets, all } => {
            let removed = remove(out, &store, &wanted(&store, assets, *all)?, args.json);
            if *all {
                // Names of what stored nothing are kept for a day else.
                store.gc(GcOptions::default()).wait().map_err(|error| cannot("put in order", &error))?;
            }
            removed
        }
    })
}

/// The facts as the last line, with the failure where there is one.
fn tell_facts(out: &mut impl Write, facts: Value, outcome: &Result<(), Failure>) -> io::Result<()> {
    let object = match outcome {
        Ok(()) => facts,
        Err(failure) => failure.json_beside(facts),
    };
    writeln!(out, "{object}")
}

fn open(args: &CacheArgs) -> Result<AssetStore, Failure> {
    let dir = folder::existing(args.cache.as_deref())?;
    // Nothing goes because the store is opened: to look must change nothing, and room is made as `gc` is told.
    let options = DiskOptions { quota: u64::MAX, free_space: 0, max_age: None, ..DiskOptions::default() };
    let store = AssetStore::open(&dir, options).map_err(|error| cannot("opened", &error))?;
    // What cannot be read is not empty.
    match store.unreadable() {
        Some(reason) => Err(cannot("read", reason).with_hint("check who may read the folder")),
        None => Ok(store),
    }
}

/// What may stay: where nobody says, what stays while streams are played.
fn limits(quota: Option<u64>, unused_for: Option<Duration>) -> GcOptions {
    let usual = DiskOptions::default();
    GcOptions { quota: Some(quota.unwrap_or(usual.quota)), unused_for: unused_for.or(usual.max_age) }
}

fn list(out: &mut impl Write, store: &AssetStore, as_json: bool) -> io::Result<()> {
    let (assets, usage) = (store.assets(), store.usage());
    if as_json {
        let assets: Vec<Value> = assets.iter().map(asset_json).collect();
        return writeln!(out, "{}", json!({ "assets": assets, "bytes": usage.bytes, "resources": usage.resources }));
    }
    for asset in &assets {
        let AssetSummary { id, bytes, resources, last_used, pinned, .. } = asset;
        let (size, used) = (HumanBytes(*bytes).to_string(), ago(*last_used));
        let pinned = if *pinned { " (kept)" } else { "" };
        let name = asset.label.as_deref().unwrap_or("-");
        writeln!(out, "{id}  {size:>11}  {resources:>6} resources  {used:>14}  {name}{pinned}")?;
    }
    writeln!(out, "{} assets, {} resources, {}", assets.len(), usage.resources, HumanBytes(usage.bytes))
}

fn asset_json(asset: &AssetSummary) -> Value {
    json!({
        "id": asset.id.to_string(),
        "label": asset.label,
        "bytes": asset.bytes,
        "resources": asset.resources,
        "last_used": asset.last_used.0,
        "pinned": asset.pinned,
    })
}

fn list_resources(out: &mut impl Write, resources: &[ResourceSummary], as_json: bool) -> io::Result<()> {
    if as_json {
        let resource = |resource: &ResourceSummary| {
            let spans: Vec<_> = resource.spans.iter().map(|span| [span.start, span.end]).collect();
            json!({
                "key": resource.key.to_string(),
                "spans": spans,
                "length": resource.total_len,
                "bytes": resource.bytes,
                "last_used": resource.last_used.0,
            })
        };
        return writeln!(out, "{}", json!({ "resources": resources.iter().map(resource).collect::<Vec<_>>() }));
    }
    for resource in resources {
        let present: u64 = resource.spans.iter().map(|span| span.end - span.start).sum();
        let of = resource.total_len.map_or_else(|| "?".to_owned(), |len| len.to_string());
        let (spans, used) = (resource.spans.len(), ago(resource.last_used));
        writeln!(out, "{}  {present:>11} of {of:>11} bytes in {spans:>4} spans  {used:>14}", resource.key)?;
    }
    writeln!(out, "{} resources", resources.len())
}

fn collect(out: &mut impl Write, store: &AssetStore, limits: GcOptions, as_json: bool) -> Result<Told, Failure> {
    let report = store.gc(limits).wait().map_err(|error| cannot("put in order", &error))?;
    let outcome = match report.obstacle {
        Some(obstacle) => Err(cannot("made smaller", obstacle)),
        None => Ok(()),
    };
    let written = if as_json {
        let (removed, freed, left) = (report.resources, report.bytes, report.bytes_left);
        tell_facts(out, json!({ "removed": removed, "freed_bytes": freed, "bytes": left }), &outcome)
    } else {
        let (freed, left) = (HumanBytes(report.bytes), HumanBytes(report.bytes_left));
        writeln!(out, "{} resources removed, {freed} freed, {left} left", report.resources)
    };
    Ok((written, outcome))
}

/// Removes what can be removed, and says of the rest why not.
fn remove(out: &mut impl Write, store: &AssetStore, assets: &[AssetId], as_json: bool) -> Told {
    let (mut removed, mut freed, mut failed) = (0, 0, Vec::new());
    for asset in assets {
        match store.remove_asset(asset).wait() {
            Ok(bytes) => (removed, freed) = (removed + 1, freed + bytes),
            Err(error) => failed.push((*asset, error)),
        }
    }
    let outcome = match failed.first() {
        None => Ok(()),
        Some((asset, error)) => {
            let failure = Failure::new(Class::Disk, format!("{} of them stay, {asset} first: {error}", failed.len()));
            let is_held = error.kind() == AssetsErrorKind::Held;
            Err(if is_held { failure.with_hint("end what plays it, or what keeps it offline") } else { failure })
        }
    };
    let written = if as_json {
        let kept: Vec<String> = failed.iter().map(|(asset, _)| asset.to_string()).collect();
        tell_facts(out, json!({ "removed": removed, "freed_bytes": freed, "kept": kept }), &outcome)
    } else {
        writeln!(out, "{removed} assets removed, {} freed", HumanBytes(freed))
    };
    (written, outcome)
}

/// The assets that are named, each once.
fn wanted(store: &AssetStore, names: &[String], all: bool) -> Result<Vec<AssetId>, Failure> {
    if all {
        return Ok(store.assets().iter().map(|asset| asset.id).collect());
    }
    let mut wanted = Vec::new();
    for name in names {
        let id = find(store, name)?;
        if !wanted.contains(&id) {
            wanted.push(id);
        }
    }
    Ok(wanted)
}

/// Characters of an id that name an asset, at least.
const SHORTEST_ID: usize = 4;

/// The asset that an id, the beginning of one, or a URL names.
fn find(store: &AssetStore, name: &str) -> Result<AssetId, Failure> {
    let ids: Vec<AssetId> = store.assets().iter().map(|asset| asset.id).collect();
    if let Ok(url) = Url::parse(name) {
        let id = AssetId::for_url(&Partition::default(), &url, &UrlIdentity::default());
        return if ids.contains(&id) { Ok(id) } else { Err(nothing_called("that URL")) };
    }
    let name = name.to_ascii_lowercase();
    // An empty one is a variable that was never set.
    if name.len() < SHORTEST_ID {
        return Err(Failure::usage(format!(
            "\"{name}\" is too short for an id: give {SHORTEST_ID} characters or more"
        )));
    }
    let mut matching = ids.into_iter().filter(|id| id.to_string().starts_with(&name));
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Failure::usage(format!("several assets begin with {name}: give more of the id"))),
        (None, _) => Err(nothing_called(&shown(&name))),
    }
}

fn nothing_called(name: &str) -> Failure {
    Failure::new(Class::Missing, format!("the cache has nothing called {name}"))
        .with_hint("`kithara cache ls` lists what there is")
}

fn cannot(what: &str, error: impl Display) -> Failure {
    Failure::new(Class::Disk, format!("the cache cannot be {what}: {error}"))
}

fn ago(then: UnixMillis) -> String {
    let passed = UnixMillis::from(SystemTime::now()).since(then);
    if passed < Duration::from_secs(1) { "just now".to_owned() } else { format!("{:#} ago", HumanDuration(passed)) }
}
