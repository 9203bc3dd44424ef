//! The flat view of every fixture is, byte for byte, what a separate script computes from the files.

use std::{collections::BTreeSet, io::Read};

use kithara_hls::{Hls, HlsOptions, HlsParams};
use kithara_origin::{Origin, Site, fixtures_dir};
use kithara_stream::{StreamSource, SyncReader};
use sha2::{Digest, Sha256};

struct Expected {
    path: String,
    sha256: String,
    len: u64,
}

fn expected() -> Vec<Expected> {
    let table = std::fs::read_to_string(fixtures_dir().join("expected.tsv")).expect("the table is committed");
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let parse = |line: &str| {
        let mut cells = line.split('\t');
        let mut next = || cells.next().expect("four columns").to_owned();
        let (path, _segments, len, sha256) = (next(), next(), next(), next());
        Expected { path, sha256, len: len.parse().expect("a length") }
    };
    rows.map(parse).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn read_all(url: String, params: HlsParams) -> Vec<u8> {
    let source = StreamSource::<Hls>::open(url, params).await.expect("it opens");
    let read = move || {
        let mut all = Vec::new();
        SyncReader::new(source).read_to_end(&mut all).expect("it reads to the end");
        all
    };
    tokio::task::spawn_blocking(read).await.expect("the reader does not panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fixture_reads_as_the_separate_script_says() {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).expect("a port is free");
    let mut seen = 0;
    for want in expected() {
        if !fixtures_dir().join(&want.path).exists() {
            continue;
        }
        origin.clear_log();
        let all = read_all(origin.url(&format!("/{}", want.path)), HlsParams::default()).await;
        assert_eq!(all.len() as u64, want.len, "{}", want.path);
        assert_eq!(hex(&Sha256::digest(&all)), want.sha256, "{}", want.path);
        let log = origin.log();
        let distinct: BTreeSet<_> = log.iter().map(|request| (&request.target, &request.range)).collect();
        assert_eq!(log.len(), distinct.len(), "{}: something was asked for twice", want.path);
        assert!(log.iter().all(|request| request.method == "GET"), "{}: not only GET", want.path);
        seen += 1;
    }
    assert!(seen > 10, "only {seen} fixtures were found");
}

#[tokio::test(flavor = "current_thread")]
async fn a_blocking_reader_on_a_single_threaded_runtime_does_not_stop_its_own_driver() {
    let origin = Origin::start(Site::new().dir("/", fixtures_dir())).expect("a port is free");
    let want = expected().into_iter().find(|want| fixtures_dir().join(&want.path).exists()).expect("a fixture");
    let url = origin.url(&format!("/{}", want.path));
    let source = StreamSource::<Hls>::open(url, HlsOptions::default().into()).await.expect("it opens");
    let mut all = Vec::new();
    SyncReader::new(source).read_to_end(&mut all).expect("it reads to the end");
    assert_eq!(all.len() as u64, want.len);
}
