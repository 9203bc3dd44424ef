//! What goes wrong on the way ends exact, or with the right error.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Seek, SeekFrom},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use kithara_file::{
    File, FileError, FileParams, FileSource,
    fetch::{
        Ask, Located, Resolution, UrlResolver,
        assets::{AssetStore, MemoryOptions},
    },
};
use kithara_origin::{At, Ending, Fault, Origin, Response, Rule, Site, pattern_bytes};
use kithara_stream::{SourceFactory, SyncReader};
use tokio::runtime::{Builder, Runtime};

const MIB: u64 = 1 << 20;
const LEN: u64 = 6 * MIB;
const PATH: &str = "/a.flac";

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn open(runtime: &Runtime, origin: &Origin, params: FileParams) -> Result<FileSource, FileError> {
    runtime.block_on(File::open(&origin.url(PATH), params))
}

fn pattern(seed: u64, at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    pattern_bytes(seed, at, &mut bytes);
    bytes
}

#[track_caller]
fn is_exact(rule: Rule) {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN).rule(rule)).unwrap();
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()).unwrap());
    let mut tail = vec![0; 1000];
    reader.seek(SeekFrom::Start(LEN - 1000)).unwrap();
    reader.read_exact(&mut tail).unwrap();
    reader.seek(SeekFrom::Start(0)).unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == pattern(7, 0, usize::try_from(LEN).unwrap()));
    assert_eq!(tail, pattern(7, LEN - 1000, 1000));
}

#[test]
fn what_can_be_repaired_is_exact() {
    let on = || Rule::on(PATH);
    is_exact(on().every(2).then(Fault::truncate(At::Fraction(0.4))));
    is_exact(on().first(2).then(Fault::reset_at(At::Byte(100_000))));
    is_exact(on().first(2).then(Fault::Answer(Response::new(503))));
    is_exact(on().nth(1).then(Fault::Cut { at: At::Byte(1), ending: Ending::Close }));
    is_exact(on().then(Fault::Chunked(10_000)));
    is_exact(on().then(Fault::CloseAfter));
}

#[test]
fn a_file_whose_end_does_not_show_is_not_stored_as_whole() {
    let (runtime, store) = (runtime(), AssetStore::memory(MemoryOptions::default()));
    let cut = Rule::on(PATH).nth(1).then(Fault::NoLength).then(Fault::truncate(At::Byte(3 * MIB)));
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN).rule(cut)).unwrap();
    for len in [3 * MIB, LEN, LEN] {
        let params = FileParams { store: Some(store.clone()), ..FileParams::default() };
        let mut all = Vec::new();
        SyncReader::new(open(&runtime, &origin, params).unwrap()).read_to_end(&mut all).unwrap();
        assert!(all == pattern(7, 0, usize::try_from(len).unwrap()), "{} of {len} bytes", all.len());
        runtime.block_on(store.flush()).unwrap();
    }
    let asked: Vec<_> = origin.requests_of(PATH).into_iter().map(|logged| logged.range).collect();
    assert_eq!(asked, [None, Some(format!("bytes={}-", 3 * MIB))], "what came is not asked for again");
}

#[test]
fn what_is_not_there_fails_at_open() {
    let (runtime, origin) = (runtime(), Origin::start(Site::new()).unwrap());
    let error = open(&runtime, &origin, FileParams::default()).unwrap_err();
    assert!(matches!(&error, FileError::Fetch(error) if error.status() == Some(404)), "{error:?}");
    for url in ["", "file:///etc/passwd", "not a url", "ftp://a.example/x"] {
        let error = runtime.block_on(File::open(url, FileParams::default())).unwrap_err();
        assert!(matches!(error, FileError::InvalidUrl(_)), "{url}: {error:?}");
    }
}

#[track_caller]
fn changes(no_store: bool) {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN)).unwrap();
    let params = FileParams { no_store, ..FileParams::default() };
    let mut reader = SyncReader::new(open(&runtime, &origin, params).unwrap());
    let mut first = vec![0; 1000];
    reader.read_exact(&mut first).unwrap();
    // Of the same length, so that only its validators tell.
    origin.put(PATH, pattern(8, 0, usize::try_from(LEN).unwrap()));
    reader.seek(SeekFrom::Start(5 * MIB)).unwrap();
    let error = reader.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(FileError::of(&error), Some(FileError::Changed { .. })), "{error:?}");
    assert_eq!(error.kind(), std::io::ErrorKind::Other);

    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()).unwrap());
    reader.read_exact(&mut first).unwrap();
    assert_eq!(first, pattern(8, 0, 1000), "opened again, it is the new one");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    changes(false);
    changes(true);
}

#[test]
fn a_file_that_changes_before_it_is_read_begins_again() {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN)).unwrap();
    let mut reader =
        SyncReader::new(open(&runtime, &origin, FileParams { no_store: true, ..FileParams::default() }).unwrap());
    origin.put(PATH, pattern(8, 0, usize::try_from(LEN).unwrap()));
    let mut bytes = vec![0; 1000];
    reader.seek(SeekFrom::Start(5 * MIB)).unwrap();
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, pattern(8, 5 * MIB, 1000));
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, pattern(8, 0, 1000));
}

