//! `toPorts` and `icmps` (cilium/cilium:pkg/policy/api/{l4,icmp}.go, rule_validation.go, pkg/policy/l4.go).

use serde_json::Value;

use super::model::{Port, Ports};
use super::number::{self, is_name, number_or_default};
use super::refusal::{Fault, Stage};
use crate::cilium::api::{IcmpField, IcmpRule, PortProtocol, PortRule};
use crate::cilium::settings::Settings;
use crate::cilium::version::Version;
use crate::object::IntOrString;
use crate::packet::protocol;

/// Most ports in a `toPorts` entry, and most types in an `icmps` entry.
const MOST: usize = 40;

/// Protocols without ports that a rule can name, and the version that each came with.
const EXTENDED: &[(&str, u8, Version)] = &[
    ("VRRP", 112, Version::V1_19),
    ("IGMP", 2, Version::V1_19),
    ("GRE", 47, Version::V1_20),
    ("IPIP", 4, Version::V1_20),
    ("IPV6", 41, Version::V1_20),
    ("ESP", 50, Version::V1_20),
    ("AH", 51, Version::V1_20),
];

/// Names of ICMPv4 types.
const ICMP_V4: &[(&str, u16)] = &[
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEchoReply", 43),
];

/// Names of ICMPv6 types.
const ICMP_V6: &[(&str, u16)] = &[
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEchoReply", 161),
];

/// What a `toPorts` list matches; absent when the list is absent or empty, which is everything.
/// Denies have no application-layer rules: what stands there of them is not read.
pub(super) fn ports(rules: &[PortRule], path: &str, deny: bool, settings: &Settings) -> Result<Vec<Port>, Fault> {
    let mut all = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let ports = rule.ports.as_deref().unwrap_or_default();
        if ports.len() > MOST {
            return Err(Fault::sanitize(&format!("{path}.ports"), format!("more than {MOST} ports")));
        }
        let dns = !deny && l7_count(rule.rules.as_ref(), "dns") > 0;
        for (index, port) in ports.iter().enumerate() {
            all.extend(self::port(port, &format!("{path}.ports[{index}]"), dns, settings)?);
        }
    }
    Ok(all)
}

/// How many application-layer rules of a kind there are.
pub(super) fn l7_count(rules: Option<&Value>, kind: &str) -> usize {
    rules.and_then(|rules| rules.get(kind)).and_then(Value::as_array).map_or(0, Vec::len)
}

fn port(written: &PortProtocol, path: &str, dns: bool, settings: &Settings) -> Result<Vec<Port>, Fault> {
    let text = written.port.as_deref().unwrap_or_default();
    let end = end_port(written, path)?;
    let protocol = written.protocol.as_deref().unwrap_or_default();
    let ports = if is_name(text) {
        Ports::Named(text.to_ascii_lowercase())
    } else if text.is_empty() {
        if !settings.extended_protocols.value {
            return Err(Fault::sanitize(path, "a port must be given unless enable-extended-ip-protocols is on"));
        }
        Ports::All
    } else {
        if text != "0" && EXTENDED.iter().any(|(name, ..)| *name == protocol) {
            return Err(Fault::sanitize(path, format!("{protocol} has no ports; leave `port` out or write \"0\"")));
        }
        let first = number::number(text)
            .map_err(|_| Fault::sanitize(path, format!("`{text}` is neither a port nor the name of one")))?;
        if dns && written.end_port.is_some_and(|end| end > i64::from(first)) {
            return Err(Fault::sanitize(path, "DNS rules do not take port ranges"));
        }
        match first {
            0 => Ports::All,
            _ => Ports::Range(first, end.max(first)),
        }
    };
    let protocols = protocols(protocol, settings.version.value)
        .ok_or_else(|| Fault::sanitize(path, format!("`{protocol}` is not a protocol that a rule can name")))?;
    Ok(protocols.into_iter().map(|protocol| Port { protocol, ports: ports.clone() }).collect())
}

/// The agent keeps the low 16 bits of what it decodes as 32.
fn end_port(written: &PortProtocol, path: &str) -> Result<u16, Fault> {
    let end = written.end_port.unwrap_or_default();
    i32::try_from(end).map(|end| end as u16).map_err(|_| Fault::decode(path, "endPort does not fit 32 bits"))
}

