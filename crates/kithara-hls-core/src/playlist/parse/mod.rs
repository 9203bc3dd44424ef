//! From text to a snapshot.
//!
//! ```text
//! bytes -> text -> pieces of about 128 segments -> lines -> tokens -> tags, with their line -> snapshot
//! ```
//!
//! A piece ends behind the segment whose number is one less than a multiple of 128, so that the pieces of successive
//! snapshots coincide: a piece whose text and circumstances did not change is taken over from the snapshot before.

use std::borrow::Cow;
use std::sync::Arc;

use url::Url;

use super::text::Source;
use super::{Line, MediaPlaylist, ParseError, ParseErrorKind, Playlist, Rule, Start, TagLines, UnknownTag, Variables};

pub(super) mod attributes;
mod check;
mod date_range;
pub(super) mod decimal;
mod delta;
mod finish;
mod key;
pub(super) mod lexer;
mod limits;
mod media;
mod multivariant;
mod scope;
mod segment;
mod takeover;

pub use limits::Limits;
pub(super) use takeover::Parsed;

use attributes::Attributes;
use decimal::Decimal;
use lexer::{LineSpan, Token};
use media::{MediaParser, raise};
use multivariant::MultivariantParser;
use scope::{Place, Scope};

/// What a text is parsed with, besides its address.
#[derive(Clone, Debug, Default)]
pub struct ParseOptions<'a> {
    /// The variables of the multivariant playlist that this media playlist belongs to. Default: `None`, there is no such
    /// playlist, and importing a variable fails.
    pub imports: Option<&'a Variables>,
    /// The snapshot that this text is a reload of: unchanged segments are shared with it, which saves time and memory.
    /// The result is the same without. Default: `None`.
    pub previous: Option<&'a MediaPlaylist>,
    /// Bounds on the text.
    pub limits: Limits,
}

/// Parses `text`, which was loaded from `base` (the address after redirects), into a snapshot.
///
/// What players read is read, also where it breaks the rules; such places are listed in `violations` of the playlist. An
/// error is returned where going on would play something wrong, and where RFC 8216bis wants clients to fail and clients
/// do.
///
/// # Errors
/// See [`ParseErrorKind`].
pub fn parse(text: &[u8], base: &Url, options: &ParseOptions<'_>) -> Result<Playlist, ParseError> {
    let limit = options.limits.bytes;
    if text.len() > limit {
        let kind = ParseErrorKind::TooLarge { what: "bytes", limit };
        return Err(ParseError { kind, line: Line(1) });
    }
    let mut parser = Parser::new(base, options);
    match parser.read(text) {
        Ok(()) => Ok(parser.finish()),
        Err(kind) => Err(ParseError { kind, line: Line(parser.line) }),
    }
}

/// Which playlist this is, as far as the tags tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Multivariant,
    Media,
}

struct Parser<'a> {
    scope: Scope<'a>,
    base: Arc<Url>,
    kind: Option<Kind>,
    /// Whether `#EXTM3U` was read.
    begun: bool,
    /// What lines end with.
    terminator: u8,
    /// The line that is being read.
    line: u32,
    version: Option<u64>,
    independent_segments: bool,
    start: Option<Start>,
    lines: TagLines,
    /// Tags read before the kind was known.
    unknown: Vec<UnknownTag>,
    media: MediaParser<'a>,
    multivariant: MultivariantParser,
    /// The first tag of a whole media playlist, and of a session. Some playlists of the other kind have one, where it
    /// means nothing.
    media_tag: Option<Line>,
    session_tag: Option<Line>,
    /// Whether the current piece says something of the whole playlist, so that it cannot be taken over.
    speaks_of_all: bool,
}

impl<'a> Parser<'a> {
    fn new(base: &'a Url, options: &'a ParseOptions<'a>) -> Self {
        let mut plain_base = base.clone();
        plain_base.set_query(None);
        plain_base.set_fragment(None);
        Self {
            scope: Scope::new(base, options),
            base: Arc::new(plain_base),
            kind: None,
            begun: false,
            terminator: b'\n',
            line: 1,
            version: None,
            independent_segments: false,
            start: None,
            lines: TagLines::default(),
            unknown: Vec::new(),
            media: MediaParser::new(options.previous),
            multivariant: MultivariantParser::default(),
            media_tag: None,
            session_tag: None,
            speaks_of_all: false,
        }
    }

