//! What a row is about, in the protocols that Cilium can name.

use policy::cilium::api::{IcmpField, PortProtocol};
use policy::net::Family;
use policy::object::IntOrString;

use super::Version;
use super::context::Context;
use super::element::{Kind, Side};
use super::report::Report;
use crate::finding::codes::cilium::{
    CILIUM_ICMP_CODE_IGNORED, CILIUM_ICMP_TYPE_ZERO, CILIUM_ICMPV6_TYPE_DROPPED, CILIUM_PROTOCOL_WIDER,
    CILIUM_SCTP_UNTRACKED, CILIUM_SOURCE_PORTS_IGNORED,
};
use crate::matrix::{Direction, IcmpMatch, PortRange, Row, Traffic, Transport};
use crate::render::loss::Change;

/// `port` of a rule that means every port, and `type` of one that means every type: Cilium keeps an ICMP type where it
/// keeps a port, and takes 0 for any (cilium/cilium:pkg/policy/l4.go keysForRange, pkg/policy/types Key.WithPort).
const EVERY: u16 = 0;

/// What the elements of a row are about.
pub(super) fn kinds(context: &Context<'_>, sides: &[Side], report: &mut Report<'_>) -> Vec<Kind> {
    let mut any = false;
    let mut ports: Vec<PortProtocol> = Vec::new();
    let mut icmp: Vec<IcmpField> = Vec::new();
    losses_of_ports(context, report);
    for traffic in &report.row.traffic {
        match traffic {
            Traffic::Any => any = true,
            Traffic::Ports { transport, ports: destination, .. } => ports.extend(port_rules(*transport, destination)),
            Traffic::Icmp { family, types } => icmp.extend(icmp_fields(context, *family, types, report)),
            Traffic::Number(number) => match numbered(context, *number, sides, report) {
                Numbered::Named(protocol) => ports.push(every_port(protocol)),
                Numbered::Everything => any = true,
                Numbered::Nothing => {}
            },
        }
    }
    if any {
        return vec![Kind::Any];
    }
    let mut kinds = Vec::new();
    if !ports.is_empty() {
        kinds.push(Kind::Ports(ports));
    }
    if !icmp.is_empty() {
        kinds.push(Kind::Icmp(icmp));
    }
    kinds
}

fn losses_of_ports(context: &Context<'_>, report: &mut Report<'_>) {
    let mut sources: Vec<PortRange> = Vec::new();
    let mut sctp = false;
    for traffic in &report.row.traffic {
        if let Traffic::Ports { transport, source_ports, .. } = traffic {
            sources.extend(source_ports);
            sctp |= *transport == Transport::Sctp;
        }
    }
    if !sources.is_empty() {
        let lost = format!("{} every source port", with_preposition(report.row));
        report.over(
            (&CILIUM_SOURCE_PORTS_IGNORED, [Change::AnySourcePort]),
            &format!("source ports {} cannot be named", listed(&sources)),
            lost,
            "narrow the peers of the row, or accept it",
        );
    }
    if sctp && context.options.config.enable_sctp != Some(true) {
        report.under(
            (&CILIUM_SCTP_UNTRACKED, [Change::Without(Transport::Sctp)]),
            "SCTP rules have no effect unless `enable-sctp` is true",
            "SCTP",
            "set `enable-sctp: \"true\"` and state it",
        );
    }
}

fn port_rules(transport: Transport, ports: &[PortRange]) -> Vec<PortProtocol> {
    if ports.is_empty() {
        return vec![every_port(transport.name())];
    }
    let rule = |range: &PortRange| PortProtocol {
        port: Some(range.first.to_string()),
        end_port: (range.last > range.first).then(|| i64::from(range.last)),
        protocol: Some(transport.name().to_owned()),
    };
    ports.iter().map(rule).collect()
}

fn every_port(protocol: &str) -> PortProtocol {
    PortProtocol { port: Some(EVERY.to_string()), end_port: None, protocol: Some(protocol.to_owned()) }
}

fn icmp_fields(context: &Context<'_>, family: Family, types: &[IcmpMatch], report: &mut Report<'_>) -> Vec<IcmpField> {
    if context.options.config.enable_icmp_rules == Some(false) {
        report.refuse(
            "the agent's setting `enable-icmp-rules` is false, so it would reject every object that names ICMP",
            "remove the setting; it is true by default",
        );
        return Vec::new();
    }
    let field =
        |icmp_type: u16| IcmpField { family: Some(family.to_string()), icmp_type: IntOrString::from(icmp_type) };
    if types.is_empty() {
        return vec![field(EVERY)];
    }
    if types.iter().any(|matched| matched.code.is_some() && matched.icmp_type != 0) {
        let lost = format!("{} every code of these ICMP types", with_preposition(report.row));
        let change = (&CILIUM_ICMP_CODE_IGNORED, [Change::AnyIcmpCode]);
        report.over(change, "ICMP codes cannot be named", lost, "leave out the codes");
    }
    let mut numbers: Vec<u8> = types.iter().map(|matched| matched.icmp_type).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.first() == Some(&0) {
        let name =
            if family == Family::IPv4 { "echo replies that answer no ping of the node" } else { "ICMPv6 type 0" };
        report.under(
            (&CILIUM_ICMP_TYPE_ZERO, [Change::WithoutIcmp(family, vec![0])]),
            "ICMP type 0 would mean every type and is left out",
            name,
            "remove type 0 from the row; answers to the node's own pings pass without a rule",
        );
        numbers.remove(0);
    }
    let dropped: Vec<u8> =
        numbers.iter().copied().filter(|number| family == Family::IPv6 && is_dropped(*number)).collect();
    if !dropped.is_empty() {
        let change = (&CILIUM_ICMPV6_TYPE_DROPPED, [Change::WithoutIcmp(family, dropped.clone())]);
        let dropped: Vec<String> = dropped.iter().map(u8::to_string).collect();
        report.under(
            change,
            &format!("ICMPv6 types {} are dropped whatever the policies say", dropped.join(", ")),
            format!("ICMPv6 types {}", dropped.join(", ")),
            "remove the types from the row",
        );
    }
    numbers.into_iter().map(|number| field(u16::from(number))).collect()
}

