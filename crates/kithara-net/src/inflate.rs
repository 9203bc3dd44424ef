//! gzip bodies, inflated without trusting them.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use crate::ErrorKind;

/// Output that no ratio is asked of: small texts may be as repetitive as they like.
const FREE: u64 = 1 << 20;

/// Inflates a whole gzip body. More than `max_len` bytes fail with [`ErrorKind::TooLarge`], more than `max_ratio` times
/// the input (once above [`FREE`]) with [`ErrorKind::Encoding`], broken data with [`ErrorKind::Corrupt`].
pub(crate) fn inflate(chunks: &[Bytes], max_len: u64, max_ratio: u32) -> Result<Bytes, ErrorKind> {
    let coded: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let most = max_len.min(coded.saturating_mul(max_ratio.into()).max(FREE));
    let mut decoder = MultiGzDecoder::new(Capped { out: Vec::new(), most });
    let written = chunks.iter().try_for_each(|chunk| decoder.write_all(chunk));
    let out = written.and_then(|()| decoder.finish());
    match out {
        Ok(capped) => Ok(capped.out.into()),
        Err(error) if matches!(error.get_ref(), Some(cause) if cause.is::<Full>()) => {
            Err(if most == max_len { ErrorKind::TooLarge } else { ErrorKind::Encoding })
        }
        Err(_) => Err(ErrorKind::Corrupt),
    }
}

/// Takes at most so many bytes; the decoder hands them over in small steps, so memory never exceeds that by much.
struct Capped {
    out: Vec<u8>,
    most: u64,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.out.len() + bytes.len()) as u64 > self.most {
            return Err(io::Error::other(Full));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("more bytes than allowed")]
struct Full;

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn in_chunks(coded: &[u8], size: usize) -> Vec<Bytes> {
        coded.chunks(size).map(Bytes::copy_from_slice).collect()
    }

    #[test]
    fn text_comes_back_whatever_the_chunks() {
        let text: Vec<u8> = (0..5000).flat_map(|n| format!("#EXTINF:4,\nseg{n}.ts\n").into_bytes()).collect();
        let coded = gzip(&text);
        for size in [1, 7, 1000, coded.len()] {
            assert_eq!(inflate(&in_chunks(&coded, size), 1 << 20, 10).unwrap(), text);
        }
    }

    #[test]
    fn several_members_are_one_text() {
        let coded = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(&in_chunks(&coded, 3), 100, 10).unwrap(), "one two");
    }

    #[test]
    fn the_size_cap_is_exact() {
        let coded = in_chunks(&gzip(&[7; 1000]), 50);
        assert_eq!(inflate(&coded, 1000, 10).unwrap().len(), 1000);
        assert_eq!(inflate(&coded, 999, 10), Err(ErrorKind::TooLarge));
    }

    #[test]
    fn a_bomb_is_refused_by_its_ratio() {
        let coded = in_chunks(&gzip(&vec![0; 8 << 20]), 1000);
        assert_eq!(inflate(&coded, 1 << 30, 250), Err(ErrorKind::Encoding));
        assert_eq!(inflate(&coded, 1 << 30, 2000).unwrap().len(), 8 << 20);
    }

    #[test]
    fn broken_data_is_refused() {
        let whole = gzip(b"some text that is long enough to be cut");
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for broken in [&whole[..whole.len() - 3], &whole[..5], &flipped, b"not gzip at all", b"".as_slice()] {
            assert_eq!(inflate(&in_chunks(broken, 64), 1000, 10), Err(ErrorKind::Corrupt), "{broken:?}");
        }
    }
}
