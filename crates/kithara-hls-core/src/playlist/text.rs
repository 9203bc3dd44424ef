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

/// A string of a playlist. Cloning is cheap; it keeps alive the piece of the playlist text it stands in, which is about
/// a hundred segments long.
#[derive(Clone)]
pub struct Text {
    source: Arc<Source>,
    start: u32,
    len: u32,
}

impl Text {
    /// `part` of `source` when it points into it, else a copy.
    pub(super) fn within(source: &Arc<Source>, part: &str) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(source.text.as_ptr() as usize);
        let end = start.wrapping_add(part.len());
        match (u32::try_from(start), u32::try_from(part.len())) {
            (Ok(start), Ok(len)) if end <= source.text.len() => Self { source: source.clone(), start, len },
            _ => Self::copied(&source.base, part),
        }
    }

    /// A copy of `text`, cut at 4 GiB.
    pub(super) fn copied(base: &Arc<Url>, text: &str) -> Self {
        let len = u32::try_from(text.len()).unwrap_or(0);
        let text = text[..len as usize].into();
        Self { source: Arc::new(Source { base: base.clone(), text }), start: 0, len }
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source.text[self.start as usize..][..self.len as usize]
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
