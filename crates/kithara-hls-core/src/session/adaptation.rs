//! The ladder of the session, the measured link, and when to ask the controller.

use std::{collections::BTreeMap, time::Duration};

use super::{FetchId, Head, MediaId, MediaSelection, SessionOptions, VariantId};
use crate::{
    BitRate,
    abr::{
        AbrController, AbrReason, Estimate, LadderRung, LinkMeter, Progress, Rung, SampleSource, Seen,
        ThroughputEstimator, ThroughputSample,
    },
    playlist::Variant,
    time::Tick,
};

/// What is known of a transfer, for the question whether to wait for it.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    started: Tick,
    head: Option<(Tick, Option<u64>)>,
    bytes: u64,
}

/// A transfer that was asked for before what it brings was made.
///
/// The time it takes says nothing of the link while its origin holds bytes back. A server should send a part only once
/// it can send all of it at full speed (RFC 8216bis section 6.2.6), but what comes as fast as it is encoded looks the same:
/// so a burst can show that the link is faster than thought, not that it is slower. Bytes that come after the playlist
/// has announced the part are made for sure, and are measured as any others.
#[derive(Clone, Copy, Debug, Default)]
struct HeldBack {
    bytes: u64,
    released: bool,
    /// When the first bytes of the burst came, how many there were by then, and when the last ones came.
    burst: Option<(Tick, u64, Tick)>,
}

/// The rest of an announced part is measured if it took this long.
const SHORTEST_REST: Duration = Duration::from_millis(50);

/// What adaptation knows and remembers.
#[derive(Debug)]
pub(super) struct Adaptation {
    controller: AbrController,
    meter: LinkMeter,
    estimator: ThroughputEstimator,
    /// Variants by rung, and what they declare.
    variants: Vec<VariantId>,
    ladder: Vec<LadderRung>,
    excluded: BTreeMap<VariantId, Tick>,
    transfers: BTreeMap<FetchId, Transfer>,
    /// Transfers whose origin may hold bytes back until they are made.
    held_back: BTreeMap<FetchId, HeldBack>,
    /// The variant the application holds.
    selected: Option<VariantId>,
    switched: Option<Tick>,
    goal: Duration,
    audio_only: bool,
}

/// What a decision about the next segment is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) current: VariantId,
    pub(super) buffered: Duration,
    pub(super) segment: Duration,
    pub(super) segments_left: Option<u64>,
}

impl Adaptation {
    pub(super) fn new(options: &SessionOptions) -> Self {
        Self {
            controller: AbrController::new(&options.abr),
            meter: LinkMeter::new(),
            estimator: ThroughputEstimator::new(options.abr.initial_throughput),
            variants: Vec::new(),
            ladder: Vec::new(),
            excluded: BTreeMap::new(),
            transfers: BTreeMap::new(),
            held_back: BTreeMap::new(),
            selected: None,
            switched: None,
            goal: options.playback.buffer_goal,
            audio_only: options.playback.selection == MediaSelection::AudioOnly,
        }
    }

