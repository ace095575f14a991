//! Where the eBPF dataplane differs (projectcalico/calico:felix/bpf/polprog/pol_prog_builder.go, felix/bpf-gpl,
//! felix/dataplane/linux/bpf_ep_mgr.go).

use serde_json::json;

use super::lab::{Lab, icmp, inward, ip, other, outward, tcp, through, translated, udp, with_ports};
use super::rules::{AWAY, lists};
use crate::calico::endpoint::Interface;
use crate::calico::question::{Path, Question};
use crate::calico::settings::Dataplane;
use crate::calico::trace::Verdict;
use crate::snapshot::Node;

fn bpf() -> Lab {
    Lab::new().dataplane(Dataplane::Bpf)
}

/// `m` is 10.9.0.7.
fn with_node(lab: Lab) -> Lab {
    let node = Node { name: "m".to_owned(), internal: vec![ip("10.9.0.7")], ..Node::default() };
    lab.cluster(|cluster| cluster.nodes = vec![node])
}

#[test]
fn nothing_is_enforced_where_no_program_is_attached() {
    let lab = bpf().on_all().policy("p", json!({"selector": "has(w)", "ingress": [{"action": "Deny"}]}));
    assert!(!lab.arrives(80));
    for name in ["lo", "mgmt-br", "br-ex", "vxlan.calico"] {
        let question = Question::new("n", Path::Ingress(Interface::new(name, [])));
        assert_eq!(lab.traced(&question, &tcp("10.9.0.7", "10.0.0.1", 80)).verdict, Verdict::NotJudged, "{name}");
    }
    let lab = lab.with("FelixConfiguration", "default", json!({"bpfDataIfacePattern": "^br-"}));
    assert!(lab.arrives(80), "eth0 is no longer among them");
}

#[test]
fn trap_17_pre_dnat_policy_of_a_wildcard_does_not_leak() {
    let deny = json!({"selector": "has(w)", "preDNAT": true, "applyOnForward": true, "ingress": [{"action": "Deny"}]});
    let allow = json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    let lab = bpf().on_eth0().on_all().policy("p", deny).policy("q", allow);
    assert!(lab.arrives(80) && !lab.dataplane(Dataplane::Nftables).arrives(80));
}

#[test]
fn trap_10_failsafe_ports_help_local_traffic_only_and_by_the_port_after_nat() {
    let deny = json!({"selector": "has(a)", "preDNAT": true, "applyOnForward": true, "ingress": [{"action": "Deny"}]});
    let lab = bpf().on_eth0().policy("p", deny);
    assert!(lab.arrives(22) && !lab.arrives(80) && !lab.routed(22));
    let node_port = tcp("10.9.0.7", "10.0.0.1", 30080);
    assert!(lab.passes(&translated(inward(), "10.0.0.1", 6443, None), &node_port));
    assert!(!lab.passes(&translated(inward(), "10.0.0.1", 8443, None), &node_port));
}

#[test]
fn trap_24_neighbour_discovery_is_let_through() {
    let lab = bpf().on_eth0();
    assert!(lab.passes(&inward(), &icmp("fd00::7", "fd00::1", 135, 0)));
    assert!(!lab.passes(&inward(), &icmp("fd00::7", "fd00::1", 134, 0)), "but no router advertisement");
}

#[test]
fn tunnels_are_of_nodes() {
    let lab = with_node(bpf().on_eth0());
    assert!(lab.passes(&inward(), &udp("10.9.0.7", "10.0.0.1", 4789)));
    assert!(!lab.passes(&inward(), &udp("10.9.0.8", "10.0.0.1", 4789)), "left to policy");
    let open = with_node(bpf().on_all());
    assert!(open.passes(&inward(), &udp("10.9.0.8", "10.0.0.1", 4789)), "which allows");
    assert!(open.passes(&inward(), &other("10.9.0.7", "10.0.0.1", 4)));
    assert!(!open.passes(&inward(), &other("10.9.0.8", "10.0.0.1", 4)), "IP in IP of others is dropped before policy");
    assert!(!open.passes(&outward(), &other("10.0.0.1", "10.9.0.8", 4)));
    // WireGuard between nodes passes after policy dropped it, if both ports are its own.
    assert!(lab.passes(&inward(), &with_ports(17, "10.9.0.7", 51820, "10.0.0.1", 51820)));
    assert!(!lab.passes(&inward(), &with_ports(17, "10.9.0.7", 40_000, "10.0.0.1", 51820)));
    assert!(!lab.passes(&inward(), &with_ports(17, "10.9.0.8", 51820, "10.0.0.1", 51820)));
}

