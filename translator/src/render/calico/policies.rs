//! Policies: one for each role and direction, and the one that closes.

use policy::calico::api::{self, EntityRule, GlobalNetworkPolicySpec, PolicyType, Rule, RuleMetadata};

use super::names::Names;
use super::options::{Api, Options};
use super::peers::{NO_NAMESPACE, NODE};
use super::row::{Line, Scope, default};
use super::selector::MOST_CHARACTERS;
use super::{object, wave};
use crate::finding::Finding;
use crate::finding::codes::calico as codes;
use crate::matrix::{Action, Direction, Expanded, Interfaces, Origin, Role, Row};
use crate::render::meta::{INTERFACE_LABEL, REASON, ROWS, metadata, rows_annotation};
use crate::render::{AnyObject, Manifest};

/// Rules in one direction of a policy.
const MOST_RULES: usize = 1024;
/// Bytes of rules in one policy. Client-side `kubectl apply` keeps the object in an annotation of at most 256 KiB, and
/// Calico's API server keeps that annotation inside another one, quoted once more.
const MOST_BYTES: usize = 64 * 1024;

/// Which chain of a host endpoint a policy is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Packets that end or start at the node, after DNAT.
    Node(Direction),
    /// Packets to the node, before DNAT, also those that will be forwarded.
    BeforeDnat,
}

/// Makes policies, in the order in which they are judged.
#[derive(Debug)]
pub(super) struct Policies<'a> {
    matrix: &'a Expanded,
    options: &'a Options,
    /// Requirements of each role, to be ANDed.
    roles: Vec<Vec<String>>,
    names: Names,
    order: f64,
    pub(super) objects: Vec<Manifest>,
}

impl<'a> Policies<'a> {
    pub(super) fn new(matrix: &'a Expanded, options: &'a Options, roles: Vec<Vec<String>>) -> Self {
        Self { matrix, options, roles, names: Names::default(), order: options.order_base, objects: Vec::new() }
    }

