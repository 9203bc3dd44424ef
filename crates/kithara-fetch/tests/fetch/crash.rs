//! A process that is killed while it downloads.
//!
//! The test starts itself again as the process that will be killed. `KITHARA_CRASHES` says how often; 40 times by
//! default.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kithara_fetch::{FetchRequest, Priority};
use kithara_origin::{Link, Origin, Site};

use crate::support::*;

const DIR: &str = "KITHARA_FETCH_CRASH_DIR";
const URL_OF: &str = "KITHARA_FETCH_CRASH_URL";
/// Resources that are downloaded: some of one block, some of several, some committed piece by piece.
const COUNT: u64 = 24;

const fn len_of(number: u64) -> u64 {
    if number.is_multiple_of(6) { 1_000_000 } else { 20_000 + number * 3_000 }
}

fn path_of(number: u64) -> String {
    format!("/{number}")
}

fn bytes_of(number: u64) -> Vec<u8> {
    pattern_of(number, len_of(number))
}

fn request_for(base: &str, number: u64) -> FetchRequest {
    let url = format!("{base}{}", path_of(number));
    let key = Some(key_of(&number.to_string()));
    // The large ones are committed while they arrive.
    let piecewise = number.is_multiple_of(12);
    FetchRequest { key, class: Priority::Download, piecewise, ..FetchRequest::new(url.parse().unwrap()) }
}

/// Does nothing unless it was started by the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_process_that_is_killed() {
    let (Ok(dir), Ok(base)) = (std::env::var(DIR), std::env::var(URL_OF)) else { return };
    let fetcher = fetcher_on(Path::new(&dir));
    writeln!(std::io::stdout(), "\nbegun").unwrap();
    let store = fetcher.store().unwrap().clone();
    for number in 0..COUNT {
        let bytes = fetcher.fetch(request_for(&base, number)).collect(u64::MAX).await.unwrap();
        assert!(bytes == bytes_of(number), "wrong bytes of {number}");
        let resource = store.streaming(&key_of(&number.to_string()));
        let wait = || resource.wait_range(0..len_of(number), std::time::Duration::from_secs(20));
        tokio::task::block_in_place(wait).unwrap();
        writeln!(std::io::stdout(), "\nstored {number}").unwrap();
    }
}

fn victim(dir: &Path, base: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::the_process_that_is_killed", "--nocapture"]);
    command.env(DIR, dir).env(URL_OF, base);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Starts a process, kills it after some lines and some bytes more, and answers with what it said.
fn killed(dir: &Path, origin: &Origin, dice: &mut u64) -> Vec<u64> {
    let mut child = victim(dir, origin.url("").trim_end_matches('/'));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let hear = |line: &str, said: &mut Vec<u64>| {
        said.extend(line.strip_prefix("stored ").map(|number| number.parse::<u64>().unwrap()));
    };
    for _ in 0..below(dice, 10) {
        let Some(Ok(line)) = lines.next() else { break };
        hear(&line, &mut said);
    }
    // Not only right after something was said.
    for _ in 0..below(dice, 3_000_000) {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).for_each(|line| hear(&line, &mut said));
    said
}

fn below(dice: &mut u64, bound: u64) -> u64 {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*dice >> 33) % bound
}

fn total_sent(origin: &Origin) -> u64 {
    origin.log().iter().map(|request| request.bytes_sent).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_is_not_fetched_again_and_nothing_is_wrong() {
    let crashes: u64 = std::env::var("KITHARA_CRASHES").map_or(40, |count| count.parse().unwrap());
    let site = (0..COUNT).fold(Site::new(), |site, number| site.pattern(&path_of(number), number, len_of(number)));
    // Slow enough to be killed in the middle of a body.
    let origin = Origin::start(site.link(Link::new().rate(40_000_000))).unwrap();
    let (mut dice, mut dir, mut killed_within) = (7, tempfile::tempdir().unwrap(), 0);
    let mut stored = std::collections::BTreeSet::new();
    for crash in 0..crashes {
        let from = origin.log().len();
        let said = tokio::task::block_in_place(|| killed(dir.path(), &origin, &mut dice));
        for request in origin.log().into_iter().skip(from) {
            let number: u64 = request.path[1..].parse().unwrap();
            assert!(!stored.contains(&number), "crash {crash}: {number} was stored, and is asked for again");
        }
        stored.extend(said);
        killed_within += u64::from(stored.len() < COUNT as usize);
        // Else the next process is the first that finds what this one left.
        if below(&mut dice, 2) > 0 {
            check(dir.path(), &stored, crash);
        }
        if stored.len() as u64 == COUNT {
            (dir, stored) = (tempfile::tempdir().unwrap(), std::collections::BTreeSet::new());
        }
    }
    assert!(killed_within * 4 > crashes, "most processes were killed at work: {killed_within} of {crashes}");

    // In the end everything is there, and what is missing is fetched: that, and no byte of what is stored.
    let fetcher = fetcher_on(dir.path());
    let missing: u64 = (0..COUNT)
        .flat_map(|number| fetcher.store().unwrap().streaming(&key_of(&number.to_string())).holes(0..len_of(number)))
        .map(|hole| hole.end - hole.start)
        .sum();
    let before = total_sent(&origin);
    for number in 0..COUNT {
        let bytes = fetcher.fetch(request_for(origin.url("").trim_end_matches('/'), number)).collect(u64::MAX).await;
        assert!(bytes.unwrap() == bytes_of(number), "wrong bytes of {number}");
    }
    assert_eq!(total_sent(&origin) - before, missing, "holes only");
}

/// The store opens, what it says it has is right, and what was said to be stored is there.
fn check(dir: &Path, stored: &std::collections::BTreeSet<u64>, crash: u64) {
    let fetcher = fetcher_on(dir);
    let store = fetcher.store().unwrap();
    for number in 0..COUNT {
        let (resource, truth) = (store.streaming(&key_of(&number.to_string())), bytes_of(number));
        for span in resource.spans() {
            let mut at = span.start;
            while at < span.end {
                let bytes = resource.read_span(at, usize::MAX).unwrap().expect("it is present");
                assert!(truth[at as usize..].starts_with(&bytes), "crash {crash}: wrong bytes of {number} at {at}");
                at += bytes.len() as u64;
            }
        }
        let is_whole = resource.contains(0..len_of(number));
        assert!(is_whole || !stored.contains(&number), "crash {crash}: {number} was stored and is not there");
    }
}
