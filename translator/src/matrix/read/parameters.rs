//! Parameters and addons: what the matrix leaves to whoever translates it.

use std::collections::BTreeMap;

use policy::net::{Cidr, Family};

use super::context::{Context, list};
use super::values::{decimal, normalise_cidrs, normalise_ports, port_range};
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{PortRange, Settings};
use crate::yaml::{Key, Node, Value as YamlValue};

const TYPES: [&str; 8] = ["cidrs", "cidr", "bool", "enum", "port", "ports", "string", "strings"];
const DETECTORS: [&str; 6] =
    ["nodeInternalIPs", "podCIDRs", "outputCNI", "apiServerEndpoint", "kubeletPort", "ciliumTunnel"];

/// A parameter with its value.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) value: Value,
    /// What an enum can be; empty for the other types.
    pub(super) values: Vec<String>,
}

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Cidrs(Vec<Cidr>),
    Bool(bool),
    Text(String),
    Ports(Vec<PortRange>),
    Strings(Vec<String>),
    /// Not given, or not valid; reported already.
    Missing,
}

impl Context {
    /// Reads `spec.parameters` and gives each its value.
    pub(super) fn read_parameters(&mut self, node: Option<&Node>, settings: &Settings) {
        const PATH: &str = "spec.parameters";
        let entries = node.and_then(|node| self.entries(node, PATH)).unwrap_or_default();
        for (key, node) in entries {
            let path = format!("{PATH}.{}", key.text);
            let camel = key.text.starts_with(|first: char| first.is_ascii_lowercase())
                && key.text.len() <= 40
                && key.text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !camel {
                let message = format!("`{}` is not a parameter name", key.text);
                self.report_key(&codes::BAD_NAME, key, &path, message, "write it in camelCase, at most 40 characters");
            }
            let mut values = Vec::new();
            let value = self.parameter(key, node, &path, settings, &mut values).unwrap_or(Value::Missing);
            self.parameters.insert(key.text.clone(), Parameter { value, values });
        }
        let mut unknown: Vec<&str> = Vec::new();
        for (name, _) in &settings.set {
            if !self.parameters.contains_key(name) && !unknown.contains(&name.as_str()) {
                unknown.push(name);
                let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                let help = match self.suggest(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the parameters are {}", list(&names)),
                };
                let finding = Finding::new(&codes::UNKNOWN_PARAMETER, format!("there is no parameter `{name}`"));
                self.findings.push(finding.at(format!("--set {name}"), None).help(help));
            }
        }
    }

