//! Which playlists are loaded, when, and which streams they offer.

use std::{sync::Arc, time::Duration};

use url::Url;

use super::{
    Action, Failure, FailureKind, FetchFailure, HlsEvent, MediaId, PlaylistId, PlaylistText, Session, Subject, Track,
    VariantChoice, WaitReason,
    media::{Load, Media},
    units::UnitState,
};
use crate::{
    abr::AbrReason,
    directives,
    fallback::{self, Known},
    playlist::{
        self, Limits, MediaPlaylist, MultivariantPlaylist, ParseError, ParseOptions, Playlist, Variant, VariantId,
    },
    reload::MIN_INTERVAL,
    time::Tick,
    timeline::Merge,
};

/// The playlist the session was opened with.
#[derive(Debug)]
pub(super) struct Primary {
    pub(super) url: Url,
    pub(super) load: Load,
    /// When its last load began, if that was of this URL and over the network.
    began: Option<Tick>,
    pub(super) failures: u32,
    /// When the first load began; of its URL, where the application gave another one.
    opened: Option<Tick>,
    /// When its origin was last asked to no end, or answered.
    pub(super) answered: Option<Tick>,
    /// When the URLs it names were last taken over.
    renewed: Option<Tick>,
    /// Whether it turned out to be a media playlist.
    pub(super) is_media: bool,
    /// Its URL after redirects, for variables imported from queries.
    loaded: bool,
}

impl Primary {
    pub(super) fn new(url: Url) -> Self {
        Self {
            url: directives::without(&url),
            load: Load::Idle { due: None },
            began: None,
            failures: 0,
            opened: None,
            answered: None,
            renewed: None,
            is_media: false,
            loaded: false,
        }
    }

    /// It is to be had at another URL, and what is under way from the one before is no use.
    pub(super) fn move_to(&mut self, url: Url, now: Tick) {
        self.url = url;
        self.opened = Some(now);
        self.began = None;
        self.load = Load::Idle { due: None };
    }
}

/// The stream of a media playlist that was opened directly.
const ONLY: MediaId = MediaId::Variant(VariantId(0));

impl Session {
    pub(super) fn load_primary(&mut self) {
        if self.primary.load.is_busy() {
            return;
        }
        let now = self.tick();
        let is_paced = self.primary.is_media && self.is_paced_otherwise(ONLY);
        if let Some(due) = too_soon(self.primary.began, now).filter(|_| !is_paced) {
            self.primary.load = Load::Idle { due: Some(due) };
            return;
        }
        self.primary.began = Some(now);
        self.primary.opened.get_or_insert(now);
        self.primary.load = Load::Loading { started: now };
        let url = match self.primary.is_media {
            true => self.directed(ONLY, &self.primary.url.clone()),
            false => self.primary.url.clone(),
        };
        // What could not be used is not taken from the store a second time.
        let again = self.primary.loaded || self.primary.failures > 0;
        let (part_target, round_trip) = (self.follows_parts(ONLY), self.adaptation.round_trip());
        let limit =
            self.medias.get(&ONLY).and_then(|media| super::live::load_limit(media, part_target, round_trip, now));
        self.act(Action::LoadPlaylist { id: PlaylistId::Primary, url, again, limit });
    }

    /// Loads the playlist of `media`, unless that is under way.
    pub(super) fn load_media(&mut self, id: MediaId) {
        let now = self.tick();
        if self.primary.is_media && id == ONLY {
            // It is the primary playlist that is loaded; the stream is not due again before that has come.
            if let Some(media) = self.medias.get_mut(&id) {
                if matches!(media.load, Load::Refused { .. }) {
                    return;
                }
                media.load = Load::Loading { started: now };
            }
            return self.load_primary();
        }
        let (part_target, is_paced) = (self.follows_parts(id), self.is_paced_otherwise(id));
        let round_trip = self.adaptation.round_trip();
        let Some(media) = self.medias.get_mut(&id).filter(|media| !media.load.is_busy()) else { return };
        if let Some(due) = too_soon(media.began, now).filter(|_| !is_paced) {
            media.load = Load::Idle { due: Some(due) };
            return;
        }
        media.began = Some(now);
        media.load = Load::Loading { started: now };
        media.asked.get_or_insert(now);
        let again = media.timeline.is_some() || media.load_failures > 0;
        let (url, limit) = (media.url.clone(), super::live::load_limit(media, part_target, round_trip, now));
        let url = self.directed(id, &url);
        self.act(Action::LoadPlaylist { id: PlaylistId::Media(id), url, again, limit });
    }

