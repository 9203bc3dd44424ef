//! A process that is killed while it writes.
//!
//! The test starts itself again as the process that will be killed. `KITHARA_CRASHES` says how often; 20 times by
//! default.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kithara_assets::{AssetStore, DiskOptions, Meta};

use crate::ground::{BLOCK, Dice, check_present, files, key, open, options, pattern, try_write};

const DIR: &str = "KITHARA_CRASH_DIR";
const SEED: &str = "KITHARA_CRASH_SEED";

/// Starts the process that is going to be killed.
fn victim(dir: &Path, seed: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crash::the_process_that_is_killed", "--nocapture"]);
    command.env(DIR, dir).env(SEED, seed.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Does nothing unless it was started by the test below.
#[test]
fn the_process_that_is_killed() {
    let (Ok(dir), Ok(seed)) = (std::env::var(DIR), std::env::var(SEED)) else { return };
    let store = AssetStore::open(dir, DiskOptions { piece_bytes: 40_000, ..options() }).unwrap();
    let mut dice = Dice::new(seed.parse().unwrap());
    let say = |line: String| writeln!(std::io::stdout(), "\n{line}").unwrap();
    loop {
        let number = dice.below(40);
        match dice.below(10) {
            0 => {
                // Said before it is done: from here on it may be gone.
                say(format!("invalidating {number}"));
                store.streaming(&key("whole", number)).invalidate();
            }
            1 => {
                // The number grows, so that whoever reads later can tell an old playlist.
                let count = read_count(&store) + 1;
                store.atomic(&key("playlist", 0)).write(&encode(count), &Meta::default()).wait().unwrap();
                say(format!("counted {count}"));
            }
            2..4 => {
                let mut writer = store.streaming(&key("pieces", number)).piecewise_writer(0, Meta::default());
                let len = 20_000 + dice.below(200_000);
                for chunk in pattern(number, 0..len).chunks(15_000) {
                    let _ = writer.write_blocking(chunk.to_vec().into());
                }
            }
            _ => {
                let len = len_of(number);
                let committed = try_write(&store.streaming(&key("whole", number)), number, 0..len, Some(len));
                if committed.is_ok() {
                    say(format!("committed {number}"));
                }
            }
        }
    }
}

/// Most are small; some have more than one block.
fn len_of(number: u64) -> u64 {
    if number % 8 == 7 { 300_000 } else { 1000 + number * 1000 }
}

fn encode(count: u64) -> Vec<u8> {
    count.to_le_bytes().repeat(2000)
}

fn read_count(store: &AssetStore) -> u64 {
    let Some((bytes, _)) = store.atomic(&key("playlist", 0)).read().unwrap() else { return 0 };
    let count = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == encode(count), "the playlist is of one piece");
    count
}

/// What the victim said that it did, and was not about to undo.
#[derive(Default)]
struct Said {
    committed: std::collections::BTreeSet<u64>,
    count: u64,
}

impl Said {
    fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("committed", number)) => drop(self.committed.insert(number.parse().unwrap())),
            Some(("invalidating", number)) => drop(self.committed.remove(&number.parse().unwrap())),
            Some(("counted", count)) => self.count = count.parse().unwrap(),
            _ => {}
        }
    }
}

#[test]
fn what_was_committed_survives_and_nothing_is_wrong() {
    let crashes: u64 = std::env::var("KITHARA_CRASHES").map_or(20, |count| count.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for seed in 0..crashes {
        let mut dice = Dice::new(seed);
        let mut child = victim(dir.path(), seed);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..dice.below(30) {
            said.hear(&lines.next().unwrap().unwrap());
        }
        // Not only right after something was said.
        for _ in 0..dice.below(300_000) {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| said.hear(&line.unwrap_or_default()));
        // Else the next process is the first that finds what this one left, and may die before it has put it in order.
        if dice.below(3) > 0 {
            check_after_crash(dir.path(), &said, seed);
        }
    }
}

fn check_after_crash(dir: &Path, said: &Said, seed: u64) {
    let store = open(dir);
    assert!(read_count(&store) >= said.count, "crash {seed}: the playlist that was written is there");
    for number in 0..40 {
        let present = check_present(&store, "whole", number);
        let len = len_of(number);
        assert!(present == 0 || present == len || present.is_multiple_of(BLOCK), "crash {seed}: {present} of {number}");
        let is_missing = said.committed.contains(&number) && present != len;
        assert!(!is_missing, "crash {seed}: {number} was committed, and {present} bytes of it are there");
        check_present(&store, "pieces", number);
    }
    store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
    assert_eq!(files(&dir.join("v1/tmp")).len(), 2, "crash {seed}: drafts of the dead are swept");
    let on_disk: u64 = crate::ground::span_files(dir).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(store.usage().bytes >= on_disk, "crash {seed}: every file is counted");
}
