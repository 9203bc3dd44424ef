//! What every tag may need: variables, bounds, and where to note violations.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::block::Located;
use super::super::text::{Source, Span, Text};
use super::super::uri::Origins;
use super::super::{AttributeValue, ByteRange, Key, Line, ParseErrorKind, Rule, Uri, UriRef, Variables, Violation};
use super::attributes::{Attribute, Attributes};
use super::lexer::{behind, trimmed};
use super::limits::Limits;
use super::{ParseOptions, decimal};

/// The line that is being read, and the piece of text it stands in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) source: &'a Arc<Source>,
    pub(super) line: u32,
}

impl Place<'_> {
    pub(super) fn line(&self) -> Line {
        Line(self.line)
    }

    /// `part`, which stands in the line.
    pub(super) fn text(&self, part: &str) -> Text {
        match Span::of(part, self.source) {
            Some(span) => Text::at(self.source, span),
            None => Text::copied(&self.source.base, part),
        }
    }
}

/// State that outlives a line and belongs to no kind of playlist.
pub(super) struct Scope<'a> {
    pub(super) limits: &'a Limits,
    pub(super) violations: Vec<Violation>,
    pub(super) variables: Variables,
    imports: Option<&'a Variables>,
    /// The address of the playlist, query included.
    address: &'a Url,
    /// Whether `{$` occurs in the current piece; most lines are spared the search.
    expands: bool,
    /// Whether `REQ-` occurs in the current piece.
    requires: bool,
    /// The first variable that is imported.
    pub(super) import: Option<Line>,
    expanded: usize,
    entries: usize,
    metadata: usize,
    origins: Origins,
    /// The KEYFORMAT and the KEYFORMATVERSIONS of keys that state none, which share them.
    pub(super) keyformat: Arc<str>,
    pub(super) keyformatversions: Arc<str>,
    /// The highest EXT-X-VERSION that something in the text needs, and the first line that needs it: before the current
    /// piece, and in it.
    needs: (u64, u32),
    piece_needs: (u64, u32),
}

/// The longest time a playlist may speak of, and the longest it may play: 292 years. Presentation time counts signed
/// nanoseconds, and any sum of so many of these that a text can hold still is a duration.
pub(super) const LONGEST: Duration = Duration::from_nanos(LONGEST_NANOS);
pub(super) const LONGEST_NANOS: u64 = i64::MAX as u64;

/// Violations beyond these are not kept, and of a value at fault no more characters than these.
const MAX_VIOLATIONS: usize = 1_000;
const MAX_FOUND: usize = 40;

impl<'a> Scope<'a> {
    pub(super) fn new(address: &'a Url, options: &'a ParseOptions<'_>) -> Self {
        Self {
            limits: &options.limits,
            violations: Vec::new(),
            variables: Variables::default(),
            imports: options.imports,
            address,
            expands: false,
            requires: false,
            import: None,
            expanded: 0,
            entries: 0,
            metadata: 0,
            origins: Origins::new(address),
            keyformat: Key::IDENTITY.into(),
            keyformatversions: "1".into(),
            needs: (1, 0),
            piece_needs: (1, 0),
        }
    }

    pub(super) fn violation(&mut self, at: Place<'_>, rule: Rule) {
        self.violation_at(at.line(), rule);
    }

    pub(super) fn violation_at(&mut self, line: Line, rule: Rule) {
        self.note(Violation { line, rule, found: None });
    }

    /// A violation and the value that is one. URIs and what may hold a secret are not to be shown.
    pub(super) fn violation_of(&mut self, at: Place<'_>, rule: Rule, found: &str) {
        let end = found.char_indices().nth(MAX_FOUND).map_or(found.len(), |(end, _)| end);
        self.note(Violation { line: at.line(), rule, found: Some(found[..end].into()) });
    }

