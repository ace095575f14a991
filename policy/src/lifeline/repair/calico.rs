//! Rules of Calico for what is lost.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::mend::Gap;
use super::nets::nets;
use crate::calico::state::Class;
use crate::lifeline::judge::{ICMP, ICMPV6, Need, Outcome, Passage};
use crate::lifeline::model::{Ports, Traffic};
use crate::net::Family;
use crate::packet::{IpSet, protocol};
use crate::snapshot::sources::STORED;
use crate::snapshot::{Key, Manifest};

/// Prefixes that one rule may have (projectcalico/calico:api/pkg/apis/projectcalico/v3/networkpolicy.go, maxItems 256).
const MOST_NETS: usize = 256;
/// Entries that one list of ports gets (the same file, maxItems 50).
const MOST_PORTS: usize = 50;
/// Addresses for whose packets to themselves there is a rule each; for more, one rule is for all of them.
const MOST_OWN: usize = 4;

/// Rules in front of a policy's own, in the lists that it applies, as operations of a JSON Patch.
pub(super) fn into_policy(outcome: &Outcome, manifest: &Manifest, gaps: &[&Gap<'_>]) -> Vec<Value> {
    let mut policies = outcome.world.calico.state().tiers.iter().flat_map(|tier| &tier.policies);
    let Some(policy) = policies.find(|policy| policy.key == manifest.key) else {
        return Vec::new();
    };
    let mut operations = Vec::new();
    for (list, applies) in [("ingress", policy.ingress.is_some()), ("egress", policy.egress.is_some())] {
        let new = if applies { rules(gaps, list, action(policy.class)) } else { Vec::new() };
        let present = manifest.value.pointer(&format!("/spec/{list}")).is_some_and(Value::is_array);
        if present {
            let new = new.into_iter().enumerate();
            operations.extend(
                new.map(|(at, rule)| json!({"op": "add", "path": format!("/spec/{list}/{at}"), "value": rule})),
            );
        } else if !new.is_empty() {
            operations.push(json!({"op": "add", "path": format!("/spec/{list}"), "value": new}));
        }
    }
    operations
}

/// Policies beside the one that drops, in front of it.
pub(super) fn beside(outcome: &Outcome, gaps: &[&Gap<'_>]) -> Option<Vec<Manifest>> {
    let state = outcome.world.calico.state();
    let mut objects: Vec<Manifest> = Vec::new();
    for gap in gaps {
        let key = gap.deciding.object.as_ref()?;
        let found = state.tiers.iter().find_map(|tier| {
            let policy = tier.policies.iter().find(|policy| policy.key == *key)?;
            let first = tier.policies.iter().map(|policy| policy.order).fold(f64::INFINITY, f64::min);
            Some((tier.name.as_str(), first, policy))
        });
        let (tier, order, selector, class) = match found {
            Some((tier, first, policy)) => {
                let written = outcome.world.snapshot.objects.get(key)?.value.pointer("/spec/selector");
                let selector = written.and_then(Value::as_str).unwrap_or_default().to_owned();
                (tier, first, selector, policy.class)
            }
            // No policy decides: the profiles of an endpoint do.
            None => {
                let endpoint = state.endpoints.iter().find(|endpoint| endpoint.key == *key)?;
                let label = "kubernetes.io/hostname";
                let (label, value) = endpoint.labels.get_key_value(label).or_else(|| endpoint.labels.iter().next())?;
                ("default", f64::INFINITY, format!("{label} == '{value}'"), Class::Normal)
            }
        };
        let mut lists = Map::new();
        for list in ["ingress", "egress"] {
            let new = rules(&[gap], list, action(class));
            if !new.is_empty() {
                lists.insert(list.to_owned(), Value::Array(new));
            }
        }
        if lists.is_empty() {
            return None;
        }
        let order = if order.is_finite() { order - 1.0 } else { 100.0 };
        let raw = key.group == STORED;
        add(&mut objects, &Beside { tier, order, selector, flags: flags(class), raw }, lists)?;
    }
    Some(objects)
}

struct Beside<'b> {
    tier: &'b str,
    order: f64,
    selector: String,
    flags: Map<String, Value>,
    raw: bool,
}

fn add(objects: &mut Vec<Manifest>, beside: &Beside<'_>, lists: Map<String, Value>) -> Option<()> {
    let Beside { tier, order, selector, flags, raw } = beside;
    let same = |object: &&mut Manifest| {
        object.value.pointer("/spec/selector").and_then(Value::as_str) == Some(selector.as_str())
            && object.value.pointer("/spec/tier").and_then(Value::as_str) == Some(*tier)
            && flags.iter().all(|(flag, value)| object.value["spec"].get(flag) == Some(value))
    };
    let count = objects.len();
    if let Some(object) = objects.iter_mut().find(same) {
        let spec = object.value.get_mut("spec")?.as_object_mut()?;
        for (list, new) in lists {
            let own = spec.entry(list).or_insert_with(|| json!([])).as_array_mut()?;
            let new: Vec<Value> = new.as_array()?.iter().filter(|rule| !own.contains(rule)).cloned().collect();
            own.extend(new);
        }
        spec.insert("types".to_owned(), types(spec));
        return Some(());
    }
    let suffix = if count == 0 { String::new() } else { format!("-{}", count + 1) };
    // Policies of the default tier are stored with its name in front, and written without it.
    let name =
        if *tier == "default" && !raw { format!("lifelines{suffix}") } else { format!("{tier}.lifelines{suffix}") };
    let (group, version) = if *raw { (STORED, "v1") } else { ("projectcalico.org", "v3") };
    let mut spec = Map::new();
    spec.insert("tier".to_owned(), json!(tier));
    spec.insert("order".to_owned(), json!(order));
    spec.insert("selector".to_owned(), json!(selector));
    spec.extend(flags.clone());
    spec.extend(lists);
    spec.insert("types".to_owned(), types(&spec));
    let value = json!({
        "apiVersion": format!("{group}/{version}"),
        "kind": "GlobalNetworkPolicy",
        "metadata": {"name": name},
        "spec": spec,
    });
    let key = Key { group: group.to_owned(), kind: "GlobalNetworkPolicy".to_owned(), namespace: String::new(), name };
    objects.push(Manifest { key, version: version.to_owned(), value, source: None });
    Some(())
}

fn types(spec: &Map<String, Value>) -> Value {
    let types = [("ingress", "Ingress"), ("egress", "Egress")];
    types.into_iter().filter(|(list, _)| spec.contains_key(*list)).map(|(_, kind)| json!(kind)).collect()
}

/// What makes another policy be asked at the same time.
fn flags(class: Class) -> Map<String, Value> {
    let names: &[&str] = match class {
        Class::Normal => &[],
        Class::Forward => &["applyOnForward"],
        Class::PreDnat => &["applyOnForward", "preDNAT"],
        Class::Untracked => &["applyOnForward", "doNotTrack"],
    };
    names.iter().map(|name| ((*name).to_owned(), json!(true))).collect()
}

/// What lets packets by. What is allowed untracked has no connection for its answers, so there it goes on to be tracked.
fn action(class: Class) -> &'static str {
    if class == Class::Untracked { "Pass" } else { "Allow" }
}

