//! Plays recorded networks in virtual time and prints what each rule makes of them.
//!
//! ```text
//! cargo run --example abr_sim -- --traces DIR --ladder FILE [--scale FACTOR] [--buffer SECONDS]
//!                                [--hold-back SECONDS] [--seek-every SEGMENTS] [--audio]
//! ```
//!
//! A trace is a CSV file of `duration_ms,bandwidth_kbps,latency_ms`, a ladder a JSON object of
//! `segment_duration_ms`, `bitrates_kbps` and `segment_sizes_bits`. Beside the library's own rules play three that
//! are easy to compare with: the lowest rung, the classic rule of throughput alone, and the threshold rule as it
//! is found elsewhere.

#![expect(clippy::print_stdout, reason = "a table is what it is for")]
#![expect(clippy::disallowed_methods, reason = "the example is the shell: it reads the files the library does not")]

use std::{env, error::Error, fs, path::Path, time::Duration};

use kithara_hls_core::abr::{
    AbrOptions, AbrProfile, AbrStrategy, LadderRung, Rung, ThroughputSample,
    sim::{Adaptation, Arriving, Metrics, Moment, NetworkTrace, Player, Presentation, SimOptions, play},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read(env::args().skip(1))?;
    let ladder = serde_json::from_str(&fs::read_to_string(&arguments.ladder)?)?;
    let set = Set {
        presentation: Presentation::from_json(&ladder)?,
        traces: read_traces(Path::new(&arguments.traces), arguments.scale)?,
        options: arguments.options,
    };
    let audio = arguments.audio;
    let player = |change: fn(&mut AbrOptions)| {
        let mut options = AbrOptions::default();
        change(&mut options);
        move || Player::new(&options, audio)
    };
    println!("{} traces, {} segments", set.traces.len(), set.presentation.segments());
    println!("{HEADER}");
    set.print("look-ahead", player(|_| {}));
    set.print("look-ahead, audio", player(|options| options.profile = AbrProfile::Audio));
    set.print("threshold", player(|options| options.strategy = AbrStrategy::Threshold));
    set.print("throughput", Throughput::default);
    set.print("threshold, elsewhere", ElsewhereThreshold::default);
    set.print("lowest", || Lowest);
    Ok(())
}

const HEADER: &str = "rule                    kbps  ln util  rebuf %  stalls  start s  switches   QoE_lin   QoE_log  \
                      QoE_linR  aborts  wasted %";

/// One ladder over all traces of a folder.
struct Set {
    presentation: Presentation,
    traces: Vec<NetworkTrace>,
    options: SimOptions,
}

impl Set {
    fn print<A: Adaptation>(&self, name: &str, make: impl Fn() -> A) {
        let session = |trace: &NetworkTrace| {
            play(&self.presentation, trace, &self.options, &mut make()).metrics(self.presentation.ladder())
        };
        let m = Metrics::mean(&self.traces.iter().map(session).collect::<Vec<_>>());
        println!(
            "{name:<20} {:>7.0} {:>8.3} {:>8.3} {:>7.2} {:>8.2} {:>9.1} {:>9.4} {:>9.4} {:>9.4} {:>7.2} {:>9.1}",
            m.kbps,
            m.utility,
            m.stall_ratio * 100.0,
            m.stalls,
            m.start_up,
            m.switches,
            m.qoe_lin,
            m.qoe_log,
            m.qoe_lin_top,
            m.abandoned,
            m.wasted * 100.0
        );
    }
}

/// What stands on the command line.
struct Arguments {
    traces: String,
    ladder: String,
    scale: f64,
    audio: bool,
    options: SimOptions,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let (mut traces, mut ladder, mut scale, mut audio) = (None, None, 1.0, false);
        let mut options = SimOptions::default();
        while let Some(word) = words.next() {
            if word == "--audio" {
                audio = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let seconds = || -> Result<Duration, Box<dyn Error>> { Ok(Duration::try_from_secs_f64(value.parse()?)?) };
            match word.as_str() {
                "--buffer" => options.buffer_limit = seconds()?,
                "--hold-back" => options.live_hold_back = Some(seconds()?),
                "--seek-every" => options.seek_every = Some(value.parse()?),
                "--scale" => scale = value.parse()?,
                "--traces" => traces = Some(value),
                "--ladder" => ladder = Some(value),
                _ => return Err(format!("{word} is not known").into()),
            }
        }
        let traces = traces.ok_or("--traces DIR is missing")?;
        let ladder = ladder.ok_or("--ladder FILE is missing")?;
        Ok(Self { traces, ladder, scale, audio, options })
    }
}

