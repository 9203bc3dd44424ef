//! A low-latency packager in virtual time (RFC 8216bis appendix B).
#![allow(clippy::disallowed_types, reason = "a server notes what it was asked for")]

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use kithara_hls_core::{
    BitRate,
    playlist::ByteRange,
    sim::{Answer, Flow, World},
    time::{Tick, WallTime},
};
use url::Url;

/// Where the parts of a segment are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// Each has its own resource.
    Own,
    /// They are ranges of the resource of their segment, which grows.
    Ranges,
}

/// An encoder that never stops, and a server that blocks. Segment *n* is the file `seg<n>`, its part *i* `part<n>.<i>`.
/// Everything was made from the beginning on, which lies `before` ahead of time zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LowLatency {
    pub(crate) part: Duration,
    /// Parts of a segment.
    pub(crate) parts: u64,
    pub(crate) rate: BitRate,
    pub(crate) resources: Parts,
    pub(crate) before: Duration,
    /// Segments listed.
    pub(crate) window: u64,
    pub(crate) blocks: bool,
    pub(crate) hints: bool,
    /// Parts trickle out of the encoder instead of being sent when they are made.
    pub(crate) trickles: bool,
    /// The segments of every so many, from this one on, end after this part.
    pub(crate) cuts: Option<(u64, u64)>,
    /// Every so many parts the server hints at something that never comes.
    pub(crate) mishints: Option<u64>,
    /// The playlists of other renditions, which are as far as this one, with a report of each.
    pub(crate) reports: &'static [&'static str],
    /// Every so many parts of a segment decode on their own.
    pub(crate) independent: u64,
    /// Every so many segments begin with another initialization section, which is hinted at, after a discontinuity.
    pub(crate) inits: Option<u64>,
    /// Tags in front of the first segment.
    pub(crate) header: &'static str,
    /// Each segment has a date range.
    pub(crate) ranges: bool,
    /// This part of this segment is declared absent.
    pub(crate) gap: Option<(u64, u64)>,
    /// The encoder stops after so many parts; and whether it lists the segment that it did not finish.
    pub(crate) ends: Option<(u64, bool)>,
}

/// What a server was asked for.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

impl Default for LowLatency {
    fn default() -> Self {
        Self {
            part: Duration::from_millis(400),
            parts: 10,
            rate: BitRate::from_kbps(1_000),
            resources: Parts::Own,
            before: Duration::from_millis(60_200),
            window: 6,
            blocks: true,
            hints: true,
            trickles: false,
            cuts: None,
            mishints: None,
            independent: 3,
            inits: None,
            reports: &[],
            header: "",
            ranges: false,
            gap: None,
            ends: None,
        }
    }
}

impl LowLatency {
    /// The world that has it at `path`, with media beside it, and what is asked of its server.
    pub(crate) fn world(self, world: World, path: &str) -> (World, Asked) {
        let asked = Asked::default();
        let (log, folder) = (Arc::clone(&asked), path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned());
        let serve = move |url: &Url, now: Tick| {
            log.lock().expect("nothing panics under it").push(url.query().unwrap_or_default().to_owned());
            self.playlist(url, now)
        };
        let media = move |url: &Url, range: Option<ByteRange>, now: Tick| self.media(url, range, now);
        let world = world.with(path, Answer::Served(Arc::new(serve)));
        (world.with_folder(&format!("{folder}/m/"), Answer::Media(Arc::new(media))), asked)
    }

    /// How many parts segment `msn` has.
    fn len(&self, msn: u64) -> u64 {
        match self.cuts {
            Some((every, parts)) if msn.is_multiple_of(every) => parts,
            _ => self.parts,
        }
    }

    /// Parts made before segment `msn`.
    fn parts_before(&self, msn: u64) -> u64 {
        match self.cuts {
            Some((every, parts)) => msn * self.parts - msn.div_ceil(every) * (self.parts - parts),
            None => msn * self.parts,
        }
    }

    /// The segment and part with this number among all parts.
    fn place(&self, number: u64) -> (u64, u64) {
        let mut msn = number / self.parts;
        while self.parts_before(msn + 1) <= number {
            msn += 1;
        }
        (msn, number - self.parts_before(msn))
    }

    /// Parts made by now.
    pub(crate) fn made(&self, now: Tick) -> u64 {
        let time = Duration::from_nanos(now.as_nanos()) + self.before;
        u64::try_from(time.as_nanos() / self.part.as_nanos()).expect("it is small")
    }

