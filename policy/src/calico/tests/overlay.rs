//! Tunnels of the overlay.

use serde_json::json;

use super::lab::{Lab, inward, ip, other, outward, tcp, udp};
use crate::calico::settings::Dataplane;
use crate::snapshot::{ConfigMap, Node};

/// A locked-down `eth0`, and one other node.
fn lab(settings: serde_json::Value) -> Lab {
    let node = Node { name: "m".to_owned(), internal: vec![ip("10.9.0.7")], ..Node::default() };
    Lab::new().on_eth0().with("FelixConfiguration", "default", settings).cluster(|cluster| cluster.nodes = vec![node])
}

/// projectcalico/calico:felix/rules/static.go filterInputChain: tunnels are accepted in the filter table only.
#[test]
fn trap_12_tunnels_pass_policy_but_not_what_comes_before() {
    let vxlan = lab(json!({"vxlanEnabled": true}));
    let tunnel = |source: &str| udp(source, "10.0.0.1", 4789);
    assert!(vxlan.passes(&inward(), &tunnel("10.9.0.7")));
    assert!(!vxlan.passes(&inward(), &tunnel("10.9.0.8")), "an unknown host");
    assert!(!lab(json!({})).passes(&inward(), &tunnel("10.9.0.7")), "switched off");
    assert!(!lab(json!({"vxlanEnabled": true, "vxlanPort": 8472})).passes(&inward(), &tunnel("10.9.0.7")));
    let pool = lab(json!({})).with("IPPool", "p", json!({"cidr": "10.2.0.0/16", "vxlanMode": "CrossSubnet"}));
    assert!(pool.passes(&inward(), &tunnel("10.9.0.7")), "a pool switches it on");
    let deny = |class: &str| json!({"selector": "has(a)", class: true, "applyOnForward": true, "ingress": [{"action": "Deny"}]});
    assert!(!vxlan.clone().policy("p", deny("preDNAT")).passes(&inward(), &tunnel("10.9.0.7")));
    assert!(!vxlan.policy("p", deny("doNotTrack")).passes(&inward(), &tunnel("10.9.0.7")));
    let ipip = lab(json!({"ipipEnabled": true}));
    assert!(ipip.passes(&inward(), &other("10.9.0.7", "10.0.0.1", 4)));
    assert!(!ipip.passes(&inward(), &other("10.9.0.8", "10.0.0.1", 4)));
    assert!(ipip.passes(&outward(), &other("10.0.0.1", "10.9.0.7", 4)));
    let wireguard = lab(json!({"wireguardEnabled": true}));
    assert!(wireguard.passes(&inward(), &udp("192.0.2.1", "10.0.0.1", 51820)));
    let external = lab(json!({"vxlanEnabled": true, "externalNodesList": ["192.0.2.0/24"]}));
    assert!(external.passes(&inward(), &tunnel("192.0.2.9")));
}

/// projectcalico/calico:felix/rules/static.go knows no other tunnels.
#[test]
fn trap_13_other_tunnels_are_policed() {
    let lab = lab(json!({"vxlanEnabled": true, "ipipEnabled": true}));
    for port in [8472, 6081, 51820] {
        assert!(!lab.passes(&inward(), &udp("10.9.0.7", "10.0.0.1", port)), "{port}");
    }
    for protocol in [41, 47] {
        assert!(!lab.passes(&inward(), &other("10.9.0.7", "10.0.0.1", protocol)), "{protocol}");
    }
}

/// VXLAN is not tracked, and on nftables no egress policy is asked about what is not
/// (projectcalico/calico:felix/rules/static.go StaticRawOutputChain, filterOutputChain).
#[test]
fn on_nftables_vxlan_to_an_unknown_host_leaves_unasked() {
    let lab = lab(json!({"vxlanEnabled": true}));
    let tunnel = udp("10.0.0.1", "192.0.2.9", 4789);
    assert!(lab.passes(&outward(), &tunnel));
    assert!(!lab.dataplane(Dataplane::Iptables).passes(&outward(), &tunnel));
}

