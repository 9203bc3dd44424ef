//! HLS sessions: driver, playlist, fetch and key managers, sources, events
