//! What the proof found.

use std::fmt;

use policy::packet::{Exhausted, Packet};

use crate::matrix::Direction;

/// The objects do not do what the rows say: a defect of the renderer, or of the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A packet that is admitted and should not be, or the other way round.
    Packet(Box<Disagreement>),
    /// An object that the CNI would not take, or not as it is meant.
    Object {
        /// Which, and what about it.
        what: String,
    },
}

/// A packet about which the rows and the CNI disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disagreement {
    /// The packet.
    pub packet: Packet,
    /// The node.
    pub node: String,
    /// The roles that it is in.
    pub roles: Vec<String>,
    /// From the node's point of view.
    pub direction: Direction,
    /// Where it passes, such as `through eth0`.
    pub place: String,
    /// Whether the rows admit it.
    pub wanted: bool,
    /// The row that says so, if there is one.
    pub row: Option<String>,
    /// The name of the CNI.
    pub cni: &'static str,
    /// The step that decides.
    pub step: String,
    /// What was applied.
    pub applied: String,
}

impl Defect {
    /// The same in one line.
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Packet(disagreement) => {
                let Disagreement { packet, direction, node, place, step, .. } = disagreement.as_ref();
                let (matrix, cluster) =
                    if disagreement.wanted { ("admits", "drops") } else { ("does not admit", "lets by") };
                format!("the matrix {matrix} {packet}, and {direction} of node {node}, {place}, {cluster} it: {step}")
            }
            Self::Object { what } => format!("an object is not taken as it is meant: {what}"),
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(disagreement) => disagreement.fmt(formatter),
            Self::Object { what } => write!(formatter, "an object would not be taken as it is meant: {what}"),
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packet, node, direction, place, cni, step, applied, .. } = self;
        let roles = if self.roles.is_empty() { "no role".to_owned() } else { self.roles.join(", ") };
        let verb = |admits: bool| if admits { "admits it" } else { "does not admit it" };
        writeln!(formatter, "the objects do not do what the matrix says")?;
        writeln!(formatter, "  packet: {packet}")?;
        writeln!(formatter, "  where:  {direction} of node {node} ({roles}), {place}, {applied}")?;
        let row = self.row.as_ref().map(|row| format!(", {row}")).unwrap_or_default();
        writeln!(formatter, "  matrix: {}{row}", verb(self.wanted))?;
        write!(formatter, "  {cni}: {}: {step}", verb(!self.wanted))
    }
}

/// Why there is no proof.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// There is a defect.
    Defect(Defect),
    /// Something is not known, so that nothing can be said.
    Unknown(Vec<String>),
}

impl From<Exhausted> for Obstacle {
    fn from(error: Exhausted) -> Self {
        Self::Unknown(vec![error.to_string()])
    }
}
