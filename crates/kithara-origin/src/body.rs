//! Bodies: random access to what is served, without holding it in memory.

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

/// The full content of a response: bytes, an open file or a synthetic pattern. Cheap to clone.
#[derive(Clone)]
pub struct Body {
    source: Source,
    len: u64,
    etag: Option<Arc<str>>,
    modified: Option<SystemTime>,
}

#[derive(Clone)]
enum Source {
    Bytes(Bytes),
    File(Arc<File>),
    Pattern { seed: u64 },
}

impl Body {
    /// No bytes, and no validators.
    pub fn empty() -> Self {
        Self { source: Source::Bytes(Bytes::new()), len: 0, etag: None, modified: None }
    }

    /// `len` bytes of the pattern of `seed` (see [`pattern_bytes`]); takes no memory, whatever its length.
    pub fn pattern(seed: u64, len: u64) -> Self {
        let etag = format!("\"p{seed:x}-{len:x}\"");
        Self { source: Source::Pattern { seed }, len, etag: Some(etag.into()), modified: None }
    }

    /// The regular file at `path`, opened now and read while it is sent.
    ///
    /// Its ETag is made of length and modification time.
    ///
    /// # Errors
    /// The error of opening it; [`io::ErrorKind::NotFound`] for what is not a regular file.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let modified = meta.modified().ok();
        let stamp = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        let etag = format!("\"f{:x}-{:x}\"", meta.len(), stamp.as_nanos());
        Ok(Self { source: Source::File(Arc::new(file)), len: meta.len(), etag: Some(etag.into()), modified })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The strong validator, quotes included; `None` for an empty body.
    pub fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// The same body without what is behind `len`; its ETag stays, as it does when a file is cut behind a server's back.
    pub(crate) fn shortened(mut self, len: u64) -> Self {
        self.len = self.len.min(len);
        self
    }

    /// Copies bytes from `offset` on into `buf`; returns how many, 0 at or behind the end.
    ///
    /// # Errors
    /// Those of reading the file; [`io::ErrorKind::UnexpectedEof`] when it has become shorter since it was opened.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(buf.len());
        let buf = &mut buf[..count];
        match &self.source {
            Source::Bytes(bytes) => {
                // When anything is left, the offset lies inside the bytes.
                let start = if count > 0 { offset as usize } else { 0 };
                buf.copy_from_slice(&bytes[start..start + count]);
            }
            Source::File(file) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(buf)?;
            }
            Source::Pattern { seed } => pattern_bytes(*seed, offset, buf),
        }
        Ok(count)
    }

    /// The whole body in memory, or `None` when it is longer than `limit` or cannot be read.
    pub(crate) fn to_bytes(&self, limit: u64) -> Option<Bytes> {
        if self.len > limit {
            return None;
        }
        if let Source::Bytes(bytes) = &self.source {
            return Some(bytes.clone());
        }
        let mut all = vec![0; usize::try_from(self.len).ok()?];
        self.read_at(0, &mut all).ok()?;
        Some(all.into())
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        let etag = (len > 0).then(|| format!("\"b{len:x}-{:x}\"", fnv1a(&bytes)).into());
        Self { source: Source::Bytes(bytes), len, etag, modified: None }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.source {
            Source::Bytes(_) => "bytes",
            Source::File(_) => "file",
            Source::Pattern { .. } => "pattern",
        };
        write!(f, "Body({} {kind})", self.len)
    }
}

/// Fills `buf` with the bytes that the pattern of `seed` has from `offset` on.
///
/// Every byte depends on its place and the seed alone, so any range can be checked without the rest.
pub fn pattern_bytes(seed: u64, offset: u64, buf: &mut [u8]) {
    let mut at = offset;
    let mut rest = buf;
    while !rest.is_empty() {
        let word = mix(seed ^ mix(at / 8)).to_le_bytes();
        let from = (at % 8) as usize;
        let count = rest.len().min(8 - from);
        let (head, tail) = rest.split_at_mut(count);
        head.copy_from_slice(&word[from..from + count]);
        at = at.wrapping_add(count as u64);
        rest = tail;
    }
}

/// The finaliser of SplitMix64: a cheap bijection that scatters neighbouring inputs.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a, 64 bit: equal on every machine and run, which `std`'s hashers do not promise.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_read(body: &Body, offset: u64, want: &[u8]) {
        let mut buf = [0; 4];
        let count = body.read_at(offset, &mut buf).unwrap();
        assert_eq!(&buf[..count], want);
    }

    #[test]
    fn reads_stop_at_the_end() {
        let body = Body::from("0123456789");
        check_read(&body, 0, b"0123");
        check_read(&body, 8, b"89");
        check_read(&body, 10, b"");
        check_read(&body, u64::MAX, b"");
    }

    #[test]
    fn a_pattern_is_the_same_from_every_offset() {
        let body = Body::pattern(7, 1000);
        let mut whole = vec![0; 1000];
        assert_eq!(body.read_at(0, &mut whole).unwrap(), 1000);
        for offset in [1, 7, 8, 9, 500, 999] {
            let mut part = vec![0; 1000];
            let count = body.read_at(offset as u64, &mut part).unwrap();
            assert_eq!(part[..count], whole[offset..], "from {offset}");
        }
        let mut other = vec![0; 1000];
        pattern_bytes(8, 0, &mut other);
        assert_ne!(other, whole, "the seed matters");
    }

    #[test]
    fn equal_bytes_have_equal_etags() {
        assert_eq!(Body::from("abc").etag(), Body::from("abc").etag());
        assert_ne!(Body::from("abc").etag(), Body::from("abd").etag());
        assert_eq!(Body::from("").etag(), None);
    }
}
