//! Is a unit whole? Told by its own container while its bytes pass.

mod bmff;
mod packed;
mod text;
mod ts;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use bmff::Clocks;

use crate::Container;
use crate::frames::Framing;

/// Watches the bytes of one unit and says at its end whether the unit is whole.
///
/// A length from a header can be wrong or missing, and a proxy can cut a body and still close it properly; the container knows better. The
/// check looks at headers only and skips over payload, so it costs next to nothing on every byte of a download. Its memory is bounded: at
/// most the one `moof` or `moov` box it is in, and of that no more than [`SegmentCheck::MAX_MOOF`] bytes.
///
/// What it demands:
///
/// - MPEG-TS: whole 188-byte packets, and the last PES packet of each PID as long as it states (an open length is accepted);
/// - fMP4: box lengths that add up, behind each `moof` all the bytes its samples point to, and behind an `ftyp` or a `sidx` what it announces;
/// - packed audio: whole frames and tags;
/// - text: something; TTML closes its root element.
///
/// What is legal passes: empty fragments, boxes with 64-bit sizes or that reach to the end, null packets, tags between frames and behind them.
/// Damage in the middle passes as well: a stream may be made so. But [`SegmentCheck::stray`] says where something stands that is no
/// packet, box or frame, and [`SegmentCheck::sure`] how much is in order, so that who fetched it may ask again before he believes it.
#[derive(Clone, Debug)]
pub struct SegmentCheck {
    got: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Ts(Box<ts::TsCheck>),
    Bmff(bmff::BmffCheck),
    Packed(packed::PackedCheck),
    Ttml(text::TtmlCheck),
    /// Formats that do not tell their end.
    Opaque,
}

impl SegmentCheck {
    /// A `moof` larger than this is not looked into, only measured.
    pub const MAX_MOOF: usize = 4 << 20;

    /// A check for a unit of this format.
    #[must_use]
    pub fn new(container: Container) -> Self {
        let state = match container {
            Container::MpegTs => State::Ts(Box::default()),
            Container::Fmp4 => State::Bmff(bmff::BmffCheck::default()),
            Container::Ttml => State::Ttml(text::TtmlCheck::default()),
            other => {
                Framing::of(other).map_or(State::Opaque, |framing| State::Packed(packed::PackedCheck::new(framing)))
            }
        };
        Self { got: 0, state }
    }

    /// The next bytes of the unit, in any portions.
    pub fn push(&mut self, bytes: &[u8]) {
        self.got += bytes.len() as u64;
        match &mut self.state {
            State::Ts(check) => check.push(bytes),
            State::Bmff(check) => check.push(bytes),
            State::Packed(check) => check.push(bytes),
            State::Ttml(check) => check.push(bytes),
            State::Opaque => {}
        }
    }

    /// How many bytes from the start of the unit are in order: what follows them shows that they are, or their box says that they are its
    /// own. It never goes back. The rest is little as long as nothing [strays](Self::stray): two packets and the next one, a frame or tag and the
    /// next header, or the header of a box.
    #[must_use]
    pub fn sure(&self) -> u64 {
        match &self.state {
            State::Ts(check) => check.sure(),
            State::Bmff(check) => check.sure(self.got),
            State::Packed(check) => check.sure(),
            State::Ttml(_) | State::Opaque => self.got,
        }
    }

    /// How many of those bytes are of a box that is not all there: nothing tells them apart from what may have come in the place of its rest.
    #[must_use]
    pub fn open(&self) -> u64 {
        if let State::Bmff(check) = &self.state { check.open(self.got) } else { 0 }
    }

    /// The first place where a packet, a box, a frame or a tag should begin and none does. What stands in front of the first packet or frame
    /// is none: encoders that start in the middle leave it.
    #[must_use]
    pub fn stray(&self) -> Option<Stray> {
        match &self.state {
            State::Ts(check) => check.stray(),
            State::Bmff(check) => check.stray(),
            State::Packed(check) => check.stray(),
            State::Ttml(_) | State::Opaque => None,
        }
    }

