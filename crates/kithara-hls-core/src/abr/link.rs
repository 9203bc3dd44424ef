//! Measuring a link that several transfers share.

use std::{collections::BTreeMap, time::Duration};

use super::{SampleSource, ThroughputSample};

/// Turns the life of transfers into [`ThroughputSample`]s of the link they share.
///
/// Bytes of all transfers are added up over the time in which any of them was receiving, so each second counts
/// once: four parallel transfers show the rate of the link and not a quarter of it. Waits for a first byte count
/// as receiving only while another transfer receives.
///
/// ```text
/// transfer 1   ....##########           .  waiting for the first byte
/// transfer 2      .....###########      #  receiving
/// receiving        |========|====|
///                    sample 1  sample 2
/// ```
///
/// Times count from any fixed moment and must not go back; one that does is taken as the latest seen. Transfers
/// are named by the caller: a name that is not under way is ignored, a name started twice starts anew.
#[derive(Clone, Debug, Default)]
pub struct LinkMeter {
    transfers: BTreeMap<u64, Transfer>,
    now: Duration,
    wait: Duration,
    sample: Pending,
}

#[derive(Clone, Copy, Debug)]
struct Transfer {
    started: Duration,
    paced: bool,
    receives: bool,
}

/// What was measured since the last sample.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    /// Bytes that arrived while the clock ran.
    clocked: u64,
    /// Bytes that came together with a first byte on an idle link: no time was measured for them.
    unclocked: u64,
    receiving: Duration,
    /// The shortest wait for a first byte: the others queued behind bytes of their neighbours.
    wait: Option<Duration>,
    /// Whether any bytes came as fast as the link could bring them.
    unpaced: bool,
}

impl LinkMeter {
    /// A meter of an idle link.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request was sent. What comes from a cache does not touch the link and is not followed.
    pub fn transfer_started(&mut self, id: u64, source: SampleSource, now: Duration) {
        self.advance(now);
        self.transfers.remove(&id);
        if source != SampleSource::Cache {
            let paced = source == SampleSource::Paced;
            self.transfers.insert(id, Transfer { started: self.now, paced, receives: false });
        }
    }

    /// Its answer begins, and took so long from the request that got it: what came before, refusals and the rests after
    /// them, says nothing of the link.
    pub fn transfer_answered(&mut self, id: u64, waited: Duration, now: Duration) {
        self.advance(now);
        if let Some(transfer) = self.transfers.get_mut(&id) {
            transfer.started = transfer.started.max(self.now.saturating_sub(waited));
        }
    }

    /// What is left of a transfer comes from now on as fast as the link brings it: its origin had held it back before.
    /// There was no wait for its first byte that would say anything of the link.
    pub fn transfer_released(&mut self, id: u64, now: Duration) {
        self.advance(now);
        self.transfers.insert(id, Transfer { started: self.now, paced: false, receives: true });
    }

    /// `bytes` more of its body arrived.
    pub fn transfer_progress(&mut self, id: u64, bytes: u64, now: Duration) {
        self.advance(now);
        let idle = !self.receives();
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if !transfer.receives {
            transfer.receives = true;
            let wait = self.now.saturating_sub(transfer.started);
            self.sample.wait = Some(self.sample.wait.map_or(wait, |shortest| shortest.min(wait)));
        }
        self.sample.unpaced |= !transfer.paced;
        let account = if idle { &mut self.sample.unclocked } else { &mut self.sample.clocked };
        *account = account.saturating_add(bytes);
    }

    /// It ended, whole or not. Returns what the link did since the last sample, or `None` if it received nothing.
    pub fn transfer_ended(&mut self, id: u64, now: Duration) -> Option<ThroughputSample> {
        self.advance(now);
        self.transfers.remove(&id)?;
        let Pending { clocked, unclocked, receiving, wait, unpaced } = std::mem::take(&mut self.sample);
        self.wait = wait.unwrap_or(self.wait);
        // Bytes that no time was measured for would make the link look faster than it is, unless they are most
        // of what there is: then the estimator judges them by the wait that they ended.
        let bytes = if clocked >= unclocked { clocked } else { clocked.saturating_add(unclocked) };
        (bytes > 0).then_some(ThroughputSample {
            bytes,
            elapsed: self.wait.saturating_add(receiving),
            time_to_first_byte: self.wait,
            source: if unpaced { SampleSource::Network } else { SampleSource::Paced },
        })
    }

    /// The number of transfers under way.
    pub fn transfers(&self) -> usize {
        self.transfers.len()
    }

    fn receives(&self) -> bool {
        self.transfers.values().any(|transfer| transfer.receives)
    }

