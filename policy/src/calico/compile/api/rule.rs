//! Rules (validateRule and validateEntityRule of the same validator).

use super::Faults;
use crate::calico::address;
use crate::calico::compile::decode::{Entity, Icmp, Port, Protocol, Rule};
use crate::calico::compile::names;
use crate::calico::selector::Selector;

/// Checks a rule of a policy or a profile.
pub(super) fn check(faults: &mut Faults, rule: &Rule, path: &str) {
    let known = matches!(rule.action.as_str(), "Allow" | "Deny" | "Log" | "Pass");
    faults.check(known, format_args!("{path}.action"), "not an action");
    faults.check(matches!(rule.ip_version, None | Some(4 | 6)), format_args!("{path}.ipVersion"), "neither 4 nor 6");
    for (field, value) in [("protocol", &rule.protocol), ("notProtocol", &rule.not_protocol)] {
        let good = value.as_ref().is_none_or(is_protocol);
        faults.check(good, format_args!("{path}.{field}"), "not a protocol");
    }
    for (field, value) in [("icmp", rule.icmp), ("notICMP", rule.not_icmp)] {
        icmp_fields(faults, value, &format!("{path}.{field}"));
    }
    for (field, entity) in [("source", &rule.source), ("destination", &rule.destination)] {
        self::entity(faults, entity, rule.protocol.as_ref(), &format!("{path}.{field}"));
    }
    icmp(faults, rule, path);
    families(faults, rule, path);
    if let Some(http) = &rule.http {
        let tcp = rule.protocol.as_ref().is_none_or(|protocol| *protocol == Protocol::Name("TCP".to_owned()));
        faults.check(tcp, format_args!("{path}.protocol"), "an HTTP match needs TCP or no protocol");
        faults.check(rule.action == "Allow", format_args!("{path}.http"), "only for Allow");
        let doubled = http.methods.iter().enumerate().any(|(index, method)| http.methods[..index].contains(method));
        faults.check(!doubled, format_args!("{path}.http.methods"), "given twice");
        let good = http.paths.iter().all(|path| {
            let text = if path.exact.is_empty() { &path.prefix } else { &path.exact };
            path.exact.is_empty() != path.prefix.is_empty() && text.starts_with('/') && !text.contains(['?', ' ', '#'])
        });
        faults.check(good, format_args!("{path}.http.paths"), "a path is exact or a prefix, and begins with a slash");
    }
    for key in rule.metadata.iter().flat_map(|metadata| metadata.annotations.keys()) {
        let good = names::is_label_key(&key.to_lowercase());
        faults.check(good, format_args!("{path}.metadata.annotations[{key}]"), "not the name of an annotation");
    }
}

/// Checks what only a policy's rule is checked for: where services and HTTP may stand.
pub(super) fn check_place(faults: &mut Faults, rule: &Rule, ingress: bool, path: &str) {
    let (allowed, refused, field) = if ingress {
        (&rule.source.services, &rule.destination.services, "destination")
    } else {
        (&rule.destination.services, &rule.source.services, "source")
    };
    faults.check(refused.is_none(), format_args!("{path}.{field}.services"), "not on this side of a rule");
    let namespaced = allowed.as_ref().is_none_or(|service| !service.namespace.is_empty());
    faults.check(namespaced, format_args!("{path}.services.namespace"), "a global policy must name the namespace");
    faults.check(ingress || rule.http.is_none(), format_args!("{path}.http"), "not in an egress rule");
}

/// Whether a protocol has ports, by upstream's spelling (projectcalico/api:pkg/lib/numorstring/protocol.go).
pub(in crate::calico::compile) fn has_ports(protocol: &Protocol) -> bool {
    match protocol {
        Protocol::Number(number) => matches!(number, 6 | 17 | 132),
        Protocol::Name(name) => matches!(name.as_str(), "TCP" | "UDP" | "SCTP" | "tcp" | "udp" | "sctp"),
    }
}

fn is_protocol(protocol: &Protocol) -> bool {
    match protocol {
        Protocol::Number(number) => *number > 0,
        Protocol::Name(name) => {
            matches!(name.as_str(), "TCP" | "UDP" | "ICMP" | "ICMPv6" | "SCTP" | "UDPLite")
        }
    }
}

fn icmp_fields(faults: &mut Faults, fields: Option<Icmp>, path: &str) {
    let Some(Icmp { kind, code }) = fields else {
        return;
    };
    faults.check(kind.is_none_or(|kind| (0..=254).contains(&kind)), format_args!("{path}.type"), "not 0 to 254");
    faults.check(code.is_none_or(|code| (0..=255).contains(&code)), format_args!("{path}.code"), "not 0 to 255");
    faults.check(kind.is_some() || code.is_none(), format_args!("{path}.code"), "a code needs a type");
}

