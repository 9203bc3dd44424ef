//! Packets in, pieces of sound out: decoders are made and kept, frames placed, trimmed and finished.

use std::{
    num::NonZeroU32,
    ops::RangeInclusive,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use kithara_demux::{Timestamp, output::TimedMetadata};
use kithara_stream::{Feed, RunReason};

use crate::{
    Output, PcmSpec, SoundCodec,
    clock::{FrameClock, Joint},
    codec::{Codec, Damaged},
    error::{DecodeError, DecodeErrorKind},
    format::{CodedPacket, Format},
    input::{Found, Input},
    output::{Finisher, Piece},
    sbr::SbrGate,
    wake::Bell,
};

/// Packets that may fail one after the other before a decoder that never gave anything is given up.
const MAX_FAILURES: u64 = 50;

/// Samples a second that sound has. What says something else would have filters and silence of any size made for it.
pub(crate) const RATES: RangeInclusive<u32> = 1_000..=768_000;

/// What happened so far. Only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    /// Packets that could not be decoded, and places where the container was damaged or sound was missing.
    pub(crate) damaged: u64,
    /// The packets among them.
    failed: u64,
    /// Decoders made.
    pub(crate) decoders: u64,
    pub(crate) codec: Option<SoundCodec>,
    /// Format of what was decoded last, before mixing and resampling.
    pub(crate) decoded: Option<PcmSpec>,
}

#[derive(Debug)]
pub(crate) struct Decoder {
    gate: SbrGate,
    active: Option<Active>,
    clock: FrameClock,
    finisher: Finisher,
    /// Frames of the current packet.
    pcm: Vec<f32>,
    /// Target of a seek whose run has not begun yet.
    seeking: Option<Duration>,
    /// Damage was counted that the next gap comes from.
    is_gap_told: bool,
    is_over: bool,
    tally: Tally,
    /// Metadata on its way to listeners.
    found: Vec<Arc<TimedMetadata>>,
}

#[derive(Debug)]
struct Active {
    format: Format,
    codec: Codec,
    spec: Option<PcmSpec>,
    /// Packets that failed since the last one that did not.
    failures: u64,
}

/// A rate that no sound has.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0} samples a second are no sound")]
struct NotOfSound(u32);

impl Decoder {
    pub(crate) fn new(feed: Feed, output: Output, bell: &Arc<Bell>) -> Self {
        Self {
            gate: SbrGate::new(Input::new(feed, bell)),
            active: None,
            clock: FrameClock::default(),
            finisher: Finisher::new(output),
            pcm: Vec::new(),
            seeking: None,
            is_gap_told: false,
            is_over: false,
            tally: Tally::default(),
            found: Vec::new(),
        }
    }

