//! Every prefix of the apply order and of the delete order, with host endpoints there from the start or appearing one by one:
//! what the rows allow must be alive in each.
//!
//! A host endpoint that is not there yet polices nothing. The others' matter as peers: whoever a selector selects by a host
//! endpoint is unknown before that exists. So each node is looked at with every other endpoint, and with none; what lies
//! between admits no less than one of the two for every peer.

use std::sync::Arc;

use policy::calico::evaluate::Evaluator;
use policy::calico::state::State;
use policy::snapshot::{Manifest, Snapshot};

use super::{Place, Proof, endpoints};
use crate::matrix::Direction;
use crate::prove::check::{Checker, Ways};
use crate::prove::defect::Obstacle;
use crate::prove::facts::Member;
use crate::prove::put;
use crate::render::{AnyObject, Rendered};

/// What is applied.
struct Step<'s> {
    objects: Vec<&'s Manifest>,
    title: String,
}

/// Looks at every state on the way; how many there were.
pub(super) fn prove(
    proof: &Proof<'_>,
    checker: &mut Checker<'_>,
    whole: &State,
    rendered: &Rendered,
    manifests: &[Manifest],
    classes: &[&Member],
) -> Result<usize, Obstacle> {
    // Host endpoints and what makes them come and go on their own here.
    let is_endpoint = |object: &AnyObject| {
        matches!(object, AnyObject::HostEndpoint(_) | AnyObject::KubeControllersConfiguration(_))
    };
    let zipped = rendered.objects.iter().zip(manifests);
    let objects: Vec<(&AnyObject, bool, &Manifest)> = zipped
        .filter(|(object, _)| !is_endpoint(&object.object))
        .map(|(object, manifest)| (&object.object, object.shared, manifest))
        .collect();
    let mut states = 0;
    for node in classes.iter().filter(|node| !node.roles.is_empty()) {
        let steps = steps(whole, &objects, node);
        let own = |endpoint: &&policy::calico::state::HostEndpoint| endpoint.node == node.name;
        let all: Vec<Manifest> = whole.endpoints.iter().map(endpoints::standing).collect();
        let alone: Vec<Manifest> = whole.endpoints.iter().filter(own).map(endpoints::standing).collect();
        for (present, ways, among) in [
            (&all, Ways::NothingMissing, "every host endpoint there"),
            (&alone, Ways::Alone, "no other host endpoint there"),
        ] {
            let base = put::into(&without_endpoints(&proof.cluster.snapshot), present);
            for step in &steps {
                let snapshot = put::into(&base, step.objects.iter().copied());
                let state = proof.compile(&snapshot, &[])?;
                let mut evaluator = Evaluator::new(&state);
                let applied = format!("{}, {among}", step.title);
                for direction in [Direction::Ingress, Direction::Egress] {
                    let Some(name) = proof.interfaces.first() else { continue };
                    let place = proof.place(checker, &state, node, direction, name);
                    let place = Place { ways, applied: &applied, ..place };
                    proof.ask(checker, &state, &mut evaluator, &place)?;
                }
                states += 1;
            }
        }
    }
    Ok(states)
}

/// The prefixes after which something has changed for a node, and what is left of the delete order where objects that are
/// shared with others stay behind.
fn steps<'s>(whole: &State, objects: &[(&AnyObject, bool, &'s Manifest)], node: &Member) -> Vec<Step<'s>> {
    let endpoints = || whole.endpoints.iter().filter(|endpoint| endpoint.node == node.name);
    let policies = || whole.tiers.iter().flat_map(|tier| &tier.policies);
    let concerns = |manifest: &Manifest| {
        policies().any(|policy| {
            policy.key == manifest.key && endpoints().any(|endpoint| policy.selector.matches(&endpoint.labels))
        })
    };
    let relevant: Vec<(bool, bool)> = objects
        .iter()
        .map(|(object, _, manifest)| {
            let policy = matches!(object, AnyObject::GlobalNetworkPolicy(_));
            (policy, policy && concerns(manifest))
        })
        .collect();
    let mut steps = vec![Step { objects: Vec::new(), title: "before anything is applied".to_owned() }];
    for length in 1..=objects.len() {
        let (policy, concerned) = relevant[length - 1];
        // Without a policy nothing is judged, and one for others changes nothing.
        if !relevant[..length].iter().any(|(_, concerned)| *concerned) || (policy && !concerned) {
            continue;
        }
        let objects_so_far = objects[..length].iter().map(|(_, _, manifest)| *manifest);
        let title = format!("after {length} of {} objects in apply order", objects.len());
        steps.push(Step { objects: objects_so_far.collect(), title });
        let shared: Vec<&Manifest> =
            objects[length..].iter().filter(|(_, shared, _)| *shared).map(|(_, _, manifest)| *manifest).collect();
        if !shared.is_empty() {
            let left = objects[..length].iter().map(|(_, _, manifest)| *manifest).chain(shared);
            let title = format!("with {length} of {} objects left in delete order", objects.len());
            steps.push(Step { objects: left.collect(), title });
        }
    }
    steps
}

fn without_endpoints(snapshot: &Snapshot) -> Snapshot {
    let mut next = snapshot.clone();
    if next.objects.keys().any(|key| is_made(&key.kind)) {
        Arc::make_mut(&mut next.objects).retain(|key, _| !is_made(&key.kind));
    }
    next
}

fn is_made(kind: &str) -> bool {
    matches!(kind, "HostEndpoint" | "KubeControllersConfiguration")
}
