//! What is asked of an origin, counted in its log.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Seek, SeekFrom};

use kithara_file::{
    File, FileError, FileEvent, FileOptions, FileParams, FileSource, ReadAhead,
    fetch::{
        FetchOptions, Fetcher,
        assets::AssetStore,
        net::{Client, NetworkOptions},
    },
};
use kithara_origin::{Fault, Logged, Origin, Rule, Site, pattern_bytes};
use kithara_stream::{Source, SourceFactory, SyncReader};
use tokio::runtime::{Builder, Runtime};

const MIB: u64 = 1 << 20;
const LEN: u64 = 24 * MIB;
const PATH: &str = "/book.m4a";

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn origin(faults: &[Fault]) -> Origin {
    let site = Site::new().pattern(PATH, 7, LEN);
    let site = faults.iter().fold(site, |site, fault| site.rule(Rule::on(PATH).then(fault.clone())));
    Origin::start(site).expect("an origin")
}

fn open(runtime: &Runtime, origin: &Origin, params: FileParams) -> FileSource {
    runtime.block_on(File::open(&origin.url(PATH), params)).expect("it opens")
}

/// The bytes of the file from `at` on.
fn pattern(at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    pattern_bytes(7, at, &mut bytes);
    bytes
}

#[track_caller]
fn read(reader: &mut SyncReader<FileSource>, at: u64, count: usize) {
    let mut bytes = vec![0; count];
    reader.seek(SeekFrom::Start(at)).unwrap();
    reader.read_exact(&mut bytes).unwrap();
    assert!(bytes == pattern(at, count), "{count} bytes at {at}");
}

fn asked(origin: &Origin) -> Vec<Option<String>> {
    let log = origin.requests_of(PATH);
    assert!(log.iter().all(|logged| logged.method == "GET"), "{log:?}");
    log.into_iter().map(|Logged { range, .. }| range).collect()
}

#[test]
fn a_file_that_is_read_through_is_one_request() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()));
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == pattern(0, usize::try_from(LEN).unwrap()));
    assert_eq!(asked(&origin), [None]);
}

#[test]
fn a_table_at_the_end_is_one_small_request_and_the_way_back_none() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()));
    read(&mut reader, 0, 40);
    let table = LEN - 300_000;
    read(&mut reader, table, 300_000);
    read(&mut reader, 40, 8 << 20);
    assert_eq!(asked(&origin), [None, Some(format!("bytes={table}-"))]);
}

#[test]
fn a_jump_is_a_look_and_one_request_more_where_the_reader_goes_on() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()));
    read(&mut reader, 0, 1000);
    let look = |at: u64| Some(format!("bytes={at}-{}", at + (256 << 10) - 1));
    for at in [10 * MIB, 4 * MIB, 16 * MIB] {
        read(&mut reader, at, 20_000);
    }
    assert_eq!(asked(&origin), [None, look(10 * MIB), look(4 * MIB), look(16 * MIB)]);
    read(&mut reader, 16 * MIB, 7 << 20);
    assert_eq!(asked(&origin)[4..], [Some(format!("bytes={}-{}", 16 * MIB + (256 << 10), LEN - 1))]);
}

#[test]
fn a_near_position_ahead_costs_no_request() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()));
    for at in (0..8 * MIB).step_by(200 << 10) {
        read(&mut reader, at, 100);
    }
    assert_eq!(asked(&origin), [None]);
}

#[test]
fn without_ranges_seeks_read_on_and_back_begins_again() {
    let faults = [Fault::IgnoreRange];
    let (runtime, origin) = (runtime(), origin(&faults));
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams { no_store: true, ..FileParams::default() }));
    read(&mut reader, 0, 1000);
    read(&mut reader, 12 * MIB, 1000);
    let before = asked(&origin).len();
    assert!(before <= 2, "that ranges are ignored is found out once");
    read(&mut reader, 20 * MIB, 1000);
    assert_eq!(asked(&origin).len(), before, "reading on is no request");
    read(&mut reader, 15 * MIB, 1000);
    assert!(asked(&origin).len() <= before + 1);
}

