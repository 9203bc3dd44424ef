//! A cache whose files were damaged while nobody used it.
//!
//! `KITHARA_DAMAGES` says how often; 16 times by default.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kithara_fetch::{FetchRequest, Fetcher, Transfers};
use kithara_origin::{Origin, Site};

use crate::support::*;

/// Resources that are stored: some of one block, some of several, one in several files.
const COUNT: u64 = 8;

const fn len_of(number: u64) -> u64 {
    if number.is_multiple_of(3) { 600_000 } else { 5_000 + number * 3_000 }
}

fn bytes_of(number: u64) -> Vec<u8> {
    pattern_of(number, len_of(number))
}

/// Fetches a resource, and waits until it is stored.
async fn fetch(fetcher: &Fetcher, origin: &Origin, number: u64) {
    let request = request_of(&origin.url(&format!("/{number}")));
    let (key, transfers) = (Some(key_of(&number.to_string())), Transfers::default());
    let request = FetchRequest { key, piecewise: number == 6, transfers: Some(transfers.clone()), ..request };
    let bytes = fetcher.fetch(request).collect(u64::MAX).await.unwrap();
    assert!(bytes == bytes_of(number), "wrong bytes of {number}");
    fetcher.settled(&transfers).await;
}

/// All files below a folder, in order.
fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { [path].into() }).collect()
}

/// Fills a store, and answers which resource each of its files belongs to; the others are its own.
async fn fill(dir: &Path, origin: &Origin) -> BTreeMap<PathBuf, u64> {
    let fetcher = fetcher_on(dir);
    let mut owners = BTreeMap::new();
    for number in 0..COUNT {
        let before = files(dir);
        fetch(&fetcher, origin, number).await;
        let spans = files(dir).into_iter().filter(|path| path.starts_with(dir.join("v1/assets")));
        owners.extend(spans.filter(|path| !before.contains(path)).map(|path| (path, number)));
    }
    owners
}

/// Shortens a file, or flips bits of one byte.
fn damage(path: &Path, dice: &mut u64) {
    let mut bytes = fs::read(path).unwrap();
    let at = below(dice, bytes.len() as u64) as usize;
    match below(dice, 2) {
        0 => bytes.truncate(at),
        _ => bytes[at] ^= 1 << below(dice, 8),
    }
    fs::write(path, bytes).unwrap();
}

fn below(dice: &mut u64, bound: u64) -> u64 {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*dice >> 33) % bound
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_damaged_the_bytes_are_the_origins_and_only_that_is_fetched_again() {
    let rounds: u64 = std::env::var("KITHARA_DAMAGES").map_or(16, |count| count.parse().unwrap());
    let site = (0..COUNT).fold(Site::new(), |site, n| site.pattern(&format!("/{n}"), n, len_of(n)));
    let origin = Origin::start(site).unwrap();
    let mut repaired = 0;
    for round in 0..rounds {
        let (dir, mut dice) = (tempfile::tempdir().unwrap(), round);
        let owners = fill(dir.path(), &origin).await;
        let stored = ["v1/assets", "v1/journals"].map(|folder| files(&dir.path().join(folder)));
        let mut whole: Vec<_> = stored.into_iter().flatten().collect();
        let mut damaged = BTreeSet::<u64>::new();
        // The first round of four damages what belongs to no resource alone.
        if round.is_multiple_of(4) {
            whole.retain(|path| !owners.contains_key(path));
        }
        for _ in 0..=below(&mut dice, 3).min(whole.len() as u64 - 1) {
            let path = whole.swap_remove(below(&mut dice, whole.len() as u64) as usize);
            damage(&path, &mut dice);
            damaged.extend(owners.get(&path));
        }

        origin.clear_log();
        let fetcher = fetcher_on(dir.path());
        for number in 0..COUNT {
            fetch(&fetcher, &origin, number).await;
        }
        // What was damaged comes again, and nothing else does.
        let mut sent = BTreeMap::<u64, u64>::new();
        for request in origin.log() {
            *sent.entry(request.path[1..].parse().unwrap()).or_default() += request.bytes_sent;
        }
        repaired += u64::from(!sent.is_empty());
        for (number, sent) in sent {
            let is_due = damaged.contains(&number) && sent <= len_of(number);
            assert!(is_due, "round {round}: {sent} bytes of {number}, where {damaged:?} were damaged");
        }
    }
    assert!(repaired * 2 > rounds, "most damage is to something that is wanted: {repaired} of {rounds}");
}
