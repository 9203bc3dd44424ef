//! What is kept on disk: listed, checked, made room in, removed.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use kithara::fetch::assets::{
    AssetId, AssetStore, Clock, DiskOptions, Meta, Partition, ResourceKey, UnixMillis, WriteOutcome,
};

use crate::{Run, fixtures, kithara, scratch, serve, text};

/// A cache with one stream in it, and the URL of that.
fn filled(cache: &Path) -> String {
    let origin = serve(fixtures());
    let url = origin.url("/ts_aes/index.m3u8?token=SECRET");
    let out = cache.with_file_name("out");
    Run::of(["save", &url, text(&out), "--cache", text(cache)]).succeeded();
    url
}

fn cache(dir: &Path, arguments: &[&str]) -> Run {
    Run::of([&["cache", "--json", "--cache", text(dir)], arguments].concat())
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_was_saved_is_listed_by_its_url_without_secrets() {
    let (_dir, folder) = scratch("cache");
    let url = filled(&folder);
    let run = cache(&folder, &["ls"]).succeeded();
    assert!(!String::from_utf8_lossy(&run.stdout).contains("SECRET"));
    let (list, public) = (run.json(), url.split('?').next().unwrap());
    assert_eq!(list["assets"].as_array().unwrap().len(), 1, "{list}");
    assert!(list["assets"][0]["label"].as_str().unwrap().starts_with(public), "{list}");

    let id = list["assets"][0]["id"].as_str().unwrap();
    for name in [id, &id[..6], &url] {
        let resources = cache(&folder, &["ls", name]).succeeded().json();
        assert_eq!(resources["resources"].as_array().unwrap().len() as u64, list["assets"][0]["resources"]);
    }
    let shown = Run::of(["cache", "ls", "--cache", text(&folder)]).succeeded();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(public) && shown.contains(id) && !shown.contains("SECRET"), "{shown}");
}

#[test]
fn damage_is_found_removed_and_said() {
    let (_dir, folder) = scratch("cache");
    filled(&folder);
    let good = cache(&folder, &["verify"]).succeeded().json();
    assert!(good["good_bytes"].as_u64().unwrap() > 10_000 && good["bad_bytes"] == 0, "{good}");

    let spans = files(&folder.join("v1/assets"));
    let damaged = spans.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(damaged).unwrap();
    bytes[100] ^= 1;
    std::fs::write(damaged, bytes).unwrap();
    let run = cache(&folder, &["verify"]);
    assert_eq!(run.status, Some(7), "{run:?}");
    let bad = run.json();
    assert_eq!((&bad["error"]["class"], &bad["exit_status"]), (&"disk".into(), &7.into()));
    assert!(bad["bad_bytes"].as_u64().unwrap() > 0, "{bad}");
    assert!(run.stderr.contains("bytes were not what was stored"), "{}", run.stderr);
    assert!(!damaged.exists());
    assert_eq!(cache(&folder, &["verify"]).succeeded().json()["bad_bytes"], 0);
}

#[test]
fn room_is_made_as_told() {
    let (_dir, folder) = scratch("cache");
    filled(&folder);
    let before = cache(&folder, &["ls"]).json()["bytes"].as_u64().unwrap();
    let kept = cache(&folder, &["gc"]).succeeded().json();
    assert_eq!((kept["removed"].as_u64(), kept["bytes"].as_u64()), (Some(0), Some(before)));
    let made = cache(&folder, &["gc", "--quota", "20k"]).succeeded().json();
    assert!(made["removed"].as_u64().unwrap() > 0 && made["bytes"].as_u64().unwrap() <= 20 << 10, "{made}");
    let all = cache(&folder, &["gc", "--unused-for", "0s"]).succeeded().json();
    assert_eq!(all["bytes"], 0, "{all}");
}

/// A cache with one resource that nobody used for so many days.
fn of_old(cache: &Path, days: u64) {
    let ago = Duration::from_secs(days * 24 * 3600);
    let clock = Clock::from_fn(move || UnixMillis::from(SystemTime::now() - ago));
    let store = AssetStore::open(cache, DiskOptions { clock, free_space: 0, ..DiskOptions::default() }).unwrap();
    let key = ResourceKey::named(AssetId::named(&Partition::default(), "old"), "1");
    let mut writer = store.streaming(&key).writer(0, Meta::default());
    assert_eq!(writer.write_blocking(vec![7; 1000].into()), WriteOutcome::Accepted);
    writer.commit(Some(1000)).wait().unwrap();
}