#[test]
fn tunnels_have_their_ports_and_families() {
    let ports = json!({"vxlanPort": 8472, "wireguardListeningPort": 53000});
    let moved = with_node(bpf().on_eth0().with("FelixConfiguration", "default", ports));
    for (port, passes) in [(8472, true), (4789, false)] {
        assert_eq!(moved.passes(&inward(), &udp("10.9.0.7", "10.0.0.1", port)), passes, "{port}");
        assert_eq!(moved.passes(&outward(), &udp("10.0.0.1", "10.9.0.7", port)), passes, "{port}");
    }
    for (source, destination, passes) in
        [(53000, 53000, true), (51820, 51820, false), (53000, 51820, false), (51820, 53000, false)]
    {
        let packet = with_ports(17, "10.9.0.7", source, "10.0.0.1", destination);
        assert_eq!(moved.passes(&inward(), &packet), passes, "{source} {destination}");
    }
    assert!(!moved.passes(&inward(), &with_ports(6, "10.9.0.7", 53000, "10.0.0.1", 53000)), "WireGuard is UDP");
    let v6 = bpf().on_eth0().cluster(|cluster| {
        let internal = vec![ip("10.9.0.7"), ip("fd09::7")];
        cluster.nodes = vec![Node { name: "m".to_owned(), internal, ..Node::default() }];
    });
    assert!(v6.passes(&inward(), &other("10.9.0.7", "10.0.0.1", 4)));
    assert!(!v6.passes(&inward(), &other("fd09::7", "fd00::1", 4)), "IP in IP is of IPv4");
    assert!(v6.passes(&inward(), &udp("fd09::7", "fd00::1", 4789)));
}

#[test]
fn what_is_accepted_without_tracking_may_be_a_tunnel_of_anybody() {
    let allow = json!({"selector": "has(a)", "doNotTrack": true, "applyOnForward": true, "types": ["Ingress"],
        "ingress": [{"action": "Allow", "source": {"nets": ["10.9.0.8/32"]}}]});
    let lab = with_node(bpf().on_eth0().policy("p", allow));
    assert!(lab.passes(&inward(), &other("10.9.0.8", "10.0.0.1", 4)));
    assert!(!lab.passes(&inward(), &other("10.9.0.9", "10.0.0.1", 4)));
}

#[test]
fn wireguard_of_nodes_passes_where_it_ends_only() {
    let wireguard = |to: &str| with_ports(17, "10.9.0.7", 51820, to, 51820);
    let deny = |direction: &str| {
        json!({"selector": "has(w)", "applyOnForward": true, "types": [direction],
            direction.to_lowercase(): [{"action": "Deny"}]})
    };
    let lab = with_node(bpf().on_all().policy("p", deny("Ingress")));
    assert!(lab.passes(&inward(), &wireguard("10.0.0.1")) && !lab.passes(&through(), &wireguard("10.50.0.1")));
    let lab = with_node(bpf().on_all().policy("p", deny("Egress")));
    let leaving = |to: &str, from: &str| with_ports(17, from, 51820, to, 51820);
    assert!(lab.passes(&outward(), &leaving("10.9.0.7", "10.0.0.1")));
    assert!(!lab.passes(&through(), &leaving("10.9.0.7", "10.2.0.5")));
}

#[test]
fn pods_meet_no_failsafe_port_no_tunnel_and_no_xdp() {
    let early = |class: &str| {
        json!({"selector": "has(w)", class: true, "applyOnForward": true, "types": ["Ingress"],
            "ingress": [{"action": "Deny"}]})
    };
    let lab = with_node(bpf().on_all()).env("DefaultEndpointToHostAction", "ACCEPT");
    let from_pod = Question::new("n", Path::Ingress(Interface::new("cali0", [])));
    let packets = [tcp("10.2.0.5", "10.0.0.1", 22), with_ports(17, "10.9.0.7", 51820, "10.0.0.1", 51820)];
    for packet in &packets {
        assert!(lab.passes(&from_pod, packet), "{packet:?}");
        assert!(lab.clone().policy("p", early("doNotTrack")).passes(&from_pod, packet), "{packet:?}");
        assert!(!lab.clone().policy("p", early("preDNAT")).passes(&from_pod, packet), "{packet:?}");
    }
}

