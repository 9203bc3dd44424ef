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

    /// Where `part` stands once it is added to `text`.
    pub(super) fn append(text: &mut String, part: &str) -> Self {
        let span = Self { start: length(text.len()), len: length(part.len()) };
        text.push_str(part);
        span
    }

    /// The offset behind it.
    pub(super) fn end(self) -> u32 {
        self.start + self.len
    }

    /// Where `part` stands in `source`; `None` when it does not point into it.
    #[inline]
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
    /// A copy of `text`.
    pub(super) fn copied(base: &Arc<Url>, text: &str) -> Self {
        let span = Span { start: 0, len: length(text.len()) };
        Self { source: Arc::new(Source { base: base.clone(), text: text.into() }), span }
    }

    /// What stands at `span` of `source`.
    pub(super) fn at(source: &Arc<Source>, span: Span) -> Self {
        Self { source: source.clone(), span }
    }

    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(super) fn span(&self) -> Span {
        self.span
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
