//! Syntax of names, as Kubernetes and Calico check it.

use std::borrow::Cow;

/// A DNS label: lower case, digits and inner dashes. Its length is checked apart.
pub(super) fn is_label(text: &str) -> bool {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    edge(*first) && edge(*last) && bytes.iter().all(|byte| edge(*byte) || *byte == b'-')
}

/// DNS labels with dots between them.
pub(super) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Name of a GlobalNetworkPolicy: a label, or two with a dot between them
/// (projectcalico/calico:libcalico-go/lib/validator/v3/validator.go globalNetworkPolicyNameRegex).
pub(super) fn is_policy(text: &str) -> bool {
    text.split('.').count() <= 2 && is_subdomain(text)
}

/// Key of a label: a name of at most 63 bytes, and before it perhaps a subdomain with a slash.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => prefix.len() <= 253 && is_subdomain(prefix) && is_label_name(name),
        None => is_label_name(text),
    }
}

/// Value of a label: empty, or as the name in its key.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

fn is_label_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    text.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Name of a port: at most 15 bytes, lower case, digits, single inner dashes, and at least one letter
/// (kubernetes/apimachinery:pkg/util/validation/validation.go IsValidPortName).
pub(super) fn is_port(text: &str) -> bool {
    text.len() <= 15 && is_label(text) && !text.contains("--") && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Name of an interface, or `*`.
pub(super) fn is_interface(text: &str) -> bool {
    text == "*" || ((1..=15).contains(&text.len()) && text.bytes().all(is_plain))
}

/// Name of a profile or an endpoint's port, as Felix checks it.
pub(super) fn is_plain_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(is_plain)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// Tier that a name stands for, up to 3.31 (projectcalico/calico:libcalico-go/lib/names/policy.go TierFromPolicyName).
pub(super) fn tier_of(name: &str) -> &str {
    if name.starts_with("knp.default.") || name.starts_with("ossg.") {
        return "default";
    }
    name.split_once('.').map_or("default", |(tier, _)| tier)
}

/// Name under which a policy is stored up to 3.31: with its tier in front.
pub(super) fn tiered(name: &str) -> Cow<'_, str> {
    if name.contains('.') { Cow::Borrowed(name) } else { Cow::Owned(format!("default.{name}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_upstream_checks_them() {
        assert!(is_policy("a") && is_policy("tier.a-b") && !is_policy("a.b.c") && !is_policy("A") && !is_policy("a."));
        assert!(is_subdomain("a.b.c") && !is_subdomain("") && !is_subdomain("-a"));
        assert!(is_label_key("node-role.kubernetes.io/etcd") && is_label_key("a_B.c") && !is_label_key("/a"));
        assert!(is_label_value("") && is_label_value("a.B_c") && !is_label_value("a b") && !is_label_value("-a"));
        assert!(is_port("http") && !is_port("30000-32767") && !is_port("a--b") && !is_port("http-alternative"));
        assert!(
            is_interface("*") && is_interface("eth0.100") && !is_interface("a-name-too-long0") && !is_interface("")
        );
    }

    #[test]
    fn the_tier_is_what_stands_before_the_first_dot() {
        assert_eq!((tier_of("web"), tier_of("t1.web"), tier_of("knp.default.x.y")), ("default", "t1", "default"));
        assert_eq!((&*tiered("web"), &*tiered("t1.web")), ("default.web", "t1.web"));
    }
}
