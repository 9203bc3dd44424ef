//! What only a store on disk does.

use std::time::Duration;

use bytes::Bytes;
use kithara_assets::event::{LossReason, StoreEvent};
use kithara_assets::maintain::GcOptions;
use kithara_assets::{AssetStore, AssetsErrorKind, DiskOptions, Meta, Validators, WriteOutcome};

use crate::ground::{
    BLOCK, Log, asset, block_on, check_present, key, open, options, pattern, span_files, whole, write,
};

#[test]
fn names_on_disk_tell_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, "a/../../secret", 0, 1000);
    drop(store);
    for file in crate::ground::files(dir.path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name == "lock" || name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'.'), "{name}");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    write(&store, "a", 0, 1000);
    for file in crate::ground::files(dir.path()) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    assert_eq!(dir.path().join("v1/assets").metadata().unwrap().permissions().mode() & 0o077, 0);
}

fn stored(store: &AssetStore, number: u64, content: u64, etag: &str) {
    let validators = Validators { etag: Some(etag.into()), last_modified: None };
    let mut writer = store.streaming(&key("a", number)).writer(0, Meta { validators, ..Meta::default() });
    for chunk in pattern(content, 0..600_000).chunks(100_000) {
        assert_eq!(writer.write_blocking(Bytes::copy_from_slice(chunk)), WriteOutcome::Accepted);
    }
    writer.commit(Some(600_000)).wait().unwrap();
}

#[cfg(unix)]
#[test]
fn equal_content_is_one_file() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    stored(&store, 1, 77, "\"1\"");
    let one = store.usage().bytes;
    stored(&store, 2, 77, "\"2\"");
    stored(&store, 3, 78, "\"1\"");
    stored(&store, 4, 77, "\"4\"");
    assert_eq!((store.usage().bytes, store.usage().resources), (2 * one, 4));
    let mut links: Vec<_> = span_files(dir.path()).iter().map(|file| file.metadata().unwrap().nlink()).collect();
    links.sort_unstable();
    assert_eq!(links, [1, 3, 3, 3]);

    let etag = |number| store.streaming(&key("a", number)).meta().unwrap().unwrap().validators.etag;
    assert_eq!((etag(1), etag(2)), (Some("\"1\"".into()), None), "what one URL said is not said of another");
    for (gone, again) in [(4, 5), (1, 4), (5, 1), (1, 1)] {
        store.streaming(&key("a", gone)).invalidate();
        store.flush().wait().unwrap();
        stored(&store, again, 77, "\"5\"");
        assert_eq!(store.usage().bytes, 2 * one, "whichever of its names went");
    }
    store.streaming(&key("a", 1)).invalidate();
    store.flush().wait().unwrap();
    assert_eq!(store.usage().bytes, 2 * one);
    let read = store.streaming(&key("a", 4)).read_span(100, 1000).unwrap().unwrap();
    assert!(read == pattern(77, 100..1100));
    drop(store);

    let store = open(dir.path());
    assert_eq!((store.usage().bytes, store.usage().resources), (2 * one, 3));
    store.remove_asset(&asset("a")).wait().unwrap();
    assert_eq!(store.usage().bytes, 0);
}

#[cfg(unix)]
#[test]
fn a_link_to_other_content_is_not_taken_for_the_resource() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    (1..3).for_each(|number| stored(&store, number, 77, "\"1\""));
    stored(&store, 3, 78, "\"1\"");
    assert!(store.streaming(&key("a", 2)).contains(0..600_000));
    let file_of = |number| dir.path().join(format!("v1/assets/{}.0", key("a", number)));
    // As one leaves it who links what took the place of what was compared.
    std::fs::remove_file(file_of(2)).unwrap();
    std::fs::hard_link(file_of(3), file_of(2)).unwrap();
    let resource = store.streaming(&key("a", 2));
    assert_eq!((resource.read_span(0, 10).unwrap(), resource.contains(0..600_000)), (None, false));
    assert!(!file_of(2).exists());
    assert!(store.streaming(&key("a", 3)).read_span(0, 10).unwrap().unwrap() == pattern(78, 0..10));
}

