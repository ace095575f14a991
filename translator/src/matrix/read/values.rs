//! Values: ports, prefixes, protocols, label selectors, names.

use std::collections::BTreeMap;

use policy::net::{Cidr, Family};
use policy::object::{LabelSelector, Operator, Requirement};

use super::context::{Context, child};
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

fn is_qualified_name(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fine = prefix.is_none_or(|prefix| {
        (1..=253).contains(&prefix.len())
            && prefix.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            })
    });
    prefix_fine && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl Context {
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
        for (path, item) in self.items(node, path) {
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
        for (path, item) in self.items(node, path) {
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

    /// A Kubernetes label selector.
    pub(super) fn label_selector(&mut self, node: &Node, path: &str) -> Option<LabelSelector> {
        let before = self.findings.len();
        let fields = self.fields(node, path, &["matchLabels", "matchExpressions"])?;
        let mut selector = LabelSelector::default();
        if let Some(labels) = fields.get("matchLabels") {
            selector.match_labels = self.labels(labels, &fields.at("matchLabels"));
        }
        if let Some(expressions) = fields.get("matchExpressions") {
            let path = fields.at("matchExpressions");
            match &expressions.value {
                Value::Seq(items) => {
                    for (index, item) in items.iter().enumerate() {
                        let requirement = self.requirement(item, &format!("{path}[{index}]"));
                        selector.match_expressions.extend(requirement);
                    }
                }
                _ => self.wrong_type(expressions, &path, "a list"),
            }
        }
        (self.findings.len() == before).then_some(selector)
    }

    fn labels(&mut self, node: &Node, path: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        for (key, value) in self.entries(node, path).unwrap_or_default() {
            let path = child(path, &key.text);
            if !is_qualified_name(&key.text) {
                let help = "keys are `name` or `prefix/name`; names have at most 63 letters, digits, `-`, `_` and `.`";
                self.report_key(&codes::BAD_SELECTOR, key, &path, format!("`{}` is not a label key", key.text), help);
            }
            let text = match &value.value {
                Value::Scalar { plain: true, text }
                    if matches!(text.to_lowercase().as_str(), "true" | "false") || decimal(text).is_some() =>
                {
                    let help = format!("label values are text: write \"{text}\"");
                    self.report(&codes::BAD_SELECTOR, value, &path, format!("`{text}` is not text"), help);
                    continue;
                }
                _ => self.text(value, &path),
            };
            let Some(text) = text else { continue };
            if !is_label_value(text) {
                let help = "values have at most 63 letters, digits, `-`, `_` and `.`";
                self.report(&codes::BAD_SELECTOR, value, &path, format!("`{text}` is not a label value"), help);
            }
            labels.insert(key.text.clone(), text.to_owned());
        }
        labels
    }

    fn requirement(&mut self, node: &Node, path: &str) -> Option<Requirement> {
        let fields = self.fields(node, path, &["key", "operator", "values"])?;
        let key_node = self.required(&fields, "key", "name the label")?;
        let key = self.text(key_node, &fields.at("key"))?.to_owned();
        if !is_qualified_name(&key) {
            let help = "keys are `name` or `prefix/name`; names have at most 63 letters, digits, `-`, `_` and `.`";
            self.report(&codes::BAD_SELECTOR, key_node, &fields.at("key"), format!("`{key}` is not a label key"), help);
        }
        let operator_node = self.required(&fields, "operator", "one of `In`, `NotIn`, `Exists`, `DoesNotExist`")?;
        let operator =
            match self.word(operator_node, &fields.at("operator"), &["In", "NotIn", "Exists", "DoesNotExist"])? {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                _ => Operator::DoesNotExist,
            };
        let values = fields.get("values").map(|values| self.texts(values, &fields.at("values"))).unwrap_or_default();
        let takes_values = matches!(operator, Operator::In | Operator::NotIn);
        if takes_values == values.is_empty() {
            let (message, help) = if takes_values {
                (format!("`{operator:?}` needs values"), "give at least one, or use `Exists`")
            } else {
                (format!("`{operator:?}` takes no values"), "leave `values` out, or use `In`")
            };
            self.report(&codes::BAD_SELECTOR, fields.get("values").unwrap_or(node), path, message, help);
            return None;
        }
        for value in &values {
            if !is_label_value(value) {
                let help = "values have at most 63 letters, digits, `-`, `_` and `.`";
                let message = format!("`{value}` is not a label value");
                self.report(&codes::BAD_SELECTOR, fields.get("values").unwrap_or(node), path, message, help);
            }
        }
        Some(Requirement { key, operator, values })
    }
}
