//! Equal content under other URLs is one file with several names.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::disk::draft::Piece;
use crate::disk::layout::{create_dir, remove_file};
use crate::disk::lock::is_at;
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
    // One handle for all: another process may put something else there meanwhile.
    let Ok(file) = File::open(&source) else { return Linked::No };
    let Ok(span) = file.try_clone().map_err(Into::into).and_then(|file| SpanFile::of(file, &other, 0)) else {
        return Linked::No;
    };
    let same = span.footer().len == offer.span.len
        && span.footer().is_whole()
        && same_data(&file, piece).unwrap_or(false)
        && name(&file, &source, path).unwrap_or(false);
    if same { Linked::Yes { stored: span.stored() } } else { Linked::No }
}

/// Gives `file` the name `path`. False where `source` is the name of another by now, and then `path` is none.
fn name(file: &File, source: &Path, path: &Path) -> io::Result<bool> {
    hard_link(source, path)?;
    if is_at(file, path) {
        return Ok(true);
    }
    remove_file(path)?;
    Ok(false)
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
fn same_data(mut file: &File, piece: &Piece) -> io::Result<bool> {
    file.seek(SeekFrom::Start(0))?;
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_took_the_place_of_the_compared_file_is_not_linked() {
        let dir = tempfile::tempdir().unwrap();
        let [source, other, path] = ["source", "other", "path"].map(|name| dir.path().join(name));
        std::fs::write(&source, b"compared").unwrap();
        let file = File::open(&source).unwrap();
        assert!(name(&file, &source, &path).unwrap() && path.exists());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&other, b"another one").unwrap();
        std::fs::rename(&other, &source).unwrap();
        assert!(!name(&file, &source, &path).unwrap() && !path.exists());
    }
}
