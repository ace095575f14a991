//! Reading the settings of a node.

use serde_json::Value;

use super::failsafe::{self, FailsafePort};
use super::sources::{Found, Parameter, Sources};
use super::{Dataplane, INBOUND, OUTBOUND, Pattern, Provenance, Settings, Sourced, ToHost};
use crate::calico::address;
use crate::calico::version::Version;
use crate::snapshot::Snapshot;
use crate::snapshot::sources::CALICO;

/// Interfaces that eBPF programs are attached to (projectcalico/calico:felix/config/config_params.go).
const BPF_DATA_INTERFACES: &str = "^((en|wl|ww|sl|ib)[Popsx].*|(eth|wlan|wwan|bond).*)";

/// Settings of a node; `None` is any node without a FelixConfiguration of its own. `dataplane` beats every source.
pub fn read(snapshot: &Snapshot, node: Option<&str>, version: Version, dataplane: Option<Dataplane>) -> Settings {
    let mut reader = Reader { sources: Sources::of(snapshot, node), fatal: Vec::new(), unknown: Vec::new() };
    let pools = Pools::of(snapshot);
    let dataplane = reader.dataplane(snapshot, version, dataplane);
    let failsafe_inbound = reader.failsafe("FailsafeInboundHostPorts", "failsafeInboundHostPorts", &INBOUND);
    let failsafe_outbound = reader.failsafe("FailsafeOutboundHostPorts", "failsafeOutboundHostPorts", &OUTBOUND);
    let to_host = reader.or("DefaultEndpointToHostAction", "defaultEndpointToHostAction", ToHost::Drop, to_host);
    let workload_prefixes = reader.or("InterfacePrefix", "interfacePrefix", vec!["cali".to_owned()], names);
    let excluded = reader.or("InterfaceExclude", "interfaceExclude", vec![Pattern::name("kube-ipvs0")], patterns);
    let drop_invalid = reader
        .or("DisableConntrackInvalidCheck", "disableConntrackInvalidCheck", false, boolean)
        .map(|disabled| !disabled);
    let ipip = reader.derived("IpInIpEnabled", "ipipEnabled", pools.ipip);
    let vxlan = reader.derived("VXLANEnabled", "vxlanEnabled", pools.vxlan);
    // No setting reaches VXLAN over IPv6; the pools alone decide.
    let vxlan_v6 = Sourced { value: pools.vxlan_v6, from: Provenance::Derived("IPPools".to_owned()) };
    let settings = Settings {
        dataplane,
        failsafe_inbound,
        failsafe_outbound,
        to_host,
        workload_prefixes,
        excluded,
        drop_invalid,
        ipip,
        vxlan,
        vxlan_v6,
        vxlan_port: reader.or("VXLANPort", "vxlanPort", 4789, port),
        wireguard: reader.or("WireguardEnabled", "wireguardEnabled", false, boolean),
        wireguard_port: reader.or("WireguardListeningPort", "wireguardListeningPort", 51820, port),
        wireguard_v6: reader.or("WireguardEnabledV6", "wireguardEnabledV6", false, boolean),
        wireguard_port_v6: reader.or("WireguardListeningPortV6", "wireguardListeningPortV6", 51821, port),
        external_nodes: reader.or("ExternalNodesCIDRList", "externalNodesList", Vec::new(), prefixes),
        bpf_data_interfaces: reader.or("BPFDataIfacePattern", "bpfDataIfacePattern", data_interfaces(), pattern),
        bpf_l3_interfaces: reader.or("BPFL3IfacePattern", "bpfL3IfacePattern", None, |found| pattern(found).map(Some)),
        fatal: Vec::new(),
        unknown: Vec::new(),
    };
    reader.note_surroundings(snapshot);
    let Reader { fatal, unknown, .. } = reader;
    Settings { fatal, unknown, ..settings }
}

struct Reader<'s> {
    sources: Sources<'s>,
    fatal: Vec<String>,
    unknown: Vec<String>,
}

