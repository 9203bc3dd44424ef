//! Whole sessions in virtual time, against a scripted network.
//!
//! No socket, no clock and no byte of media: a [`World`] says what the origin answers and how the link carries it, a
//! [`Simulation`] runs a [`Session`](crate::session::Session) in it until its readers are done, and the transcript has
//! one line for each action and event. An hour of playback takes a fraction of a second.

mod link;
mod parts;
mod player;
mod run;
mod world;

pub use self::{
    link::Bandwidth,
    player::{Played, Player, PlayerReport},
    run::{Simulation, Transcript},
    world::{Answer, Chance, Fault, Flow, Gate, Make, Resolver, Serve, World},
};