    pub(super) fn note(&mut self, violation: Violation) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation);
        }
    }

    /// Notes that the line needs at least this EXT-X-VERSION (section 8).
    pub(super) fn needs(&mut self, at: Place<'_>, version: u64) {
        if version > self.piece_needs.0 {
            self.piece_needs = (version, at.line);
        }
    }

    pub(super) fn needs_at(&mut self, version: u64, line: u32) {
        if version > self.needs.0 {
            self.needs = (version, line);
        }
    }

    pub(super) fn begin_piece(&mut self, text: &str) {
        // Neither character is in most texts.
        self.expands = memchr::memchr(b'{', text.as_bytes()).is_some() && text.contains("{$");
        self.requires = memchr::memchr(b'Q', text.as_bytes()).is_some() && text.contains("REQ-");
        self.piece_needs = (1, 0);
    }

    /// What the piece needs.
    pub(super) fn end_piece(&mut self) -> (u64, u32) {
        self.needs_at(self.piece_needs.0, self.piece_needs.1);
        self.piece_needs
    }

    /// Whether no more violations are kept.
    pub(super) fn is_full(&self) -> bool {
        self.violations.len() >= MAX_VIOLATIONS
    }

    pub(super) fn needed_version(&self) -> (u64, Line) {
        (self.needs.0, Line(self.needs.1))
    }

    /// Counts a variant, rendition or the like.
    pub(super) fn count_entry(&mut self) -> Result<(), ParseErrorKind> {
        count(&mut self.entries, self.limits.entries, "variants and renditions")
    }

    /// Counts a date range, unknown tag or the like.
    pub(super) fn count_metadata(&mut self) -> Result<(), ParseErrorKind> {
        count(&mut self.metadata, self.limits.metadata, "date ranges and unknown tags")
    }

    /// Whether variable references may occur in the current piece.
    pub(super) fn expands(&self) -> bool {
        self.expands
    }

    /// The value of a variable. Where it uses one that is not defined, it is taken as it stands, as some players do: its
    /// use then shows what is missing.
    fn expand_value(&mut self, at: Place<'_>, value: &str) -> Result<String, ParseErrorKind> {
        match self.expand(value).map(Cow::into_owned) {
            Err(ParseErrorKind::UndefinedVariable) => {
                self.violation(at, Rule::UndefinedInValue);
                Ok(value.to_owned())
            }
            expanded => expanded,
        }
    }

    /// `text` with its variable references replaced; what they are replaced by is not looked at again (section 6.3.1).
    pub(super) fn expand<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, ParseErrorKind> {
        if !self.expands || !text.contains("{$") {
            return Ok(Cow::Borrowed(text));
        }
        let mut expanded = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("{$") {
            let Some(len) = rest[start + 2..].find('}') else { break };
            let name = &rest[start + 2..start + 2 + len];
            let value = self.variables.get(name).ok_or(ParseErrorKind::UndefinedVariable)?;
            expanded.push_str(&rest[..start]);
            expanded.push_str(value);
            rest = &rest[start + 3 + len..];
            self.expanded += value.len();
            if self.expanded > self.limits.expansion {
                let limit = self.limits.expansion;
                return Err(ParseErrorKind::TooLarge { what: "bytes out of variables", limit });
            }
        }
        expanded.push_str(rest);
        Ok(Cow::Owned(expanded))
    }

    /// The attributes of a list, of which no name may stand twice.
    pub(super) fn attributes<'t>(&mut self, at: Place<'_>, list: &'t str) -> Attributes<'t> {
        if has_attribute_twice(list) {
            self.violation(at, Rule::AttributeTwice);
        }
        Attributes::of(list)
    }

    pub(super) fn uri(&mut self, at: Place<'_>, raw: &str) -> Result<Uri, ParseErrorKind> {
        match self.located_uri(at, raw)? {
            Located::Here(span) => Ok(UriRef::at(at.source, span).to_uri()),
            Located::Elsewhere(uri) => Ok(uri),
        }
    }

    /// The URI of a segment.
    #[inline]
    pub(super) fn located_uri(&mut self, at: Place<'_>, raw: &str) -> Result<Located, ParseErrorKind> {
        if !self.expands
            && let Some(span) = Span::of(raw, at.source)
        {
            return match self.origins.check(&at.source.base, raw) {
                Ok(()) => Ok(Located::Here(span)),
                Err(_) => Err(ParseErrorKind::InvalidUri),
            };
        }
        let expanded = self.expand(raw)?;
        self.origins.check(&at.source.base, &expanded).map_err(|_| ParseErrorKind::InvalidUri)?;
        Ok(match Span::of(&expanded, at.source) {
            Some(span) => Located::Here(span),
            None => Located::Elsewhere(Uri::checked(&at.source.base, &expanded)),
        })
    }

    /// A URI that outlives the text around it: keys and initialization sections apply to segments to come.
    pub(super) fn lasting_uri(&mut self, at: Place<'_>, raw: &str) -> Result<Uri, ParseErrorKind> {
        Ok(self.uri(at, raw)?.detached())
    }

    /// The text of an attribute that should be a quoted string.
    pub(super) fn quoted(&mut self, at: Place<'_>, attribute: Attribute<'_>) -> Result<Arc<str>, ParseErrorKind> {
        if !attribute.quoted {
            self.violation(at, Rule::UnquotedString);
        }
        Ok(self.expand(attribute.value)?.into())
    }

    pub(super) fn any(&mut self, attribute: Attribute<'_>) -> Result<AttributeValue, ParseErrorKind> {
        let text: Arc<str> = self.expand(attribute.value)?.into();
        Ok(if attribute.quoted { AttributeValue::Quoted(text) } else { AttributeValue::Plain(text) })
    }

    /// A decimal integer; when it is none, that is noted and nothing given.
    pub(super) fn integer(&mut self, at: Place<'_>, value: &str) -> Option<u64> {
        let read = decimal::integer(value);
        if !read.is_some_and(|(_, rest)| rest.is_empty()) {
            self.violation_of(at, Rule::InvalidNumber, value);
        }
        read.map(|(number, _)| number)
    }

    /// Seconds, at most [`LONGEST`]; when they are none, that is noted and nothing given.
    pub(super) fn seconds(&mut self, at: Place<'_>, value: &str) -> Option<Duration> {
        let (decimal, rest) = match decimal::Decimal::read(value) {
            Some(read) => read,
            None => {
                self.violation_of(at, Rule::InvalidNumber, value);
                return None;
            }
        };
        let seconds = decimal.duration();
        if decimal.negative || !rest.is_empty() || seconds > LONGEST {
            self.violation_of(at, Rule::InvalidNumber, value);
        }
        Some(seconds.min(LONGEST))
    }

    /// Whether the list has an attribute that this library must know and does not (section 6.3.1).
    pub(super) fn is_beyond_us(&mut self, at: Place<'_>, list: &str, known: &[&str]) -> bool {
        if !list.contains("REQ-") {
            return false;
        }
        let required = Attributes::of(list).any(|it| it.name.starts_with("REQ-"));
        if required {
            self.needs(at, 12);
        }
        required && Attributes::of(list).any(|it| it.name.starts_with("REQ-") && !known.contains(&it.name))
    }

    /// Whether a tag must be ignored since it has an attribute that this library must know and does not. Variants and
    /// renditions know more of them and look for themselves.
    pub(super) fn must_ignore(&mut self, at: Place<'_>, name: &str, list: &str) -> bool {
        const OWN_LOOK: [&str; 3] = ["EXT-X-STREAM-INF", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-MEDIA"];
        let ignored = self.requires && !OWN_LOOK.contains(&name) && self.is_beyond_us(at, list, &[]);
        if ignored {
            self.violation(at, Rule::UnknownRequirement);
        }
        ignored
    }

    /// EXT-X-DEFINE (section 4.4.2.3). A variable that gets no value from outside stays undefined: that is an error where
    /// it is used, and harmless where it is not.
    pub(super) fn define(&mut self, at: Place<'_>, list: &str) -> Result<(), ParseErrorKind> {
        const TAG: &str = "EXT-X-DEFINE";
        self.needs(at, 8);
        let (mut name, mut value, mut import, mut query) = (None, None, None, None);
        for attribute in Attributes::of(list) {
            match attribute.name {
                "NAME" => name = Some(attribute.value),
                "VALUE" => value = Some(attribute.value),
                "IMPORT" => import = Some(attribute.value),
                "QUERYPARAM" => query = Some(attribute.value),
                _ => {}
            }
        }
        match (name, import, query) {
            (Some(name), None, None) => {
                let value = value.ok_or(ParseErrorKind::Missing { tag: TAG, attribute: "VALUE" })?;
                let value = self.expand_value(at, value)?;
                self.insert(name, &value)
            }
            (None, Some(name), None) => {
                self.import.get_or_insert(at.line());
                let value = self.imports.and_then(|all| all.get(name)).cloned();
                self.insert_foreign(at, name, value.as_deref(), Rule::ImportWithoutValue)
            }
            (None, None, Some(name)) => {
                self.needs(at, 11);
                let value = query_parameter(self.address, name);
                self.insert_foreign(at, name, value.as_deref(), Rule::QueryParameterWithoutValue)
            }
            _ => Err(ParseErrorKind::Invalid { tag: TAG }),
        }
    }

    fn insert_foreign(
        &mut self,
        at: Place<'_>,
        name: &str,
        value: Option<&str>,
        absent: Rule,
    ) -> Result<(), ParseErrorKind> {
        match value {
            Some(value) => self.insert(name, value),
            None => {
                self.violation_of(at, absent, name);
                Ok(())
            }
        }
    }

    fn insert(&mut self, name: &str, value: &str) -> Result<(), ParseErrorKind> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(legal) || value.contains(['"', '\r', '\n']) {
            return Err(ParseErrorKind::Invalid { tag: "EXT-X-DEFINE" });
        }
        if self.variables.len() >= self.limits.variables {
            let limit = self.limits.variables;
            return Err(ParseErrorKind::TooLarge { what: "variables", limit });
        }
        match self.variables.insert(name, value) {
            Some(_) => Err(ParseErrorKind::DuplicateVariable),
            None => Ok(()),
        }
    }
}

