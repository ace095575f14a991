//! One policy object: decoded, checked, and turned into rules (cilium/cilium:pkg/k8s/apis/cilium.io/v2/ccnp_types.go,
//! `Parse`). Its rules are taken all or none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::element::Written;
use super::model::{Element, Peers, Rule, index};
use super::refusal::{Fault, Refusal, Stage, Unknown};
use super::settled::is_settled;
use super::{Context, Options, limits, schema};
use crate::cilium::api;
use crate::cilium::selector::{self, Selector};
use crate::cilium::settings::Settings;
use crate::object;
use crate::packet::Direction;
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Key, Manifest, Snapshot, Source};

/// What was taken of the objects of a snapshot.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) rules: Vec<Arc<Rule>>,
    /// The objects that are applied.
    pub(super) parts: Vec<Arc<Part>>,
    pub(super) refused: Vec<Refusal>,
    pub(super) unknown: Vec<Unknown>,
    /// Some `cidrGroupSelector` is empty.
    pub(super) group_of_everyone: bool,
    /// What some rule for hosts means depends on which prefixes others name.
    pub(super) unsettled: bool,
    /// Modes of mutual authentication, and the element that states each first.
    modes: BTreeMap<String, (Arc<Key>, String)>,
}

/// What is made of one object, whatever other policies there are.
#[derive(Debug)]
pub(super) struct Part {
    parsed: Result<Parsed, Fault>,
    unknown: Vec<Unknown>,
    group_of_everyone: bool,
    /// Whether what its rules for hosts mean depends on no prefixes but their own.
    settled: bool,
}

/// Objects that were taken before, by the place of their manifest.
pub(super) type Parts = HashMap<usize, (Arc<Manifest>, Arc<Part>)>;

/// Takes the policies of a kind.
pub(super) fn policies(
    snapshot: &Snapshot,
    kind: &str,
    settings: &Settings,
    options: Options<'_>,
    known: &mut Parts,
    taken: &mut Taken,
) {
    let mut part = |manifest: &Arc<Manifest>| part(manifest, snapshot, settings, options.schema, known);
    for manifest in snapshot.of(CILIUM, kind) {
        let Fault { stage, path, reason } = match taken.add(part(manifest)) {
            Ok(()) => continue,
            Err(fault) => fault,
        };
        // What the API server refuses never reaches the agent, so the old object stays as it is.
        let previous = options.previous.and_then(|previous| previous.objects.get(&manifest.key));
        let keeps_previous = previous.is_some_and(|previous| taken.add(part(previous)).is_ok());
        taken.refused.push(Refusal { key: manifest.key.clone(), stage, path, reason, keeps_previous });
    }
}

/// What is made of an object of a snapshot.
pub(super) fn part(
    manifest: &Arc<Manifest>,
    snapshot: &Snapshot,
    settings: &Settings,
    through_api: bool,
    known: &mut Parts,
) -> Arc<Part> {
    let make = || {
        let part = Part::make(manifest, snapshot, settings, through_api);
        // The manifest is kept with it, so that its place stands for nothing else.
        (Arc::clone(manifest), Arc::new(part))
    };
    Arc::clone(&known.entry(Arc::as_ptr(manifest).addr()).or_insert_with(make).1)
}

impl Taken {
    fn add(&mut self, part: Arc<Part>) -> Result<(), Fault> {
        let parsed = part.parsed.as_ref().map_err(Fault::clone)?;
        self.rules.extend_from_slice(&parsed.rules);
        self.unknown.extend_from_slice(&part.unknown);
        self.group_of_everyone |= part.group_of_everyone;
        self.unsettled |= !part.settled;
        for (mode, place) in &parsed.modes {
            self.modes.entry(mode.clone()).or_insert_with(|| place.clone());
        }
        self.parts.push(part);
        Ok(())
    }

    /// Where two allows of one peer and port state different modes, the agent cannot make a policy, and what it had
    /// before stays (cilium/cilium:pkg/policy/rule.go, `mergePortProto`).
    pub(super) fn modes_differ(&self) -> Option<Unknown> {
        let (key, path) = self.modes.values().nth(1)?;
        let what = "modes of authentication differ; where they meet, the agent keeps the policy that it had";
        Some(Unknown::of(&key.to_string(), path, what))
    }
}