    /// Loads the playlist of `media`; a load that is under way is given up for this one.
    pub(super) fn load_media_anew(&mut self, id: MediaId) {
        if let Some(media) = self.medias.get_mut(&id) {
            media.load = Load::Idle { due: None };
        }
        if self.primary.is_media && id == ONLY {
            self.primary.load = Load::Idle { due: None };
        }
        self.load_media(id);
    }

    /// Whether something else paces the loads of a playlist: a server that holds its answer until there is something new, or
    /// the search for the moment a cached copy is of.
    fn is_paced_otherwise(&self, id: MediaId) -> bool {
        let timeline = self.medias.get(&id).and_then(|media| media.timeline.as_ref());
        let blocks = timeline.is_some_and(|timeline| timeline.snapshot().server_control.can_block_reload);
        (blocks && self.follows_parts(id).is_some()) || self.is_tuning_in(id)
    }

    pub(super) fn handle_playlist(&mut self, id: PlaylistId, result: Result<PlaylistText, FetchFailure>) {
        match (id, result) {
            (PlaylistId::Primary, Ok(text)) => self.primary_arrived(&text),
            (PlaylistId::Primary, Err(cause)) => self.primary_failed(cause),
            (PlaylistId::Media(media), Ok(text)) => self.media_arrived(media, &text),
            (PlaylistId::Media(media), Err(cause)) => self.media_failed(media, cause),
            (PlaylistId::Steering, result) => self.steering_answered(result),
        }
    }

    fn parse(&self, text: &PlaylistText, previous: Option<Arc<MediaPlaylist>>) -> Result<Playlist, ParseError> {
        let options = ParseOptions {
            imports: self.multivariant.as_ref().map(|playlist| &playlist.variables),
            previous: previous.as_deref(),
            limits: Limits::default(),
        };
        playlist::parse(text.text.as_bytes(), &text.url, &options)
    }

    fn primary_arrived(&mut self, text: &PlaylistText) {
        if text.from_store {
            // No origin was asked.
            self.primary.began = None;
        } else {
            self.primary.answered = Some(self.now.at);
        }
        match self.parse(text, self.medias.get(&ONLY).and_then(Media::snapshot)) {
            _ if text.is_blank() => self.primary_failed(blank_playlist()),
            Err(error) => self.primary_failed(FetchFailure::unparsed(error)),
            Ok(Playlist::Multivariant(_)) if self.primary.is_media => {
                self.primary_failed(FetchFailure::playlist("a multivariant playlist where one of segments was before"));
            }
            Ok(Playlist::Multivariant(playlist)) => {
                self.primary.load = Load::Idle { due: None };
                self.primary.failures = 0;
                self.primary.renewed = Some(self.now.at);
                self.found();
                self.take_multivariant(playlist);
                self.load_refused();
                self.wake_units(PlaylistId::Primary);
            }
            Ok(Playlist::Media(playlist))
                if !self.primary.loaded
                    && self.awaits_end(&playlist, text, self.primary.failures, self.primary.opened) =>
            {
                self.primary_failed(cut_playlist());
            }
            Ok(Playlist::Media(_)) if self.multivariant.is_some() => {
                self.primary_failed(FetchFailure::playlist("segments where a multivariant playlist was before"));
            }
            Ok(Playlist::Media(playlist)) => {
                self.primary.is_media = true;
                self.primary.failures = 0;
                self.medias.entry(ONLY).or_insert_with(|| Media::new(ONLY, text.url.clone(), None));
                self.variant = Some(VariantId(0));
                let started = self.primary.load.started().unwrap_or(self.now.at);
                self.primary.load = Load::Idle { due: None };
                self.take_media(ONLY, playlist, started, text);
            }
        }
        self.primary.loaded |= self.primary.is_media || self.multivariant.is_some();
    }