/// A FelixConfiguration of the node beats the default one, and the environment beats both
/// (projectcalico/calico:felix/config).
#[test]
fn settings_have_levels() {
    let ports = |port: u16| json!({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": port}]});
    let lab = Lab::new().on_eth0().with("FelixConfiguration", "default", ports(80));
    assert!(lab.arrives(80) && !lab.arrives(22));
    let lab = lab.with("FelixConfiguration", "node.n", ports(81));
    assert!(lab.arrives(81) && !lab.arrives(80));
    let lab = lab.env("FAILSAFEINBOUNDHOSTPORTS", "tcp:82");
    assert!(lab.arrives(82) && !lab.arrives(81));
    let from = lab.state().settings("n").failsafe_inbound.from.to_string();
    assert_eq!(from, "environment variable FELIX_FAILSAFEINBOUNDHOSTPORTS of calico-node");
    let none = Lab::new().on_eth0().with("FelixConfiguration", "default", json!({"failsafeInboundHostPorts": []}));
    assert!(!none.arrives(22) && none.leaves(6443));
}

/// Canal's DaemonSet is called `canal` or `rke2-canal`; its container is Calico's
/// (projectcalico/calico:manifests/canal.yaml).
#[test]
fn felix_of_canal_is_found_too() {
    let lab = Lab::new().on_eth0().env("FAILSAFEINBOUNDHOSTPORTS", "tcp:82");
    let lab = lab.cluster(|cluster| cluster.daemon_sets[0].name = "rke2-canal".to_owned());
    assert!(lab.arrives(82) && !lab.arrives(22));
}

/// projectcalico/calico:felix/rules/static.go: a failsafe net is the other side's, of one family.
#[test]
fn a_failsafe_net_is_of_one_family() {
    let ports = json!({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 80, "net": "10.9.0.0/25"}]});
    let lab = Lab::new().on_eth0().with("FelixConfiguration", "default", ports);
    assert!(lab.arrives(80));
    assert!(!lab.passes(&inward(), &tcp("10.9.0.200", "10.0.0.1", 80)));
    assert!(!lab.passes(&inward(), &tcp("fd09::7", "fd00::1", 80)));
}

/// projectcalico/calico:libcalico-go/lib/validator/v3/validator.go validateFelixConfigSpec.
#[test]
fn settings_that_the_api_refuses_do_not_count() {
    for bad in [
        json!({"failsafeInboundHostPorts": [{"protocol": "TCP", "port": 65536}]}),
        json!({"failsafeInboundHostPorts": [], "defaultEndpointToHostAction": "DROP"}),
        json!({"failsafeInboundHostPorts": [], "externalNodesList": ["fd00::/64"]}),
        json!({"failsafeInboundHostPorts": [], "wireguardListeningPort": 0}),
    ] {
        let lab = Lab::new().on_eth0().with("FelixConfiguration", "default", bad.clone());
        assert!(lab.arrives(22) && !lab.arrives(80), "{bad}");
        assert_eq!(lab.refused(crate::calico::state::Stage::Api), ["default"], "{bad}");
    }
    // The case of a protocol is none of its business.
    let lower = json!({"failsafeInboundHostPorts": [{"protocol": "tcp", "port": 80}]});
    for lab in [Lab::raw(), Lab::new()] {
        assert!(lab.on_eth0().with("FelixConfiguration", "default", lower.clone()).arrives(80));
    }
}

/// What others than Calico decide, or what goes another way, is not guessed.
#[test]
fn surroundings_that_are_not_modelled_are_listed() {
    let unknown = |lab: Lab| lab.state().unknown.len();
    assert_eq!(unknown(Lab::new()), 0);
    assert_eq!(unknown(Lab::new().with("FelixConfiguration", "default", json!({"chainInsertMode": "Append"}))), 1);
    let mode = |mode: &str| {
        let data = [("config.conf".to_owned(), format!("kind: KubeProxyConfiguration\nmode: \"{mode}\"\n"))].into();
        let map = ConfigMap { namespace: "kube-system".to_owned(), name: "kube-proxy".to_owned(), data };
        Lab::new().cluster(|cluster| cluster.config_maps.push(map))
    };
    assert_eq!((unknown(mode("ipvs")), unknown(mode("iptables"))), (1, 0));
    let mut follows = mode("nftables").version(32);
    follows.assumptions.dataplane = None;
    assert_eq!(follows.state().settings("n").dataplane.value, Dataplane::Nftables);
    let mut older = mode("nftables").version(31);
    older.assumptions.dataplane = None;
    assert_eq!(older.state().settings("n").dataplane.value, Dataplane::Iptables);
}
