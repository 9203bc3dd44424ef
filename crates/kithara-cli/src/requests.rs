//! What the command line says about requests, as the library takes it.

use kithara::options::RequestOptions;

use crate::{args::RequestArgs, failure::Failure};

/// The options of requests.
pub(crate) fn options(args: &RequestArgs) -> Result<RequestOptions, Failure> {
    let mut options = with_headers(RequestOptions::default(), "--header", &args.headers)?;
    if !args.query.is_empty() {
        options.query = Some(args.query.join("&"));
    }
    Ok(options)
}

/// Headers that `kithara-net` makes itself and would leave out: those in `RESERVED` of its `credentials.rs`, by name.
const RESERVED: [&str; 13] = [
    "Range",
    "If-Range",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "Accept-Encoding",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Upgrade",
    "Host",
];

/// The same options with headers, which were given with the option `option`.
pub(crate) fn with_headers(
    mut options: RequestOptions,
    option: &str,
    headers: &[String],
) -> Result<RequestOptions, Failure> {
    for header in headers {
        // The value may be a credential: a mistake is shown by its name alone.
        let parts = header.split_once(':');
        let (name, value) = parts.ok_or_else(|| Failure::usage(format!("{option} needs `Name: value`")))?;
        let name = name.trim();
        if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name)) {
            return Err(Failure::usage(format!(
                "{option} {name}: this header is made for each request, and cannot be given"
            )));
        }
        let refused = |_| Failure::usage(format!("{option} {name}: not a header that HTTP allows"));
        options = options.with_header(name, value.trim()).map_err(refused)?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(headers: &[&str], query: &[&str]) -> RequestArgs {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        RequestArgs { headers: owned(headers), query: owned(query) }
    }

    #[test]
    fn headers_and_queries_are_taken_in_order() {
        let options = options(&args(&["X-A: 1", "x-b:2"], &["a=b", "c=%2F"])).unwrap();
        assert_eq!((options.headers["x-a"].as_bytes(), options.headers["x-b"].as_bytes()), (&b"1"[..], &b"2"[..]));
        assert_eq!(options.query.as_deref(), Some("a=b&c=%2F"));
    }

    #[test]
    fn a_mistake_does_not_show_the_value() {
        for header in ["Authorization secret", "Auth orization: secret", "X: secret\u{7}"] {
            let failure = options(&args(&[header], &[])).unwrap_err();
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }
    #[test]
    fn headers_that_would_be_left_out_are_refused_by_name() {
        for name in RESERVED {
            let failure = options(&args(&[&format!("{}: secret", name.to_lowercase())], &[])).unwrap_err();
            let told = failure.to_string();
            assert!(failure.is_usage() && told.contains(&name.to_lowercase()) && !told.contains("secret"), "{told}");
        }
    }
}
