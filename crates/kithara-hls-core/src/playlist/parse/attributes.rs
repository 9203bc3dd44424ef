//! Attribute lists (RFC 8216 section 4.2).

use super::lexer::{behind, trimmed};

/// One attribute of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Attribute<'a> {
    pub(in super::super) name: &'a str,
    /// Without quotes. Empty when there is no `=`.
    pub(in super::super) value: &'a str,
    pub(in super::super) quoted: bool,
}

impl Attribute<'_> {
    /// Whether an enumerated string is YES. Some packagers quote it.
    pub(super) fn is_yes(&self) -> bool {
        self.value == "YES"
    }
}

/// The attributes of a list, in order.
///
/// More is understood than the grammar allows, as players do: blanks around names and values, empty entries, a last
/// quote that is missing.
#[derive(Clone, Debug)]
pub(in super::super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    pub(in super::super) fn of(list: &'a str) -> Self {
        Self { rest: list }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let rest = skipped(self.rest, |byte| matches!(byte, b',' | b' ' | b'\t'));
        if rest.is_empty() {
            self.rest = rest;
            return None;
        }
        let Some(end) = memchr::memchr2(b'=', b',', rest.as_bytes()) else {
            self.rest = "";
            return Some(Attribute { name: trimmed(rest), value: "", quoted: false });
        };
        let name = trimmed(&rest[..end]);
        if rest.as_bytes()[end] == b',' {
            self.rest = &rest[end + 1..];
            return Some(Attribute { name, value: "", quoted: false });
        }
        let value = skipped(&rest[end + 1..], |byte| matches!(byte, b' ' | b'\t'));
        let attribute = match behind(value, b'"') {
            Some(inner) => {
                let (value, after) = split(inner, b'"');
                self.rest = split(after, b',').1;
                Attribute { name, value, quoted: true }
            }
            None => {
                let (value, after) = split(value, b',');
                self.rest = after;
                Attribute { name, value: trimmed(value), quoted: false }
            }
        };
        Some(attribute)
    }
}

/// `text` without the ASCII characters at its beginning that are `skip`.
fn skipped(text: &str, skip: impl Fn(u8) -> bool) -> &str {
    &text[text.bytes().take_while(|byte| byte.is_ascii() && skip(*byte)).count()..]
}

/// What stands before and behind the first `byte`; all of it before when there is none.
fn split(text: &str, byte: u8) -> (&str, &str) {
    match memchr::memchr(byte, text.as_bytes()) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, want: &[(&str, &str, bool)]) {
        let found: Vec<_> = Attributes::of(list).map(|it| (it.name, it.value, it.quoted)).collect();
        assert_eq!(found, want, "{list}");
    }

    #[test]
    fn lists_as_the_grammar_has_them() {
        check("A=1,B=\"x,y=z\",C=NO", &[("A", "1", false), ("B", "x,y=z", true), ("C", "NO", false)]);
        check("A=\"\"", &[("A", "", true)]);
        check("", &[]);
    }

    #[test]
    fn lists_as_packagers_write_them() {
        check(" A = 1 , B= \"x\" ,,C=2,", &[("A", "1", false), ("B", "x", true), ("C", "2", false)]);
        check("A=\"x", &[("A", "x", true)]);
        check("A,B=1", &[("A", "", false), ("B", "1", false)]);
        check("A=\"x\"y,B=1", &[("A", "x", true), ("B", "1", false)]);
        check("A=x\"y\",B=1", &[("A", "x\"y\"", false), ("B", "1", false)]);
    }
}
