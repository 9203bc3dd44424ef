//! A span that is being written.

use std::fs::{File, TryLockError};
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::disk::layout::{private_file, remove_file};
use crate::disk::lock::{Locked, has_name, is_at, means_no_locks};
use crate::disk::share;
use crate::fate::Fate;
use crate::format::{BLOCK, Footer};
use crate::key::ResourceKey;
use crate::meta::Meta;

/// One writer's bytes on their way to a file.
///
/// Small spans wait in memory until they are complete, so that data and footer are one write to a file that is made for
/// it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) key: ResourceKey,
    /// Offset of the first byte of all in the resource.
    pub(crate) start: u64,
    pub(crate) meta: Meta,
    /// It becomes present piece by piece.
    pub(crate) pieces: bool,
    /// Length of the whole resource, as it was announced.
    pub(crate) expected: Option<u64>,
    pub(crate) fate: Fate,
    piece: Piece,
}

/// What becomes one span.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Offset of the first byte in the resource.
    pub(crate) start: u64,
    len: u64,
    /// Chunks that are not in the file yet.
    pending: Vec<Bytes>,
    pending_len: usize,
    file: Option<Unpublished>,
    checksums: Vec<u32>,
    /// Over the last, unfinished block.
    block: Hasher,
    block_len: usize,
    /// When the first byte came, where that was told.
    pub(crate) since: Option<Instant>,
}

/// A file under a name that nobody looks for, or that is not sealed yet. It is removed when dropped.
#[derive(Debug)]
struct Unpublished {
    file: File,
    path: PathBuf,
    published: bool,
}

impl Draft {
    pub(crate) fn new(key: ResourceKey, start: u64, meta: Meta, pieces: bool, fate: Fate) -> Self {
        Self { key, start, meta, pieces, expected: None, fate, piece: Piece::new(start) }
    }

    pub(crate) const fn piece(&self) -> &Piece {
        &self.piece
    }

    pub(crate) const fn piece_mut(&mut self) -> &mut Piece {
        &mut self.piece
    }

    /// Takes what came so far; what comes next begins behind it.
    pub(crate) fn take_piece(&mut self) -> Piece {
        let next = Piece::new(self.piece.start.saturating_add(self.piece.len));
        std::mem::replace(&mut self.piece, next)
    }
}

