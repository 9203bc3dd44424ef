//! Which pathway is played: preferences, penalties, and the way back.

use std::{collections::BTreeMap, sync::Arc};

use crate::time::Tick;

/// The pathways of a presentation, the preferred first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pathways {
    /// Those that have variants, in playlist order.
    known: Vec<Arc<str>>,
    /// What the steering server prefers; empty without one.
    priority: Vec<Arc<str>>,
    /// What the playlist says to begin with.
    initial: Option<Arc<str>>,
    penalties: BTreeMap<Arc<str>, Tick>,
    current: Option<Arc<str>>,
}

impl Pathways {
    /// Takes what a playlist offers: the pathways in its order, and the one to begin with.
    pub fn offer(&mut self, known: Vec<Arc<str>>, initial: Option<Arc<str>>) {
        self.known = known;
        self.initial = initial;
    }

    /// Takes the wish of a steering server.
    pub fn prefer(&mut self, priority: Vec<Arc<str>>) {
        self.priority = priority;
    }

    /// Leaves a pathway out until then.
    pub fn penalize(&mut self, id: &Arc<str>, until: Tick) {
        self.penalties.insert(Arc::clone(id), until);
    }

    /// The pathway in force.
    #[must_use]
    pub fn current(&self) -> Option<&Arc<str>> {
        self.current.as_ref()
    }

    /// Puts a pathway in force.
    pub fn apply(&mut self, id: Arc<str>) {
        self.current = Some(id);
    }

    /// Whether a steering server said where to go.
    #[must_use]
    pub fn is_steered(&self) -> bool {
        !self.priority.is_empty()
    }

    /// The pathway to be on now: without a steering server the one in force, as long as nothing is wrong with it.
    #[must_use]
    pub fn best(&self, now: Tick) -> Option<&Arc<str>> {
        let stays = self.current.as_ref().filter(|_| !self.is_steered());
        stays.filter(|id| self.known.contains(id) && !self.is_penalized(id, now)).or_else(|| {
            let order = self.order();
            let free = order.iter().copied().find(|id| !self.is_penalized(id, now));
            // All are out of favour: the one that was given up longest ago is most likely to have recovered.
            free.or_else(|| order.into_iter().min_by_key(|id| self.penalties.get(*id)))
        })
    }

    /// Other pathways that could be used instead of `id` now, the preferred first.
    pub fn others(&self, id: &str, now: Tick) -> impl Iterator<Item = &Arc<str>> {
        self.order().into_iter().filter(move |it| &***it != id && !self.is_penalized(it, now))
    }

    /// When a penalty ends that keeps a steered client away from a better pathway.
    #[must_use]
    pub fn next_change(&self, now: Tick) -> Option<Tick> {
        let current = self.current.as_ref().filter(|_| self.is_steered())?;
        let better = self.order().into_iter().take_while(|id| *id != current);
        better.filter_map(|id| self.penalties.get(id).copied()).filter(|until| *until > now).min()
    }

    fn is_penalized(&self, id: &str, now: Tick) -> bool {
        self.penalties.get(id).is_some_and(|until| now < *until)
    }

    /// Listed ones first, each with its backups; then what the playlist begins with; then the rest.
    fn order(&self) -> Vec<&Arc<str>> {
        let mut order: Vec<&Arc<str>> = Vec::new();
        let wanted = self.priority.iter().chain(self.initial.iter().filter(|_| self.priority.is_empty()));
        for wanted in wanted {
            let backup = |id: &Arc<str>| id.strip_prefix(&**wanted).is_some_and(|rest| rest.starts_with('~'));
            order.extend(self.known.iter().filter(|id| *id == wanted || backup(id)));
        }
        let rest: Vec<&Arc<str>> = self.known.iter().filter(|id| !order.contains(id)).collect();
        order.extend(rest);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Tick = Tick::from_millis(120_000);

    fn pathways(known: &[&str], initial: Option<&str>) -> Pathways {
        let mut pathways = Pathways::default();
        pathways.offer(known.iter().map(|id| Arc::from(*id)).collect(), initial.map(Arc::from));
        pathways
    }

    fn best(pathways: &Pathways, now: Tick) -> Option<&str> {
        pathways.best(now).map(|id| &**id)
    }

    #[test]
    fn the_playlist_says_where_to_begin() {
        assert_eq!(best(&pathways(&["A", "B"], None), Tick::ZERO), Some("A"));
        assert_eq!(best(&pathways(&["A", "B"], Some("B")), Tick::ZERO), Some("B"));
        assert_eq!(best(&pathways(&["A", "B"], Some("X")), Tick::ZERO), Some("A"));
        assert_eq!(best(&pathways(&[], Some("X")), Tick::ZERO), None);
    }

    #[test]
    fn the_server_says_where_to_go() {
        let mut pathways = pathways(&["A", "B", "C"], Some("A"));
        pathways.apply("A".into());
        pathways.prefer(vec!["X".into(), "C".into(), "A".into()]);
        assert_eq!(best(&pathways, Tick::ZERO), Some("C"));
        pathways.penalize(&"C".into(), LATER);
        assert_eq!(best(&pathways, Tick::ZERO), Some("A"));
        pathways.penalize(&"A".into(), LATER);
        assert_eq!(best(&pathways, Tick::ZERO), Some("B"), "not listed, but better than nothing");
        assert_eq!(best(&pathways, LATER), Some("C"));
    }

    #[test]
    fn nobody_goes_back_unless_the_server_wants_it() {
        let mut alone = pathways(&[".", ".~1"], None);
        alone.penalize(&".".into(), LATER);
        alone.apply(".~1".into());
        assert_eq!((best(&alone, LATER), alone.next_change(Tick::ZERO)), (Some(".~1"), None));
        let mut steered = pathways(&["A", "B"], None);
        steered.prefer(vec!["A".into(), "B".into()]);
        steered.penalize(&"A".into(), LATER);
        steered.apply("B".into());
        assert_eq!((best(&steered, Tick::ZERO), steered.next_change(Tick::ZERO)), (Some("B"), Some(LATER)));
        assert_eq!(best(&steered, LATER), Some("A"));
    }

    #[test]
    fn when_all_failed_the_one_that_failed_first_is_tried_again() {
        let mut pathways = pathways(&["A", "B"], None);
        pathways.penalize(&"B".into(), Tick::from_millis(100_000));
        pathways.penalize(&"A".into(), LATER);
        assert_eq!(best(&pathways, Tick::ZERO), Some("B"));
        assert_eq!(pathways.others("A", Tick::ZERO).count(), 0);
    }

    #[test]
    fn a_backup_stands_beside_its_pathway() {
        let mut pathways = pathways(&["A", "B", "A~1"], None);
        pathways.prefer(vec!["A".into(), "B".into()]);
        pathways.penalize(&"A".into(), LATER);
        assert_eq!(best(&pathways, Tick::ZERO), Some("A~1"));
    }
}
