//! Which version of a resource is stored.

/// Names the version of a resource whose bytes a store has, so that a reader that comes back later is not handed the
/// bytes of another one: see [`StreamingResource::read_span_of`](crate::StreamingResource::read_span_of).
///
/// It is good for one resource of one open store, and is not kept. Equal values name the same version; different ones may
/// do so, too, for something may have become known of it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredVersion {
    /// Changes whenever what is present may be of another version: when it was replaced, or removed and stored again.
    pub(crate) generation: u64,
    /// See [`Validators::mark`](crate::Validators); zero where there are none.
    pub(crate) mark: u64,
    pub(crate) total: Option<u64>,
}

impl StoredVersion {
    /// Whether this is the version that bytes with this mark, of a resource with this length, are of. False where nothing
    /// says so.
    pub(crate) fn is_of(&self, mark: u64, total: Option<u64>) -> bool {
        let totals_agree = self.total.zip(total).is_none_or(|(one, other)| one == other);
        self.mark != 0 && self.mark == mark && totals_agree
    }
}