    fn source(&self, text: &str) -> Arc<Source> {
        Arc::new(Source { base: self.base.clone(), text: text.into() })
    }

    fn read(&mut self, text: &[u8]) -> Result<(), ParseErrorKind> {
        // Texts of old Macs end their lines with a carriage return alone.
        self.terminator = if memchr::memchr(b'\n', text).is_some() { b'\n' } else { b'\r' };
        let marked = text.strip_prefix(b"\xef\xbb\xbf");
        if marked.is_some() {
            self.scope.violation_at(Line(1), Rule::ByteOrderMark);
        }
        let mut rest = marked.unwrap_or(text);
        let mut spans = Vec::new();
        let mut line = 1;
        // The first piece ends with the first segment: the number of the next one tells where the second should end.
        let mut uris = 1;
        while !rest.is_empty() {
            let extent = match self.take_over(rest, line)? {
                Some(extent) => extent,
                None => {
                    let extent = lexer::cut(rest, self.terminator, uris, &mut spans);
                    let piece = self.decoded(&rest[..extent.len], line);
                    if matches!(piece, Cow::Owned(_)) {
                        lexer::cut(piece.as_bytes(), self.terminator, usize::MAX, &mut spans);
                    }
                    self.media.segments.expect(extent.uris);
                    self.read_piece(&piece, line, &spans)?;
                    extent
                }
            };
            line += extent.lines;
            rest = &rest[extent.len..];
            uris = self.piece_len();
        }
        if self.begun { Ok(()) } else { Err(ParseErrorKind::NotAPlaylist) }
    }