impl Part {
    /// What is made of an object, be it in the snapshot or not.
    pub(super) fn make(manifest: &Manifest, snapshot: &Snapshot, settings: &Settings, through_api: bool) -> Self {
        let mut context = Context::new(settings, snapshot, &manifest.key);
        let parsed = policy(manifest, through_api, &mut context);
        let Context { mut unknown, mut shared, group_of_everyone, .. } = context;
        unknown.append(&mut shared);
        let settled = parsed.as_ref().map_or(true, |parsed| parsed.rules.iter().all(|rule| is_settled(rule, settings)));
        Self { parsed, unknown, group_of_everyone, settled }
    }

    /// Every prefix that its rules name.
    pub(super) fn prefixes(&self) -> &[IpNet] {
        self.parsed.as_ref().map_or(&[], |parsed| &parsed.prefixes)
    }

    /// Its rules for hosts. `None` where it is refused.
    pub(super) fn rules(&self) -> Option<&[Arc<Rule>]> {
        self.parsed.as_ref().ok().map(|parsed| parsed.rules.as_slice())
    }

    /// Whether what its rules for hosts mean depends on no prefixes but their own.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether there is nothing to be said about it that there was not about the one in whose place it comes.
    pub(super) fn is_plain_after(&self, old: Option<&Self>) -> bool {
        let known = old.map(Self::modes).unwrap_or_default();
        self.unknown.is_empty() && !self.group_of_everyone && self.modes().is_subset(&known)
    }

    /// Whether everything in it is known.
    pub(super) fn is_told(&self) -> bool {
        self.unknown.is_empty()
    }

    /// Modes of mutual authentication that it states.
    fn modes(&self) -> BTreeSet<&str> {
        let parsed = self.parsed.as_ref().ok();
        parsed.into_iter().flat_map(|parsed| &parsed.modes).map(|(mode, _)| mode.as_str()).collect()
    }
}

#[derive(Debug)]
struct Parsed {
    rules: Vec<Arc<Rule>>,
    prefixes: Vec<IpNet>,
    modes: Vec<(String, (Arc<Key>, String))>,
}