    /// The value of one parameter; `values` is left as what an enum can be.
    fn parameter(
        &mut self,
        key: &Key,
        node: &Node,
        path: &str,
        settings: &Settings,
        values: &mut Vec<String>,
    ) -> Option<Value> {
        let name = key.text.as_str();
        let fields = self.fields(node, path, &["type", "default", "values", "detect", "note", "required"])?;
        let kind_node =
            self.required(&fields, "type", "one of cidrs, cidr, bool, enum, port, ports, string, strings")?;
        let kind = self.word(kind_node, &fields.at("type"), &TYPES)?;
        if let Some(note) = fields.get("note") {
            self.text(note, &fields.at("note"));
        }
        match (kind, fields.get("values")) {
            ("enum", Some(node)) => {
                for (path, item) in self.some_items(node, &fields.at("values"), "value") {
                    values.extend(self.text(item, &path).map(str::to_owned));
                }
            }
            ("enum", None) => {
                self.required(&fields, "values", "list the words that the parameter takes");
                return None;
            }
            (_, Some(values)) => {
                let path = fields.at("values");
                self.report(
                    &codes::BAD_PARAMETER,
                    values,
                    &path,
                    "only an enum has values".to_owned(),
                    "use `type: enum`",
                );
                return None;
            }
            (_, None) => {}
        }
        let values = &*values;
        let optional = fields
            .get("required")
            .and_then(|node| self.boolean(node, &fields.at("required")))
            .is_some_and(|value| !value);
        let default = match fields.get("default") {
            Some(node) => Some(self.default_value(kind, node, &fields.at("default"), values)?),
            None => None,
        };
        let detect = match fields.get("detect") {
            Some(node) => Some(self.detector(kind, node, &fields.at("detect"))?),
            None => None,
        };
        if let Some((_, text)) = settings.set.iter().rev().find(|(set, _)| set == name) {
            return match from_text(kind, text, values) {
                Ok(value) => Some(value),
                Err((message, help)) => {
                    let finding = Finding::new(&codes::BAD_PARAMETER, message);
                    self.findings.push(finding.at(format!("--set {name}"), Some(kind_node.at.clone())).help(help));
                    None
                }
            };
        }
        let detected = match detect {
            Some("outputCNI") => {
                settings.cni.as_ref().filter(|cni| values.is_empty() || values.contains(cni)).cloned().map(Value::Text)
            }
            _ => None,
        };
        // Offline nothing tells these two: a node list holds no network for nodes to come, and `spec.podCIDRs` of a node is
        // not where every IPAM takes pod addresses from.
        let nothing = || {
            (optional || detect.is_some_and(|detect| matches!(detect, "nodeInternalIPs" | "podCIDRs")))
                .then(|| empty(kind))
                .flatten()
        };
        match detected.or(default).or_else(nothing) {
            Some(value) => Some(value),
            None => {
                let note = fields.get("note").and_then(|node| match &node.value {
                    YamlValue::Scalar { text, .. } => Some(text.as_str()),
                    _ => None,
                });
                let message = match note {
                    Some(note) => format!("the parameter `{name}` has no default: {note}"),
                    None => format!("the parameter `{name}` has no default"),
                };
                let empty = if matches!(kind, "cidrs" | "ports" | "strings") {
                    " (nothing after the = is the empty list)"
                } else {
                    ""
                };
                let help = format!("give it: --set {name}={}{empty}", placeholder(kind, values));
                self.report_key(&codes::MISSING_PARAMETER, key, path, message, help);
                None
            }
        }
    }

    /// A detector, of a type that can hold what it finds.
    fn detector<'n>(&mut self, kind: &str, node: &'n Node, path: &str) -> Option<&'n str> {
        let detector = self.word(node, path, &DETECTORS)?;
        let kinds: &[&str] = match detector {
            "nodeInternalIPs" | "podCIDRs" | "apiServerEndpoint" => &["cidrs", "cidr"],
            "kubeletPort" => &["port", "ports"],
            _ => &["enum", "string"],
        };
        if kinds.contains(&kind) {
            return Some(detector);
        }
        let message = format!("`{detector}` does not find a {kind}");
        let help = format!("use it with a parameter of type {}", kinds.join(" or "));
        self.report(&codes::BAD_PARAMETER, node, path, message, help);
        None
    }

    fn default_value(&mut self, kind: &str, node: &Node, path: &str, values: &[String]) -> Option<Value> {
        let before = self.findings.len();
        let value = match kind {
            "cidrs" | "cidr" => {
                if kind == "cidr" && matches!(node.value, YamlValue::Seq(_)) {
                    self.wrong_type(node, path, "one prefix");
                }
                Value::Cidrs(self.cidrs(node, path))
            }
            "bool" => Value::Bool(self.boolean(node, path)?),
            "ports" | "port" => {
                let ports = self.ports(node, path);
                let list = matches!(node.value, YamlValue::Seq(_));
                if kind == "port" && (list || !is_one_port(&ports)) && self.findings.len() == before {
                    self.wrong_type(node, path, "one port");
                }
                Value::Ports(ports)
            }
            "strings" => Value::Strings(self.texts(node, path)),
            _ => {
                let text = self.text(node, path)?;
                if kind == "enum" && !values.iter().any(|value| value == text) {
                    let values: Vec<&str> = values.iter().map(String::as_str).collect();
                    let help = format!("the values are {}", list(&values));
                    self.report(&codes::BAD_PARAMETER, node, path, format!("`{text}` is not one of its values"), help);
                }
                Value::Text(text.to_owned())
            }
        };
        (self.findings.len() == before).then_some(value)
    }

    /// Reads `spec.addons`: name -> on.
    pub(super) fn read_addons(&mut self, node: Option<&Node>, settings: &Settings) -> BTreeMap<String, bool> {
        const PATH: &str = "spec.addons";
        let mut addons = BTreeMap::new();
        for (key, node) in node.and_then(|node| self.entries(node, PATH)).unwrap_or_default() {
            let path = format!("{PATH}.{}", key.text);
            let Some(fields) = self.fields(node, &path, &["default", "note"]) else { continue };
            let Some(default) = self.required(&fields, "default", "`true` or `false`") else { continue };
            if let Some(on) = self.boolean(default, &fields.at("default")) {
                addons.insert(key.text.clone(), on);
            }
        }
        for (name, on) in &settings.addons {
            match addons.get_mut(name) {
                Some(value) => *value = *on,
                None => {
                    let names: Vec<&str> = addons.keys().map(String::as_str).collect();
                    let help = match self.suggest(name, names.iter().copied()) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => format!("the addons are {}", list(&names)),
                    };
                    let finding = Finding::new(&codes::UNKNOWN_ADDON, format!("there is no addon `{name}`"));
                    self.findings.push(finding.at(format!("--addon {name}"), None).help(help));
                }
            }
        }
        addons
    }
}

