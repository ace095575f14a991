//! From an expanded matrix to policy objects.

pub mod calico;
pub mod cilium;
pub mod loss;
mod meta;
mod nodes;

pub use nodes::{Node, read_nodes};

use policy::{calico::api as calico_api, cilium::api as cilium_api};
use serde::Serialize;

use crate::finding::Finding;
use crate::matrix::{Direction, Origin};

use loss::Loss;

/// Objects in an order that is safe to apply, what could not be said, and how each row fared.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Objects, in apply order: every prefix of the list leaves alive what the whole list admits.
    pub objects: Vec<Manifest>,
    /// What was lost, in the order of the rows.
    pub findings: Vec<Finding>,
    /// One entry per row in force and direction, frame rows too.
    pub outcomes: Vec<Outcome>,
    /// The packets that findings are about which report more or less than the rows say.
    pub losses: Vec<Loss>,
}

/// How one row fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The row.
    pub row: Origin,
    /// Its direction; parts of the frame have a row in each.
    pub direction: Direction,
    /// How.
    pub fate: Fate,
}

/// How a row is represented in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// The objects say exactly this.
    Exact,
    /// Nothing to write: the direction is allowed by default, or the CNI never polices these packets.
    Implied,
    /// The objects admit more; a finding says what.
    Wider,
    /// The objects admit less; a finding says what.
    Narrower,
    /// Left out; a finding says why.
    Refused,
}

/// An object and its place in the order.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Objects of a lower wave are applied first; within a wave the order does not matter for safety.
    pub wave: u8,
    /// The object is shared with others (FelixConfiguration `default`, KubeControllersConfiguration `default`): it is
    /// merged into, never deleted.
    pub shared: bool,
    /// The object.
    pub object: AnyObject,
}

/// Any object that is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each variant is the kind it names")]
pub enum AnyObject {
    Tier(calico_api::Tier),
    GlobalNetworkSet(calico_api::GlobalNetworkSet),
    GlobalNetworkPolicy(calico_api::GlobalNetworkPolicy),
    HostEndpoint(calico_api::HostEndpoint),
    FelixConfiguration(calico_api::FelixConfiguration),
    KubeControllersConfiguration(calico_api::KubeControllersConfiguration),
    CiliumClusterwideNetworkPolicy(Box<cilium_api::CiliumClusterwideNetworkPolicy>),
    CiliumCidrGroup(cilium_api::CiliumCidrGroup),
}

impl AnyObject {
    /// Kind and name, such as `Tier/lifeline`.
    pub fn title(&self) -> String {
        let (kind, metadata) = match self {
            Self::Tier(object) => (&object.kind, &object.metadata),
            Self::GlobalNetworkSet(object) => (&object.kind, &object.metadata),
            Self::GlobalNetworkPolicy(object) => (&object.kind, &object.metadata),
            Self::HostEndpoint(object) => (&object.kind, &object.metadata),
            Self::FelixConfiguration(object) => (&object.kind, &object.metadata),
            Self::KubeControllersConfiguration(object) => (&object.kind, &object.metadata),
            Self::CiliumClusterwideNetworkPolicy(object) => (&object.kind, &object.metadata),
            Self::CiliumCidrGroup(object) => (&object.kind, &object.metadata),
        };
        format!("{kind}/{}", metadata.name)
    }

    /// Metadata, to add to.
    pub fn metadata_mut(&mut self) -> &mut policy::object::ObjectMeta {
        match self {
            Self::Tier(object) => &mut object.metadata,
            Self::GlobalNetworkSet(object) => &mut object.metadata,
            Self::GlobalNetworkPolicy(object) => &mut object.metadata,
            Self::HostEndpoint(object) => &mut object.metadata,
            Self::FelixConfiguration(object) => &mut object.metadata,
            Self::KubeControllersConfiguration(object) => &mut object.metadata,
            Self::CiliumClusterwideNetworkPolicy(object) => &mut object.metadata,
            Self::CiliumCidrGroup(object) => &mut object.metadata,
        }
    }
}
