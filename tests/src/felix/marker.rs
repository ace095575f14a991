//! How the rig knows that Felix has done everything it was told.
//!
//! An interface of its own has a host endpoint, whose policies let certain packets through. After the objects of a case, the
//! rig changes an object of each kind so that other packets get through. The API server reports changes of one kind in order,
//! and Felix handles them in order, so a change that is in force says that those before it are too.
//!
//! All of it happens in the first tiers and in the policies that come before connection tracking, where nothing in a case
//! can interfere. The interface over which Felix reaches the API server is kept open in the same way.
//!
//! Felix writes one table of the kernel after the other. Only the first is reached by such packets; in the others it is the
//! text of a rule that says that they are written.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::calico::settings::Dataplane;
use serde_json::json;

use super::objects::own;
use super::process::Request;
use crate::verdicts::calico::{CaseInterface, CasePacket, Direction};

/// Over which the packets come.
pub(super) const INTERFACE: &str = "sync0";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 1);
const API_INTERFACE: &str = "api0";

/// Protocols that nothing else uses: those for experiments, and one that is unassigned.
const BY_POLICY: u8 = 253;
const BY_ENDPOINT: u8 = 254;
const BY_TIER: u8 = 250;
const BY_SLICE: u8 = 251;
/// Gets through as long as there are no rules at all.
const NEVER: u8 = 249;

pub(super) fn interface() -> CaseInterface {
    CaseInterface { name: INTERFACE.to_owned(), addrs: vec![ADDRESS.into()] }
}

/// Changes the marks. Each generation differs from the one before.
pub(super) fn requests(generation: u16, node: &str) -> Vec<Request> {
    let number = generation.to_string();
    let source = format!("{}/32", source(generation));
    let source6 = format!("{}/128", source6(generation));
    let untracked = |tier: &str, order: u8, selector: &str, ingress: serde_json::Value| {
        json!({
            "tier": tier, "order": order, "selector": selector, "types": ["Ingress"], "ingress": ingress,
            "doNotTrack": true, "applyOnForward": true,
        })
    };
    let by_policy = json!([
        {"action": "Allow", "protocol": BY_POLICY, "source": {"selector": format!("rig-set == '{number}'"), "nets": [source]}},
        {"action": "Allow", "protocol": BY_SLICE, "source": {"services": {"name": "rig", "namespace": "default"}}},
        {"action": "Log", "protocol": NEVER, "source": {"nets": [source6]}},
        {"action": "Deny"},
    ]);
    let by_endpoint = json!([{"action": "Allow", "protocol": BY_ENDPOINT, "source": {"nets": [source]}}]);
    let open = json!({
        "tier": "rig-a", "selector": "rig == 'api'", "types": ["Ingress", "Egress"], "ingress": [{"action": "Allow"}],
        "egress": [{"action": "Allow"}], "doNotTrack": true, "applyOnForward": true,
    });
    // Rules that only their text is there for.
    let texts = |mut spec: serde_json::Value| {
        spec["tier"] = json!("rig-a");
        spec["selector"] = json!("rig == 'sync'");
        spec["types"] = json!(["Ingress"]);
        spec["ingress"] = json!([
            {"action": "Log", "protocol": NEVER, "source": {"nets": [source]}},
            {"action": "Log", "protocol": NEVER, "source": {"nets": [source6]}},
        ]);
        spec
    };
    // The deny at the end of the first policy reaches this packet only if its tier is the first.
    let order = if generation.is_multiple_of(2) { -3_000_000_000_i64 } else { -1_000_000_000 };
    let selector = format!("rig == 'sync' && generation == '{number}'");
    let endpoint = |interface: &str| json!({"node": node, "interfaceName": interface});
    let objects = [
        own("Tier", "rig-a", json!({}), json!({"order": order, "defaultAction": "Pass"})),
        own("Tier", "rig-b", json!({}), json!({"order": -2_000_000_000_i64, "defaultAction": "Pass"})),
        own("GlobalNetworkSet", "rig", json!({"rig-set": number}), json!({"nets": [source]})),
        own("GlobalNetworkPolicy", "rig-a.api", json!({}), open),
        own("GlobalNetworkPolicy", "rig-a.endpoint", json!({}), untracked("rig-a", 1, &selector, by_endpoint)),
        own("GlobalNetworkPolicy", "rig-a.policy", json!({}), untracked("rig-a", 2, "rig == 'sync'", by_policy)),
        own("GlobalNetworkPolicy", "rig-a.text", json!({}), texts(json!({"preDNAT": false}))),
        own(
            "GlobalNetworkPolicy",
            "rig-a.text-pre",
            json!({}),
            texts(json!({"preDNAT": true, "applyOnForward": true})),
        ),
        own(
            "GlobalNetworkPolicy",
            "rig-b.tier",
            json!({}),
            untracked("rig-b", 1, "rig == 'sync'", json!([{"action": "Allow", "protocol": BY_TIER}])),
        ),
        own("HostEndpoint", "rig-api", json!({"rig": "api"}), endpoint(API_INTERFACE)),
        own("HostEndpoint", "rig-sync", json!({"rig": "sync", "generation": number}), endpoint(INTERFACE)),
    ];
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "rig", "labels": {super::objects::OWN: "yes", "kubernetes.io/service-name": "rig"}},
        "endpoints": [{"addresses": [self::source(generation)]}], "ports": [],
    });
    let slice = Request {
        method: "PATCH",
        path: "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/rig?fieldManager=rig&force=true".to_owned(),
        body: slice,
    };
    objects.into_iter().flatten().chain([slice]).collect()
}

/// The packets, and which of them get through when all marks are in force.
pub(super) fn packets(generation: u16) -> (Vec<CasePacket>, Vec<bool>) {
    let packet = |proto: u8| CasePacket {
        dir: Direction::In,
        iface: INTERFACE.to_owned(),
        out_iface: String::new(),
        src: IpAddr::V4(source(generation)),
        dst: IpAddr::V4(ADDRESS),
        proto,
        sport: 0,
        dport: 0,
        icmp_type: 0,
        icmp_code: 0,
    };
    let packets = [BY_POLICY, BY_ENDPOINT, BY_SLICE, BY_TIER, NEVER].map(packet);
    (packets.to_vec(), vec![true, true, true, !generation.is_multiple_of(2), false])
}

/// What is in each table when all marks are in force.
pub(super) fn rules(generation: u16, dataplane: Dataplane) -> BTreeMap<&'static str, String> {
    let tables: &[(&str, bool)] = match dataplane {
        Dataplane::Nftables => &[("ip calico", false), ("ip6 calico", true)],
        Dataplane::Iptables | Dataplane::Bpf => &[
            ("ip raw", false),
            ("ip mangle", false),
            ("ip filter", false),
            ("ip6 raw", true),
            ("ip6 mangle", true),
            ("ip6 filter", true),
        ],
    };
    let address = |six| if six { IpAddr::V6(source6(generation)) } else { IpAddr::V4(source(generation)) };
    tables.iter().map(|&(table, six)| (table, format!("saddr {} ", address(six)))).collect()
}

fn source6(generation: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, generation)
}

fn source(generation: u16) -> Ipv4Addr {
    let [high, low] = generation.to_be_bytes();
    Ipv4Addr::new(198, 18, high, low)
}
