//! Values: ports, prefixes, protocols, label selectors, names.

use policy::net::{Cidr, Family};

use super::context::Context;
use super::parameters::Value as ParameterValue;
use crate::finding::codes::matrix as codes;
use crate::matrix::{IcmpMatch, PortRange, Transport};
use crate::yaml::{Node, Value};

/// What a protocol word stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Any,
    Transport(Transport),
    Icmp(Family),
    Number(u8),
}

const PROTOCOLS: [(&str, Protocol); 11] = [
    ("TCP", Protocol::Transport(Transport::Tcp)),
    ("UDP", Protocol::Transport(Transport::Udp)),
    ("SCTP", Protocol::Transport(Transport::Sctp)),
    ("ICMP", Protocol::Icmp(Family::IPv4)),
    ("ICMPv6", Protocol::Icmp(Family::IPv6)),
    ("IPIP", Protocol::Number(4)),
    ("ESP", Protocol::Number(50)),
    ("AH", Protocol::Number(51)),
    ("GRE", Protocol::Number(47)),
    ("VRRP", Protocol::Number(112)),
    ("Any", Protocol::Any),
];

/// A decimal number without sign, leading zero or separator.
pub(super) fn decimal(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.len() <= 9
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// `22` or `2379-2380`.
///
/// # Errors
///
/// What is wrong, and what to do.
pub(super) fn port_range(text: &str) -> Result<PortRange, (String, String)> {
    let number = |part: &str| -> Result<u16, (String, String)> {
        let bad = || (format!("`{part}` is not a port"), "write a decimal number from 1 to 65535".to_owned());
        match decimal(part) {
            Some(0) => Err(("port 0 cannot be reached".to_owned(), "leave `ports` out to mean every port".to_owned())),
            Some(port) => u16::try_from(port).map_err(|_| bad()),
            None if part.contains(':') => Err((
                format!("`{part}` is not a port"),
                "ranges are written with a dash, such as `2379-2380`; some readers take a colon as base 60".to_owned(),
            )),
            None => Err(bad()),
        }
    };
    match text.split_once('-').filter(|(first, _)| !first.is_empty()) {
        None => number(text).map(|port| PortRange { first: port, last: port }),
        Some((first, last)) => {
            let (first, last) = (number(first.trim())?, number(last.trim())?);
            if first > last {
                return Err((
                    format!("the range {first}-{last} is inverted"),
                    format!("write it as {last}-{first} if that is meant"),
                ));
            }
            Ok(PortRange { first, last })
        }
    }
}

/// Sorted, overlapping and adjacent ranges joined.
pub(super) fn normalise_ports(mut ranges: Vec<PortRange>) -> Vec<PortRange> {
    ranges.sort_unstable();
    let mut joined: Vec<PortRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if u32::from(range.first) <= u32::from(last.last) + 1 => last.last = last.last.max(range.last),
            _ => joined.push(range),
        }
    }
    joined
}

/// Sorted, repetitions and contained prefixes left out.
pub(super) fn normalise_cidrs(mut cidrs: Vec<Cidr>) -> Vec<Cidr> {
    cidrs.sort_unstable();
    // Prefixes nest or are apart, so a contained one follows the one that contains it.
    let mut kept: Vec<Cidr> = Vec::with_capacity(cidrs.len());
    for cidr in cidrs {
        if !kept.last().is_some_and(|last| last.contains(cidr)) {
            kept.push(cidr);
        }
    }
    kept
}

