//! `spec.peers`, and what a peer text in a row stands for.

use std::collections::BTreeMap;

use policy::net::Cidr;

use super::context::Context;
use super::parameters::Value as ParameterValue;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Peer, Role};
use crate::yaml::{Key, MAX_DEPTH, Node, Value};

/// Named peers, resolved. A peer whose parameters are all empty is an empty list.
pub(super) type Peers = BTreeMap<String, Vec<Peer>>;

/// Most prefixes of all rows together. A list can be named by any number of rows, so a small text can ask for much.
const MOST_PREFIXES: usize = 2_000_000;

/// What a list of prefixes is as a peer: nothing, everyone, or the prefixes.
pub(super) fn cidr_peer(name: Option<&str>, cidrs: Vec<Cidr>) -> Option<Peer> {
    let cidrs = super::values::normalise_cidrs(cidrs);
    if cidrs.is_empty() {
        return None;
    }
    if cidrs.iter().filter(|cidr| cidr.is_all()).count() == 2 {
        return Some(Peer::Any);
    }
    Some(Peer::Cidrs { name: name.map(str::to_owned), cidrs })
}

impl Context {
    /// Reads `spec.peers`.
    pub(super) fn peers(&mut self, node: Option<&Node>, roles: &[Role]) -> Peers {
        let entries = node.and_then(|node| self.entries(node, "spec.peers")).unwrap_or_default();
        for (key, _) in entries {
            let path = format!("spec.peers.{}", key.text);
            self.check_name(key, &path, "peer");
            if roles.iter().any(|role| role.name == key.text) {
                let message = format!("`{}` is a role already", key.text);
                self.report_key(&codes::RESERVED_NAME, key, &path, message, "roles and peers share one set of names");
            }
        }
        let mut peers = Peers::new();
        for (key, _) in entries {
            self.peer(&key.text, entries, roles, &mut peers, &mut Vec::new());
        }
        peers
    }

    /// Resolves one named peer and those it is made of.
    fn peer(
        &mut self,
        name: &str,
        entries: &[(Key, Node)],
        roles: &[Role],
        peers: &mut Peers,
        open: &mut Vec<String>,
    ) -> Vec<Peer> {
        if let Some(peer) = peers.get(name) {
            return peer.clone();
        }
        let Some((key, node)) = entries.iter().find(|(key, _)| key.text == name) else { return Vec::new() };
        let path = format!("spec.peers.{name}");
        if let Some(start) = open.iter().position(|other| other == name) {
            let circle =
                open[start..].iter().chain([&name.to_owned()]).map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let message = format!("the peer refers to itself: {}", circle.join(" -> "));
            self.report_key(&codes::CYCLIC_PEER, key, &path, message, "leave one of these references out");
            return Vec::new();
        }
        if open.len() >= MAX_DEPTH {
            let message = format!("peers refer to peers deeper than {MAX_DEPTH} levels");
            self.report_key(&codes::INPUT_TOO_DEEP, key, &path, message, "name the peers that are meant directly");
            return Vec::new();
        }
        open.push(name.to_owned());
        let resolved = self.peer_parts(name, node, &path, entries, roles, peers, open);
        open.pop();
        peers.insert(name.to_owned(), resolved.clone());
        resolved
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one walk through peers that refer to each other")]
    fn peer_parts(
        &mut self,
        name: &str,
        node: &Node,
        path: &str,
        entries: &[(Key, Node)],
        roles: &[Role],
        peers: &mut Peers,
        open: &mut Vec<String>,
    ) -> Vec<Peer> {
        let Some(fields) = self.fields(node, path, &["cidrs", "roles", "peers", "pods", "nodes", "fqdns"]) else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        if let Some(node) = fields.get("cidrs") {
            let cidrs = self.cidrs(node, &fields.at("cidrs"));
            parts.extend(cidr_peer(Some(name), cidrs));
            let parameters = self.parameters_of(node);
            self.peer_parameters.insert(name.to_owned(), parameters);
        }
        if let Some(node) = fields.get("roles") {
            for (path, item) in self.items(node, &fields.at("roles")) {
                let Some(role) = self.text(item, &path) else { continue };
                match roles.iter().position(|other| other.name == role) {
                    Some(index) => parts.push(Peer::Role(index)),
                    None => self.unknown_role(item, &path, role, roles),
                }
            }
        }
        if let Some(node) = fields.get("peers") {
            for (path, item) in self.items(node, &fields.at("peers")) {
                let Some(other) = self.text(item, &path) else { continue };
                if entries.iter().any(|(key, _)| key.text == other) {
                    let others = self.peer(other, entries, roles, peers, open);
                    if self.afford(&others, item, &path) {
                        parts.extend(others);
                    }
                } else {
                    let names = entries.iter().map(|(key, _)| key.text.as_str());
                    let help = match self.suggest(other, names) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "define it in `spec.peers`".to_owned(),
                    };
                    self.report(&codes::UNKNOWN_PEER, item, &path, format!("there is no peer `{other}`"), help);
                }
            }
        }
        if let Some(node) = fields.get("pods")
            && let Some(pods) = self.fields(node, &fields.at("pods"), &["namespaceSelector", "podSelector"])
        {
            let namespaces = match pods.get("namespaceSelector") {
                Some(node) => self.label_selector(node, &pods.at("namespaceSelector")).map(Some),
                None => Some(None),
            };
            let selected = match pods.get("podSelector") {
                Some(node) => self.label_selector(node, &pods.at("podSelector")),
                None => Some(policy::object::LabelSelector::default()),
            };
            if let (Some(namespaces), Some(pods)) = (namespaces, selected) {
                parts.push(Peer::PodSelector { name: name.to_owned(), namespaces, pods });
            }
        }
        if let Some(node) = fields.get("nodes")
            && let Some(nodes) = self.fields(node, &fields.at("nodes"), &["nodeSelector"])
            && let Some(node) = self.required(&nodes, "nodeSelector", "a label selector")
            && let Some(selector) = self.label_selector(node, &nodes.at("nodeSelector"))
        {
            parts.push(Peer::NodeSelector { name: name.to_owned(), selector });
        }
        if let Some(node) = fields.get("fqdns") {
            let names = self.texts(node, &fields.at("fqdns"));
            if !names.is_empty() {
                parts.push(Peer::Fqdns { name: name.to_owned(), names });
            }
        }
        let said =
            ["cidrs", "roles", "peers", "pods", "nodes", "fqdns"].iter().any(|field| fields.get(field).is_some());
        if !said {
            let help = "give one or several of cidrs, roles, peers, pods, nodes, fqdns";
            self.report(&codes::MISSING_FIELD, node, path, format!("the peer `{name}` says nobody"), help);
        }
        parts.sort();
        parts.dedup();
        parts
    }

