//! MPEG-2 Transport Stream (ISO/IEC 13818-1).
//!
//! Layers, bottom up: [`packet`]s carry [`psi`] sections, which list the streams, and [`pes`] packets, whose payload the [`audio`], [`video`],
//! [`metadata`] and [`opus`] streams turn into timed packets. [`demux`] holds them together.

pub(crate) mod audio;
pub(crate) mod demux;
pub(crate) mod metadata;
pub(crate) mod nal;
pub(crate) mod opus;
pub(crate) mod packet;
pub(crate) mod pes;
pub(crate) mod psi;
pub(crate) mod video;

/// Bytes of a transport packet.
pub(crate) const PACKET_LEN: usize = 188;

/// The byte every packet begins with.
pub(crate) const SYNC_BYTE: u8 = 0x47;

/// When a PES packet is to be presented, on the presentation timeline in 90 kHz ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PesTime {
    pub(crate) pts: i64,
    pub(crate) dts: i64,
}
