//! What takes its time: tests in real time that wait for most of it, in one program, where they wait side by side.

#[path = "../support/mod.rs"]
mod support;

mod defaults;
mod slow_link;
