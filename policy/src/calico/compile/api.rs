//! What the API refuses (projectcalico/calico:libcalico-go/lib/validator/v3/validator.go).
//!
//! Objects of `projectcalico.org/v3` pass this before they are stored. What is written to `crd.projectcalico.org/v1`
//! does not.

use std::fmt::Display;

use super::decode::{Decoded, EndpointSpec, Metadata, PolicySpec, ProfileSpec, SetSpec, TierSpec};
use super::names;
use crate::calico::address;
use crate::calico::selector::{Selector, SelectorError};
use crate::object::excess;

pub(super) mod rule;

/// Why a field is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) reason: String,
    /// Whether this engine, and not Calico, refuses.
    pub(super) limit: bool,
}

/// Faults of one object.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, path: impl Display, reason: impl Display) {
        self.0.push(Fault { path: path.to_string(), reason: reason.to_string(), limit: false });
    }

    /// Adds a fault unless `good`. Only then are the texts written, which most objects never need.
    pub(super) fn check(&mut self, good: bool, path: impl Display, reason: impl Display) {
        if !good {
            self.add(path, reason);
        }
    }

    /// Adds a fault unless a list is short enough for this engine.
    pub(super) fn limit(&mut self, length: usize, most: usize, path: impl Display) {
        if let Some(reason) = excess(length, most) {
            self.0.push(Fault { path: path.to_string(), reason, limit: true });
        }
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.0.append(&mut more.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a selector; absent where it is faulty.
    pub(super) fn selector(&mut self, text: &str, path: impl Display) -> Option<Selector> {
        let result: Result<Selector, SelectorError> = text.parse();
        match result {
            Ok(selector) => Some(selector),
            Err(error) => {
                self.0.push(Fault { path: path.to_string(), reason: error.to_string(), limit: error.is_limit() });
                None
            }
        }
    }

    pub(super) fn into_result(self) -> Result<(), Vec<Fault>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// Policy, staged or not. The tier is looked for elsewhere.
pub(super) fn policy(object: &Decoded<PolicySpec>, tiered_names: bool) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    let (name, spec) = (&object.metadata.name, &object.spec);
    faults.check(names::is_policy(name) && name.len() <= 253, "metadata.name", "a policy's name is a label, or two");
    metadata(&mut faults, &object.metadata);
    faults.check(spec.tier.is_empty() || names::is_subdomain(&spec.tier), "spec.tier", "not a name");
    let tier = if spec.tier.is_empty() { "default" } else { &spec.tier };
    let prefix = name.split_once('.').map(|(prefix, _)| prefix);
    let fits = prefix.map_or(tier == "default", |prefix| prefix == tier);
    faults.check(!tiered_names || fits, "metadata.name", format_args!("up to 3.31 the name must begin with `{tier}.`"));
    for (path, text) in [
        ("spec.selector", &spec.selector),
        ("spec.serviceAccountSelector", &spec.service_account_selector),
        ("spec.namespaceSelector", &spec.namespace_selector),
    ] {
        faults.selector(text, path);
        faults.check(!text.contains("global()"), path, "global() is for a rule's namespaceSelector");
    }
    let action = spec.staged_action.as_str();
    let known = matches!(action, "" | "Set" | "Delete" | "Learn" | "Ignore");
    faults.check(known, "spec.stagedAction", "not an action of a staged policy");
    flags(&mut faults, spec);
    types(&mut faults, spec);
    hints(&mut faults, &spec.performance_hints);
    for (direction, rules) in [("ingress", &spec.ingress), ("egress", &spec.egress)] {
        for (index, rule) in rules.iter().flatten().enumerate() {
            rule::check(&mut faults, rule, &format!("spec.{direction}[{index}]"));
            rule::check_place(&mut faults, rule, direction == "ingress", &format!("spec.{direction}[{index}]"));
        }
    }
    faults.into_result()
}

fn flags(faults: &mut Faults, spec: &PolicySpec) {
    let has_egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
    let types_egress = spec.types.iter().flatten().any(|kind| kind == "Egress");
    faults.check(!(spec.do_not_track && spec.pre_dnat), "spec.preDNAT", "preDNAT and doNotTrack exclude each other");
    faults.check(!(spec.pre_dnat && has_egress), "spec.egress", "a preDNAT policy has no egress rules");
    faults.check(!(spec.pre_dnat && types_egress), "spec.types", "a preDNAT policy has no type Egress");
    let forwards = spec.apply_on_forward || !(spec.do_not_track || spec.pre_dnat);
    faults.check(forwards, "spec.applyOnForward", "preDNAT and doNotTrack need applyOnForward");
}

fn types(faults: &mut Faults, spec: &PolicySpec) {
    let types = spec.types.as_deref().unwrap_or_default();
    for (index, kind) in types.iter().enumerate() {
        let path = format!("spec.types[{index}]");
        faults.check(matches!(kind.as_str(), "Ingress" | "Egress"), &path, "neither Ingress nor Egress");
        faults.check(!types[..index].contains(kind), &path, "given twice");
    }
}

/// Shared with Felix, which checks the hints alike.
pub(super) fn hints(faults: &mut Faults, hints: &[String]) {
    let known = hints.iter().all(|hint| hint == "AssumeNeededOnEveryNode");
    faults.check(known && hints.len() <= 1, "spec.performanceHints", "not a hint, or given twice");
}

/// Profile.
pub(super) fn profile(object: &Decoded<ProfileSpec>) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    named(&mut faults, &object.metadata);
    for (key, value) in &object.spec.labels_to_apply {
        let path = format!("spec.labelsToApply[{key}]");
        faults.check(names::is_label_key(key) && names::is_label_value(value), path, "not a label");
    }
    for (direction, rules) in [("ingress", &object.spec.ingress), ("egress", &object.spec.egress)] {
        for (index, rule) in rules.iter().enumerate() {
            rule::check(&mut faults, rule, &format!("spec.{direction}[{index}]"));
        }
    }
    faults.into_result()
}

