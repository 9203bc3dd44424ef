//! HTTP with bounds: one retry loop over a pure policy, ranged resume, origin-bound credentials
