//! New URLs for playlists that are refused: signatures expire, sessions end, mirrors move.
//!
//! The URL of a media playlist stands in the primary playlist, and that of the primary playlist is the application's to say.
//! So a playlist that is refused asks above, and waits. Whoever else is refused meanwhile joins it: all that the primary
//! playlist names are renewed by one load of it, and the application is asked one thing at a time.

use url::Url;

use super::{
    Action, Failure, FetchFailure, HlsEvent, MediaId, PlaylistId, Remedy, Session, Subject, UnitKey,
    media::{Load, Media},
    units::UnitState,
};
use crate::{
    directives,
    fallback::{self, Above, Sources},
    time::Tick,
};

/// The application, as far as it gives URLs.
#[derive(Debug, Default)]
pub(super) struct Application {
    is_asked: bool,
    /// When it last answered, whatever it said.
    answered: Option<Tick>,
    /// How often it was asked for playlists since one came.
    times: u32,
}

impl Session {
    /// Asks above for the URL of a playlist that could not be had for the so-many-th time in a row. Answers whether that may
    /// help; then the playlist is loaded again, or given to [`refused_for_good`](Self::refused_for_good).
    pub(super) fn ask_above(&mut self, id: PlaylistId, cause: &FetchFailure, failures: u32) -> bool {
        let now = self.tick();
        let since = |at: Option<Tick>| at.map(|at| now.since(at));
        let sources = Sources {
            has_primary: id != PlaylistId::Primary && self.multivariant.is_some(),
            primary: since(self.primary.answered),
            has_resolver: self.options.has_resolver,
            application: since(self.application.answered),
        };
        let Some(above) = fallback::new_url(cause.kind, failures, sources) else { return false };
        let refused = Load::Refused { above, cause: cause.clone() };
        match id {
            PlaylistId::Media(media) => match self.medias.get_mut(&media) {
                Some(media) => media.load = refused,
                None => return false,
            },
            PlaylistId::Primary => self.primary.load = refused,
            PlaylistId::Steering => return false,
        }
        let error = Failure { subject: Subject::Playlist(id), cause: cause.clone() };
        let remedy = match above {
            Above::Primary => Remedy::ReloadPrimary,
            Above::Application => Remedy::Resolve,
        };
        self.tell(HlsEvent::Recovering { error: error.clone(), remedy });
        match above {
            Above::Primary => self.load_primary(),
            Above::Application => {
                self.application.times = self.application.times.saturating_add(1);
                self.ask_application(error, self.application.times);
            }
        }
        true
    }

    /// Asks the application where the stream is now, unless that was asked already.
    pub(super) fn ask_application(&mut self, failure: Failure, attempt: u32) {
        if !std::mem::replace(&mut self.application.is_asked, true) {
            self.act(Action::Resolve { failure, attempt });
        }
    }

    /// A playlist came: whatever was asked for helped.
    pub(super) fn found(&mut self) {
        self.application.times = 0;
    }

    pub(super) fn handle_resolved(&mut self, result: Result<Url, FetchFailure>) {
        self.application.is_asked = false;
        self.application.answered = Some(self.now.at);
        match result {
            Ok(url) => self.take_url(&url),
            Err(cause) => self.application_failed(&cause),
        }
    }

    /// The stream is here from now on. What is under way from where it was is no use.
    fn take_url(&mut self, url: &Url) {
        let now = self.tick();
        self.primary.move_to(directives::without(url), now);
        for media in self.medias.values_mut() {
            let Load::Refused { above, .. } = &mut media.load else { continue };
            *above = Above::Primary;
        }
        for unit in self.units_in(&UnitState::AwaitingUrl) {
            self.units.set(unit, UnitState::AwaitingPlaylist(PlaylistId::Primary));
        }
        self.load_primary();
    }

    fn application_failed(&mut self, cause: &FetchFailure) {
        for unit in self.units_in(&UnitState::AwaitingUrl) {
            self.unit_failed(unit, cause.clone());
        }
        // Its own failure is told apart from the one it was asked about.
        let error = Failure { subject: Subject::Playlist(PlaylistId::Primary), cause: cause.clone() };
        self.tell(HlsEvent::Error { error, recoverable: true });
        if let Load::Refused { above: Above::Application, cause } = self.primary.load.clone() {
            self.primary.load = Load::Idle { due: None };
            self.primary_refused_for_good(cause);
        }
        for id in self.refused_by(Above::Application) {
            self.refused_for_good(id);
        }
    }

    /// The primary playlist came: playlists that were refused are loaded from where it says.
    pub(super) fn load_refused(&mut self) {
        for id in self.refused_by(Above::Primary) {
            if let Some(media) = self.medias.get_mut(&id) {
                media.load = Load::Idle { due: None };
            }
            self.load_media(id);
        }
    }

    /// The primary playlist did not come: playlists that were refused ask further up, or are given up.
    pub(super) fn ask_further(&mut self) {
        for id in self.refused_by(Above::Primary) {
            let Some(media) = self.medias.get(&id) else { continue };
            let Load::Refused { cause, .. } = media.load.clone() else { continue };
            if !self.ask_above(PlaylistId::Media(id), &cause, media.load_failures) {
                self.refused_for_good(id);
            }
        }
    }

    /// Nobody knows a new URL for a playlist.
    fn refused_for_good(&mut self, id: MediaId) {
        let Some(media) = self.medias.get_mut(&id) else { return };
        if let Load::Refused { cause, .. } = std::mem::replace(&mut media.load, Load::Idle { due: None }) {
            self.media_missing(id, cause);
        }
    }

    fn refused_by(&self, by: Above) -> Vec<MediaId> {
        let is_refused = |media: &&Media| matches!(media.load, Load::Refused { above, .. } if above == by);
        self.medias.values().filter(is_refused).map(|media| media.id).collect()
    }

    fn units_in(&self, state: &UnitState) -> Vec<UnitKey> {
        self.units.iter().filter(|(_, unit)| unit.state == *state).map(|(key, _)| key).collect()
    }
}
