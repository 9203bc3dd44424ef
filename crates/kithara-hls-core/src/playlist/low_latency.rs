//! What a media playlist says for low latency and delta updates (RFC 8216bis).

use std::sync::Arc;
use std::time::Duration;

use super::{Line, MediaSequence, Segments, Uri};

/// EXT-X-SERVER-CONTROL: what the server can do (RFC 8216bis section 4.4.3.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// CAN-BLOCK-RELOAD: a reload may name the segment or part it waits for.
    pub can_block_reload: bool,
    /// CAN-SKIP-UNTIL: a delta update leaves out segments further than this from the end; `None` when there are none.
    pub can_skip_until: Option<Duration>,
    /// CAN-SKIP-DATERANGES: a delta update may leave out date ranges too.
    pub can_skip_date_ranges: bool,
    /// HOLD-BACK: distance from the end to start or seek to; `None` means three target durations.
    pub hold_back: Option<Duration>,
    /// PART-HOLD-BACK: the same for low latency.
    pub part_hold_back: Option<Duration>,
}

/// EXT-X-PRELOAD-HINT: a resource that may be requested before it is listed (RFC 8216bis section 4.4.5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// What the resource is.
    pub kind: PreloadKind,
    /// The resource.
    pub uri: Uri,
    /// BYTERANGE-START; 0 when the playlist does not say.
    pub byte_start: u64,
    /// BYTERANGE-LENGTH; `None` up to the end of the resource.
    pub byte_len: Option<u64>,
    /// The line of its tag.
    pub line: Line,
}

/// TYPE of EXT-X-PRELOAD-HINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PreloadKind {
    /// A partial segment.
    Part,
    /// A media initialization section.
    Init,
}

/// EXT-X-RENDITION-REPORT: how far another media playlist is (RFC 8216bis section 4.4.5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionReport {
    /// That playlist.
    pub uri: Uri,
    /// The number of its last segment, or of the segment of its last part; `None` means the same as here.
    pub last_msn: Option<MediaSequence>,
    /// The index of its last part; `None` without parts, or the same as here.
    pub last_part: Option<u64>,
}

/// EXT-X-SKIP: this snapshot continues an earlier one (RFC 8216bis section 4.4.5.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    /// How many segments are left out.
    pub skipped: u64,
    /// Segments that stand before those left out, where the rules have none.
    pub before: Segments,
    /// RECENTLY-REMOVED-DATERANGES. `None` when the playlist does not say: then it lists all date ranges.
    pub removed_date_ranges: Option<Vec<Arc<str>>>,
}
