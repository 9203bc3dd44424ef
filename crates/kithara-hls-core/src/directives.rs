//! Delivery directives: what a reload asks of a server that can do more than serve files (RFC 8216bis section 6.2.5).

use std::{fmt, time::Duration};

use url::Url;

use crate::playlist::{MediaPlaylist, MediaSequence};

/// What a request for a media playlist asks for. Without any it asks for the playlist as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: answer when this segment is listed.
    pub msn: Option<MediaSequence>,
    /// `_HLS_part`: answer when this part of it is.
    pub part: Option<u64>,
    /// `_HLS_skip`: leave out what we have.
    pub skip: Skip,
}

/// Which delta update is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// None: the whole playlist.
    #[default]
    Nothing,
    /// Segments may be left out.
    Segments,
    /// Segments and date ranges may be left out.
    SegmentsAndDateRanges,
}

impl Directives {
    /// What a reload of `snapshot` asks for, which was loaded this long ago and was this old then (the Age header).
    ///
    /// A server that can block answers when the next segment is there. A copy that came out of a cache asks for what must
    /// have been added since. A delta update is asked for while the copy is younger than half the skip boundary
    /// (section 6.3.7).
    #[must_use]
    pub fn for_reload(snapshot: &MediaPlaylist, since_load: Duration, age: Duration) -> Self {
        let control = &snapshot.server_control;
        let target = snapshot.target_duration.as_nanos().max(1);
        let added = u64::try_from(age.as_nanos() / target).unwrap_or(u64::MAX).saturating_sub(1);
        let next = MediaSequence(snapshot.end_sequence().0.saturating_add(added.min(AHEAD)));
        let is_young = |boundary: Duration| since_load.saturating_add(age) < boundary / 2;
        let skip = match control.can_skip_until.filter(|boundary| is_young(*boundary)) {
            None => Skip::Nothing,
            Some(_) if control.can_skip_date_ranges => Skip::SegmentsAndDateRanges,
            Some(_) => Skip::Segments,
        };
        Self { msn: control.can_block_reload.then_some(next), part: None, skip }
    }

    /// The same for a stream that is followed part by part, from a server that can block: it answers when the next part
    /// is there. With `ahead`, the copy is known to lack more than so much media, and all of it is asked for (appendix C).
    #[must_use]
    pub fn for_parts(snapshot: &MediaPlaylist, since_load: Duration, age: Duration, ahead: Option<Duration>) -> Self {
        let asked = Self::for_reload(snapshot, since_load, age);
        if !snapshot.server_control.can_block_reload {
            return asked;
        }
        let listed = snapshot.incomplete.as_ref().map_or(0, |segment| segment.parts.len() as u64);
        let part_target = snapshot.part_target.unwrap_or(snapshot.target_duration);
        let in_parts =
            |time: Duration| u64::try_from(time.as_nanos().div_ceil(part_target.as_nanos().max(1))).unwrap_or(u64::MAX);
        let index = match ahead {
            None => listed,
            Some(time) => listed.saturating_add(in_parts(time.min(FURTHEST)).max(1) - 1),
        };
        // Only a guess reaches beyond the segment that is being made.
        let of_segment = if ahead.is_some() { in_parts(snapshot.target_duration).max(1) } else { u64::MAX };
        let msn = MediaSequence(snapshot.end_sequence().0.saturating_add(index / of_segment));
        Self { msn: Some(msn), part: Some(index % of_segment), skip: asked.skip }
    }

