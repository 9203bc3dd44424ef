//! The playlist of a rendition as it is after so much has been recorded, and the answers to requests for it.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use super::{
    Packager, Rendition,
    directives::{Asked, Verdict},
    timeline::Place,
};
use crate::{date::rfc3339, request::Request, response::Response};

/// What a playlist shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Media that are published.
    pub(super) recorded: Duration,
    /// The wall time at which recording began.
    pub(super) begun: SystemTime,
    /// Old segments are skipped.
    pub(super) is_delta: bool,
}

impl Packager {
    pub(super) fn playlist_answer(&self, rendition: &Rendition, request: &Request) -> Response {
        let begun = self.begin(request);
        let since = |at: Duration| at.saturating_sub(begun.at);
        let now = since(request.now);
        let edge = self.edge(rendition, self.recorded(now));
        let asked =
            if self.can_block && !self.has_ended(rendition, edge) { Asked::of(request) } else { Some(Asked::Current) };
        let verdict = asked.map(|asked| asked.verdict(&rendition.timeline, edge));
        let made = match verdict {
            None | Some(Verdict::Refused) => return Response::new(400),
            Some(Verdict::Current) => None,
            Some(Verdict::Since(place)) => {
                let at = self.published(rendition.timeline.end(self.last_or(rendition, place)));
                if at > now {
                    // Longer than three target durations no request is held (section 6.2.5.2).
                    let patience = since(request.at).saturating_add(3 * self.target_duration());
                    let until = at.min(patience);
                    return if until > now {
                        Response::later(begun.at.saturating_add(until))
                    } else {
                        Response::new(503)
                    };
                }
                Some(at)
            }
        };
        let age = self.age(now, made);
        let view = View {
            recorded: self.recorded(now.saturating_sub(age)),
            begun: begun.wall.checked_sub(self.history()).unwrap_or(begun.wall),
            is_delta: self.can_skip && matches!(request.param("_HLS_skip"), Some("YES" | "v2")),
        };
        let response = Response::ok(self.playlist(rendition, view));
        if self.cached.is_some() { response.with_header("Age", &age.as_secs().to_string()) } else { response }
    }

