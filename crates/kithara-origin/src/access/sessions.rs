//! A server that keeps a session per client and forgets those that are idle.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{request::Request, response::Response};

/// Sessions, as transcoding servers have them. Clones share them.
///
/// `PREFIX/new/REST` begins one and redirects to `PREFIX/<id>/REST`; `PREFIX/new` answers with JSON
/// (`{"session":"s1","base":"/PREFIX/s1/"}`). Each request below `PREFIX/<id>/` keeps its session alive. One that was idle too long is
/// forgotten and answers with the status of [`Sessions::gone`]. Times are those of the site's clock.
#[derive(Clone, Debug)]
pub struct Sessions {
    idle: Duration,
    gone: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    begun: u64,
    /// The last request of each session that is alive.
    last: HashMap<String, Duration>,
}

/// Where a request below the prefix leads.
pub(crate) enum Entry {
    Answer(Response),
    /// Into a session, to the rest of the path.
    Inside {
        session: String,
        rest: String,
    },
}

impl Sessions {
    /// Sessions that are forgotten after `idle` without a request.
    pub fn new(idle: Duration) -> Self {
        Self { idle, gone: 410, state: Arc::default() }
    }

    /// The status for sessions that are not known (any more). Default: 410.
    #[must_use]
    pub fn gone(mut self, status: u16) -> Self {
        self.gone = status;
        self
    }

    /// Forgets all sessions at once, as a restart does.
    pub fn forget_all(&self) {
        self.state().last.clear();
    }

    /// How many sessions were begun.
    pub fn begun(&self) -> u64 {
        self.state().begun
    }

    /// `rest` is the path of `request` below `prefix`, which begins and ends with `/`.
    pub(crate) fn enter(&self, request: &Request, prefix: &str, rest: &str) -> Entry {
        let mut state = self.state();
        state.last.retain(|_, last| request.at.saturating_sub(*last) <= self.idle);
        let (id, inner) = rest.split_once('/').map_or((rest, None), |(id, inner)| (id, Some(inner)));
        if id != "new" {
            return match (state.last.get_mut(id), inner) {
                (Some(last), Some(inner)) => {
                    *last = request.at;
                    Entry::Inside { session: id.to_owned(), rest: inner.to_owned() }
                }
                _ => Entry::Answer(Response::new(self.gone)),
            };
        }
        state.begun += 1;
        let id = format!("s{}", state.begun);
        state.last.insert(id.clone(), request.at);
        Entry::Answer(match inner {
            None => Response::json(200, &format!("{{\"session\":\"{id}\",\"base\":\"{prefix}{id}/\"}}")),
            Some(_) => {
                // The rest goes on as it was sent: still encoded, with its query.
                let sent = request.target.split_once("/new/").map_or("", |(_, sent)| sent);
                Response::redirect(302, &format!("{prefix}{id}/{sent}"))
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