    /// What the first load of another rendition asks for, by what a report of `snapshot` says of it (section 6.2.6):
    /// at least what the report knows of.
    #[must_use]
    pub fn by_report(snapshot: &MediaPlaylist, url: &Url) -> Self {
        let blocks = snapshot.server_control.can_block_reload && snapshot.is_live();
        let mut reports = snapshot.rendition_reports.iter().filter(|_| blocks);
        let Some(report) = reports.find(|report| report.uri.url().as_str() == url.as_str()) else {
            return Self::default();
        };
        // What is left out is the same as here.
        let listed = snapshot.incomplete.as_ref().map_or(0, |segment| segment.parts.len() as u64);
        let end = snapshot.end_sequence();
        let (last, part) = match listed.checked_sub(1) {
            Some(part) => (end, Some(part)),
            None => (MediaSequence(end.0.saturating_sub(1)), None),
        };
        let part = report.last_part.or(part.filter(|_| report.last_msn.is_none_or(|msn| msn == last)));
        Self { msn: Some(report.last_msn.unwrap_or(last)), part, skip: Skip::Nothing }
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `url` with the directives behind its query, which stays as it is, byte for byte.
    #[must_use]
    pub fn on(&self, url: &Url) -> Url {
        if self.is_empty() {
            return url.clone();
        }
        let query = match url.query().filter(|query| !query.is_empty()) {
            Some(query) => format!("{query}&{self}"),
            None => self.to_string(),
        };
        let mut url = url.clone();
        url.set_query(Some(&query));
        url
    }
}

/// `url` without delivery directives: they are ours to give (section 6.2.5), and a URL that was copied from another client
/// has those of a moment that has passed. The rest of the query stays as it is, byte for byte.
#[must_use]
pub fn without(url: &Url) -> Url {
    let is_ours = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        matches!(name, "_HLS_msn" | "_HLS_part" | "_HLS_skip")
    };
    let mut url = url.clone();
    let Some(query) = url.query().filter(|query| query.split('&').any(|it| is_ours(&it))) else { return url };
    let kept: Vec<&str> = query.split('&').filter(|it| !is_ours(it)).collect();
    let kept = kept.join("&");
    url.set_query((!kept.is_empty()).then_some(kept.as_str()));
    url
}

/// Segments that may be asked for ahead of the next one: a server may refuse more (section 6.2.5.2).
const AHEAD: u64 = 1;

/// Media that may be asked for ahead of an old copy.
const FURTHEST: Duration = Duration::from_secs(3_600);

