//! The formats.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::packet::{Direction, Packet, Transport, protocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A case.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// Which one.
    pub id: String,
    /// Keys of `cilium-config`.
    pub config: BTreeMap<String, Value>,
    /// The node whose host endpoint is asked.
    pub node: String,
    /// Nodes.
    pub nodes: Vec<CaseNode>,
    /// Addresses behind the service `default/kubernetes`.
    #[serde(rename = "kubeAPIServers")]
    pub kube_api_servers: Vec<IpAddr>,
    /// Pods.
    pub pods: Vec<CasePod>,
    /// CiliumCIDRGroups.
    pub cidr_groups: Vec<Value>,
    /// CiliumClusterwideNetworkPolicies.
    pub policies: Vec<Value>,
    /// The policies as they were before an update. Of one whose new version is refused the old one stays in force.
    #[serde(default)]
    pub previous: Vec<Value>,
    /// Packets.
    pub packets: Vec<CasePacket>,
    /// What a hand-made case says. Such a case was given to the agent without an API server.
    #[serde(default)]
    pub says: Option<String>,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseNode {
    pub(super) name: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default, rename = "internalIPs")]
    pub(super) internal_ips: Vec<IpAddr>,
    #[serde(default, rename = "externalIPs")]
    pub(super) external_ips: Vec<IpAddr>,
    #[serde(default, rename = "ciliumInternalIP")]
    pub(super) cilium_internal_ip: Option<IpAddr>,
    #[serde(default, rename = "healthIP")]
    pub(super) health_ip: Option<IpAddr>,
    #[serde(default, rename = "ingressIP")]
    pub(super) ingress_ip: Option<IpAddr>,
    #[serde(default, rename = "podCIDRs")]
    pub(super) pod_cidrs: Vec<String>,
    #[serde(default)]
    pub(super) cluster: String,
}

/// A pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CasePod {
    pub(super) ip: IpAddr,
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) node: String,
    #[serde(default)]
    pub(super) named_ports: Vec<CasePort>,
    #[serde(default)]
    pub(super) namespace_labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) service_account: String,
    #[serde(default)]
    pub(super) unmanaged: bool,
    #[serde(default)]
    pub(super) cluster: String,
}

/// A named port.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CasePort {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) protocol: String,
}

/// A packet, by its peer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CasePacket {
    dir: String,
    pub(super) peer: IpAddr,
    proto: String,
    #[serde(default)]
    dport: u16,
    #[serde(default)]
    icmp_type: u8,
}

/// What an engine says about a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Which case.
    pub id: String,
    /// `allow`, `deny`, or `unsupported` where the peer's family is off; one per packet.
    pub verdicts: Vec<String>,
    /// Objects that are not applied, by name.
    pub invalid: Vec<Refused>,
    /// Identities of the peers, as number and labels.
    pub identities: BTreeMap<String, String>,
    /// Whether some rule turns on default deny.
    pub default_deny: Directions,
    /// Whether policy is enforced.
    pub enforced: Directions,
    /// Labels by which host policies select the node.
    pub host_labels: Vec<String>,
}

/// Something by direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directions {
    /// To the host.
    pub ingress: bool,
    /// From the host.
    pub egress: bool,
}

/// An object that is not applied. Compared by name and stage: upstream's texts are random in one place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Name.
    pub name: String,
    /// `schema`, `decode` or `sanitize`.
    pub stage: String,
    /// Why.
    pub error: String,
}

impl PartialEq for Refused {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.stage == other.stage
    }
}

impl Case {
    /// Settings as `cilium-config` would hold them. The recorder turns the host firewall on where the case does not
    /// say.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut settings: BTreeMap<String, String> =
            self.config.iter().map(|(key, value)| (key.clone(), text(value))).collect();
        settings.entry("enable-host-firewall".to_owned()).or_insert_with(|| "true".to_owned());
        settings
    }

    /// Whether its objects reach the agent without an API server.
    pub(super) fn is_raw(&self) -> bool {
        self.says.is_some()
    }
}

impl CasePacket {
    pub(super) fn direction(&self) -> Result<Direction, String> {
        match self.dir.as_str() {
            "ingress" => Ok(Direction::Ingress),
            "egress" => Ok(Direction::Egress),
            other => Err(format!("`{other}` is not a direction")),
        }
    }

    /// The packet. The address of the host does not matter to policy, so it is the unspecified one.
    pub(super) fn packet(&self, direction: Direction) -> Result<Packet, String> {
        let ports = |protocol| Transport::Ports { protocol, source: 40_000, destination: self.dport };
        let transport = match self.proto.as_str() {
            "TCP" => ports(protocol::TCP),
            "UDP" => ports(protocol::UDP),
            "SCTP" => ports(protocol::SCTP),
            "ICMP" | "ICMPv6" => Transport::Icmp { kind: self.icmp_type, code: 0 },
            "IGMP" => Transport::Other(2),
            "IPIP" => Transport::Other(4),
            "IPV6" => Transport::Other(41),
            "GRE" => Transport::Other(47),
            "ESP" => Transport::Other(50),
            "AH" => Transport::Other(51),
            "VRRP" => Transport::Other(112),
            other => return Err(format!("`{other}` is not a protocol of a case")),
        };
        let host = match self.peer {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let (source, destination) = if direction == Direction::Ingress { (self.peer, host) } else { (host, self.peer) };
        Packet::new(source, destination, transport).map_err(|error| error.to_string())
    }
}
