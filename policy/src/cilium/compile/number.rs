//! Texts as Go reads them, which is how the agent reads ports and prefixes.

use std::net::IpAddr;

use ipnet::IpNet;

/// Whether a port is a name: up to 15 letters, digits and single inner dashes, with at least one letter
/// (cilium/cilium:pkg/iana/svcname.go). What is a name is not a number, not even `0x10`.
pub(super) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 15
        && bytes.iter().any(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
        && !text.contains("--")
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotANumber {
    /// It is not written as one. Where the error is passed over, the value is 0.
    Syntax,
    /// It is above 65535. Where the error is passed over, the value is 65535.
    Range,
}

/// A number as Go's strconv.ParseUint(text, 0, 16) reads it: prefixes 0x, 0b, 0o and 0 count, underscores are allowed
/// between digits.
pub(super) fn number(text: &str) -> Result<u16, NotANumber> {
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (16, &lower[2..]),
        [b'0', b'b', _, ..] => (2, &lower[2..]),
        [b'0', b'o', _, ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // A prefix counts as a digit before the first underscore.
    let prefixed = digits.len() < lower.len();
    let misplaced = digits.ends_with('_') || digits.contains("__") || (digits.starts_with('_') && !prefixed);
    let plain: String = digits.chars().filter(|character| *character != '_').collect();
    if misplaced || plain.is_empty() || !plain.chars().all(|character| character.is_digit(base)) {
        return Err(NotANumber::Syntax);
    }
    let value = plain.chars().try_fold(0_u32, |sum, character| {
        let next = sum.checked_mul(base)?.checked_add(character.to_digit(base)?)?;
        (next <= u32::from(u16::MAX)).then_some(next)
    });
    value.and_then(|value| u16::try_from(value).ok()).ok_or(NotANumber::Range)
}

/// A number where errors are passed over.
pub(super) fn number_or_default(text: &str) -> u16 {
    match number(text) {
        Ok(number) => number,
        Err(NotANumber::Syntax) => 0,
        Err(NotANumber::Range) => u16::MAX,
    }
}

/// A prefix as Go's netip.ParsePrefix reads it: with a length, which has no leading zero. Bits outside of it may be set.
pub(super) fn prefix(text: &str) -> Option<IpNet> {
    let (address, length) = text.rsplit_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (length.len() > 1 && length.starts_with('0')) {
        return None;
    }
    IpNet::new(address, length.parse().ok()?).ok()
}

/// A prefix, or an address as the prefix of itself.
pub(super) fn prefix_or_address(text: &str) -> Option<IpNet> {
    prefix(text).or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_iana_service_names() {
        for name in ["http", "Z", "1a", "a-9", "1-a-9", "0x10"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "1", "1234567890abcdef", "a--9", "-a9", "a9-", "1-2-3-4", "a_b"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("0", 0),
            ("22", 22),
            ("010", 8),
            ("1_000", 1000),
            ("65535", 65535),
            ("0x0000000000000016", 22),
            ("0o17", 15),
            ("0_7", 7),
            ("00", 0),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        for text in ["", "-1", "+1", " 1", "08", "1__0", "_1", "1_", "0x", "1.0"] {
            assert_eq!(number(text), Err(NotANumber::Syntax), "{text}");
        }
        for text in ["65536", "99999", "99999999999999999999"] {
            assert_eq!(number(text), Err(NotANumber::Range), "{text}");
        }
    }

    #[test]
    fn prefixes_need_a_plain_length_and_may_have_host_bits() {
        assert_eq!(prefix("10.0.0.5/8").expect("valid").trunc().to_string(), "10.0.0.0/8");
        for text in ["10.0.0.0", "10.0.0.0/08", "010.0.0.0/8", "10.0.0.0/33", "10.0.0.0/+8", "/8", ""] {
            assert_eq!(prefix(text), None, "{text}");
        }
        assert_eq!(prefix_or_address("10.0.0.1").expect("valid").to_string(), "10.0.0.1/32");
    }
}