#[test]
fn limits_may_be_more_generous_than_the_usual_ones() {
    let (_dir, folder) = scratch("cache");
    of_old(&folder, 60);
    let kept = cache(&folder, &["gc", "--unused-for", "90d", "--quota", "5G"]).succeeded().json();
    assert_eq!((kept["removed"].as_u64(), kept["bytes"].as_u64() > Some(0)), (Some(0), true), "{kept}");
    let usual = cache(&folder, &["gc"]).succeeded().json();
    assert_eq!((&usual["removed"], &usual["bytes"]), (&1.into(), &0.into()), "{usual}");
}

#[test]
fn what_is_removed_is_gone_and_what_plays_stays() {
    let (_dir, folder) = scratch("cache");
    let url = filled(&folder);
    let asset = {
        let store = AssetStore::open(&folder, DiskOptions::default()).unwrap();
        let asset = store.assets()[0].id;
        let _playing = store.lease(&asset);
        let held = cache(&folder, &["rm", &url]);
        assert_eq!(
            (held.status, held.json()["kept"][0].as_str().map(str::to_owned)),
            (Some(7), Some(asset.to_string()))
        );
        assert!(held.stderr.contains("end what plays it"), "{}", held.stderr);
        assert_eq!(held.json()["exit_status"], 7);
        asset
    };
    // However often it is named.
    let removed = cache(&folder, &["rm", &url, &asset.to_string(), &url]).succeeded().json();
    assert!(removed["removed"] == 1 && removed["freed_bytes"].as_u64().unwrap() > 10_000, "{removed}");
    assert_eq!(files(&folder.join("v1/assets")), Vec::<std::path::PathBuf>::new());
    assert_eq!(cache(&folder, &["rm", "--all"]).succeeded().json()["removed"], 0);
}

#[test]
fn mistakes_are_explained_and_make_nothing() {
    let (_dir, folder) = scratch("cache");
    for arguments in [&["ls"][..], &["verify"], &["gc"], &["rm", "--all"]] {
        let run = cache(&folder, arguments);
        assert_eq!(run.status, Some(4), "{run:?}");
        assert!(run.stderr.contains("there is no cache at"), "{}", run.stderr);
    }
    assert!(!folder.exists(), "to look makes no folder");
    filled(&folder);
    for name in ["zzzz", "https://example.com/other.m3u8"] {
        for command in ["rm", "ls"] {
            let run = cache(&folder, &[command, name]);
            assert_eq!((run.status, &run.json()["exit_status"]), (Some(4), &4.into()), "{run:?}");
            assert_eq!(run.json()["error"]["class"], "missing");
        }
    }
    // A variable that was never set is no name.
    for arguments in [&["rm"][..], &["rm", ""], &["rm", "0af"]] {
        assert_eq!(cache(&folder, arguments).status, Some(2), "{arguments:?}");
    }
    assert_eq!(cache(&folder, &["gc", "--quota", "many"]).status, Some(2));
}

#[test]
fn a_cache_that_keeps_nothing_more_says_so_once() {
    let origin = serve(fixtures());
    let (dir, folder) = scratch("cache");
    let (url, out) = (origin.url("/ts_aac/index.m3u8"), dir.path().join("out.ts"));
    // What plays is not evicted: there is room for one or two segments of five.
    let (out, folder, quota) = (text(&out), text(&folder), ["--quota", "24k"]);
    let (save, play) = (["save", &url, out, "--cache", folder], ["play", &url, "--output", "null", "--cache", folder]);
    for command in [&save[..], &play] {
        let run = Run::of([command, &quota].concat()).succeeded();
        assert_eq!(run.stderr.matches("nothing more is kept in").count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("24.00 KiB"), "{}", run.stderr);
        let run = Run::of(command).succeeded();
        assert!(!run.stderr.contains("nothing more"), "{}", run.stderr);
        std::fs::remove_dir_all(folder).unwrap();
    }
    for useless in [&["save", &url, out][..], &["play", &url, "--no-cache", "--output", "null"]] {
        assert_eq!(Run::of([useless, &quota].concat()).status, Some(2), "{useless:?}");
    }
}

#[cfg(not(target_os = "macos"))]
#[test]
fn why_there_is_no_cache_is_said_as_the_system_says_it() {
    let origin = serve(fixtures());
    let (dir, folder) = scratch("kithara");
    std::fs::write(&folder, "no folder").unwrap();
    let mut play = kithara(["play", &origin.url("/ts_aac/index.m3u8"), "--output", "null"]);
    for name in ["XDG_CACHE_HOME", "LOCALAPPDATA"] {
        play.env(name, dir.path());
    }
    let run = Run::from(play.output().unwrap()).succeeded();
    let told = run.stderr.lines().find(|line| line.contains("playing without a cache")).unwrap();
    assert!(told.contains("the file system failed: ") && told.contains("os error"), "{told}");
}
