//! MPEG-2 Transport Stream (ISO/IEC 13818-1).

pub(crate) mod packet;
pub(crate) mod pes;

/// Bytes of a transport packet.
pub(crate) const PACKET_LEN: usize = 188;

/// The byte every packet begins with.
pub(crate) const SYNC_BYTE: u8 = 0x47;
