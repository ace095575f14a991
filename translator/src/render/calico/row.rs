//! One row as rules.

use policy::calico::api::{self, Rule, RuleMetadata};
use policy::net::{Cidr, Family};

use super::options::Options;
use super::peers::{MOST_NETS, Peers, Refusal, Resolved, Who};
use super::rules::{protocols, rules};
use crate::finding::codes::calico as codes;
use crate::finding::codes::shared::OPTIONAL_ROW_LEFT_OUT;
use crate::finding::{Code, Finding};
use crate::matrix::{Action, Default, Direction, Expanded, Interfaces, Origin, Peer, Row};
use crate::render::Fate;
use crate::render::loss::{Change, Loss, Packets};
use crate::render::meta::{REASON, ROW};

/// Where a row holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// On every interface that is policed.
    Everywhere,
    /// On these; sorted, fewer than are policed.
    On(Vec<String>),
}

/// A row and what became of it.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) row: &'a Row,
    pub(super) scope: Scope,
    /// In force together: each admits or drops a part of what the row says. Empty unless the row is written.
    pub(super) rules: Vec<Rule>,
    pub(super) fate: Fate,
    /// A node peer is matched by endpoints alone.
    pub(super) by_endpoint_only: bool,
    /// A joining node needs the row and is not matched.
    pub(super) not_joining: bool,
    /// What the rules match more or less than the row says.
    pub(super) losses: Vec<Loss>,
}

impl Line<'_> {
    /// Notes a loss, for the proof.
    pub(super) fn lose(&mut self, code: &'static Code, change: Change) {
        let packets = Packets::Row { row: self.row.origin, direction: self.row.direction, change };
        self.losses.push(Loss { code, packets });
    }
}

/// Whether packets of a direction are dropped unless a row admits them.
pub(super) fn default(matrix: &Expanded, direction: Direction) -> &Default {
    match direction {
        Direction::Ingress => &matrix.frame.ingress,
        Direction::Egress => &matrix.frame.egress,
    }
}

/// Compiles a row, and reports what is lost.
pub(super) fn compile<'a>(
    matrix: &Expanded,
    options: &Options,
    peers: &mut Peers<'_>,
    row: &'a Row,
    findings: &mut Vec<Finding>,
) -> Line<'a> {
    let mut line = Line {
        row,
        scope: Scope::Everywhere,
        rules: Vec::new(),
        fate: Fate::Implied,
        by_endpoint_only: false,
        not_joining: false,
        losses: Vec::new(),
    };
    if row.action == Action::Allow && !default(matrix, row.direction).deny {
        return line;
    }
    match written(matrix, options, peers, row, &mut line) {
        Ok(mut losses) => findings.append(&mut losses),
        Err(refusal) => {
            line.rules.clear();
            line.fate = Fate::Refused;
            findings.push(refused(row, refusal));
        }
    }
    line
}

fn written(
    matrix: &Expanded,
    options: &Options,
    peers: &mut Peers<'_>,
    row: &Row,
    line: &mut Line<'_>,
) -> Result<Vec<Finding>, Refusal> {
    match scope(matrix, row)? {
        Some(scope) => line.scope = scope,
        None => return Ok(Vec::new()),
    }
    let mut resolved = peers.resolve(row)?;
    if !on_loopback(matrix) {
        resolved.who.retain(|who| *who != Who::Loopback);
        if resolved.who.is_empty() {
            return Ok(Vec::new());
        }
    }
    let (who, except) = with_exceptions(peers, row, resolved.who.clone())?;
    let action = match row.action {
        Action::Allow => api::Action::Allow,
        Action::Deny => api::Action::Deny,
    };
    let mut code_left_out = false;
    for traffic in &row.traffic {
        let (protocols, left_out) = protocols(traffic, options.dataplane)?;
        code_left_out |= left_out;
        for protocol in &protocols {
            for who in &who {
                line.rules.extend(rules(action, row.direction, row.family, protocol, who, &except));
            }
        }
    }
    let metadata = Some(metadata(row));
    for rule in &mut line.rules {
        rule.metadata.clone_from(&metadata);
    }
    line.fate = Fate::Exact;
    line.by_endpoint_only = resolved.by_endpoint_only;
    line.not_joining = resolved.not_joining;
    Ok(losses(row, &resolved, code_left_out, line))
}

