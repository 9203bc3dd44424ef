//! What every source promises holds for files: with ranges and without, with a length and without, stored or not.

use std::{
    io,
    ops::Range,
    task::{Context, Poll},
};

use kithara_fetch::net::retry::Patience;
use kithara_file::{File, FileOptions, FileParams, FileSource, ReadAhead, RequestOptions, fetch as kithara_fetch};
use kithara_origin::{At, Ending, Fault, Origin, Rule, Site};
use kithara_stream::{
    ReadAt, Source, SourceFactory,
    contract::{failure_contract, source_contract},
};
use tokio::runtime::{Builder, Runtime};

/// A file with the origin that serves it.
struct Served {
    source: FileSource,
    _origin: Origin,
}

impl Source for Served {
    fn byte_len(&self) -> Option<u64> {
        self.source.byte_len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<ReadAt> {
        self.source.read_at(offset, buf)
    }

    fn poll_ready(&self, cx: &mut Context<'_>, range: Range<u64>) -> Poll<io::Result<()>> {
        self.source.poll_ready(cx, range)
    }

    fn poll_len(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u64>>> {
        self.source.poll_len(cx)
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn serve(
    runtime: &Runtime,
    bytes: &[u8],
    faults: &[Fault],
    params: impl FnOnce(FileOptions) -> FileParams,
) -> Box<dyn Source> {
    let site = Site::new().bytes("/a.mp3", bytes.to_vec());
    let site = faults.iter().fold(site, |site, fault| site.rule(Rule::on("/a.mp3").then(fault.clone())));
    let origin = Origin::start(site).expect("an origin");
    let once = Patience { attempts: 1, ..Patience::default() };
    let request = RequestOptions { patience: once, ..RequestOptions::default() };
    let options = FileOptions { read_ahead: small(), request, ..FileOptions::default() };
    let source = runtime.block_on(File::open(&origin.url("/a.mp3"), params(options))).expect("it opens");
    Box::new(Served { source, _origin: origin })
}

/// Distances so small that a file of a thousand bytes has many of them; what was read stays, as the suites ask again.
fn small() -> ReadAhead {
    ReadAhead { ahead: 200, behind: 2_000, look: 50, near: 30, max_skip: 1 << 20 }
}

#[track_caller]
fn check(faults: &[Fault]) {
    let runtime = runtime();
    source_contract(&|bytes| serve(&runtime, bytes, faults, FileParams::from));
    source_contract(&|bytes| serve(&runtime, bytes, faults, |options| FileParams { no_store: true, ..options.into() }));
}

#[test]
fn a_file_keeps_the_promises_of_a_source() {
    check(&[]);
}

#[test]
fn a_file_without_ranges_keeps_them() {
    check(&[Fault::IgnoreRange, Fault::NoHeader("Accept-Ranges".to_owned())]);
}

#[test]
fn a_file_without_a_length_keeps_them() {
    check(&[Fault::IgnoreRange, Fault::Chunked(64)]);
}

#[test]
fn a_file_without_validators_keeps_them() {
    check(&[Fault::NoHeader("ETag".to_owned()), Fault::NoHeader("Last-Modified".to_owned())]);
}

#[test]
fn a_second_handle_keeps_them() {
    let runtime = runtime();
    source_contract(&|bytes| {
        let origin = Origin::start(Site::new().bytes("/a.mp3", bytes.to_vec())).expect("an origin");
        let options = FileOptions { read_ahead: small(), ..FileOptions::default() };
        let first = runtime.block_on(File::open(&origin.url("/a.mp3"), options.into())).expect("it opens");
        Box::new(Served { source: first.another(), _origin: origin })
    });
}

#[test]
fn a_file_that_breaks_off_for_good_gives_what_came_and_then_its_error() {
    let runtime = runtime();
    failure_contract(&|bytes| {
        let len = bytes.len() as u64;
        let longer = [bytes, &[0; 50]].concat();
        // What comes first ends at `len`, and every request for the rest is refused.
        let cut = Rule::on("/a.mp3")
            .when(|request| request.header("range").is_none())
            .then(Fault::Cut { at: At::Byte(len), ending: Ending::Close });
        let refuse = Rule::on("/a.mp3")
            .when(move |request| request.header("range").is_some_and(|range| range.contains(&len.to_string())))
            .then(Fault::Answer(kithara_origin::Response::new(410)));
        let origin = Origin::start(Site::new().bytes("/a.mp3", longer).rule(cut).rule(refuse)).expect("an origin");
        let options = FileOptions { read_ahead: small(), ..FileOptions::default() };
        let source = runtime.block_on(File::open(&origin.url("/a.mp3"), options.into())).expect("it opens");
        Box::new(Served { source, _origin: origin })
    });
}
