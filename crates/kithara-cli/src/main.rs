//! The `kithara` command.
fn main() {}