    /// The text of a piece. What is not UTF-8 is replaced, which costs the line it stands in at most.
    fn decoded<'t>(&mut self, piece: &'t [u8], line: u32) -> Cow<'t, str> {
        match std::str::from_utf8(piece) {
            Ok(text) => Cow::Borrowed(text),
            Err(error) => {
                let before = memchr::memchr_iter(self.terminator, &piece[..error.valid_up_to()]).count();
                self.scope.violation_at(Line(line + before as u32), Rule::InvalidUtf8);
                String::from_utf8_lossy(piece)
            }
        }
    }

    fn read_piece(&mut self, text: &str, first_line: u32, spans: &[LineSpan]) -> Result<(), ParseErrorKind> {
        let source = self.source(text);
        let mark = self.begin_piece(first_line, text);
        for span in spans {
            self.line = first_line + span.number;
            let at = Place { source: &source, line: self.line };
            self.read_line(at, &source.text[span.start..span.end])?;
        }
        self.end_piece(mark, &source);
        Ok(())
    }

    fn read_line(&mut self, at: Place<'_>, line: &str) -> Result<(), ParseErrorKind> {
        if self.begun { self.read_on(at, line) } else { self.read_first(at, line) }
    }

    /// The first tag. Comments may precede it, and it may be another one of a playlist than EXTM3U, since players take
    /// such texts; an error page does not begin like this.
    fn read_first(&mut self, at: Place<'_>, line: &str) -> Result<(), ParseErrorKind> {
        match lexer::token(line) {
            Token::Comment => self.scope.violation(at, Rule::HeaderNotFirst),
            Token::Uri(_) => return Err(ParseErrorKind::NotAPlaylist),
            Token::Tag { name, .. } if name == "EXTM3U" || name.starts_with("EXTM3U ") => self.begun = true,
            Token::Tag { .. } | Token::Extinf(_) => {
                self.begun = true;
                self.scope.violation(at, Rule::MissingHeader);
                self.read_on(at, line)?;
                if !self.unknown.is_empty() {
                    return Err(ParseErrorKind::NotAPlaylist);
                }
            }
        }
        Ok(())
    }

    /// A line behind the first tag.
    fn read_on(&mut self, at: Place<'_>, line: &str) -> Result<(), ParseErrorKind> {
        match lexer::token(line) {
            Token::Comment => Ok(()),
            Token::Extinf(value) => self.read_extinf(at, value),
            Token::Tag { name: "EXTINF", value } => self.read_extinf(at, value.unwrap_or_default()),
            Token::Tag { name, value } => self.read_tag(at, name, value),
            Token::Uri(raw) => match self.kind {
                Some(Kind::Multivariant) => self.multivariant.uri(&mut self.scope, at, raw),
                _ => {
                    self.kind = Some(Kind::Media);
                    self.media.segment.finish(&mut self.scope, at, raw, &mut self.media.segments)
                }
            },
        }
    }

    fn read_extinf(&mut self, at: Place<'_>, value: &str) -> Result<(), ParseErrorKind> {
        self.enter(Kind::Media)?;
        self.media.segment.extinf(&mut self.scope, at, value)
    }

    fn enter(&mut self, kind: Kind) -> Result<(), ParseErrorKind> {
        match self.kind {
            Some(known) if known != kind => Err(ParseErrorKind::Mixed),
            _ => {
                self.kind = Some(kind);
                Ok(())
            }
        }
    }

    fn read_tag(&mut self, at: Place<'_>, name: &str, value: Option<&str>) -> Result<(), ParseErrorKind> {
        let list = value.unwrap_or_default();
        if self.scope.must_ignore(at, name, list) {
            return self.read_unknown(at, name, value);
        }
        if self.read_segment_tag(at, name, list)? {
            return Ok(());
        }
        if self.read_media_tag(at, name, list)? {
            self.speaks_of_all = true;
            self.lines.note(name, at.line());
            return Ok(());
        }
        if self.read_multivariant_tag(at, name, list)? {
            return Ok(());
        }
        match name {
            "EXT-X-VERSION" => self.read_version(at, list)?,
            "EXT-X-INDEPENDENT-SEGMENTS" => raise(&mut self.independent_segments, "EXT-X-INDEPENDENT-SEGMENTS")?,
            "EXT-X-START" => self.read_start(at, list)?,
            "EXT-X-DEFINE" => self.scope.define(at, list)?,
            "EXTM3U" => self.scope.violation(at, Rule::HeaderAgain),
            "EXT-X-ALLOW-CACHE" => {
                self.scope.violation(at, Rule::RemovedFromTheLanguage);
                return self.read_unknown(at, name, value);
            }
            _ => return self.read_unknown(at, name, value),
        }
        self.speaks_of_all = true;
        self.lines.note(name, at.line());
        Ok(())
    }

    /// Tags that concern the segments behind them; `false` when this is none.
    fn read_segment_tag(&mut self, at: Place<'_>, name: &str, list: &str) -> Result<bool, ParseErrorKind> {
        let (scope, segment) = (&mut self.scope, &mut self.media.segment);
        match name {
            "EXT-X-BYTERANGE" => segment.byte_range(scope, at, list)?,
            "EXT-X-DISCONTINUITY" => segment.discontinuity(scope, at),
            "EXT-X-GAP" => segment.gap(),
            "EXT-X-PROGRAM-DATE-TIME" => segment.date(scope, at, list),
            "EXT-X-BITRATE" => segment.bitrate(scope, at, list),
            "EXT-X-KEY" => segment.key(scope, at, list)?,
            "EXT-X-MAP" => {
                scope.needs(at, if segment.carry.iframes_only { 5 } else { 6 });
                segment.map(scope, at, list)?;
            }
            "EXT-X-PART" => segment.part(scope, at, list)?,
            "EXT-X-DATERANGE" => self.media.date_range(scope, at, list)?,
            _ => return Ok(false),
        }
        self.enter(Kind::Media)?;
        Ok(true)
    }

    /// Tags that concern all of a media playlist; `false` when this is none.
    fn read_media_tag(&mut self, at: Place<'_>, name: &str, list: &str) -> Result<bool, ParseErrorKind> {
        let (scope, media) = (&mut self.scope, &mut self.media);
        match name {
            "EXT-X-TARGETDURATION" => media.target_duration(scope, at, list)?,
            "EXT-X-MEDIA-SEQUENCE" => media.media_sequence(scope, at, list)?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => media.discontinuity_sequence(scope, at, list)?,
            "EXT-X-PLAYLIST-TYPE" => media.playlist_type(scope, at, list)?,
            "EXT-X-ENDLIST" => raise(&mut media.header.ended, "EXT-X-ENDLIST")?,
            "EXT-X-I-FRAMES-ONLY" => {
                scope.needs(at, 4);
                raise(&mut media.segment.carry.iframes_only, "EXT-X-I-FRAMES-ONLY")?;
            }
            "EXT-X-PART-INF" => media.part_inf(scope, at, list)?,
            "EXT-X-SERVER-CONTROL" => media.server_control(scope, at, list)?,
            "EXT-X-PRELOAD-HINT" => media.preload_hint(scope, at, list)?,
            "EXT-X-RENDITION-REPORT" => media.rendition_report(scope, at, list)?,
            "EXT-X-SKIP" => media.skip(scope, at, list)?,
            _ => return Ok(false),
        }
        if media.header.merged {
            // What follows stands behind segments.
            self.kind.get_or_insert(Kind::Media);
        }
        self.media_tag.get_or_insert(at.line());
        Ok(true)
    }

    /// Tags of a multivariant playlist; `false` when this is none.
    fn read_multivariant_tag(&mut self, at: Place<'_>, name: &str, list: &str) -> Result<bool, ParseErrorKind> {
        let (scope, multivariant) = (&mut self.scope, &mut self.multivariant);
        match name {
            "EXT-X-STREAM-INF" => multivariant.stream(scope, at, list),
            "EXT-X-I-FRAME-STREAM-INF" => multivariant.iframe_stream(scope, at, list)?,
            "EXT-X-MEDIA" => multivariant.media(scope, at, list)?,
            "EXT-X-CONTENT-STEERING" => multivariant.content_steering(scope, at, list)?,
            "EXT-X-SESSION-KEY" | "EXT-X-SESSION-DATA" => {
                match name {
                    "EXT-X-SESSION-KEY" => multivariant.session_key(scope, at, list)?,
                    _ => multivariant.session_data(scope, at, list)?,
                }
                self.session_tag.get_or_insert(at.line());
                self.lines.note(name, at.line());
                return Ok(true);
            }
            _ => return Ok(false),
        }
        self.enter(Kind::Multivariant)?;
        Ok(true)
    }

    fn read_version(&mut self, at: Place<'_>, value: &str) -> Result<(), ParseErrorKind> {
        if self.version.is_some() {
            return Err(ParseErrorKind::Duplicate { tag: "EXT-X-VERSION" });
        }
        self.version = self.scope.integer(at, value);
        if self.version.is_some_and(|version| version > NEWEST_VERSION) {
            self.scope.violation_of(at, Rule::UnknownVersion, value);
        }
        Ok(())
    }

    fn read_start(&mut self, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        if self.start.is_some() {
            return Err(ParseErrorKind::Duplicate { tag: "EXT-X-START" });
        }
        let (mut time_offset, mut precise) = (None, false);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "TIME-OFFSET" => time_offset = Decimal::read(attribute.value),
                "PRECISE" => precise = attribute.is_yes(),
                _ => {}
            }
        }
        match time_offset.and_then(|(offset, _)| offset.media_time()) {
            Some(time_offset) => self.start = Some(Start { time_offset, precise }),
            None => self.scope.violation(at, Rule::StartWithoutOffset),
        }
        Ok(())
    }

    fn read_unknown(&mut self, at: Place<'_>, name: &str, value: Option<&str>) -> Result<(), ParseErrorKind> {
        let tag = UnknownTag { name: name.into(), value: value.map(Arc::from), before: None, line: at.line() };
        match self.kind {
            Some(Kind::Media) => self.media.unknown(&mut self.scope, tag),
            _ => {
                self.scope.count_metadata()?;
                self.unknown.push(tag);
                Ok(())
            }
        }
    }
}

/// The protocol version that this library implements.
const NEWEST_VERSION: u64 = 13;
