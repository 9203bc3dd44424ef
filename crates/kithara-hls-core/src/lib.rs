//! Every decision of an HLS client, as pure state machines.
//!
//! Which playlist to load and when, which variant to play, what to fetch next, which key decrypts it, what to do when it
//! cannot be had: all of it is decided here, and nothing is done here. There is no clock in this crate, no lock, no
//! socket, no file, no task and no byte of media. Time, the number of bytes that arrived and the text of playlists are
//! arguments; what should be done comes back as values. The same inputs give the same outputs, hash order included.
//!
//! # Words
//!
//! The words are those of RFC 8216 and its second edition. A *variant* is an entry of the multivariant playlist; its
//! *media playlist* lists *segments*, numbered by *media sequence number* (`msn`) and, where the media timeline breaks,
//! by *discontinuity sequence number* (`dsn`). Ours are:
//!
//! - *snapshot*: one parsed version of a playlist. It never changes; a reload makes another one.
//! - *unit*: what is fetched as a whole: a segment or an initialization section. It is named by where it stands, never by
//!   its URL, so a playlist that comes back with re-signed URLs still names the same units.
//! - *plan*: what will be fetched. It may be dropped or replaced at will.
//! - *log*: what readers have entered. It never changes.
//! - *run*: a stretch of the log that one demuxer reads as one file.
//!
//! # How it flows
//!
//! A driver feeds a [`session::Session`] with [`session::Input`]s and carries out its [`session::Action`]s:
//!
//! ```
//! use kithara_hls_core::{
//!     session::{Action, Demand, Input, PlaylistText, ReaderId, Session, SessionOptions, Track, View},
//!     time::{Now, Tick},
//! };
//!
//! let url: url::Url = "https://example.org/talk.m3u8".parse()?;
//! let mut session = Session::new(url.clone(), SessionOptions::default(), Now::from(Tick::ZERO));
//! let Some(Action::LoadPlaylist { id, .. }) = session.poll_action() else { panic!("a session begins with its playlist") };
//!
//! let open = Demand::Open { view: View::Adaptive, track: Track::Main };
//! session.handle(Tick::from_millis(1).into(), Input::Demand { reader: ReaderId(1), demand: open });
//!
//! let text = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\none.ts\n#EXT-X-ENDLIST\n".to_owned();
//! let playlist = PlaylistText { url, text, from_store: false, age: None, may_be_cut: false };
//! session.handle(Tick::from_millis(80).into(), Input::Playlist { id, result: Ok(playlist) });
//!
//! let actions: Vec<String> = std::iter::from_fn(|| session.poll_action()).map(|action| action.to_string()).collect();
//! assert_eq!(actions, ["attach r1 v0", "fetch f1 v0/0 /one.ts"]);
//! # Ok::<(), url::ParseError>(())
//! ```
//!
//! # What this buys
//!
//! [`sim`] runs whole sessions in virtual time against a scripted network: an hour of playback in a fraction of a second,
//! with every fault exactly where a test wants it. [`trace`] writes what a real session was told, without secrets, and
//! replays it: a bug report is a file that becomes a test. And the adaptation that is measured on recorded networks in
//! [`abr::sim`] is the very code that ships.
//!
//! # Where to begin reading
//!
//! [`session`] for the machine; [`playlist`] for what goes in; [`timeline`], [`layout`], [`key`], [`reload`],
//! [`selection`], [`pathway`],
//! [`steering`] and [`fallback`] for the single rules; [`abr`] for adaptation.

pub mod abr;
pub mod directives;
pub mod fallback;
pub mod key;
pub mod layout;
pub mod metadata;
pub mod pathway;
pub mod playlist;
pub mod reload;
pub mod selection;
pub mod session;
pub mod sim;
pub mod steering;
pub mod time;
pub mod timeline;
pub mod trace;
mod units;

pub use units::BitRate;

// The example of the README is compiled and run as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
