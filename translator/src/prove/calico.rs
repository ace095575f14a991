//! What Calico does with the objects.

mod endpoints;
mod order;

use policy::calico::compile::{Assumptions, compile};
use policy::calico::endpoint::Interface;
use policy::calico::evaluate::Evaluator;
use policy::calico::question::{Conntrack, Path, Question, Translation};
use policy::calico::settings::Dataplane;
use policy::calico::state::State;
use policy::calico::trace::trace;
use policy::calico::version::Version;
use policy::net::Family;
use policy::packet::{Cube, IpSet, PacketSet, Region, protocol};
use policy::snapshot::{Manifest, Snapshot};

use super::check::{Bounds, Checker, Difference, Ways};
use super::defect::{Defect, Disagreement, Obstacle};
use super::facts::{Member, loopback};
use super::intent::port_set;
use super::own::{self, Own};
use super::{Cluster, Scope, put};
use crate::matrix::{Action, Direction, Forward, Interfaces, Row};
use crate::render::Rendered;
use crate::render::calico::{self, Options};

/// Interface of a node where the matrix names none.
const DEVICE: &str = "eth0";
/// An interface that no matrix names.
const UNPOLICED: &str = "unpoliced0";
/// Interface of a pod.
const POD: &str = "cali0123456789a";

/// Proves a rendering; the number of states that were looked at.
pub(super) fn prove(
    cluster: &Cluster<'_>,
    checker: &mut Checker<'_>,
    options: &Options,
    rendered: &Rendered,
    scope: Scope,
) -> Result<usize, Obstacle> {
    let proof = Proof { cluster, options, interfaces: interfaces(checker) };
    let objects: Vec<Manifest> = rendered.objects.iter().map(put::manifest).collect();
    let snapshot = proof.with_endpoints(put::into(&cluster.snapshot, &objects), checker)?;
    let state = proof.compile(&snapshot, &objects)?;
    if scope == Scope::Order {
        proof.every_node_has_its_endpoint(checker, &state)?;
    }
    let mut evaluator = Evaluator::new(&state);
    let classes = cluster.classes();
    for node in &classes {
        proof.node(checker, &state, &mut evaluator, node)?;
    }
    if scope == Scope::Whole {
        return Ok(1);
    }
    let states = order::prove(&proof, checker, &state, rendered, &objects, &classes)?;
    Ok(1 + states)
}

/// What stays the same in every state.
struct Proof<'p> {
    cluster: &'p Cluster<'p>,
    options: &'p Options,
    /// Interfaces that are policed, loopback left out.
    interfaces: Vec<String>,
}

/// Where a packet passes, and what is wanted there.
struct Place<'p> {
    node: &'p Member,
    direction: Direction,
    question: Question,
    bounds: Bounds,
    domain: Region,
    own: Own,
    ways: Ways,
    applied: &'p str,
}

