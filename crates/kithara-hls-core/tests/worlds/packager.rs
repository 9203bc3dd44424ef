//! The packager of the origin in virtual time: parts cut from real fMP4, published part by part, its playlists and answers as
//! they go over the wire.

use std::{sync::Arc, time::Duration};

use kithara_hls_core::{
    playlist::ByteRange,
    session::OPEN_END,
    sim::{Answer, Flow, World},
    time::Tick,
};
use kithara_origin::{Packager, Published, Told};
use url::Url;

/// A packager with one rendition, which is published again and again.
#[derive(Clone)]
pub(crate) struct Packaged {
    packager: Packager,
    path: &'static str,
    /// The parts of the first lap.
    schedule: Arc<[Published]>,
    lap: Duration,
}

impl Packaged {
    pub(crate) fn new(packager: Packager, path: &'static str) -> Self {
        let schedule = packager.schedule(path).into();
        let lap = packager.length(path);
        Self { packager: packager.looped(), path, schedule, lap }
    }

    /// The world that has it at the root.
    pub(crate) fn world(&self, world: World) -> World {
        let (playlists, media) = (self.clone(), self.clone());
        let serve = move |url: &Url, now: Tick| {
            let told = playlists.ask(url, None, now);
            assert_eq!(told.status, 200, "{url}");
            let text = String::from_utf8(told.body.to_vec()).expect("a playlist is text");
            (told.at.saturating_sub(time(now)), text)
        };
        let media = move |url: &Url, range: Option<ByteRange>, now: Tick| media.media(url, range, now);
        let world = world.with(&format!("/{}", self.path), Answer::Served(Arc::new(serve)));
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        world.with_folder(&format!("/{folder}/"), Answer::Media(Arc::new(media)))
    }

    pub(crate) fn longest_part(&self) -> Duration {
        let parts = (0..self.schedule.len()).map(|at| self.length(at));
        parts.max().unwrap_or_default()
    }

    /// Presentation time of the end of what is published, counted from the first segment of the first playlist.
    pub(crate) fn edge(&self, now: Tick) -> Duration {
        let first = self.packager.tell(self.path, None, Duration::ZERO);
        let text = String::from_utf8(first.body.to_vec()).expect("a playlist is text");
        let first = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok());
        let origin = self.start_of(first.expect("the playlist says where it begins"));
        let recorded = self.packager.history() + time(now);
        let laps = u32::try_from(recorded.as_nanos() / self.lap.as_nanos()).expect("few laps");
        let ends = (0..self.schedule.len()).map(|at| self.schedule[at].start + self.length(at));
        let within = recorded - self.lap * laps;
        let whole = ends.take_while(|end| *end <= within).last().unwrap_or_default();
        (self.lap * laps + whole).saturating_sub(origin)
    }

    fn start_of(&self, msn: u64) -> Duration {
        let segments = self.schedule.last().expect("it has parts").msn + 1;
        let laps = u32::try_from(msn / segments).expect("few laps");
        let first = self.schedule.iter().find(|part| part.msn == msn % segments).expect("each segment has parts");
        self.lap * laps + first.start
    }

    /// How long the part with this number is.
    fn length(&self, at: usize) -> Duration {
        let end = self.schedule.get(at + 1).map_or(self.lap, |next| next.start);
        end - self.schedule[at].start
    }

    fn ask(&self, url: &Url, range: Option<&str>, now: Tick) -> Told {
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        self.packager.tell(&format!("{}{query}", url.path()), range, time(now))
    }

    fn media(&self, url: &Url, range: Option<ByteRange>, now: Tick) -> Option<Vec<Flow>> {
        let field = range.map(|range| format!("bytes={}-{}", range.start, range.end().min(OPEN_END) - 1));
        let told = self.ask(url, field.as_deref(), now);
        if !matches!(told.status, 200 | 206) {
            return None;
        }
        let ends = self.ends(url.path());
        let begin = range.map_or(0, |range| range.start);
        let whole = (told.body.len() as u64, told.at);
        let pieces = if told.pieces.is_empty() { vec![whole] } else { told.pieces };
        let mut from = begin;
        let flows = pieces.into_iter().map(|(end, at)| {
            let upto = begin + end;
            let media = ends.iter().filter(|(end, _)| (from + 1..=upto).contains(end)).map(|(_, length)| *length).sum();
            let flow = Flow { ready: tick(at).max(now), bytes: upto - from, media };
            from = upto;
            flow
        });
        Some(flows.collect())
    }

    /// Where the parts of a segment or a part end in its resource, and how long they are; nothing of what is no media.
    fn ends(&self, path: &str) -> Vec<(u64, Duration)> {
        let name = path.rsplit('/').next().and_then(|name| name.strip_prefix("seg"));
        let Some((numbers, _)) = name.and_then(|name| name.rsplit_once('.')) else { return Vec::new() };
        let (msn, part) = numbers.split_once('.').map_or((numbers, None), |(msn, part)| (msn, Some(part)));
        let segments = self.schedule.last().expect("it has parts").msn + 1;
        let msn = msn.parse::<u64>().expect("a number") % segments;
        let part: Option<usize> = part.map(|part| part.parse().expect("a number"));
        let mut end = 0;
        let parts = (0..self.schedule.len()).filter(|at| self.schedule[*at].msn == msn);
        let parts = parts.filter(|at| part.is_none_or(|part| self.schedule[*at].part == part));
        let ends = parts.map(|at| {
            end += self.schedule[at].bytes.len() as u64;
            (end, self.length(at))
        });
        ends.collect()
    }
}

fn time(at: Tick) -> Duration {
    Duration::from_nanos(at.as_nanos())
}

fn tick(at: Duration) -> Tick {
    Tick::from_nanos(u64::try_from(at.as_nanos()).expect("it is small"))
}