/// ICMPv6 types that the host firewall drops on a node's interfaces before policies are asked
/// (cilium/cilium:bpf/lib/icmp6.h). Of the others, all but echo (128, 129) pass there without a rule. They are written
/// all the same: packets from pods and from the tunnel do not meet that list.
fn is_dropped(icmp_type: u8) -> bool {
    !matches!(icmp_type, 1..=4 | 128..=136 | 141..=143 | 148..=149 | 151..=153)
}

/// How a protocol number can be written.
enum Numbered {
    Named(&'static str),
    /// As everything from its peers.
    Everything,
    Nothing,
}

fn numbered(context: &Context<'_>, number: u8, sides: &[Side], report: &mut Report<'_>) -> Numbered {
    let extended =
        context.options.config.enable_extended_ip_protocols == Some(true) && context.version() >= Version::new(1, 19);
    if extended && let Some((name, _)) = named(number).filter(|(_, since)| context.version() >= *since) {
        return Numbered::Named(name);
    }
    if !extended && context.version() < Version::new(1, 20) {
        // What is dropped anyway needs no deny.
        if !report.denies() {
            report.refuse(
                &format!(
                    "Cilium {} with the host firewall drops protocol {number} whatever the policies say",
                    context.version()
                ),
                "upgrade to 1.20, set `enable-extended-ip-protocols: \"true\"` (1.19), or leave the row out",
            );
        }
        return Numbered::Nothing;
    }
    if sides.iter().any(is_everyone) {
        report.refuse(
            &format!(
                "protocol {number} cannot be named, and everything would have to be admitted from everyone instead"
            ),
            "name peers, or run Cilium 1.20 with `enable-extended-ip-protocols: \"true\"` and state both",
        );
        return Numbered::Nothing;
    }
    let lost = match report.row.direction {
        Direction::Ingress => "every protocol and port from the row's peers",
        Direction::Egress => "every protocol and port to the row's peers",
    };
    report.over(
        (&CILIUM_PROTOCOL_WIDER, [Change::AnyProtocol]),
        &format!("protocol {number} cannot be named, so everything is admitted between the node and the row's peers"),
        lost,
        "run Cilium 1.20 with `enable-extended-ip-protocols: \"true\"` and state both, or narrow the peers",
    );
    Numbered::Everything
}

/// Cilium's name for a protocol without ports, and the version that brought it.
fn named(number: u8) -> Option<(&'static str, Version)> {
    Some(match number {
        2 => ("IGMP", Version::new(1, 19)),
        4 => ("IPIP", Version::new(1, 20)),
        41 => ("IPV6", Version::new(1, 20)),
        47 => ("GRE", Version::new(1, 20)),
        50 => ("ESP", Version::new(1, 20)),
        51 => ("AH", Version::new(1, 20)),
        112 => ("VRRP", Version::new(1, 19)),
        _ => return None,
    })
}

fn is_everyone(side: &Side) -> bool {
    match side {
        Side::Entities(entities) => entities.contains(&"all"),
        Side::Cidrs(lists) => lists.iter().any(|list| list.kept().any(|cidr| cidr.is_all())),
        Side::Nodes(_) | Side::Endpoints(_) => false,
    }
}

/// `TCP 22, 443 from`, for messages.
pub(super) fn with_preposition(row: &Row) -> String {
    let preposition = match row.direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let traffic: Vec<String> = row.traffic.iter().map(describe).collect();
    format!("{} {preposition}", traffic.join(", "))
}

fn describe(traffic: &Traffic) -> String {
    match traffic {
        Traffic::Any => "every protocol".to_owned(),
        Traffic::Ports { transport, ports, .. } if ports.is_empty() => transport.name().to_owned(),
        Traffic::Ports { transport, ports, .. } => format!("{} {}", transport.name(), listed(ports)),
        Traffic::Icmp { family, types } => {
            let name = if *family == Family::IPv4 { "ICMP" } else { "ICMPv6" };
            let types: Vec<String> = types.iter().map(|matched| matched.icmp_type.to_string()).collect();
            if types.is_empty() { name.to_owned() } else { format!("{name} type {}", types.join(", ")) }
        }
        Traffic::Number(number) => format!("protocol {number}"),
    }
}

fn listed(ports: &[PortRange]) -> String {
    ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
