//! One entry of a journal.

use crate::format::{Corrupt, UNKNOWN, take, take_u32, take_u64};
use crate::key::{AssetId, ResourceKey, ResourceName};

/// One entry of a journal, of fixed size and with a checksum of its own: a torn end is cut, and one bad entry costs one
/// entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// The first entry: this is a journal of this version. Once more where another run goes on with it.
    Journal,
    /// A span is there.
    Span {
        /// Of which resource.
        key: ResourceKey,
        /// Offset of its first byte in the resource.
        start: u64,
        /// Bytes of data.
        len: u64,
        /// Length of the whole resource, if it was known.
        total: Option<u64>,
        /// What tells versions of the resource apart; zero for nothing.
        mark: u64,
        /// Bytes of the file.
        stored: u64,
        /// When it was committed.
        committed: u64,
        /// When it was last used, at the time of writing.
        stamp: u64,
        /// Equal for files that are links of each other; zero for a file of its own.
        fingerprint: u64,
    },
    /// One span is gone.
    Gone {
        /// Of which resource.
        key: ResourceKey,
        /// Offset of its first byte in the resource.
        start: u64,
        /// When it went.
        stamp: u64,
    },
    /// All spans of a resource are gone.
    Removed {
        /// Which resource.
        key: ResourceKey,
        /// When it went.
        stamp: u64,
    },
    /// A resource was used.
    Used {
        /// Which resource.
        key: ResourceKey,
        /// When.
        stamp: u64,
    },
    /// The store was closed in order: whatever comes after is another run.
    Closed {
        /// When.
        stamp: u64,
    },
}

const NO_KEY: ResourceKey =
    ResourceKey { asset: AssetId::from_bytes([0; 16]), name: ResourceName::from_bytes([0; 16]) };
/// What the first record has instead of an asset.
const MAGIC: [u8; 16] = *b"kithara journal\n";
/// Journals of version 1 had no stamp of its own for each span of a resource: they are read from the files instead.
const VERSION: u64 = 2;

/// All fields of all kinds, as they stand in the file.
#[derive(Clone, Copy)]
struct Fields {
    kind: u32,
    key: ResourceKey,
    /// start, len, total, mark, stored, stamp, committed, fingerprint
    numbers: [u64; 8],
}

impl Record {
    /// Bytes of an encoded record.
    pub const LEN: usize = 104;

    /// The bytes to append.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::LEN] {
        let fields = self.fields();
        let mut out = [0; Self::LEN];
        out[4..8].copy_from_slice(&fields.kind.to_le_bytes());
        out[8..24].copy_from_slice(&fields.key.asset.to_bytes());
        out[24..40].copy_from_slice(&fields.key.name.to_bytes());
        for (place, number) in out[40..].chunks_exact_mut(8).zip(fields.numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = crc32fast::hash(&out[4..]);
        out[..4].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// The record that `bytes` are.
    ///
    /// # Errors
    /// [`Corrupt`] where they are not what [`Record::encode`] wrote.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Result<Self, Corrupt> {
        let mut input = bytes.as_slice();
        let sum = take_u32(&mut input)?;
        if crc32fast::hash(input) != sum {
            return Err(Corrupt);
        }
        let kind = take_u32(&mut input)?;
        let key = ResourceKey {
            asset: AssetId::from_bytes(take(&mut input)?),
            name: ResourceName::from_bytes(take(&mut input)?),
        };
        let mut numbers = [0; 8];
        for number in &mut numbers {
            *number = take_u64(&mut input)?;
        }
        Self::from_fields(&Fields { kind, key, numbers })
    }

    /// When it happened, of a span the later of commit and use; zero for the first entry.
    #[must_use]
    pub const fn stamp(&self) -> u64 {
        match self {
            Self::Journal => 0,
            // Uses may be of a clock that went back, commits never are.
            Self::Span { stamp, committed, .. } => {
                if *committed > *stamp {
                    *committed
                } else {
                    *stamp
                }
            }
            Self::Gone { stamp, .. } | Self::Removed { stamp, .. } => *stamp,
            Self::Used { stamp, .. } | Self::Closed { stamp } => *stamp,
        }
    }

    /// When a resource was used, if it tells of that.
    pub(crate) const fn used(&self) -> Option<u64> {
        match self {
            Self::Span { stamp, .. } | Self::Used { stamp, .. } => Some(*stamp),
            Self::Journal | Self::Gone { .. } | Self::Removed { .. } | Self::Closed { .. } => None,
        }
    }

