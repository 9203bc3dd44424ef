//! Header values that decide about bytes: any text is answered, and a range that is accepted is one.

#![no_main]

use std::time::{Duration, UNIX_EPOCH};

use kithara_net::header::{Freshness, ContentRange, content_length, retry_after};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(ContentRange::Part { start, end, total }) = ContentRange::parse(text)
    {
        assert!(start < end && total.is_none_or(|total| end <= total));
    }
    let Ok(value) = http::HeaderValue::from_bytes(data) else { return };
    let headers = |name: http::HeaderName| http::HeaderMap::from_iter([(name, value.clone())]);
    let _ = ContentRange::of(&headers(http::header::CONTENT_RANGE));
    let _ = content_length(&headers(http::header::CONTENT_LENGTH));
    let _ = Freshness::of(&headers(http::header::CACHE_CONTROL));
    let _ = retry_after(&headers(http::header::RETRY_AFTER), UNIX_EPOCH + Duration::from_secs(1_700_000_000));
});