    fn primary_failed(&mut self, cause: FetchFailure) {
        self.primary.load = Load::Idle { due: None };
        self.primary.failures = self.primary.failures.saturating_add(1);
        self.primary.answered = Some(self.now.at);
        if self.primary.is_media {
            return self.media_failed(ONLY, cause);
        }
        // Before anything was had, an origin that does not answer may still be waited for.
        let asks = cause.kind.wants_new_url() || self.primary.loaded;
        if !asks || !self.ask_above(PlaylistId::Primary, &cause, self.primary.failures) {
            self.primary_refused_for_good(cause);
        }
    }

    /// The primary playlist could not be had, and nobody knows another URL for it now.
    pub(super) fn primary_refused_for_good(&mut self, cause: FetchFailure) {
        let now = self.tick();
        if self.primary.is_media {
            return self.media_missing(ONLY, cause);
        }
        let failure = Failure { subject: Subject::Playlist(PlaylistId::Primary), cause };
        if self.primary.loaded {
            // A reload that was to bring new URLs: whoever waits for it climbs on without.
            self.tell(HlsEvent::Error { error: failure, recoverable: true });
            self.ask_further();
            return self.wake_units(PlaylistId::Primary);
        }
        let opened = self.primary.opened.unwrap_or(now);
        if let Some(wait) = self.wait_while_opening(&failure.cause, Known::Given, self.primary.failures, opened) {
            self.primary.load = Load::Idle { due: Some(now + wait) };
            return self.tell_waiting(WaitReason::PlaylistNotReady, opened);
        }
        if !self.ask_above(PlaylistId::Primary, &failure.cause, self.primary.failures) {
            self.fail(failure);
        }
    }

    /// How long to wait before a playlist that was never had is asked for again, if that may help.
    fn wait_while_opening(&self, cause: &FetchFailure, url: Known, failures: u32, since: Tick) -> Option<Duration> {
        let playback = &self.options.playback;
        let waited = self.tick().since(since);
        let wait = fallback::opening_wait(cause, url, failures, waited, playback.ready_timeout, playback.patience)?;
        Some(wait.max(MIN_INTERVAL))
    }

    /// Whether a playlist seems to lack its end, and is to be loaded again for that.
    ///
    /// One that never changes was cut, or its author forgot the tag, which shows when it comes the same way again; where
    /// nothing but the end of its connection ended it, that shows with time only. A live one never has the tag: there the
    /// middle of a line tells.
    fn awaits_end(&self, playlist: &MediaPlaylist, text: &PlaylistText, failures: u32, since: Option<Tick>) -> bool {
        let loads = match (playlist.is_live(), text.may_be_cut) {
            (false, true) => u32::MAX,
            (false, false) => CUT_LOADS,
            (true, true) if !text.text.ends_with('\n') => 1,
            (true, _) => 0,
        };
        let wait =
            || self.wait_while_opening(&cut_playlist(), Known::Named, failures + 1, since.unwrap_or(self.tick()));
        !playlist.ended && failures < loads && wait().is_some()
    }

    /// Takes over the offered streams; streams known from an earlier load keep their state and get their new URLs.
    fn take_multivariant(&mut self, mut playlist: MultivariantPlaylist) {
        self.clone_pathways(&mut playlist);
        self.offer_all(&playlist);
        self.take_lineup(&playlist);
        self.begin_steering(&playlist);
        self.multivariant = Some(Arc::new(playlist));
        self.take_ladder();
        if self.variant.is_none() {
            self.choose_first_variant();
        }
    }

    /// Takes over the addresses of all streams of a playlist.
    pub(super) fn offer_all(&mut self, playlist: &MultivariantPlaylist) {
        for variant in &playlist.variants {
            self.offer(MediaId::Variant(variant.id), variant.uri.url(), Some(variant.bandwidth));
        }
        for rendition in &playlist.renditions {
            if let Some(uri) = &rendition.uri {
                self.offer(MediaId::Rendition(rendition.id), uri.url(), None);
            }
        }
        for variant in &playlist.iframe_variants {
            self.offer(MediaId::IFrames(variant.id), variant.uri.url(), Some(variant.bandwidth));
        }
    }

