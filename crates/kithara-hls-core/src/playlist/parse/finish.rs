//! From what was read to the snapshot.

use std::time::Duration;

use super::super::{Line, MediaPlaylist, MultivariantPlaylist, Playlist, Rule, Segments, Violation};
use super::check::{self, Listed};
use super::{Kind, Parser};

impl Parser<'_> {
    /// The snapshot of all that was read.
    pub(super) fn finish(mut self) -> Playlist {
        self.check_version();
        // A playlist without tags of either kind is an empty multivariant one (section 4.1).
        let by_media_tag = || self.session_tag.is_none().then_some(self.media_tag?).map(|_| Kind::Media);
        let kind = self.kind.or_else(by_media_tag).unwrap_or(Kind::Multivariant);
        match kind {
            Kind::Media => Playlist::Media(self.media_playlist()),
            Kind::Multivariant => Playlist::Multivariant(self.multivariant_playlist()),
        }
    }

    fn check_version(&mut self) {
        let (needed, line) = self.scope.needed_version();
        if self.version.unwrap_or(1) < needed {
            self.scope.violation_at(line, Rule::VersionTooLow);
        }
    }

    fn multivariant_playlist(mut self) -> MultivariantPlaylist {
        self.multivariant.end(&mut self.scope);
        if let Some(line) = self.media_tag {
            self.scope.violation_at(line, Rule::MixedTags);
        }
        if let Some(line) = self.scope.import {
            self.scope.violation_at(line, Rule::ImportInMultivariant);
        }
        let mut playlist = MultivariantPlaylist {
            version: self.version,
            variants: self.multivariant.variants,
            iframe_variants: self.multivariant.iframe_variants,
            renditions: self.multivariant.renditions,
            session_keys: self.multivariant.session_keys,
            session_data: self.multivariant.session_data,
            start: self.start,
            independent_segments: self.independent_segments,
            content_steering: self.multivariant.content_steering,
            variables: self.scope.variables,
            unknown: self.unknown,
            violations: self.scope.violations,
            lines: self.lines,
        };
        let broken = check::multivariant(&playlist);
        add_in_order(&mut playlist.violations, broken);
        playlist
    }

    fn media_playlist(mut self) -> MediaPlaylist {
        if let Some(line) = self.session_tag {
            self.scope.violation_at(line, Rule::MixedTags);
        }
        let incomplete = self.media.segment.incomplete();
        let header = self.media.header;
        let late = header.late_discontinuity_sequence;
        let mut segments = self.media.segments.finish();
        if segments.first().is_some_and(|first| first.msn < late) {
            let base = header.discontinuity_sequence.unwrap_or_default().0;
            segments.renumber(late, base);
        }
        if header.target_duration.is_none() {
            self.scope.violation_at(Line(self.line), Rule::MissingTargetDuration);
        }
        let mut unknown = self.unknown;
        unknown.extend(self.media.unknown);
        let (control_line, server_control) = header.server_control.unzip();
        let (date_ranges, date_range_lines) = self.media.date_ranges.finish();
        let listed = Listed {
            part: self.media.segment.first_part,
            date: self.media.segment.dated,
            server_control: control_line,
            part_inf: header.part_inf,
            date_ranges: date_range_lines,
            last: Line(self.line),
        };
        let mut playlist = MediaPlaylist {
            version: self.version,
            target_duration: header.target_duration.filter(|it| !it.is_zero()).unwrap_or_else(|| longest(&segments)),
            media_sequence: header.media_sequence.unwrap_or_default(),
            discontinuity_sequence: header.discontinuity_sequence,
            playlist_type: header.playlist_type,
            ended: header.ended,
            iframes_only: self.media.segment.carry.iframes_only,
            independent_segments: self.independent_segments,
            start: self.start,
            segments,
            incomplete,
            part_target: header.part_target,
            server_control: server_control.unwrap_or_default(),
            preload_hints: header.preload_hints,
            rendition_reports: header.rendition_reports,
            delta: header.delta.filter(|_| !header.merged),
            date_ranges,
            variables: self.scope.variables,
            unknown,
            violations: self.scope.violations,
            lines: self.lines,
        };
        let broken = check::media(&playlist, &listed);
        add_in_order(&mut playlist.violations, broken);
        playlist
    }
}

/// Violations are listed in order of lines.
fn add_in_order(violations: &mut Vec<Violation>, more: Vec<Violation>) {
    violations.extend(more);
    violations.sort_by_key(|violation| violation.line.0);
}

/// What the target duration of a playlist that does not tell it would have to be: at least a second.
fn longest(segments: &Segments) -> Duration {
    let longest = segments.iter().map(|segment| segment.duration).max().unwrap_or_default();
    let rounded = longest.as_secs() + u64::from(longest.subsec_nanos() >= 500_000_000);
    Duration::from_secs(rounded.max(1))
}