/// Whether a name can be part of an object's name: a DNS label of at most `most` characters that begins with a letter.
pub(super) fn is_dns_label(name: &str, most: usize) -> bool {
    name.len() <= most
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl Context {
    /// Ports where at least one must be written; an empty `$parameter` still gives none.
    pub(super) fn some_ports(&mut self, node: &Node, path: &str) -> Vec<PortRange> {
        if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
            self.wrong_type(node, path, "at least one port");
        }
        self.ports(node, path)
    }

    /// Ports: one, a range, a list of these, or a `$parameter`.
    pub(super) fn ports(&mut self, node: &Node, path: &str) -> Vec<PortRange> {
        let mut ranges = Vec::new();
        for (path, item) in self.items(node, path) {
            match self.reference(item, &path) {
                Some(Some((name, parameter))) => match parameter.value {
                    ParameterValue::Ports(ports) => ranges.extend(ports),
                    ParameterValue::Missing => {}
                    _ => self.wrong_parameter(item, &path, &name, "ports"),
                },
                Some(None) => {}
                None => {
                    let Some(text) = self.text(item, &path) else { continue };
                    match port_range(text) {
                        Ok(range) => ranges.push(range),
                        Err((message, help)) => self.report(&codes::BAD_PORT, item, &path, message, help),
                    }
                }
            }
        }
        normalise_ports(ranges)
    }

    /// A `$parameter` of another type than the field's.
    pub(super) fn wrong_parameter(&mut self, node: &Node, path: &str, name: &str, wanted: &str) {
        self.report(
            &codes::WRONG_TYPE,
            node,
            path,
            format!("the parameter `{name}` does not hold {wanted}"),
            format!("refer to a parameter of a type that holds {wanted}"),
        );
    }

    /// One prefix, or the word `any` for both families whole.
    pub(super) fn cidr(&mut self, node: &Node, path: &str) -> Vec<Cidr> {
        let Some(text) = self.text(node, path) else { return Vec::new() };
        if text == "any" {
            return vec![Cidr::all(Family::IPv4), Cidr::all(Family::IPv6)];
        }
        match text.parse() {
            Ok(cidr) => vec![cidr],
            Err(error) => {
                self.report(&codes::BAD_CIDR, node, path, format!("`{text}` is not a prefix"), error.to_string());
                Vec::new()
            }
        }
    }

    /// Prefixes: one, a list, or `$parameters` among them.
    pub(super) fn cidrs(&mut self, node: &Node, path: &str) -> Vec<Cidr> {
        let mut cidrs = Vec::new();
        for (path, item) in self.items(node, path) {
            match self.reference(item, &path) {
                Some(Some((name, parameter))) => match parameter.value {
                    ParameterValue::Cidrs(list) => cidrs.extend(list),
                    ParameterValue::Missing => {}
                    _ => self.wrong_parameter(item, &path, &name, "prefixes"),
                },
                Some(None) => {}
                None => cidrs.extend(self.cidr(item, &path)),
            }
        }
        normalise_cidrs(cidrs)
    }

    /// A text, or a `$parameter` of type `string` or `enum`.
    pub(super) fn text_or_parameter(&mut self, node: &Node, path: &str) -> Option<String> {
        match self.reference(node, path) {
            Some(Some((name, parameter))) => match parameter.value {
                ParameterValue::Text(text) => Some(text),
                ParameterValue::Missing => None,
                _ => {
                    self.wrong_parameter(node, path, &name, "a word");
                    None
                }
            },
            Some(None) => None,
            None => self.text(node, path).map(str::to_owned),
        }
    }

    /// One of a few words, or a `$parameter` that holds one.
    pub(super) fn word_or_parameter(&mut self, node: &Node, path: &str, words: &[&str]) -> Option<String> {
        if matches!(&node.value, Value::Scalar { text, .. } if text.starts_with('$')) {
            let text = self.text_or_parameter(node, path)?;
            if words.contains(&text.as_str()) {
                return Some(text);
            }
            let help = format!("the words are {}", super::context::list(words));
            self.report(&codes::WRONG_VALUE, node, path, format!("`{text}` is not a value of this field"), help);
            return None;
        }
        self.word(node, path, words).map(str::to_owned)
    }

    /// A boolean, or a `$parameter` of type `bool`.
    pub(super) fn boolean_or_parameter(&mut self, node: &Node, path: &str) -> Option<bool> {
        match self.reference(node, path) {
            Some(Some((name, parameter))) => match parameter.value {
                ParameterValue::Bool(value) => Some(value),
                ParameterValue::Missing => None,
                _ => {
                    self.wrong_parameter(node, path, &name, "a boolean");
                    None
                }
            },
            Some(None) => None,
            None => self.boolean(node, path),
        }
    }

    /// Protocols: one or a list.
    pub(super) fn protocols(&mut self, node: &Node, path: &str) -> Vec<Protocol> {
        let mut protocols = Vec::new();
        for (path, item) in self.some_items(node, path, "protocol") {
            let Some(text) = self.text(item, &path) else { continue };
            let named = PROTOCOLS.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
            let protocol = match (named, decimal(text)) {
                (Some(protocol), _) => protocol,
                (None, Some(number @ 0..=255)) => match number {
                    1 => Protocol::Icmp(Family::IPv4),
                    6 => Protocol::Transport(Transport::Tcp),
                    17 => Protocol::Transport(Transport::Udp),
                    58 => Protocol::Icmp(Family::IPv6),
                    132 => Protocol::Transport(Transport::Sctp),
                    #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
                    number => Protocol::Number(number as u8),
                },
                _ => {
                    let names: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).collect();
                    let help = match names.iter().find(|name| name.eq_ignore_ascii_case(text)) {
                        Some(name) => format!("write `{name}`"),
                        None => {
                            format!("the protocols are {}, or a number from 0 to 255", super::context::list(&names))
                        }
                    };
                    self.report(&codes::BAD_PROTOCOL, item, &path, format!("`{text}` is not a protocol"), help);
                    continue;
                }
            };
            if !protocols.contains(&protocol) {
                protocols.push(protocol);
            }
        }
        protocols
    }

    /// `[{type, code}]`.
    pub(super) fn icmp(&mut self, node: &Node, path: &str) -> Vec<IcmpMatch> {
        let mut matches = Vec::new();
        for (path, item) in self.some_items(node, path, "type") {
            let Some(fields) = self.fields(item, &path, &["type", "code"]) else { continue };
            let mut number = |name: &str| -> Option<Option<u8>> {
                let Some(node) = fields.get(name) else { return Some(None) };
                let text = self.text(node, &fields.at(name))?;
                let value = decimal(text).and_then(|value| u8::try_from(value).ok());
                if value.is_none() {
                    let message = format!("`{text}` is not an ICMP {name}");
                    self.report(
                        &codes::BAD_ICMP,
                        node,
                        &fields.at(name),
                        message,
                        "write a decimal number from 0 to 255",
                    );
                    return None;
                }
                Some(value)
            };
            match (number("type"), number("code")) {
                (Some(Some(icmp_type)), Some(code)) => matches.push(IcmpMatch { icmp_type, code }),
                (Some(None), Some(_)) => {
                    let help = "give the type: `{type: 3, code: 4}`";
                    self.report(&codes::BAD_ICMP, item, &path, "the type is missing".to_owned(), help);
                }
                _ => {}
            }
        }
        matches.sort_unstable();
        matches.dedup();
        let all = matches.clone();
        matches.retain(|one| one.code.is_none() || !all.contains(&IcmpMatch { code: None, ..*one }));
        matches
    }
}
