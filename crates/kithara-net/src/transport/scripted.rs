//! An origin in memory.