impl Proof<'_> {
    fn compile(&self, snapshot: &Snapshot, objects: &[Manifest]) -> Result<State, Obstacle> {
        let state = compile(snapshot, &self.assumptions());
        let ours = |key: &policy::snapshot::Key| objects.iter().any(|object| object.key == *key);
        if let Some(refusal) = state.refused.iter().find(|refusal| ours(&refusal.key)) {
            return Err(Obstacle::Defect(Defect::Object { what: refusal.to_string() }));
        }
        // The dangers that the engine knows of are those of nftables.
        let nftables = matches!(self.options.dataplane, None | Some(calico::Dataplane::Nftables));
        if let Some(danger) = state.dangers.iter().find(|danger| nftables && ours(&danger.key)) {
            let what = format!("{}: {}: {}", danger.key, danger.path, danger.effect);
            return Err(Obstacle::Defect(Defect::Object { what }));
        }
        if state.unknown.is_empty() {
            return Ok(state);
        }
        let text = |unknown: &policy::calico::state::Unknown| match &unknown.key {
            Some(key) => format!("{key}: {}: {}", unknown.path, unknown.reason),
            None => format!("{}: {}", unknown.path, unknown.reason),
        };
        Err(Obstacle::Unknown(state.unknown.iter().map(text).collect()))
    }

    fn assumptions(&self) -> Assumptions {
        let calico::Version { major, minor } = self.options.version;
        let version = u16::try_from(major).ok().zip(u16::try_from(minor).ok());
        // iptables and nftables differ in what destination NAT does to a packet, and no packet here is translated on its
        // way out.
        let dataplane = match self.options.dataplane {
            Some(calico::Dataplane::Ebpf) => Dataplane::Bpf,
            Some(calico::Dataplane::Nftables) => Dataplane::Nftables,
            Some(calico::Dataplane::Iptables) | None => Dataplane::Iptables,
        };
        Assumptions {
            version: version.map(|(major, minor)| Version { major, minor }),
            dataplane: Some(dataplane),
            native: false,
        }
    }

    /// One node, in every way that a packet can take.
    fn node(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        evaluator: &mut Evaluator<'_>,
        node: &Member,
    ) -> Result<(), Obstacle> {
        let mut names: Vec<&str> = self.interfaces.iter().map(String::as_str).collect();
        if !checker.intent.polices(UNPOLICED) {
            names.push(UNPOLICED);
        }
        let applied = "with everything applied";
        for name in names {
            for direction in [Direction::Ingress, Direction::Egress] {
                let place = Place { applied, ..self.place(checker, state, node, (direction, name), Ways::Both) };
                self.ask(checker, state, evaluator, &place)?;
            }
            self.forwarded(checker, state, evaluator, node, name)?;
        }
        if checker.intent.polices("lo") && self.options.dataplane != Some(calico::Dataplane::Ebpf) {
            self.loopback(checker, state, evaluator, node)?;
        }
        Ok(())
    }

    fn place<'p>(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        node: &'p Member,
        (direction, name): (Direction, &str),
        ways: Ways,
    ) -> Place<'p> {
        let interface = self.interface(node, name);
        let path = match direction {
            Direction::Ingress => Path::Ingress(interface),
            Direction::Egress => Path::Egress(interface),
        };
        let own = own::calico(&mut checker.space, state, state.settings(&node.name), &node.name, direction);
        let strays = &self.cluster.strays;
        let strays = if ways == Ways::Alone { strays.union(&self.cluster.late) } else { strays.clone() };
        Place {
            node,
            direction,
            question: self.question(node, path),
            bounds: checker.bounds(node, direction, Some(name)),
            domain: checker.between_hosts(direction, &strays),
            own,
            ways,
            applied: "",
        }
    }

    /// Packets for node ports, which the node sends on to a pod.
    fn forwarded(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        evaluator: &mut Evaluator<'_>,
        node: &Member,
        name: &str,
    ) -> Result<(), Obstacle> {
        let matrix = checker.intent.matrix;
        let enforced = matrix.frame.forward == Forward::Enforce;
        for family in [Family::IPv4, Family::IPv6] {
            let of_family = |address: &std::net::IpAddr| Family::of(*address) == family;
            let Some(pod) = self.cluster.pod.iter().copied().find(of_family) else { continue };
            let from = self.interface(node, name);
            let path = Path::Forward { from, to: Interface::new(POD, Vec::new()) };
            let mut question = self.question(node, path);
            question.translation = Some(Translation { destination: pod, port: Some(8080), interface: None });
            let bounds = if enforced { checker.bounds(node, Direction::Ingress, Some(name)) } else { Bounds::OPEN };
            let ports = Cube {
                source: loopback().complement().difference(&self.cluster.strays),
                destination: node.addresses.iter().copied().filter(of_family).collect(),
                protocols: [protocol::TCP, protocol::UDP, protocol::SCTP].into_iter().collect(),
                destination_ports: port_set(&[matrix.cluster.node_ports]),
                ..Cube::any()
            };
            let domain = checker.space.cube(&ports, 1);
            let (ways, applied) = (Ways::Both, "forwarded to a pod");
            let direction = Direction::Ingress;
            let place = Place { node, direction, question, bounds, domain, own: Own::NOTHING, ways, applied };
            self.ask(checker, state, evaluator, &place)?;
        }
        Ok(())
    }

    /// Packets of the node to itself, which leave and enter through the loopback interface.
    fn loopback(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        evaluator: &mut Evaluator<'_>,
        node: &Member,
    ) -> Result<(), Obstacle> {
        let out = checker.bounds(node, Direction::Egress, Some("lo"));
        let back = checker.bounds(node, Direction::Ingress, Some("lo"));
        let [own_out, own_in] = [Direction::Egress, Direction::Ingress]
            .map(|direction| own::calico(&mut checker.space, state, state.settings(&node.name), &node.name, direction));
        let own: IpSet = loopback().union(&node.addresses.iter().copied().collect());
        let space = &mut checker.space;
        let bounds = Bounds {
            least: space.within(out.least, back.least),
            alone: space.within(out.alone, back.alone),
            most: space.within(out.most, back.most),
        };
        let tunnels = Own {
            passes: space.or_else(own_out.passes, own_in.passes),
            drops: space.or_else(own_out.drops, own_in.drops),
        };
        let domain = space.cube(&Cube { source: own.clone(), destination: own, ..Cube::any() }, 1);
        let path = Path::Local(self.interface(node, "lo"));
        let place = Place {
            node,
            direction: Direction::Egress,
            question: self.question(node, path),
            bounds,
            domain,
            own: tunnels,
            ways: Ways::Both,
            applied: "with everything applied",
        };
        self.ask(checker, state, evaluator, &place)
    }

    fn ask(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        evaluator: &mut Evaluator<'_>,
        place: &Place<'_>,
    ) -> Result<(), Obstacle> {
        let actual: PacketSet = evaluator.evaluate(&place.question)?;
        match checker.compare(place.bounds, place.domain, place.own, &actual, place.ways)? {
            None => Ok(()),
            Some(difference) => Err(self.defect(checker, state, place, &difference)),
        }
    }

    fn defect(&self, checker: &Checker<'_>, state: &State, place: &Place<'_>, difference: &Difference) -> Obstacle {
        let Some(packet) = checker.sample(difference, place.node) else {
            return Obstacle::Unknown(vec!["a difference without a packet".to_owned()]);
        };
        let traced = trace(state, &place.question, &packet);
        let step = traced.decision().map(ToString::to_string).unwrap_or_default();
        let (interface, way) = match &place.question.path {
            Path::Ingress(interface) | Path::Egress(interface) | Path::Local(interface) => (interface, "through"),
            Path::Forward { from, .. } => (from, "forwarded from"),
        };
        let rows = checker.rows(&place.node.roles, place.direction, Some(&interface.name));
        let action = if difference.missing { Action::Allow } else { Action::Deny };
        let row = checker.intent.row_of(&rows, action, &packet).map(Row::title);
        Obstacle::Defect(Defect::Packet(Box::new(Disagreement {
            packet,
            node: place.node.name.clone(),
            roles: place.node.roles.iter().map(|role| checker.intent.matrix.roles[*role].name.clone()).collect(),
            direction: place.direction,
            place: format!("{way} {}", interface.name),
            wanted: difference.missing,
            row,
            cni: "Calico",
            step,
            applied: place.applied.to_owned(),
        })))
    }

    fn question(&self, node: &Member, path: Path) -> Question {
        // Policy is asked about every packet as about one that begins a flow. Answers and errors that belong to none are
        // dropped before it, and those that belong to one are let by.
        Question { conntrack: Some(Conntrack::New), ..Question::new(&node.name, path) }
    }

    /// The first policed interface carries the node's addresses.
    fn interface(&self, node: &Member, name: &str) -> Interface {
        let addresses = if self.interfaces.first().is_some_and(|first| first == name) {
            node.addresses.clone()
        } else {
            Vec::new()
        };
        Interface::new(name, addresses)
    }
}

/// Names of the interfaces that are policed, loopback left out.
fn interfaces(checker: &Checker<'_>) -> Vec<String> {
    match &checker.intent.matrix.frame.interfaces {
        Interfaces::All => vec![DEVICE.to_owned()],
        Interfaces::Named(names) => names.iter().filter(|name| *name != "lo").cloned().collect(),
    }
}