/// The part of a policy object that is read.
#[derive(Deserialize)]
struct Policy {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Option<api::Rule>,
    #[serde(default)]
    specs: Option<Vec<api::Rule>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

fn policy(manifest: &Manifest, through_api: bool, context: &mut Context<'_>) -> Result<Parsed, Fault> {
    if through_api {
        schema::check(&manifest.value, context.settings.version.value)?;
    }
    let value = without_nulls(&manifest.value);
    let decoded = object::parse::<Policy>(&value).map_err(|error| {
        // The agent decodes any operator, and only then finds that it knows no such one.
        let stage = if error.path.ends_with(".operator") { Stage::Sanitize } else { Stage::Decode };
        Fault { stage, path: error.path, reason: error.message }
    })?;
    let Policy { metadata, spec, specs } = decoded.object;
    // What has a namespace is for pods, whatever it says.
    for path in decoded.unknown.iter().filter(|path| path.starts_with("spec") && metadata.namespace.is_empty()) {
        context.unknown(path, "no such field is known");
    }
    for (path, rule) in rules_of(spec.as_ref(), specs.as_deref()) {
        for (name, _, list) in lists(rule) {
            for (index, written) in list.iter().enumerate() {
                written.decoded(&format!("{path}.{name}[{index}]"))?;
            }
        }
    }
    if metadata.name.is_empty() {
        return Err(Fault::sanitize("metadata.name", "a policy needs a name"));
    }
    if spec.is_none() && specs.is_none() {
        return Err(Fault::sanitize("", "neither spec nor specs is there"));
    }
    let mut parsed = Parsed { rules: Vec::new(), prefixes: Vec::new(), modes: Vec::new() };
    if !limits::is_readable(&value, context) {
        return Ok(parsed);
    }
    let origin = Origin { key: Arc::new(manifest.key.clone()), source: manifest.source.clone() };
    for (path, rule) in rules_of(spec.as_ref(), specs.as_deref()) {
        let namespaced = !metadata.namespace.is_empty();
        self::rule(&origin, path, rule, namespaced, context, &mut parsed)?;
    }
    Ok(parsed)
}

/// The object that a rule stands in.
struct Origin {
    key: Arc<Key>,
    source: Option<Arc<Source>>,
}

fn rule(
    origin: &Origin,
    path: String,
    rule: &api::Rule,
    namespaced: bool,
    context: &mut Context<'_>,
    parsed: &mut Parsed,
) -> Result<(), Fault> {
    let (ingress, egress) = (count(&rule.ingress), count(&rule.egress));
    let (ingress_deny, egress_deny) = (count(&rule.ingress_deny), count(&rule.egress_deny));
    if ingress + egress + ingress_deny + egress_deny == 0 {
        return Err(Fault::sanitize(&path, "none of ingress, ingressDeny, egress and egressDeny has an entry"));
    }
    let (written, host) = match (&rule.endpoint_selector, &rule.node_selector) {
        (Some(pods), None) => (pods, false),
        (None, Some(_)) if namespaced => {
            return Err(Fault::sanitize(&path, "a namespaced policy has no nodeSelector"));
        }
        (None, Some(hosts)) => (hosts, true),
        _ => return Err(Fault::sanitize(&path, "a rule has one of endpointSelector and nodeSelector")),
    };
    selector::validate::selector(written).map_err(|reason| Fault::sanitize(&path, reason))?;
    let mut elements = Vec::new();
    let told = context.unknown.len();
    for (name, deny, list) in lists(rule) {
        for (index, written) in list.iter().enumerate() {
            let place = format!("{path}.{name}[{index}]");
            if let Some(mode) = written.authentication().filter(|_| host) {
                parsed.modes.push((mode.to_owned(), (Arc::clone(&origin.key), format!("{place}.authentication"))));
            }
            elements.push(written.build(place, deny, host, context)?);
        }
    }
    parsed.prefixes.extend(elements.iter().flat_map(prefixes));
    if host {
        let stated = rule.enable_default_deny.unwrap_or_default();
        let forced = !context.settings.non_default_deny.value;
        let mut default_deny = [false; 2];
        for (direction, stated) in [(Direction::Ingress, stated.ingress), (Direction::Egress, stated.egress)] {
            let has_entries = elements.iter().any(|element| element.direction == direction);
            default_deny[index(direction)] = has_entries && (forced || stated.unwrap_or(true));
        }
        let subject = selector::written(written);
        let Origin { key, source } = origin;
        let (key, source) = (Arc::clone(key), source.clone());
        parsed.rules.push(Arc::new(Rule { key, path, source, subject, default_deny, elements }));
    } else {
        // Whom pods may reach by name, and with which requests, is nothing to a host. An address that DNS has answered with
        // keeps the labels of the prefixes that it is in (cilium/cilium:pkg/ipcache/metadata.go, `mergeLabels`).
        context.unknown.truncate(told);
    }
    Ok(())
}

/// `spec` and `specs`, and where each stands.
fn rules_of<'r>(
    spec: Option<&'r api::Rule>,
    specs: Option<&'r [api::Rule]>,
) -> impl Iterator<Item = (String, &'r api::Rule)> {
    let listed = specs.into_iter().flatten().enumerate().map(|(index, rule)| (format!("specs[{index}]"), rule));
    spec.map(|rule| ("spec".to_owned(), rule)).into_iter().chain(listed)
}

/// The lists of a rule: name, whether it denies, elements.
fn lists(rule: &api::Rule) -> [(&'static str, bool, Vec<Written<'_>>); 4] {
    [
        ("ingress", false, rule.ingress.iter().flatten().map(Written::from).collect()),
        ("ingressDeny", true, rule.ingress_deny.iter().flatten().map(Written::from).collect()),
        ("egress", false, rule.egress.iter().flatten().map(Written::from).collect()),
        ("egressDeny", true, rule.egress_deny.iter().flatten().map(Written::from).collect()),
    ]
}

fn count<T>(list: &Option<Vec<T>>) -> usize {
    list.as_ref().map_or(0, Vec::len)
}

/// Every prefix that an element names.
fn prefixes(element: &Element) -> Vec<IpNet> {
    let Peers::Some(selectors) = &element.peers else { return Vec::new() };
    let cidrs = selectors.iter().filter_map(|selector| match selector {
        Selector::Cidr(cidr) => Some(cidr.prefixes()),
        _ => None,
    });
    cidrs.flatten().collect()
}

/// A null is as good as nothing, except where a selector stands: there it is an empty one, which selects everyone
/// (cilium/cilium:pkg/policy/api/selector.go, `UnmarshalJSON`).
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter_map(|(key, value)| match value {
                    Value::Null if key.ends_with("Selector") => Some((key.clone(), Value::Object(Default::default()))),
                    Value::Null => None,
                    _ => Some((key.clone(), without_nulls(value))),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        _ => value.clone(),
    }
}
