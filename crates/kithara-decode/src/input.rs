//! What packets come out of: units through the push demuxers, or a file through a container reader.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use kithara_demux::output::TimedMetadata;
use kithara_stream::{Feed, RunReason};

use crate::{
    SoundCodec,
    error::DecodeError,
    file::FileInput,
    format::{CodedPacket, Format},
    units::UnitInput,
    wake::Bell,
};

/// One thing found in the input.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A run begins.
    Run {
        reason: RunReason,
        discard_until: Option<Duration>,
    },
    /// Packets are in this format from here on.
    Format(Format),
    Packet(CodedPacket),
    /// Something in the container could not be read.
    Damage,
    /// Not sound: for whoever listens to events.
    Metadata(Arc<TimedMetadata>),
}

#[derive(Debug)]
pub(crate) enum Input {
    Units(Box<UnitInput>),
    File(Box<FileInput>),
}

impl Input {
    pub(crate) fn new(feed: Feed, bell: &Arc<Bell>) -> Self {
        match feed {
            Feed::Units(units) => Self::Units(Box::new(UnitInput::new(units))),
            Feed::Bytes(source) => Self::File(Box::new(FileInput::new(source, Arc::clone(bell)))),
        }
    }

    /// The next thing; `None` at the end, until a seek. A file blocks instead of pending, and gives up with `Pending`
    /// when the bell is interrupted.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Found>, DecodeError>> {
        match self {
            Self::Units(units) => units.poll(cx),
            Self::File(file) => file.poll(),
        }
    }

    /// Goes far enough before `time` for the codec to have settled there; a run begins. `codec` is what was decoded last.
    pub(crate) fn seek(&mut self, time: Duration, codec: Option<SoundCodec>) {
        /// Suits the codecs that units come in, as long as it is not known which.
        const MOST: Duration = SoundCodec::Mp3.settling();
        match self {
            Self::Units(units) => units.seek(time.saturating_sub(codec.map_or(MOST, SoundCodec::settling))),
            Self::File(file) => file.seek(time),
        }
    }

    /// Playback has come this far.
    pub(crate) fn played_to(&mut self, time: Duration) {
        if let Self::Units(units) = self {
            units.played_to(time);
        }
    }

    /// How long the whole presentation lasts, where the input itself says so.
    pub(crate) fn duration(&self) -> Option<Duration> {
        match self {
            Self::Units(_) => None,
            Self::File(file) => file.duration(),
        }
    }
}
