//! Whom a request is counted for: an address, or the network that a household or a machine is given.
//!
//! A proxy in front of the gateway makes all callers look like one. What it says of whom it speaks for is believed only
//! of the proxies that the operator named, since anybody can write such a header.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderName, header};

/// The header that most proxies write: `client, proxy, proxy`.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The bits of an IPv6 address that name a network; the others are its owner's to choose.
const NETWORK_BITS: u32 = 64;

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(BTreeSet<IpAddr>);

impl Proxies {
    pub(crate) fn new(trusted: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(trusted.into_iter().map(|proxy| proxy.to_canonical()).collect())
    }

    /// Whether this address is one of theirs.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whom a request is counted for that came from `from`: the last hop before the trusted ones. A proxy that does not
    /// name it, or whose two headers name different ones (one of them is the caller's own then), is counted itself.
    pub(crate) fn caller(&self, from: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.has(from) {
            return network(from);
        }
        let (old, new) = (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(header::FORWARDED));
        let old = old.then(|| x_forwarded_for(headers));
        let new = new.then(|| forwarded(headers));
        let hops = match (old, new) {
            (Some(hops), None) | (None, Some(hops)) => hops,
            (Some(hops), Some(others)) if self.last(from, &hops) == self.last(from, &others) => hops,
            _ => Vec::new(),
        };
        network(self.last(from, &hops))
    }

    /// The last hop that is no trusted proxy; the last that is known where the next one is not.
    fn last(&self, from: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut last = from;
        for hop in hops.iter().rev() {
            let Some(hop) = *hop else { break };
            last = hop;
            if !self.has(hop) {
                break;
            }
        }
        last
    }
}

/// The network that an address is in: an IPv4 address itself, also when it is written as IPv6, and 64 bits of an IPv6 one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> NETWORK_BITS << NETWORK_BITS;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The hops of `X-Forwarded-For`, the caller's first; none for one that is no address.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(|hop| address(hop.trim())).collect()
}

/// The hops of `Forwarded` (RFC 7239), the caller's first; none for one that is hidden, unknown or not well formed.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lines = headers.get_all(header::FORWARDED).iter();
    let elements = lines.flat_map(|line| match split(line.to_str().unwrap_or_default(), ',') {
        Some(elements) => elements,
        None => vec![""],
    });
    elements.map(hop).collect()
}

/// The address that an element of `Forwarded` says it is for.
fn hop(element: &str) -> Option<IpAddr> {
    let pairs = split(element, ';')?;
    let mut named = pairs.into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    // A name may be there once.
    let (value, None) = (named.next()?, named.next()) else { return None };
    let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    address(quoted.unwrap_or(value))
}

/// The parts between separators that are not in quotes; none when a quote is not ended.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => {
                parts.push(&text[begin..at]);
                begin = at + separator.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[begin..]);
    (!quoted).then_some(parts)
}

/// An address as proxies write it: alone, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let alone = bracketed.unwrap_or(text).parse();
    alone.or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn said(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn an_ipv6_network_is_one_caller_and_an_ipv4_address_another() {
        assert_eq!(network(ip("2001:db8:1:2:aaaa::1")), network(ip("2001:db8:1:2:ffff:ffff::9")));
        assert_ne!(network(ip("2001:db8:1:2::1")), network(ip("2001:db8:1:3::1")));
        assert_eq!(network(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
        assert_ne!(network(ip("::ffff:192.0.2.1")), network(ip("::ffff:192.0.2.2")));
    }

    #[test]
    fn nobody_but_a_trusted_proxy_says_whom_it_speaks_for() {
        let headers = said(&[("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")]);
        let stranger = ip("198.51.100.1");
        assert_eq!(Proxies::default().caller(stranger, &headers), stranger);
        assert_eq!(Proxies::new([ip("10.0.0.1")]).caller(stranger, &headers), stranger);
        let proxies = Proxies::new([ip("10.0.0.1")]);
        assert_eq!(proxies.caller(ip("::ffff:10.0.0.1"), &headers), ip("192.0.2.7"));
    }

    #[test]
    fn the_last_hop_before_the_trusted_ones_is_the_caller() {
        let (outer, inner) = (ip("10.0.0.1"), ip("10.0.0.2"));
        let proxies = Proxies::new([outer, inner]);
        let caller = |lines: &[(&'static str, &str)]| proxies.caller(inner, &said(lines)).to_string();
        for (lines, expected) in [
            // What the caller itself has written stands before what the proxies have.
            (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.1")][..], "192.0.2.7"),
            (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7:4711")], "192.0.2.7"),
            (&[("x-forwarded-for", "[2001:db8:1:2::9]:80")], "2001:db8:1:2::"),
            (&[("x-forwarded-for", "10.0.0.2, 10.0.0.1")], "10.0.0.2"),
            (&[("x-forwarded-for", "6.6.6.6, unknown, 10.0.0.1")], "10.0.0.1"),
            (&[("x-forwarded-for", "6.6.6.6, ")], "10.0.0.2"),
            (&[("forwarded", "for=6.6.6.6, For=\"[2001:db8:1:2::9]:80\";proto=https")], "2001:db8:1:2::"),
            (&[("forwarded", "for=192.0.2.7;host=\"a,for=6.6.6.6\"")], "192.0.2.7"),
            (&[("forwarded", "for=192.0.2.7;host=\"a,for=6.6.6.6")], "10.0.0.2"),
            (&[("forwarded", "for=192.0.2.7;for=6.6.6.6")], "10.0.0.2"),
            (&[("forwarded", "for=6.6.6.6, for=_hidden")], "10.0.0.2"),
            (&[("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
            (&[("forwarded", "for=6.6.6.6"), ("x-forwarded-for", "192.0.2.7")], "10.0.0.2"),
            (&[], "10.0.0.2"),
        ] {
            assert_eq!(caller(lines), expected, "{lines:?}");
        }
    }
}
