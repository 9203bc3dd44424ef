//! Matching of language tags (BCP 47: RFC 5646 for the tags, RFC 4647 for matching).

/// How well an offered language meets a wanted one; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LanguageMatch {
    /// The same language in another region or script: `en-GB` for `en-US`.
    Related,
    /// The offer is more general: `en` for `en-US` (lookup, RFC 4647 section 3.4).
    General,
    /// The offer is more specific: `en-US` for `en` (basic filtering, RFC 4647 section 3.3.1).
    Specific,
    /// The same tag, but for letter case and the length of its language code.
    Exact,
}

/// Compares a wanted language range with the LANGUAGE of a rendition. `None`: another language.
///
/// Letter case does not count. Three-letter codes of ISO 639-2, which packagers write where RFC 5646 demands the
/// shortest code, count as the two-letter code of the same language. `*` is met by everything, `und` by itself.
pub fn match_language(wanted: &str, offered: &str) -> Option<LanguageMatch> {
    let (wanted, offered) = (wanted.trim(), offered.trim());
    if wanted == "*" {
        return Some(LanguageMatch::Specific);
    }
    let mut theirs = subtags(offered);
    let mut ours = subtags(wanted);
    let (our_language, their_language) = (ours.next()?, theirs.next()?);
    if !shortest(our_language).eq_ignore_ascii_case(shortest(their_language)) {
        return None;
    }
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) => return Some(LanguageMatch::Exact),
            (None, Some(_)) => return Some(LanguageMatch::Specific),
            (Some(_), None) => return Some(LanguageMatch::General),
            (Some(ours), Some(theirs)) if ours.eq_ignore_ascii_case(theirs) => {}
            (Some(_), Some(_)) => return Some(LanguageMatch::Related),
        }
    }
}

/// Whether two tags name the same language, whatever the region.
pub fn same_language(a: &str, b: &str) -> bool {
    match_language(a, b).is_some()
}

fn subtags(tag: &str) -> impl Iterator<Item = &str> {
    // An underscore is no separator of RFC 5646, but of every C locale.
    tag.split(['-', '_']).filter(|subtag| !subtag.is_empty())
}

fn shortest(code: &str) -> &str {
    if code.len() != 3 {
        return code;
    }
    let known = SHORTEST.iter().find(|(long, _)| long.eq_ignore_ascii_case(code));
    known.map_or(code, |(_, short)| short)
}

/// ISO 639-2 codes, terminological and bibliographic, with their two-letter code.
const SHORTEST: [(&str, &str); 92] = [
    ("afr", "af"),
    ("alb", "sq"),
    ("sqi", "sq"),
    ("amh", "am"),
    ("ara", "ar"),
    ("arm", "hy"),
    ("hye", "hy"),
    ("aze", "az"),
    ("baq", "eu"),
    ("eus", "eu"),
    ("bel", "be"),
    ("ben", "bn"),
    ("bos", "bs"),
    ("bul", "bg"),
    ("bur", "my"),
    ("mya", "my"),
    ("cat", "ca"),
    ("chi", "zh"),
    ("zho", "zh"),
    ("cze", "cs"),
    ("ces", "cs"),
    ("dan", "da"),
    ("dut", "nl"),
    ("nld", "nl"),
    ("eng", "en"),
    ("epo", "eo"),
    ("est", "et"),
    ("fin", "fi"),
    ("fre", "fr"),
    ("fra", "fr"),
    ("geo", "ka"),
    ("kat", "ka"),
    ("ger", "de"),
    ("deu", "de"),
    ("gle", "ga"),
    ("glg", "gl"),
    ("gre", "el"),
    ("ell", "el"),
    ("guj", "gu"),
    ("heb", "he"),
    ("hin", "hi"),
    ("hrv", "hr"),
    ("hun", "hu"),
    ("ice", "is"),
    ("isl", "is"),
    ("ind", "id"),
    ("ita", "it"),
    ("jpn", "ja"),
    ("kan", "kn"),
    ("kaz", "kk"),
    ("khm", "km"),
    ("kor", "ko"),
    ("lao", "lo"),
    ("lat", "la"),
    ("lav", "lv"),
    ("lit", "lt"),
    ("mac", "mk"),
    ("mkd", "mk"),
    ("mal", "ml"),
    ("mar", "mr"),
    ("may", "ms"),
    ("msa", "ms"),
    ("mon", "mn"),
    ("nep", "ne"),
    ("nob", "nb"),
    ("nno", "nn"),
    ("nor", "no"),
    ("pan", "pa"),
    ("per", "fa"),
    ("fas", "fa"),
    ("pol", "pl"),
    ("por", "pt"),
    ("rum", "ro"),
    ("ron", "ro"),
    ("rus", "ru"),
    ("slo", "sk"),
    ("slk", "sk"),
    ("slv", "sl"),
    ("spa", "es"),
    ("srp", "sr"),
    ("swa", "sw"),
    ("swe", "sv"),
    ("tam", "ta"),
    ("tel", "te"),
    ("tha", "th"),
    ("tur", "tr"),
    ("ukr", "uk"),
    ("urd", "ur"),
    ("uzb", "uz"),
    ("vie", "vi"),
    ("wel", "cy"),
    ("cym", "cy"),
];

#[cfg(test)]
mod tests {
    use super::{LanguageMatch::*, *};

    #[track_caller]
    fn check(wanted: &str, offered: &str, want: Option<LanguageMatch>) {
        assert_eq!(match_language(wanted, offered), want, "{wanted} against {offered}");
    }

    #[test]
    fn equal_tags_match_whatever_their_case() {
        check("en", "en", Some(Exact));
        check("EN-us", "en-US", Some(Exact));
        check("zh_Hant", "zh-hant", Some(Exact));
    }

    #[test]
    fn a_range_is_met_by_what_it_contains() {
        check("en", "en-GB", Some(Specific));
        check("zh", "zh-Hant-TW", Some(Specific));
        check("*", "ja", Some(Specific));
    }

    #[test]
    fn a_more_general_offer_is_second_best_and_a_sister_third() {
        check("en-US", "en", Some(General));
        check("en-US", "en-GB", Some(Related));
        assert!(Exact > Specific && Specific > General && General > Related);
    }

    #[test]
    fn a_common_prefix_of_letters_is_no_match() {
        check("e", "en", None);
        check("en", "eng-x", Some(Specific));
        check("de", "den", None);
        check("en", "de", None);
        check("", "en", None);
        check("en", "", None);
    }

    #[test]
    fn three_letter_codes_name_the_same_language() {
        check("de", "ger", Some(Exact));
        check("deu", "de-AT", Some(Specific));
        check("fra", "fre", Some(Exact));
        check("gsw", "gsw", Some(Exact));
        check("und", "und", Some(Exact));
    }
}