#[test]
fn a_full_queue_gives_up_the_span_and_keeps_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { queue_bytes: 2 * BLOCK as usize, ..options() }).unwrap();
    let resource = store.streaming(&key("a", 1));
    // The writer thread is held up by a watcher, so that the queue fills for certain.
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let watch = store.observe(&asset("b"), move |_| {
        let _ = held.lock().unwrap().recv();
    });
    drop(store.atomic(&key("b", 0)).write(b"x", &Meta::default()));
    let mut writer = resource.writer(0, Meta::default());
    let mut accepted = 0;
    let reason = loop {
        match writer.write(pattern(1, accepted..accepted + 50_000).into()) {
            WriteOutcome::Accepted => accepted += 50_000,
            WriteOutcome::GaveUp(reason) => break reason,
        }
    };
    assert_eq!(reason, AssetsErrorKind::QueueFull);
    assert_eq!(writer.write(Bytes::from_static(b"x")), WriteOutcome::GaveUp(AssetsErrorKind::QueueFull));
    assert!((200_000..=600_000).contains(&accepted), "{accepted}");
    let_go.send(()).unwrap();
    drop(let_go);
    drop(watch);
    assert_eq!(writer.commit(None).wait().unwrap_err().kind(), AssetsErrorKind::QueueFull);
    store.flush().wait().unwrap();
    assert_eq!(check_present(&store, "a", 1), accepted / BLOCK * BLOCK);
    write(&store, "a", 2, 3 * BLOCK);
    assert_eq!(whole(&store, "a", 2..3), [2], "the store goes on");
}

#[test]
fn a_task_waits_for_room_without_blocking() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { queue_bytes: 100_000, ..options() }).unwrap();
    let resource = store.streaming(&key("a", 1));
    block_on(async {
        let mut writer = resource.writer(0, Meta::default());
        for chunk in pattern(1, 0..3_000_000).chunks(60_000) {
            assert_eq!(writer.write_paced(Bytes::copy_from_slice(chunk)).await, WriteOutcome::Accepted);
        }
        assert_eq!(writer.commit(Some(3_000_000)).await.unwrap(), 0..3_000_000);
    });
    assert_eq!(whole(&store, "a", 1..2), [1]);
}

#[test]
fn a_piece_is_committed_after_a_while_however_small_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let piece_time = Duration::from_millis(5);
    let store = AssetStore::open(dir.path(), DiskOptions { piece_time, ..options() }).unwrap();
    let resource = store.streaming(&key("a", 1));
    let mut writer = resource.piecewise_writer(0, Meta::default());
    assert_eq!(writer.write(pattern(1, 0..100).into()), WriteOutcome::Accepted);
    resource.wait_range(0..100, Duration::from_secs(20)).unwrap();
    drop(writer);
}

#[test]
fn a_store_that_is_dropped_finishes_what_was_ordered() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let tickets: Vec<_> = (0..20)
        .map(|number| {
            let mut writer = store.streaming(&key("a", number)).writer(0, Meta::default());
            assert_eq!(writer.write(pattern(number, 0..100_000).into()), WriteOutcome::Accepted);
            writer.commit(Some(100_000))
        })
        .collect();
    let mut left = store.streaming(&key("a", 30)).piecewise_writer(0, Meta::default());
    assert_eq!(left.write(pattern(30, 0..1000).into()), WriteOutcome::Accepted);
    drop(store);
    drop(left);
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()));
    let store = open(dir.path());
    assert_eq!(whole(&store, "a", 0..20).len(), 20);
    assert_eq!(check_present(&store, "a", 30), 1000);
}

#[test]
fn a_span_larger_than_half_the_quota_is_refused_and_nothing_else_suffers() {
    let dir = tempfile::tempdir().unwrap();
    let store = AssetStore::open(dir.path(), DiskOptions { quota: 4 << 20, ..options() }).unwrap();
    write(&store, "a", 0, 1000);
    let log = Log::of(&store);
    let large = crate::ground::try_write(&store.streaming(&key("a", 1)), 1, 0..3 << 20, Some(3 << 20));
    assert_eq!(large, Err(AssetsErrorKind::TooLarge));
    assert_eq!((whole(&store, "a", 0..1), store.degraded()), (vec![0], None));
    assert_eq!(log.count(|_| true), 0);
    assert_eq!(span_files(dir.path()).len(), 1);
    assert_eq!(crate::ground::files(&dir.path().join("v1/tmp")).len(), 2, "what tells of this run, and no draft");
}