    /// How old the copy in the cache is; `made` is when a playlist that was asked for by directives came to be.
    fn age(&self, now: Duration, made: Option<Duration>) -> Duration {
        let Some(lifetime) = self.cached else {
            return Duration::ZERO;
        };
        let (age, lifetime) = match made {
            Some(made) => (now.saturating_sub(made), 6 * self.target_duration()),
            None => (now, lifetime),
        };
        let nanos = age.as_nanos() % lifetime.as_nanos().max(1);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The first part of the rendition that is not published; behind the last one when all are.
    pub(super) fn edge(&self, rendition: &Rendition, recorded: Duration) -> Place {
        let edge = rendition.timeline.edge(recorded);
        if self.is_looped { edge } else { edge.min(Place { msn: rendition.timeline.segments(), part: 0 }) }
    }

    pub(super) fn has_ended(&self, rendition: &Rendition, edge: Place) -> bool {
        !self.is_looped && edge.msn >= rendition.timeline.segments()
    }

    /// The part, or the last one there will be.
    fn last_or(&self, rendition: &Rendition, place: Place) -> Place {
        let end = Place { msn: rendition.timeline.segments(), part: 0 };
        if self.is_looped { place } else { rendition.timeline.before(end).map_or(place, |last| place.min(last)) }
    }

    /// The text of the playlist.
    pub(super) fn playlist(&self, rendition: &Rendition, view: View) -> String {
        let timeline = &rendition.timeline;
        let edge = self.edge(rendition, view.recorded);
        let first = self.first_listed(rendition, edge);
        let mut text = self.header(rendition, first);
        let skipped =
            if view.is_delta && !self.has_ended(rendition, edge) { self.skipped(rendition, first, edge) } else { 0 };
        if skipped > 0 {
            put(&mut text, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
        }
        let end = timeline.before(edge).map_or(Duration::ZERO, |last| timeline.end(last));
        for msn in first + skipped..=edge.msn {
            let is_whole = msn < edge.msn;
            let listed = if is_whole { timeline.parts(msn) } else { edge.part };
            if listed == 0 {
                break;
            }
            self.put_tags(&mut text, rendition, msn, msn == first, view.begun);
            // The parts of a segment leave together, so that an index still counts from the first part.
            if end.saturating_sub(timeline.end_of(msn)) <= 3 * self.target_duration() {
                (0..listed).for_each(|part| self.put_part(&mut text, rendition, Place { msn, part }));
            }
            if is_whole {
                self.put_segment(&mut text, rendition, msn);
            }
        }
        if self.has_ended(rendition, edge) {
            put(&mut text, format_args!("#EXT-X-ENDLIST"));
        } else {
            self.put_hint(&mut text, rendition, edge);
            self.put_reports(&mut text, rendition, view.recorded);
        }
        text
    }

    /// The first segment that is listed when `edge` is the first part that is not.
    pub(super) fn first_listed(&self, rendition: &Rendition, edge: Place) -> u64 {
        let timeline = &rendition.timeline;
        let mut first = edge.msn.saturating_sub(self.window as u64);
        // Segments of less than three target durations must not be left (section 6.2.2).
        let least = 3 * self.target_duration();
        while first > 0 && timeline.start(edge.msn).saturating_sub(timeline.start(first)) < least {
            first -= 1;
        }
        first
    }

    /// Segments, from the first listed one on, that are farther from the end of the last whole one than the skip boundary.
    fn skipped(&self, rendition: &Rendition, first: u64, edge: Place) -> u64 {
        let timeline = &rendition.timeline;
        let end = timeline.start(edge.msn);
        let is_old = |msn: &u64| end.saturating_sub(timeline.end_of(*msn)) > 6 * self.target_duration();
        (first..edge.msn).take_while(is_old).count() as u64
    }

    fn header(&self, rendition: &Rendition, first: u64) -> String {
        let target = self.target_duration().as_secs();
        let part_target = rendition.timeline.longest_part();
        let longest = self.renditions.iter().map(|rendition| rendition.timeline.longest_part()).max();
        let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:9\n");
        put(&mut text, format_args!("#EXT-X-TARGETDURATION:{target}"));
        put(&mut text, format_args!("#EXT-X-PART-INF:PART-TARGET={}", seconds(part_target)));
        let block = if self.can_block { "CAN-BLOCK-RELOAD=YES," } else { "" };
        let skip = if self.can_skip { format!(",CAN-SKIP-UNTIL={}.0", 6 * target) } else { String::new() };
        // The same in all playlists (section 6.2.4).
        let part_hold_back = seconds(3 * longest.unwrap_or(part_target));
        put(
            &mut text,
            format_args!(
                "#EXT-X-SERVER-CONTROL:{block}HOLD-BACK={}.0,PART-HOLD-BACK={part_hold_back}{skip}",
                3 * target
            ),
        );
        put(&mut text, format_args!("#EXT-X-MEDIA-SEQUENCE:{first}"));
        // A discontinuity begins each lap but the first.
        let passed = if self.is_seamless() { 0 } else { first.saturating_sub(1) / rendition.timeline.segments() };
        if passed > 0 {
            put(&mut text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{passed}"));
        }
        text
    }

    fn is_discontinuous(&self, rendition: &Rendition, msn: u64) -> bool {
        let (lap, index) = rendition.timeline.in_lap(msn);
        lap > 0 && index == 0 && !self.is_seamless()
    }

    /// The tags that hold for a segment and so for its first part.
    fn put_tags(&self, text: &mut String, rendition: &Rendition, msn: u64, is_first: bool, begun: SystemTime) {
        if self.is_discontinuous(rendition, msn) {
            put(text, format_args!("#EXT-X-DISCONTINUITY"));
        }
        let renews = self.renewed_by(rendition, msn).is_some();
        if (is_first || renews) && rendition.reel.init.is_some() {
            if renews && !is_first && self.encryption.is_some() {
                put(text, format_args!("#EXT-X-KEY:METHOD=NONE"));
            }
            // Before the key: the section is clear.
            let init = self.init_name(rendition.timeline.in_lap(msn).0);
            put(text, format_args!("#EXT-X-MAP:URI=\"{init}\""));
        }
        if let Some(encryption) = self.encryption.as_ref().filter(|_| is_first || renews) {
            put(text, format_args!("#EXT-X-KEY:METHOD=AES-128,URI=\"{}\"", encryption.uri));
        }
        let date = begun.checked_add(rendition.timeline.start(msn)).unwrap_or(begun);
        put(text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", rfc3339(date)));
    }

    fn put_part(&self, text: &mut String, rendition: &Rendition, place: Place) {
        let duration = seconds(rendition.timeline.length(place));
        let uri = self.part_name(rendition, place);
        let mut attributes = format!("DURATION={duration},URI=\"{uri}\"");
        if self.delivery.by_range {
            let range = self.range_of(rendition, place);
            let _ = write!(attributes, ",BYTERANGE=\"{}@{}\"", range.end - range.start, range.start);
        }
        if self.piece(rendition, place).is_independent {
            attributes.push_str(",INDEPENDENT=YES");
        }
        if self.gaps.contains(&place) {
            attributes.push_str(",GAP=YES");
        }
        put(text, format_args!("#EXT-X-PART:{attributes}"));
    }

    fn put_segment(&self, text: &mut String, rendition: &Rendition, msn: u64) {
        if self.is_gap(rendition, msn) {
            put(text, format_args!("#EXT-X-GAP"));
        }
        let length = rendition.timeline.end_of(msn).saturating_sub(rendition.timeline.start(msn));
        put(text, format_args!("#EXTINF:{},", seconds(length)));
        put(text, format_args!("{}", self.segment_name(rendition, msn)));
    }

    fn put_hint(&self, text: &mut String, rendition: &Rendition, edge: Place) {
        let name = if self.replanned.contains(&edge) {
            self.planned_name(rendition, edge)
        } else {
            self.part_name(rendition, edge)
        };
        let start = if self.delivery.by_range && !self.replanned.contains(&edge) {
            format!(",BYTERANGE-START={}", self.range_of(rendition, edge).start)
        } else {
            String::new()
        };
        put(text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}\"{start}"));
        let next = if edge.part == 0 { edge.msn } else { edge.msn + 1 };
        if let Some(lap) = self.renewed_by(rendition, next) {
            put(text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{}\"", self.init_name(lap)));
        }
    }

    /// The lap that the segment begins, if that has an initialization section of its own.
    pub(super) fn renewed_by(&self, rendition: &Rendition, msn: u64) -> Option<u64> {
        let (lap, index) = rendition.timeline.in_lap(msn);
        (self.renews_init && rendition.reel.init.is_some() && lap > 0 && index == 0).then_some(lap)
    }

    fn put_reports(&self, text: &mut String, rendition: &Rendition, recorded: Duration) {
        for other in self.renditions.iter().filter(|other| other.path != rendition.path) {
            if let Some(last) = other.timeline.before(self.edge(other, recorded)) {
                let uri = relative(&rendition.path, &other.path);
                put(
                    text,
                    format_args!("#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={},LAST-PART={}", last.msn, last.part),
                );
            }
        }
    }

    /// Whether all parts of the segment are lost.
    pub(super) fn is_gap(&self, rendition: &Rendition, msn: u64) -> bool {
        (0..rendition.timeline.parts(msn)).all(|part| self.gaps.contains(&Place { msn, part }))
    }
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

/// Seconds to the microsecond.
fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// The reference from the playlist at `from` to that at `to`, both below the same path.
fn relative(from: &str, to: &str) -> String {
    format!("{}{to}", "../".repeat(from.matches('/').count()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::packager::{
        cut::{Cut, Piece},
        recording::Reel,
        timeline::Timeline,
    };

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Segments of two parts (500 ms, of 10 bytes each), the second of which is not independent.
    fn rendition(path: &str, segments: usize) -> Arc<Rendition> {
        let piece = |end, is_independent| Piece { end, ticks: 500, is_independent };
        let cut = Cut { bytes: vec![0; 20], parts: vec![piece(10, true), piece(20, false)], times: Vec::new() };
        let init = Some(vec![0; 5].into());
        let reel = Reel { init, segments: vec![cut; segments], timescale: 1000, extension: "m4s" };
        Arc::new(Rendition { path: path.to_owned(), timeline: Timeline::new(&reel), reel })
    }

    fn packager(segments: usize) -> Packager {
        let mut packager = Packager::new(ms(500)).start(0);
        packager.renditions = vec![rendition("v/index.m3u8", segments)];
        packager
    }

    /// The playlist of the first rendition after so many milliseconds, shortened.
    fn shown(packager: &Packager, at_ms: u64, is_delta: bool) -> Vec<String> {
        let view = View { recorded: packager.recorded(ms(at_ms)), begun: SystemTime::UNIX_EPOCH, is_delta };
        let text = packager.playlist(&packager.renditions[0], view);
        text.lines().map(|line| line.trim_start_matches("#EXT-X-").replace("000000", "0")).collect()
    }

    /// Compares all lines but the first five, which are always the same.
    #[track_caller]
    fn check(packager: &Packager, at_ms: u64, want: &[&str]) {
        assert_eq!(shown(packager, at_ms, false)[5..], *want, "after {at_ms} ms");
    }

    #[test]
    fn the_header_says_what_the_server_can_do() {
        let header = |packager: &Packager| shown(packager, 0, false)[2..5].join(" ");
        let start = "TARGETDURATION:1 PART-INF:PART-TARGET=0.500000 SERVER-CONTROL:";
        let holds = "HOLD-BACK=3.0,PART-HOLD-BACK=1.500000";
        let all = format!("{start}CAN-BLOCK-RELOAD=YES,{holds},CAN-SKIP-UNTIL=6.0");
        assert_eq!(header(&packager(3)), all);
        assert_eq!(header(&packager(3).without_blocking().without_skipping()), format!("{start}{holds}"));
    }

    #[test]
    fn parts_come_one_by_one_and_a_segment_with_its_last_part() {
        let packager = packager(2);
        let date0 = "PROGRAM-DATE-TIME:1970-01-01T00:00:00.000Z";
        let (map, part0) = ("MAP:URI=\"init.mp4\"", "PART:DURATION=0.500000,URI=\"seg0.0.m4s\",INDEPENDENT=YES");
        let (part1, extinf) = ("PART:DURATION=0.500000,URI=\"seg0.1.m4s\"", "#EXTINF:1.0,");
        let hint = |name: &str| format!("PRELOAD-HINT:TYPE=PART,URI=\"{name}\"");
        check(&packager, 0, &["MEDIA-SEQUENCE:0", &hint("seg0.0.m4s")]);
        check(&packager, 499, &["MEDIA-SEQUENCE:0", &hint("seg0.0.m4s")]);
        check(&packager, 500, &["MEDIA-SEQUENCE:0", map, date0, part0, &hint("seg0.1.m4s")]);
        let whole = ["MEDIA-SEQUENCE:0", map, date0, part0, part1, extinf, "seg0.m4s", &hint("seg1.0.m4s")];
        check(&packager, 1000, &whole);
        let last = &shown(&packager, 2000, false)[12..];
        let date1 = "PROGRAM-DATE-TIME:1970-01-01T00:00:01.000Z";
        let part2 = "PART:DURATION=0.500000,URI=\"seg1.0.m4s\",INDEPENDENT=YES";
        assert_eq!(last[..2], [date1, part2]);
        assert_eq!(last[3..], [extinf, "seg1.m4s", "ENDLIST"], "no hint, and no report");
    }

    #[test]
    fn parts_leave_after_three_target_durations_and_segments_with_the_window() {
        let packager = packager(20).window(6);
        let shown = shown(&packager, 10_500, false);
        let parts: Vec<_> = shown.iter().filter_map(|line| line.strip_prefix("PART:")?.split('"').nth(1)).collect();
        let kept = ["seg7.0", "seg7.1", "seg8.0", "seg8.1", "seg9.0", "seg9.1", "seg10.0"];
        assert_eq!(parts, kept.map(|name| format!("{name}.m4s")));
        let segments: Vec<_> = shown.iter().filter(|line| line.starts_with("seg")).collect();
        assert_eq!(segments, ["seg4.m4s", "seg5.m4s", "seg6.m4s", "seg7.m4s", "seg8.m4s", "seg9.m4s"]);
        assert_eq!(shown[5..7], ["MEDIA-SEQUENCE:4", "MAP:URI=\"init.mp4\""]);
    }

    #[test]
    fn a_window_is_never_shorter_than_three_target_durations() {
        let shown = shown(&packager(20).window(1), 10_000, false);
        assert_eq!(shown.iter().filter(|line| line.starts_with("seg")).count(), 3);
    }

    #[test]
    fn a_delta_leaves_out_what_is_behind_the_skip_boundary() {
        let packager = packager(30);
        let full = shown(&packager, 12_000, false);
        let delta = shown(&packager, 12_000, true);
        assert_eq!(delta[5..7], ["MEDIA-SEQUENCE:0", "SKIP:SKIPPED-SEGMENTS=5"]);
        // Each of the five has a date, a length and a name; the first one the map.
        assert_eq!(delta[7..], full[6 + 5 * 3 + 1..]);
        assert_eq!(shown(&packager, 6500, true), shown(&packager, 6500, false), "nothing is old enough");
        assert_eq!(shown(&packager, 30_000, true), shown(&packager, 30_000, false), "it has ended");
    }

    #[test]
    fn parts_by_range_name_their_place_in_the_segment() {
        let packager = packager(2).by_range();
        let lines = shown(&packager, 500, false);
        assert_eq!(lines[8], "PART:DURATION=0.500000,URI=\"seg0.m4s\",BYTERANGE=\"10@0\",INDEPENDENT=YES");
        assert_eq!(lines[9], "PRELOAD-HINT:TYPE=PART,URI=\"seg0.m4s\",BYTERANGE-START=10");
        let lines = shown(&packager, 1000, false);
        assert_eq!(lines.last().unwrap(), "PRELOAD-HINT:TYPE=PART,URI=\"seg1.m4s\",BYTERANGE-START=0");
        let lines = shown(&packager.encrypted("k", [1; 16]), 1000, false);
        assert_eq!(lines[7], "KEY:METHOD=AES-128,URI=\"k\"");
        // Ten bytes are no whole cipher block.
        assert!(lines[9].contains("BYTERANGE=\"0@0\"") && lines[10].contains("BYTERANGE=\"32@0\""), "{lines:?}");
    }

    #[test]
    fn gaps_and_plans_that_change_are_listed() {
        let packager = packager(4).gap(0, 1).gap(1, 0).gap(1, 1).replanned(2, 0);
        let lines = shown(&packager, 2000, false);
        let of = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((of("PART:"), of("GAP")), (4, 1));
        assert_eq!(lines.iter().filter(|line| line.ends_with(",GAP=YES")).count(), 3);
        let gap = lines.iter().position(|line| line == "GAP").unwrap();
        assert_eq!(lines[gap + 2], "seg1.m4s");
        assert_eq!(lines.last().unwrap(), "PRELOAD-HINT:TYPE=PART,URI=\"plan2.0.m4s\"");
    }

    #[test]
    fn laps_that_are_not_seamless_begin_with_a_discontinuity() {
        let mut packager = packager(2).looped().window(3);
        check(&packager, 0, &["MEDIA-SEQUENCE:0", "PRELOAD-HINT:TYPE=PART,URI=\"seg0.0.m4s\""]);
        assert!(!shown(&packager, 5500, false).contains(&"DISCONTINUITY".to_owned()), "fMP4 of one length is seamless");
        packager.renditions.push(rendition("a/index.m3u8", 3));
        let lines = shown(&packager, 5500, false);
        let discontinuities: Vec<_> = (0..lines.len()).filter(|at| lines[*at] == "DISCONTINUITY").collect();
        assert_eq!(lines[5..8], ["MEDIA-SEQUENCE:2", "DISCONTINUITY", "MAP:URI=\"init.mp4\""]);
        assert_eq!(discontinuities.len(), 2, "before segments 2 and 4: {lines:?}");
        let lines = shown(&packager, 6500, false);
        assert_eq!(lines[5..7], ["MEDIA-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:1"]);
    }

    #[test]
    fn laps_that_are_renewed_have_sections_of_their_own_which_are_hinted_at() {
        let packager = packager(2).looped().window(3).renewed();
        let hint = "PRELOAD-HINT:TYPE=MAP,URI=\"init1.mp4\"".to_owned();
        assert!(!shown(&packager, 1000, false).contains(&hint), "it does not come next");
        assert_eq!(shown(&packager, 1500, false).last(), Some(&hint));
        assert_eq!(shown(&packager, 2000, false).last(), Some(&hint));
        let lines = shown(&packager, 2500, false);
        let maps: Vec<&String> = lines.iter().filter(|line| line.starts_with("MAP")).collect();
        assert_eq!(maps, ["MAP:URI=\"init.mp4\"", "MAP:URI=\"init1.mp4\""], "{lines:?}");
    }

    #[test]
    fn reports_say_where_the_other_renditions_are() {
        let mut packager = packager(4);
        packager.renditions.push(rendition("a/b/index.m3u8", 4));
        packager.renditions.push(rendition("index.m3u8", 4));
        let lines = shown(&packager, 1500, false);
        let reports = ["../a/b/index.m3u8", "../index.m3u8"];
        let reports = reports.map(|uri| format!("RENDITION-REPORT:URI=\"{uri}\",LAST-MSN=1,LAST-PART=0"));
        assert_eq!(lines[lines.len() - 2..], reports);
        assert!(!shown(&packager, 0, false).iter().any(|line| line.starts_with("RENDITION")), "nothing to report");
    }

    #[test]
    fn a_stale_packager_catches_up() {
        let packager = packager(9).stale(ms(1000), ms(2000));
        assert_eq!(shown(&packager, 2999, false), shown(&packager, 1000, false));
        assert!(shown(&packager, 3000, false).contains(&"seg2.m4s".to_owned()));
        assert_eq!((packager.published(ms(1000)), packager.published(ms(1500))), (ms(1000), ms(3000)));
        assert_eq!(packager.published(ms(3000)), ms(3000));
    }
}
