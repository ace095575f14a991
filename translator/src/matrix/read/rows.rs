//! `spec.rows`.

use policy::net::{Cidr, Family};

use super::context::{Context, Fields, Vanished, list};
use super::parameters::Value as ParameterValue;
use super::peers::Peers;
use super::values::Protocol;
use super::when::Facts;
use crate::finding::Finding;
use crate::finding::codes::matrix as codes;
use crate::matrix::{Action, Direction, Origin, Peer, Role, Row, Traffic, Transport, flows};
use crate::yaml::{Node, Value};

const FIELDS: [&str; 18] = [
    "roles",
    "direction",
    "ports",
    "sourcePorts",
    "protocol",
    "icmp",
    "from",
    "to",
    "except",
    "when",
    "action",
    "listen",
    "purpose",
    "flow",
    "optional",
    "interfaces",
    "family",
    "source",
];

/// Most prefixes of one `except`; each is compared with each of the peers.
const MOST_EXCEPT: usize = 1_000;

impl Context {
    /// Reads `spec.rows` and keeps those in force.
    pub(super) fn rows(&mut self, spec: &Fields<'_>, roles: &[Role], peers: &Peers, facts: &Facts) -> Vec<Row> {
        let Some(node) = self.required(spec, "rows", "say who may reach what") else { return Vec::new() };
        let Value::Seq(items) = &node.value else {
            self.wrong_type(node, "spec.rows", "a list of rows");
            return Vec::new();
        };
        if items.is_empty() {
            self.report(&codes::NO_ROLES, node, "spec.rows", "there are no rows".to_owned(), "add at least one row");
        }
        items.iter().enumerate().filter_map(|(index, item)| self.row(index, item, roles, peers, facts)).collect()
    }

    /// One row, `None` when it is not in force or not valid. All of it is checked either way.
    fn row(&mut self, index: usize, node: &Node, roles: &[Role], peers: &Peers, facts: &Facts) -> Option<Row> {
        let path = format!("spec.rows[{index}]");
        let before = self.findings.len();
        let fields = self.fields(node, &path, &FIELDS)?;
        let row_roles = self.row_roles(&fields, roles);
        let direction = match fields.get("direction") {
            Some(node) => match self.word(node, &fields.at("direction"), &["ingress", "egress"])? {
                "egress" => Direction::Egress,
                _ => Direction::Ingress,
            },
            None => Direction::Ingress,
        };
        let action = match fields.get("action") {
            Some(node) => match self.word(node, &fields.at("action"), &["allow", "deny"])? {
                "deny" => Action::Deny,
                _ => Action::Allow,
            },
            None => Action::Allow,
        };
        let family = match fields.get("family") {
            Some(node) => match self.word(node, &fields.at("family"), &["IPv4", "IPv6"])? {
                "IPv4" => Some(Family::IPv4),
                _ => Some(Family::IPv6),
            },
            None => None,
        };
        let listen = match fields.get("listen") {
            Some(node) => self.word(node, &fields.at("listen"), &["loopback", "node", "any"])?,
            None => "any",
        };
        for name in ["purpose", "source"] {
            if let Some(node) = fields.get(name) {
                self.text(node, &fields.at(name));
            }
        }
        let purpose = match fields.get("purpose").map(|node| &node.value) {
            Some(Value::Scalar { text, .. }) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            _ => String::new(),
        };
        let flow = fields.get("flow").and_then(|node| self.flow(node, &fields.at("flow")));
        let optional =
            fields.get("optional").and_then(|node| self.boolean(node, &fields.at("optional"))).unwrap_or(false);
        let interfaces = fields.get("interfaces").map(|node| self.interfaces(node, &fields.at("interfaces")));
        let traffic = self.traffic(&fields, family);
        let row_peers = if listen == "loopback" {
            self.loopback_row(&fields);
            Vec::new()
        } else {
            self.sides(&fields, direction, roles, peers)
        };
        let except = match fields.get("except") {
            Some(node) => self.cidrs(node, &fields.at("except")),
            None => Vec::new(),
        };
        let in_force = fields.get("when").is_none_or(|node| self.when(node, &fields.at("when"), facts));
        if in_force {
            // Parameters that belong to the condition may be anything while it does not hold.
            self.check_except(&fields, &row_peers, &except);
        }
        if self.findings.len() > before || listen == "loopback" || !in_force {
            return None;
        }
        if matches!(flow.as_deref(), Some("admin-ssh" | "admin-talos"))
            && let Some(from) = fields.get("from")
        {
            let empty = self.parameters_of(from).into_iter().filter(|name| {
                self.parameters.get(name).is_some_and(|parameter| parameter.value == ParameterValue::Cidrs(Vec::new()))
            });
            let empty: Vec<String> = empty.collect();
            self.admin_parameters.extend(empty);
        }
        let named = !row_peers.is_empty();
        let row_peers: Vec<Peer> = match family {
            Some(family) => row_peers.into_iter().filter_map(|peer| of_family(peer, family)).collect(),
            None => row_peers,
        };
        let nothing = if row_peers.is_empty() {
            Some(if named { "none of its peers is of its family" } else { "its parameters are empty" })
        } else if no_ports(&fields, &traffic) {
            // Without ports the row would mean every port.
            Some("the parameter of its ports is empty")
        } else if interfaces.as_ref().is_some_and(Vec::is_empty) {
            Some("the parameter of its interfaces is empty")
        } else {
            None
        };
        if let Some(why) = nothing {
            let verb = if action == Action::Allow { "admits" } else { "refuses" };
            let message = format!("rows[{index}] {verb} nobody, because {why}");
            let mut at = node.at.clone();
            at.bytes.end = at.bytes.start + 1;
            self.vanished
                .push(Vanished { direction, finding: Finding::new(&codes::ROW_VANISHED, message).at(&path, Some(at)) });
            return None;
        }
        Some(Row {
            origin: Origin::Row(index),
            at: Some(node.at.clone()),
            roles: row_roles,
            direction,
            traffic,
            peers: row_peers,
            except,
            action,
            family,
            interfaces: interfaces.filter(|names| !names.iter().any(|name| name == "*")),
            purpose,
            flow,
            optional,
        })
    }

