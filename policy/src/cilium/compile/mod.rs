//! From a snapshot to rules and identities: objects are typed, checked as the API server and the agent check them, and
//! resolved. Nothing of an object that fails is applied.

mod element;
mod enforcement;
mod model;
mod node_port;
mod number;
mod ports;
mod refusal;
mod schema;
mod take;

pub use enforcement::Enforced;
pub(crate) use model::index;
pub use model::{Condition, Element, Peers, Port, Ports, Rule};
pub(crate) use node_port::NodePort;
pub use refusal::{Refusal, Stage, Unknown};

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::api::CiliumCidrGroupSpec;
use super::identity::{Ipcache, Members, View};
use super::selector::Selector;
use super::settings::{SettingError, Settings};
use super::version::Version;
use crate::object;
use crate::packet::Direction;
use crate::snapshot::{Key, Snapshot};

/// API group of Cilium's objects.
const GROUP: &str = "cilium.io";

/// How a snapshot is taken.
#[derive(Clone, Copy, Debug)]
pub struct Options<'s> {
    /// The state before, whose version of an object goes on being enforced where the new one is refused.
    pub previous: Option<&'s Snapshot>,
    /// Whether objects went through the API server. Those on a node's disk (`static-cnp-path`) did not.
    pub schema: bool,
    /// Version of the agents, where it is known otherwise than from their image.
    pub version: Option<Version>,
    /// Settings that go before those of the snapshot, by their keys in `cilium-config`.
    pub stated: &'s BTreeMap<String, String>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        Self { previous: None, schema: true, version: None, stated: &NONE }
    }
}

/// What the agents of a cluster enforce.
#[derive(Clone, Debug)]
pub struct State {
    /// Configuration of the agents.
    pub settings: Settings,
    /// Settings that the agents do not take.
    pub setting_errors: Vec<SettingError>,
    /// Rules for hosts, in the order of their objects.
    pub rules: Vec<Rule>,
    /// Objects that are not applied, in the order of their keys.
    pub refused: Vec<Refusal>,
    /// What a verdict may depend on and is not known.
    pub unknown: Vec<Unknown>,
    ipcache: Ipcache,
    node_ports: Vec<NodePort>,
}

impl State {
    /// Compiles a snapshot.
    pub fn compile(snapshot: &Snapshot, options: Options<'_>) -> Self {
        let (settings, setting_errors) = Settings::read(&snapshot.cluster, options.stated, options.version);
        let members = Members::read(snapshot, &settings);
        let mut unknown: Vec<Unknown> =
            members.unknown.iter().map(|what| Unknown::of("CiliumNode", "", what)).collect();
        unknown.extend(settings_unknown(&settings));
        let mut taken = take::Taken::default();
        if settings.clusterwide.value {
            take::policies(snapshot, "CiliumClusterwideNetworkPolicy", &settings, options, &mut taken);
        }
        // Their prefixes are in the ipcache as well, though they are never for hosts.
        take::policies(snapshot, "CiliumNetworkPolicy", &settings, options, &mut taken);
        unknown.append(&mut taken.unknown);
        unknown.extend(taken.modes_differ());
        let groups = groups(snapshot, &mut taken.refused, &mut unknown);
        let ipcache = Ipcache::build(Arc::new(members), &settings, taken.prefixes, &groups);
        for manifest in snapshot.of(GROUP, "CiliumNodeConfig") {
            unknown.push(Unknown::of(&manifest.key.to_string(), "spec", "settings of single nodes are not read"));
        }
        taken.refused.sort_by(|one, other| one.key.cmp(&other.key));
        let mut state = Self {
            settings,
            setting_errors,
            rules: taken.rules,
            refused: taken.refused,
            unknown,
            ipcache,
            node_ports: node_port::read(&snapshot.cluster),
        };
        let led = node_port::unknown(&state);
        state.unknown.extend(led);
        let ambiguous = state.ambiguous_names();
        state.unknown.extend(ambiguous);
        if taken.group_of_everyone {
            let named = state.names_of_everyone();
            state.unknown.extend(named);
        }
        state
    }

    /// Named ports that a rule uses and that pods with equal labels have with different numbers.
    fn ambiguous_names(&self) -> Vec<Unknown> {
        let mut unknown = Vec::new();
        for rule in &self.rules {
            for element in rule.of(Direction::Egress) {
                let ports = element.ports.iter().flatten();
                let mut names = ports.filter_map(|port| match &port.ports {
                    Ports::Named(name) => Some(name),
                    Ports::All | Ports::Range(..) => None,
                });
                if let Some(name) = names.find(|name| self.ipcache.ports().is_ambiguous(name)) {
                    let what = format!("pods with equal labels have different ports named {name}");
                    unknown.push(Unknown::of(&rule.key.to_string(), &element.path, &what));
                }
            }
        }
        unknown
    }