#[test]
fn what_is_too_far_without_ranges_is_an_error_that_says_so() {
    let (runtime, origin) = (runtime(), origin(&[Fault::IgnoreRange]));
    let network = NetworkOptions { max_skip: MIB, ..Default::default() };
    let read_ahead = ReadAhead { max_skip: 4 * MIB, ..ReadAhead::default() };
    let options = FileOptions { read_ahead, network, ..FileOptions::default() };
    let mut reader = SyncReader::new(open(&runtime, &origin, options.into()));
    read(&mut reader, 0, 1000);
    reader.seek(SeekFrom::Start(12 * MIB)).unwrap();
    let error = reader.read(&mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(matches!(FileError::of(&error), Some(FileError::OutOfReach { offset, .. }) if *offset == 12 * MIB));
    read(&mut reader, 3 * MIB, 1000);
}

#[test]
fn a_stored_file_is_read_without_a_request_and_holes_alone_are_fetched() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let dir = tempfile::tempdir().unwrap();
    let stored = || FileParams {
        store: Some(AssetStore::open(dir.path(), Default::default()).unwrap()),
        ..FileParams::default()
    };
    let source = open(&runtime, &origin, stored());
    let mut reader = SyncReader::new(source);
    read(&mut reader, 0, 3 << 20);
    let tail = LEN - 4000;
    read(&mut reader, tail, 4000);
    runtime.block_on(reader.get_ref().close());
    drop(reader);

    let before = asked(&origin).len();
    let mut reader = SyncReader::new(open(&runtime, &origin, stored()));
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == pattern(0, usize::try_from(LEN).unwrap()));
    assert_eq!(asked(&origin).len(), before + 1, "one hole in the middle");
    runtime.block_on(reader.get_ref().close());
    drop(reader);

    let mut params = stored();
    params.options.offline = true;
    let mut reader = SyncReader::new(open(&runtime, &origin, params));
    for at in [5 * MIB, 0, LEN - 100] {
        read(&mut reader, at, 100);
    }
    assert_eq!(asked(&origin).len(), before + 1, "everything is stored");
}

#[test]
fn a_probe_costs_no_request_of_its_own() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let source = runtime.block_on(async {
        let mut probe = File::probe(&origin.url(PATH), FileParams::default()).await.unwrap();
        assert_eq!(probe.head().total_len, Some(LEN));
        assert_eq!(probe.prefix(16).await.unwrap(), &pattern(0, 16)[..]);
        assert_eq!(probe.prefix(700_000).await.unwrap(), &pattern(0, 700_000)[..]);
        assert_eq!(probe.prefix(4).await.unwrap().len(), 4);
        probe.into_source()
    });
    let mut reader = SyncReader::new(source);
    read(&mut reader, 0, 3 << 20);
    assert_eq!(asked(&origin), [None]);
}

#[test]
fn what_was_collected_does_not_stay_as_a_file() {
    let runtime = runtime();
    let origin = Origin::start(Site::new().bytes("/live.m3u8", "#EXTM3U\n1")).unwrap();
    let store = AssetStore::memory(Default::default());
    let collect = || async {
        let params = FileParams { store: Some(store.clone()), ..FileParams::default() };
        File::probe(&origin.url("/live.m3u8"), params).await.unwrap().collect(1000).await.unwrap()
    };
    assert_eq!(runtime.block_on(collect()), "#EXTM3U\n1");
    origin.put("/live.m3u8", "#EXTM3U\n2");
    assert_eq!(runtime.block_on(collect()), "#EXTM3U\n2");
}

#[test]
fn two_readers_share_what_is_on_its_way() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let client = Client::new(NetworkOptions::default()).unwrap();
    let fetcher = Fetcher::new(client, None, FetchOptions::default());
    let first = open(&runtime, &origin, FileParams { fetcher: Some(fetcher), ..FileParams::default() });
    let second = first.another();
    let (mut first, mut second) = (SyncReader::new(first), SyncReader::new(second));
    for at in (0..6 * MIB).step_by(100_000) {
        read(&mut first, at, 100_000);
        read(&mut second, at, 100_000);
    }
    assert_eq!(asked(&origin), [None]);
}

#[test]
fn a_slow_reader_makes_nothing_pile_up() {
    let (runtime, origin) = (runtime(), origin(&[]));
    let source = open(&runtime, &origin, FileParams { no_store: true, ..FileParams::default() });
    let mut events = source.events();
    let mut reader = SyncReader::new(source);
    read(&mut reader, 0, 1);
    // The transfer stands still once enough lies ahead; levels are told in steps of 128 KiB.
    let mut level = 0;
    runtime.block_on(async {
        while level < 2 * MIB - (128 << 10) {
            if let FileEvent::BufferLevel { level_bytes, .. } = events.recv().await.unwrap() {
                level = level_bytes;
            }
        }
    });
    assert!(level < 3 * MIB, "{level}");
    let sent = origin.requests_of(PATH)[0].bytes_sent;
    assert!(sent < 12 * MIB, "{sent} bytes were sent, most of them to the buffers of the sockets");
}

#[test]
fn events_tell_the_life_of_a_file() {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, 300_000)).unwrap();
    let source = open(&runtime, &origin, FileParams::default());
    let mut events = source.events();
    assert_eq!(source.byte_len(), Some(300_000));
    let mut reader = SyncReader::new(source);
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    let ended = runtime.block_on(async {
        let (mut starts, mut whole) = (0, false);
        loop {
            match events.recv().await.unwrap() {
                FileEvent::TransferStart { offset: 0, from_cache: false, .. } => starts += 1,
                FileEvent::DownloadProgress { percent, .. } => whole |= percent == Some(100.0),
                FileEvent::EndOfStream => return (starts, whole),
                _ => {}
            }
        }
    });
    assert_eq!(ended, (1, true));
    drop(reader);
    // The channel closes with the file.
    runtime.block_on(async { while events.recv().await.is_ok() {} });
}
