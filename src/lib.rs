//! Client-side HLS (in construction).
