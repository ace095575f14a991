//! The policies, from the rows' elements.
//!
//! Order is what makes them safe to apply. Nothing denies until the last object exists: every policy but the closing one
//! says `enableDefaultDeny: false`, so the failsafe and the rows only add allows, and the closing policy, one object and
//! so all or nothing, turns the default over.

use policy::cilium::api::{CiliumClusterwideNetworkPolicy, DefaultDeny, EgressRule, IngressRule, Rule, V2};
use policy::object::ObjectMeta;

use super::context::Context;
use super::element::{Element, Kind, Side};
use super::groups::Groups;
use super::labels;
use super::row::{Written, denied_by_default};
use crate::matrix::{Action, Direction, Row};
use crate::render::{AnyObject, Manifest, meta};

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// Every object, in apply order.
pub(super) fn objects(context: &Context<'_>, rows: &[Written<'_>]) -> Vec<Manifest> {
    let groups = Groups::of(rows.iter().flat_map(uses), &context.options.name_prefix);
    let mut manifests: Vec<Manifest> = Vec::new();
    let mut push = |wave, object| manifests.push(Manifest { wave, shared: false, object });
    for group in groups.objects(context.matrix) {
        push(0, AnyObject::CiliumCidrGroup(group));
    }
    let mut policies: Vec<(u8, CiliumClusterwideNetworkPolicy)> = Vec::new();
    policies.extend(failsafe(context, rows, &groups.for_failsafe()).map(|policy| (1, policy)));
    for role in 0..context.matrix.roles.len() {
        for direction in DIRECTIONS {
            policies.extend(of_role(context, rows, &groups, role, direction).map(|policy| (2, policy)));
        }
    }
    policies.extend(closing(context).map(|policy| (3, policy)));
    for (wave, policy) in policies {
        push(wave, AnyObject::CiliumClusterwideNetworkPolicy(Box::new(policy)));
    }
    manifests
}

/// The elements of a row, once for every policy that holds them.
fn uses<'a>(written: &'a Written<'_>) -> impl Iterator<Item = &'a Element> {
    written.row.roles.iter().flat_map(|_| &written.elements)
}

/// What the cluster lives on, once more, in an object that a mistake in another one cannot take away. It holds exactly
/// the elements of those rows, so it admits nothing beyond the matrix.
fn failsafe(context: &Context<'_>, rows: &[Written<'_>], groups: &Groups) -> Option<CiliumClusterwideNetworkPolicy> {
    let mut specs = Vec::new();
    let mut held: Vec<&Row> = Vec::new();
    for role in 0..context.matrix.roles.len() {
        let mut rule = subject(context, role);
        for direction in DIRECTIONS {
            let of_direction =
                |written: &&Written<'_>| written.is_failsafe() && written.is_for(role, direction, Action::Allow);
            let written: Vec<&Written<'_>> = rows.iter().filter(of_direction).collect();
            held.extend(written.iter().map(|written| written.row));
            let mut elements: Vec<&Element> = written.iter().flat_map(|written| &written.elements).collect();
            let open = open_under_always(context, direction);
            elements.extend(&open);
            allow(&mut rule, direction, &elements, groups);
        }
        if rule.ingress.is_some() || rule.egress.is_some() {
            specs.push(rule);
        }
    }
    let reason = "keeps up what the cluster lives on if another policy is deleted or broken; it never denies, and it \
                  cannot win against a deny";
    let names = rows.iter().map(|written| written.row).filter(|row| held.iter().any(|held| std::ptr::eq(*held, *row)));
    (!specs.is_empty()).then(|| policy(context, "failsafe", names, Some(reason), Specs::Many(specs)))
}

/// With `enable-policy: always` a direction that the matrix leaves open must be opened by a rule.
fn open_under_always(context: &Context<'_>, direction: Direction) -> Option<Element> {
    let closed = denied_by_default(context.matrix, direction);
    (super::frame::always(context) && !closed)
        .then(|| Element { peer: Side::Entities(vec!["all"]), traffic: Kind::Any })
}