    fn offer(&mut self, id: MediaId, url: Url, bandwidth: Option<crate::BitRate>) {
        match self.medias.get_mut(&id) {
            Some(media) if media.url == url => {}
            Some(media) => {
                media.url = url;
                media.began = None;
            }
            None => {
                self.medias.insert(id, Media::new(id, url, bandwidth));
            }
        }
    }

    fn choose_first_variant(&mut self) {
        let choice = match self.options.playback.variant {
            VariantChoice::Id(id) => self.variant_named(id).map(|variant| (variant.id, AbrReason::Manual)),
            VariantChoice::Best => {
                self.best_variant(|a, b| a.bandwidth > b.bandwidth).map(|id| (id, AbrReason::Manual))
            }
            VariantChoice::Worst => {
                self.best_variant(|a, b| a.bandwidth < b.bandwidth).map(|id| (id, AbrReason::Manual))
            }
            VariantChoice::Auto => self.adaptation.first(self.now.at).map(|id| (id, AbrReason::Initial)),
        };
        let Some((id, reason)) = choice else {
            return self.fail(Failure::session(FailureKind::NoMedia));
        };
        self.apply_variant(id, reason);
    }

    /// Plans from `id` from now on and says so.
    pub(super) fn apply_variant(&mut self, id: VariantId, reason: AbrReason) {
        let from = self.variant.replace(id);
        self.adaptation.applied(id, self.now.at);
        self.tell(HlsEvent::VariantApplied { track: Track::Main, from_variant: from, to_variant: id, reason });
        self.refresh_selection();
    }

    pub(super) fn variant_named(&self, id: VariantId) -> Option<&Variant> {
        self.multivariant.as_ref()?.variants.iter().find(|variant| variant.id == id)
    }

    /// The playable variant that none is `better` than; the first of equals.
    fn best_variant(&self, better: impl Fn(&Variant, &Variant) -> bool) -> Option<VariantId> {
        let now = self.tick();
        let variants = self.multivariant.as_ref()?.variants.iter();
        let listed = |id| self.selecting.ladder.contains(&id);
        let open =
            |id| listed(id) && self.medias.get(&MediaId::Variant(id)).is_some_and(|media| !media.is_excluded(now));
        let best =
            variants.filter(|variant| open(variant.id)).reduce(|best, it| if better(it, best) { it } else { best });
        best.map(|variant| variant.id)
    }

    /// The variant to go on with when `failed` cannot be played: the nearest below in bandwidth, else the nearest above.
    pub(super) fn substitute_for(&self, failed: VariantId) -> Option<VariantId> {
        if matches!(self.options.playback.variant, VariantChoice::Id(_)) {
            return None;
        }
        let rate = self.variant_named(failed)?.bandwidth;
        let below = self.best_variant(|a, b| {
            let rank = |it: &Variant| (it.id != failed && it.bandwidth <= rate, it.bandwidth);
            rank(a) > rank(b)
        });
        let usable = |id: &VariantId| *id != failed && self.variant_named(*id).is_some_and(|it| it.bandwidth <= rate);
        below.filter(usable).or_else(|| {
            let above = self.best_variant(|a, b| {
                let rank = |it: &Variant| (it.id == failed, it.bandwidth);
                rank(a) < rank(b)
            });
            above.filter(|id| *id != failed)
        })
    }

    /// The variant nearest in bandwidth, lower ones first, that can be played and is none of `others`.
    pub(super) fn nearest_variant(&self, to: VariantId, others: &[VariantId]) -> Option<VariantId> {
        let (now, rate) = (self.tick(), self.variant_named(to)?.bandwidth);
        let is_open = |id| self.medias.get(&MediaId::Variant(id)).is_some_and(|media| !media.is_excluded(now));
        let variants = self.selecting.ladder.iter().filter_map(|id| self.variant_named(*id));
        let usable = variants.filter(|variant| !others.contains(&variant.id) && is_open(variant.id));
        usable.min_by_key(|it| (it.bandwidth > rate, it.bandwidth.0.abs_diff(rate.0))).map(|it| it.id)
    }

