//! What the files of a store look like: for those who check, repair or fuzz them.
//!
//! A store is a directory:
//!
//! ```text
//! v1/lock                       locked by whoever evicts or compacts
//! v1/assets/ASSET/NAME.START    one span: data, then its footer          the truth
//! v1/journals/ID                what was committed, removed and used     a memory of it, a moment behind
//! v1/leases/ASSET               locked (shared) by whoever plays the asset
//! v1/pins/ASSET                 there while the asset is pinned
//! v1/labels/ASSET               what the application calls the asset
//! v1/tmp/RUN-N                  spans that are being written
//! v1/tmp/RUN                    locked while the process that writes them lives
//! ```
//!
//! A file that was written for another resource is a link to its file, if the journal tells of the same content, or if it
//! is the same file: the same inode. Else its bytes came there by accident, and it counts as damaged. So where the journals
//! are lost, a link whose first name is gone is fetched again; and all links where files have no inode numbers.
//!
//! `ASSET` and `NAME` are 32 hexadecimal digits, `START` is the offset of the span in its resource (hexadecimal), `ID`
//! and `RUN` are random. All numbers in files are little-endian.
//!
//! A small span and its footer are one write to a new file, which is locked (exclusively) meanwhile; a larger one, and one
//! that takes the place of another, is written under a temporary name and becomes visible by one rename. A file without a
//! footer is a span that is being written, or was when its writer died. Nothing is forced to the medium: when the process dies, everything that was written is still there; when the power fails, a span may be cut
//! short or hold anything, and then a checksum says so and the span is a hole. In no case are wrong bytes served.

mod footer;
mod record;

pub use footer::Footer;
pub use record::Record;

/// Bytes that are checked as one: 256 KiB. The last block of a span may be shorter.
pub const BLOCK: usize = 256 << 10;

/// The bytes are not what they should be: cut, flipped, or from somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not what they should be")]
pub struct Corrupt;

/// The next `N` bytes of `input`.
fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let (head, rest) = input.split_first_chunk::<N>().ok_or(Corrupt)?;
    *input = rest;
    Ok(*head)
}

fn take_u64(input: &mut &[u8]) -> Result<u64, Corrupt> {
    take(input).map(u64::from_le_bytes)
}

fn take_u32(input: &mut &[u8]) -> Result<u32, Corrupt> {
    take(input).map(u32::from_le_bytes)
}

/// Stands for an unknown length in files.
const UNKNOWN: u64 = u64::MAX;
