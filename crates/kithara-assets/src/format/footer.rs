//! The end of a span's file.

use crate::format::{BLOCK, Corrupt, UNKNOWN, take, take_u32, take_u64};
use crate::key::{AssetId, ResourceKey, ResourceName};
use crate::meta::Meta;

/// What follows the data in a span's file: the CRC-32 of each block, the [`Meta`] as JSON, and a trailer of fixed size
/// with a CRC-32 over all of this.
///
/// A footer is right or it is not there: whatever was cut or flipped, [`Footer::decode`] either returns what was
/// encoded or refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The resource the data was written for. A file with another name is a link to it.
    pub key: ResourceKey,
    /// Offset of the first byte in the resource.
    pub start: u64,
    /// Bytes of data.
    pub len: u64,
    /// Length of the whole resource, if it was known.
    pub total: Option<u64>,
    /// When it was committed, in the order of all commits of one store. About milliseconds since 1970.
    pub stamp: u64,
    /// One CRC-32 for each block.
    pub checksums: Vec<u32>,
    /// What is known of the resource.
    pub meta: Meta,
}

const MAGIC: [u8; 8] = *b"kitspan\n";
const VERSION: u32 = 1;
/// What ends the trailer and is not covered by its own checksum.
const SEAL_LEN: usize = 4 + MAGIC.len();
const USUAL_META_LEN: usize = 1 << 10;

impl Footer {
    /// Bytes of the trailer, the last of the file.
    pub const TRAILER_LEN: usize = 2 * 16 + 4 * 8 + 2 * 4 + SEAL_LEN;
    /// Bytes the meta may have, encoded: 64 KiB.
    pub const MAX_META_LEN: usize = 64 << 10;

    /// The bytes to append to the data, or `None` where the meta is too large to be kept.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        // Large enough for most: what grows where another thread frees its memory waits for that thread.
        let mut meta = Vec::with_capacity(USUAL_META_LEN);
        serde_json::to_writer(&mut meta, &self.meta).ok().filter(|()| meta.len() <= Self::MAX_META_LEN)?;
        let mut out = Vec::with_capacity(4 * self.checksums.len() + meta.len() + Self::TRAILER_LEN);
        self.checksums.iter().for_each(|sum| out.extend(sum.to_le_bytes()));
        out.extend_from_slice(&meta);
        out.extend(self.key.asset.to_bytes());
        out.extend(self.key.name.to_bytes());
        for number in [self.start, self.len, self.total.unwrap_or(UNKNOWN), self.stamp] {
            out.extend(number.to_le_bytes());
        }
        out.extend(u32::try_from(meta.len()).ok()?.to_le_bytes());
        out.extend(VERSION.to_le_bytes());
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out.extend(MAGIC);
        Some(out)
    }

    /// How many bytes before the end of a file the footer begins. `end` is the end of the file, at least a trailer;
    /// `file_len` the length of the whole file, which bounds the answer.
    ///
    /// # Errors
    /// [`Corrupt`] where the trailer is none, or does not fit the length of the file.
    pub fn encoded_len(end: &[u8], file_len: u64) -> Result<usize, Corrupt> {
        let trailer = end.last_chunk::<{ Self::TRAILER_LEN }>().ok_or(Corrupt)?;
        let lengths = Lengths::read(trailer)?;
        let footer = lengths.footer_len()?;
        match lengths.data.checked_add(footer) {
            Some(whole) if whole == file_len => usize::try_from(footer).map_err(|_| Corrupt),
            _ => Err(Corrupt),
        }
    }

    /// The footer that `bytes` are: exactly as many as [`Footer::encoded_len`] says.
    ///
    /// # Errors
    /// [`Corrupt`] where they are not what [`Footer::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let trailer = bytes.last_chunk::<{ Self::TRAILER_LEN }>().ok_or(Corrupt)?;
        let lengths = Lengths::read(trailer)?;
        let (covered, seal) = bytes.split_at(bytes.len() - SEAL_LEN);
        if lengths.footer_len()? != bytes.len() as u64 || crc32fast::hash(covered) != take_u32(&mut &*seal)? {
            return Err(Corrupt);
        }
        let (before, mut fields) = covered.split_at(bytes.len() - Self::TRAILER_LEN);
        let (sums, meta) = before.split_at(before.len() - lengths.meta);
        let asset = AssetId::from_bytes(take(&mut fields)?);
        let name = ResourceName::from_bytes(take(&mut fields)?);
        let [start, len, total, stamp] = [(); 4].map(|()| take_u64(&mut fields));
        let footer = Self {
            key: ResourceKey { asset, name },
            start: start?,
            len: len?,
            total: Some(total?).filter(|total| *total != UNKNOWN),
            stamp: stamp?,
            checksums: sums.chunks_exact(4).map(|mut sum| take_u32(&mut sum)).collect::<Result<_, _>>()?,
            meta: serde_json::from_slice(meta).map_err(|_| Corrupt)?,
        };
        let end = footer.start.checked_add(footer.len).ok_or(Corrupt)?;
        if footer.total.is_some_and(|total| total < end) { Err(Corrupt) } else { Ok(footer) }
    }

    /// True where the data is the whole resource.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.start == 0 && self.total == Some(self.len)
    }
}