    /// Metadata found since the last call.
    pub(crate) fn take_metadata(&mut self) -> Vec<Arc<TimedMetadata>> {
        std::mem::take(&mut self.found)
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn duration(&mut self) -> Option<Duration> {
        self.gate.input().duration()
    }

    pub(crate) fn samples(&self, piece: &Piece) -> &[f32] {
        self.finisher.samples(piece)
    }

    /// The first frame that comes out from now on is the one at `time`.
    pub(crate) fn seek(&mut self, time: Duration) {
        self.gate.clear();
        self.gate.input().seek(time, self.tally.codec);
        self.finisher.clear();
        self.seeking = Some(time);
        self.is_over = false;
    }

    /// Playback has come this far.
    pub(crate) fn played_to(&mut self, time: Duration) {
        self.gate.input().played_to(time);
    }

    /// The next piece of sound, `None` at the end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, DecodeError>> {
        loop {
            if let Some(piece) = self.finisher.pop() {
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.is_over {
                return Poll::Ready(Ok(None));
            }
            match self.gate.poll(cx)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Found::Run { reason, discard_until })) => self.begin_run(reason, discard_until),
                Poll::Ready(Some(Found::Format(format))) => self.use_format(format)?,
                Poll::Ready(Some(Found::Packet(packet))) => self.decode(&packet)?,
                Poll::Ready(Some(Found::Damage)) => {
                    self.tally.damaged += 1;
                    self.is_gap_told = true;
                    self.clock.lose();
                }
                Poll::Ready(Some(Found::Metadata(found))) => self.found.push(found),
                Poll::Ready(None) => {
                    self.is_over = true;
                    self.finisher.finish()?;
                    self.check_heard()?;
                }
            }
        }
    }

    fn begin_run(&mut self, reason: RunReason, discard_until: Option<Duration>) {
        let joint = Joint::of(self.seeking.take(), reason, discard_until);
        if joint != Joint::Continues
            && let Some(active) = &mut self.active
        {
            active.codec.reset();
        }
        self.clock.begin(joint);
    }

    fn use_format(&mut self, format: Format) -> Result<(), DecodeError> {
        if self.active.as_ref().is_some_and(|active| active.format.is_compatible(&format)) {
            return Ok(());
        }
        tracing::debug!(codec = %format.codec, rate = format.sample_rate, "new decoder");
        let codec = Codec::new(&format)?;
        self.tally.decoders += 1;
        self.tally.codec = Some(format.codec);
        self.active = Some(Active { format, codec, spec: None, failures: 0 });
        Ok(())
    }

    fn decode(&mut self, packet: &CodedPacket) -> Result<(), DecodeError> {
        let Some(active) = &mut self.active else { return Ok(()) };
        self.tally.packets += 1;
        let spec = match active.codec.decode(&packet.data, &mut self.pcm) {
            Ok(spec) if !RATES.contains(&spec.sample_rate) => {
                let refused = DecodeError::because(DecodeErrorKind::Container, NotOfSound(spec.sample_rate));
                return Err(refused.of_codec(active.format.codec));
            }
            Ok(spec) => {
                active.failures = 0;
                active.spec = Some(spec);
                spec
            }
            Err(damaged) => {
                self.tally.damaged += 1;
                self.tally.failed += 1;
                active.failures += 1;
                match active.stand_in(packet, damaged, &mut self.pcm)? {
                    Some(spec) => spec,
                    None => return Ok(()),
                }
            }
        };
        self.tally.decoded = Some(spec);
        let Some(rate) = NonZeroU32::new(spec.sample_rate) else { return Ok(()) };
        let frames = self.pcm.len() / spec.width();
        let trim = active.trim(packet, rate, frames);
        let heard = self.clock.place(packet.pts, rate, frames, trim);
        let is_told = std::mem::take(&mut self.is_gap_told);
        if heard.missing > 0 {
            self.tally.damaged += u64::from(!is_told);
            self.finisher.push(spec, None, &vec![0.0; heard.missing * spec.width()])?;
        }
        let samples = heard.frames.start * spec.width()..heard.frames.end * spec.width();
        self.finisher.push(spec, heard.is_jump.then_some(heard.at), &self.pcm[samples])
    }

    /// A stream of which no packet could be decoded did not end, it failed.
    fn check_heard(&self) -> Result<(), DecodeError> {
        if self.tally.packets > 0 && self.tally.packets == self.tally.failed {
            let failed = DecodeError::new(DecodeErrorKind::Container);
            return Err(self.tally.codec.map_or(failed.clone(), |codec| failed.of_codec(codec)));
        }
        Ok(())
    }
}

impl Active {
    /// Silence as long as a packet that could not be decoded; `None` where the format of it is not known yet.
    fn stand_in(
        &self,
        packet: &CodedPacket,
        damaged: Damaged,
        pcm: &mut Vec<f32>,
    ) -> Result<Option<PcmSpec>, DecodeError> {
        /// Silence for one packet is no longer than this, whatever its container says.
        const LONGEST: Duration = Duration::from_secs(1);
        tracing::debug!(%damaged, len = packet.data.len(), "packet passed over");
        let Some(spec) = self.spec else {
            if self.failures < MAX_FAILURES {
                return Ok(None);
            }
            let refused = DecodeError::because(DecodeErrorKind::UnsupportedCodec, damaged);
            return Err(refused.of_codec(self.format.codec));
        };
        let Some(rate) = NonZeroU32::new(spec.sample_rate) else { return Ok(None) };
        let frames = frames_of(packet, rate).min(LONGEST.as_secs() * u64::from(rate.get()));
        pcm.clear();
        pcm.resize(usize::try_from(frames).unwrap_or(0) * spec.width(), 0.0);
        Ok(Some(spec))
    }

    /// What is not heard of a packet, in frames as they are decoded.
    fn trim(&self, packet: &CodedPacket, rate: NonZeroU32, frames: usize) -> (u64, u64) {
        let stated = u64::from(self.format.sample_rate);
        let scale = |frames: u32| match stated {
            0 => u64::from(frames),
            stated => u64::from(frames) * u64::from(rate.get()) / stated,
        };
        let stated = if packet.is_duration_exact { frames_of(packet, rate) } else { u64::MAX };
        (scale(packet.trim.0), scale(packet.trim.1).saturating_add((frames as u64).saturating_sub(stated)))
    }
}

/// Frames that a packet is said to last.
fn frames_of(packet: &CodedPacket, rate: NonZeroU32) -> u64 {
    let ticks = i64::try_from(packet.duration).unwrap_or(i64::MAX);
    u64::try_from(Timestamp::new(ticks, packet.pts.timescale).rescale(rate)).unwrap_or(0)
}