impl Reader<'_> {
    /// A parameter, or its built-in value. Felix falls back to that on a value it cannot read.
    fn or<T>(
        &mut self,
        name: &'static str,
        field: &'static str,
        default: T,
        read: impl Fn(&Found<'_>) -> Option<T>,
    ) -> Sourced<T> {
        let parameter = Parameter { name, field };
        if self.sources.is_hidden(parameter) {
            self.unknown.push(format!("environment variable FELIX_{name} of calico-node, whose value is elsewhere"));
        }
        let Some((found, from)) = self.sources.find(parameter) else {
            return Sourced { value: default, from: Provenance::Default };
        };
        match read(&found) {
            Some(value) => Sourced { value, from },
            None => {
                self.unknown.push(format!("{from}: a value that is not understood"));
                Sourced { value: default, from: Provenance::Default }
            }
        }
    }

    /// A switch that IP pools decide where nothing sets it
    /// (projectcalico/calico:felix/calc/encapsulation_resolver.go).
    fn derived(&mut self, name: &'static str, field: &'static str, pools: bool) -> Sourced<bool> {
        let set = self.or(name, field, None, |found| boolean(found).map(Some));
        match set.value {
            Some(value) => Sourced { value, from: set.from },
            None => Sourced { value: pools, from: Provenance::Derived("IPPools".to_owned()) },
        }
    }

    fn failsafe(
        &mut self,
        name: &'static str,
        field: &'static str,
        default: &[FailsafePort],
    ) -> Sourced<Vec<FailsafePort>> {
        let built_in = || Sourced { value: default.to_vec(), from: Provenance::Default };
        let parameter = Parameter { name, field };
        if self.sources.is_hidden(parameter) {
            self.unknown.push(format!("environment variable FELIX_{name} of calico-node, whose value is elsewhere"));
        }
        let Some((found, from)) = self.sources.find(parameter) else {
            return built_in();
        };
        let ports = match found {
            Found::Text(text) => failsafe::list(text),
            Found::Field(Value::Array(entries)) => entries.iter().map(entry).collect(),
            Found::Field(other) => Err(failsafe::FailsafeError::Form(other.to_string())),
        };
        match ports {
            Ok(value) => Sourced { value, from },
            Err(error) => {
                self.fatal.push(format!("{from}: {error}"));
                built_in()
            }
        }
    }

    /// What lets others than Calico decide about a packet, or sends it another way.
    fn note_surroundings(&mut self, snapshot: &Snapshot) {
        let is = |wanted: &'static str| move |found: &Found<'_>| Some(text(found)?.eq_ignore_ascii_case(wanted));
        for (name, field, wanted, reason) in [
            ("ChainInsertMode", "chainInsertMode", "append", "rules of others come before Calico's"),
            ("IptablesFilterAllowAction", "iptablesFilterAllowAction", "return", "rules of others follow an accept"),
            ("NftablesFilterAllowAction", "nftablesFilterAllowAction", "return", "rules of others follow an accept"),
        ] {
            let setting = self.or(name, field, false, is(wanted));
            if setting.value {
                self.unknown.push(format!("{}: {reason}", setting.from));
            }
        }
        if kube_proxy_mode(snapshot) == Some("ipvs") {
            let reason = "ConfigMap kube-proxy: IPVS sends service traffic through INPUT and OUTPUT";
            self.unknown.push(reason.to_owned());
        }
    }

    /// `NFTablesMode: Auto`, the built-in value from 3.32, follows kube-proxy; before, it is `Disabled`
    /// (projectcalico/calico:felix/config/config_params.go).
    fn dataplane(&mut self, snapshot: &Snapshot, version: Version, given: Option<Dataplane>) -> Sourced<Dataplane> {
        if let Some(value) = given {
            return Sourced { value, from: Provenance::Given };
        }
        let bpf = self.or("BPFEnabled", "bpfEnabled", false, boolean);
        if bpf.value {
            return Sourced { value: Dataplane::Bpf, from: bpf.from };
        }
        let built_in = if version.plain_names() { None } else { Some(Dataplane::Iptables) };
        let mode =
            self.or("NFTablesMode", "nftablesMode", built_in, |found| match text(found)?.to_lowercase().as_str() {
                "enabled" => Some(Some(Dataplane::Nftables)),
                "disabled" => Some(Some(Dataplane::Iptables)),
                "auto" => Some(None),
                _ => None,
            });
        if let Some(value) = mode.value {
            return Sourced { value, from: mode.from };
        }
        if kube_proxy_mode(snapshot) == Some("nftables") {
            let reason = "kube-proxy runs on nftables".to_owned();
            return Sourced { value: Dataplane::Nftables, from: Provenance::Derived(reason) };
        }
        Sourced { value: Dataplane::Iptables, from: Provenance::Default }
    }
}

