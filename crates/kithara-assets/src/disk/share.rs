//! Equal content under other URLs is one file with several names.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::disk::draft::Piece;
use crate::disk::layout::create_dir;
use crate::disk::root::Root;
use crate::disk::span_file::SpanFile;
use crate::offer::Offer;

/// What became of the attempt to link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    /// The content has another name now. The file has so many bytes.
    Yes { stored: u64 },
    /// There is something similar, but it is not the same, or cannot be linked.
    No,
    /// There is nothing similar.
    First,
}

/// Below this a file of its own costs less than looking for another.
const MIN_LEN: u64 = 4 << 10;

/// Only what is there as a whole is shared: parts are joined, and then must agree with their own origin.
pub(crate) fn is_worth_it(offer: &Offer) -> bool {
    offer.is_whole() && is_large_enough(offer.span.len)
}

pub(crate) const fn is_large_enough(len: u64) -> bool {
    len >= MIN_LEN
}

/// A number that equal contents share, by the checksums of their blocks. Different contents hardly do.
pub(crate) fn fingerprint(checksums: &[u32], len: u64) -> u64 {
    let mut sum = crc32fast::Hasher::new();
    checksums.iter().for_each(|block| sum.update(&block.to_le_bytes()));
    (u64::from(sum.finalize()) << 32 | (len & 0xffff_ffff)).max(1)
}

/// Gives the name `path` to the file of equal content, if there is one. Equal means byte by byte.
pub(crate) fn link(root: &Root, offer: &Offer, piece: &Piece, path: &Path) -> Linked {
    let Some(other) = root.shared.read(|index| index.same_content(offer.fingerprint)) else { return Linked::First };
    let source = root.layout.span(&other, 0);
    let Ok(file) = SpanFile::open(&source, &other, 0) else { return Linked::No };
    let same =
        file.footer().len == offer.span.len && file.footer().is_whole() && same_data(&source, piece).unwrap_or(false);
    if same && hard_link(&source, path).is_ok() { Linked::Yes { stored: file.stored() } } else { Linked::No }
}

fn hard_link(source: &Path, path: &Path) -> io::Result<()> {
    match std::fs::hard_link(source, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), create_dir)?;
            std::fs::hard_link(source, path)
        }
        // A file that the index does not know, or another version of the resource, has the name: it gets a file of its
        // own.
        linked => linked,
    }
}

/// Compares the data of a piece with the beginning of a file of a span of the same length.
fn same_data(path: &Path, piece: &Piece) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; BUFFER];
    let mut same = |bytes: &[u8]| {
        for chunk in bytes.chunks(BUFFER) {
            file.read_exact(&mut buffer[..chunk.len()])?;
            if buffer[..chunk.len()] != *chunk {
                return Ok(false);
            }
        }
        Ok(true)
    };
    piece.all(&mut same)
}

const BUFFER: usize = 64 << 10;
