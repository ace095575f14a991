//! What never reaches policy (cilium/cilium:bpf/bpf_host.c, bpf/lib/{host_firewall.h,icmp6.h}).

use policy::cilium::question::{Layer, Path, Question, Verdict};
use policy::cilium::version::Version;
use policy::packet::{Direction, Packet, Transport};
use serde_json::json;

use crate::cluster::{NODE, OTHER, PROMETHEUS, SELF, WORLD, World, icmp, ip, packet, tcp, udp};

fn deny_all() -> World {
    World::new()
        .with(json!({"nodeSelector": {}, "ingress": [{}], "egress": [{}]}))
        .change(|cluster| cluster.nodes[2].internal.push(ip("fd00::3")))
}

fn question(direction: Direction) -> Question<'static> {
    Question { node: NODE, direction, layer: Layer::Host, path: Path::Device(None) }
}

fn verdict(world: &World, question: &Question<'_>, source: &str, destination: &str, transport: Transport) -> Verdict {
    let packet = Packet::new(ip(source), ip(destination), transport).expect("one family");
    world.ask(question, &packet).verdict
}

#[test]
fn what_is_not_for_the_host_is_not_judged() {
    let world = deny_all();
    let to_host = question(Direction::Ingress);
    for destination in ["255.255.255.255", "224.0.0.1", "10.0.0.100", OTHER] {
        assert_eq!(verdict(&world, &to_host, WORLD, destination, udp(68)), Verdict::NotJudged, "{destination}");
    }
    assert_eq!(verdict(&world, &to_host, WORLD, SELF, udp(68)), Verdict::Deny);
    let forward = question(Direction::Forward);
    assert_eq!(verdict(&world, &forward, WORLD, OTHER, tcp(22)), Verdict::NotJudged);
    let by_policy = Question { layer: Layer::Policy, ..forward };
    assert_eq!(verdict(&world, &by_policy, WORLD, OTHER, tcp(22)), Verdict::Allow);
}

#[test]
fn what_does_not_come_from_an_address_of_the_host_is_not_judged() {
    let world = deny_all();
    let from_host = question(Direction::Egress);
    assert_eq!(verdict(&world, &from_host, "0.0.0.0", "255.255.255.255", udp(67)), Verdict::NotJudged);
    assert_eq!(verdict(&world, &from_host, PROMETHEUS, WORLD, tcp(443)), Verdict::NotJudged, "masqueraded later");
    assert_eq!(verdict(&world, &from_host, SELF, WORLD, tcp(443)), Verdict::Deny);
}

#[test]
fn what_does_not_leave_the_host_is_not_judged() {
    let world = deny_all();
    for direction in [Direction::Ingress, Direction::Egress] {
        assert_eq!(verdict(&world, &question(direction), SELF, SELF, tcp(22)), Verdict::NotJudged);
        assert_eq!(verdict(&world, &question(direction), "127.0.0.1", "127.0.0.1", tcp(22)), Verdict::NotJudged);
        // From an address of a device to loopback goes over lo, which is never among the devices.
        assert_eq!(verdict(&world, &question(direction), SELF, "127.0.0.1", tcp(22)), Verdict::NotJudged);
    }
    assert_eq!(verdict(&world, &question(Direction::Egress), "fd00::3", "::1", tcp(22)), Verdict::NotJudged);
    let loopback = Question { path: Path::Device(Some("lo")), ..question(Direction::Ingress) };
    assert_eq!(verdict(&world, &loopback, WORLD, SELF, tcp(22)), Verdict::NotJudged);
}

#[test]
fn interfaces_outside_of_devices_are_not_judged() {
    let world = deny_all().set("devices", "eth0 bond+");
    let on = |name: &'static str| {
        let question = Question { path: Path::Device(Some(name)), ..question(Direction::Ingress) };
        verdict(&world, &question, WORLD, SELF, tcp(22))
    };
    assert_eq!(on("eth0"), Verdict::Deny);
    assert_eq!(on("bond7"), Verdict::Deny);
    assert_eq!(on("eth01"), Verdict::NotJudged);
}