/// Mode of kube-proxy, as its ConfigMap has it.
fn kube_proxy_mode(snapshot: &Snapshot) -> Option<&str> {
    let map = snapshot.cluster.config_maps.iter().find(|map| map.name == "kube-proxy")?;
    let mode = map.data.get("config.conf")?.lines().find_map(|line| line.trim().strip_prefix("mode:"))?;
    Some(mode.trim().trim_matches(['"', '\'']))
}

impl<T> Sourced<T> {
    fn map<U>(self, map: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: map(self.value), from: self.from }
    }
}

fn entry(value: &Value) -> Result<FailsafePort, failsafe::FailsafeError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let port = value.get("port").unwrap_or(&Value::Null);
    let number = port.as_i64().or_else(|| port.is_null().then_some(0));
    let number = number.ok_or_else(|| failsafe::FailsafeError::Port(port.to_string()))?;
    failsafe::port(text("protocol").unwrap_or_default(), number, text("net"))
}

fn text<'f>(found: &Found<'f>) -> Option<&'f str> {
    match found {
        Found::Text(text) => Some(text),
        Found::Field(value) => value.as_str(),
    }
}

fn boolean(found: &Found<'_>) -> Option<bool> {
    if let Found::Field(Value::Bool(value)) = found {
        return Some(*value);
    }
    match text(found)?.to_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "n" | "f" => Some(false),
        _ => None,
    }
}

fn port(found: &Found<'_>) -> Option<u16> {
    match found {
        Found::Text(text) => text.parse().ok(),
        Found::Field(value) => u16::try_from(value.as_u64()?).ok(),
    }
}

fn to_host(found: &Found<'_>) -> Option<ToHost> {
    match text(found)?.to_lowercase().as_str() {
        "drop" => Some(ToHost::Drop),
        "accept" => Some(ToHost::Accept),
        "return" => Some(ToHost::Return),
        _ => None,
    }
}

fn names(found: &Found<'_>) -> Option<Vec<String>> {
    Some(text(found)?.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect())
}

fn patterns(found: &Found<'_>) -> Option<Vec<Pattern>> {
    names(found)?
        .iter()
        .map(|name| match name.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
            Some(regex) => Pattern::regex(regex),
            None => Some(Pattern::name(name)),
        })
        .collect()
}

fn pattern(found: &Found<'_>) -> Option<Pattern> {
    Pattern::regex(text(found)?)
}

fn data_interfaces() -> Pattern {
    // A constant expression that the tests of this module read.
    Pattern::regex(BPF_DATA_INTERFACES).unwrap_or_else(|| Pattern::name(BPF_DATA_INTERFACES))
}

fn prefixes(found: &Found<'_>) -> Option<Vec<String>> {
    let texts: Vec<String> = match found {
        Found::Field(Value::Array(values)) => {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => names(found)?,
    };
    texts.iter().all(|text| address::prefix_or_address(text).is_some()).then_some(texts)
}

/// What the IP pools ask of the overlay.
struct Pools {
    ipip: bool,
    vxlan: bool,
    vxlan_v6: bool,
}

impl Pools {
    fn of(snapshot: &Snapshot) -> Self {
        let mut pools = Self { ipip: false, vxlan: false, vxlan_v6: false };
        for manifest in CALICO.into_iter().flat_map(|group| snapshot.of(group, "IPPool")) {
            let field = |name: &str| manifest.value.pointer("/spec")?.get(name)?.as_str();
            let on = |name: &str| field(name).is_some_and(|mode| !mode.is_empty() && mode != "Never");
            let v6 = field("cidr").is_some_and(|cidr| cidr.contains(':'));
            pools.ipip |= on("ipipMode");
            pools.vxlan |= !v6 && on("vxlanMode");
            pools.vxlan_v6 |= v6 && on("vxlanMode");
        }
        pools
    }
}
