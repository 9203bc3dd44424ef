//! What a stock decoder costs an origin.

use std::io::{self, Read, Seek, SeekFrom};

use kithara_file::{File, FileParams, FileSource};
use kithara_origin::{Origin, Site};
use kithara_stream::{Source, SourceFactory, SyncReader};
use symphonia::core::{
    formats::{FormatOptions, probe::Hint},
    io::{MediaSource, MediaSourceStream},
    meta::MetadataOptions,
};
use tokio::runtime::Builder;

struct Media(SyncReader<FileSource>);

impl Read for Media {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Seek for Media {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl MediaSource for Media {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.0.get_ref().byte_len()
    }
}

/// A recording whose table comes last, `filler` bytes behind the media.
fn table_at_the_end(filler: u32) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../kithara-decode/tests/media/tones.m4a");
    let file = std::fs::read(path).expect("a committed fixture");
    let table = file.windows(4).position(|name| name == b"moov").expect("a table") - 4;
    let media = file.windows(4).position(|name| name == b"mdat").expect("media");
    assert!(media < table, "the table comes last");
    let free = [&filler.to_be_bytes()[..], b"free", &vec![0; filler as usize - 8]].concat();
    [&file[..table], &free, &file[table..]].concat()
}

#[test]
fn a_table_at_the_end_costs_one_small_request() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let file = table_at_the_end(20 << 20);
    let origin = Origin::start(Site::new().bytes("/a.m4a", file)).expect("an origin");
    let source = runtime.block_on(File::open(&origin.url("/a.m4a"), FileParams::default())).expect("it opens");
    let stream = MediaSourceStream::new(Box::new(Media(SyncReader::new(source))), Default::default());
    let (formats, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let mut reader = symphonia::default::get_probe().probe(&Hint::new(), stream, formats, metadata).expect("it is MP4");
    let mut packets = 0;
    while reader.next_packet().expect("it reads on").is_some() {
        packets += 1;
    }
    assert_eq!(packets, 137);
    let log = origin.requests_of("/a.m4a");
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[1].bytes_sent < 1 << 20, "{log:?}");
}