#[test]
fn a_label_goes_with_its_asset_unless_that_is_pinned() {
    let dir = tempfile::tempdir().unwrap();
    let label = |store: &AssetStore, name| {
        let assets = store.assets();
        assets.into_iter().find(|summary| summary.id == asset(name)).and_then(|summary| summary.label)
    };
    {
        let store = open(dir.path());
        for name in ["a", "b", "pinned"] {
            store.set_label(&asset(name), name).unwrap();
            write(&store, name, 0, 1000);
        }
        store.pin(&asset("pinned")).unwrap();
        store.remove_asset(&asset("a")).wait().unwrap();
        store.streaming(&key("pinned", 0)).invalidate();
        store.gc(GcOptions { quota: Some(0), unused_for: None }).wait().unwrap();
        write(&store, "a", 0, 1000);
        write(&store, "b", 0, 1000);
        assert_eq!(["a", "b", "pinned"].map(|name| label(&store, name)), [None, None, Some("pinned".into())]);
    }
    std::fs::remove_dir_all(dir.path().join("v1/journals")).unwrap();
    let store = open(dir.path());
    store.gc(GcOptions::default()).wait().unwrap();
    assert_eq!(label(&store, "pinned"), Some("pinned".into()));
}

#[test]
fn a_file_that_is_deleted_is_a_hole() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..3 {
        write(&store, "a", number, 300_000);
    }
    let log = Log::of(&store);
    let resource = store.streaming(&key("a", 1));
    assert!(resource.read_span(0, 10).unwrap().is_some());
    for file in span_files(dir.path()) {
        std::fs::remove_file(file).unwrap();
    }
    assert!(resource.read_span(BLOCK, 10).unwrap().is_some(), "what is open stays readable");
    assert_eq!(store.streaming(&key("a", 1)).holes(0..300_000), []);
    assert_eq!(store.streaming(&key("a", 1)).confirmed_holes(0..300_000).unwrap().len(), 1);
    for number in [0, 2] {
        assert_eq!(store.streaming(&key("a", number)).read_span(0, 10).unwrap(), None);
        assert_eq!(store.streaming(&key("a", number)).holes(0..300_000).len(), 1);
    }
    assert_eq!(log.count(|event| matches!(event, StoreEvent::Lost { reason: LossReason::Gone, .. })), 3);
    write(&store, "a", 0, 300_000);
    assert_eq!(whole(&store, "a", 0..3)[0], 0);
}

#[test]
fn a_folder_that_is_deleted_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..3 {
        write(&store, "a", number, 1000);
    }
    // So that the writer thread makes no file while they are being removed.
    store.gc(GcOptions::default()).wait().unwrap();
    std::fs::remove_dir_all(dir.path().join("v1")).unwrap();
    for number in 3..6 {
        write(&store, "a", number, 1000);
    }
    store.gc(GcOptions::default()).wait().unwrap();
    assert_eq!((store.degraded(), store.usage().resources), (None, 3));
    assert_eq!(whole(&store, "a", 0..6), [3, 4, 5]);
    drop(store);
    assert_eq!(whole(&open(dir.path()), "a", 0..6), [3, 4, 5]);
}

#[test]
fn verify_finds_what_rotted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..4 {
        write(&store, "a", number, 2 * BLOCK + 5);
    }
    let file = &span_files(dir.path())[2];
    let mut bytes = std::fs::read(file).unwrap();
    bytes[BLOCK as usize + 3] ^= 4;
    std::fs::write(file, bytes).unwrap();
    let log = Log::of(&store);
    let verified = store.verify(|_| std::ops::ControlFlow::Continue(()));
    assert_eq!((verified.good_bytes, verified.bad_bytes), (3 * (2 * BLOCK + 5), 2 * BLOCK + 5));
    assert_eq!(log.count(|event| matches!(event, StoreEvent::Lost { reason: LossReason::Corrupt, .. })), 1);
    assert_eq!((whole(&store, "a", 0..4).len(), span_files(dir.path()).len()), (3, 3));
}