impl fmt::Display for Directives {
    /// As in a query, in UTF-8 order.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(msn) = self.msn {
            write!(f, "_HLS_msn={}", msn.0)?;
            between = "&";
            if let Some(part) = self.part {
                write!(f, "&_HLS_part={part}")?;
            }
        }
        match self.skip {
            Skip::Nothing => Ok(()),
            Skip::Segments => write!(f, "{between}_HLS_skip=YES"),
            Skip::SegmentsAndDateRanges => write!(f, "{between}_HLS_skip=v2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{ParseOptions, Playlist, parse};

    fn snapshot(control: &str, more: &str) -> MediaPlaylist {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SERVER-CONTROL:{control}\n#EXTINF:4,\na\n\
             #EXTINF:4,\nb\n{more}"
        );
        let url = Url::parse("http://origin.test/live.m3u8").unwrap();
        match parse(text.as_bytes(), &url, &ParseOptions::default()).unwrap() {
            Playlist::Media(playlist) => playlist,
            Playlist::Multivariant(_) => panic!("segments are listed"),
        }
    }

    #[track_caller]
    fn check(control: &str, since: u64, age: u64, want: &str) {
        let url = Url::parse("http://origin.test/live.m3u8?sig=a%2Fb~c").unwrap();
        let (since, age) = (Duration::from_secs(since), Duration::from_secs(age));
        let asked = Directives::for_reload(&snapshot(control, ""), since, age).on(&url);
        assert_eq!(asked.query(), Some(want));
    }

    #[test]
    fn what_a_server_can_do_is_asked_for_in_order_behind_the_query() {
        check("HOLD-BACK=12", 4, 0, "sig=a%2Fb~c");
        check("CAN-BLOCK-RELOAD=YES", 4, 0, "sig=a%2Fb~c&_HLS_msn=9");
        check("CAN-SKIP-UNTIL=24", 4, 0, "sig=a%2Fb~c&_HLS_skip=YES");
        let all = "CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24,CAN-SKIP-DATERANGES=YES";
        check(all, 4, 0, "sig=a%2Fb~c&_HLS_msn=9&_HLS_skip=v2");
    }

    #[test]
    fn directives_of_another_client_are_left_out() {
        let check = |query: &str, want: &str| {
            let url = Url::parse(&format!("http://origin.test/live.m3u8{query}")).unwrap();
            assert_eq!(without(&url).as_str(), format!("http://origin.test/live.m3u8{want}"));
        };
        check("", "");
        check("?sig=a%2Fb~c&&x", "?sig=a%2Fb~c&&x");
        check("?_HLS_skip=YES", "");
        check("?_HLS_msn=3&sig=a%2Fb~c&_HLS_part=1&_HLS_skip=v2&_HLS_other=1", "?sig=a%2Fb~c&_HLS_other=1");
    }

    #[test]
    fn a_copy_that_is_too_old_is_asked_for_as_a_whole() {
        check("CAN-SKIP-UNTIL=24", 12, 0, "sig=a%2Fb~c");
        check("CAN-SKIP-UNTIL=24", 4, 8, "sig=a%2Fb~c");
    }

    #[test]
    fn a_copy_from_a_cache_asks_for_what_was_added_since() {
        check("CAN-BLOCK-RELOAD=YES", 0, 4, "sig=a%2Fb~c&_HLS_msn=9");
        check("CAN-BLOCK-RELOAD=YES", 0, 8, "sig=a%2Fb~c&_HLS_msn=10");
        check("CAN-BLOCK-RELOAD=YES", 0, 4_000, "sig=a%2Fb~c&_HLS_msn=10");
    }

    #[track_caller]
    fn check_parts(listed: usize, ahead_ms: Option<u64>, want: &str) {
        let parts: String = (0..listed).map(|n| format!("#EXT-X-PART:DURATION=0.5,URI=\"p{n}\"\n")).collect();
        let snapshot = snapshot("CAN-BLOCK-RELOAD=YES", &format!("#EXT-X-PART-INF:PART-TARGET=0.5\n{parts}"));
        let ahead = ahead_ms.map(Duration::from_millis);
        let asked = Directives::for_parts(&snapshot, Duration::ZERO, Duration::ZERO, ahead);
        assert_eq!(asked.to_string(), want);
    }

    #[test]
    fn the_next_part_is_asked_for() {
        check_parts(0, None, "_HLS_msn=9&_HLS_part=0");
        check_parts(3, None, "_HLS_msn=9&_HLS_part=3");
        // A segment may have more parts than its target duration.
        check_parts(9, None, "_HLS_msn=9&_HLS_part=9");
    }

    #[test]
    fn an_old_copy_asks_for_as_much_media_as_it_must_lack() {
        check_parts(0, Some(400), "_HLS_msn=9&_HLS_part=0");
        check_parts(3, Some(1_000), "_HLS_msn=9&_HLS_part=4");
        check_parts(3, Some(6_200), "_HLS_msn=10&_HLS_part=7");
        check_parts(0, Some(86_400_000), "_HLS_msn=908&_HLS_part=7");
    }

    #[test]
    fn a_report_tells_how_far_another_rendition_is() {
        let report = "#EXT-X-RENDITION-REPORT:URI=\"low.m3u8\",LAST-MSN=41,LAST-PART=2\n#EXT-X-RENDITION-REPORT:URI=\"mid.m3u8\"\n";
        let told = snapshot("CAN-BLOCK-RELOAD=YES", report);
        let by = |name: &str| {
            let url = Url::parse("http://origin.test/").unwrap().join(name).unwrap();
            Directives::by_report(&told, &url).to_string()
        };
        assert_eq!(by("low.m3u8"), "_HLS_msn=41&_HLS_part=2");
        assert_eq!(by("mid.m3u8"), "_HLS_msn=8");
        assert_eq!(by("high.m3u8"), "");
        let parts =
            "#EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-PART:DURATION=1,URI=\"p0\"\n#EXT-X-PART:DURATION=1,URI=\"p1\"\n";
        let told = snapshot("CAN-BLOCK-RELOAD=YES", &format!("{parts}{report}"));
        let by = |name: &str| {
            let url = Url::parse("http://origin.test/").unwrap().join(name).unwrap();
            Directives::by_report(&told, &url).to_string()
        };
        assert_eq!(by("mid.m3u8"), "_HLS_msn=9&_HLS_part=1");
        let silent = snapshot("HOLD-BACK=12", report);
        assert!(Directives::by_report(&silent, &Url::parse("http://origin.test/low.m3u8").unwrap()).is_empty());
    }
}