    fn fields(&self) -> Fields {
        let of = |kind, key: &ResourceKey, numbers| Fields { kind, key: *key, numbers };
        match self {
            Self::Journal => {
                let key = ResourceKey { asset: AssetId::from_bytes(MAGIC), ..NO_KEY };
                of(0, &key, [VERSION, 0, 0, 0, 0, 0, 0, 0])
            }
            Self::Span { key, start, len, total, mark, stored, committed, stamp, fingerprint } => {
                of(1, key, [*start, *len, total.unwrap_or(UNKNOWN), *mark, *stored, *stamp, *committed, *fingerprint])
            }
            Self::Gone { key, start, stamp } => of(2, key, [*start, 0, 0, 0, 0, *stamp, 0, 0]),
            Self::Removed { key, stamp } => of(3, key, [0, 0, 0, 0, 0, *stamp, 0, 0]),
            Self::Used { key, stamp } => of(4, key, [0, 0, 0, 0, 0, *stamp, 0, 0]),
            Self::Closed { stamp } => of(5, &NO_KEY, [0, 0, 0, 0, 0, *stamp, 0, 0]),
        }
    }

    fn from_fields(fields: &Fields) -> Result<Self, Corrupt> {
        let key = fields.key;
        let [start, len, total, mark, stored, stamp, committed, fingerprint] = fields.numbers;
        match fields.kind {
            0 if key.asset.to_bytes() == MAGIC && start == VERSION => Ok(Self::Journal),
            1 => {
                let total = Some(total).filter(|total| *total != UNKNOWN);
                let end = start.checked_add(len).ok_or(Corrupt)?;
                let fits = total.is_none_or(|total| end <= total) && stored >= len;
                fits.then_some(Self::Span { key, start, len, total, mark, stored, committed, stamp, fingerprint })
                    .ok_or(Corrupt)
            }
            2 => Ok(Self::Gone { key, start, stamp }),
            3 => Ok(Self::Removed { key, stamp }),
            4 => Ok(Self::Used { key, stamp }),
            5 => Ok(Self::Closed { stamp }),
            _ => Err(Corrupt),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Partition;

    fn records() -> Vec<Record> {
        let key = ResourceKey::named(AssetId::named(&Partition::default(), "a"), "b");
        let span = |start, len, total| Record::Span {
            key,
            start,
            len,
            total,
            mark: 5,
            stored: len + 100,
            committed: 4,
            stamp: 6,
            fingerprint: 7,
        };
        vec![
            Record::Journal,
            span(0, 10, Some(10)),
            span(1 << 40, 10, None),
            Record::Gone { key, start: 9, stamp: 8 },
            Record::Removed { key, stamp: 9 },
            Record::Used { key, stamp: 10 },
            Record::Closed { stamp: 11 },
        ]
    }

    #[test]
    fn records_come_back() {
        for record in records() {
            assert_eq!(Record::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn a_span_happened_when_it_was_committed_though_it_was_used_by_a_clock_that_went_back() {
        let of = |stamp, committed| {
            let key = NO_KEY;
            let record = Record::Span {
                key,
                start: 0,
                len: 1,
                total: None,
                mark: 0,
                stored: 1,
                committed,
                stamp,
                fingerprint: 0,
            };
            (record.stamp(), record.used())
        };
        assert_eq!((of(5, 9), of(9, 5)), ((9, Some(5)), (9, Some(9))));
    }

    #[test]
    fn zeros_are_no_record() {
        assert_eq!(Record::decode(&[0; Record::LEN]), Err(Corrupt));
    }

    #[test]
    fn spans_that_cannot_be_are_refused() {
        let key = NO_KEY;
        for (start, len, total, stored) in [(u64::MAX, 2, None, 2), (0, 2, Some(1), 2), (0, 2, None, 1)] {
            let record =
                Record::Span { key, start, len, total, mark: 0, stored, committed: 0, stamp: 0, fingerprint: 0 };
            assert_eq!(Record::decode(&record.encode()), Err(Corrupt));
        }
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_noticed(which in 0_usize..7, at in 0..Record::LEN, with in any::<u8>()) {
            let record = records()[which];
            let mut bytes = record.encode();
            let changed = bytes[at] != with;
            bytes[at] = with;
            prop_assert_eq!(Record::decode(&bytes).is_err(), changed);
        }
    }
}