#[test]
fn fragmentation_needed_passes_and_other_errors_are_judged() {
    let world = deny_all();
    let error = |code| Transport::Icmp { kind: 3, code };
    for direction in [Direction::Ingress, Direction::Egress] {
        let ask =
            |world: &World, transport| world.ask(&question(direction), &packet(direction, WORLD, transport)).verdict;
        assert_eq!(ask(&world, error(4)), Verdict::NotJudged);
        assert_eq!(ask(&world, error(1)), Verdict::Deny);
        assert_eq!(ask(&world, icmp(8)), Verdict::Deny);
        assert_eq!(ask(&world.clone().set("allow-icmp-frag-needed", "false"), error(4)), Verdict::Deny);
    }
}

/// cilium/cilium:bpf/lib/icmp6.h, `icmp6_host_handle`, on all 256 types.
#[test]
fn icmpv6_types_are_let_by_judged_or_dropped() {
    let deny = deny_all();
    let allow = deny_all().with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}]}));
    for kind in 0..=255 {
        let passed = matches!(kind, 1..=4 | 130..=136 | 141..=143 | 148 | 149 | 151..=153);
        let judged = matches!(kind, 128 | 129);
        let ask = |world: &World| {
            world.ask(&question(Direction::Ingress), &packet(Direction::Ingress, "2001:db8::1", icmp(kind))).verdict
        };
        let expected = match (passed, judged) {
            (true, _) => [Verdict::NotJudged, Verdict::NotJudged],
            (_, true) => [Verdict::Deny, Verdict::Allow],
            _ => [Verdict::Deny, Verdict::Deny],
        };
        assert_eq!([ask(&deny), ask(&allow)], expected, "type {kind}");
        // From pods and the overlay there is no such list.
        let inside = Question { path: Path::Cilium, ..question(Direction::Ingress) };
        let from_pod = allow.ask(&inside, &packet(Direction::Ingress, "2001:db8::1", icmp(kind)));
        assert_eq!(from_pod.verdict, Verdict::Allow, "type {kind}");
        let to_pod = Question { path: Path::Cilium, ..question(Direction::Egress) };
        let to_pod = deny.ask(&to_pod, &packet(Direction::Egress, "2001:db8::1", icmp(kind)));
        assert_eq!(to_pod.verdict, expected[0], "type {kind}");
    }
}

#[test]
fn ports_of_sctp_are_read_only_where_it_is_tracked() {
    let sctp = Transport::Ports { protocol: 132, source: 1, destination: 22 };
    let world = World::new().with(json!({"nodeSelector": {}, "ingress": [
        {"toPorts": [{"ports": [{"port": "22", "protocol": "SCTP"}]}]}]}));
    let ask =
        |world: &World| world.ask(&question(Direction::Ingress), &packet(Direction::Ingress, WORLD, sctp)).verdict;
    assert_eq!(ask(&world), Verdict::Deny);
    assert_eq!(ask(&world.clone().set("enable-sctp", "true")), Verdict::Allow);
    assert_eq!(ask(&world.version(Version::V1_19).set("enable-sctp", "true")), Verdict::Allow);
    let everything = World::new().with(json!({"nodeSelector": {}, "ingress": [{"fromEntities": ["all"]}]}));
    assert_eq!(ask(&everything), Verdict::Allow);
    let older = everything.version(Version::V1_19).change(|cluster| cluster.nodes[2].internal.push(ip("fd00::3")));
    assert_eq!(ask(&older), Verdict::Deny, "what is not tracked is dropped");
    for (peer, tracked) in [(WORLD, tcp(22)), (WORLD, udp(22)), (WORLD, icmp(8)), ("2001:db8::1", icmp(128))] {
        let packet = packet(Direction::Ingress, peer, tracked);
        assert_eq!(older.ask(&question(Direction::Ingress), &packet).verdict, Verdict::Allow, "{packet:?}");
    }
    assert_eq!(ask(&older.set("enable-sctp", "true")), Verdict::Allow);
}

#[test]
fn audit_lets_by_what_policy_denies_and_nothing_else() {
    let world = deny_all().set("policy-audit-mode", "true");
    let ask = |transport| {
        world.ask(&question(Direction::Ingress), &packet(Direction::Ingress, "2001:db8::1", transport)).verdict
    };
    assert_eq!(ask(tcp(22)), Verdict::Allow);
    assert_eq!(ask(icmp(200)), Verdict::Deny, "dropped before policy");
}

#[test]
fn without_the_firewall_nothing_is_judged() {
    let world = deny_all().set("enable-host-firewall", "false");
    let trace = world.ask(&question(Direction::Ingress), &packet(Direction::Ingress, WORLD, tcp(22)));
    assert_eq!(trace.verdict, Verdict::NotJudged);
}