/// Tier.
pub(super) fn tier(object: &Decoded<TierSpec>) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    let (name, spec) = (&object.metadata.name, &object.spec);
    faults.check(names::is_label(name) && name.len() <= 63, "metadata.name", "a tier's name has no dots");
    metadata(&mut faults, &object.metadata);
    let built_in = match name.as_str() {
        "default" => Some(1_000_000.0),
        "adminnetworkpolicy" => Some(1_000.0),
        "baselineadminnetworkpolicy" => Some(10_000_000.0),
        _ => None,
    };
    // An absent order is filled in with that of the default tier before this is checked.
    let order = spec.order.unwrap_or(1_000_000.0);
    faults.check(built_in.is_none_or(|built_in| order == built_in), "spec.order", "the order of this tier is fixed");
    let action = spec.default_action.as_deref().unwrap_or("Deny");
    faults.check(matches!(action, "Deny" | "Pass"), "spec.defaultAction", "neither Deny nor Pass");
    faults.into_result()
}

/// GlobalNetworkSet or NetworkSet.
pub(super) fn set(object: &Decoded<SetSpec>) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    named(&mut faults, &object.metadata);
    let reserved = object.metadata.labels.contains_key("projectcalico.org/namespace");
    faults.check(!reserved, "metadata.labels", "projectcalico.org/namespace is reserved");
    for (index, net) in object.spec.nets.iter().enumerate() {
        let good = address::prefix_or_address(net).is_some();
        faults.check(good, format_args!("spec.nets[{index}]"), "neither a prefix nor an address");
    }
    faults.into_result()
}

/// Host endpoint.
pub(super) fn endpoint(object: &Decoded<EndpointSpec>) -> Result<(), Vec<Fault>> {
    let mut faults = Faults::default();
    let spec = &object.spec;
    named(&mut faults, &object.metadata);
    faults.check(names::is_subdomain(&spec.node), "spec.node", "not the name of a node");
    let interface = &spec.interface_name;
    let good = interface.is_empty() || names::is_interface(interface);
    faults.check(good, "spec.interfaceName", "not the name of an interface");
    let somewhere = !interface.is_empty() || !spec.expected_ips.is_empty();
    faults.check(somewhere, "spec.interfaceName", "neither an interface nor an expected address");
    for (index, text) in spec.expected_ips.iter().enumerate() {
        faults.check(address::address(text).is_some(), format_args!("spec.expectedIPs[{index}]"), "not an address");
    }
    for (index, profile) in spec.profiles.iter().enumerate() {
        faults.check(names::is_subdomain(profile), format_args!("spec.profiles[{index}]"), "not a name");
    }
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        faults.check(names::is_port(&port.name), format_args!("{path}.name"), "not the name of a port");
        faults.check(rule::has_ports(&port.protocol), format_args!("{path}.protocol"), "a protocol without ports");
        faults.check(port.port > 0, format_args!("{path}.port"), "not a port");
    }
    faults.into_result()
}

fn named(faults: &mut Faults, object: &Metadata) {
    let good = names::is_subdomain(&object.name) && object.name.len() <= 253;
    faults.check(good, "metadata.name", "not a name");
    metadata(faults, object);
}

fn metadata(faults: &mut Faults, object: &Metadata) {
    for (key, value) in &object.labels {
        let path = format!("metadata.labels[{key}]");
        faults.check(names::is_label_key(key) && names::is_label_value(value), path, "not a label");
    }
    for key in object.annotations.keys() {
        let good = names::is_label_key(&key.to_lowercase());
        faults.check(good, format_args!("metadata.annotations[{key}]"), "not the name of an annotation");
    }
}