    /// The policies of a role at a stage: denies, then frame and allows. Rows that hold on some interfaces only are in
    /// policies of their own.
    ///
    /// What denies is applied with the closing policies: until the failsafe ports of the whole are in force, a deny could
    /// drop what they admit.
    pub(super) fn role(&mut self, role: usize, stage: Stage, lines: &[&Line<'_>], findings: &mut Vec<Finding>) {
        let mut lines: Vec<&Line<'_>> = lines.iter().copied().filter(|line| !line.rules.is_empty()).collect();
        let denies = |line: &Line<'_>| line.row.action == Action::Deny;
        // The sort is stable: otherwise the rows stay in the order of the matrix.
        lines.sort_by_key(|line| {
            let of_frame = matches!(line.row.origin, Origin::Frame(_));
            (!denies(line), line.scope.clone(), !of_frame)
        });
        let name = &self.matrix.roles[role].name;
        let base = match stage {
            Stage::Node(direction) => format!("{name}-{direction}"),
            Stage::BeforeDnat => format!("{name}-nodeports"),
        };
        for segment in lines.chunk_by(|a, b| denies(a) == denies(b) && a.scope == b.scope) {
            let (scope, deny) = (&segment[0].scope, denies(segment[0]));
            let mut base = base.clone();
            if deny {
                base.push_str("-deny");
            }
            if let Scope::On(names) = scope {
                base.push_str(&format!("-on-{}", names.join("-").replace('.', "-")));
            }
            let selector = self.subject(scope, &self.roles[role]);
            if selector.len() > MOST_CHARACTERS {
                findings.push(too_long(&self.matrix.roles[role], selector.len()));
                continue;
            }
            for (index, part) in parts(segment).into_iter().enumerate() {
                let name = if index == 0 { base.clone() } else { format!("{base}-{}", index + 1) };
                let rows = part.iter().map(|(row, _)| *row).collect::<Vec<_>>();
                let rules = part.into_iter().map(|(_, rule)| rule.clone()).collect();
                let annotations = (ROWS, rows_annotation(without_repetition(rows)));
                let wave = if deny { wave::CLOSE } else { wave::POLICIES };
                self.push(wave, &name, selector.clone(), stage, rules, annotations);
            }
        }
    }

    /// The policies that drop what no row admits, the last objects of all.
    pub(super) fn close(&mut self, findings: &mut Vec<Finding>) {
        let closing = |direction| {
            let default = default(self.matrix, direction);
            default.deny.then(|| {
                let log = default.log.as_ref().map(|_| closing_rule(api::Action::Log));
                log.into_iter().chain([closing_rule(api::Action::Deny)]).collect::<Vec<_>>()
            })
        };
        let (ingress, egress) = (closing(Direction::Ingress), closing(Direction::Egress));
        if ingress.is_none() && egress.is_none() {
            return;
        }
        for selector in self.all_roles(findings) {
            let types = [(PolicyType::Ingress, &ingress), (PolicyType::Egress, &egress)];
            let types = types.into_iter().filter(|(_, rules)| rules.is_some()).map(|(kind, _)| kind).collect();
            let spec = GlobalNetworkPolicySpec {
                selector: Some(selector),
                types: Some(types),
                ingress: ingress.clone(),
                egress: egress.clone(),
                ..GlobalNetworkPolicySpec::default()
            };
            let reason = "drops what no row admits; apply it last, delete it first";
            self.push_spec(wave::CLOSE, "close", spec, (REASON, reason.to_owned()));
        }
    }

    /// The policies that drop node ports which no row admits.
    pub(super) fn close_node_ports(&mut self, rules: &[Rule], findings: &mut Vec<Finding>) {
        for selector in self.all_roles(findings) {
            let reason =
                "drops node ports that no row admits, before they are forwarded; apply it last, delete it first";
            let annotation = (REASON, reason.to_owned());
            self.push(wave::CLOSE, "nodeports", selector, Stage::BeforeDnat, rules.to_vec(), annotation);
        }
    }

    /// Selectors of every role: one, or several where one would be too long.
    fn all_roles(&self, findings: &mut Vec<Finding>) -> Vec<String> {
        let everything = self.subject(&Scope::Everywhere, &[]);
        if self.roles.iter().any(Vec::is_empty) {
            return vec![everything];
        }
        let mut selectors: Vec<String> = Vec::new();
        let mut open: Vec<String> = Vec::new();
        let text = |alternatives: &[String]| format!("{everything} && ({})", alternatives.join(" || "));
        for (role, terms) in self.matrix.roles.iter().zip(&self.roles) {
            let alternative = match terms.as_slice() {
                [one] => one.clone(),
                several => format!("({})", several.join(" && ")),
            };
            if text(std::slice::from_ref(&alternative)).len() > MOST_CHARACTERS {
                findings.push(too_long(role, alternative.len()));
                continue;
            }
            open.push(alternative);
            if text(&open).len() > MOST_CHARACTERS {
                let last = open.split_off(open.len() - 1);
                selectors.push(text(&open));
                open = last;
            }
        }
        if !open.is_empty() {
            selectors.push(text(&open));
        }
        selectors
    }

    /// Selects the host endpoints of nodes that meet `terms`, and never a pod: a pod always has the namespace label.
    fn subject(&self, scope: &Scope, terms: &[String]) -> String {
        let mut selector = format!("{NODE} && {NO_NAMESPACE}");
        let names = match (scope, &self.matrix.frame.interfaces) {
            (Scope::On(names), _) => Some(names),
            // An endpoint for all interfaces, made by others, carries the same node labels and must not be closed.
            (Scope::Everywhere, Interfaces::Named(names)) => Some(names),
            (Scope::Everywhere, Interfaces::All) => None,
        };
        match names.map(Vec::as_slice) {
            None => {}
            Some([name]) => selector.push_str(&format!(" && {INTERFACE_LABEL} == '{name}'")),
            Some(names) => {
                let names = names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
                selector.push_str(&format!(" && {INTERFACE_LABEL} in {{{names}}}"));
            }
        }
        for term in terms {
            selector.push_str(" && ");
            selector.push_str(term);
        }
        selector
    }

    fn push(
        &mut self,
        wave: u8,
        name: &str,
        selector: String,
        stage: Stage,
        rules: Vec<Rule>,
        annotation: (&str, String),
    ) {
        let spec = GlobalNetworkPolicySpec { selector: Some(selector), ..GlobalNetworkPolicySpec::default() };
        let spec = match stage {
            Stage::Node(Direction::Ingress) => {
                GlobalNetworkPolicySpec { types: Some(vec![PolicyType::Ingress]), ingress: Some(rules), ..spec }
            }
            Stage::Node(Direction::Egress) => {
                GlobalNetworkPolicySpec { types: Some(vec![PolicyType::Egress]), egress: Some(rules), ..spec }
            }
            Stage::BeforeDnat => GlobalNetworkPolicySpec {
                types: Some(vec![PolicyType::Ingress]),
                ingress: Some(rules),
                pre_dnat: Some(true),
                apply_on_forward: Some(true),
                ..spec
            },
        };
        self.push_spec(wave, name, spec, annotation);
    }

    fn push_spec(&mut self, wave: u8, name: &str, spec: GlobalNetworkPolicySpec, annotation: (&str, String)) {
        let options = self.options;
        // Up to 3.31 Calico takes the tier from the name, from 3.32 on from the field; this says both.
        let wanted = format!("{}.{}-{name}", options.tier, options.name_prefix);
        let origin = spec.selector.clone().unwrap_or_default();
        let mut metadata = metadata(self.matrix, self.names.take(&wanted, &origin, 253));
        metadata.annotations.insert(annotation.0.to_owned(), annotation.1);
        if options.api == Api::V1 {
            // Calico's API server adds the label on its way to this resource, and lists the policies of a tier by it.
            metadata.labels.insert("projectcalico.org/tier".to_owned(), options.tier.clone());
        }
        let spec = GlobalNetworkPolicySpec { tier: Some(options.tier.clone()), order: Some(self.order), ..spec };
        self.order += 10.0;
        self.objects.push(Manifest {
            wave,
            shared: false,
            object: AnyObject::GlobalNetworkPolicy(object(options.api, "GlobalNetworkPolicy", metadata, spec)),
        });
    }
}

/// The rules of a segment, in parts that fit into a policy each.
fn parts<'s, 'a>(segment: &[&'s Line<'a>]) -> Vec<Vec<(&'a Row, &'s Rule)>> {
    let mut parts: Vec<Vec<(&Row, &Rule)>> = Vec::new();
    let mut bytes = 0;
    for line in segment {
        for rule in &line.rules {
            let size = serde_json::to_string(rule).map_or(0, |text| text.len() + 1);
            bytes += size;
            match parts.last_mut() {
                Some(part) if part.len() < MOST_RULES && bytes <= MOST_BYTES => part.push((line.row, rule)),
                _ => {
                    parts.push(vec![(line.row, rule)]);
                    bytes = size;
                }
            }
        }
    }
    parts
}

fn without_repetition(mut rows: Vec<&Row>) -> Vec<&Row> {
    rows.dedup_by_key(|row| row.origin);
    rows
}

fn closing_rule(action: api::Action) -> Rule {
    Rule {
        metadata: Some(RuleMetadata { annotations: [(REASON.to_owned(), "no row admits it".to_owned())].into() }),
        ..Rule::new(action)
    }
}

/// Log and Deny of a protocol and port range to addresses of the nodes, before DNAT.
pub(super) fn closing_node_port_rules(log: bool, deny: &Rule, destination: &EntityRule) -> Vec<Rule> {
    let log = log.then(|| Rule { action: api::Action::Log, ..deny.clone() });
    log.into_iter()
        .chain([deny.clone()])
        .map(|rule| Rule {
            metadata: closing_rule(rule.action).metadata,
            destination: EntityRule { ports: rule.destination.ports.clone(), ..destination.clone() },
            ..rule
        })
        .collect()
}

fn too_long(role: &Role, length: usize) -> Finding {
    let message = format!(
        "the selector of the role `{}` is {length} characters long in Calico's language, of at most {MOST_CHARACTERS}",
        role.name
    );
    Finding::new(&codes::SELECTOR_REFUSED, message)
        .at(format!("spec.roles.{}", role.name), role.at.clone())
        .help("give the nodes one label that says the same")
}