fn has_attribute_twice(list: &str) -> bool {
    // Few lists have more; their names are sorted.
    let mut few = [""; 8];
    for (at, attribute) in Attributes::of(list).enumerate() {
        match few.get_mut(at) {
            Some(place) => *place = attribute.name,
            None => {
                let mut names: Vec<&str> = Attributes::of(list).map(|attribute| attribute.name).collect();
                names.sort_unstable();
                return names.windows(2).any(|pair| pair[0] == pair[1]);
            }
        }
        if few[..at].contains(&attribute.name) {
            return true;
        }
    }
    false
}

fn count(counter: &mut usize, limit: usize, what: &'static str) -> Result<(), ParseErrorKind> {
    *counter += 1;
    if *counter > limit { Err(ParseErrorKind::TooLarge { what, limit }) } else { Ok(()) }
}

/// The value of the first parameter `name`, percent-decoded; a plus sign is a plus sign. `None` when it is absent or has
/// no value.
fn query_parameter(address: &Url, name: &str) -> Option<String> {
    let pairs = address.query()?.split('&');
    let value = pairs
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (percent_decoded(key) == name).then(|| percent_decoded(value)))?;
    (!value.is_empty()).then_some(value)
}

fn percent_decoded(text: &str) -> String {
    let hex = |byte: u8| char::from(byte).to_digit(16);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1).zip(bytes.get(at + 2)).filter(|_| *byte == b'%');
        match digits.and_then(|(high, low)| Some(hex(*high)? * 16 + hex(*low)?)) {
            Some(value) => {
                decoded.push(value as u8);
                at += 3;
            }
            None => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// `<n>[@<o>]` (section 4.4.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawByteRange {
    pub(super) len: u64,
    pub(super) start: Option<u64>,
}

