//! Every HLS decision as a pure state machine: playlists, timeline, plan, ABR, keys, fallback