/// The lengths a trailer speaks of, not yet checked by anything but their own arithmetic.
struct Lengths {
    data: u64,
    meta: usize,
}

impl Lengths {
    fn read(trailer: &[u8; Footer::TRAILER_LEN]) -> Result<Self, Corrupt> {
        let mut at_len = &trailer[2 * 16 + 8..];
        let data = take_u64(&mut at_len)?;
        let mut at_meta = &trailer[2 * 16 + 4 * 8..];
        let meta = usize::try_from(take_u32(&mut at_meta)?).map_err(|_| Corrupt)?;
        let known = take_u32(&mut at_meta)? == VERSION && trailer.ends_with(&MAGIC) && meta <= Footer::MAX_META_LEN;
        if known { Ok(Self { data, meta }) } else { Err(Corrupt) }
    }

    fn footer_len(&self) -> Result<u64, Corrupt> {
        let sums = self.data.div_ceil(BLOCK as u64).checked_mul(4).ok_or(Corrupt)?;
        sums.checked_add((self.meta + Footer::TRAILER_LEN) as u64).ok_or(Corrupt)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Partition;
    use crate::meta::{UnixMillis, Validators};

    fn footer(len: u64, total: Option<u64>, etag: Option<String>) -> Footer {
        Footer {
            key: ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b"),
            start: 7,
            len,
            total,
            stamp: 1234,
            checksums: (0..len.div_ceil(BLOCK as u64)).map(|at| at as u32).collect(),
            meta: Meta {
                validators: Validators { etag, last_modified: None },
                stored_at: UnixMillis(99),
                ..Meta::default()
            },
        }
    }

    fn read(file: &[u8], data: usize) -> Result<Footer, Corrupt> {
        let len = Footer::encoded_len(file, file.len() as u64)?;
        assert_eq!(len, file.len() - data, "a footer that is accepted ends the data where it ends");
        Footer::decode(&file[file.len() - len..])
    }

    #[test]
    fn a_footer_comes_back() {
        for (len, total) in [(0, Some(7)), (1, None), (BLOCK as u64, None), (BLOCK as u64 + 1, Some(u64::MAX - 1))] {
            let footer = footer(len, total, Some("\"x\"".into()));
            let mut file = vec![1; usize::try_from(len).unwrap()];
            file.extend(footer.encode().unwrap());
            assert_eq!(read(&file, usize::try_from(len).unwrap()), Ok(footer));
        }
    }

    #[test]
    fn a_meta_that_is_too_large_is_not_written() {
        assert_eq!(footer(1, None, Some("x".repeat(Footer::MAX_META_LEN))).encode(), None);
    }

    #[test]
    fn an_end_before_the_end_is_refused() {
        let bytes = footer(10, Some(16), None).encode().unwrap();
        assert_eq!(Footer::decode(&bytes), Err(Corrupt));
        let bytes = Footer { start: u64::MAX, ..footer(10, None, None) }.encode().unwrap();
        assert_eq!(Footer::decode(&bytes), Err(Corrupt));
    }

    proptest! {
        #[test]
        fn what_was_changed_is_refused(
            len in 0_usize..2_000, etag in ".{0,20}", cut in 0_usize..2_200, at in 0_usize..2_200, with in 0_u8..=255,
        ) {
            let footer = footer(len as u64, None, Some(etag));
            let mut file = vec![5; len];
            file.extend(footer.encode().unwrap());
            if cut > 0 && cut <= file.len() {
                let cut = &file[..file.len() - cut];
                prop_assert!(Footer::encoded_len(cut, cut.len() as u64).is_err());
            }
            let at = at % file.len();
            let changed = file[at] != with;
            file[at] = with;
            let intact = !changed || at < len;
            prop_assert_eq!(read(&file, len).is_ok(), intact);
        }

        #[test]
        fn no_input_makes_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), file_len in any::<u64>(), sealed in any::<bool>()) {
            if sealed {
                bytes.extend(MAGIC);
            }
            let _ = Footer::encoded_len(&bytes, file_len);
            let _ = Footer::decode(&bytes);
        }
    }
}