    /// Presentation time of the end of what is made, counted from the first segment that a session sees at `first`.
    pub(crate) fn edge(&self, now: Tick, first: Tick) -> Duration {
        let oldest = self.place(self.made(first)).0.saturating_sub(self.window);
        self.part * u32::try_from(self.made(now) - self.parts_before(oldest)).expect("it is small")
    }

    /// When part `number` is made.
    fn made_at(&self, number: u64) -> Tick {
        let time = self.part * u32::try_from(number + 1).expect("it is small");
        Tick::from_nanos(u64::try_from(time.saturating_sub(self.before).as_nanos()).expect("it is small"))
    }

    fn bytes(&self) -> u64 {
        self.rate.bytes_in(self.part)
    }

    fn playlist(&self, url: &Url, now: Tick) -> (Duration, String) {
        let query = |name: &str| -> Option<u64> {
            let value = url.query_pairs().find(|(it, _)| it == name)?.1;
            Some(value.parse().expect("a number"))
        };
        let wanted = query("_HLS_msn").filter(|_| self.blocks).map(|msn| match query("_HLS_part") {
            Some(part) => self.parts_before(msn) + part.min(self.len(msn)),
            None => self.parts_before(msn + 1) - 1,
        });
        let at = wanted.map_or(now, |number| self.made_at(number).max(now));
        let skips = url.query().is_some_and(|query| query.contains("_HLS_skip=YES"));
        (at.since(now), self.text(at, skips))
    }

