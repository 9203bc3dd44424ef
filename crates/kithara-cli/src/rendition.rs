//! How the command line names an audio rendition.

use std::{convert::Infallible, str::FromStr};

use kithara::{
    event::{RenditionStatus, Status},
    options::{RenditionPreference, same_language},
    playlist::{RenditionId, RenditionKind},
};

use crate::failure::Failure;

/// A language, a name, or a number in `kithara probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AudioArg {
    Number(u32),
    Text(String),
}

impl FromStr for AudioArg {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Number))
    }
}

impl AudioArg {
    /// What a session is to look for.
    pub(crate) fn preference(&self) -> RenditionPreference {
        match self {
            Self::Number(number) => {
                RenditionPreference { id: Some(RenditionId(*number)), ..RenditionPreference::default() }
            }
            Self::Text(text) => RenditionPreference {
                name: Some(text.clone()),
                languages: vec![text.clone()],
                ..RenditionPreference::default()
            },
        }
    }

    /// That the session found it: a wish is met by the nearest there is, somebody who names one means it.
    pub(crate) fn check(&self, status: &Status) -> Result<(), Failure> {
        let audio = || status.renditions.iter().filter(|it| it.kind == RenditionKind::Audio);
        if audio().find(|it| Some(it.id) == status.audio).is_some_and(|it| self.is_met_by(it)) {
            return Ok(());
        }
        let wanted = match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        };
        let offered: Vec<String> = audio().map(shown).collect();
        let offered = if offered.is_empty() { "none".to_owned() } else { offered.join(", ") };
        Err(Failure::usage(format!("there is no audio rendition {wanted}; there are: {offered}")))
    }

    fn is_met_by(&self, rendition: &RenditionStatus) -> bool {
        let speaks = |language: &Option<String>, wanted: &str| {
            language.as_deref().is_some_and(|language| same_language(wanted, language))
        };
        match self {
            Self::Number(number) => rendition.id.0 == *number,
            Self::Text(text) => {
                rendition.name.eq_ignore_ascii_case(text)
                    || speaks(&rendition.language, text)
                    || speaks(&rendition.assoc_language, text)
            }
        }
    }
}

fn shown(rendition: &RenditionStatus) -> String {
    let language = rendition.language.as_ref().map_or_else(String::new, |language| format!(" ({language})"));
    format!("{} {}{language}", rendition.id.0, rendition.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_place_and_everything_else_a_name_or_language() {
        assert_eq!("2".parse(), Ok(AudioArg::Number(2)));
        assert_eq!("de-AT".parse(), Ok(AudioArg::Text("de-AT".into())));
        let wanted = AudioArg::Text("en".into()).preference();
        assert_eq!((wanted.name.as_deref(), &*wanted.languages), (Some("en"), &["en".to_owned()][..]));
    }
}
