//! Asking the index to take a span, and its answers.

use crate::format::Record;
use crate::key::ResourceKey;
use crate::spans::Span;

/// A span that asks to be admitted, with what it says of its resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) span: Span,
    pub(crate) total: Option<u64>,
    pub(crate) mark: u64,
    pub(crate) fingerprint: u64,
    /// When it was last used.
    pub(crate) stamp: u64,
    pub(crate) rule: Rule,
}

/// What happens to an offer that meets spans it does not agree with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A part must agree; a whole resource takes the place of all there was, unless that is the same.
    Commit,
    /// It takes the place of all there was, also of the same.
    Replace,
    /// It was committed some time ago; the younger wins.
    Restore,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is there; these spans are not any more. One of them may have the start, hence the file, of the new one.
    Admitted { gone: Vec<Span> },
    /// What it brings was there before.
    Redundant,
    /// It disagrees about length or version.
    Conflict,
}

/// What would become of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It joins what is there.
    Join,
    /// It takes the place of what is there.
    Replace,
    /// It takes the place of a span of the same range, which was committed before it.
    Renew,
    /// What it brings is there.
    Redundant,
    /// It disagrees with what is there.
    Conflict,
}

impl Offer {
    pub(crate) fn is_whole(&self) -> bool {
        self.span.start == 0 && self.total == Some(self.span.len)
    }

    /// True where it says that its resource ends before it does.
    pub(crate) fn is_beyond_its_end(&self) -> bool {
        self.total.is_some_and(|total| total < self.span.end())
    }

    /// What the journal says of it.
    pub(crate) fn record(&self, key: &ResourceKey) -> Record {
        let Self { span: Span { start, len, stored, committed }, total, mark, fingerprint, stamp, .. } = *self;
        Record::Span { key: *key, start, len, total, mark, stored, committed, stamp, fingerprint }
    }
}
