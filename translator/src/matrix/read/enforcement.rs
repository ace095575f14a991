//! `spec.cluster` and `spec.enforcement`.

use std::collections::BTreeSet;

use super::context::{Context, Fields};
use super::parameters::Value as ParameterValue;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Cluster, Default, Forward, Frame, Interfaces, Log, PortRange, Settings};
use crate::yaml::{Node, Value};

/// Parts of the frame that become rows.
pub(super) struct FrameOptions {
    pub(super) loopback: bool,
    pub(super) dhcp_client: bool,
}

/// Facts that the matrix states although their value alone does not show it.
pub(super) struct Stated {
    pub(super) features: bool,
    /// Facts whose value was meant to be stated but came to nothing, which is reported where it went wrong.
    pub(super) unresolved: Vec<&'static str>,
}

/// What pod traffic can travel in.
pub(super) const ENCAPSULATIONS: [&str; 7] = ["vxlan", "geneve", "ipip", "wireguard", "gre", "udp", "none"];

/// Most interfaces in one list.
const MOST_INTERFACES: usize = 64;

impl Context {
    /// Reads `spec.cluster`.
    pub(super) fn cluster(&mut self, node: Option<&Node>, settings: &Settings) -> (Cluster, Stated) {
        let mut cluster = Cluster {
            distribution: None,
            cni: None,
            encapsulation: None,
            features: BTreeSet::new(),
            api_server_port: 6443,
            kubelet_port: 10250,
            hosted_control_plane: false,
            node_cidrs: Vec::new(),
            pod_cidrs: Vec::new(),
            service_cidrs: Vec::new(),
            node_ports: PortRange { first: 30000, last: 32767 },
        };
        let mut stated = Stated { features: false, unresolved: Vec::new() };
        let fields = node.and_then(|node| {
            self.fields(
                node,
                "spec.cluster",
                &[
                    "distribution",
                    "cni",
                    "encapsulation",
                    "features",
                    "apiServerPort",
                    "kubeletPort",
                    "hostedControlPlane",
                    "nodeCIDRs",
                    "podCIDRs",
                    "serviceCIDRs",
                    "nodePorts",
                ],
            )
        });
        let Some(fields) = fields else { return (cluster, stated) };
        if let Some(node) = fields.get("distribution") {
            cluster.distribution = self.text_or_parameter(node, &fields.at("distribution"));
        }
        if let Some(node) = fields.get("cni") {
            cluster.cni = match &node.value {
                Value::Scalar { text, .. } if text == "detect" => settings.cni.clone(),
                _ => self.text_or_parameter(node, &fields.at("cni")),
            };
        }
        if let Some(node) = fields.get("encapsulation") {
            cluster.encapsulation = self.word_or_parameter(node, &fields.at("encapsulation"), &ENCAPSULATIONS);
        }
        for (name, fact) in
            [("distribution", &cluster.distribution), ("cni", &cluster.cni), ("encapsulation", &cluster.encapsulation)]
        {
            if fields.get(name).is_some() && fact.is_none() {
                stated.unresolved.push(name);
            }
        }
        if let Some(node) = fields.get("features") {
            stated.features = true;
            cluster.features = self.strings(node, &fields.at("features")).into_iter().collect();
        }
        if let Some(port) = self.one_port(&fields, "apiServerPort") {
            cluster.api_server_port = port;
        }
        if let Some(port) = self.one_port(&fields, "kubeletPort") {
            cluster.kubelet_port = port;
        }
        if let Some(node) = fields.get("hostedControlPlane") {
            cluster.hosted_control_plane =
                self.boolean_or_parameter(node, &fields.at("hostedControlPlane")).unwrap_or_default();
        }
        for (name, list) in [
            ("nodeCIDRs", &mut cluster.node_cidrs),
            ("podCIDRs", &mut cluster.pod_cidrs),
            ("serviceCIDRs", &mut cluster.service_cidrs),
        ] {
            if let Some(node) = fields.get(name) {
                *list = self.cidrs(node, &fields.at(name));
                if list.iter().any(|cidr| cidr.is_all()) {
                    let message = "a cluster's own network is not every address".to_owned();
                    self.report(&codes::WRONG_VALUE, node, &fields.at(name), message, "give its prefixes");
                }
            }
        }
        if let Some(node) = fields.get("nodePorts") {
            match self.ports(node, &fields.at("nodePorts")).as_slice() {
                [range] if !matches!(node.value, Value::Seq(_)) => cluster.node_ports = *range,
                [] if !matches!(node.value, Value::Seq(_)) => {}
                _ => self.wrong_type(node, &fields.at("nodePorts"), "one range, such as `30000-32767`"),
            }
        }
        (cluster, stated)
    }

    fn one_port(&mut self, fields: &Fields<'_>, name: &str) -> Option<u16> {
        let node = fields.get(name)?;
        match self.ports(node, &fields.at(name)).as_slice() {
            [range] if range.first == range.last && !matches!(node.value, Value::Seq(_)) => Some(range.first),
            [] if !matches!(node.value, Value::Seq(_)) => None,
            _ => {
                self.wrong_type(node, &fields.at(name), "one port");
                None
            }
        }
    }

