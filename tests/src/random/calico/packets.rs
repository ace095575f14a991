//! Packets at the boundaries of the rules.

use std::net::IpAddr;

use ::policy::packet::protocol::has_ports;
use serde_json::Value;

use super::{rule, world};
use crate::random::Dice;
use crate::verdicts::calico::{CasePacket, Direction};

/// Packets of a case.
const COUNT: usize = 60;

pub(super) fn packets(dice: &mut Dice, objects: &[Value]) -> Vec<CasePacket> {
    let mut ports: Vec<u16> =
        world::PORTS.iter().flat_map(|&port| [port.saturating_sub(1), port, port.saturating_add(1)]).collect();
    for object in objects {
        collect(object, &mut ports);
    }
    ports.retain(|&port| port > 0);
    (0..COUNT).filter_map(|_| packet(dice, &ports)).collect()
}

/// The ends of every range that is written anywhere, and their neighbours.
fn collect(value: &Value, ports: &mut Vec<u16>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => left.extend(fields.values()),
            Value::Array(items) => left.extend(items),
            Value::String(text) => {
                let ends = text.split_once(':').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
                if let Some((from, to)) = ends {
                    let (from, to): (u16, u16) = (from, to);
                    ports.extend([from.saturating_sub(1), from, to, to.saturating_add(1)]);
                }
            }
            _ => {}
        }
    }
}

fn packet(dice: &mut Dice, ports: &[u16]) -> Option<CasePacket> {
    let six = dice.chance(30);
    let own = |dice: &mut Dice, interface: &str| {
        let (_, addresses) = world::INTERFACES.iter().find(|(name, _)| *name == interface)?;
        let family: Vec<&str> = addresses.iter().copied().filter(|address| address.contains(':') == six).collect();
        if family.is_empty() { None } else { Some(dice.pick(&family)) }
    };
    let peer = |dice: &mut Dice| if six { dice.pick(&world::PEERS_V6) } else { dice.pick(&world::PEERS_V4) };
    let beyond = |dice: &mut Dice| if six { dice.pick(&world::BEYOND_V6) } else { dice.pick(&world::BEYOND_V4) };
    let interface = dice.weighted(&[(40, "eth0"), (25, "eth1"), (15, "eth2"), (5, "cali0")]);
    let mut out_iface = String::new();
    let (dir, iface, src, dst) = match dice.number(..20) {
        0..8 => {
            // A pod's interface has no IPv6 here: whether Felix takes neighbour discovery from it depends on routes.
            let destination = own(dice, interface)?;
            (Direction::In, interface, peer(dice), destination)
        }
        8..13 => {
            (Direction::Out, interface, own(dice, interface)?, if dice.chance(80) { peer(dice) } else { beyond(dice) })
        }
        13..18 => {
            dice.weighted(&[(40, "eth0"), (40, "eth1"), (20, "eth2")]).clone_into(&mut out_iface);
            (Direction::Fwd, interface, peer(dice), beyond(dice))
        }
        half => {
            let loopback = if six { "::1" } else { "127.0.0.1" };
            let address = if dice.chance(50) { loopback } else { own(dice, "eth0")? };
            (if half == 18 { Direction::Out } else { Direction::In }, "lo", address, address)
        }
    };
    let (src, dst): (IpAddr, IpAddr) = (src.parse().ok()?, dst.parse().ok()?);
    let proto = protocol(dice, six);
    let with_ports = has_ports(proto);
    let is_icmp = proto == if six { 58 } else { 1 };
    Some(CasePacket {
        dir,
        iface: iface.to_owned(),
        out_iface,
        src,
        dst,
        proto,
        sport: if !with_ports {
            0
        } else if dice.chance(70) {
            40_000
        } else {
            dice.pick(ports)
        },
        dport: if with_ports { dice.pick(ports) } else { 0 },
        icmp_type: match (is_icmp, six) {
            (false, _) => 0,
            (true, true) => dice.pick(&rule::ICMPV6),
            (true, false) => dice.pick(&rule::ICMP),
        },
        icmp_code: if is_icmp && dice.chance(40) { dice.pick(&[1, 2]) } else { 0 },
    })
}

fn protocol(dice: &mut Dice, six: bool) -> u8 {
    let icmp = if six { 58 } else { 1 };
    let tunnel = if six { 41 } else { 4 };
    dice.weighted(&[(45, 6), (25, 17), (12, icmp), (6, 132), (3, 136), (4, 47), (3, 112), (2, tunnel)])
}