fn empty(kind: &str) -> Option<Value> {
    match kind {
        "cidrs" | "cidr" => Some(Value::Cidrs(Vec::new())),
        "ports" => Some(Value::Ports(Vec::new())),
        "strings" => Some(Value::Strings(Vec::new())),
        _ => None,
    }
}

fn is_one_port(ports: &[PortRange]) -> bool {
    matches!(ports, [range] if range.first == range.last)
}

fn placeholder(kind: &str, values: &[String]) -> String {
    match kind {
        "cidrs" => "CIDR,CIDR".to_owned(),
        "cidr" => "CIDR".to_owned(),
        "bool" => "true|false".to_owned(),
        "enum" => values.join("|"),
        "port" => "PORT".to_owned(),
        "ports" => "PORT,FIRST-LAST".to_owned(),
        "strings" => "WORD,WORD".to_owned(),
        _ => "WORD".to_owned(),
    }
}

/// The value of `--set name=text`. Lists are separated by commas; an empty text is the empty list.
fn from_text(kind: &str, text: &str, values: &[String]) -> Result<Value, (String, String)> {
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    match kind {
        "cidrs" | "cidr" => {
            let mut cidrs = Vec::new();
            for part in &parts {
                if *part == "any" {
                    cidrs.extend([Cidr::all(Family::IPv4), Cidr::all(Family::IPv6)]);
                } else {
                    let error =
                        |error: policy::net::CidrError| (format!("`{part}` is not a prefix"), error.to_string());
                    cidrs.push(part.parse().map_err(error)?);
                }
            }
            if kind == "cidr" && parts.len() > 1 {
                return Err(("it takes one prefix".to_owned(), "leave the others out".to_owned()));
            }
            Ok(Value::Cidrs(normalise_cidrs(cidrs)))
        }
        "bool" => match text {
            "true" | "on" => Ok(Value::Bool(true)),
            "false" | "off" => Ok(Value::Bool(false)),
            _ => Err((format!("`{text}` is not a boolean"), "write `true` or `false`".to_owned())),
        },
        "enum" if values.iter().any(|value| value == text) => Ok(Value::Text(text.to_owned())),
        "enum" => {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            Err((format!("`{text}` is not one of its values"), format!("the values are {}", list(&values))))
        }
        "port" => match decimal(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
            Some(port) => Ok(Value::Ports(vec![PortRange { first: port, last: port }])),
            None => Err((format!("`{text}` is not a port"), "write a decimal number from 1 to 65535".to_owned())),
        },
        "ports" => {
            let ranges = parts.iter().map(|part| port_range(part)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Ports(normalise_ports(ranges)))
        }
        "strings" => Ok(Value::Strings(parts.iter().map(|part| (*part).to_owned()).collect())),
        _ => Ok(Value::Text(text.to_owned())),
    }
}
