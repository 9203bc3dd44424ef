//! Random access to bytes that may still be on their way
