//! Ways in which Cilium surprises, as far as its policy engine decides them: whether one decides a packet.

use std::net::IpAddr;

use ipnet::IpNet;
use policy::cilium::trace::{Answer, Miss, Step, Trace};
use serde_json::Value;

use super::facts::Deciding;

/// What is known of a packet and its verdict.
struct Sprung<'c> {
    case: &'c Value,
    packet: &'c Value,
    trace: &'c Trace,
    /// The element that decides, if one does.
    element: Option<&'c Deciding<'c>>,
}

type Test = fn(&Sprung<'_>) -> bool;

const TRAPS: &[(&str, Test)] = &[
    ("an element without peers and ports matches nobody", |it| it.denied_past(|miss| *miss == Miss::Nobody)),
    ("endpoints {} are this cluster's pods", |it| it.has_peer("Endpoints", |one| *one == serde_json::json!({}))),
    ("prefixes leave out nodes and pods", |it| it.is_member() && it.in_a_prefix() && it.element.is_none()),
    ("denies alone turn on default deny", |it| it.last_is_default_deny() && it.only_denies()),
    ("enableDefaultDeny false leaves all allowed", |it| matches!(it.trace.steps.last(), Some(Step::DefaultAllow))),
    ("cluster takes in other clusters' nodes and outside API servers", |it| {
        it.has_peer("Entities", |one| one == "cluster")
            && (it.peer_has("kube-apiserver") && it.peer_has("world") || it.is_far_node())
    }),
    ("remote-node takes in API servers on nodes", |it| {
        it.has_peer("Entities", |one| one == "remote-node")
            && it.peer_has("kube-apiserver")
            && it.peer_has("remote-node")
    }),
    ("a node's second address is the world", |it| {
        it.element.is_some() && it.is_second_address() && it.peer_has("world")
    }),
    ("a selector on a filtered node label", |it| {
        it.element.is_some_and(|found| {
            let text = found.rule["nodeSelector"].to_string();
            text.contains("kubernetes.io/hostname") || text.contains("topology.kubernetes.io")
        })
    }),
    ("ICMP type 0 is every type", |it| {
        it.has_icmp(|kind| kind == 0) && it.packet["icmpType"].as_u64().is_some_and(|kind| kind != 0)
    }),
    ("ANY is never ICMP", |it| {
        it.packet["icmpType"].is_u64() && it.denied_past(|miss| matches!(miss, Miss::Port(ports) if !ports.is_empty()))
    }),
    ("port 0 with endPort is all ports", |it| {
        it.has_port(|port| port["port"] == "0" && port["endPort"].as_u64() > Some(0))
    }),
    ("endPort below port is one port", |it| {
        it.has_port(|port| {
            let first = port["port"].as_str().and_then(|text| text.parse::<u64>().ok());
            first.is_some_and(|first| first > 0 && port["endPort"].as_u64().is_some_and(|end| 0 < end && end < first))
        })
    }),
    ("010 is port 8", |it| it.has_port(|port| port["port"] == "010")),
    ("a named port never matches on the way to the host", |it| {
        it.packet["dir"] == "ingress"
            && it.denied_past(
                |miss| matches!(miss, Miss::Port(ports) if ports.iter().any(|port| port.contains("named"))),
            )
    }),
    ("a named port is what the peer calls so", |it| {
        it.packet["dir"] == "egress" && it.matched_port(|port| port.contains("named"))
    }),
    ("toPorts without ports match nothing", |it| {
        it.denied_past(|miss| matches!(miss, Miss::Port(ports) if ports.is_empty()))
    }),
    ("empty groups are everyone", |it| it.has_empty("Groups")),
    ("services that are not there are everyone", |it| it.has_peer("Services", |_| true)),
    ("an empty list empties the whole element", |it| {
        it.denied_past(|miss| *miss == Miss::Nobody) && it.case_has_empty_list()
    }),
    ("always denies where no rule is", |it| {
        it.trace.steps.iter().all(|step| !matches!(step, Step::Element { .. }))
            && matches!(it.trace.steps.last(), Some(Step::AlwaysDeny))
    }),
    ("a rule by labels that are missing takes in an aggregate", |it| {
        matches!(it.trace.steps.last(), Some(Step::Element { answer: Answer::Matches { aggregate: Some(_), .. }, .. }))
    }),
    ("a group selector {} is everyone", |it| {
        it.has_peer("CIDRSet", |one| one["cidrGroupSelector"] == serde_json::json!({}))
    }),
    ("behind a group selector {} everyone's named ports are those of groups", |it| {
        it.denied_past(|miss| matches!(miss, Miss::Peer(all) if all.iter().any(|one| one.contains("may select"))))
    }),
    ("who is selected through an aggregate has no named ports", |it| {
        it.denied_past(|miss| matches!(miss, Miss::NamesOfAggregate(_)))
    }),
    ("a missing group selects nobody", |it| {
        it.denied_past(
            |miss| matches!(miss, Miss::Peer(all) if all.iter().any(|one| one.contains("cidrgroupname/missing"))),
        )
    }),
    ("an exception is one rule's only", |it| {
        it.trace.verdict == policy::cilium::question::Verdict::Allow
            && it.element.is_some()
            && it.address().is_some_and(|address| it.excepted(address))
    }),
    ("the version before stays in force", |it| it.element.is_some_and(|found| found.kept)),
    ("a reserved aggregate label can be written", |it| {
        it.has_peer("Endpoints", |one| one.to_string().contains("reserved:aggregate"))
    }),
];

/// Names of all traps.
pub(super) fn all() -> Vec<&'static str> {
    TRAPS.iter().map(|(name, _)| *name).collect()
}