    pub(crate) fn text(&self, now: Tick, skips: bool) -> String {
        let made = self.made(now);
        let ends = self.ends.filter(|(parts, _)| made >= *parts);
        let made = ends.map_or(made, |(parts, _)| parts);
        let (open, listed) = self.place(made);
        let listed = if ends.is_some_and(|(_, lists)| !lists) { 0 } else { listed };
        let oldest = open.saturating_sub(self.window);
        let target = (self.part * u32::try_from(self.parts).expect("it is small")).as_secs_f64().ceil();
        let hold_back = self.part.as_secs_f64() * 3.0;
        let (part, blocks) = (self.part.as_secs_f64(), if self.blocks { "CAN-BLOCK-RELOAD=YES," } else { "" });
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PART-INF:PART-TARGET={part:.3}\n\
             #EXT-X-SERVER-CONTROL:{blocks}CAN-SKIP-UNTIL={:.1},PART-HOLD-BACK={hold_back:.3}\n\
             #EXT-X-MEDIA-SEQUENCE:{oldest}\n#EXT-X-DISCONTINUITY-SEQUENCE:{}\n#EXT-X-MAP:URI=\"m/{}\"\n{}",
            target * 6.0,
            self.passed(oldest),
            self.init_of(oldest),
            self.header,
        );
        let from = if skips { oldest + (open - oldest).saturating_sub(3) } else { oldest };
        if from > oldest {
            writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", from - oldest).expect("a string takes it");
        }
        let date_of = |msn| {
            let date = 1_800_000_000_000 + self.part.as_millis() * u128::from(self.parts_before(msn));
            WallTime::from_millis(i64::try_from(date).expect("it is small"))
        };
        for msn in (oldest..=open).filter(|_| self.ranges) {
            let date = date_of(msn);
            writeln!(text, "#EXT-X-DATERANGE:ID=\"r{msn}\",CLASS=\"c\",START-DATE=\"{date}\",DURATION=1")
                .expect("a string takes it");
        }
        for msn in from..=open {
            let date = date_of(msn);
            let parts = if msn == open { listed } else { self.len(msn) };
            if parts == 0 {
                break;
            }
            if msn > from.max(oldest) && self.begins_run(msn) {
                writeln!(text, "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"m/{}\"", self.init_of(msn))
                    .expect("a string takes it");
            }
            writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}").expect("a string takes it");
            if msn + 2 >= open {
                (0..parts).for_each(|index| text.push_str(&self.part_tag(msn, index)));
            }
            if msn < open {
                writeln!(text, "#EXTINF:{:.3},\nm/seg{msn}", part * parts as f64).expect("a string takes it");
            }
        }
        if ends.is_some() {
            text.push_str("#EXT-X-ENDLIST\n");
            return text;
        }
        let (msn, part) = self.place(made.saturating_sub(1));
        for report in self.reports {
            writeln!(text, "#EXT-X-RENDITION-REPORT:URI=\"{report}\",LAST-MSN={msn},LAST-PART={part}")
                .expect("a string takes it");
        }
        if self.hints {
            let hint = match self.resources {
                _ if self.mishints.is_some_and(|every| made.is_multiple_of(every)) => format!("m/never{made}\""),
                Parts::Own => format!("m/part{open}.{listed}\""),
                Parts::Ranges => format!("m/seg{open}\",BYTERANGE-START={}", listed * self.bytes()),
            };
            writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}").expect("a string takes it");
            let next = if listed == 0 { open } else { open + 1 };
            if self.begins_run(next) {
                let init = self.init_of(next);
                writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"m/{init}\"").expect("a string takes it");
            }
        }
        text
    }

    /// Discontinuities before segment `msn`.
    fn passed(&self, msn: u64) -> u64 {
        self.inits.map_or(0, |every| msn / every)
    }

    fn begins_run(&self, msn: u64) -> bool {
        self.inits.is_some_and(|every| msn.is_multiple_of(every))
    }

    fn init_of(&self, msn: u64) -> String {
        self.inits.map_or("init".into(), |every| format!("init{}", msn / every))
    }

    fn part_tag(&self, msn: u64, index: u64) -> String {
        let (part, bytes) = (self.part.as_secs_f64(), self.bytes());
        let more = match (index, self.gap) {
            (_, Some(gap)) if gap == (msn, index) => ",GAP=YES",
            (index, _) if index % self.independent == 0 => ",INDEPENDENT=YES",
            _ => "",
        };
        match self.resources {
            Parts::Own => format!("#EXT-X-PART:DURATION={part:.3},URI=\"m/part{msn}.{index}\"{more}\n"),
            Parts::Ranges => {
                let start = index * bytes;
                format!("#EXT-X-PART:DURATION={part:.3},URI=\"m/seg{msn}\",BYTERANGE=\"{bytes}@{start}\"{more}\n")
            }
        }
    }

    /// Parts at a URL, each sent when it is made. The part that is made next is waited for, and the segment it belongs to.
    fn media(&self, url: &Url, range: Option<ByteRange>, now: Tick) -> Option<Vec<Flow>> {
        let name = url.path().rsplit('/').next()?;
        if let Some((run, every)) = name.strip_prefix("init").and_then(|run| run.parse::<u64>().ok()).zip(self.inits) {
            // It is there when the first part of its first segment is begun.
            let ready = self.made_at((self.parts_before(run * every)).saturating_sub(1)).max(now);
            return Some(vec![Flow { ready, bytes: 800, media: Duration::ZERO }]);
        }
        if name == "init" {
            return Some(vec![Flow { ready: now, bytes: 800, media: Duration::ZERO }]);
        }
        if name.starts_with("never") {
            return Some(vec![Flow { ready: Tick::MAX, bytes: 1, media: Duration::ZERO }]);
        }
        let made = self.made(now);
        let flow = |number: u64| {
            let at = self.made_at(number);
            Flow { ready: at.max(now), bytes: self.bytes(), media: self.part }
        };
        if let Some((msn, index)) = name.strip_prefix("part").and_then(|name| name.split_once('.')) {
            let (msn, index): (u64, u64) = (msn.parse().ok()?, index.parse().ok()?);
            let number = self.parts_before(msn) + index;
            return (index < self.len(msn) && number <= made).then(|| self.trickled(flow(number), now));
        }
        let msn: u64 = name.strip_prefix("seg")?.parse().ok()?;
        let first = range.map_or(0, |range| range.start / self.bytes());
        let end = range.map_or(u64::MAX, |range| range.end().div_ceil(self.bytes())).min(self.len(msn));
        let numbers = self.parts_before(msn) + first..self.parts_before(msn) + end;
        (numbers.start <= made).then(|| numbers.flat_map(|number| self.trickled(flow(number), now)).collect())
    }

    /// A part as it comes: at once, or in ten pieces while it is made.
    fn trickled(&self, flow: Flow, now: Tick) -> Vec<Flow> {
        let begins = Tick::from_nanos(
            flow.ready.as_nanos().saturating_sub(u64::try_from(self.part.as_nanos()).expect("it is small")),
        );
        if !self.trickles || begins < now {
            return vec![flow];
        }
        let piece = |idx: u32| Flow {
            ready: begins + self.part * (idx + 1) / 10,
            bytes: flow.bytes / 10 + if idx == 9 { flow.bytes % 10 } else { 0 },
            media: if idx == 9 { flow.media } else { Duration::ZERO },
        };
        (0..10).map(piece).collect()
    }
}
