//! A scripted loopback HTTP origin: faults, latency, live playlists, signed URLs, and a demo stream