    fn row_roles(&mut self, fields: &Fields<'_>, roles: &[Role]) -> Vec<usize> {
        let Some(node) = self.required(fields, "roles", "`all`, a role, or a list of roles") else { return Vec::new() };
        let mut found = Vec::new();
        for (path, item) in self.items(node, &fields.at("roles")) {
            let Some(name) = self.text(item, &path) else { continue };
            if name == "all" {
                found.extend(0..roles.len());
            } else if let Some(index) = roles.iter().position(|role| role.name == name) {
                found.push(index);
            } else {
                self.unknown_role(item, &path, name, roles);
            }
        }
        if matches!(&node.value, Value::Seq(items) if items.is_empty()) {
            self.wrong_type(node, &fields.at("roles"), "at least one role");
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn flow(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = self.text(node, path)?;
        if flows().contains(&text) {
            return Some(text.to_owned());
        }
        let help = match self.suggest(text, flows().iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the flows are {}", list(flows())),
        };
        self.report(&codes::UNKNOWN_FLOW, node, path, format!("there is no flow `{text}`"), help);
        None
    }

    fn traffic(&mut self, fields: &Fields<'_>, family: Option<Family>) -> Vec<Traffic> {
        let ports = fields.get("ports").map(|node| (node, self.some_ports(node, &fields.at("ports"))));
        let source_ports =
            fields.get("sourcePorts").map(|node| (node, self.some_ports(node, &fields.at("sourcePorts"))));
        let protocols = match fields.get("protocol") {
            Some(node) => self.protocols(node, &fields.at("protocol")),
            None if ports.is_some() || source_ports.is_some() => vec![Protocol::Transport(Transport::Tcp)],
            None => {
                self.required(fields, "protocol", "write `protocol: Any` for every protocol, or give `ports`");
                return Vec::new();
            }
        };
        let icmp = fields.get("icmp").map(|node| (node, self.icmp(node, &fields.at("icmp"))));
        let mut traffic = Vec::new();
        for protocol in &protocols {
            match protocol {
                Protocol::Transport(transport) => traffic.push(Traffic::Ports {
                    transport: *transport,
                    ports: ports.as_ref().map(|(_, ports)| ports.clone()).unwrap_or_default(),
                    source_ports: source_ports.as_ref().map(|(_, ports)| ports.clone()).unwrap_or_default(),
                }),
                Protocol::Icmp(icmp_family) => {
                    if family.is_some_and(|family| family != *icmp_family) {
                        let node = fields.get("family").unwrap_or(fields.node);
                        let message = "ICMP belongs to IPv4 and ICMPv6 to IPv6".to_owned();
                        self.report(&codes::BAD_ROW, node, &fields.at("family"), message, "leave `family` out");
                    }
                    traffic.push(Traffic::Icmp {
                        family: *icmp_family,
                        types: icmp.as_ref().map(|(_, types)| types.clone()).unwrap_or_default(),
                    });
                }
                Protocol::Number(number) => traffic.push(Traffic::Number(*number)),
                Protocol::Any => traffic.push(Traffic::Any),
            }
        }
        let with_ports = |protocol: &Protocol| matches!(protocol, Protocol::Transport(_));
        let port_node = ports.as_ref().map(|(node, _)| *node).or_else(|| source_ports.as_ref().map(|(node, _)| *node));
        if let Some(node) = port_node
            && !protocols.iter().all(with_ports)
        {
            let name = if ports.is_some() { "ports" } else { "sourcePorts" };
            let message = "ports need TCP, UDP or SCTP".to_owned();
            let help = "leave the ports out, or write the other protocols in a row of their own";
            self.report(&codes::BAD_ROW, node, &fields.at(name), message, help);
        }
        if let Some((node, _)) = &icmp {
            let fits = protocols.iter().all(|protocol| matches!(protocol, Protocol::Icmp(_)));
            if !fits || protocols.len() > 1 {
                let help = "types differ between the families: write ICMP and ICMPv6 in rows of their own";
                let message = "`icmp` needs `protocol: ICMP` or `protocol: ICMPv6`, one of them".to_owned();
                self.report(&codes::BAD_ICMP, node, &fields.at("icmp"), message, help);
            }
        }
        if protocols.contains(&Protocol::Any) && protocols.len() > 1 {
            let node = fields.get("protocol").unwrap_or(fields.node);
            let message = "`Any` already holds the others".to_owned();
            self.report(&codes::BAD_ROW, node, &fields.at("protocol"), message, "write `protocol: Any` alone");
        }
        traffic
    }

    /// A row that documents a loopback listener names no peer and no condition of the wire.
    fn loopback_row(&mut self, fields: &Fields<'_>) {
        for name in ["from", "to", "except", "interfaces"] {
            if let Some(node) = fields.get(name) {
                let message = format!("`{name}` stands in a row that is never opened");
                let help = "a row with `listen: loopback` only documents; leave the peer out";
                self.report(&codes::BAD_ROW, node, &fields.at(name), message, help);
            }
        }
    }

    fn sides(&mut self, fields: &Fields<'_>, direction: Direction, roles: &[Role], peers: &Peers) -> Vec<Peer> {
        let (wanted, other) = match direction {
            Direction::Ingress => ("from", "to"),
            Direction::Egress => ("to", "from"),
        };
        if let Some(node) = fields.get(other) {
            let message = format!("`{other}` stands in a row of direction {direction}");
            let help = match direction {
                Direction::Ingress => "write `from`, or `direction: egress`",
                Direction::Egress => "write `to`, or leave `direction: egress` out",
            };
            self.report(&codes::BAD_ROW, node, &fields.at(other), message, help);
            return Vec::new();
        }
        let help = "name who is meant: `any`, `nodes`, `pods`, a role, a peer, a `$parameter` or a prefix";
        match self.required(fields, wanted, help) {
            Some(node) => {
                let found = self.row_peers(node, &fields.at(wanted), roles, peers);
                if direction == Direction::Ingress && found.contains(&Peer::Services) {
                    let help = "name the pods or nodes behind the service";
                    let message = "no packet comes from a service address".to_owned();
                    self.report(&codes::BAD_ROW, node, &fields.at(wanted), message, help);
                }
                found
            }
            None => Vec::new(),
        }
    }

    fn check_except(&mut self, fields: &Fields<'_>, peers: &[Peer], except: &[Cidr]) {
        let Some(node) = fields.get("except") else { return };
        if except.len() > MOST_EXCEPT {
            let message = format!("there are {} prefixes; at most {MOST_EXCEPT} are read", except.len());
            self.report(&codes::INPUT_TOO_LARGE, node, &fields.at("except"), message, "name who is meant instead");
            return;
        }
        for cidr in except {
            let gone = cidr.is_all()
                || (!peers.is_empty()
                    && peers.iter().all(|peer| match peer {
                        Peer::Cidrs { cidrs, .. } => cidrs.iter().all(|other| cidr.contains(*other)),
                        _ => false,
                    }));
            let outside = !peers.is_empty()
                && peers.iter().all(|peer| match peer {
                    Peer::Cidrs { cidrs, .. } => !cidrs.iter().any(|other| other.overlaps(*cidr)),
                    _ => false,
                });
            if gone {
                let message = format!("`{cidr}` takes away everyone that the row admits");
                self.report(
                    &codes::BAD_ROW,
                    node,
                    &fields.at("except"),
                    message,
                    "leave the row out, or narrow `except`",
                );
            } else if outside {
                let message = format!("`{cidr}` is not within the row's peers");
                self.report(
                    &codes::BAD_ROW,
                    node,
                    &fields.at("except"),
                    message,
                    "leave it out; it takes nothing away",
                );
            }
        }
    }
}

/// Whether ports were asked for and none came of it.
fn no_ports(fields: &Fields<'_>, traffic: &[Traffic]) -> bool {
    traffic.iter().any(|traffic| match traffic {
        Traffic::Ports { ports, source_ports, .. } => {
            (ports.is_empty() && fields.get("ports").is_some())
                || (source_ports.is_empty() && fields.get("sourcePorts").is_some())
        }
        _ => false,
    })
}

/// The part of a peer that is of a family.
fn of_family(peer: Peer, family: Family) -> Option<Peer> {
    match peer {
        Peer::Cidrs { name, cidrs } => {
            let kept: Vec<Cidr> = cidrs.iter().copied().filter(|cidr| cidr.family() == family).collect();
            // A name stands for all its prefixes; a part of them goes by no name.
            let name = name.filter(|_| kept.len() == cidrs.len());
            (!kept.is_empty()).then_some(Peer::Cidrs { name, cidrs: kept })
        }
        other => Some(other),
    }
}
