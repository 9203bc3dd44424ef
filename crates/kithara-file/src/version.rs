//! Which version of the file bytes are of: pure.

use kithara_fetch::{Head, net::Validators};

/// What is known of the version that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version {
    validators: Validators,
    len: Option<u64>,
}

impl Version {
    pub(crate) fn of(head: &Head) -> Self {
        Self { validators: head.validators.clone(), len: head.total_len }
    }

    /// What is known of both together; `None` where they cannot be one version.
    pub(crate) fn joined_by(self, other: &Self) -> Option<Self> {
        let lengths_differ = self.len.zip(other.len).is_some_and(|(ours, theirs)| ours != theirs);
        if lengths_differ || !self.validators.agree_with(&other.validators) {
            return None;
        }
        let validators = if self.validators.is_empty() { other.validators.clone() } else { self.validators };
        Some(Self { validators, len: self.len.or(other.len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(etag: &str, len: u64) -> Version {
        let etag = Some(etag.to_owned()).filter(|etag| !etag.is_empty());
        Version { validators: Validators { etag, last_modified: None }, len: Some(len).filter(|len| *len > 0) }
    }

    #[track_caller]
    fn check(a: (&str, u64), b: (&str, u64), want: Option<(&str, u64)>) {
        let joined = version(a.0, a.1).joined_by(&version(b.0, b.1));
        assert_eq!(joined, want.map(|(etag, len)| version(etag, len)));
    }

    #[test]
    fn versions_are_one_unless_something_differs() {
        check(("", 0), ("\"a\"", 5), Some(("\"a\"", 5)));
        check(("\"a\"", 5), ("", 0), Some(("\"a\"", 5)));
        check(("\"a\"", 5), ("\"a\"", 5), Some(("\"a\"", 5)));
        check(("\"a\"", 5), ("\"b\"", 5), None);
        check(("\"a\"", 5), ("\"a\"", 6), None);
        check(("", 5), ("", 6), None);
    }
}
