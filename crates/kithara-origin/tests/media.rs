//! The demo stream and the test media are whole, and `expected.tsv` speaks of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod client;

use std::{collections::BTreeMap, fs, path::Path};

use client::Client;
use kithara_origin::{Origin, Site, demo, fixtures_dir};
use sha2::{Digest, Sha256};

/// The lines of `expected.tsv`: segments, length and hash by playlist.
fn expected() -> BTreeMap<String, (usize, u64, String)> {
    let text = fs::read_to_string(fixtures_dir().join("expected.tsv")).unwrap();
    let line = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let [path, segments, length, hash] = fields[..] else { panic!("{line}") };
        (path.to_owned(), (segments.parse().unwrap(), length.parse().unwrap(), hash.to_owned()))
    };
    text.lines().map(line).collect()
}

/// Every playlist below `directory` that has segments, by path.
fn media_playlists(directory: &Path, prefix: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            found.extend(media_playlists(&path, &format!("{name}/")));
        } else if name.ends_with(".m3u8") {
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found.retain(|_, text| text.contains("#EXTINF"));
    found
}

fn uris(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(
            |line| if line.starts_with('#') { line.split("URI=\"").nth(1)?.split('"').next() } else { Some(line) },
        )
        .collect()
}

#[test]
fn every_playlist_is_expected_with_its_segments() {
    let mut found = media_playlists(&fixtures_dir(), "");
    found.extend(media_playlists(&Path::new(env!("CARGO_MANIFEST_DIR")).join("demo"), "demo/"));
    let segments: BTreeMap<_, _> =
        found.into_iter().map(|(path, text)| (path, text.matches("#EXTINF").count())).collect();
    let wanted: BTreeMap<_, _> = expected().into_iter().map(|(path, (segments, ..))| (path, segments)).collect();
    assert_eq!(segments, wanted);
}

#[test]
fn clear_media_have_the_expected_hash_and_encrypted_ones_that_of_their_clear_twin() {
    let expected = expected();
    for (path, text) in media_playlists(&fixtures_dir(), "") {
        if text.contains("BYTERANGE") || text.contains("METHOD=AES-128") {
            continue;
        }
        let folder = fixtures_dir().join(&path);
        let bytes: Vec<u8> = uris(&text).iter().flat_map(|uri| fs::read(folder.with_file_name(uri)).unwrap()).collect();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let (_, length, wanted) = &expected[&path];
        assert_eq!((bytes.len() as u64, &hash), (*length, wanted), "{path}");
    }
    for (encrypted, clear) in
        [("ts_aes", "ts_aac"), ("ts_rotate", "ts_aac"), ("fmp4_aes", "fmp4_aac"), ("fmp4_aes_init", "fmp4_aac")]
    {
        let of = |name: &str| &expected[&format!("{name}/index.m3u8")];
        assert_eq!(of(encrypted), of(clear), "{encrypted}");
    }
}

/// Requests everything the playlist at `path` leads to; returns how many files that were.
fn walk(client: &mut Client, path: &str) -> usize {
    let answer = client.get(path, "");
    assert_eq!(answer.status(), 200, "{path}");
    if !path.ends_with(".m3u8") {
        assert!(!answer.body.is_empty(), "{path}");
        return 1;
    }
    let folder = path.rsplit_once('/').unwrap().0;
    uris(answer.text()).iter().map(|uri| walk(client, &resolve(folder, uri))).sum::<usize>() + 1
}

fn resolve(folder: &str, uri: &str) -> String {
    match uri.strip_prefix("../") {
        Some(rest) => format!("{}/{rest}", folder.rsplit_once('/').unwrap().0),
        None => format!("{folder}/{uri}"),
    }
}

/// Bytes of all files in a folder.
fn len_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|it| if it.path().is_dir() { len_of(&it.path()) } else { it.metadata().unwrap().len() }).sum()
}

#[test]
fn the_demo_is_complete() {
    let origin = Origin::start(demo()).unwrap();
    let files = walk(&mut Client::connect(&origin), "/master.m3u8");
    assert_eq!(files, 1 + 3 * (1 + 1 + 1 + 5), "per variant: playlist, init section, key, segments");
    let bytes = len_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("demo"));
    assert!((500_000..2_000_000).contains(&bytes), "it travels in every binary: {bytes} bytes");
}

#[test]
fn the_master_of_the_fixtures_is_complete() {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).unwrap();
    let files = walk(&mut Client::connect(&origin), "/av_master/master.m3u8");
    assert_eq!(files, 1 + 3 * (1 + 1 + 5) + (1 + 5) + (1 + 2), "video and two audio, I-frames, subtitles");
}
