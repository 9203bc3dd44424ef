//! Event messages: the `emsg` box (ISO/IEC 23009-1, 5.10.3.3).

use std::num::NonZeroU32;

use bytes::Bytes;

use super::full_box;
use crate::cursor::Cursor;
use crate::output::{MetadataKind, TimedMetadata};

/// A parsed `emsg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) timescale: NonZeroU32,
    pub(crate) time: EventTime,
    duration: Option<u32>,
    kind: MetadataKind,
    message: Bytes,
}

/// When an event happens, in ticks of its timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventTime {
    /// After the beginning of the unit.
    IntoUnit(u32),
    /// On the media timeline.
    Media(i64),
}

impl Event {
    /// Parses the payload of an `emsg`; `None` if it is cut or of a version that is not known.
    pub(crate) fn parse(payload: &Bytes) -> Option<Self> {
        let (version, _, mut cursor) = full_box(payload)?;
        let (scheme, value, timescale, time, duration, id) = match version {
            0 => {
                let (scheme, value) = (text(&mut cursor)?, text(&mut cursor)?);
                let (timescale, time) = (cursor.u32()?, EventTime::IntoUnit(cursor.u32()?));
                (scheme, value, timescale, time, cursor.u32()?, cursor.u32()?)
            }
            1 => {
                let (timescale, time) = (cursor.u32()?, EventTime::Media(i64::try_from(cursor.u64()?).ok()?));
                let (duration, id) = (cursor.u32()?, cursor.u32()?);
                (text(&mut cursor)?, text(&mut cursor)?, timescale, time, duration, id)
            }
            _ => return None,
        };
        Some(Self {
            timescale: NonZeroU32::new(timescale)?,
            time,
            duration: (duration != u32::MAX).then_some(duration),
            kind: MetadataKind::Event { scheme, value, id },
            message: payload.slice_ref(cursor.rest()),
        })
    }

    /// The event with its presentation time.
    pub(crate) fn at(self, time: i64) -> TimedMetadata {
        TimedMetadata {
            kind: self.kind,
            time,
            timescale: self.timescale,
            duration: self.duration,
            payload: self.message,
        }
    }
}

/// A string that ends with a zero.
fn text(cursor: &mut Cursor<'_>) -> Option<String> {
    let end = cursor.rest().iter().position(|byte| *byte == 0)?;
    let bytes = cursor.take(end)?;
    cursor.u8()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::mp4_full_box;
    use super::*;

    /// A version 0 event at `delta` milliseconds into its unit.
    pub(crate) fn emsg_v0(delta: u32) -> Vec<u8> {
        let numbers: Vec<u8> = [1000, delta, 5, 9].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        mp4_full_box(b"emsg", 0, 0, &[b"urn:scheme\0value\0", &numbers, b"message"])
    }

    /// A version 1 event at a media time in milliseconds.
    pub(crate) fn emsg_v1(time: u64) -> Vec<u8> {
        let numbers =
            [&1000_u32.to_be_bytes()[..], &time.to_be_bytes(), &u32::MAX.to_be_bytes(), &9_u32.to_be_bytes()].concat();
        mp4_full_box(b"emsg", 1, 0, &[&numbers, b"urn:scheme\0value\0message"])
    }

    fn parse(emsg: Vec<u8>) -> Option<Event> {
        Event::parse(&Bytes::from(emsg).slice(8..))
    }

    #[test]
    fn both_versions_are_read() {
        let (old, new) = (parse(emsg_v0(250)).unwrap(), parse(emsg_v1(7000)).unwrap());
        assert_eq!((old.time, new.time), (EventTime::IntoUnit(250), EventTime::Media(7000)));
        assert_eq!((old.kind.clone(), old.message.clone()), (new.kind.clone(), new.message.clone()));
        assert_eq!((old.at(1).duration, new.at(1).duration), (Some(5), None));
    }

    #[test]
    fn cut_events_are_refused() {
        for whole in [emsg_v0(1), emsg_v1(1)] {
            for len in 8..whole.len() - b"message".len() {
                assert_eq!(parse(whole[..len].to_vec()), None, "{len}");
            }
        }
    }
}
