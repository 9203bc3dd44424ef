//! Which addresses may be named by whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Whether documents of the public internet may point into private networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AddressPolicy {
    /// Every address may be named by everybody. This is the default: home servers and test origins are private.
    #[default]
    Allow,
    /// What a public origin names, by redirect or in a document ([`Request::named_by`](crate::Request::named_by)), must
    /// have a public address: not loopback, private, link-local or otherwise special. Checked after name resolution at
    /// every hop, at the moment of connecting, so that a name cannot change its address in between. What the app itself
    /// or a private origin names may be anywhere. Behind a proxy only literal addresses can be checked.
    PublicOnly,
}

/// Who named a URL: decides where it may lead under [`AddressPolicy::PublicOnly`]. Of several the greatest counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// The app, which may name anything. This is the default of a request.
    #[default]
    App,
    /// A document or redirect from a private address.
    Private,
    /// A document or redirect from a public or unknown address.
    Public,
}

/// Whether `address` belongs to the public internet (the IANA special-purpose registries say what does not).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || (a == 100 && (64..128).contains(&b)) // Shared between carrier and customer (RFC 6598).
        || (a == 192 && b == 0 && c == 0) // Protocol assignments (RFC 6890).
        || (a == 198 && (18..20).contains(&b)) // Benchmarking (RFC 2544).
        || a >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded_v4(address) {
        return is_public_v4(v4);
    }
    // Only 2000::/3 is global unicast; of it, 2001:db8::/32 and 3fff::/20 are documentation, and
    // 2001::/23 is protocol assignments.
    let [a, b, ..] = address.segments();
    (a & 0xe000) == 0x2000 && !(a == 0x2001 && (b == 0xdb8 || b < 0x200)) && !(a == 0x3fff && b < 0x1000)
}

/// The IPv4 address an IPv6 one leads to: mapped, translated (RFC 6052) or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let pair = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

/// The address a URL names without any name resolution: a literal one, or that of `localhost`.
pub(crate) fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            let local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
            local.then_some(IpAddr::V4(Ipv4Addr::LOCALHOST))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_not_public() {
        let special = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
            "100::1",
        ];
        for address in special {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        let ordinary = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
        ];
        for address in ordinary {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn literal_hosts_need_no_resolution() {
        let literal = |url: &str| literal_address(&Url::parse(url).unwrap());
        assert_eq!(literal("http://127.0.0.1:8/"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(literal("http://0x7f.1/"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(literal("http://[::1]/"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(literal("http://LOCALHOST./"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(literal("http://a.localhost/"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(literal("http://localhost.example/"), None);
    }
}
