//! Persistent asset cache: resources by key, spans and holes, leases, quota, crash-safe