/// The rows of one role and direction.
fn of_role(
    context: &Context<'_>,
    rows: &[Written<'_>],
    groups: &Groups,
    role: usize,
    direction: Direction,
) -> Option<CiliumClusterwideNetworkPolicy> {
    let elements = |action| -> Vec<&Element> {
        let of_action = |written: &&Written<'_>| written.is_for(role, direction, action);
        rows.iter().filter(of_action).flat_map(|written| &written.elements).collect()
    };
    let mut rule = subject(context, role);
    allow(&mut rule, direction, &elements(Action::Allow), groups);
    deny(&mut rule, direction, &elements(Action::Deny), groups);
    let empty = rule.ingress.is_none() && rule.egress.is_none();
    if empty && rule.ingress_deny.is_none() && rule.egress_deny.is_none() {
        return None;
    }
    let held = |written: &&Written<'_>| {
        written.is_for(role, direction, Action::Allow) || written.is_for(role, direction, Action::Deny)
    };
    let name = format!("{}-{direction}", context.matrix.roles[role].name);
    let reason = rows.iter().filter(held).any(names_every_icmp_type).then_some(
        "ICMP type 0 stands for every type: Cilium keeps the type where it keeps a port, and takes 0 for any",
    );
    Some(policy(
        context,
        &name,
        rows.iter().filter(held).map(|written| written.row),
        reason,
        Specs::One(Box::new(rule)),
    ))
}

fn names_every_icmp_type(written: &Written<'_>) -> bool {
    let every = policy::object::IntOrString::Int(0);
    written.elements.iter().any(|element| match &element.traffic {
        Kind::Icmp(fields) => fields.iter().any(|field| field.icmp_type == every),
        Kind::Any | Kind::Ports(_) => false,
    })
}

/// Turns the default over, for every role at once. An element without peers and ports allows nothing, but makes the
/// direction count as policed (cilium/cilium:pkg/policy/repository.go computePolicyEnforcementAndRules).
fn closing(context: &Context<'_>) -> Option<CiliumClusterwideNetworkPolicy> {
    let [ingress, egress] = DIRECTIONS.map(|direction| denied_by_default(context.matrix, direction));
    if (!ingress && !egress) || context.matrix.roles.is_empty() {
        return None;
    }
    let specs = (0..context.matrix.roles.len()).map(|role| Rule {
        ingress: ingress.then(|| vec![IngressRule::default()]),
        egress: egress.then(|| vec![EgressRule::default()]),
        enable_default_deny: Some(DefaultDeny { ingress: Some(ingress), egress: Some(egress) }),
        ..subject(context, role)
    });
    let reason = "turns on default deny: apply it last, delete it first";
    Some(policy(context, "close", [], Some(reason), Specs::Many(specs.collect())))
}

/// A rule that applies to a role and denies nothing by itself.
fn subject(context: &Context<'_>, role: usize) -> Rule {
    Rule {
        node_selector: Some(labels::host(&context.matrix.roles[role].selector)),
        enable_default_deny: Some(DefaultDeny { ingress: Some(false), egress: Some(false) }),
        ..Rule::default()
    }
}

fn allow(rule: &mut Rule, direction: Direction, elements: &[&Element], groups: &Groups) {
    match direction {
        _ if elements.is_empty() => {}
        Direction::Ingress => rule.ingress = Some(elements.iter().map(|element| element.ingress(groups)).collect()),
        Direction::Egress => rule.egress = Some(elements.iter().map(|element| element.egress(groups)).collect()),
    }
}

fn deny(rule: &mut Rule, direction: Direction, elements: &[&Element], groups: &Groups) {
    match direction {
        _ if elements.is_empty() => {}
        Direction::Ingress => {
            rule.ingress_deny = Some(elements.iter().map(|element| element.ingress(groups)).collect());
        }
        Direction::Egress => {
            rule.egress_deny = Some(elements.iter().map(|element| element.egress(groups)).collect());
        }
    }
}

enum Specs {
    One(Box<Rule>),
    Many(Vec<Rule>),
}

fn policy<'a>(
    context: &Context<'_>,
    name: &str,
    rows: impl IntoIterator<Item = &'a Row>,
    reason: Option<&str>,
    specs: Specs,
) -> CiliumClusterwideNetworkPolicy {
    let mut metadata: ObjectMeta = meta::metadata(context.matrix, format!("{}-{name}", context.options.name_prefix));
    let rows = meta::rows_annotation(rows);
    if !rows.is_empty() {
        metadata.annotations.insert(meta::ROWS.to_owned(), rows);
    }
    if let Some(reason) = reason {
        metadata.annotations.insert(meta::REASON.to_owned(), reason.to_owned());
    }
    let (spec, specs) = match specs {
        Specs::One(rule) => (Some(*rule), None),
        Specs::Many(rules) => (None, Some(rules)),
    };
    CiliumClusterwideNetworkPolicy {
        api_version: V2.to_owned(),
        kind: "CiliumClusterwideNetworkPolicy".to_owned(),
        metadata,
        spec,
        specs,
    }
}