impl Piece {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            start,
            len: 0,
            pending: Vec::new(),
            pending_len: 0,
            file: None,
            checksums: Vec::new(),
            block: Hasher::new(),
            block_len: 0,
            since: None,
        }
    }

    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Bytes in memory.
    pub(crate) const fn pending_len(&self) -> usize {
        self.pending_len
    }

    /// What a chunk of so many bytes takes of the queue's room.
    pub(crate) const fn cost_of(len: usize) -> usize {
        if len == 0 { 0 } else { len + CHUNK_COST }
    }

    /// What its bytes in memory take of the queue's room.
    pub(crate) const fn pending_cost(&self) -> usize {
        self.pending_len + self.pending.len() * CHUNK_COST
    }

    /// Bytes in the temporary file.
    pub(crate) const fn written_len(&self) -> u64 {
        self.len - self.pending_len as u64
    }

    /// Takes the next bytes. `now` is the time for [`Piece::since`], where that is wanted.
    pub(crate) fn push(&mut self, bytes: Bytes, now: Option<Instant>) {
        if bytes.is_empty() {
            return;
        }
        self.since = self.since.or(now);
        self.sum(&bytes);
        self.len += bytes.len() as u64;
        self.pending_len += bytes.len();
        self.pending.push(bytes);
    }

    /// Writes what is pending, to a file that is made by `path` when there is none.
    pub(crate) fn flush(&mut self, path: &mut dyn FnMut() -> PathBuf) -> io::Result<()> {
        self.write_out(path, &[])
    }

    /// See [`share::fingerprint`].
    pub(crate) fn fingerprint(&mut self) -> u64 {
        self.end_block();
        share::fingerprint(&self.checksums, self.len)
    }

    /// Makes the file of a piece that is in memory as a whole: under its name at once, for data and footer are one write,
    /// and what is cut has no footer. Answers with the bytes of the file; `None` where part of it is in a temporary file
    /// or the name is taken, and nothing was done.
    pub(crate) fn create(&mut self, path: &Path, footer: &[u8]) -> io::Result<Option<u64>> {
        if self.file.is_some() {
            return Ok(None);
        }
        let Some(file) = Unpublished::named(path)? else { return Ok(None) };
        self.end_block();
        self.file = Some(file);
        self.write_out(&mut PathBuf::new, footer)?;
        if let Some(file) = &mut self.file {
            file.published = true;
        }
        Ok(Some(self.len + footer.len() as u64))
    }

    /// Writes what is pending and the footer: everything but the name. Answers with the bytes of the file.
    pub(crate) fn seal(&mut self, path: &mut dyn FnMut() -> PathBuf, footer: &[u8]) -> io::Result<u64> {
        self.end_block();
        self.write_out(path, footer)?;
        Ok(self.len + footer.len() as u64)
    }

    /// The footer of what is there, or `None` where the meta is too large.
    pub(crate) fn footer(&mut self, key: &ResourceKey, meta: &Meta, total: Option<u64>, stamp: u64) -> Option<Vec<u8>> {
        self.end_block();
        let footer = Footer {
            key: *key,
            start: self.start,
            len: self.len,
            total,
            stamp,
            checksums: self.checksums.clone(),
            meta: meta.clone(),
        };
        footer.encode()
    }

    /// Gives the sealed file its name, taking that from whatever had it.
    pub(crate) fn publish(&mut self, path: &Path) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        std::fs::rename(&file.path, path)?;
        file.published = true;
        Ok(())
    }

    /// Shows `look` all data from the first byte on, in chunks, until it says false. True when it never did.
    pub(crate) fn all(&self, look: &mut dyn FnMut(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
        if let Some(written) = &self.file {
            let mut file = File::open(&written.path)?;
            let mut buffer = vec![0; BLOCK];
            let mut left = self.written_len();
            while left > 0 {
                let now = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
                file.read_exact(&mut buffer[..now])?;
                if !look(&buffer[..now])? {
                    return Ok(false);
                }
                left -= now as u64;
            }
        }
        for chunk in &self.pending {
            if !look(chunk)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Cuts off what is behind the last whole block.
    pub(crate) fn keep_whole_blocks(&mut self) -> io::Result<()> {
        let surplus = std::mem::take(&mut self.block_len);
        self.block = Hasher::new();
        self.len -= surplus as u64;
        let mut from_memory = surplus.min(self.pending_len);
        let from_file = surplus - from_memory;
        self.pending_len -= from_memory;
        while let Some(last) = self.pending.pop() {
            if last.len() > from_memory {
                self.pending.push(last.slice(..last.len() - from_memory));
                break;
            }
            from_memory -= last.len();
        }
        match &self.file {
            Some(file) if from_file > 0 => file.file.set_len(self.len).and_then(|()| seek_end(&file.file)),
            _ => Ok(()),
        }
    }

    fn sum(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK - self.block_len));
            self.block.update(now);
            self.block_len += now.len();
            bytes = rest;
            if self.block_len == BLOCK {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        if self.block_len > 0 {
            self.checksums.push(std::mem::take(&mut self.block).finalize());
            self.block_len = 0;
        }
    }

    fn write_out(&mut self, path: &mut dyn FnMut() -> PathBuf, footer: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Unpublished::temporary(path())?),
        };
        let chunks = self.pending.iter().map(|bytes| &bytes[..]).chain([footer]);
        write_all_vectored(&mut file.file, chunks)?;
        self.pending.clear();
        self.pending_len = 0;
        Ok(())
    }
}

impl Unpublished {
    fn temporary(path: PathBuf) -> io::Result<Self> {
        let file = private_file().write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, published: false })
    }

    /// A file under its final name, locked while it is written: who finds it without a footer meanwhile leaves it alone.
    /// `None` where the name is taken.
    fn named(path: &Path) -> io::Result<Option<Self>> {
        let file = match private_file().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            file => file?,
        };
        match file.try_lock() {
            // Somebody has found it and is about to remove it.
            Err(TryLockError::WouldBlock) => Ok(None),
            // Somebody has found it, and removed it already.
            Ok(()) if !has_name(&file) => Ok(None),
            // Where locks do not work, nobody else is expected.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Some(Self { file, path: path.to_owned(), published: false })),
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now is swept when the store is opened again.
            let _ = remove_file(&self.path);
        }
    }
}

/// Removes the file at `path` if it `is_wrong`, unless whoever makes it is still at it, in this or another process. Nobody
/// can begin to write it meanwhile, so it is looked at as it is.
pub(crate) fn remove_unless_written(path: &Path, is_wrong: impl FnOnce() -> bool) -> io::Result<()> {
    // Open for writing: some network file systems lock exclusively only what may be written.
    let file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let locked = match Locked::try_exclusively(file) {
        Ok(None) => return Ok(()),
        Ok(locked) => locked,
        // Where locks do not work, nobody else is expected.
        Err(error) if means_no_locks(&error) => None,
        Err(error) => return Err(error),
    };
    if is_wrong() && locked.as_ref().is_none_or(|file| is_at(file, path)) { remove_file(path) } else { Ok(()) }
}

