//! Destination NAT.

use serde_json::json;

use super::lab::{Lab, eth0, eth1, inward, ip, outward, tcp, through, translated};
use crate::calico::endpoint::Interface;
use crate::calico::question::{Path, Question};
use crate::calico::settings::Dataplane;

fn egress_to(ports: &[u16]) -> serde_json::Value {
    let rule = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": ports}});
    json!({"selector": "has(a)", "types": ["Egress"], "egress": [rule]})
}

/// projectcalico/calico:felix/rules/static.go filterOutputChain, StaticManglePostroutingChain.
#[test]
fn trap_15_host_to_a_service_is_judged_by_its_backend() {
    let vip = tcp("10.0.0.1", "10.96.0.1", 443);
    let to_backend = || translated(outward(), "10.9.0.7", 8443, None);
    let by_vip = Lab::new().on_eth0().policy("p", egress_to(&[443]));
    let by_backend = Lab::new().on_eth0().policy("p", egress_to(&[8443]));
    for dataplane in [Dataplane::Iptables, Dataplane::Nftables] {
        let lab = |lab: &Lab| lab.clone().dataplane(dataplane);
        assert!(!lab(&by_vip).passes(&to_backend(), &vip) && lab(&by_backend).passes(&to_backend(), &vip));
    }
    // Untracked policy comes before NAT.
    let deny = |port: u16| {
        let rule = json!({"action": "Deny", "protocol": "TCP", "destination": {"ports": [port]}});
        json!({"order": 1, "selector": "has(a)", "doNotTrack": true, "applyOnForward": true, "types": ["Egress"], "egress": [rule]})
    };
    assert!(!by_backend.clone().policy("q", deny(443)).passes(&to_backend(), &vip));
    assert!(by_backend.policy("q", deny(8443)).passes(&to_backend(), &vip));
}

/// Felix writes `ct status != dnat`, which a translated packet matches too, so that the interface before NAT is asked as
/// well (projectcalico/calico:felix/nftables/match_builder.go NotConntrackStatus).
#[test]
fn on_nftables_the_interface_before_nat_is_asked_too() {
    let vip = tcp("10.0.0.1", "10.96.0.1", 443);
    let question = || translated(outward(), "10.9.0.7", 8443, Some(eth1()));
    let lab = Lab::new().on_eth0();
    assert!(!lab.passes(&question(), &vip), "eth0 has no policy and drops");
    assert!(lab.clone().dataplane(Dataplane::Iptables).passes(&question(), &vip), "eth1 has no endpoint");
    // What eth0's policy accepts is marked, and eth1 is not asked.
    let closed = json!({"node": "n", "interfaceName": "eth1"});
    let lab = lab.policy("p", egress_to(&[8443])).with("HostEndpoint", "o", closed);
    assert!(lab.passes(&question(), &vip));
    assert!(!lab.clone().dataplane(Dataplane::Iptables).passes(&question(), &vip));
    // A failsafe port leaves no mark, and eth1 is asked: it has the same failsafe ports.
    let failsafe = translated(outward(), "10.9.0.7", 6443, Some(eth1()));
    assert!(lab.passes(&failsafe, &vip));
}

/// projectcalico/calico:felix/rules/static.go: mangle PREROUTING sees the node port, FORWARD and INPUT the backend's.
#[test]
fn node_ports_are_judged_before_dnat_by_their_own_number_and_after_it_by_the_backends() {
    let packet = tcp("10.9.0.7", "10.0.0.1", 30080);
    let routed = || translated(through(), "10.2.0.5", 8080, None);
    let rule = |port: u16| json!([{"action": "Deny", "protocol": "TCP", "destination": {"ports": [port]}}]);
    let early = |port| json!({"selector": "has(a)", "preDNAT": true, "applyOnForward": true, "ingress": rule(port)});
    let lab = Lab::new().on_eth0();
    assert!(lab.passes(&routed(), &packet), "normal policy does not see it");
    assert!(!lab.clone().policy("p", early(30080)).passes(&routed(), &packet));
    assert!(lab.clone().policy("p", early(8080)).passes(&routed(), &packet));
    let aof = |port| {
        json!({"selector": "has(a)", "applyOnForward": true, "ingress": [
        {"action": "Deny", "protocol": "TCP", "destination": {"ports": [port]}}, {"action": "Allow"}]})
    };
    assert!(!lab.clone().policy("p", aof(8080)).passes(&routed(), &packet));
    assert!(lab.clone().policy("p", aof(30080)).passes(&routed(), &packet));
    // To a backend in the network of the host, the failsafe ports count by the port after NAT.
    let local = translated(inward(), "10.0.0.1", 6443, None);
    assert!(lab.passes(&local, &packet));
    assert!(!lab.passes(&translated(inward(), "10.0.0.1", 8080, None), &packet) && eth0() != eth1());
}

/// Host to a service whose backend is the host itself: what comes in again has been translated
/// (projectcalico/calico:felix/rules/static.go; the kernel translates once, in OUTPUT).
#[test]
fn host_to_itself_through_a_service_is_judged_by_the_backend_both_ways() {
    let lo = Interface::new("lo", [ip("127.0.0.1")]);
    let question = translated(Question::new("n", Path::Local(lo)), "10.0.0.1", 8443, None);
    let vip = tcp("10.0.0.1", "10.96.0.1", 443);
    let deny = |port: u16, pre_dnat: bool| {
        let rule =
            json!([{"action": "Deny", "protocol": "TCP", "destination": {"ports": [port]}}, {"action": "Allow"}]);
        let spec = json!({"selector": "has(w)", "types": ["Ingress"], "preDNAT": pre_dnat, "applyOnForward": pre_dnat,
            "ingress": rule});
        Lab::new().on_all().policy("p", spec)
    };
    for pre_dnat in [false, true] {
        assert!(!deny(8443, pre_dnat).passes(&question, &vip) && deny(443, pre_dnat).passes(&question, &vip));
    }
}
