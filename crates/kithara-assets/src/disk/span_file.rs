//! Reading the file of a span.

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

use crate::disk::lock::inode;
use crate::disk::share;
use crate::format::{BLOCK, Corrupt, Footer};
use crate::key::ResourceKey;
use crate::medium::ReadFault;
use crate::meta::{Meta, Validators};
use crate::spans::Span;

/// A span on disk, open for reading: its footer was checked, its blocks are checked when they are read. It stays
/// readable when its name is removed.
#[derive(Debug)]
pub(crate) struct SpanFile {
    /// `None` where the only block is in memory.
    file: Option<File>,
    footer: Footer,
    /// Bytes of the file.
    stored: u64,
    /// Its data was written for another resource, and its meta is not told.
    is_link: bool,
    /// See [`inode`].
    inode: Option<(u64, u64)>,
    /// The block that was read last, with its number.
    block: Option<(usize, Bytes)>,
}

/// Read from the end of a file at first: more than most footers.
const FIRST_READ: usize = 4 << 10;

impl SpanFile {
    /// Opens the file that has the name of `key` and `start`. It may have been written for another resource: whether it is a
    /// link, or came there by accident, has to be asked then (see [`SpanFile::is_link`]).
    pub(crate) fn open(path: &Path, key: &ResourceKey, start: u64) -> Result<Self, ReadFault> {
        Self::of(File::open(path)?, key, start)
    }

    /// As [`SpanFile::open`], of a file that is open.
    pub(crate) fn of(file: File, key: &ResourceKey, start: u64) -> Result<Self, ReadFault> {
        let metadata = file.metadata()?;
        let stored = metadata.len();
        let first =
            usize::try_from(stored).map_or(BLOCK, |len| if len > BLOCK + FIRST_READ { FIRST_READ } else { len });
        let mut end = read(&file, stored - first as u64, first)?;
        let footer_len = Footer::encoded_len(&end, stored)?;
        if footer_len > end.len() {
            end = read(&file, stored - footer_len as u64, footer_len)?;
        }
        let data = end.len() - footer_len;
        let mut footer = Footer::decode(&end[data..])?;
        let is_link = footer.key != *key;
        let may_be_link = footer.is_whole() && share::is_large_enough(footer.len);
        if footer.start != start || (is_link && !may_be_link) {
            return Err(ReadFault::Corrupt);
        }
        if is_link {
            // What one origin said about its URL says nothing about another.
            let Meta { content_type, stored_at, .. } = footer.meta;
            footer.meta = Meta { content_type, stored_at, ..Meta::default() };
        }
        let inode = inode(&metadata);
        let mut span = Self { file: Some(file), footer, stored, is_link, inode, block: None };
        if data <= BLOCK && span.footer.len == data as u64 {
            end.truncate(data);
            span.keep_only_block(end)?;
        }
        Ok(span)
    }

    pub(crate) const fn footer(&self) -> &Footer {
        &self.footer
    }

    pub(crate) const fn stored(&self) -> u64 {
        self.stored
    }

    pub(crate) fn meta(&self) -> &Meta {
        &self.footer.meta
    }

    /// Whether its data was written for another resource.
    pub(crate) const fn is_link(&self) -> bool {
        self.is_link
    }

    /// Whether it is of the commit of `span`, as far as it says. That of a link is another resource's.
    pub(crate) const fn may_be(&self, span: &Span) -> bool {
        self.footer.len == span.len && (self.is_link || self.footer.stamp == span.committed)
    }

    /// Whether `path` is another name of this very file. False where the system does not tell.
    pub(crate) fn has_name(&self, path: &Path) -> bool {
        self.inode.is_some() && path.metadata().is_ok_and(|named| inode(&named) == self.inode)
    }

    /// A number that files of equal content share.
    pub(crate) fn fingerprint(&self) -> u64 {
        share::fingerprint(&self.footer.checksums, self.footer.len)
    }

    /// What tells the version of these bytes from others; zero where nothing does.
    pub(crate) fn mark(&self) -> u64 {
        Validators::mark(&self.footer.meta.validators)
    }

    /// At least one and at most `max` bytes from `offset` (in the resource), out of one block, which was checked.
    pub(crate) fn read(&mut self, offset: u64, max: usize) -> Result<Bytes, ReadFault> {
        let at = offset.checked_sub(self.footer.start).filter(|at| *at < self.footer.len).ok_or(ReadFault::Corrupt)?;
        let number = usize::try_from(at / BLOCK as u64).map_err(|_| ReadFault::Corrupt)?;
        let block = self.block(number)?;
        let from = usize::try_from(at % BLOCK as u64).expect("less than a block");
        let to = block.len().min(from.saturating_add(max));
        Ok(block.slice(from..to))
    }

    /// Reads everything, which checks it.
    ///
    /// # Errors
    /// It is not what it was when it was written, or cannot be read.
    pub(crate) fn check(mut self) -> Result<(), ReadFault> {
        (0..self.footer.checksums.len()).try_for_each(|number| self.block(number).map(|_| ()))
    }

    fn block(&mut self, number: usize) -> Result<Bytes, ReadFault> {
        if let Some((_, block)) = self.block.as_ref().filter(|(kept, _)| *kept == number) {
            return Ok(block.clone());
        }
        let at = number as u64 * BLOCK as u64;
        let len = usize::try_from((self.footer.len - at).min(BLOCK as u64)).expect("at most a block");
        let file = self.file.as_ref().ok_or(ReadFault::Corrupt)?;
        let bytes = read(file, at, len)?;
        self.keep(number, bytes)
    }

    /// Takes the only block of a small span, after which the file is not needed.
    fn keep_only_block(&mut self, bytes: Vec<u8>) -> Result<(), ReadFault> {
        if !bytes.is_empty() {
            self.keep(0, bytes)?;
        }
        self.file = None;
        Ok(())
    }

    fn keep(&mut self, number: usize, bytes: Vec<u8>) -> Result<Bytes, ReadFault> {
        if self.footer.checksums.get(number) != Some(&crc32fast::hash(&bytes)) {
            return Err(ReadFault::Corrupt);
        }
        let block = Bytes::from(bytes);
        self.block = Some((number, block.clone()));
        Ok(block)
    }
}

impl From<Corrupt> for ReadFault {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Shorter than it was when its length was asked for.
            io::ErrorKind::UnexpectedEof => Self::Corrupt,
            _ => Self::Io(error),
        }
    }
}

/// `len` bytes from `at`.
fn read(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    read_exact_at(file, &mut bytes, at)?;
    Ok(bytes)
}

#[cfg(unix)]
fn read_exact_at(file: &File, buf: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buf, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buf.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buf, at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => (buf, at) = (&mut buf[n..], at + n as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
