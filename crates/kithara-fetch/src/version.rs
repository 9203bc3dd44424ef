//! Which version of a resource bytes are of, and whether two can be one.

use kithara_assets::{Present, StoredVersion, StreamingResource};
use kithara_net::Validators;

use crate::head::validators_of;
use crate::{FetchError, FetchErrorKind};

/// What is known of which version some bytes are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) validators: Validators,
    pub(crate) total_len: Option<u64>,
}

impl Version {
    pub(crate) fn of(head: &kithara_net::Head) -> Self {
        Self { validators: head.validators.clone(), total_len: head.total_len }
    }

    /// Whether anything tells it from another one.
    pub(crate) fn can_be_told(&self) -> bool {
        !self.validators.is_empty() || self.total_len.is_some()
    }

    /// What is known of both together, if they may be one version.
    pub(crate) fn joined_by(mut self, other: &Self) -> Result<Self, FetchError> {
        let lengths_agree = match (self.total_len, other.total_len) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        if !lengths_agree || !self.validators.agree_with(&other.validators) {
            return Err(FetchError::new(FetchErrorKind::Changed));
        }
        self.total_len = self.total_len.or(other.total_len);
        if self.validators.is_empty() {
            self.validators = other.validators.clone();
        }
        Ok(self)
    }
}

/// The version that the store has, if it is for certain the one that is being delivered.
pub(crate) fn same_version(store: &StreamingResource, version: &Version) -> Option<StoredVersion> {
    if version.validators.is_empty() {
        return None;
    }
    let Present { meta, total_len, version: stored, .. } = store.present(0..0);
    let known = Version { validators: validators_of(&meta?), total_len };
    stored.filter(|_| !known.validators.is_empty() && version.clone().joined_by(&known).is_ok())
}