    /// Whether an fMP4 unit has a movie header (`moov`), as initialization sections must (RFC 8216, section 3.3), as far as it
    /// has passed; `true` for other formats.
    #[must_use]
    pub fn has_movie(&self) -> bool {
        if let State::Bmff(check) = &self.state { check.has_movie() } else { true }
    }

    /// Whether an fMP4 unit has a fragment (`moof`), as segments must (RFC 8216, section 3.3), as far as it has passed; `true`
    /// for other formats.
    #[must_use]
    pub fn has_fragment(&self) -> bool {
        if let State::Bmff(check) = &self.state { check.has_fragment() } else { true }
    }

    /// How much time the unit has so far, as far as it tells: a container cannot say that whole packets, frames or fragments are
    /// missing at its end, but their time can. `None` where that is not told, and for text.
    ///
    /// - MPEG-TS: the timestamps of the PID that has most, its last packet taken for as long as its longest;
    /// - packed audio: the samples of its frames;
    /// - fMP4: the durations of the samples of the track of sound or pictures that has most, or its `tfdt` boxes where those span more. That
    ///   takes `clocks`, the [clocks](Self::clocks) of the initialization section, unless the unit has a `moov` of its own.
    #[must_use]
    pub fn covered(&self, clocks: Option<&Clocks>) -> Option<Duration> {
        match &self.state {
            State::Ts(check) => check.covered(),
            State::Bmff(check) => check.covered(clocks),
            State::Packed(check) => check.covered(),
            State::Ttml(_) | State::Opaque => None,
        }
    }

    /// The clocks of the tracks of an fMP4 stream, where this unit has a `moov` that says them and that has passed.
    #[must_use]
    pub fn clocks(&self) -> Option<&Clocks> {
        match &self.state {
            State::Bmff(check) => check.clocks(),
            State::Ts(_) | State::Packed(_) | State::Ttml(_) | State::Opaque => None,
        }
    }

    /// The end of the unit.
    ///
    /// # Errors
    ///
    /// [`Incomplete`] if the container says that bytes are missing. Fetching the rest (a range request) or the unit again helps.
    pub fn finish(self) -> Result<(), Incomplete> {
        if self.got == 0 {
            return Err(Incomplete { kind: IncompleteKind::Empty, expected: 1, got: 0 });
        }
        match self.state {
            State::Ts(check) => check.finish(),
            State::Bmff(check) => check.finish(self.got),
            State::Packed(check) => check.finish(),
            State::Ttml(check) => check.finish(self.got),
            State::Opaque => Ok(()),
        }
    }
}

/// Bytes of a unit that are no packet, box, frame or tag, where one should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where they begin, in bytes from the start of the unit.
    pub at: u64,
    /// The first of them: padding is made of zeros or of 0xFF.
    pub byte: u8,
}

/// So many ticks of a clock.
fn time_of(ticks: u64, per_second: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A unit ended before its container did. Fetching the rest or the whole unit again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// What is not whole.
    pub kind: IncompleteKind,
    /// Bytes that `kind` must have at least, counted as its documentation says.
    pub expected: u64,
    /// Bytes that are there, counted likewise.
    pub got: u64,
}

/// What in a unit is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IncompleteKind {
    /// The unit has no byte.
    Empty,
    /// The last transport packet; bytes of that packet.
    Packet,
    /// A PES packet that states its length; bytes of that PES packet.
    Pes,
    /// A box; bytes of the unit.
    Box,
    /// The sample data a `moof` points to; bytes of the unit.
    Samples,
    /// An audio frame or a tag; bytes of it.
    Frame,
    /// No packet, box or frame was found at all; bytes of the first one.
    NoMedia,
    /// The document; bytes of the unit, of which at least one more is missing.
    Document,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            IncompleteKind::Empty => return f.write_str("the unit is empty"),
            IncompleteKind::NoMedia => return f.write_str("no media found in the unit"),
            IncompleteKind::Packet => "a transport packet",
            IncompleteKind::Pes => "a PES packet",
            IncompleteKind::Box => "a box",
            IncompleteKind::Samples => "the sample data",
            IncompleteKind::Frame => "an audio frame",
            IncompleteKind::Document => "the document",
        };
        write!(f, "{what} is cut: {} of at least {} bytes", self.got, self.expected)
    }
}

impl Error for Incomplete {}
