//! The letters of a text: what the parser is lenient about.

use super::super::parse::attributes::{Attribute, Attributes};
use super::super::parse::decimal::{self, Decimal};
use super::super::parse::lexer::{Token, token};
use super::super::{Line, Rule, Violation};
use super::table::{Form, Known, attributes};
use super::{Found, sorted};

/// Where the letters of a playlist break the rules of sections 4.1 to 4.4, in order of lines: characters, blanks, the
/// types of attributes. `text` need not be a playlist that can be parsed; it is to be no longer than
/// [`Limits::bytes`](super::super::Limits::bytes) allow.
///
/// No value of an attribute is repeated, since it may be a secret.
#[must_use]
pub fn lint_text(text: &[u8]) -> Vec<Violation> {
    let mut found = Found::default();
    let lone = memchr::memchr(b'\n', text).is_none() && memchr::memchr(b'\r', text).is_some();
    found.unless(!lone, Line(1), Rule::LineEnd);
    let text = String::from_utf8_lossy(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut ranges = Ranges::default();
    for (index, raw) in text.split(if lone { '\r' } else { '\n' }).enumerate() {
        let line = Line(u32::try_from(index + 1).unwrap_or(u32::MAX));
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        read_line(&mut found, &mut ranges, line, raw);
    }
    sorted(found.0)
}

fn read_line(found: &mut Found, ranges: &mut Ranges, line: Line, raw: &str) {
    let trimmed = raw.trim();
    if trimmed.is_empty() {
        return;
    }
    let token = token(trimmed);
    // The IDs of removed date ranges stand between tabs.
    let tabs = matches!(token, Token::Tag { name: "EXT-X-SKIP", .. });
    let control = |it: char| it.is_control() && !(it == '\t' && tabs);
    found.unless(!raw.contains(control), line, Rule::ControlCharacter);
    if token != Token::Comment {
        found.unless(trimmed.len() == raw.len(), line, Rule::Whitespace);
    }
    match token {
        Token::Comment => {}
        Token::Uri(uri) => {
            found.unless(!uri.contains(' '), line, Rule::Whitespace);
            found.unless(ranges.uri(uri), line, Rule::RangeOfAnother);
        }
        Token::Extinf(value) => found.unless(value.contains(','), line, Rule::ExtinfWithoutComma),
        Token::Tag { name: "EXTINF", .. } => found.unless(false, line, Rule::ExtinfWithoutComma),
        Token::Tag { name: "EXT-X-BYTERANGE", value } => {
            ranges.implied = Some(!value.unwrap_or_default().contains('@'));
        }
        Token::Tag { name: "EXT-X-PROGRAM-DATE-TIME", value } => {
            found.unless(is_full_date(value.unwrap_or_default()), line, Rule::VagueDate);
        }
        Token::Tag { name, value } => {
            if let Some(known) = attributes(name) {
                read_list(found, line, name, value.unwrap_or_default(), known);
            }
        }
    }
}

/// Which resource the byte range before was of.
#[derive(Default)]
struct Ranges {
    /// Whether the next segment has a byte range, and one without offset.
    implied: Option<bool>,
    before: Option<String>,
}

impl Ranges {
    /// A segment; whether its range may be where it is.
    fn uri(&mut self, uri: &str) -> bool {
        let implied = self.implied.take();
        let right = implied != Some(true) || self.before.as_deref().is_none_or(|before| before == uri);
        self.before = implied.map(|_| uri.to_owned());
        right
    }
}

fn read_list(found: &mut Found, line: Line, tag: &str, list: &str, known: &[Known]) {
    let mut names = Vec::new();
    let mut end = 0;
    for attribute in Attributes::of(list) {
        read_attribute(found, line, tag, attribute, known);
        names.push(attribute.name);
        // Between two attributes stands a comma, and nothing else.
        let start = attribute.name.as_ptr() as usize - list.as_ptr() as usize;
        let between = list.get(end..start).unwrap_or_default();
        found.unless(between == if end == 0 { "" } else { "," }, line, Rule::Whitespace);
        let quote = usize::from(attribute.quoted);
        let begin = start + attribute.name.len();
        let value = if attribute.value.is_empty() {
            begin + 1 + 2 * quote
        } else {
            attribute.value.as_ptr() as usize - list.as_ptr() as usize + attribute.value.len() + quote
        };
        found.unless(value == begin + 1 + 2 * quote + attribute.value.len(), line, Rule::Whitespace);
        end = value.min(list.len());
    }
    for it in known.iter().filter(|it| it.required) {
        found.named(names.contains(&it.name), line, Rule::MissingAttribute, it.name);
    }
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        found.named(false, line, Rule::AttributeTwice, pair[0]);
    }
}

fn read_attribute(found: &mut Found, line: Line, tag: &str, attribute: Attribute<'_>, known: &[Known]) {
    let Attribute { name, value, quoted } = attribute;
    let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
    found.named(!name.is_empty() && name.bytes().all(legal), line, Rule::AttributeName, name);
    if value.is_empty() && !quoted {
        return found.named(false, line, Rule::AttributeWithoutValue, name);
    }
    let Some(known) = known.iter().find(|it| it.name == name) else {
        let free = tag == "EXT-X-DATERANGE" && name.starts_with("X-");
        return found.named(free || name.starts_with("REQ-"), line, Rule::UnknownAttribute, name);
    };
    let text = matches!(known.form, Form::Quoted | Form::QuotedOrEmpty | Form::Date);
    match known.form {
        Form::QuotedOrNone => found.named(quoted || value == "NONE", line, Rule::UnquotedString, name),
        _ if text => found.named(quoted, line, Rule::UnquotedString, name),
        _ => found.named(!quoted, line, Rule::QuotedValue, name),
    }
    // What a variable stands for is not known here.
    if value.contains("{$") {
        return;
    }
    match known.form {
        Form::Quoted | Form::QuotedOrNone => found.named(!value.is_empty(), line, Rule::EmptyString, name),
        Form::QuotedOrEmpty => {}
        Form::Date => found.named(is_full_date(value), line, Rule::VagueDate, name),
        Form::Enumerated(all) => found.named(all.contains(&value), line, Rule::UnknownEnumerated, name),
        form => found.named(is_number(form, value), line, Rule::InvalidNumber, name),
    }
}

fn is_number(form: Form, value: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|it| it.is_ascii_digit() || it == b'.') && Decimal::read(text).is_some();
    match form {
        Form::Integer => decimal::integer(value).is_some_and(|(_, rest)| rest.is_empty()),
        Form::Decimal => plain(value),
        Form::SignedDecimal => plain(value.strip_prefix('-').unwrap_or(value)),
        Form::Hexadecimal => is_hexadecimal(value),
        Form::Resolution => value.split_once('x').is_some_and(|(width, height)| {
            [width, height].iter().all(|it| decimal::integer(it).is_some_and(|(_, rest)| rest.is_empty()))
        }),
        _ => true,
    }
}

/// Whether `value` is a hexadecimal sequence.
pub(super) fn is_hexadecimal(value: &str) -> bool {
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
    digits.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F')))
}

/// Whether a date tells its time zone and fractions of a second.
fn is_full_date(date: &str) -> bool {
    let Some((_, time)) = date.split_once(['T', 't', ' ']) else { return false };
    time.contains(['.', ',']) && time.contains(['Z', 'z', '+', '-'])
}