fn read_traces(folder: &Path, scale: f64) -> Result<Vec<NetworkTrace>, Box<dyn Error>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    let read = |path: &std::path::PathBuf| -> Result<NetworkTrace, Box<dyn Error>> {
        let trace =
            NetworkTrace::parse(&fs::read_to_string(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(if scale == 1.0 { trace } else { trace.scaled(scale) })
    };
    paths.iter().map(read).collect()
}

/// Always the lowest rung: what the network leaves no rule a choice about.
struct Lowest;

impl Adaptation for Lowest {
    fn choose(&mut self, _: &Moment<'_>) -> Rung {
        Rung(0)
    }

    fn measured(&mut self, _: &ThroughputSample) {}
}

/// Two averages of the throughput by half-life in seconds of receiving; the smaller one counts.
struct Averages<const FAST_MS: u64, const SLOW_MS: u64> {
    sums: [f64; 2],
    weight: f64,
}

impl<const FAST_MS: u64, const SLOW_MS: u64> Default for Averages<FAST_MS, SLOW_MS> {
    fn default() -> Self {
        Self { sums: [0.0; 2], weight: 0.0 }
    }
}

impl<const FAST_MS: u64, const SLOW_MS: u64> Averages<FAST_MS, SLOW_MS> {
    const HALF_LIVES: [f64; 2] = [FAST_MS as f64 / 1e3, SLOW_MS as f64 / 1e3];

    fn add(&mut self, bits: f64, time: f64) {
        for (sum, half_life) in self.sums.iter_mut().zip(Self::HALF_LIVES) {
            let keep = 0.5_f64.powf(time / half_life);
            *sum = keep * *sum + (1.0 - keep) * bits / time;
        }
        self.weight += time;
    }

    fn least(&self) -> f64 {
        let value = |(sum, half_life): (&f64, f64)| sum / (1.0 - 0.5_f64.powf(self.weight / half_life));
        self.sums.iter().zip(Self::HALF_LIVES).map(value).fold(f64::INFINITY, f64::min)
    }
}

fn highest_within(ladder: &[LadderRung], rate: f64) -> Rung {
    Rung(ladder.iter().rposition(|rung| rung.rate().as_f64() <= rate).unwrap_or(0))
}

fn received(sample: &ThroughputSample) -> (f64, f64) {
    (sample.bytes as f64 * 8.0, (sample.elapsed - sample.time_to_first_byte).as_secs_f64().max(1e-6))
}

/// Nine tenths of the measured throughput, whatever is buffered; gives up what would take 1.8 segments.
#[derive(Default)]
struct Throughput(Averages<3_000, 8_000>);

impl Adaptation for Throughput {
    fn choose(&mut self, at: &Moment<'_>) -> Rung {
        if at.current.is_some() { highest_within(at.ladder, 0.9 * self.0.least()) } else { Rung(0) }
    }

    fn measured(&mut self, sample: &ThroughputSample) {
        let (bits, time) = received(sample);
        self.0.add(bits, time);
    }

    fn progress(&mut self, at: &Arriving<'_>) -> Option<Rung> {
        let elapsed = at.elapsed.as_secs_f64();
        let rate = at.received as f64 * 8.0 / (elapsed - at.time_to_first_byte.as_secs_f64());
        let left = (at.length - at.received) as f64 * 8.0;
        if elapsed < 0.5 || elapsed + left / rate <= 1.8 * at.segment_duration.as_secs_f64() {
            return None;
        }
        let rung = highest_within(at.ladder, 0.9 * rate);
        let share = at.ladder[rung.0].rate().as_f64() / at.ladder[at.rung.0].rate().as_f64();
        (at.length as f64 * 8.0 * share < left).then_some(rung)
    }
}

/// Safety 1.5, rise at 1.3 times the best rung's rate with 10 s buffered, fall at 0.8 of the present one or below
/// 5 s, 30 s between switches counted from the start; the wait for the first byte is part of the rate.
#[derive(Default)]
struct ElsewhereThreshold {
    averages: Averages<2_000, 10_000>,
    switched: Duration,
}

impl Adaptation for ElsewhereThreshold {
    fn choose(&mut self, at: &Moment<'_>) -> Rung {
        let Some(current) = at.current else { return Rung(0) };
        let safe = self.averages.least() / 1.5;
        let rate = |rung: Rung| at.ladder[rung.0].rate().as_f64();
        let best = highest_within(at.ladder, safe);
        let settled = at.now - self.switched >= Duration::from_secs(30);
        let rise = best > current && settled && at.buffered >= Duration::from_secs(10) && safe >= 1.3 * rate(best);
        let urgent = at.buffered <= Duration::from_secs(5);
        let fall = best < current && (urgent || settled && safe <= 0.8 * rate(current));
        if !rise && !fall {
            return current;
        }
        self.switched = at.now;
        best
    }

    fn measured(&mut self, sample: &ThroughputSample) {
        self.averages.add(sample.bytes as f64 * 8.0, sample.elapsed.as_secs_f64());
    }
}
