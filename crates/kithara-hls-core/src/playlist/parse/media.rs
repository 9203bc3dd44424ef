//! Tags of a media playlist that speak of all of it, and its metadata (sections 4.4.3 and 4.4.5).

use std::sync::Arc;
use std::time::Duration;

use super::super::segments::Builder;
use super::super::{
    DateRange, Delta, DiscontinuitySequence, Line, MediaPlaylist, MediaSequence, ParseErrorKind, PlaylistType,
    PreloadHint, PreloadKind, RenditionReport, Rule, ServerControl, UnknownTag,
};
use super::attributes::Attributes;
use super::date_range::{DateRanges, read_date_range};
use super::scope::{Place, Scope};
use super::segment::SegmentParser;

/// Builds a media playlist from its tags.
pub(super) struct MediaParser<'a> {
    pub(super) segment: SegmentParser,
    pub(super) segments: Builder,
    pub(super) header: Header,
    pub(super) date_ranges: DateRanges<'a>,
    /// The EXT-X-DATERANGE tags of the current piece.
    pub(super) date_range_tags: Vec<Arc<DateRange>>,
    pub(super) unknown: Vec<UnknownTag>,
    pub(super) previous: Option<&'a MediaPlaylist>,
}

/// What is said of the whole playlist.
#[derive(Default)]
pub(super) struct Header {
    pub(super) target_duration: Option<Duration>,
    pub(super) media_sequence: Option<MediaSequence>,
    pub(super) discontinuity_sequence: Option<DiscontinuitySequence>,
    /// Segments before this one were numbered before the tag was read, which stood too late.
    pub(super) late_discontinuity_sequence: MediaSequence,
    pub(super) playlist_type: Option<PlaylistType>,
    pub(super) ended: bool,
    pub(super) part_target: Option<Duration>,
    pub(super) part_inf: Option<Line>,
    pub(super) server_control: Option<(Line, ServerControl)>,
    pub(super) preload_hints: Vec<PreloadHint>,
    pub(super) rendition_reports: Vec<RenditionReport>,
    pub(super) delta: Option<Delta>,
    /// Whether what the delta update leaves out was taken from the snapshot before.
    pub(super) merged: bool,
}

pub(super) fn once<T>(field: &Option<T>, tag: &'static str) -> Result<(), ParseErrorKind> {
    match field {
        Some(_) => Err(ParseErrorKind::Duplicate { tag }),
        None => Ok(()),
    }
}

/// Sets a flag that may be set only once.
pub(super) fn raise(flag: &mut bool, tag: &'static str) -> Result<(), ParseErrorKind> {
    if std::mem::replace(flag, true) { Err(ParseErrorKind::Duplicate { tag }) } else { Ok(()) }
}

impl<'a> MediaParser<'a> {
    pub(super) fn new(previous: Option<&'a MediaPlaylist>) -> Self {
        Self {
            segment: SegmentParser::default(),
            segments: Builder::default(),
            header: Header::default(),
            date_ranges: DateRanges::after(previous.map_or(&[], |it| &it.date_ranges)),
            date_range_tags: Vec::new(),
            unknown: Vec::new(),
            previous,
        }
    }
}