#[test]
fn loopback_is_policed_both_ways_where_it_has_programs() {
    let lo = || Question::new("n", Path::Local(Interface::new("lo", [ip("127.0.0.1")])));
    let packet = tcp("127.0.0.1", "127.0.0.1", 9099);
    for direction in ["Ingress", "Egress"] {
        let deny = json!({"selector": "has(w)", "types": [direction], direction.to_lowercase(): [{"action": "Deny"}]});
        let lab = bpf().on_all().policy("p", deny);
        assert!(lab.passes(&lo(), &packet), "{direction}");
        let lab = lab.with("FelixConfiguration", "default", json!({"bpfDataIfacePattern": "^(eth|lo)"}));
        assert!(!lab.passes(&lo(), &packet), "{direction}");
    }
}

#[test]
fn untracked_ingress_is_a_program_of_exactly_one_tier() {
    let deny = |tier: &str| {
        json!({"tier": tier, "selector": "has(a)", "doNotTrack": true, "applyOnForward": true,
        "types": ["Ingress"], "ingress": [{"action": "Deny"}]})
    };
    let allow = json!({"selector": "has(a)", "types": ["Ingress"], "ingress": [{"action": "Allow"}]});
    let one = bpf().on_eth0().with("Tier", "t", json!({"order": 1})).policy("p", deny("default")).policy("q", allow);
    assert!(!one.arrives(80) && one.arrives(22));
    assert!(one.policy("t.p", deny("t")).arrives(80), "two tiers, no program");
}

#[test]
fn host_to_a_service_is_judged_by_its_backend_and_the_real_interface() {
    let to = json!([{"action": "Allow", "protocol": "TCP", "destination": {"ports": [8443]}}]);
    let lab = bpf().on_eth0().policy("p", json!({"selector": "has(a)", "types": ["Egress"], "egress": to}));
    let vip = tcp("10.0.0.1", "10.96.0.1", 443);
    assert!(lab.passes(&translated(outward(), "10.9.0.7", 8443, None), &vip));
    assert!(!lab.passes(&translated(outward(), "10.9.0.7", 443, None), &vip));
    let elsewhere = Some(super::lab::eth1());
    assert!(lab.passes(&translated(outward(), "10.9.0.7", 443, elsewhere), &vip), "eth1 has no endpoint");
}

#[test]
fn forwarded_packets_meet_apply_on_forward_on_both_sides() {
    let aof = |direction: &str| {
        json!({"selector": "has(w)", "applyOnForward": true, "types": [direction],
        direction.to_lowercase(): [{"action": "Deny"}]})
    };
    assert!(bpf().on_all().passes(&through(), &tcp("10.9.0.7", "10.50.0.1", 80)));
    for direction in ["Ingress", "Egress"] {
        assert!(!bpf().on_all().policy("p", aof(direction)).routed(80), "{direction}");
    }
    let cali = Interface::new("cali0", []);
    let from_pod = Question::new("n", Path::Forward { from: cali, to: super::lab::eth1() });
    assert!(!bpf().on_all().policy("p", aof("Ingress")).passes(&from_pod, &tcp("10.2.0.5", "10.50.0.1", 80)));
}

/// Only chains overlook lists, and untracked policies for packets from the host are chains here too.
#[test]
fn programs_overlook_no_list() {
    let mut rule = lists(&json!([80, "gone"]), &["10.9.0.0/24", "10.0.0.1/32"], AWAY);
    rule["action"] = json!("Allow");
    let policy = |direction: &str, untracked: bool| {
        let rules = json!([rule, {"action": "Deny"}]);
        json!({"selector": "has(a)", "applyOnForward": untracked, "doNotTrack": untracked, "types": [direction],
            direction.to_lowercase(): rules})
    };
    for (direction, untracked, by_chain) in
        [("Ingress", false, false), ("Egress", false, false), ("Ingress", true, false), ("Egress", true, true)]
    {
        let lab = bpf().on_eth0().policy("p", policy(direction, untracked));
        let passes = if direction == "Ingress" { lab.arrives(80) } else { lab.leaves(80) };
        assert_eq!(passes, by_chain, "{direction} {untracked}");
        let chains = lab.dataplane(Dataplane::Nftables);
        assert!(if direction == "Ingress" { chains.arrives(80) } else { chains.leaves(80) }, "{direction} {untracked}");
    }
}