    /// A list of texts with `$parameters` of type `strings` among them.
    fn strings(&mut self, node: &Node, path: &str) -> Vec<String> {
        let mut strings = Vec::new();
        for (path, item) in self.items(node, path) {
            match self.reference(item, &path) {
                Some(Some((name, parameter))) => match parameter.value {
                    ParameterValue::Strings(list) => strings.extend(list),
                    ParameterValue::Text(text) => strings.push(text),
                    ParameterValue::Missing => {}
                    _ => self.wrong_parameter(item, &path, &name, "words"),
                },
                Some(None) => {}
                None => strings.extend(self.text(item, &path).map(str::to_owned)),
            }
        }
        strings
    }

    /// Reads `spec.enforcement`.
    pub(super) fn enforcement(&mut self, node: Option<&Node>) -> Option<(Frame, FrameOptions)> {
        let mut frame = Frame {
            interfaces: Interfaces::All,
            ingress: Default { deny: true, log: None },
            egress: Default { deny: false, log: None },
            forward: Forward::Ignore,
        };
        let mut options = FrameOptions { loopback: true, dhcp_client: true };
        let Some(node) = node else { return Some((frame, options)) };
        let fields = self.fields(
            node,
            "spec.enforcement",
            &["interfaces", "established", "loopback", "dhcp", "ingress", "egress", "forward"],
        )?;
        if let Some(node) = fields.get("interfaces") {
            let path = fields.at("interfaces");
            let names = self.interfaces(node, &path);
            if names.is_empty() && !self.is_missing(node) {
                let message = "no interface is named, so nothing would be policed".to_owned();
                self.report(&codes::WRONG_VALUE, node, &path, message, "give names, or `*` for every interface");
            }
            frame.interfaces =
                if names.iter().any(|name| name == "*") { Interfaces::All } else { Interfaces::Named(names) };
        }
        if let Some(node) = fields.get("established") {
            // Both CNIs admit replies before any policy; there is no way to say otherwise.
            self.word_or_parameter(node, &fields.at("established"), &["allow"]);
        }
        if let Some(node) = fields.get("loopback") {
            let word = self.word_or_parameter(node, &fields.at("loopback"), &["allow", "deny"]);
            options.loopback = word.as_deref() != Some("deny");
        }
        if let Some(node) = fields.get("dhcp") {
            let word = self.word_or_parameter(node, &fields.at("dhcp"), &["client", "none"]);
            options.dhcp_client = word.as_deref() != Some("none");
        }
        if let Some(node) = fields.get("ingress") {
            frame.ingress = self.direction(node, &fields.at("ingress")).unwrap_or(frame.ingress);
        }
        if let Some(node) = fields.get("egress") {
            frame.egress = self.direction(node, &fields.at("egress")).unwrap_or(frame.egress);
        }
        if let Some(node) = fields.get("forward") {
            let word = self.word_or_parameter(node, &fields.at("forward"), &["ignore", "enforce"]);
            if word.as_deref() == Some("enforce") {
                frame.forward = Forward::Enforce;
            }
        }
        Some((frame, options))
    }

    /// Interface names, `*` alone, or `$parameters`; nothing when these are empty.
    pub(super) fn interfaces(&mut self, node: &Node, path: &str) -> Vec<String> {
        if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
            self.wrong_type(node, path, "at least one interface, or `[\"*\"]`");
        }
        let mut names = self.strings(node, path);
        names.sort();
        names.dedup();
        for name in &names {
            let fine = name == "*"
                || ((1..=15).contains(&name.len())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')));
            if !fine {
                let help = "names have at most 15 letters, digits, `-`, `_` and `.`";
                self.report(&codes::BAD_NAME, node, path, format!("`{name}` is not an interface name"), help);
            }
        }
        if names.len() > 1 && names.iter().any(|name| name == "*") {
            let help = "write `[\"*\"]` for every interface, or the names";
            self.report(&codes::BAD_ROW, node, path, "`*` stands beside names".to_owned(), help);
        }
        if names.len() > MOST_INTERFACES {
            let message = format!("there are {} interfaces; at most {MOST_INTERFACES} are read", names.len());
            self.report(&codes::INPUT_TOO_LARGE, node, path, message, "write `[\"*\"]` for every interface");
            names.truncate(MOST_INTERFACES);
        }
        names
    }

    fn direction(&mut self, node: &Node, path: &str) -> Option<Default> {
        let fields = self.fields(node, path, &["default", "log"])?;
        let default = self.required(&fields, "default", "`allow` or `deny`")?;
        let deny = self.word_or_parameter(default, &fields.at("default"), &["allow", "deny"])? == "deny";
        let log = fields.get("log").and_then(|node| {
            let fields = self.fields(node, &fields.at("log"), &["prefix", "rate", "level"])?;
            let mut text =
                |name: &str| fields.get(name).and_then(|node| self.text_or_parameter(node, &fields.at(name)));
            Some(Log { prefix: text("prefix"), rate: text("rate"), level: text("level") })
        });
        if log.is_some() && !deny {
            let node = fields.get("log").unwrap_or(node);
            let help = "leave `log` out, or make the default `deny`";
            let message = "nothing is dropped in this direction, so nothing is logged".to_owned();
            // With the default from a parameter the log waits for the day it says deny.
            if !matches!(&default.value, Value::Scalar { text, .. } if text.starts_with('$')) {
                self.report(&codes::BAD_ROW, node, &fields.at("log"), message, help);
            }
        }
        Some(Default { deny, log: log.filter(|_| deny) })
    }
}
