//! Files that were cut or changed: never a wrong byte, and the store always opens.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::ground::{BLOCK, check_present, files, key, open, options, try_write, write};

/// What is done to one file.
#[derive(Clone, Debug)]
enum Damage {
    Cut(f64),
    Flip(f64, u8),
    Zeros(f64),
    Grow(u8),
    Empty,
    Gone,
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = 0.0..1.0;
    prop_oneof![
        place.clone().prop_map(Damage::Cut),
        (place.clone(), 1..=255_u8).prop_map(|(place, bits)| Damage::Flip(place, bits)),
        place.prop_map(Damage::Zeros),
        (0..=255_u8).prop_map(Damage::Grow),
        Just(Damage::Empty),
        Just(Damage::Gone),
    ]
}

impl Damage {
    fn apply(&self, path: &Path) {
        let Ok(mut bytes) = std::fs::read(path) else { return };
        let at = |place: f64| (place * bytes.len() as f64) as usize;
        match *self {
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

/// Everything that can be read is right, everything can be written again, and that is there after another restart.
fn check(dir: &Path) {
    let store = open(dir);
    let readable: u64 =
        NUMBERS.map(|number| check_present(&store, "a", number) + check_present(&store, "b", number)).sum();
    assert!(readable <= 2 * 5000 + 2 * (BLOCK + 700) + 2 * 20_000 + 2 * 10_000);
    for number in NUMBERS {
        write(&store, "c", number, 7000);
    }
    drop(store);
    let store = open(dir);
    assert_eq!(crate::ground::whole(&store, "c", NUMBERS).len(), 8);
}

fn nth(files: Vec<PathBuf>, which: f64) -> PathBuf {
    let at = (which * files.len() as f64) as usize;
    files[at].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_a_wrong_byte(damages in prop::collection::vec((0.0..1.0, damage()), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        for (which, damage) in damages {
            damage.apply(&nth(files(&dir.path().join("v1")), which));
        }
        check(dir.path());
    }

    #[test]
    fn a_damaged_journal_loses_nothing(damages in prop::collection::vec(damage(), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        made(dir.path());
        for damage in damages {
            let journals = files(&dir.path().join("v1/journals"));
            journals.iter().for_each(|journal| damage.apply(journal));
        }
        let store = open(dir.path());
        let readable: u64 = NUMBERS.map(|number| check_present(&store, "a", number) + check_present(&store, "b", number)).sum();
        store.gc(kithara_assets::maintain::GcOptions::default()).wait().unwrap();
        let after: u64 = NUMBERS.map(|number| check_present(&store, "a", number) + check_present(&store, "b", number)).sum();
        let all = 2 * 5000 + 2 * (BLOCK + 700) + 2 * 20_000 + 2 * 10_000;
        prop_assert_eq!(after, all, "the files are the truth");
        // Before the walk, what begins where another span ends is found, and what begins at zero.
        prop_assert!(readable >= all - 2 * 1000);
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
        Damage::Cut(0.5).apply(&file);
    }
    let verified = store.verify(|_| std::ops::ControlFlow::Continue(()));
    assert_eq!((verified.checked, verified.good_bytes), (8, 0));
    assert_eq!((store.usage().bytes, crate::ground::span_files(dir.path()).len()), (0, 0));
    write(&store, "a", 0, 5000);
    assert_eq!(check_present(&store, "a", 0), 5000);
}