/// Signs URLs; the origin takes each signature for a while only.
#[derive(Default)]
struct Signer {
    count: AtomicU64,
    asked: Mutex<Vec<u32>>,
}

impl UrlResolver for Signer {
    fn resolve<'a>(&'a self, ask: &'a Ask) -> std::pin::Pin<Box<dyn Future<Output = Resolution> + Send + 'a>> {
        self.asked.lock().unwrap().push(ask.attempt);
        let mut url = ask.url.clone();
        url.set_query(Some(&format!("token={}", 1 + self.count.fetch_add(1, Ordering::Relaxed))));
        Box::pin(async move { Resolution::Located(Located { url, headers: http::HeaderMap::new() }) })
    }
}

#[test]
fn an_expired_url_is_signed_again_and_reading_goes_on_at_the_same_byte() {
    let runtime = runtime();
    let gone = Rule::on(PATH)
        .when(|request| request.header("range").is_some() && request.param("token").is_none())
        .then(Fault::Answer(Response::new(403)));
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN).rule(gone)).unwrap();
    let signer = Arc::new(Signer::default());
    let params = FileParams { resolver: Some(signer.clone()), ..FileParams::default() };
    let mut reader = SyncReader::new(open(&runtime, &origin, params).unwrap());
    let mut bytes = vec![0; 1000];
    for at in [0, 5 * MIB, 3 * MIB + 77] {
        reader.seek(SeekFrom::Start(at)).unwrap();
        reader.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, pattern(7, at, 1000));
    }
    assert_eq!(*signer.asked.lock().unwrap(), [1], "asked once, when the first URL did not work any more");
}

#[test]
fn what_failed_once_is_tried_again_when_it_is_read_again() {
    let runtime = runtime();
    let down = Rule::on(PATH)
        .when(|request| request.header("range").is_some())
        .first(40)
        .then(Fault::Answer(Response::new(403)));
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN).rule(down)).unwrap();
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()).unwrap());
    let mut failures = 0;
    let mut bytes = vec![0; 1000];
    loop {
        reader.seek(SeekFrom::Start(5 * MIB)).unwrap();
        match reader.read_exact(&mut bytes) {
            Ok(()) => break,
            Err(_) => failures += 1,
        }
    }
    // More often than places are kept, and in the end the line is up again.
    assert!((17..=40).contains(&failures), "{failures}");
    assert_eq!(bytes, pattern(7, 5 * MIB, 1000));
}

#[test]
fn a_closed_file_says_so_and_gives_what_it_has() {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN)).unwrap();
    let mut reader = SyncReader::new(open(&runtime, &origin, FileParams::default()).unwrap());
    let mut bytes = vec![0; 1000];
    reader.read_exact(&mut bytes).unwrap();
    runtime.block_on(reader.get_ref().close());
    reader.seek(SeekFrom::Start(0)).unwrap();
    reader.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, pattern(7, 0, 1000));
    reader.seek(SeekFrom::Start(LEN - 10)).unwrap();
    let error = reader.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(FileError::of(&error), Some(FileError::Closed)));
}

#[test]
fn no_secret_is_shown() {
    let runtime = runtime();
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN)).unwrap();
    let url = format!("{}?token=hush", origin.url(PATH));
    let source = runtime.block_on(File::open(&url, FileParams::default())).unwrap();
    origin.remove(PATH);
    let mut reader = SyncReader::new(source);
    reader.seek(SeekFrom::Start(5 * MIB)).unwrap();
    let error = reader.read(&mut [0; 4]).unwrap_err();
    let shown = format!("{error} {error:?} {:?} {}", reader.get_ref(), reader.get_ref().url());
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_reader_that_waits_hears_that_the_runtime_is_gone() {
    let runtime = runtime();
    let stall = Fault::stall(At::Byte(100_000), Duration::from_secs(3600));
    let origin = Origin::start(Site::new().pattern(PATH, 7, LEN).rule(Rule::on(PATH).then(stall))).unwrap();
    let source = open(&runtime, &origin, FileParams::default()).unwrap();
    let later = source.another();
    let (arrived, arrival) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let mut reader = SyncReader::new(source);
        reader.read_exact(&mut [0; 100_000]).unwrap();
        arrived.send(()).unwrap();
        reader.read(&mut [0]).unwrap_err()
    });
    arrival.recv_timeout(Duration::from_secs(60)).expect("the bytes before the stall come");
    runtime.shutdown_background();
    let (told, word) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        told.send(waiting.join().unwrap()).unwrap();
        let error = SyncReader::new(later.another()).read(&mut [0]).unwrap_err();
        told.send(error).unwrap();
    });
    for _ in 0..2 {
        let error = word.recv_timeout(Duration::from_secs(60)).expect("no reader hangs");
        assert!(matches!(FileError::of(&error), Some(FileError::Driver(_))), "{error:?}");
    }
}
