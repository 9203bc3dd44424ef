//! EXT-X-DATERANGE (section 4.4.5.1).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::super::{AttributeValue, Cue, DateRange, Line, ParseErrorKind, Rule};
use super::attributes::{Attribute, Attributes};
use super::scope::{Place, Scope};

/// Reads one tag; `None` when it has no ID, without which it means nothing.
pub(super) fn read_date_range(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    list: &str,
) -> Result<Option<DateRange>, ParseErrorKind> {
    let mut range = DateRange {
        id: "".into(),
        class: None,
        start_date: None,
        end_date: None,
        duration: None,
        planned_duration: None,
        end_on_next: false,
        cue: Cue::default(),
        attributes: BTreeMap::new(),
        line: at.line(),
    };
    for attribute in Attributes::of(list) {
        read_attribute(scope, at, attribute, &mut range)?;
    }
    if range.id.is_empty() {
        scope.violation(at, Rule::DateRangeWithoutId);
        return Ok(None);
    }
    Ok(Some(range))
}

fn read_attribute(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    attribute: Attribute<'_>,
    range: &mut DateRange,
) -> Result<(), ParseErrorKind> {
    match attribute.name {
        "ID" => range.id = scope.quoted(at, attribute)?,
        "CLASS" => range.class = Some(scope.quoted(at, attribute)?),
        "START-DATE" | "END-DATE" => {
            let date = scope.expand(attribute.value)?.parse().ok();
            if date.is_none() {
                scope.violation(at, Rule::InvalidDate);
            }
            let field = match attribute.name {
                "START-DATE" => &mut range.start_date,
                _ => &mut range.end_date,
            };
            *field = date;
        }
        "DURATION" => range.duration = scope.seconds(at, attribute.value),
        "PLANNED-DURATION" => range.planned_duration = scope.seconds(at, attribute.value),
        "END-ON-NEXT" => range.end_on_next = attribute.is_yes(),
        "CUE" => {
            for trigger in attribute.value.split(',') {
                match trigger.trim() {
                    "PRE" => range.cue.pre = true,
                    "POST" => range.cue.post = true,
                    "ONCE" => range.cue.once = true,
                    _ => {}
                }
            }
        }
        name => {
            let value = scope.any(attribute)?;
            range.attributes.insert(name.into(), value);
        }
    }
    Ok(())
}

/// The ranges of a playlist: tags of one ID are one range.
///
/// As long as they are those of the snapshot before, they are only counted; most reloads change none.
#[derive(Default)]
pub(super) struct DateRanges<'a> {
    /// The ranges of the snapshot before, and which of them are the first ones here.
    known: &'a [Arc<DateRange>],
    kept: Range<usize>,
    /// All ranges, once one of them is another.
    list: Vec<Arc<DateRange>>,
    /// The line of the first tag of each, in this text.
    lines: Vec<Line>,
    /// Their places, once they have been looked for a few times.
    places: Option<BTreeMap<Arc<str>, usize>>,
    looks: usize,
}

/// How often a range is looked for in a list before the list is worth a map.
const FEW_LOOKS: usize = 8;

impl<'a> DateRanges<'a> {
    /// `known` are the ranges of the snapshot before.
    pub(super) fn after(known: &'a [Arc<DateRange>]) -> Self {
        Self { known, ..Self::default() }
    }

    /// Adds what a tag in `line` says. What an earlier tag of the same ID said stands; `false` when this one contradicts
    /// it.
    pub(super) fn add(&mut self, range: &Arc<DateRange>, line: Line) -> bool {
        if self.list.is_empty() {
            if self.keep(range) {
                self.lines.push(line);
                return true;
            }
            self.list.extend_from_slice(&self.known[self.kept.clone()]);
        }
        match self.place_of(&range.id) {
            None => {
                if let Some(places) = &mut self.places {
                    places.insert(range.id.clone(), self.list.len());
                }
                self.list.push(range.clone());
                self.lines.push(line);
                true
            }
            Some(place) => {
                let known = &mut self.list[place];
                Arc::ptr_eq(known, range) || consolidate(Arc::make_mut(known), range)
            }
        }
    }

    /// All ranges, and the lines they stand in.
    pub(super) fn finish(self) -> (Vec<Arc<DateRange>>, Vec<Line>) {
        let list = if self.list.is_empty() { self.known[self.kept].to_vec() } else { self.list };
        (list, self.lines)
    }

    /// Keeps the next range of the snapshot before when that is `range`.
    fn keep(&mut self, range: &Arc<DateRange>) -> bool {
        let is_same = |known: &Arc<DateRange>| Arc::ptr_eq(known, range) || known == range;
        if self.kept.is_empty() {
            // The first ones may have left.
            let Some(first) = self.known.iter().position(is_same) else { return false };
            self.kept = first..first + 1;
            return true;
        }
        let is_next = self.known.get(self.kept.end).is_some_and(is_same);
        self.kept.end += usize::from(is_next);
        is_next
    }

    fn place_of(&mut self, id: &Arc<str>) -> Option<usize> {
        let list = &self.list;
        if self.places.is_none() && self.looks < FEW_LOOKS {
            self.looks += 1;
            return list.iter().position(|known| known.id == *id);
        }
        let numbered = || list.iter().enumerate().map(|(place, range)| (range.id.clone(), place)).collect();
        self.places.get_or_insert_with(numbered).get(id).copied()
    }
}

fn consolidate(known: &mut DateRange, new: &DateRange) -> bool {
    let mut agree = fill(&mut known.class, &new.class);
    agree &= fill(&mut known.start_date, &new.start_date);
    agree &= fill(&mut known.end_date, &new.end_date);
    agree &= fill(&mut known.duration, &new.duration);
    agree &= fill(&mut known.planned_duration, &new.planned_duration);
    known.end_on_next |= new.end_on_next;
    known.cue.pre |= new.cue.pre;
    known.cue.post |= new.cue.post;
    known.cue.once |= new.cue.once;
    for (name, value) in &new.attributes {
        let held: &AttributeValue = known.attributes.entry(name.clone()).or_insert_with(|| value.clone());
        agree &= held == value;
    }
    agree
}

/// Takes the new value where there is none; tells whether both agree.
fn fill<T: Clone + PartialEq>(known: &mut Option<T>, new: &Option<T>) -> bool {
    if known.is_none() {
        known.clone_from(new);
    }
    new.is_none() || known == new
}
