//! Live streams without an end: what a session remembers of them does not grow.

use std::{collections::BTreeMap, fmt::Write as _};

use kithara_hls_core::{
    playlist::{MediaSequence, VariantId},
    session::{
        Action, Delivered, Demand, FailureKind, FetchFailure, Input, MediaId, PlaylistText, ReaderId, Session,
        SessionOptions, Track, UnitKey, View,
    },
    time::{MediaTime, Now, Tick},
};
use url::Url;

const FLAT: ReaderId = ReaderId(1);
const ADAPTIVE: ReaderId = ReaderId(2);
/// Bytes of a segment, and of an initialization section.
const LEN: u64 = 1_000;
/// Segments that appear between two loads.
const STEP: u64 = 4;
/// Segments of a stream without an end: ten times what any bound of its own would be.
const MANY: u64 = 100_000;

/// Every segment is a discontinuity with a section and a key of its own; every hundredth is not there.
fn playlist(first: u64) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-TARGETDURATION:1\n");
    writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-DISCONTINUITY-SEQUENCE:{first}").expect("a string takes it");
    for n in first..first + 8 {
        writeln!(text, "#EXT-X-DISCONTINUITY\n#EXT-X-KEY:METHOD=AES-128,URI=\"key{n}\"").expect("a string takes it");
        writeln!(text, "#EXT-X-MAP:URI=\"init{n}\"\n#EXTINF:1,\nseg{n}").expect("a string takes it");
    }
    text
}

/// Two readers that are given all they ask for at once.
struct Endless {
    session: Session,
    now: Tick,
    first: u64,
    /// Where the reader of bytes stands.
    offset: u64,
    entered: u64,
    placed: BTreeMap<u64, UnitKey>,
    keys: BTreeMap<u64, ()>,
    most: usize,
}

impl Endless {
    fn new() -> Self {
        let url: Url = "http://origin.test/live.m3u8".parse().expect("a URL");
        let session = Session::new(url, SessionOptions::default(), Now::from(Tick::ZERO));
        let mut endless = Self {
            session,
            now: Tick::ZERO,
            first: 0,
            offset: 0,
            entered: 0,
            placed: BTreeMap::new(),
            keys: BTreeMap::new(),
            most: 0,
        };
        endless.demand(FLAT, Demand::Open { view: View::Flat, track: Track::Main });
        endless.demand(ADAPTIVE, Demand::Open { view: View::Adaptive, track: Track::Main });
        endless.demand(ADAPTIVE, Demand::Next);
        endless.read_on();
        endless
    }

    fn read_on(&mut self) {
        self.demand(FLAT, Demand::At { offset: self.offset, in_sequence: self.offset });
    }

    fn demand(&mut self, reader: ReaderId, demand: Demand) {
        self.tell(Input::Demand { reader, demand });
    }

    fn tell(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.session.handle(Now::from(self.now), input);
            while let Some(action) = self.session.poll_action() {
                inputs.extend(self.carry_out(action));
            }
            while self.session.poll_event().is_some() {}
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::LoadPlaylist { id, url, .. } => {
                let text =
                    PlaylistText { url, text: playlist(self.first), from_store: false, age: None, may_be_cut: false };
                return Some(Input::Playlist { id, result: Ok(text) });
            }
            Action::Fetch { fetch, unit, .. } => {
                let missing = unit.msn().is_some_and(|msn| msn.0 % 100 == 99);
                let delivered = Delivered { len: LEN, wire_len: LEN, from_store: false };
                let gone = FetchFailure::new(FailureKind::Refused);
                return Some(Input::Fetched { fetch, result: if missing { Err(gone) } else { Ok(delivered) } });
            }
            Action::FetchKey { key, .. } => {
                self.keys.insert(key.0, ());
                return Some(Input::Key { key, result: Ok(()), cached: false });
            }
            Action::ForgetKey { key } => drop(self.keys.remove(&key.0)),
            Action::Place { unit, offset, .. } => drop(self.placed.insert(offset, unit)),
            Action::Displace { offset, .. } => self.placed = self.placed.split_off(&offset),
            Action::Enter { entry, .. } => {
                self.entered += 1;
                let time = MediaTime::from_nanos(5_000_000_000);
                return Some(Input::MediaTime { unit: entry.unit, dsn: entry.dsn, start: entry.start, time });
            }
            Action::Refuse { failure, .. } | Action::Fail { failure } | Action::Abandon { failure, .. } => {
                unreachable!("{failure}")
            }
            _ => {}
        }
        None
    }

    /// So many more segments appear; both readers read on to the end of what there is.
    fn step(&mut self) {
        self.first += STEP;
        self.now = self.now.saturating_add(std::time::Duration::from_secs(STEP));
        self.tell(Input::Timeout);
        for _ in 0..2 * STEP {
            self.demand(ADAPTIVE, Demand::Next);
        }
        let end = self.placed.last_key_value().map_or(0, |(offset, _)| *offset);
        while self.offset < end {
            self.offset += LEN;
            self.read_on();
        }
        let here = self.placed.len() + self.keys.len();
        self.most = self.most.max(self.session.footprint() + here);
    }
}

#[test]
fn segments_that_were_read_leave_nothing_behind() {
    let mut endless = Endless::new();
    (0..MANY / STEP / 4).for_each(|_| endless.step());
    let early = std::mem::take(&mut endless.most);
    (0..3 * MANY / STEP / 4).for_each(|_| endless.step());
    assert_eq!(endless.first, MANY);
    assert!(endless.entered > MANY - MANY / 50, "{} were entered", endless.entered);
    assert!(endless.offset > MANY * 3 / 2 * LEN, "{} bytes were read", endless.offset);
    assert!(endless.most <= early + 8, "{early} things at first, {} later", endless.most);
    // Keys, times of discontinuities and the window: everything else is a handful.
    assert!(early < 2 * 4_096 + 1_000, "{early}");
}

#[test]
fn a_reader_of_bytes_that_stands_still_for_ever_costs_nothing_and_goes_on_at_the_window() {
    let mut endless = Endless::new();
    let stands = UnitKey::segment(MediaId::Variant(VariantId(0)), MediaSequence(5));
    assert!(endless.placed.values().any(|unit| *unit == stands), "it begins three seconds before the edge");
    let mut stand_still = |steps: u64| {
        for _ in 0..steps {
            endless.first += STEP;
            endless.now = endless.now.saturating_add(std::time::Duration::from_secs(STEP));
            endless.tell(Input::Timeout);
        }
        endless.session.footprint()
    };
    let (early, late) = (stand_still(100), stand_still(900));
    assert!(late <= early + 32, "{early} things at first, {late} later");
    let end = endless.placed.last_key_value().map_or(0, |(offset, _)| *offset);
    endless.offset = end;
    endless.session.handle(
        Now::from(endless.now),
        Input::Demand { reader: FLAT, demand: Demand::At { offset: end, in_sequence: end } },
    );
    let said: Vec<String> = std::iter::from_fn(|| endless.session.poll_event()).map(|it| it.to_string()).collect();
    let done: Vec<String> = std::iter::from_fn(|| endless.session.poll_action()).map(|it| it.to_string()).collect();
    let oldest = endless.first - 10;
    assert!(done.iter().any(|it| it.contains(&format!("/seg{oldest}"))), "{done:?} {said:?}");
}
