//! Media resources: initialization sections, segments and parts, as far as they exist.

use std::{ops::Range, time::Duration};

use aes::{
    Aes128,
    cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7},
};
use bytes::Bytes;

use super::{Begun, Packager, Rendition, cut::Piece, cut::to_ticks, timeline::Place};
use crate::{
    body::Body,
    range::{Wanted, wanted},
    request::Request,
    response::{Growth, Response},
};

/// The last byte position that stands for "until it is whole" (RFC 8673, section 4).
const VERY_LARGE: u64 = (1 << 53) - 1;
/// Pieces in which a part is sent while it is recorded.
const TRICKLE: u32 = 8;
/// Bytes of a cipher block.
const BLOCK: usize = 16;

/// What a name beside a playlist stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// The initialization section of this lap.
    Init(u64),
    Segment(u64),
    Part(Place),
    /// What was hinted in place of a part.
    Planned(Place),
}

impl Packager {
    /// The answer to a request for `path`, which is relative to where the packager is.
    pub(crate) fn answer(&self, request: &Request, path: &str) -> Response {
        if let Some((_, text)) = self.multivariant.as_ref().filter(|(name, _)| name == path) {
            return Response::ok(text.clone());
        }
        if let Some(rendition) = self.find(path) {
            return self.playlist_answer(rendition, request);
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let beside = self
            .renditions
            .iter()
            .find(|rendition| rendition.path.rsplit_once('/').map_or("", |split| split.0) == folder);
        let begun = *self.begun.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let found =
            beside.and_then(|rendition| Some((rendition, begun?, Named::parse(name, rendition.reel.extension)?)));
        let Some((rendition, begun, named)) = found else {
            return Response::new(404);
        };
        let edge = self.edge(rendition, self.recorded(request.now.saturating_sub(begun.at)));
        match named {
            Named::Init(lap) => self.init_answer(rendition, begun, edge, lap),
            Named::Segment(msn) => self.segment_answer(rendition, request, begun, edge, msn),
            Named::Part(place) => self.part_answer(rendition, request, begun, edge, place),
            Named::Planned(place) if place == edge && self.replanned.contains(&place) => {
                Response::later(self.due(rendition, begun, place))
            }
            Named::Planned(_) => Response::new(404),
        }
    }

    fn init_answer(&self, rendition: &Rendition, begun: Begun, edge: Place, lap: u64) -> Response {
        let first = lap.saturating_mul(rendition.timeline.segments());
        let is_named = lap == 0 || self.renewed_by(rendition, first).is_some() && edge.msn.saturating_add(1) >= first;
        match &rendition.reel.init {
            Some(init) if is_named && edge.msn >= first => Response::ok(init.clone()),
            Some(_) if is_named => {
                let start = rendition.timeline.start(first);
                Response::later(begun.at.saturating_add(self.published(start)))
            }
            _ => Response::new(404),
        }
    }

    fn part_answer(
        &self,
        rendition: &Rendition,
        request: &Request,
        begun: Begun,
        edge: Place,
        place: Place,
    ) -> Response {
        let is_part = !self.delivery.by_range && place.part < rendition.timeline.parts(place.msn);
        let is_lost = self.gaps.contains(&place) && place < edge;
        let is_hinted = place == edge && !self.has_ended(rendition, edge) && !self.replanned.contains(&place);
        let is_gone = self.behind(rendition, edge, place.msn) > 6 * self.target_duration();
        if !is_part || is_lost || (place < edge && is_gone) || (place >= edge && !is_hinted) {
            return Response::new(404);
        }
        let body = || self.segment_bytes(rendition, place.msn).slice(self.range_of(rendition, place));
        if place < edge {
            return Response::ok(body());
        }
        if !self.delivery.is_trickled || self.gaps.contains(&place) {
            return Response::later(self.due(rendition, begun, place));
        }
        let start = self.range_of(rendition, place).start;
        let growth = self.growth(rendition, begun, place.msn, place.part..place.part + 1);
        whole(request, body(), Growth(growth.into_iter().map(|(end, at)| (end - start as u64, at)).collect()))
    }

    fn segment_answer(
        &self,
        rendition: &Rendition,
        request: &Request,
        begun: Begun,
        edge: Place,
        msn: u64,
    ) -> Response {
        let is_gone = {
            let first = self.first_listed(rendition, edge);
            let window = rendition.timeline.start(edge.msn).saturating_sub(rendition.timeline.start(first));
            let length = rendition.timeline.end_of(msn).saturating_sub(rendition.timeline.start(msn));
            // Counted from when it was first listed (section 6.2.2).
            self.behind(rendition, edge, msn) > window.saturating_add(length)
        };
        let grows = msn == edge.msn && !self.has_ended(rendition, edge);
        let is_open = self.delivery.by_range || self.delivery.is_trickled;
        if self.is_gap(rendition, msn) || (msn < edge.msn && is_gone) || (msn >= edge.msn && !(grows && is_open)) {
            return Response::new(404);
        }
        let bytes = self.segment_bytes(rendition, msn);
        if msn < edge.msn {
            return Response::ok(bytes);
        }
        self.growing_answer(rendition, request, begun, edge, bytes)
    }

    /// The segment that is being recorded, or a range of it.
    fn growing_answer(
        &self,
        rendition: &Rendition,
        request: &Request,
        begun: Begun,
        edge: Place,
        bytes: Bytes,
    ) -> Response {
        let growth = self.growth(rendition, begun, edge.msn, 0..rendition.timeline.parts(edge.msn));
        let range = match wanted(request.header("range"), VERY_LARGE + 1) {
            Wanted::Part(range) => range,
            Wanted::Whole | Wanted::Unsatisfiable => return whole(request, bytes, Growth(growth)),
        };
        let total = bytes.len() as u64;
        let is_open = request.header("range").is_some_and(|value| value.trim_end().ends_with('-'));
        if range.end > VERY_LARGE && !is_open && range.start < total {
            let rest = growth.into_iter().filter(|(end, _)| *end > range.start);
            let rest = rest.map(|(end, at)| (end - range.start, at)).collect();
            let body = bytes.slice(range.start as usize..);
            return partial(body, range.start, VERY_LARGE).growing(Growth(rest));
        }
        // Of the pieces that are there all can be sent; of those that are not, the one that has the last byte is waited for, or the
        // next one when any will do.
        let there = growth.iter().take_while(|(_, at)| *at <= request.now).last().map_or(0, |(end, _)| *end);
        let needed = if is_open { range.start.saturating_add(1) } else { range.end.min(total) };
        if needed > there || range.start >= total {
            let at = growth.iter().find(|(end, _)| *end >= needed).or(growth.last()).map_or(request.now, |(_, at)| *at);
            return Response::later(at);
        }
        let end = if is_open { there } else { needed };
        partial(bytes.slice(range.start as usize..end as usize), range.start, end - 1)
    }

    /// When these parts of a segment can be sent: as soon as they are published, or piece by piece while they are recorded.
    fn growth(&self, rendition: &Rendition, begun: Begun, msn: u64, parts: Range<usize>) -> Vec<(u64, Duration)> {
        let mut growth = Vec::new();
        for part in parts {
            let place = Place { msn, part };
            let (range, at) = (self.range_of(rendition, place), self.due(rendition, begun, place));
            let pieces = if self.delivery.is_trickled { TRICKLE } else { 1 };
            let step = rendition.timeline.length(place) / pieces;
            let len = range.end - range.start;
            growth.extend((1..=pieces).map(|piece| {
                let end = range.start + len * piece as usize / pieces as usize;
                (end as u64, at.saturating_sub(step * (pieces - piece)))
            }));
        }
        growth
    }

    /// When the part is published, on the site's clock.
    fn due(&self, rendition: &Rendition, begun: Begun, place: Place) -> Duration {
        begun.at.saturating_add(self.published(rendition.timeline.end(place)))
    }

    /// Media published behind the end of the segment.
    fn behind(&self, rendition: &Rendition, edge: Place, msn: u64) -> Duration {
        let end = rendition.timeline.before(edge).map_or(Duration::ZERO, |last| rendition.timeline.end(last));
        end.saturating_sub(rendition.timeline.end_of(msn))
    }

    pub(super) fn piece(&self, rendition: &Rendition, place: Place) -> Piece {
        rendition.reel.segments[rendition.timeline.in_lap(place.msn).1].parts[place.part]
    }

    /// Where the part lies in its segment, as it is sent.
    pub(super) fn range_of(&self, rendition: &Rendition, place: Place) -> Range<usize> {
        let parts = &rendition.reel.segments[rendition.timeline.in_lap(place.msn).1].parts;
        let end = |part: usize| match &self.encryption {
            None => parts[part].end,
            Some(_) if part + 1 == parts.len() => (parts[part].end / BLOCK + 1) * BLOCK,
            Some(_) => parts[part].end / BLOCK * BLOCK,
        };
        place.part.checked_sub(1).map_or(0, end)..end(place.part)
    }

    /// The segment as it is sent: in its lap, and encrypted.
    fn segment_bytes(&self, rendition: &Rendition, msn: u64) -> Bytes {
        let (lap, index) = rendition.timeline.in_lap(msn);
        let cut = &rendition.reel.segments[index];
        let mut bytes = cut.bytes.clone();
        if lap > 0 && self.is_seamless() {
            let passed = rendition.timeline.start(lap.saturating_mul(rendition.timeline.segments()));
            for (at, timescale) in &cut.times {
                let field = &mut bytes[*at..*at + 8];
                let time = field.iter().fold(0_u64, |time, byte| time << 8 | u64::from(*byte));
                field.copy_from_slice(&time.wrapping_add(to_ticks(passed, *timescale)).to_be_bytes());
            }
        }
        match &self.encryption {
            None => bytes.into(),
            Some(encryption) => {
                let iv = u128::from(msn).to_be_bytes();
                let cipher = cbc::Encryptor::<Aes128>::new(&encryption.key.into(), &iv.into());
                cipher.encrypt_padded_vec::<Pkcs7>(&bytes).into()
            }
        }
    }

    pub(super) fn init_name(&self, lap: u64) -> String {
        if lap == 0 || !self.renews_init { "init.mp4".to_owned() } else { format!("init{lap}.mp4") }
    }

    pub(super) fn segment_name(&self, rendition: &Rendition, msn: u64) -> String {
        format!("seg{msn}.{}", rendition.reel.extension)
    }

    pub(super) fn part_name(&self, rendition: &Rendition, place: Place) -> String {
        if self.delivery.by_range {
            return self.segment_name(rendition, place.msn);
        }
        format!("seg{}.{}.{}", place.msn, place.part, rendition.reel.extension)
    }

    pub(super) fn planned_name(&self, rendition: &Rendition, place: Place) -> String {
        format!("plan{}.{}.{}", place.msn, place.part, rendition.reel.extension)
    }
}

impl Named {
    fn parse(name: &str, extension: &str) -> Option<Self> {
        if let Some(lap) = name.strip_prefix("init").and_then(|name| name.strip_suffix(".mp4")) {
            return if lap.is_empty() { Some(Self::Init(0)) } else { lap.parse().ok().map(Self::Init) };
        }
        let stem = name.strip_suffix(extension)?.strip_suffix('.')?;
        let place = |numbers: &str| {
            let (msn, part) = numbers.split_once('.')?;
            Some(Place { msn: msn.parse().ok()?, part: part.parse().ok()? })
        };
        if let Some(numbers) = stem.strip_prefix("plan") {
            return place(numbers).map(Self::Planned);
        }
        let numbers = stem.strip_prefix("seg")?;
        place(numbers).map(Self::Part).or_else(|| numbers.parse().ok().map(Self::Segment))
    }
}

/// 200 with all of a body that is still being made.
fn whole(request: &Request, body: Bytes, growth: Growth) -> Response {
    if growth.0.last().is_some_and(|(_, at)| *at <= request.now) {
        return Response::ok(body);
    }
    Response::ok(body).growing(growth)
}

/// 206 with the bytes from `start` to `last`, of a body whose length is not known yet.
fn partial(body: impl Into<Body>, start: u64, last: u64) -> Response {
    Response::new(206)
        .with_body(body)
        .with_header("Content-Range", &format!("bytes {start}-{last}/*"))
        .with_header("Accept-Ranges", "bytes")
}
