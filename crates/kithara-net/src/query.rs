//! Query parameters as the origin signed them.

use url::Url;

/// `url` with `raw` appended to its query, byte for byte.
///
/// `raw` is a query without its leading `?` or `&` (both are tolerated), such as `token=a%2Fb&expires=1`. Nothing in it
/// and nothing already in `url` is decoded and encoded again: signatures are computed over exact bytes, and
/// `Url::query_pairs_mut` breaks them. Only bytes that may not stand in a URL at all (space, `"`, `<`, `>`, `#`, `'`,
/// controls, non-ASCII) are percent-encoded, as they are when a URL is parsed. An empty `raw` changes nothing; the
/// fragment stays.
#[must_use]
pub fn append_query_raw(url: &Url, raw: &str) -> Url {
    let raw = raw.trim_start_matches(['?', '&']);
    let mut joined = url.clone();
    if raw.is_empty() {
        return joined;
    }
    match url.query() {
        None | Some("") => joined.set_query(Some(raw)),
        Some(query) if query.ends_with('&') => joined.set_query(Some(&format!("{query}{raw}"))),
        Some(query) => joined.set_query(Some(&format!("{query}&{raw}"))),
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, raw: &str, want: &str) {
        assert_eq!(append_query_raw(&Url::parse(url).unwrap(), raw).as_str(), want);
    }

    #[test]
    fn signatures_keep_their_bytes() {
        check("http://h/a", "s=a%2Fb%2bc+d/e=&~|", "http://h/a?s=a%2Fb%2bc+d/e=&~|");
    }

    #[test]
    fn what_was_there_keeps_its_bytes() {
        check("http://h/a?x=%2f+1", "y=2", "http://h/a?x=%2f+1&y=2");
    }

    #[test]
    fn separators_are_not_doubled() {
        check("http://h/a", "?y=2", "http://h/a?y=2");
        check("http://h/a?x=1&", "&y=2", "http://h/a?x=1&y=2");
        check("http://h/a?", "y=2", "http://h/a?y=2");
    }

    #[test]
    fn nothing_appended_changes_nothing() {
        check("http://h/a?", "", "http://h/a?");
        check("http://h/a", "?", "http://h/a");
    }

    #[test]
    fn a_number_sign_does_not_become_a_fragment() {
        check("http://h/a#f", "y=#2", "http://h/a?y=%232#f");
    }
}
