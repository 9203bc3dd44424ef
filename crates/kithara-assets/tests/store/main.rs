//! The store on disk, through restarts, damage, full disks, crashes and other processes.

// What a test leans on is part of the test: it may fail where it stands.
#![allow(clippy::unwrap_used)]
// A test that was skipped has to say so.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod crash;
mod damage;
mod disk;
mod faults;
mod ground;
mod processes;
mod restart;
