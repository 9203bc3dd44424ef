//! EXT-X-KEY and EXT-X-SESSION-KEY (sections 4.4.4.4 and 4.4.6.5).

use super::super::{Iv, Key, KeyMethod, ParseErrorKind, Rule};
use super::scope::{Place, Scope};

/// Reads the list of `tag`; `None` stands for the method NONE.
pub(super) fn read_key(
    scope: &mut Scope<'_>,
    at: Place<'_>,
    list: &str,
    tag: &'static str,
) -> Result<Option<Key>, ParseErrorKind> {
    let (mut method, mut uri, mut iv) = (None, None, None);
    let (mut keyformat, mut keyformatversions) = (None, None);
    for attribute in scope.attributes(at, list) {
        match attribute.name {
            "METHOD" => method = Some(attribute.value),
            "URI" => uri = Some(scope.lasting_uri(at, attribute.value)?),
            "IV" => {
                scope.needs(at, 2);
                let value = scope.expand(attribute.value)?;
                iv = Some(read_iv(&value));
            }
            "KEYFORMAT" => {
                scope.needs(at, 5);
                keyformat = Some(scope.quoted(at, attribute)?);
            }
            "KEYFORMATVERSIONS" => {
                scope.needs(at, 5);
                keyformatversions = Some(scope.quoted(at, attribute)?);
            }
            _ => {}
        }
    }
    let mut method = match method.ok_or(ParseErrorKind::Missing { tag, attribute: "METHOD" })? {
        "NONE" => {
            if uri.is_some() || iv.is_some() || keyformat.is_some() || keyformatversions.is_some() {
                scope.violation(at, Rule::NoneWithAttributes);
            }
            return Ok(None);
        }
        "AES-128" => KeyMethod::Aes128,
        "AES-256-GCM" => KeyMethod::Aes256Gcm,
        "SAMPLE-AES" => KeyMethod::SampleAes,
        "SAMPLE-AES-CTR" => KeyMethod::SampleAesCtr,
        other => {
            scope.violation_of(at, Rule::UnknownKeyMethod, other);
            KeyMethod::Other(other.into())
        }
    };
    if method == KeyMethod::SampleAes {
        scope.needs(at, 5);
    }
    if iv.is_some() && matches!(method, KeyMethod::Aes256Gcm | KeyMethod::SampleAesCtr) {
        scope.violation(at, Rule::IvWithoutUse);
    }
    if uri.is_none() {
        scope.violation(at, Rule::KeyWithoutUri);
    }
    // The number of the segment in place of a vector that cannot be read would decrypt to noise.
    if iv == Some(None) {
        scope.violation(at, Rule::InvalidIv);
        method = KeyMethod::Other(method.as_str().into());
    }
    let key = Key {
        method,
        uri,
        iv: iv.flatten(),
        keyformat: keyformat.unwrap_or_else(|| scope.keyformat.clone()),
        keyformatversions: keyformatversions.unwrap_or_else(|| scope.keyformatversions.clone()),
    };
    Ok(Some(key))
}

/// Up to 32 hexadecimal digits behind `0x`, which some packagers leave out.
fn read_iv(text: &str) -> Option<Iv> {
    let text = text.trim_matches('"');
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let legal = (1..=32).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
    legal.then_some(())?;
    u128::from_str_radix(digits, 16).ok().map(|value| Iv(value.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialization_vectors() {
        let shown = |text| read_iv(text).map(|iv| iv.to_string());
        let one = "00000000000000000000000000000001".to_owned();
        assert_eq!(shown("0x1"), Some(one.clone()));
        assert_eq!(shown("0X00000000000000000000000000000001"), Some(one.clone()));
        assert_eq!(shown(&one), Some(one.clone()));
        for text in ["", "0x", "0xg", "+1", "0x000000000000000000000000000000001"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