    fn media_arrived(&mut self, id: MediaId, text: &PlaylistText) {
        let Some(media) = self.medias.get_mut(&id) else { return };
        let started = media.load.started().unwrap_or(self.now.at);
        media.load = Load::Idle { due: None };
        media.began = media.began.filter(|_| !text.from_store);
        let (first, failures, asked) = (media.timeline.is_none(), media.load_failures, media.asked);
        let previous = media.snapshot();
        match self.parse(text, previous) {
            _ if text.is_blank() => self.media_failed(id, blank_playlist()),
            Ok(Playlist::Media(playlist)) if first && self.awaits_end(&playlist, text, failures, asked) => {
                self.media_failed(id, cut_playlist());
            }
            Ok(Playlist::Media(playlist)) => self.take_media(id, playlist, started, text),
            Ok(Playlist::Multivariant(_)) => {
                self.media_failed(id, FetchFailure::playlist("a multivariant playlist where one of segments is named"));
            }
            Err(error) => self.media_failed(id, FetchFailure::unparsed(error)),
        }
    }

    fn take_media(&mut self, id: MediaId, playlist: MediaPlaylist, started: Tick, text: &PlaylistText) {
        if playlist.delta.is_some() {
            return self.load_whole(id);
        }
        self.found();
        let playlist = Arc::new(playlist);
        let merge = self.take_snapshot(id, &playlist);
        let (now, part_target) = (self.tick(), self.follows_parts(id));
        let offered = playlist.part_target.filter(|_| self.plays_parts(id));
        let Some(media) = self.medias.get_mut(&id) else { return };
        media.load_failures = 0;
        if media.base.as_deref() != Some(&text.url) {
            media.base = Some(Arc::new(text.url.clone()));
        }
        let Some(timeline) = &media.timeline else { return };
        media.following.tune_in(timeline, text.age, now, offered, merge.is_none());
        let due = media.following.next_load(timeline, merge, started, part_target);
        // A stored copy of a playlist that changes is good for nothing but its address.
        let due = due.map(|due| if text.from_store { started } else { due });
        let due = media.following.loaded(timeline, text, started, due);
        media.load = Load::Idle { due };
        if let Some(cause) = media.unplayable() {
            return self.media_unusable(id, Failure { subject: Subject::Playlist(PlaylistId::Media(id)), cause });
        }
        let event = HlsEvent::PlaylistUpdated {
            media: id,
            segments: timeline.snapshot().segments.len() as u64,
            window_start: timeline.start(),
            window_end: timeline.end(),
            ended: timeline.ended(),
        };
        if !matches!(merge, Some(Merge::Unchanged | Merge::Behind)) {
            self.tell(event);
        }
        self.wake_units(self.playlist_of(id));
    }

    pub(super) fn media_failed(&mut self, id: MediaId, cause: FetchFailure) {
        let Some(media) = self.medias.get_mut(&id) else { return };
        let started = media.load.started();
        media.load = Load::Idle { due: None };
        media.load_failures = media.load_failures.saturating_add(1);
        media.following.tried = started;
        media.following.tune_in = None;
        let (failures, is_followed) = (media.load_failures, media.timeline.is_some());
        let was_plain = std::mem::replace(&mut media.following.plain, true) || !media.following.directed;
        let wants_url = cause.kind.wants_new_url();
        if wants_url && started.zip(self.primary.renewed).is_some_and(|(started, renewed)| started < renewed) {
            // It was asked for where it was before.
            return self.load_media(id);
        }
        // A server that does not understand what it was asked for refuses that, not us. One that does not answer at all is
        // most likely itself again soon.
        let asks = if wants_url { was_plain } else { is_followed && failures >= PERSISTENT };
        if !asks || !self.ask_above(PlaylistId::Media(id), &cause, failures) {
            self.media_missing(id, cause);
        }
    }

    /// A playlist could not be had, and nobody knows another URL for it now.
    pub(super) fn media_missing(&mut self, id: MediaId, cause: FetchFailure) {
        let (now, part_target) = (self.tick(), self.follows_parts(id));
        let Some(media) = self.medias.get(&id) else { return };
        let failure = Failure { subject: Subject::Playlist(PlaylistId::Media(id)), cause };
        let Some(timeline) = &media.timeline else {
            return self.media_not_opened(id, failure);
        };
        let jitter = self.chance.next();
        let due = media.following.next_try(timeline, media.load_failures, &failure.cause, now, jitter, part_target);
        if let Some(media) = self.medias.get_mut(&id) {
            media.load = Load::Idle { due };
        }
        self.tell(HlsEvent::Error { error: failure, recoverable: true });
        self.wake_units(self.playlist_of(id));
    }

