//! How much of a text is read.

/// Bounds on a playlist. Beyond them it is refused, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text. Memory is at most a small multiple of it. Default: 16 MiB.
    pub bytes: usize,
    /// Segments, those in a delta update not counted that it leaves out; each costs 40 to 72 bytes besides its text.
    /// Default: 200,000, eleven days in segments of five seconds.
    pub segments: usize,
    /// Parts, over all segments. Default: 50,000.
    pub parts: usize,
    /// Variants, I-frame variants, renditions, session keys and session data, together. Default: 10,000.
    pub entries: usize,
    /// Date ranges, unknown tags and rendition reports, together. Default: 100,000.
    pub metadata: usize,
    /// Keys of different KEYFORMATs that apply to one segment. Default: 32.
    pub keys: usize,
    /// Variables, imported ones included. Default: 1,000.
    pub variables: usize,
    /// Bytes that all variable references of the text expand to. Default: 16 MiB.
    pub expansion: usize,
}

impl Limits {
    /// The default of [`bytes`](Self::bytes): more of a playlist need not be loaded.
    pub const BYTES: usize = 16 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: Self::BYTES,
            segments: 200_000,
            parts: 50_000,
            entries: 10_000,
            metadata: 100_000,
            keys: 32,
            variables: 1_000,
            expansion: 16 << 20,
        }
    }
}
