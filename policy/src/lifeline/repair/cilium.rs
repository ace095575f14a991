//! Elements of Cilium's rules for what is lost.

use serde_json::{Map, Value, json};

use super::mend::Gap;
use super::nets::nets;
use super::pointer;
use crate::lifeline::judge::{Need, Outcome, PeerKind};
use crate::lifeline::model::{Ports, Traffic};
use crate::net::Family;
use crate::packet::{IpSet, protocol};
use crate::snapshot::sources::CILIUM;
use crate::snapshot::{Key, Manifest};

/// Ports that one element may have (cilium/cilium:pkg/policy/api/rule_validation.go, maxPorts).
const MOST_PORTS: usize = 40;
/// Entities that take nodes of the cluster in.
const WITH_NODES: [&str; 4] = ["all", "cluster", "remote-node", "kube-apiserver"];

/// Elements behind a policy's own, or less in those that deny, as operations of a JSON Patch.
pub(super) fn into_policy(manifest: &Manifest, gaps: &[&Gap<'_>]) -> Vec<Value> {
    let mut operations = Vec::new();
    // From the last to the first, so that taking an element out moves none that is still to come.
    let mut denies: Vec<&Gap<'_>> = gaps.iter().filter(|gap| gap.deciding.rule.is_some()).copied().collect();
    denies.sort_by_key(|gap| std::cmp::Reverse(gap.deciding.rule));
    denies.dedup_by(|one, other| one.deciding.path == other.deciding.path);
    operations.extend(denies.into_iter().filter_map(|gap| narrow(&manifest.value, gaps, gap)));
    let mut paths: Vec<&str> = Vec::new();
    let adding = || gaps.iter().filter(|gap| gap.deciding.rule.is_none());
    for gap in adding() {
        if !paths.contains(&gap.deciding.path.as_str()) {
            paths.push(&gap.deciding.path);
        }
    }
    for path in paths {
        let needs: Vec<&Need> =
            adding().filter(|gap| gap.deciding.path == path).flat_map(|gap| &gap.loss.needs).collect();
        for (list, leaving) in [("ingress", false), ("egress", true)] {
            let Some(new) = elements(&needs, leaving) else { return Vec::new() };
            let list = format!("{}/{list}", pointer(path));
            if manifest.value.pointer(&list).is_some_and(Value::is_array) {
                let new = new.into_iter();
                operations
                    .extend(new.map(|element| json!({"op": "add", "path": format!("{list}/-"), "value": element})));
            } else if !new.is_empty() {
                operations.push(json!({"op": "add", "path": list, "value": new}));
            }
        }
    }
    operations
}

/// A policy of its own that denies nothing, for the same nodes. Nothing helps so against a deny.
pub(super) fn beside(outcome: &Outcome, gaps: &[&Gap<'_>]) -> Option<Vec<Manifest>> {
    let mut objects: Vec<Manifest> = Vec::new();
    for gap in gaps {
        if gap.deciding.rule.is_some() {
            return None;
        }
        let key = gap.deciding.object.as_ref()?;
        let denying = outcome.world.snapshot.objects.get(key)?.value.pointer(&pointer(&gap.deciding.path))?;
        let nodes = denying.get("nodeSelector").cloned().unwrap_or_else(|| json!({}));
        let index = match objects.iter().position(|object| object.value["spec"]["nodeSelector"] == nodes) {
            Some(index) => index,
            None => {
                objects.push(policy(objects.len(), &nodes));
                objects.len() - 1
            }
        };
        add(objects[index].value.get_mut("spec")?.as_object_mut()?, gap)?;
    }
    Some(objects)
}

fn policy(count: usize, nodes: &Value) -> Manifest {
    let name = if count == 0 { "lifelines".to_owned() } else { format!("lifelines-{}", count + 1) };
    let kind = "CiliumClusterwideNetworkPolicy";
    let value = json!({
        "apiVersion": "cilium.io/v2",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"nodeSelector": nodes, "enableDefaultDeny": {"ingress": false, "egress": false}},
    });
    let key = Key { group: CILIUM.to_owned(), kind: kind.to_owned(), namespace: String::new(), name };
    Manifest { key, version: "v2".to_owned(), value, source: None }
}

/// Takes nodes, pods and prefixes out of an element that denies; the whole element where it is not about an entity that has
/// others too.
fn narrow(value: &Value, gaps: &[&Gap<'_>], gap: &Gap<'_>) -> Option<Value> {
    let path = pointer(&gap.deciding.path);
    let element = value.pointer(&path)?;
    let (entities, prefixes) =
        if gap.loss.leaving { ("toEntities", "toCIDRSet") } else { ("fromEntities", "fromCIDRSet") };
    let named: Vec<&str> =
        element.get(entities).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let needs = gaps.iter().filter(|one| one.deciding.path == gap.deciding.path).flat_map(|one| &one.loss.needs);
    let needs: Vec<&Need> = needs.collect();
    if needs.iter().all(|need| need.of == PeerKind::Nodes) && named.contains(&"all") {
        let others = named.into_iter().filter(|name| !WITH_NODES.contains(name) && *name != "world");
        let rest: Vec<&str> = others.chain(["world"]).collect();
        return Some(json!({"op": "replace", "path": format!("{path}/{entities}"), "value": rest}));
    }
    // The world by its prefixes, so that some can be left out. Addresses of pods that Cilium does not know are the world too.
    if named.iter().any(|name| ["all", "world"].contains(name))
        && named.iter().all(|name| WITH_NODES.contains(name) || *name == "world")
    {
        let needed = IpSet::union_of(needs.iter().map(|need| &need.peers));
        let part = |family: Family| {
            let except: Vec<String> = nets(&needed, family).iter().map(ToString::to_string).collect();
            let cidr = if family == Family::IPv4 { "0.0.0.0/0" } else { "::/0" };
            // What leaves nothing is refused.
            let all = except.iter().any(|net| net == cidr);
            (!all).then(
                || if except.is_empty() { json!({"cidr": cidr}) } else { json!({"cidr": cidr, "except": except}) },
            )
        };
        let parts: Vec<Value> = [Family::IPv4, Family::IPv6].into_iter().filter_map(part).collect();
        if !parts.is_empty() {
            let mut rest = element.as_object()?.clone();
            rest.remove(entities);
            rest.insert(prefixes.to_owned(), json!(parts));
            return Some(json!({"op": "replace", "path": path, "value": rest}));
        }
    }
    let (list, _) = path.rsplit_once('/')?;
    // A list that is left empty says something else than one that is absent.
    let alone = value.pointer(list)?.as_array()?.len() == 1;
    Some(json!({"op": "remove", "path": if alone { list } else { path.as_str() }}))
}

fn add(rule: &mut Map<String, Value>, gap: &Gap<'_>) -> Option<()> {
    let needs: Vec<&Need> = gap.loss.needs.iter().collect();
    for (list, leaving) in [("ingress", false), ("egress", true)] {
        let new = elements(&needs, leaving)?;
        if new.is_empty() {
            continue;
        }
        let own = rule.entry(list).or_insert_with(|| json!([])).as_array_mut()?;
        for element in new {
            if !own.contains(&element) {
                own.push(element);
            }
        }
    }
    Some(())
}

/// Elements for needs of a direction, first for nodes and pods, then for prefixes: what Cilium does not know as a node or a
/// pod is the world, whatever it is.
fn elements(needs: &[&Need], leaving: bool) -> Option<Vec<Value>> {
    let (entities, endpoints, prefixes) = match leaving {
        true => ("toEntities", "toEndpoints", "toCIDR"),
        false => ("fromEntities", "fromEndpoints", "fromCIDR"),
    };
    let mut drafts: Vec<(&str, Value, IpSet, Vec<Traffic>)> = Vec::new();
    for need in needs.iter().filter(|need| need.leaving == leaving) {
        let own = match need.of {
            PeerKind::Nodes => Some((entities, json!(["remote-node"]))),
            PeerKind::Pods => Some((endpoints, json!([{}]))),
            PeerKind::Outside => None,
        };
        let own = own.map(|(name, peers)| (name, peers, IpSet::empty()));
        for (name, peers, addresses) in own.into_iter().chain([(prefixes, Value::Null, need.peers.clone())]) {
            for traffic in &need.traffic {
                match drafts.iter_mut().find(|(one, _, _, of)| *one == name && of.contains(traffic)) {
                    Some((_, _, all, _)) => *all = all.union(&addresses),
                    None => drafts.push((name, peers.clone(), addresses.clone(), vec![*traffic])),
                }
            }
        }
    }
    let joined = drafts.into_iter().map(|(name, peers, addresses, traffic)| {
        let families = [Family::IPv4, Family::IPv6].into_iter().flat_map(|family| nets(&addresses, family));
        let all: Vec<String> = families.map(|net| net.to_string()).collect();
        let peers = if peers.is_null() { json!(all) } else { peers };
        let mut element = ports(*traffic.first()?)?;
        element.insert(name.to_owned(), peers);
        Some(element)
    });
    let mut elements: Vec<Map<String, Value>> = Vec::new();
    for element in joined.collect::<Option<Vec<_>>>()? {
        // Ports for the same peers stand together.
        let peers = |element: &Map<String, Value>| {
            let own =
                [entities, endpoints, prefixes].iter().find_map(|name| Some((*name, element.get(*name)?.clone())));
            own.filter(|_| element.contains_key("toPorts"))
        };
        let known = elements.iter_mut().find(|known| peers(known).is_some() && peers(known) == peers(&element));
        let places = known.and_then(|known| known.get_mut("toPorts")?.pointer_mut("/0/ports")?.as_array_mut());
        match (places, element.get("toPorts").and_then(|ports| ports.pointer("/0/ports")?.as_array())) {
            (Some(own), Some(new)) if own.len() + new.len() <= MOST_PORTS => own.extend(new.iter().cloned()),
            _ => elements.push(element),
        }
    }
    Some(elements.into_iter().map(Value::Object).collect())
}

fn ports(traffic: Traffic) -> Option<Map<String, Value>> {
    let Some(number) = traffic.protocol else {
        return Some(Map::new());
    };
    let name = match number {
        protocol::TCP => "TCP",
        protocol::UDP => "UDP",
        protocol::SCTP => "SCTP",
        protocol::ICMP | protocol::ICMPV6 => "",
        _ => return None,
    };
    let (key, value) = match traffic.ports {
        Ports::Icmp(kind, _) => {
            let family = if number == protocol::ICMP { "IPv4" } else { "IPv6" };
            ("icmps", json!([{"fields": [{"family": family, "type": kind}]}]))
        }
        _ if name.is_empty() => return None,
        Ports::All => ("toPorts", json!([{"ports": [{"port": "0", "protocol": name}]}])),
        Ports::Range(first, last) if first == last => {
            ("toPorts", json!([{"ports": [{"port": first.to_string(), "protocol": name}]}]))
        }
        Ports::Range(first, last) => {
            ("toPorts", json!([{"ports": [{"port": first.to_string(), "endPort": last, "protocol": name}]}]))
        }
    };
    Some([(key.to_owned(), value)].into_iter().collect())
}
