//! Strings of a playlist, shared with the text they come from.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use url::Url;

/// A piece of a playlist text that its URIs and titles point into, so that a line costs no allocation.
#[derive(PartialEq)]
pub(super) struct Source {
    /// What relative URIs of the piece are relative to; without query and fragment, which resolution never uses.
    pub(super) base: Arc<Url>,
    pub(super) text: Box<str>,
}

/// A place in a [`Source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(super) const EMPTY: Self = Self { start: 0, len: 0 };

    /// The `len` bytes from `next` on, which is moved behind them.
    pub(super) fn next(next: &mut u32, len: usize) -> Self {
        let len = length(len);
        let span = Self { start: *next, len };
        *next += len;
        span
    }

    /// Where `part` stands in `source`; `None` when it does not point into it.
    pub(super) fn of(part: &str, source: &Source) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(source.text.as_ptr() as usize)?;
        let inside = start.checked_add(part.len())? <= source.text.len();
        let (start, len) = (u32::try_from(start).ok()?, u32::try_from(part.len()).ok()?);
        inside.then_some(Self { start, len })
    }

    pub(super) fn in_text(self, text: &str) -> &str {
        &text[self.start as usize..][..self.len as usize]
    }
}

/// A string of a playlist. Cloning is cheap; it keeps alive the piece of the playlist text it stands in, which is about
/// a hundred segments long.
#[derive(Clone)]
pub(super) struct Text {
    source: Arc<Source>,
    span: Span,
}

impl Text {
    /// `part` of `source` when it points into it, else a copy.
    pub(super) fn within(source: &Arc<Source>, part: &str) -> Self {
        match Span::of(part, source) {
            Some(span) => Self { source: source.clone(), span },
            None => Self::copied(&source.base, part, "").0,
        }
    }

    /// A copy of `text`, and of a second one beside it.
    pub(super) fn copied(base: &Arc<Url>, text: &str, other: &str) -> (Self, Span) {
        let source = Source { base: base.clone(), text: [text, other].concat().into() };
        let mut next = 0;
        let (span, beside) = (Span::next(&mut next, text.len()), Span::next(&mut next, other.len()));
        (Self { source: Arc::new(source), span }, beside)
    }

    /// What stands at `span` of `source`.
    pub(super) fn at(source: &Arc<Source>, span: Span) -> Self {
        Self { source: source.clone(), span }
    }

    /// A source of another text with the same base.
    pub(super) fn source_beside(&self, text: String) -> Arc<Source> {
        Arc::new(Source { base: self.source.base.clone(), text: text.into() })
    }

    /// What stands at `span` of the same source.
    pub(super) fn beside(&self, span: Span) -> &str {
        span.in_text(&self.source.text)
    }

    pub(super) fn is_of(&self, source: &Arc<Source>) -> bool {
        Arc::ptr_eq(&self.source, source)
    }

    /// The string.
    pub(super) fn as_str(&self) -> &str {
        self.span.in_text(&self.source.text)
    }

    pub(super) fn base(&self) -> &Arc<Url> {
        &self.source.base
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("the limits on a playlist are far below 4 GiB")
}