impl RawByteRange {
    #[inline(always)]
    pub(super) fn read(text: &str) -> Option<Self> {
        let (len, rest) = decimal::integer(trimmed(text))?;
        let start = match behind(trimmed(rest), b'@') {
            Some(start) => Some(decimal::integer(trimmed(start))?.0),
            None => None,
        };
        Some(Self { len, start })
    }

    /// The range, `implied` being the start where none is written.
    pub(super) fn resolved(self, implied: u64) -> Result<ByteRange, ParseErrorKind> {
        let start = self.start.unwrap_or(implied);
        start.checked_add(self.len).ok_or(ParseErrorKind::OutOfRange)?;
        Ok(ByteRange { start, len: self.len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parameters_are_decoded_once() {
        let url = Url::parse("http://h/i.m3u8?a=1&b=x%2By+z%25&c=&a=2&d%20e=f&g=%zz").unwrap();
        let value = |name| query_parameter(&url, name);
        assert_eq!(value("a").as_deref(), Some("1"));
        assert_eq!(value("b").as_deref(), Some("x+y+z%"));
        assert_eq!(value("c"), None);
        assert_eq!(value("d e").as_deref(), Some("f"));
        assert_eq!(value("g").as_deref(), Some("%zz"));
        assert_eq!(value("h"), None);
    }

    #[test]
    fn byte_ranges() {
        let read = RawByteRange::read;
        assert_eq!(read("100@5"), Some(RawByteRange { len: 100, start: Some(5) }));
        assert_eq!(read("100"), Some(RawByteRange { len: 100, start: None }));
        assert_eq!(read("100@"), None);
        assert_eq!(read("@5"), None);
        let wraps = read("1@18446744073709551615").unwrap();
        assert_eq!(wraps.resolved(0), Err(ParseErrorKind::OutOfRange));
    }
}
