//! One policy object: decoded, checked, and turned into rules (cilium/cilium:pkg/k8s/apis/cilium.io/v2/ccnp_types.go,
//! `Parse`). Its rules are taken all or none.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::element::Written;
use super::model::{Element, Peers, Rule, index};
use super::refusal::{Fault, Refusal, Stage, Unknown};
use super::{Context, GROUP, Options, schema};
use crate::cilium::api;
use crate::cilium::selector::{self, Selector};
use crate::cilium::settings::Settings;
use crate::object;
use crate::packet::Direction;
use crate::snapshot::{Key, Manifest, Snapshot};

/// What was taken of the objects of a snapshot.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) rules: Vec<Rule>,
    pub(super) prefixes: Vec<IpNet>,
    pub(super) refused: Vec<Refusal>,
    pub(super) unknown: Vec<Unknown>,
    /// Some `cidrGroupSelector` is empty.
    pub(super) group_of_everyone: bool,
    /// Modes of mutual authentication, and the element that states each first.
    modes: BTreeMap<String, (Arc<Key>, String)>,
}

/// Takes the policies of a kind.
pub(super) fn policies(snapshot: &Snapshot, kind: &str, settings: &Settings, options: Options<'_>, taken: &mut Taken) {
    for manifest in snapshot.of(GROUP, kind) {
        let mut context = Context::new(settings, snapshot, &manifest.key);
        let fault = match policy(manifest, options.schema, &mut context) {
            Ok(rules) => {
                taken.group_of_everyone |= context.group_of_everyone;
                taken.add(rules, context.unknown);
                continue;
            }
            Err(fault) => fault,
        };
        // What the API server refuses never reaches the agent, so the old object stays as it is.
        let previous = options.previous.and_then(|previous| previous.objects.get(&manifest.key));
        let mut context = Context::new(settings, snapshot, &manifest.key);
        let kept = previous.and_then(|previous| policy(previous, options.schema, &mut context).ok());
        let keeps_previous = kept.is_some();
        if let Some(rules) = kept {
            taken.group_of_everyone |= context.group_of_everyone;
            taken.add(rules, context.unknown);
        }
        let Fault { stage, path, reason } = fault;
        taken.refused.push(Refusal { key: manifest.key.clone(), stage, path, reason, keeps_previous });
    }
}

impl Taken {
    fn add(&mut self, parsed: Parsed, unknown: Vec<Unknown>) {
        self.rules.extend(parsed.rules);
        self.prefixes.extend(parsed.prefixes);
        self.unknown.extend(unknown);
        for (mode, place) in parsed.modes {
            self.modes.entry(mode).or_insert(place);
        }
    }

    /// Where two allows of one peer and port state different modes, the agent cannot make a policy, and what it had
    /// before stays (cilium/cilium:pkg/policy/rule.go, `mergePortProto`).
    pub(super) fn modes_differ(&self) -> Option<Unknown> {
        let (key, path) = self.modes.values().nth(1)?;
        let what = "modes of authentication differ; where they meet, the agent keeps the policy that it had".to_owned();
        Some(Unknown { object: key.to_string(), path: path.clone(), what })
    }
}

struct Parsed {
    rules: Vec<Rule>,
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
    for path in decoded.unknown.iter().filter(|path| path.starts_with("spec")) {
        context.unknown(path, "no such field is known");
    }
    let Policy { metadata, spec, specs } = decoded.object;
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
    let key = Arc::new(manifest.key.clone());
    for (path, rule) in rules_of(spec.as_ref(), specs.as_deref()) {
        let namespaced = !metadata.namespace.is_empty();
        self::rule(&key, path, rule, namespaced, context, &mut parsed)?;
    }
    for rule in &mut parsed.rules {
        rule.source.clone_from(&manifest.source);
    }
    Ok(parsed)
}

fn rule(
    key: &Arc<Key>,
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
    for (name, deny, list) in lists(rule) {
        for (index, written) in list.iter().enumerate() {
            let place = format!("{path}.{name}[{index}]");
            if let Some(mode) = written.authentication().filter(|_| host) {
                parsed.modes.push((mode.to_owned(), (Arc::clone(key), format!("{place}.authentication"))));
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
        parsed.rules.push(Rule { key: Arc::clone(key), path, source: None, subject, default_deny, elements });
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