/// Rules of a list.
fn rules(gaps: &[&Gap<'_>], list: &str, action: &str) -> Vec<Value> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut inside: Vec<Inside> = Vec::new();
    for gap in gaps {
        let path = gap.deciding.path.strip_prefix("spec.");
        for need in &gap.loss.needs {
            let own = if need.leaving { "egress" } else { "ingress" };
            // Without tracking, what goes the other way is the answer to what is lost.
            let answers = action == "Pass" && path.is_some_and(|path| !path.starts_with(own));
            let wanted = match need.passage {
                Passage::End => (own == list) != answers,
                // Asked about where it enters and where it leaves; the path tells which of them drops it.
                Passage::Through | Passage::Inside => {
                    path.is_none_or(|path| path.starts_with(list) || path == "profiles")
                }
            };
            if !wanted {
                continue;
            }
            for traffic in &need.traffic {
                match need.passage {
                    Passage::Inside => Inside::add(&mut inside, need, *traffic),
                    Passage::End if answers => {
                        if let Some(traffic) = answer(*traffic) {
                            Draft::add(&mut drafts, need, traffic, true);
                        }
                    }
                    Passage::End | Passage::Through => Draft::add(&mut drafts, need, *traffic, false),
                }
            }
        }
    }
    Draft::join(&mut drafts);
    Inside::leave_out(&mut inside, &drafts);
    let own = inside.iter().flat_map(|inside| inside.rules(action));
    own.chain(drafts.iter().flat_map(|draft| draft.rules(action))).collect()
}

/// The answers to some packets, their ports still those of the one who answers.
fn answer(traffic: Traffic) -> Option<Traffic> {
    let Ports::Icmp(kind, _) = traffic.ports else { return Some(traffic) };
    let kinds: &[(u8, u8)] = if traffic.protocol == Some(protocol::ICMP) { &ICMP } else { &ICMPV6 };
    let (_, answer) = kinds.iter().find(|(request, _)| *request == kind)?;
    Some(Traffic { ports: Ports::Icmp(*answer, None), ..traffic })
}

/// Addresses that reach themselves: loopback, and each of a node's own.
struct Inside {
    addresses: IpSet,
    traffic: Traffic,
}

impl Inside {
    fn add(all: &mut Vec<Self>, need: &Need, traffic: Traffic) {
        match all.iter_mut().find(|known| known.traffic == traffic) {
            Some(known) => known.addresses = known.addresses.union(&need.peers),
            None => all.push(Self { addresses: need.peers.clone(), traffic }),
        }
    }

    /// Leaves out what a wider rule lets by.
    fn leave_out(all: &mut Vec<Self>, drafts: &[Draft]) {
        let wider = |one: Traffic, other: Traffic| one != other && one.and(other) == Some(other);
        for index in 0..all.len() {
            let traffic = all[index].traffic;
            let others = all.iter().filter(|other| wider(other.traffic, traffic)).map(|other| &other.addresses);
            let fits = |draft: &&Draft| draft.traffic.iter().any(|own| *own == traffic || wider(*own, traffic));
            let covered = IpSet::union_of(others.chain(drafts.iter().filter(fits).map(|draft| &draft.peers)));
            all[index].addresses = all[index].addresses.difference(&covered);
        }
        all.retain(|one| !one.addresses.is_empty());
    }

    fn rules(&self, action: &str) -> Vec<Value> {
        let own = families(self.traffic).flat_map(|family| self.parts(family));
        own.map(|nets| rule(action, &[self.traffic], Some(&nets), Some(&nets))).collect()
    }

    /// Addresses that there is one rule for.
    fn parts(&self, family: Family) -> Vec<Vec<String>> {
        let lists = |nets: Vec<IpNet>| nets.iter().map(ToString::to_string).take(MOST_NETS).collect::<Vec<_>>();
        let (loopback, own): (Vec<IpNet>, Vec<IpNet>) =
            nets(&self.addresses, family).into_iter().partition(|net| net.addr().is_loopback());
        // Neighbouring nodes are one prefix, and yet do not reach each other by this.
        let each = own.iter().all(|net| net.max_prefix_len() - net.prefix_len() <= 4);
        let single: Vec<IpNet> =
            if each { own.iter().flat_map(|net| net.hosts().map(IpNet::from)).collect() } else { Vec::new() };
        let own = if (1..=MOST_OWN).contains(&single.len()) {
            single.into_iter().map(|one| lists(vec![one])).collect()
        } else {
            vec![lists(own)]
        };
        let all = std::iter::once(lists(loopback)).chain(own);
        all.filter(|nets| !nets.is_empty()).collect()
    }
}

/// Rules that differ in nothing but ports.
struct Draft {
    leaving: bool,
    /// Whether they are about answers, which come from the ports.
    answers: bool,
    peers: IpSet,
    traffic: Vec<Traffic>,
}

impl Draft {
    fn add(drafts: &mut Vec<Self>, need: &Need, traffic: Traffic, answers: bool) {
        let leaving = need.leaving != answers;
        let same =
            |draft: &&mut Self| (draft.leaving, draft.answers) == (leaving, answers) && draft.traffic == [traffic];
        match drafts.iter_mut().find(same) {
            Some(draft) => draft.peers = draft.peers.union(&need.peers),
            None => drafts.push(Self { leaving, answers, peers: need.peers.clone(), traffic: vec![traffic] }),
        }
    }

    /// Puts ports of one protocol together where they are for the same peers.
    fn join(drafts: &mut Vec<Self>) {
        let mut joined: Vec<Self> = Vec::new();
        for draft in drafts.drain(..) {
            let ports = |draft: &Self| draft.traffic.iter().all(|traffic| matches!(traffic.ports, Ports::Range(..)));
            let same = |known: &&mut Self| {
                (known.leaving, known.answers) == (draft.leaving, draft.answers)
                    && known.peers == draft.peers
                    && known.traffic[0].protocol == draft.traffic[0].protocol
                    && ports(known)
                    && ports(&draft)
                    && known.traffic.len() < MOST_PORTS
            };
            match joined.iter_mut().find(same) {
                Some(known) => known.traffic.extend(draft.traffic),
                None => joined.push(draft),
            }
        }
        *drafts = joined;
    }

    /// One for each family.
    fn rules(&self, action: &str) -> Vec<Value> {
        let mut rules = Vec::new();
        for family in families(self.traffic[0]) {
            let peers: Vec<String> = nets(&self.peers, family).iter().map(ToString::to_string).collect();
            if peers.is_empty() {
                continue;
            }
            let peers = Some(peers.as_slice()).filter(|peers| peers.len() <= MOST_NETS);
            let (source, destination) = if self.leaving { (None, peers) } else { (peers, None) };
            let mut rule = rule(action, &self.traffic, source, destination);
            if self.answers {
                from_ports(&mut rule);
            }
            rules.push(rule);
        }
        rules
    }
}

/// Families that packets can be of.
fn families(traffic: Traffic) -> impl Iterator<Item = Family> {
    let icmp = [protocol::ICMP, protocol::ICMPV6].into_iter().find(|number| traffic.protocol == Some(*number));
    let fits = move |family: &Family| icmp.is_none_or(|number| number == protocol::icmp(*family));
    [Family::IPv4, Family::IPv6].into_iter().filter(fits)
}

/// Makes the ports of a rule those that its packets come from.
fn from_ports(rule: &mut Value) {
    let Some(to) = rule.get_mut("destination").and_then(Value::as_object_mut) else { return };
    let ports = to.remove("ports");
    if to.is_empty() {
        rule.as_object_mut().map(|rule| rule.remove("destination"));
    }
    if let Some(ports) = ports {
        rule["source"]["ports"] = ports;
    }
}

/// A rule for packets that are alike but for their ports.
fn rule(action: &str, traffic: &[Traffic], source: Option<&[String]>, destination: Option<&[String]>) -> Value {
    let mut rule = Map::new();
    rule.insert("action".to_owned(), json!(action));
    let (mut from, mut to) = (Map::new(), Map::new());
    if let Some(nets) = source {
        from.insert("nets".to_owned(), json!(nets));
    }
    if let Some(nets) = destination {
        to.insert("nets".to_owned(), json!(nets));
    }
    if let Some(number) = traffic.first().and_then(|traffic| traffic.protocol) {
        let name = match number {
            protocol::TCP => json!("TCP"),
            protocol::UDP => json!("UDP"),
            protocol::SCTP => json!("SCTP"),
            protocol::ICMP => json!("ICMP"),
            protocol::ICMPV6 => json!("ICMPv6"),
            number => json!(number),
        };
        rule.insert("protocol".to_owned(), name);
    }
    let mut ports = Vec::new();
    for traffic in traffic {
        match traffic.ports {
            Ports::All => {}
            Ports::Range(first, last) if first == last => ports.push(json!(first)),
            Ports::Range(first, last) => ports.push(json!(format!("{first}:{last}"))),
            // Without the code: nft refuses what Felix writes for a type with one.
            Ports::Icmp(kind, _) => {
                rule.insert("icmp".to_owned(), json!({"type": kind}));
            }
        }
    }
    if !ports.is_empty() {
        to.insert("ports".to_owned(), Value::Array(ports));
    }
    for (side, entity) in [("source", from), ("destination", to)] {
        if !entity.is_empty() {
            rule.insert(side.to_owned(), Value::Object(entity));
        }
    }
    Value::Object(rule)
}
