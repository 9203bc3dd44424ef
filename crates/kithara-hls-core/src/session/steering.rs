//! Pathways in force, and the server that steers (RFC 8216bis section 7).

use std::{sync::Arc, time::Duration};

use super::{Action, Failure, FetchFailure, HlsEvent, PlaylistId, PlaylistText, Session, Subject};
use crate::{
    abr::AbrReason,
    pathway::Pathways,
    playlist::{MultivariantPlaylist, Variant, VariantId},
    steering::{PathwayClone, Steering, SteeringManifest, clone_pathway},
    time::Tick,
};

/// How long a pathway that failed is left out, where a server steers (RFC 8216bis section 7.5).
const STEERED_PENALTY: Duration = Duration::from_secs(120);

/// Clones a session remembers; the server names them again in each manifest.
const MAX_CLONES: usize = 64;

/// Pathways and their server.
#[derive(Debug, Default)]
pub(super) struct SteeringState {
    pub(super) pathways: Pathways,
    server: Option<Steering>,
    clones: Vec<PathwayClone>,
}

impl Session {
    /// Adds the pathways the server made of others.
    pub(super) fn clone_pathways(&self, playlist: &mut MultivariantPlaylist) {
        for clone in &self.steering.clones {
            // One that does not fit the playlist any more is left out.
            clone_pathway(playlist, clone);
        }
    }

    /// Begins to be steered, if the playlist names a server.
    pub(super) fn begin_steering(&mut self, playlist: &MultivariantPlaylist) {
        let server = playlist.content_steering.as_ref().map(|tag| tag.server_uri.url());
        let server = server.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if let Some(url) = server.filter(|_| self.steering.server.is_none()) {
            self.steering.server = Some(Steering::new(url, self.now.at));
        }
    }

    /// Takes the pathways of a playlist, and puts the best of them in force if none is yet.
    pub(super) fn offer_pathways(&mut self, playlist: &MultivariantPlaylist) {
        let initial = playlist.content_steering.as_ref().and_then(|tag| tag.pathway_id.clone());
        self.steering.pathways.offer(self.selecting.lineup.pathways(), initial);
        let pathways = &self.steering.pathways;
        let lost = pathways.current().is_none_or(|id| self.selecting.lineup.ladder(id).is_empty());
        if let Some(best) = pathways.best(self.now.at).filter(|_| lost).cloned() {
            self.steering.pathways.apply(best);
        }
    }

    /// Chooses variants from `pathway` from now on.
    pub(super) fn apply_pathway(&mut self, pathway: Arc<str>) {
        let from = self.steering.pathways.current().map(ToString::to_string);
        let to = pathway.to_string();
        self.steering.pathways.apply(pathway);
        self.take_ladder();
        self.tell(HlsEvent::PathwayApplied { from, to });
    }

    /// Leaves the pathway in force out for a time.
    pub(super) fn penalize_pathway(&mut self) {
        let steered = self.steering.server.is_some();
        let penalty = if steered { STEERED_PENALTY } else { self.options.playback.exclusion };
        if let Some(current) = self.steering.pathways.current().cloned() {
            self.steering.pathways.penalize(&current, self.now.at + penalty);
        }
    }

    /// Asks the server when it is time to, and goes where it wants.
    pub(super) fn steer(&mut self) {
        let now = self.tick();
        let (pathways, estimate) = (&self.steering.pathways, self.adaptation.estimate());
        if let Some(server) = self.steering.server.as_mut().filter(|server| server.due().is_some_and(|due| due <= now))
        {
            let url = server.ask(pathways.current().map(|id| base(id)), estimate);
            self.act(Action::LoadPlaylist { id: PlaylistId::Steering, url, again: true, limit: None });
        }
        self.follow_pathway();
    }

    /// When the server is to be asked, or a better pathway is free again.
    pub(super) fn next_steering(&self) -> Option<Tick> {
        let due = self.steering.server.as_ref().and_then(Steering::due);
        [due, self.steering.pathways.next_change(self.now.at)].into_iter().flatten().min()
    }

    pub(super) fn steering_answered(&mut self, result: Result<PlaylistText, FetchFailure>) {
        let now = self.tick();
        let Some(server) = &mut self.steering.server else { return };
        let manifest =
            result.and_then(|text| SteeringManifest::parse(&text.text, &text.url).map_err(FetchFailure::playlist));
        match manifest {
            Ok(manifest) => {
                server.answered(now, &manifest);
                self.take_clones(manifest.clones);
                self.steering.pathways.prefer(manifest.priority);
            }
            Err(cause) => {
                server.failed(now, cause.status, cause.retry_after);
                let error = Failure { subject: Subject::Playlist(PlaylistId::Steering), cause };
                self.tell(HlsEvent::Error { error, recoverable: true });
            }
        }
    }

    fn take_clones(&mut self, clones: Vec<PathwayClone>) {
        let known = |clone: &PathwayClone, all: &[PathwayClone]| all.iter().any(|it| it.id == clone.id);
        let Some(mut playlist) = self.multivariant.as_deref().cloned().filter(|_| !clones.is_empty()) else { return };
        let mut grew = false;
        for clone in clones {
            let room = self.steering.clones.len() < MAX_CLONES;
            if room && !known(&clone, &self.steering.clones) && clone_pathway(&mut playlist, &clone) {
                self.steering.clones.push(clone);
                grew = true;
            }
        }
        if grew {
            self.offer_all(&playlist);
            self.take_lineup(&playlist);
            self.multivariant = Some(Arc::new(playlist));
        }
    }

    /// Changes to the pathway that is best now.
    fn follow_pathway(&mut self) {
        if !self.steering.pathways.is_steered() || self.variant.is_none() {
            return;
        }
        let pathways = &self.steering.pathways;
        let best = pathways.best(self.now.at).filter(|best| Some(*best) != pathways.current()).cloned();
        let Some(best) = best else { return };
        let Some(variant) = self.nearest_on(&best) else { return };
        self.apply_pathway(best);
        self.switch_to(variant, AbrReason::Steered);
    }

    /// The variant of a pathway that is played instead of the one in force: its twin, else the nearest below in
    /// bandwidth, else the nearest above.
    fn nearest_on(&self, pathway: &str) -> Option<VariantId> {
        let current = self.variant.and_then(|id| self.variant_named(id))?;
        let ladder = self.selecting.lineup.ladder(pathway);
        if ladder.contains(&current.id) {
            return Some(current.id);
        }
        let near = |it: &&Variant| (it.bandwidth > current.bandwidth, it.bandwidth.0.abs_diff(current.bandwidth.0));
        let nearest = || ladder.iter().filter_map(|id| self.variant_named(*id)).min_by_key(near).map(|it| it.id);
        self.selecting.lineup.twin(current.id, pathway).or_else(nearest)
    }
}

/// What the server calls a pathway, whose backups are ours.
pub(super) fn base(pathway: &str) -> &str {
    pathway.split('~').next().unwrap_or(pathway)
}
