//! Which writers are under way, so that an invalidation reaches them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::AssetsErrorKind;
use crate::key::ResourceKey;

/// Why a writer gave up; unset while it has not. Set by whoever notices first: the writer, the writer thread or an
/// invalidation.
pub(crate) type Fate = Arc<OnceLock<AssetsErrorKind>>;

/// The fates of all writers under way, by resource.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    open: Mutex<HashMap<ResourceKey, Vec<Fate>>>,
}

impl Fates {
    pub(crate) fn begin(&self, key: &ResourceKey) -> Fate {
        let fate = Fate::default();
        self.change(|open| open.entry(*key).or_default().push(Arc::clone(&fate)));
        fate
    }

    pub(crate) fn end(&self, key: &ResourceKey, fate: &Fate) {
        self.change(|open| {
            let Some(of_key) = open.get_mut(key) else {
                return;
            };
            of_key.retain(|other| !Arc::ptr_eq(other, fate));
            if of_key.is_empty() {
                open.remove(key);
            }
        });
    }

    /// Lets everything that is being written to `key` come to nothing.
    pub(crate) fn abandon(&self, key: &ResourceKey) {
        self.change(|open| {
            for fate in open.get(key).into_iter().flatten() {
                // A writer that gave up before stays with its first reason.
                let _ = fate.set(AssetsErrorKind::Abandoned);
            }
        });
    }

    fn change<R>(&self, change: impl FnOnce(&mut HashMap<ResourceKey, Vec<Fate>>) -> R) -> R {
        change(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
