//! Nothing outlives a session: counted for the whole process, so this test has a process of its own.

mod support;

use std::{collections::BTreeSet, path::Path, time::Duration};

use kithara_hls::{
    Hls, HlsOptions, HlsParams,
    fetch::{
        FetchOptions, Fetcher,
        assets::{AssetStore, DiskOptions},
        net::Client,
    },
    hls_core::session::{ReaderOptions, Track},
};
use kithara_origin::{At, Fault, Origin, Response, Rule};
use support::{Dice, fixtures, playlist, quick, read_all, read_range, serve, try_open};
use tokio::runtime::Handle;

const OPENS: u64 = 1_000;
const SIDE_BY_SIDE: u64 = 8;

/// What a process holds.
#[derive(Debug, PartialEq)]
struct Held {
    tasks: usize,
    threads: usize,
    files: usize,
}

fn entries(path: impl AsRef<Path>) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}

fn held() -> Held {
    Held {
        tasks: Handle::current().metrics().num_alive_tasks(),
        threads: entries("/proc/self/task"),
        files: entries("/proc/self/fd"),
    }
}

fn names(folder: &Path) -> BTreeSet<std::path::PathBuf> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        all.insert(entry.path());
        all.extend(names(&entry.path()));
    }
    all
}

/// Opens a session, uses it in one of several ways, and is dropped anywhere in it.
async fn visit(origin: &Origin, params: HlsParams, way: u64) {
    let fixture = ["ts_aac", "fmp4_aes", "adts", "fmp4_byterange"][usize::try_from(way % 4).expect("small")];
    let url = playlist(origin, fixture);
    match way / 4 % 4 {
        0 => {
            let session = Hls::session(&url, params).expect("a URL");
            let mut segments = session.segments(Track::Main).await.expect("it lives");
            while let Ok(Some(segment)) = segments.next().await {
                read_all(&segment.body).await;
            }
        }
        1 => {
            let Ok(source) = try_open(&url, params).await else { return };
            read_range(&source, 20_000..25_000).await;
            read_all(&source).await;
        }
        2 => {
            let Ok(source) = try_open(&url, params).await else { return };
            let another = source.another().await;
            if let Ok(another) = another {
                tokio::join!(read_all(&source), read_all(&another));
            }
        }
        _ => {
            let Ok(source) = try_open(&url, params).await else { return };
            read_range(&source, 0..10_000).await;
            source.session().close().await;
        }
    }
}

fn options() -> HlsOptions {
    HlsOptions { reader: ReaderOptions { resolve_sizes: true }, ..quick() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_dropped_at_any_moment_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let site = fixtures()
        .rule(Rule::on("*seg*").chance(0.2).then(Fault::stall(At::Byte(2_000), Duration::from_millis(5))))
        .rule(Rule::on("*seg*").chance(0.1).then(Fault::truncate(At::Fraction(0.5))))
        .rule(Rule::on("*").chance(0.05).then(Response::new(503)));
    let origin = serve(site);
    let store = AssetStore::open(folder.path(), DiskOptions::default()).expect("a store");
    let client = Client::new(options().network).expect("a client");
    let shared = Fetcher::new(client, Some(store), FetchOptions::default());
    // Whatever is made once for the process is made now.
    visit(&origin, HlsParams { fetcher: Some(shared.clone()), ..options().into() }, 1).await;
    visit(&origin, options().into(), 1).await;
    drop(shared);
    settled(&origin, None).await;
    let before = held();

    let store = AssetStore::open(folder.path(), DiskOptions::default()).expect("a store");
    let client = Client::new(options().network).expect("a client");
    let shared = Fetcher::new(client, Some(store), FetchOptions::default());
    let origin = std::sync::Arc::new(origin);
    let mut visitors = tokio::task::JoinSet::new();
    for visitor in 0..SIDE_BY_SIDE {
        let (origin, shared) = (origin.clone(), shared.clone());
        visitors.spawn(async move {
            let mut dice = Dice(visitor);
            for _ in 0..OPENS / SIDE_BY_SIDE {
                let own = dice.below(4) == 0;
                let fetcher = (!own).then(|| shared.clone());
                let params = HlsParams { fetcher, ..options().into() };
                let moment = Duration::from_micros(dice.below(20_000));
                // The moment is where it is dropped.
                let _ = tokio::time::timeout(moment, visit(&origin, params, dice.next())).await;
            }
        });
    }
    visitors.join_all().await;
    drop(shared);
    settled(&origin, Some(&before)).await;
    let after = held();
    println!("before {before:?}, after {after:?}");
    assert_eq!(after, before);
    let inside = |path: &std::path::PathBuf| path.strip_prefix(folder.path()).expect("inside").to_owned();
    let is_temporary = |path: &std::path::PathBuf| path.components().any(|part| part.as_os_str() == "tmp");
    let left = names(folder.path()).iter().filter(|path| path.is_file()).map(inside).filter(is_temporary).count();
    assert_eq!(left, 0, "temporary files: {:#?}", names(folder.path()));
}

/// Waits until all connections are closed, all tasks have ended and, when told, the process holds what it held before;
/// gives up after a while, so that the assertion can show what is left.
async fn settled(origin: &Origin, before: Option<&Held>) {
    let settled = async {
        origin.until(|origin| origin.connections().open == 0).await;
        while held().tasks > 0 || before.is_some_and(|before| held() != *before) {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), settled).await;
}