    /// Sorts the variants into a ladder.
    pub(super) fn take_ladder<'a>(&mut self, variants: impl IntoIterator<Item = &'a Variant>) {
        let rung = |variant: &Variant| LadderRung {
            average_bandwidth: variant.average_bandwidth,
            ..LadderRung::new(variant.bandwidth)
        };
        let variants: Vec<&Variant> = variants.into_iter().collect();
        let mut rungs: Vec<(VariantId, LadderRung)> = variants.iter().map(|it| (it.id, rung(it))).collect();
        rungs.sort_by_key(|(_, rung)| rung.rate());
        (self.variants, self.ladder) = rungs.into_iter().unzip();
        // Nothing that can be seen has a picture or declares one: a player of sound.
        self.audio_only |= variants.iter().all(|it| it.resolution.is_none()) && !variants.is_empty();
    }

    /// The variant to open.
    pub(super) fn first(&mut self, now: Tick) -> Option<VariantId> {
        self.refresh(now);
        let seen = self.seen(None, Duration::ZERO, Duration::from_secs(4), None, now);
        let decision = self.controller.decide(&seen)?;
        self.variants.get(decision.target.0).copied()
    }

    /// Another variant for the next segment, if that is better.
    pub(super) fn decide(&mut self, now: Tick, situation: Situation) -> Option<(VariantId, AbrReason)> {
        self.refresh(now);
        let current = self.rung(situation.current);
        let Situation { buffered, segment, segments_left, .. } = situation;
        let seen = self.seen(current, buffered, segment, segments_left, now);
        let decision = self.controller.decide(&seen).filter(|decision| decision.changed)?;
        Some((*self.variants.get(decision.target.0)?, decision.reason))
    }

    /// Whether a segment under way should be fetched from a lower variant instead.
    pub(super) fn abandon(
        &mut self,
        now: Tick,
        fetch: FetchId,
        situation: Situation,
        abandoned: u32,
    ) -> Option<VariantId> {
        self.refresh(now);
        let transfer = self.transfers.get(&fetch)?;
        let progress = Progress {
            ladder: &self.ladder,
            rung: self.rung(situation.current)?,
            estimate: self.estimator.estimate(),
            received: transfer.bytes,
            length: transfer.head.and_then(|(_, len)| len),
            elapsed: now.since(transfer.started),
            time_to_first_byte: transfer.head.map(|(at, _)| at.since(transfer.started)),
            buffered: situation.buffered,
            segment_duration: situation.segment,
            abandoned,
            audio_only: self.audio_only,
        };
        let target = self.controller.progress(&progress)?.target;
        self.variants.get(target.0).copied()
    }

    /// Units are planned from `id` now.
    pub(super) fn applied(&mut self, _id: VariantId, now: Tick) {
        self.switched = Some(now);
    }

    /// The application wants this variant.
    pub(super) fn hold(&mut self, id: VariantId) {
        self.selected = Some(id);
    }

    /// The application lets adaptation choose again.
    pub(super) fn release(&mut self) {
        self.selected = None;
    }

    /// Leaves a stream out until then.
    pub(super) fn exclude(&mut self, id: MediaId, until: Tick) {
        if let MediaId::Variant(id) = id {
            self.excluded.insert(id, until);
        }
    }

    pub(super) fn started(&mut self, now: Tick, fetch: FetchId) {
        self.transfers.insert(fetch, Transfer { started: now, head: None, bytes: 0 });
        self.meter.transfer_started(fetch.0, SampleSource::Network, time(now));
    }

    pub(super) fn head(&mut self, now: Tick, fetch: FetchId, head: &Head) {
        if head.from_store {
            // It does not touch the link, so it is not followed any more.
            self.transfers.remove(&fetch);
            self.meter.transfer_started(fetch.0, SampleSource::Cache, time(now));
        } else if let Some(transfer) = self.transfers.get_mut(&fetch) {
            transfer.head = Some((now, head.wire_len));
            self.meter.transfer_answered(fetch.0, head.time_to_first_byte, time(now));
        }
    }

    /// A transfer was asked for whose origin may hold bytes back until they are made.
    pub(super) fn asked_ahead(&mut self, fetch: FetchId) {
        self.held_back.insert(fetch, HeldBack::default());
    }

    /// What such a transfer is about to bring was announced: it is made.
    pub(super) fn announced(&mut self, now: Tick, fetch: FetchId) {
        self.end_burst(fetch);
        if let Some(transfer) = self.held_back.get_mut(&fetch)
            && !std::mem::replace(&mut transfer.released, true)
        {
            self.meter.transfer_released(fetch.0, time(now));
        }
    }

    /// What was announced of such a transfer is there; the next bytes may be held back again.
    pub(super) fn caught_up(&mut self, now: Tick, fetch: FetchId) {
        let Some(transfer) = self.held_back.get_mut(&fetch) else { return };
        if std::mem::take(&mut transfer.released)
            && let Some(sample) = self.meter.transfer_ended(fetch.0, time(now))
        {
            // A rest that took no time was on its way when the news came, and shows nothing.
            if sample.elapsed.saturating_sub(sample.time_to_first_byte) >= SHORTEST_REST {
                self.estimator.add(&sample);
            }
        }
    }

    fn progress_held_back(&mut self, now: Tick, fetch: FetchId, bytes: u64) {
        let Some(transfer) = self.held_back.get_mut(&fetch) else { return };
        let more = bytes.saturating_sub(transfer.bytes);
        transfer.bytes = transfer.bytes.max(bytes);
        if transfer.released {
            self.meter.transfer_progress(fetch.0, more, time(now));
        } else if more > 0 {
            let (first, until_then, _) = transfer.burst.unwrap_or((now, bytes, now));
            transfer.burst = Some((first, until_then, now));
        }
    }

    fn end_burst(&mut self, fetch: FetchId) {
        let Some(transfer) = self.held_back.get_mut(&fetch) else { return };
        let Some((first, until_then, last)) = transfer.burst.take() else { return };
        let (bytes, elapsed) = (transfer.bytes.saturating_sub(until_then), last.since(first));
        if bytes > 0 && !elapsed.is_zero() {
            let source = SampleSource::Paced;
            self.estimator.add(&ThroughputSample { bytes, elapsed, time_to_first_byte: Duration::ZERO, source });
        }
    }

    pub(super) fn progress(&mut self, now: Tick, fetch: FetchId, bytes: u64) {
        self.progress_held_back(now, fetch, bytes);
        let Some(transfer) = self.transfers.get_mut(&fetch) else { return };
        let more = bytes.saturating_sub(transfer.bytes);
        transfer.bytes = bytes;
        if more > 0 {
            self.meter.transfer_progress(fetch.0, more, time(now));
        }
    }

    /// A transfer ended, whole or not. `wire_len` is what a whole one brought.
    pub(super) fn ended(&mut self, now: Tick, fetch: FetchId, wire_len: Option<u64>) {
        if let Some(len) = wire_len {
            self.progress(now, fetch, len);
        }
        self.caught_up(now, fetch);
        self.end_burst(fetch);
        self.held_back.remove(&fetch);
        self.transfers.remove(&fetch);
        if let Some(sample) = self.meter.transfer_ended(fetch.0, time(now)) {
            self.estimator.add(&sample);
        }
    }

    /// The measured rate of the link.
    pub(super) fn estimate(&self) -> Option<BitRate> {
        self.estimator.estimate().map(|estimate: Estimate| estimate.throughput)
    }

    /// The time in which answers usually begin; zero while that is not known.
    pub(super) fn round_trip(&self) -> Duration {
        self.estimator.estimate().map_or(Duration::ZERO, |estimate| estimate.round_trip)
    }

    fn rung(&self, id: VariantId) -> Option<Rung> {
        self.variants.iter().position(|variant| *variant == id).map(Rung)
    }

    fn refresh(&mut self, now: Tick) {
        self.excluded.retain(|_, until| now < *until);
        for (id, rung) in self.variants.iter().zip(&mut self.ladder) {
            rung.excluded = self.excluded.contains_key(id);
        }
    }

    fn seen(
        &self,
        current: Option<Rung>,
        buffered: Duration,
        segment_duration: Duration,
        segments_left: Option<u64>,
        now: Tick,
    ) -> Seen<'_> {
        Seen {
            ladder: &self.ladder,
            current,
            selected: self.selected.and_then(|id| self.rung(id)),
            estimate: self.estimator.estimate(),
            buffered,
            buffer_goal: self.goal,
            segment_duration,
            segments_left,
            since_switch: self.switched.map(|at| now.since(at)),
            audio_only: self.audio_only,
        }
    }
}

fn time(tick: Tick) -> Duration {
    Duration::from_nanos(tick.as_nanos())
}