    /// Whether a copy of these peers stays within [`MOST_PREFIXES`]; once it does not, that is reported and nothing is
    /// copied any more.
    fn afford(&mut self, copied: &[Peer], node: &Node, path: &str) -> bool {
        let prefixes = |peer: &Peer| if let Peer::Cidrs { cidrs, .. } = peer { cidrs.len() } else { 1 };
        let before = self.prefixes;
        self.prefixes = before.saturating_add(copied.iter().map(prefixes).sum());
        if before <= MOST_PREFIXES && self.prefixes > MOST_PREFIXES {
            let message = format!("the rows come to more than {MOST_PREFIXES} prefixes in all");
            self.report(&codes::INPUT_TOO_LARGE, node, path, message, "join the prefixes of the largest list");
        }
        self.prefixes <= MOST_PREFIXES
    }

    pub(super) fn unknown_role(&mut self, node: &Node, path: &str, name: &str, roles: &[Role]) {
        let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        let help = match self.suggest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the roles are {}", super::context::list(&names)),
        };
        self.report(&codes::UNKNOWN_ROLE, node, path, format!("there is no role `{name}`"), help);
    }

    /// Whether it refers to a parameter that has no value, which is reported already.
    pub(super) fn is_missing(&self, node: &Node) -> bool {
        let missing = |name: &String| {
            self.parameters.get(name).is_none_or(|parameter| parameter.value == ParameterValue::Missing)
        };
        self.parameters_of(node).iter().any(missing)
    }

    /// The parameters that a list of peers or prefixes refers to, directly or through a named peer.
    pub(super) fn parameters_of(&self, node: &Node) -> Vec<String> {
        let items = match &node.value {
            Value::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut names = Vec::new();
        for item in items {
            let Value::Scalar { text, .. } = &item.value else { continue };
            match text.strip_prefix('$') {
                Some(name) => names.push(name.to_owned()),
                None => names.extend(self.peer_parameters.get(text).into_iter().flatten().cloned()),
            }
        }
        names
    }

    /// What `from` or `to` says: builtin, role, peer, `$parameter`, prefix.
    pub(super) fn row_peers(&mut self, node: &Node, path: &str, roles: &[Role], peers: &Peers) -> Vec<Peer> {
        let mut found = Vec::new();
        let mut inline = Vec::new();
        if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
            self.wrong_type(node, path, "at least one peer");
        }
        for (path, item) in self.items(node, path) {
            if let Some(reference) = self.reference(item, &path) {
                let Some((name, parameter)) = reference else { continue };
                match parameter.value {
                    ParameterValue::Cidrs(cidrs) => {
                        if let Some(peer) = cidr_peer(Some(&name), cidrs)
                            && self.afford(std::slice::from_ref(&peer), item, &path)
                        {
                            found.push(peer);
                        }
                    }
                    ParameterValue::Missing => {}
                    _ => self.wrong_parameter(item, &path, &name, "prefixes"),
                }
                continue;
            }
            let Some(text) = self.text(item, &path) else { continue };
            match text {
                "any" => found.push(Peer::Any),
                "nodes" => found.push(Peer::Nodes),
                "pods" => found.push(Peer::Pods),
                "services" => found.push(Peer::Services),
                "localhost" => found.push(Peer::Localhost),
                _ => {
                    if let Some(index) = roles.iter().position(|role| role.name == text) {
                        found.push(Peer::Role(index));
                    } else if let Some(peer) = peers.get(text) {
                        if self.afford(peer, item, &path) {
                            found.extend(peer.iter().cloned());
                        }
                    } else if text.contains(['/', ':']) || text.parse::<std::net::IpAddr>().is_ok() {
                        inline.extend(self.cidr(item, &path));
                    } else {
                        let names = super::roles::BUILTINS[..5]
                            .iter()
                            .copied()
                            .chain(roles.iter().map(|role| role.name.as_str()))
                            .chain(peers.keys().map(String::as_str));
                        let help = match self.suggest(text, names) {
                            Some(meant) => format!("did you mean `{meant}`?"),
                            None => "name a role, a peer of `spec.peers`, a `$parameter`, a prefix, or one of `any`, `nodes`, `pods`".to_owned(),
                        };
                        self.report(&codes::UNKNOWN_PEER, item, &path, format!("there is no peer `{text}`"), help);
                    }
                }
            }
        }
        found.extend(cidr_peer(None, inline));
        if found.contains(&Peer::Any) {
            // Everyone is everyone; what stands beside it says nothing more.
            return vec![Peer::Any];
        }
        found.sort();
        found.dedup();
        found
    }
}