/// What a chunk takes of the queue's room beside its bytes: it bounds the number of chunks, too.
const CHUNK_COST: usize = 2 << 10;

/// Slices handed to the kernel at once, below the limit of every system we know (IOV_MAX).
const MAX_SLICES: usize = 256;

fn write_all_vectored<'a>(file: &mut File, chunks: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let mut chunks = chunks.filter(|chunk| !chunk.is_empty()).map(IoSlice::new).collect::<Vec<_>>();
    let mut left = chunks.as_mut_slice();
    while !left.is_empty() {
        let at_once = left.len().min(MAX_SLICES);
        match file.write_vectored(&left[..at_once]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn seek_end(mut file: &File) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::End(0)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crcs(bytes: &[u8]) -> Vec<u32> {
        bytes.chunks(BLOCK).map(crc32fast::hash).collect()
    }

    #[test]
    fn a_temporary_file_ends_with_its_piece_unless_it_was_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t");
        let mut piece = Piece::new(0);
        piece.push(Bytes::from_static(b"abc"), None);
        piece.seal(&mut || path.clone(), b"footer").unwrap();
        drop(piece);
        assert!(!path.exists());

        let mut piece = Piece::new(0);
        piece.push(Bytes::from_static(b"abc"), None);
        assert_eq!(piece.seal(&mut || path.clone(), b"footer").unwrap(), 9);
        piece.publish(&dir.path().join("final")).unwrap();
        drop(piece);
        assert_eq!(std::fs::read(dir.path().join("final")).unwrap(), b"abcfooter");
    }

    #[test]
    fn a_small_piece_gets_its_name_at_once_unless_that_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("final"), dir.path().join("t"));
        let piece = |bytes: &'static [u8]| {
            let mut piece = Piece::new(0);
            piece.push(Bytes::from_static(bytes), None);
            piece
        };
        assert_eq!(piece(b"abc").create(&path, b"footer").unwrap(), Some(9));
        assert_eq!(std::fs::read(&path).unwrap(), b"abcfooter");

        let mut second = piece(b"xy");
        assert_eq!(second.create(&path, b"footer").unwrap(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcfooter", "whoever has the name keeps it");
        second.seal(&mut || other.clone(), b"footer").unwrap();
        assert_eq!(second.create(&dir.path().join("third"), b"footer").unwrap(), None, "it has a file already");
        second.publish(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"xyfooter");
    }

    #[test]
    fn a_file_that_is_being_written_is_locked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("final");
        let file = Unpublished::named(&path).unwrap().unwrap();
        remove_unless_written(&path, || true).unwrap();
        assert!(path.exists(), "whoever writes it is at it");
        drop(file);
        assert!(!path.exists(), "what was not sealed goes");
        std::fs::write(&path, b"whole meanwhile").unwrap();
        remove_unless_written(&path, || false).unwrap();
        assert!(path.exists(), "it is looked at again");
        remove_unless_written(&path, || true).unwrap();
        assert!(!path.exists(), "rubbish goes");
        remove_unless_written(&path, || true).unwrap();
    }

    #[test]
    fn a_file_that_was_removed_before_it_was_locked_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("final");
        std::fs::write(&path, b"").unwrap();
        let found = File::open(&path).unwrap();
        let found = Locked::try_exclusively(found).unwrap();
        assert!(found.is_some());
        assert!(Unpublished::named(&path).unwrap().is_none(), "the name is taken");
        remove_unless_written(&path, || true).unwrap();
        assert!(path.exists(), "it is locked");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn whatever_the_chunks_the_file_is_the_bytes(
            chunks in prop::collection::vec((0_usize..200_000, any::<bool>()), 1..8), whole_blocks in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("t");
            let mut piece = Piece::new(0);
            let mut want = Vec::new();
            for (at, (len, flush)) in chunks.into_iter().enumerate() {
                let chunk = vec![at as u8; len];
                want.extend_from_slice(&chunk);
                piece.push(Bytes::from(chunk), None);
                if flush {
                    piece.flush(&mut || path.clone()).unwrap();
                    prop_assert_eq!(piece.pending_len(), 0);
                }
            }
            if whole_blocks {
                piece.keep_whole_blocks().unwrap();
                want.truncate(want.len() / BLOCK * BLOCK);
            }
            prop_assert_eq!(piece.len(), want.len() as u64);
            prop_assert_eq!(piece.written_len() + piece.pending_len() as u64, piece.len());
            piece.seal(&mut || path.clone(), b"").unwrap();
            prop_assert_eq!(&piece.checksums, &crcs(&want));
            prop_assert!(std::fs::read(&path).unwrap() == want);
        }
    }
}