/// What is lost, and the fate that follows from it.
fn losses(row: &Row, resolved: &Resolved, code_left_out: bool, line: &mut Line<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if code_left_out {
        let (fate, verb) = match row.action {
            Action::Allow => (Fate::Wider, "admitted"),
            Action::Deny => (Fate::Narrower, "dropped"),
        };
        line.fate = fate;
        line.lose(&codes::ICMP_CODE_LEFT_OUT, Change::AnyIcmpCode);
        findings.push(
            Finding::new(
                &codes::ICMP_CODE_LEFT_OUT,
                format!("{} names an ICMP code; only the type is written", row.title()),
            )
            .at(row.path(), row.at.clone())
            .lost(format!("every code of the type is {verb}"))
            .help("state `--dataplane iptables` or `ebpf` if that is what runs, or leave the code out"),
        );
    }
    if !resolved.by_network.is_empty() {
        line.fate = Fate::Wider;
        for (_, selector) in &resolved.by_network {
            line.lose(&codes::ROLE_PEER_WIDER, Change::Network { selector: Some(selector.clone()) });
        }
        let names: Vec<String> = resolved.by_network.iter().map(|(name, _)| name.clone()).collect();
        let names = list(&names);
        findings.push(
            Finding::new(
                &codes::ROLE_PEER_WIDER,
                format!(
                    "{} also matches addresses of the node network that no host endpoint claims, as {names}",
                    row.title()
                ),
            )
            .at(row.path(), row.at.clone())
            .lost("addresses of the node network that no node of another role has are admitted")
            .help("give `--nodes`, and keep `nodeCIDRs` to the nodes' own network"),
        );
    }
    findings
}

/// `a`, `b`.
pub(super) fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn refused(row: &Row, refusal: Refusal) -> Finding {
    let code = if row.optional { &OPTIONAL_ROW_LEFT_OUT } else { refusal.code };
    let finding = Finding::new(code, format!("{} {}", row.title(), refusal.what))
        .at(row.path(), row.at.clone())
        .help(refusal.help);
    match row.action {
        Action::Allow => finding.lost("its packets are dropped unless another row admits them"),
        Action::Deny => finding.lost("its packets are not dropped by this row"),
    }
}

/// Felix writes annotations as comments next to the kernel's rules, in random order, and a comment is part of the rule's
/// identity: with two annotations a rule would be rewritten without need. So there is one.
fn metadata(row: &Row) -> RuleMetadata {
    let key = match row.origin {
        Origin::Row(_) => ROW,
        Origin::Frame(_) => REASON,
    };
    let value = if row.purpose.is_empty() { row.origin.to_string() } else { format!("{} {}", row.origin, row.purpose) };
    RuleMetadata { annotations: [(key.to_owned(), value)].into() }
}

/// Whether the loopback interface is policed.
pub(super) fn on_loopback(matrix: &Expanded) -> bool {
    match &matrix.frame.interfaces {
        Interfaces::All => true,
        Interfaces::Named(names) => names.iter().any(|name| name == "lo"),
    }
}

/// Where the row holds; `None` when no policed interface is among its own, so that nothing is dropped there anyway.
fn scope(matrix: &Expanded, row: &Row) -> Result<Option<Scope>, Refusal> {
    let Some(wanted) = &row.interfaces else { return Ok(Some(Scope::Everywhere)) };
    let Interfaces::Named(policed) = &matrix.frame.interfaces else {
        return Err(Refusal::new(
            format!("holds on {} only, and one host endpoint polices every interface of a node", list(wanted)),
            "name the interfaces in `enforcement.interfaces`; each then has a host endpoint of its own",
        ));
    };
    let mut within: Vec<String> = wanted.iter().filter(|name| policed.contains(name)).cloned().collect();
    within.sort_unstable();
    within.dedup();
    if row.action == Action::Deny && wanted.iter().any(|name| !policed.contains(name)) {
        let others: Vec<String> = wanted.iter().filter(|name| !policed.contains(name)).cloned().collect();
        return Err(Refusal::new(
            format!("denies on {}, which `enforcement.interfaces` does not police", list(&others)),
            "add the interface to `enforcement.interfaces`",
        ));
    }
    if policed.iter().all(|name| within.contains(name)) {
        return Ok(Some(Scope::Everywhere));
    }
    Ok((!within.is_empty()).then_some(Scope::On(within)))
}

/// Exceptions that are too many for a rule become a set that the rule excludes.
fn with_exceptions(peers: &mut Peers<'_>, row: &Row, who: Vec<Who>) -> Result<(Vec<Who>, Vec<Cidr>), Refusal> {
    let fits = |family| row.except.iter().filter(|cidr| cidr.family() == family).count() <= MOST_NETS;
    if fits(Family::IPv4) && fits(Family::IPv6) {
        return Ok((who, row.except.clone()));
    }
    let set = peers.row_set(row, row.except.clone());
    let who = who
        .into_iter()
        .map(|who| match who {
            Who::Anyone => {
                let nets = vec![Cidr::all(Family::IPv4), Cidr::all(Family::IPv6)];
                Ok(Who::Nets { nets, but_not: set.clone() })
            }
            Who::Nets { nets, but_not: None } => Ok(Who::Nets { nets, but_not: set.clone() }),
            // Beside a positive selector a negative one is decided endpoint by endpoint, not address by address.
            _ => Err(Refusal::new(
                format!("has more than {MOST_NETS} exceptions for a peer that is matched by label"),
                "merge the exceptions into fewer prefixes, or give the peer as prefixes",
            )),
        })
        .collect::<Result<_, _>>()?;
    Ok((who, Vec::new()))
}

/// Whether any peer of the row is everyone.
pub(super) fn from_anyone(row: &Row) -> bool {
    row.peers.contains(&Peer::Any)
}
