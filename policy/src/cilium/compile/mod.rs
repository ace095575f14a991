//! From a snapshot to rules and identities: objects are typed, checked as the API server and the agent check them, and
//! resolved. Nothing of an object that fails is applied.

mod element;
mod enforcement;
mod limits;
mod model;
mod names;
mod node_port;
mod number;
mod open;
mod parts;
mod ports;
mod refusal;
mod schema;
mod selected;
mod settled;
mod swap;
mod take;

pub use enforcement::Enforced;
pub(crate) use model::index;
pub use model::{Condition, Element, Peers, Port, Ports, Rule};
pub(crate) use node_port::NodePort;
pub(crate) use open::Open;
pub(super) use parts::{Memory, Parts};
pub use refusal::{Refusal, Stage, Unknown};
pub(super) use swap::Swap;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::Value;

use super::api::CiliumCidrGroupSpec;
use super::identity::{Ipcache, View};
use super::settings::{SettingError, Settings};
use super::version::Version;
use crate::object;
use crate::packet::Direction;
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Key, Snapshot};
use parts::Groups;
use selected::Selected;

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
    pub settings: Arc<Settings>,
    /// Settings that the agents do not take.
    pub setting_errors: Vec<SettingError>,
    /// Rules for hosts, in the order of their objects.
    pub rules: Vec<Arc<Rule>>,
    /// Objects that are not applied, in the order of their keys.
    pub refused: Vec<Refusal>,
    /// What a verdict may depend on and is not known.
    pub unknown: Vec<Unknown>,
    ipcache: Arc<Ipcache>,
    node_ports: Arc<Vec<NodePort>>,
    selected: Selected,
    group_of_everyone: bool,
}

impl State {
    /// Compiles a snapshot.
    pub fn compile(snapshot: &Snapshot, options: Options<'_>) -> Self {
        Parts::new(snapshot, options, None, &mut Memory::default()).1
    }

    /// Named ports that rules use and that pods with equal labels have with different numbers.
    fn ambiguous_names(&self, rules: &[Arc<Rule>]) -> Vec<Unknown> {
        let mut unknown = Vec::new();
        for rule in rules {
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

    /// Names of the nodes, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.ipcache.nodes()
    }

    pub(crate) fn node_ports(&self) -> &[NodePort] {
        &self.node_ports
    }

    /// Rules for one node as its agent has them once it has met them all.
    pub(super) fn as_met(&self, rules: Vec<Arc<Rule>>) -> Vec<Arc<Rule>> {
        names::as_met(rules, self.group_of_everyone, &self.settings)
    }

    pub(super) fn ipcache(&self) -> &Arc<Ipcache> {
        &self.ipcache
    }

    /// What a node's agent sees of its peers.
    pub fn view(&self, node: &str) -> View<'_> {
        self.ipcache.view(node)
    }
}

impl Unknown {
    fn of(object: &str, path: &str, what: &str) -> Self {
        Self { object: object.to_owned(), path: path.to_owned(), what: what.to_owned(), is_open: false }
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
fn groups(snapshot: &Snapshot) -> Groups {
    let mut found = Groups::default();
    for manifest in snapshot.of(CILIUM, "CiliumCIDRGroup") {
        let spec = manifest.value.get("spec").cloned().unwrap_or(Value::Null);
        let parsed = match object::parse::<CiliumCidrGroupSpec>(&spec) {
            Ok(parsed) => parsed,
            Err(error) => {
                let path = format!("spec.{}", error.path);
                let reason = error.message;
                let key = manifest.key.clone();
                found.refused.push(Refusal { key, stage: Stage::Decode, path, reason, keeps_previous: false });
                continue;
            }
        };
        for path in &parsed.unknown {
            let path = format!("spec.{path}");
            found.unknown.push(Unknown::of(&manifest.key.to_string(), &path, "no such field is known"));
        }
        if let Some(what) = object::excess(parsed.object.external_cidrs.len(), object::MAX_ENTRIES) {
            found.unknown.push(Unknown::of(&manifest.key.to_string(), "spec.externalCIDRs", &what));
            continue;
        }
        let prefixes: Vec<IpNet> =
            parsed.object.external_cidrs.iter().filter_map(|text| number::prefix(text)).collect();
        found.groups.push((manifest.key.name.clone(), labels(&manifest.value), prefixes));
    }
    found
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
    /// The same of rules for pods, where it bears on those for hosts.
    shared: Vec<Unknown>,
    /// Some `cidrGroupSelector` is empty.
    group_of_everyone: bool,
}

impl<'c> Context<'c> {
    fn new(settings: &'c Settings, snapshot: &'c Snapshot, key: &'c Key) -> Self {
        Self { settings, snapshot, key, unknown: Vec::new(), shared: Vec::new(), group_of_everyone: false }
    }

    fn unknown(&mut self, path: &str, what: &str) {
        self.unknown.push(Unknown::of(&self.key.to_string(), path, what));
    }

    fn shared(&mut self, path: &str, what: &str) {
        self.shared.push(Unknown::of(&self.key.to_string(), path, what));
    }

    /// Who else the peers of an element are is not known.
    fn open(&mut self, path: &str, what: &str) {
        self.unknown.push(Unknown { is_open: true, ..Unknown::of(&self.key.to_string(), path, what) });
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
