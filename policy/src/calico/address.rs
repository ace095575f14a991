//! Addresses and prefixes as Calico reads them, which is laxer than this project's own reader.

use std::net::IpAddr;

use ipnet::IpNet;

/// Reads a prefix, host bits masked away (projectcalico/calico:libcalico-go/lib/net/ipnet.go ParseCIDR over Go's
/// net.ParseCIDR). An IPv4 prefix written as IPv6 is not read: Calico's own parts disagree about it.
pub(super) fn prefix(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let address = bare(address)?;
    if length.is_empty() || length.len() > 9 || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length = length.parse().ok()?;
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

/// Reads a prefix or a bare address (ParseCIDROrIP of the same file).
pub(super) fn prefix_or_address(text: &str) -> Option<IpNet> {
    prefix(text).or_else(|| bare(text).map(IpNet::from))
}

/// Reads a bare address. An IPv4 address written as IPv6 is the IPv4 address (Go's net.ParseIP and To4).
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn bare(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    (address.to_canonical() == address).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_masked_and_bare_addresses_taken_where_calico_takes_them() {
        assert_eq!(prefix("10.1.2.3/8").map(|net| net.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(prefix("10.0.0.0/08").map(|net| net.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(prefix("10.0.0.1"), None);
        assert_eq!(prefix_or_address("10.0.0.1").map(|net| net.to_string()).as_deref(), Some("10.0.0.1/32"));
        for bad in ["010.0.0.0/8", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::ffff:10.0.0.0/104", "banana", ""] {
            assert_eq!(prefix_or_address(bad), None, "{bad}");
        }
    }
}