    fn advance(&mut self, now: Duration) {
        let now = now.max(self.now);
        if self.receives() {
            self.sample.receiving = self.sample.receiving.saturating_add(now - self.now);
        }
        self.now = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a transfer at a millisecond.
    enum Event {
        Start(u64),
        StartPaced(u64),
        StartCached(u64),
        Answer(u64, u64),
        Bytes(u64, u64),
        End(u64),
    }
    use Event::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn samples(events: &[(u64, Event)]) -> Vec<ThroughputSample> {
        let mut meter = LinkMeter::new();
        let mut samples = Vec::new();
        for (at, event) in events {
            match *event {
                Start(id) => meter.transfer_started(id, SampleSource::Network, ms(*at)),
                StartPaced(id) => meter.transfer_started(id, SampleSource::Paced, ms(*at)),
                StartCached(id) => meter.transfer_started(id, SampleSource::Cache, ms(*at)),
                Answer(id, waited) => meter.transfer_answered(id, ms(waited), ms(*at)),
                Bytes(id, bytes) => meter.transfer_progress(id, bytes, ms(*at)),
                End(id) => samples.extend(meter.transfer_ended(id, ms(*at))),
            }
        }
        assert_eq!(meter.transfers(), 0);
        samples
    }

    /// Bytes, milliseconds of receiving, milliseconds of waiting.
    #[track_caller]
    fn check(events: &[(u64, Event)], want: &[(u64, u64, u64)]) {
        let found: Vec<_> = samples(events)
            .into_iter()
            .map(|it| (it.bytes, it.elapsed - it.time_to_first_byte, it.time_to_first_byte))
            .collect();
        let want: Vec<_> = want.iter().map(|(bytes, receiving, wait)| (*bytes, ms(*receiving), ms(*wait))).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_single_transfer_is_its_own_sample() {
        check(
            &[(0, Start(1)), (50, Bytes(1, 0)), (150, Bytes(1, 500)), (250, Bytes(1, 500)), (250, End(1))],
            &[(1_000, 200, 50)],
        );
    }

    #[test]
    fn parallel_transfers_show_the_rate_of_the_link() {
        // Four transfers share 1,000 bytes per 100 ms; each alone saw a quarter of it.
        let mut events = Vec::new();
        events.extend((1..=4).map(|id| (0, Start(id))));
        events.extend((1..=4).map(|id| (20, Bytes(id, 0))));
        events.extend((0..10).flat_map(|step| (1..=4).map(move |id| (120 + 100 * step, Bytes(id, 250)))));
        events.extend((1..=4).map(|id| (1_020, End(id))));
        check(&events, &[(10_000, 1_000, 20)]);
    }

    #[test]
    fn every_second_counts_once_when_transfers_overlap() {
        check(
            &[
                (0, Start(1)),
                (10, Bytes(1, 0)),
                (100, Start(2)),
                (110, Bytes(1, 1_000)),
                (160, Bytes(2, 0)),
                (210, Bytes(1, 500)),
                (210, Bytes(2, 500)),
                (210, End(1)),
                (310, Bytes(2, 1_000)),
                (310, End(2)),
            ],
            &[(2_000, 200, 10), (1_000, 100, 10)],
        );
    }

    #[test]
    fn idle_time_between_transfers_is_not_receiving() {
        check(
            &[
                (0, Start(1)),
                (10, Bytes(1, 0)),
                (20, Bytes(1, 100)),
                (20, End(1)),
                (5_000, Start(2)),
                (5_030, Bytes(2, 0)),
                (5_040, Bytes(2, 100)),
                (5_040, End(2)),
            ],
            &[(100, 10, 10), (100, 10, 30)],
        );
    }

    #[test]
    fn bytes_that_came_with_the_first_one_are_left_out_of_the_rate() {
        check(&[(0, Start(1)), (50, Bytes(1, 100)), (150, Bytes(1, 900)), (150, End(1))], &[(900, 100, 50)]);
    }

    #[test]
    fn a_body_that_came_in_one_piece_still_counts() {
        check(&[(0, Start(1)), (50, Bytes(1, 16_000)), (50, End(1))], &[(16_000, 0, 50)]);
    }

    #[test]
    fn a_transfer_that_was_refused_for_long_does_not_make_the_link_slow() {
        check(
            &[(0, Start(1)), (12_050, Answer(1, 50)), (12_050, Bytes(1, 16_000)), (12_050, End(1))],
            &[(16_000, 0, 50)],
        );
        check(&[(0, Start(1)), (50, Answer(1, 80)), (60, Bytes(1, 16_000)), (60, End(1))], &[(16_000, 0, 60)]);
    }

    #[test]
    fn nothing_received_is_no_sample() {
        check(&[(0, Start(1)), (50, End(1)), (60, End(2)), (70, Bytes(3, 5))], &[]);
    }

    #[test]
    fn a_cache_hit_beside_a_download_is_not_seen() {
        check(
            &[
                (0, Start(1)),
                (0, StartCached(2)),
                (10, Bytes(1, 0)),
                (20, Bytes(2, 1_000_000)),
                (30, End(2)),
                (110, Bytes(1, 1_000)),
                (110, End(1)),
            ],
            &[(1_000, 100, 10)],
        );
    }

    #[test]
    fn a_sample_is_paced_only_if_all_of_its_bytes_were() {
        let alone = samples(&[(0, StartPaced(1)), (10, Bytes(1, 9)), (10, End(1))]);
        assert_eq!(alone[0].source, SampleSource::Paced);
        let beside = samples(&[
            (0, StartPaced(1)),
            (0, Start(2)),
            (10, Bytes(1, 9)),
            (20, Bytes(2, 9)),
            (20, End(2)),
            (30, End(1)),
        ]);
        assert_eq!(beside[0].source, SampleSource::Network);
    }

    #[test]
    fn what_was_held_back_by_its_origin_is_measured_from_its_release() {
        let mut meter = LinkMeter::new();
        meter.transfer_released(1, ms(1_000));
        meter.transfer_progress(1, 500, ms(1_100));
        let sample = meter.transfer_ended(1, ms(1_100)).expect("bytes arrived");
        assert_eq!((sample.bytes, sample.elapsed, sample.time_to_first_byte), (500, ms(100), ms(0)));
    }

    #[test]
    fn a_clock_that_goes_back_does_no_harm() {
        check(&[(100, Start(1)), (50, Bytes(1, 10)), (20, Bytes(1, 10)), (120, End(1))], &[(10, 20, 0)]);
    }
}
