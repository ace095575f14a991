//! Every prefix of the apply order and of the delete order, with host endpoints there from the start or appearing one by one:
//! what the rows allow must be alive in each.
//!
//! A host endpoint that is not there yet polices nothing. The others' matter as peers: whoever a selector selects by a host
//! endpoint is unknown before that exists. So each node is looked at with every other endpoint, and with none; what lies
//! between admits no less than one of the two for every peer.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::calico::evaluate::Evaluator;
use policy::calico::state::{HostEndpoint, State};
use policy::snapshot::{Key, Manifest, Snapshot};

use super::{Place, Proof, endpoints};
use crate::matrix::Direction;
use crate::prove::check::{Checker, Ways};
use crate::prove::defect::Obstacle;
use crate::prove::facts::Member;
use crate::prove::put;
use crate::render::{AnyObject, Rendered};

/// Host endpoints and what makes them come and go on their own here.
const MADE: [&str; 2] = ["HostEndpoint", "KubeControllersConfiguration"];

/// The objects that are applied and removed, in apply order.
struct Order<'o> {
    objects: Vec<(&'o AnyObject, bool, &'o Manifest)>,
    /// Every policy comes after what it rests on, so that a state differs from the whole in nothing but which policies it
    /// has, and whether it has the settings.
    is_layered: bool,
}

/// A prefix of the apply order, or what is left in the delete order.
struct Step {
    /// How many objects are there.
    length: usize,
    /// The settings are there too.
    settings: bool,
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
    let order = Order::new(rendered, manifests);
    let base = without_endpoints(&proof.cluster.snapshot);
    let all: Vec<Manifest> = whole.endpoints.iter().map(endpoints::standing).collect();
    let mut states = Stages::new(proof, &order, put::into(&base, &all))?;
    let mut count = 0;
    for node in classes.iter().filter(|node| !node.roles.is_empty()) {
        let steps = order.steps(whole, node);
        count += walk(proof, checker, &mut states, node, &steps, Ways::NothingMissing)?;
        let own = whole.endpoints.iter().filter(|endpoint| endpoint.node == node.name);
        let alone: Vec<Manifest> = own.map(endpoints::standing).collect();
        let mut alone = Stages::new(proof, &order, put::into(&base, &alone))?;
        count += walk(proof, checker, &mut alone, node, &steps, Ways::Alone)?;
    }
    Ok(count)
}

fn walk(
    proof: &Proof<'_>,
    checker: &mut Checker<'_>,
    stages: &mut Stages<'_>,
    node: &Member,
    steps: &[Step],
    ways: Ways,
) -> Result<usize, Obstacle> {
    let Some(name) = proof.interfaces.first() else { return Ok(0) };
    let among = if ways == Ways::Alone { "no other host endpoint there" } else { "every host endpoint there" };
    for step in steps {
        let state = stages.state(step)?;
        let mut evaluator = Evaluator::new(&state);
        let applied = format!("{}, {among}", step.title);
        for direction in [Direction::Ingress, Direction::Egress] {
            let place = proof.place(checker, &state, node, (direction, name), ways);
            let place = Place { applied: &applied, ..place };
            proof.ask(checker, &state, &mut evaluator, &place)?;
        }
    }
    Ok(steps.len())
}

impl<'o> Order<'o> {
    fn new(rendered: &'o Rendered, manifests: &'o [Manifest]) -> Self {
        let objects: Vec<(&AnyObject, bool, &Manifest)> = rendered
            .objects
            .iter()
            .zip(manifests)
            .filter(|(_, manifest)| !MADE.contains(&manifest.key.kind.as_str()))
            .map(|(object, manifest)| (&object.object, object.shared, manifest))
            .collect();
        let rests = |object: &AnyObject| matches!(object, AnyObject::Tier(_) | AnyObject::GlobalNetworkSet(_));
        let first = objects.iter().position(|(object, ..)| is_policy(object)).unwrap_or(objects.len());
        let is_layered = !objects[first..].iter().any(|(object, ..)| rests(object));
        Self { objects, is_layered }
    }

    /// The steps after which something has changed for a node, and what is left of the delete order where objects that are
    /// shared with others stay behind.
    fn steps(&self, whole: &State, node: &Member) -> Vec<Step> {
        let endpoints = || whole.endpoints.iter().filter(|endpoint| endpoint.node == node.name);
        let selects = |policy: &policy::calico::state::Policy| {
            endpoints().any(|endpoint: &HostEndpoint| policy.selector.matches(&endpoint.labels))
        };
        let policies = whole.tiers.iter().flat_map(|tier| &tier.policies);
        let selecting: BTreeSet<&Key> = policies.filter(|policy| selects(policy)).map(|policy| &policy.key).collect();
        let total = self.objects.len();
        let before = "before anything is applied".to_owned();
        let mut steps = vec![Step { length: 0, settings: false, title: before }];
        let mut concerned = false;
        for length in 1..=total {
            let (object, _, manifest) = self.objects[length - 1];
            let concerns = selecting.contains(&manifest.key);
            concerned |= concerns;
            // Without a policy nothing is judged, and one for others changes nothing.
            if !concerned || (is_policy(object) && !concerns) {
                continue;
            }
            let settings = self.objects[..length].iter().any(|(_, shared, _)| *shared);
            steps.push(Step { length, settings, title: format!("after {length} of {total} objects in apply order") });
            if !settings && self.objects.iter().any(|(_, shared, _)| *shared) {
                let title = format!("with {length} of {total} objects left in delete order");
                steps.push(Step { length, settings: true, title });
            }
        }
        steps
    }

    fn manifests(&self, length: usize, settings: bool) -> impl Iterator<Item = &'o Manifest> {
        let kept = self.objects.iter().enumerate().filter(
            move |(at, (_, shared, _))| {
                if *shared { settings } else { *at < length }
            },
        );
        kept.map(|(_, (.., manifest))| *manifest)
    }
}

/// The states of an order, with certain host endpoints.
struct Stages<'s> {
    proof: &'s Proof<'s>,
    order: &'s Order<'s>,
    base: Snapshot,
    /// With every object but the settings, and with those.
    whole: [Arc<State>; 2],
}

impl<'s> Stages<'s> {
    fn new(proof: &'s Proof<'s>, order: &'s Order<'s>, base: Snapshot) -> Result<Self, Obstacle> {
        let total = order.objects.len();
        let of = |settings| -> Result<Arc<State>, Obstacle> {
            Ok(Arc::new(proof.compile(&put::into(&base, order.manifests(total, settings)), &[])?))
        };
        let whole = [of(false)?, of(true)?];
        Ok(Self { proof, order, base, whole })
    }

    fn state(&self, step: &Step) -> Result<State, Obstacle> {
        let manifests = || self.order.manifests(step.length, step.settings);
        if !self.order.is_layered {
            return self.proof.compile(&put::into(&self.base, manifests()), &[]);
        }
        let there: BTreeSet<&Key> = manifests().map(|manifest| &manifest.key).collect();
        let mut state = self.whole[usize::from(step.settings)].as_ref().clone();
        for tier in &mut state.tiers {
            tier.policies.retain(|policy| there.contains(&policy.key));
        }
        Ok(state)
    }
}

fn is_policy(object: &AnyObject) -> bool {
    matches!(object, AnyObject::GlobalNetworkPolicy(_))
}

fn without_endpoints(snapshot: &Snapshot) -> Snapshot {
    let mut next = snapshot.clone();
    if next.objects.keys().any(|key| MADE.contains(&key.kind.as_str())) {
        Arc::make_mut(&mut next.objects).retain(|key| !MADE.contains(&key.kind.as_str()));
    }
    next
}
