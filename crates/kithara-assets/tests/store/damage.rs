//! Files that were cut or changed: never a wrong byte, and the store always opens.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::ground::{BLOCK, check_present, files, key, open, options, pattern, span_files, try_write, write};

/// What is done to one file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(f64),
    Flip(f64, u8),
    Zeros(f64),
    Grow(u8),
    Empty,
    Gone,
    /// It has the name of another one, and that has its name.
    Swap(f64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0;
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        (place.clone(), 1..=255_u8).prop_map(|(place, bits)| Damage::Flip(place, bits)),
        place.clone().prop_map(Damage::Zeros),
        place.prop_map(Damage::Swap),
        (0..=255_u8).prop_map(Damage::Grow),
        Just(Damage::Empty),
        Just(Damage::Gone),
    ]
}

impl Damage {
    /// Does it to the file at `path`, one of `files`.
    fn apply(&self, path: &Path, files: &[PathBuf]) {
        let Ok(mut bytes) = std::fs::read(path) else { return };
        let at = |place: f64| (place * bytes.len() as f64) as usize;
        match *self {
            Self::Swap(other) => return swap(path, &nth(files, other)),
            Self::Gone => return std::fs::remove_file(path).unwrap(),
            Self::Cut(place) => bytes.truncate(at(place)),
            Self::Flip(..) | Self::Zeros(_) if bytes.is_empty() => {}
            Self::Flip(place, bits) => {
                let at = at(place);
                bytes[at] ^= bits;
            }
            Self::Zeros(place) => {
                let at = at(place);
                bytes[at..].fill(0);
            }
            Self::Grow(byte) => bytes.extend([byte; 200]),
            Self::Empty => bytes.clear(),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

fn swap(one: &Path, other: &Path) {
    if one != other {
        let meanwhile = one.with_extension("swapped");
        std::fs::rename(one, &meanwhile).unwrap();
        std::fs::rename(other, one).unwrap();
        std::fs::rename(meanwhile, other).unwrap();
    }
}

const NUMBERS: std::ops::Range<u64> = 0..8;

/// A store with a few resources, of one and of several spans and blocks.
fn made(dir: &Path) {
    let store = open(dir);
    for number in NUMBERS {
        match number % 4 {
            0 => write(&store, "a", number, 5000),
            1 => write(&store, "a", number, BLOCK + 700),
            2 => write(&store, "b", number, 20_000),
            _ => {
                let resource = store.streaming(&key("b", number));
                for range in [0..3000, 3000..9000, 20_000..21_000] {
                    try_write(&resource, number, range, None).unwrap();
                }
            }
        }
    }
}

/// Bytes of all that [`made`] stores.
const ALL: u64 = 2 * 5000 + 2 * (BLOCK + 700) + 2 * 20_000 + 2 * 10_000;

/// Bytes of it that can be read, all of which are right.
fn present(store: &kithara_assets::AssetStore) -> u64 {
    NUMBERS.map(|number| check_present(store, "a", number) + check_present(store, "b", number)).sum()
}

/// Everything that can be read is right, everything can be written again, and that is there after another restart.
fn check(dir: &Path) {
    let store = open(dir);
    assert!(present(&store) <= ALL);
    for number in NUMBERS {
        write(&store, "c", number, 7000);
    }
    drop(store);
    let store = open(dir);
    assert_eq!(crate::ground::whole(&store, "c", NUMBERS).len(), 8);
}

fn nth(files: &[PathBuf], which: f64) -> PathBuf {
    let at = (which * files.len() as f64) as usize;
    files[at].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_a_wrong_byte(damages in prop::collection::vec((0.0..1.0, damage()), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        let spans: Vec<_> = span_files(dir.path()).into_iter().map(|file| (std::fs::read(&file).unwrap(), file)).collect();
        for (which, damage) in damages {
            let files = files(&dir.path().join("v1"));
            damage.apply(&nth(&files, which), &files);
        }
        let len = |(bytes, _): &(Vec<u8>, PathBuf)| bytes.len() as u64;
        let is_as_it_was = |(bytes, file): &&(Vec<u8>, PathBuf)| std::fs::read(file).is_ok_and(|now| now == *bytes);
        let unharmed: u64 = spans.iter().filter(is_as_it_was).map(len).sum();
        // The rest of the files is no data.
        let overhead = spans.iter().map(len).sum::<u64>() - ALL;
        let store = open(dir.path());
        present(&store);
        store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
        prop_assert!(present(&store) + overhead >= unharmed, "what was harmed takes nothing else with it");
        drop(store);
        check(dir.path());
    }

    #[test]
    fn a_damaged_journal_loses_nothing(damages in prop::collection::vec(damage(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        for damage in damages {
            let journals = files(&dir.path().join("v1/journals"));
            journals.iter().for_each(|journal| damage.apply(journal, &journals));
        }
        let store = open(dir.path());
        let readable = present(&store);
        store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
        prop_assert_eq!(present(&store), ALL, "the files are the truth");
        // Before the walk, what begins where another span ends is found, and what begins at zero.
        prop_assert!(readable >= ALL - 2 * 1000);
        drop(store);
        check(dir.path());
    }
}

#[test]
fn what_is_put_right_stays_right_while_the_store_is_open() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let store = kithara_assets::AssetStore::open(dir.path(), options()).unwrap();
    for file in crate::ground::span_files(dir.path()) {
        Damage::Cut(0.5).apply(&file, &[]);
    }
    let verified = store.verify(|_| std::ops::ControlFlow::Continue(()));
    assert_eq!((verified.checked, verified.good_bytes), (8, 0));
    assert_eq!((store.usage().bytes, crate::ground::span_files(dir.path()).len()), (0, 0));
    write(&store, "a", 0, 5000);
    assert_eq!(check_present(&store, "a", 0), 5000);
}

#[cfg(unix)]
#[test]
fn a_file_under_the_name_of_another_is_served_only_if_it_is_a_link() {
    for with_journals in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let write_as = |store: &kithara_assets::AssetStore, name: &str, number, content| {
            try_write(&store.streaming(&key(name, number)), content, 0..5000, Some(5000)).unwrap();
        };
        let store = open(dir.path());
        write_as(&store, "a", 1, 1);
        let first = crate::ground::span_files(dir.path());
        write_as(&store, "a", 2, 2);
        write_as(&store, "links", 3, 1);
        drop(store);
        let others = crate::ground::span_files(dir.path());
        let second = others.iter().find(|file| file.parent() == first[0].parent() && **file != first[0]).unwrap();
        swap(&first[0], second);
        if !with_journals {
            std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
        }
        let store = open(dir.path());
        for number in [1, 2] {
            assert_eq!(check_present(&store, "a", number), 0, "{number}, with journals: {with_journals}");
        }
        // What it is a link to is not where it was; without a journal nothing tells that it is one.
        let read = store.streaming(&key("links", 3)).read_span(0, 5000).unwrap();
        assert_eq!(read, with_journals.then(|| pattern(1, 0..5000).into()));
    }
}

#[test]
fn what_the_index_does_not_know_is_verified_too() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made(dir.path());
    // What has one block only is looked at when it is found.
    write(&open(other.path()), "c", 1, BLOCK + 5000);
    let source = crate::ground::span_files(other.path()).remove(0);
    let path = dir.path().join(source.strip_prefix(other.path()).unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(&source, &path).unwrap();
    Damage::Flip(0.1, 1).apply(&path, &[]);
    let store = open(dir.path());
    let verified = store.verify(|_| std::ops::ControlFlow::Continue(()));
    assert_eq!((verified.checked, verified.bad_bytes, verified.gone_bytes), (9, BLOCK + 5000, 0));
    assert!(!path.exists());
}

#[test]
fn what_goes_while_it_is_verified_is_not_bad() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let store = open(dir.path());
    let verified = store.verify(|_| {
        // As another process may.
        crate::ground::span_files(dir.path()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        std::ops::ControlFlow::Continue(())
    });
    assert_eq!((verified.checked, verified.bad_bytes, verified.unreadable), (8, 0, 0));
    assert!(verified.good_bytes > 0 && verified.gone_bytes > 0, "{verified:?}");
}

#[cfg(unix)]
#[test]
fn links_are_found_again_without_journals() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 1..4 {
        try_write(&store.streaming(&key("a", number)), 9, 0..5000, Some(5000)).unwrap();
    }
    drop(store);
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let store = open(dir.path());
    for number in 1..4 {
        let read = store.streaming(&key("a", number)).read_span(0, 5000).unwrap();
        assert!(read.unwrap() == pattern(9, 0..5000));
    }
}