/// Whether ports and ICMP types can be decoded. All of an object is decoded before any of it is checked.
pub(super) fn decoded(to_ports: &[PortRule], icmps: &[IcmpRule], path: &str) -> Result<(), Fault> {
    for (index, rule) in to_ports.iter().enumerate() {
        for (inner, port) in rule.ports.iter().flatten().enumerate() {
            end_port(port, &format!("{path}.toPorts[{index}].ports[{inner}]"))?;
        }
    }
    for (index, rule) in icmps.iter().enumerate() {
        for (inner, field) in rule.fields.iter().flatten().enumerate() {
            let fault = icmp(field, &format!("{path}.icmps[{index}].fields[{inner}]")).err();
            if let Some(fault) = fault.filter(|fault| fault.stage == Stage::Decode) {
                return Err(fault);
            }
        }
    }
    Ok(())
}

/// Numbers of a protocol. `ANY` and nothing mean TCP, UDP and SCTP, never ICMP.
fn protocols(name: &str, version: Version) -> Option<Vec<u8>> {
    let name = name.to_ascii_uppercase();
    Some(match name.as_str() {
        "" | "ANY" => vec![protocol::TCP, protocol::UDP, protocol::SCTP],
        "TCP" => vec![protocol::TCP],
        "UDP" => vec![protocol::UDP],
        "SCTP" => vec![protocol::SCTP],
        _ => {
            let (_, number, _) = EXTENDED.iter().find(|(known, _, since)| *known == name && *since <= version)?;
            vec![*number]
        }
    })
}

/// What an `icmps` list matches.
pub(super) fn icmps(rules: &[IcmpRule], path: &str) -> Result<Vec<Port>, Fault> {
    let mut all = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let path = format!("{path}[{index}].fields");
        let fields = rule.fields.as_deref().unwrap_or_default();
        if fields.len() > MOST {
            return Err(Fault::sanitize(&path, format!("more than {MOST} types")));
        }
        for (index, field) in fields.iter().enumerate() {
            all.push(icmp(field, &format!("{path}[{index}]"))?);
        }
    }
    Ok(all)
}

/// The type is kept as a port is, so type 0 is every type; and a number that is none is 0 too.
fn icmp(field: &IcmpField, path: &str) -> Result<Port, Fault> {
    let family = field.family.as_deref().unwrap_or_default();
    let (protocol, names) = if family == "IPv6" { (protocol::ICMPV6, ICMP_V6) } else { (protocol::ICMP, ICMP_V4) };
    let text = match &field.icmp_type {
        IntOrString::Int(number) if i32::try_from(*number).is_err() => {
            return Err(Fault::decode(path, "type does not fit 32 bits"));
        }
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let named = names.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    // What Go's strconv.Atoi reads as something other than 0 is a number; everything else must be a name.
    if text != "0" && text.parse::<i64>().unwrap_or_default() == 0 && named.is_none() {
        return Err(Fault::decode(
            path,
            format!("`{text}` is no ICMP type of {}", if family.is_empty() { "IPv4" } else { family }),
        ));
    }
    if !matches!(family, "" | "IPv4" | "IPv6") {
        return Err(Fault::sanitize(path, format!("`{family}` is not a family")));
    }
    let number = named.unwrap_or_else(|| number_or_default(&text));
    let ports = if number == 0 { Ports::All } else { Ports::Range(number, number) };
    Ok(Port { protocol, ports })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(family: &str, kind: impl Into<IntOrString>) -> Result<Ports, Fault> {
        icmp(&IcmpField { family: Some(family.to_owned()), icmp_type: kind.into() }, "p").map(|port| port.ports)
    }

    #[test]
    fn type_zero_is_every_type_and_so_is_what_is_no_number() {
        assert_eq!(kind("IPv4", 8), Ok(Ports::Range(8, 8)));
        assert_eq!(kind("IPv4", 0), Ok(Ports::All));
        assert_eq!(kind("IPv4", "EchoReply"), Ok(Ports::All));
        assert_eq!(kind("IPv6", "EchoReply"), Ok(Ports::Range(129, 129)));
        assert_eq!(kind("IPv4", "08"), Ok(Ports::All), "not octal, hence 0");
        assert_eq!(kind("IPv4", 300), Ok(Ports::Range(300, 300)), "no packet has it");
    }

    #[test]
    fn names_belong_to_a_family() {
        assert!(kind("IPv4", "Redirect").is_ok());
        assert!(kind("IPv6", "Redirect").is_err());
        assert!(kind("IPv4", "NoSuch").is_err());
    }
}