    /// Named ports of everyone, beside an empty `cidrGroupSelector`. The two selectors share a key in the agent's cache, and
    /// whichever comes first decides for both whose ports are looked up
    /// (cilium/cilium:pkg/policy/selectorcache.go, `addSelectorLocked`; l4.go, `toMapState`).
    fn names_of_everyone(&self) -> Vec<Unknown> {
        let elements =
            self.rules.iter().flat_map(|rule| rule.of(Direction::Egress).map(move |element| (rule, element)));
        let named = elements.filter(|(_, element)| {
            let everyone = matches!(&element.peers, Peers::Some(all) if all.contains(&Selector::Everyone));
            everyone && element.ports.iter().flatten().any(|port| matches!(port.ports, Ports::Named(_)))
        });
        let what =
            "whose named ports are meant depends on the order in which the agent meets an empty cidrGroupSelector";
        named.map(|(rule, element)| Unknown::of(&rule.key.to_string(), &element.path, what)).collect()
    }

    /// Names of the nodes, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.ipcache.nodes()
    }

    pub(crate) fn node_ports(&self) -> &[NodePort] {
        &self.node_ports
    }

    /// What a node's agent sees of its peers.
    pub fn view(&self, node: &str) -> View<'_> {
        self.ipcache.view(node)
    }
}

impl Unknown {
    fn of(object: &str, path: &str, what: &str) -> Self {
        Self { object: object.to_owned(), path: path.to_owned(), what: what.to_owned() }
    }
}

/// Settings under which a verdict is not known.
fn settings_unknown(settings: &Settings) -> Vec<Unknown> {
    let mut unknown = Vec::new();
    let mut add = |key: &str, what: &str| unknown.push(Unknown::of("cilium-config", key, what));
    if !settings.version.value.is_supported() {
        add("version", &format!("the semantics of {} are not known", settings.version.value));
    }
    if !settings.label_prefix_file.value.is_empty() {
        add("label-prefix-file", "the file on the nodes is not read");
    }
    if !settings.static_policies.value.is_empty() {
        add("static-cnp-path", "policies on the nodes' disks are not read");
    }
    if settings.ipsec.value && settings.host_firewall.value {
        add("enable-ipsec", "the agent does not start with IPsec and the host firewall");
    }
    unknown
}

/// Groups and their prefixes; the agent passes over a prefix that is none.
fn groups(snapshot: &Snapshot, refused: &mut Vec<Refusal>, unknown: &mut Vec<Unknown>) -> Vec<super::identity::Group> {
    let mut groups = Vec::new();
    for manifest in snapshot.of(GROUP, "CiliumCIDRGroup") {
        let spec = manifest.value.get("spec").cloned().unwrap_or(Value::Null);
        let parsed = match object::parse::<CiliumCidrGroupSpec>(&spec) {
            Ok(parsed) => parsed,
            Err(error) => {
                let path = format!("spec.{}", error.path);
                let reason = error.message;
                let key = manifest.key.clone();
                refused.push(Refusal { key, stage: Stage::Decode, path, reason, keeps_previous: false });
                continue;
            }
        };
        for path in &parsed.unknown {
            unknown.push(Unknown::of(&manifest.key.to_string(), &format!("spec.{path}"), "no such field is known"));
        }
        let prefixes: Vec<IpNet> =
            parsed.object.external_cidrs.iter().filter_map(|text| number::prefix(text)).collect();
        groups.push((manifest.key.name.clone(), labels(&manifest.value), prefixes));
    }
    groups
}

/// `metadata.labels`.
fn labels(value: &Value) -> BTreeMap<String, String> {
    let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
    let texts = labels.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    texts.collect()
}

/// What rules are checked and resolved against.
pub(super) struct Context<'c> {
    pub(super) settings: &'c Settings,
    snapshot: &'c Snapshot,
    key: &'c Key,
    unknown: Vec<Unknown>,
    /// Some `cidrGroupSelector` is empty.
    group_of_everyone: bool,
}

impl<'c> Context<'c> {
    fn new(settings: &'c Settings, snapshot: &'c Snapshot, key: &'c Key) -> Self {
        Self { settings, snapshot, key, unknown: Vec::new(), group_of_everyone: false }
    }

    fn unknown(&mut self, path: &str, what: &str) {
        self.unknown.push(Unknown::of(&self.key.to_string(), path, what));
    }

    /// Whether an entry of `toServices` names a service that exists.
    fn has_service(&self, entry: &Value) -> bool {
        let text = |path: &str| entry.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let services = &self.snapshot.cluster.services;
        let (name, namespace) = (text("/k8sService/serviceName"), text("/k8sService/namespace"));
        if !name.is_empty() {
            return services
                .iter()
                .any(|service| service.name == name && (namespace.is_empty() || service.namespace == namespace));
        }
        // By label: a snapshot holds no labels of services, so any could be meant.
        entry.get("k8sServiceSelector").is_some() && !services.is_empty()
    }
}