impl MediaParser<'_> {
    /// EXT-X-TARGETDURATION.
    pub(super) fn target_duration(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        value: &str,
    ) -> Result<(), ParseErrorKind> {
        once(&self.header.target_duration, "EXT-X-TARGETDURATION")?;
        if value.contains('.') {
            scope.violation_of(at, Rule::FractionalTargetDuration, value);
        }
        let target = scope.seconds(at, value).map(|target| Duration::from_secs(target.as_secs()));
        if target.is_some_and(|target| target.is_zero()) {
            scope.violation_of(at, Rule::TargetDurationTooShort, value);
        }
        self.segment.carry.usual_duration = target.unwrap_or_default();
        self.header.target_duration = target;
        Ok(())
    }

    /// EXT-X-MEDIA-SEQUENCE.
    pub(super) fn media_sequence(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        value: &str,
    ) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-MEDIA-SEQUENCE";
        once(&self.header.media_sequence, TAG)?;
        if self.segment.count > 0 {
            return Err(ParseErrorKind::Misplaced { tag: TAG });
        }
        let msn = MediaSequence(sequence(scope, at, value)?);
        self.header.media_sequence = Some(msn);
        let skipped = self.header.delta.as_ref().map_or(0, |delta| delta.skipped);
        self.segment.carry.msn = msn.checked_add(skipped).ok_or(ParseErrorKind::OutOfRange)?;
        self.merge(scope)
    }

    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub(super) fn discontinuity_sequence(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        value: &str,
    ) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-DISCONTINUITY-SEQUENCE";
        once(&self.header.discontinuity_sequence, TAG)?;
        let late = self.segment.count > 0 || self.segment.has_discontinuity() || self.header.delta.is_some();
        let dsn = DiscontinuitySequence(sequence(scope, at, value)?);
        self.header.discontinuity_sequence = Some(dsn);
        if self.header.merged {
            return Ok(());
        }
        self.segment.carry.state.dsn.0 = self.segment.carry.state.dsn.0.saturating_add(dsn.0);
        if late {
            scope.violation(at, Rule::LateTag);
            self.header.late_discontinuity_sequence = self.segment.carry.msn;
        }
        Ok(())
    }

    /// EXT-X-PLAYLIST-TYPE.
    pub(super) fn playlist_type(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        value: &str,
    ) -> Result<(), ParseErrorKind> {
        once(&self.header.playlist_type, "EXT-X-PLAYLIST-TYPE")?;
        match value {
            "EVENT" => self.header.playlist_type = Some(PlaylistType::Event),
            "VOD" => self.header.playlist_type = Some(PlaylistType::Vod),
            _ => scope.violation_of(at, Rule::UnknownPlaylistType, value),
        }
        Ok(())
    }

    /// EXT-X-PART-INF.
    pub(super) fn part_inf(&mut self, scope: &mut Scope<'_>, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        once(&self.header.part_inf, "EXT-X-PART-INF")?;
        self.header.part_inf = Some(at.line());
        let target = Attributes::of(list).find(|attribute| attribute.name == "PART-TARGET");
        match target {
            Some(target) => {
                self.header.part_target = scope.seconds(at, target.value);
                self.segment.carry.part_target = self.header.part_target;
            }
            None => scope.violation(at, Rule::MissingPartTarget),
        }
        Ok(())
    }

    /// EXT-X-SERVER-CONTROL.
    pub(super) fn server_control(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        once(&self.header.server_control, "EXT-X-SERVER-CONTROL")?;
        let mut control = ServerControl::default();
        for attribute in Attributes::of(list) {
            match attribute.name {
                "CAN-BLOCK-RELOAD" => control.can_block_reload = attribute.is_yes(),
                "CAN-SKIP-UNTIL" => control.can_skip_until = scope.seconds(at, attribute.value),
                "CAN-SKIP-DATERANGES" => control.can_skip_date_ranges = attribute.is_yes(),
                "HOLD-BACK" => control.hold_back = scope.seconds(at, attribute.value),
                "PART-HOLD-BACK" => control.part_hold_back = scope.seconds(at, attribute.value),
                _ => {}
            }
        }
        self.header.server_control = Some((at.line(), control));
        Ok(())
    }

    /// EXT-X-PRELOAD-HINT. Only the first of each type counts (section 6.3.8).
    pub(super) fn preload_hint(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        let (mut kind, mut uri, mut byte_start, mut byte_len) = (None, None, 0, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "TYPE" => kind = Some(attribute.value),
                "URI" => uri = Some(scope.uri(at, attribute.value)?),
                "BYTERANGE-START" => byte_start = scope.integer(at, attribute.value).unwrap_or(0),
                "BYTERANGE-LENGTH" => byte_len = scope.integer(at, attribute.value),
                _ => {}
            }
        }
        let kind = match kind {
            Some("PART") => Some(PreloadKind::Part),
            Some("MAP") => Some(PreloadKind::Init),
            _ => None,
        };
        let (Some(kind), Some(uri)) = (kind, uri) else {
            scope.violation(at, Rule::UnusablePreloadHint);
            return Ok(());
        };
        if self.header.preload_hints.iter().any(|hint| hint.kind == kind) {
            scope.violation(at, Rule::PreloadHintTwice);
            return Ok(());
        }
        byte_len.map_or(Some(byte_start), |len| byte_start.checked_add(len)).ok_or(ParseErrorKind::OutOfRange)?;
        let line = at.line();
        self.header.preload_hints.push(PreloadHint { kind, uri, byte_start, byte_len, line });
        Ok(())
    }

    /// EXT-X-RENDITION-REPORT.
    pub(super) fn rendition_report(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        scope.count_metadata()?;
        let (mut uri, mut last_msn, mut last_part) = (None, None, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "URI" => uri = Some(scope.uri(at, attribute.value)?),
                "LAST-MSN" => last_msn = scope.integer(at, attribute.value).map(MediaSequence),
                "LAST-PART" => last_part = scope.integer(at, attribute.value),
                _ => {}
            }
        }
        match uri {
            Some(uri) => {
                self.header.rendition_reports.push(RenditionReport { uri, last_msn, last_part });
            }
            None => scope.violation(at, Rule::ReportWithoutUri),
        }
        Ok(())
    }

    /// EXT-X-DATERANGE.
    pub(super) fn date_range(
        &mut self,
        scope: &mut Scope<'_>,
        at: Place<'_>,
        list: &str,
    ) -> Result<(), ParseErrorKind> {
        scope.count_metadata()?;
        if let Some(range) = read_date_range(scope, at, list)? {
            let range = Arc::new(range);
            if !self.date_ranges.add(&range, at.line()) {
                scope.violation(at, Rule::DateRangeContradiction);
            }
            self.date_range_tags.push(range);
        }
        Ok(())
    }

    /// A tag that nobody here knows.
    pub(super) fn unknown(&mut self, scope: &mut Scope<'_>, tag: UnknownTag) -> Result<(), ParseErrorKind> {
        scope.count_metadata()?;
        self.unknown.push(UnknownTag { before: Some(self.segment.carry.msn), ..tag });
        Ok(())
    }
}

/// A sequence number. Guessing one would give segments the wrong identity.
fn sequence(scope: &mut Scope<'_>, at: Place<'_>, value: &str) -> Result<u64, ParseErrorKind> {
    if value.starts_with('-') {
        scope.violation_of(at, Rule::NegativeSequence, value);
        return Ok(0);
    }
    match scope.integer(at, value) {
        None if value.starts_with(|it: char| it.is_ascii_digit()) => Err(ParseErrorKind::OutOfRange),
        number => Ok(number.unwrap_or(0)),
    }
}