/// The traps that a packet springs.
pub(super) fn sprung<'c>(
    case: &'c Value,
    packet: &'c Value,
    trace: &'c Trace,
    element: Option<&'c Deciding<'c>>,
) -> Vec<&'static str> {
    let it = Sprung { case, packet, trace, element };
    TRAPS.iter().filter(|(_, test)| test(&it)).map(|(name, _)| *name).collect()
}

impl Sprung<'_> {
    fn address(&self) -> Option<IpAddr> {
        self.packet["peer"].as_str()?.parse().ok()
    }

    fn identity(&self) -> &str {
        let found = self.trace.steps.iter().find_map(|step| match step {
            Step::Peer { identity, .. } => Some(identity.as_str()),
            _ => None,
        });
        found.unwrap_or_default()
    }

    fn peer_has(&self, reserved: &str) -> bool {
        self.identity().contains(&format!("reserved:{reserved}"))
    }

    /// A node, a pod, or an endpoint of Cilium's.
    fn is_member(&self) -> bool {
        !self.identity().is_empty() && !self.peer_has("world")
    }

    fn last_is_default_deny(&self) -> bool {
        matches!(self.trace.steps.last(), Some(Step::DefaultDeny { .. }))
    }

    fn only_denies(&self) -> bool {
        self.trace.steps.iter().all(|step| !matches!(step, Step::Element { deny: false, .. }))
    }

    /// Denied by default, though an element missed in this way only.
    fn denied_past(&self, test: impl Fn(&Miss) -> bool) -> bool {
        self.last_is_default_deny()
            && self.trace.steps.iter().any(
                |step| matches!(step, Step::Element { deny: false, answer: Answer::Misses(miss), .. } if test(miss)),
            )
    }

    fn matched_port(&self, test: impl Fn(&str) -> bool) -> bool {
        match self.trace.steps.last() {
            Some(Step::Element { answer: Answer::Matches { port: Some(port), .. }, .. }) => test(port),
            _ => false,
        }
    }

    /// Whether the deciding element has such a peer.
    fn has_peer(&self, kind: &str, test: impl Fn(&Value) -> bool) -> bool {
        self.peers(kind).is_some_and(|list| list.iter().any(test))
    }

    fn has_empty(&self, kind: &str) -> bool {
        self.peers(kind).is_some_and(<[Value]>::is_empty)
    }

    fn peers(&self, kind: &str) -> Option<&[Value]> {
        let element = self.element?.element;
        let list = element.get(format!("from{kind}")).or_else(|| element.get(format!("to{kind}")))?;
        Some(list.as_array()?.as_slice())
    }

    fn has_port(&self, test: impl Fn(&Value) -> bool) -> bool {
        let rules = self.element.and_then(|found| found.element["toPorts"].as_array()).into_iter().flatten();
        rules.flat_map(|rule| rule["ports"].as_array().into_iter().flatten()).any(test)
    }

    fn has_icmp(&self, test: impl Fn(u64) -> bool) -> bool {
        let rules = self.element.and_then(|found| found.element["icmps"].as_array()).into_iter().flatten();
        let mut fields = rules.flat_map(|rule| rule["fields"].as_array().into_iter().flatten());
        fields.any(|field| field["type"].as_u64().is_some_and(&test) || field["type"] == "EchoReply" && test(0))
    }

    /// Whether some prefix of the policies is around the peer's address.
    fn in_a_prefix(&self) -> bool {
        self.prefixes(|key| key.ends_with("CIDR") || key == "cidr")
    }

    fn excepted(&self, address: IpAddr) -> bool {
        let mut found = false;
        each(&self.case["policies"], &mut |key, value| {
            if key == "except" {
                let texts = value.as_array().into_iter().flatten().filter_map(Value::as_str);
                found |= texts.filter_map(|text| text.parse::<IpNet>().ok()).any(|prefix| prefix.contains(&address));
            }
        });
        found
    }

    fn prefixes(&self, test: impl Fn(&str) -> bool) -> bool {
        let Some(address) = self.address() else { return false };
        let mut found = false;
        each(&self.case["policies"], &mut |key, value| {
            if test(key) {
                let list = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
                let prefixes = list.into_iter().filter_map(|one| one.as_str()?.parse::<IpNet>().ok());
                found |= prefixes.into_iter().any(|prefix| prefix.contains(&address));
            }
        });
        found
    }

    fn case_has_empty_list(&self) -> bool {
        let mut found = false;
        each(&self.case["policies"], &mut |key, value| {
            let peers = key.starts_with("from") || key.starts_with("to");
            found |= peers && key != "toPorts" && value.as_array().is_some_and(Vec::is_empty);
        });
        found
    }

    fn nodes(&self) -> impl Iterator<Item = &Value> {
        self.case["nodes"].as_array().into_iter().flatten()
    }

    fn is_far_node(&self) -> bool {
        let far = self.nodes().filter(|node| node["cluster"].is_string());
        far.flat_map(|node| node["internalIPs"].as_array().into_iter().flatten())
            .any(|address| *address == self.packet["peer"])
    }

    fn is_second_address(&self) -> bool {
        let peer = self.packet["peer"].as_str().unwrap_or_default();
        peer.starts_with("10.0.1.") || peer.starts_with("fd00:1:")
    }
}

/// Every member of every object in a value.
fn each(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(members) => {
                for (key, member) in members {
                    visit(key, member);
                    left.push(member);
                }
            }
            _ => {}
        }
    }
}
