//! Which rules of the specification are broken, and where.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use kithara::{
    event::MediaId,
    playlist::{
        MediaPlaylist, Member, MultivariantPlaylist, Playlist, Severity, Uri, Violation, lint_presentation, lint_text,
        lint_update,
    },
    trace::PlaylistId,
};
use serde_json::{Value, json};

use super::{
    load::{Loaded, Loader},
    reread,
};
use crate::failure::{Class, Failure};

/// Playlists of one presentation that are looked at.
const MAX_MEMBERS: usize = 100;

/// The wait for the next version of a live playlist, at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What was found, for each playlist that was looked at.
#[derive(Default)]
pub(super) struct Report {
    lists: Vec<(String, Vec<Violation>)>,
}

impl Report {
    /// What the text and the snapshot made of it show.
    pub(super) fn look(&mut self, at: &str, text: &[u8], playlist: &Playlist) {
        let seen = match playlist {
            Playlist::Media(playlist) => playlist.lint(),
            Playlist::Multivariant(playlist) => playlist.lint(),
        };
        self.add(at, lint_text(text).into_iter().chain(seen));
    }

    /// What a later snapshot of the same playlist shows.
    pub(super) fn compare(&mut self, at: &str, before: &MediaPlaylist, after: &MediaPlaylist) {
        self.add(at, lint_update(before, after));
    }

    /// Loads all media playlists of a presentation and looks at each and at all together.
    pub(super) fn presentation(&mut self, loader: &mut Loader, playlist: &MultivariantPlaylist) -> Result<(), Failure> {
        let mut members = Vec::new();
        let mut names = Vec::new();
        for (member, uri) in listed(playlist).into_iter().take(MAX_MEMBERS) {
            let at = uri.to_string();
            let Loaded { text, url } = loader.load(listed_as(member), &uri.url())?;
            let read = reread(&Loaded { text: text.clone(), url }, &at, Some(&playlist.variables), None)?;
            self.look(&at, &text, &read);
            if let Playlist::Media(media) = read {
                members.push((member, media));
                names.push(at);
            }
        }
        for (at, found) in names.iter().zip(lint_presentation(playlist, &members)) {
            self.add(at, found);
        }
        Ok(())
    }

    /// Loads a live playlist again when it must have changed, and compares; one that has ended is left alone.
    pub(super) fn update(
        &mut self,
        loader: &mut Loader,
        loaded: &Loaded,
        at: &str,
        before: &MediaPlaylist,
    ) -> Result<(), Failure> {
        if !before.is_live() {
            return Ok(());
        }
        thread::sleep(before.target_duration.min(LONGEST_WAIT));
        let again = loader.load(PlaylistId::Primary, &loaded.url)?;
        if let Playlist::Media(after) = reread(&again, at, Some(&before.variables), Some(before))? {
            self.look(at, &again.text, &Playlist::Media(after.clone()));
            self.compare(at, before, &after);
        }
        Ok(())
    }

    fn add(&mut self, at: &str, found: impl IntoIterator<Item = Violation>) {
        let place = self.lists.iter().position(|(known, _)| known == at).unwrap_or_else(|| {
            self.lists.push((at.to_owned(), Vec::new()));
            self.lists.len() - 1
        });
        let list = &mut self.lists[place].1;
        list.extend(found);
        list.sort_by_key(|it| (it.line.0, it.rule));
        list.dedup_by_key(|it| (it.line.0, it.rule));
    }

    fn all(&self) -> impl Iterator<Item = (&str, &Violation)> {
        self.lists.iter().flat_map(|(at, list)| list.iter().map(move |it| (&**at, it)))
    }

    pub(super) fn json(&self) -> Value {
        let one = |(at, it): (&str, &Violation)| {
            json!({
                "playlist": at,
                "line": it.line.0,
                "rule": format!("{:?}", it.rule),
                "severity": it.rule.severity().to_string(),
                "section": it.rule.section(),
                "text": it.rule.text(),
                "found": it.found.as_deref(),
            })
        };
        self.all().map(one).collect()
    }

    pub(super) fn show(&self, out: &mut impl Write) -> io::Result<()> {
        for (at, list) in &self.lists {
            match list.len() {
                0 => writeln!(out, "{at}: no rule is broken")?,
                count => writeln!(out, "{at}: {count} places where rules are broken")?,
            }
            list.iter().try_for_each(|violation| writeln!(out, "  {violation}"))?;
        }
        Ok(())
    }

    /// A failure when a rule is broken that must be kept.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let errors = self.all().filter(|(_, it)| it.rule.severity() == Severity::Error).count();
        match errors {
            0 => Ok(()),
            1 => Err(Failure::new(Class::Other, "one rule is broken that must be kept")),
            _ => Err(Failure::new(Class::Other, format!("rules are broken that must be kept, in {errors} places"))),
        }
    }
}

/// What a session calls the playlist of a member.
fn listed_as(member: Member) -> PlaylistId {
    PlaylistId::Media(match member {
        Member::Variant(id) => MediaId::Variant(id),
        Member::Rendition(id) => MediaId::Rendition(id),
        Member::IframeVariant(id) => MediaId::IFrames(id),
    })
}

/// The media playlists of a presentation, each once.
fn listed(playlist: &MultivariantPlaylist) -> Vec<(Member, &Uri)> {
    let variants = playlist.variants.iter().map(|it| (Member::Variant(it.id), &it.uri));
    let renditions =
        playlist.renditions.iter().filter_map(|it| it.uri.as_ref().map(|uri| (Member::Rendition(it.id), uri)));
    let iframes = playlist.iframe_variants.iter().map(|it| (Member::IframeVariant(it.id), &it.uri));
    let mut all: Vec<(Member, &Uri)> = Vec::new();
    for (member, uri) in variants.chain(renditions).chain(iframes) {
        if !all.iter().any(|(_, known)| *known == uri) {
            all.push((member, uri));
        }
    }
    all
}
