use std::{sync::Arc, time::Duration};

use kithara_demux::output::TimedMetadata;

use crate::{DecodeError, PcmSpec, SoundCodec};

/// Something that happened in a stream of sound. Reports only; nothing waits for a listener.
///
/// Events of the stream tell what was *decoded*, which is ahead of what is heard by what is buffered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A decoder was made: at the start, and where a run is incompatible with the one before.
    DecoderMade {
        /// What it decodes.
        codec: SoundCodec,
    },
    /// What is decoded has another format than before, or its first. What comes out may be converted.
    SpecDecoded {
        /// Its format.
        spec: PcmSpec,
    },
    /// The worker went to another time.
    Sought {
        /// The target.
        to: Duration,
    },
    /// Packets could not be decoded, or were missing. Silence stands in for them; what lasts longer than a second is passed
    /// over, where a container lost it.
    Damaged {
        /// How many packets and damaged places of the container, since the last such event.
        packets: u64,
    },
    /// A sound callback found less than it needed, in the middle of playback.
    Starved {
        /// Where playback stood when this was noticed.
        at: Duration,
    },
    /// An ID3 tag or event message was found in the units, ahead of when it counts; its time is on presentation time.
    Metadata(Arc<TimedMetadata>),
    /// The last packet was decoded.
    Ended,
    /// The stream cannot go on. A seek tries again.
    Failed(DecodeError),
}