/// `icmp` needs the protocol by name; a protocol or `notProtocol` of ICMP fixes the family.
fn icmp(faults: &mut Faults, rule: &Rule, path: &str) {
    let named = |protocol: &Option<Protocol>, name: &str| {
        protocol.as_ref().is_some_and(|protocol| *protocol == Protocol::Name(name.to_owned()))
    };
    let icmp = named(&rule.protocol, "ICMP") || named(&rule.protocol, "ICMPv6");
    faults.check(rule.icmp.is_none() || icmp, format_args!("{path}.icmp"), "needs the protocol ICMP or ICMPv6");
    for (name, version) in [("ICMP", 4), ("ICMPv6", 6)] {
        let concerned = named(&rule.protocol, name) || named(&rule.not_protocol, name);
        let fits = rule.ip_version.is_none_or(|given| given == version);
        faults.check(!concerned || fits, format_args!("{path}.ipVersion"), format_args!("{name} is of IPv{version}"));
    }
}

/// The prefixes of a rule are of one family, that of its `ipVersion`.
fn families(faults: &mut Faults, rule: &Rule, path: &str) {
    let (mut seen_v4, mut seen_v6) = (false, false);
    for (field, nets) in [
        ("source.nets", &rule.source.nets),
        ("source.notNets", &rule.source.not_nets),
        ("destination.nets", &rule.destination.nets),
        ("destination.notNets", &rule.destination.not_nets),
    ] {
        let path = format!("{path}.{field}");
        for text in nets {
            let Some(net) = address::prefix(text) else {
                faults.add(&path, format_args!("`{text}` is not a prefix"));
                continue;
            };
            // The tag `net` of the field: no bits right of the mask.
            let masked = address::prefix(text)
                .zip(text.split_once('/'))
                .is_some_and(|(net, (address, _))| address.parse() == Ok(net.addr()));
            faults.check(masked, &path, format_args!("`{text}` has bits outside the prefix"));
            let negated = field.ends_with("notNets");
            faults.check(!(negated && net.prefix_len() == 0), &path, "excludes every address");
            let v4 = net.addr().is_ipv4();
            seen_v4 |= v4;
            seen_v6 |= !v4;
            let version = if v4 { 4 } else { 6 };
            let fits = rule.ip_version.is_none_or(|given| given == version);
            faults.check(fits, &path, format_args!("`{text}` is not of the rule's ipVersion"));
        }
        faults.check(!(seen_v4 && seen_v6), &path, "both IPv4 and IPv6 prefixes in one rule");
    }
}

fn entity(faults: &mut Faults, entity: &Entity, protocol: Option<&Protocol>, path: &str) {
    for (field, text) in [
        ("selector", &entity.selector),
        ("notSelector", &entity.not_selector),
        ("namespaceSelector", &entity.namespace_selector),
    ] {
        faults.selector(text, format_args!("{path}.{field}"));
    }
    faults.check(!entity.selector.contains("global()"), format_args!("{path}.selector"), "global() is for namespaces");
    let namespaces = &entity.namespace_selector;
    let alone = !namespaces.contains("global(")
        || (namespaces.trim_start_matches([' ', '\t']).starts_with("global(")
            && namespaces.parse::<Selector>().is_ok_and(|read| read.is_global()));
    faults.check(alone, format_args!("{path}.namespaceSelector"), "global() cannot be combined");
    if let Some(accounts) = &entity.service_accounts {
        faults.selector(&accounts.selector, format_args!("{path}.serviceAccounts.selector"));
    }
    let with_ports = protocol.is_some_and(has_ports);
    for (field, ports) in [("ports", &entity.ports), ("notPorts", &entity.not_ports)] {
        let path = format!("{path}.{field}");
        let fits = ports.is_empty() || with_ports;
        faults.check(fits, &path, "rules that specify ports must set protocol to TCP or UDP or SCTP");
        faults.check(ports.iter().all(is_port), &path, "not a port or the name of one");
    }
    if let Some(service) = &entity.services {
        let path = format!("{path}.services");
        faults.check(names::is_subdomain(&service.name), format_args!("{path}.name"), "not a name");
        let namespace = service.namespace.is_empty() || names::is_subdomain(&service.namespace);
        faults.check(namespace, format_args!("{path}.namespace"), "not a name");
        let alone = entity.namespace_selector.is_empty()
            && entity.selector.is_empty()
            && entity.not_selector.is_empty()
            && entity.service_accounts.is_none()
            && entity.nets.is_empty()
            && entity.not_nets.is_empty();
        faults.check(alone, &path, "cannot stand with selectors, service accounts or nets");
        let portless = !path.contains(".destination.") || (entity.ports.is_empty() && entity.not_ports.is_empty());
        faults.check(portless, &path, "the ports are those of the service");
    }
}

/// Shared with Felix, which checks ports alike.
pub(in crate::calico::compile) fn is_port(port: &Port) -> bool {
    match port {
        Port::Range(from, to) => 1 <= *from && from <= to,
        Port::Name(name) => names::is_port(name),
    }
}