    /// A stream whose playlist could not be had yet: another takes its place, or it is asked for again for a while.
    fn media_not_opened(&mut self, id: MediaId, failure: Failure) {
        let now = self.tick();
        let Some(media) = self.medias.get(&id) else { return };
        let (failures, since) = (media.load_failures, media.asked.unwrap_or(now));
        let alone = !self.goes_over_at_once(id) && !self.is_dispensable(id);
        let url = if self.primary.is_media { Known::Given } else { Known::Named };
        let wait = self.wait_while_opening(&failure.cause, url, failures, since).filter(|_| alone);
        let (Some(wait), Some(media)) = (wait, self.medias.get_mut(&id)) else {
            return self.media_unusable(id, failure);
        };
        media.load = Load::Idle { due: Some(now + wait) };
        self.tell_waiting(WaitReason::PlaylistNotReady, since);
    }

    /// Loads whatever is due.
    pub(super) fn load_due_playlists(&mut self) {
        let now = self.tick();
        let due = |load: &Load| load.due().is_some_and(|due| due <= now);
        if due(&self.primary.load) {
            self.load_primary();
        }
        self.steer();
        self.ask_overdue();
        for id in self.followed_medias() {
            if self.medias.get(&id).is_some_and(|media| due(&media.load)) {
                self.load_media(id);
            }
        }
    }

    /// Streams whose playlists are loaded when they are due: those that are read, and those that units wait for.
    fn followed_medias(&self) -> Vec<MediaId> {
        let awaited = self.units.iter().filter_map(|(_, unit)| match unit.state {
            UnitState::AwaitingPlaylist(PlaylistId::Media(id)) => Some(id),
            _ => None,
        });
        let mut medias = self.read_medias();
        medias.extend(awaited);
        medias.sort_unstable();
        medias.dedup();
        medias
    }

    /// When the next playlist is due. Only playlists of what is read or waited for are loaded again.
    pub(super) fn next_playlist_load(&self) -> Option<Tick> {
        let followed = self.followed_medias();
        let medias = followed.iter().filter_map(|id| self.medias.get(id)).filter_map(|media| media.load.due());
        medias.chain(self.primary.load.due()).chain(self.next_steering()).min()
    }

    /// Units that waited for this playlist go on.
    fn wake_units(&mut self, id: PlaylistId) {
        let waiting: Vec<_> = self
            .units
            .iter()
            .filter(|(_, unit)| unit.state == UnitState::AwaitingPlaylist(id))
            .map(|(key, _)| key)
            .collect();
        let now = self.tick();
        for unit in waiting {
            if id == PlaylistId::Primary && !self.primary.is_media {
                // Its media playlist may have moved; its own URL comes from there.
                self.units.set(unit, UnitState::AwaitingPlaylist(PlaylistId::Media(unit.media)));
                self.load_media(unit.media);
            } else {
                self.units.set(unit, UnitState::Resting { until: now });
            }
        }
    }
}

/// When a playlist whose last load `began` then may be loaded again, where that is later than `now`.
fn too_soon(began: Option<Tick>, now: Tick) -> Option<Tick> {
    began.map(|began| began + MIN_INTERVAL).filter(|due| now < *due)
}

/// Loads of a playlist that says that it is whole and is not, before it is taken for what it is.
const CUT_LOADS: u32 = 2;

/// Loads of a playlist that is followed which fail for want of an answer, before the application is asked for another URL.
const PERSISTENT: u32 = 3;

fn cut_playlist() -> FetchFailure {
    incomplete("a playlist without its end")
}

fn blank_playlist() -> FetchFailure {
    FetchFailure { line: Some(1), ..incomplete("line 1: nothing stands in it") }
}

fn incomplete(detail: &str) -> FetchFailure {
    FetchFailure { detail: Some(detail.into()), ..FetchFailure::new(FailureKind::Incomplete) }
}
