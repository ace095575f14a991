//! Failsafe ports: what every host endpoint admits before it looks at a policy.
//!
//! They hold on every node, in the chains before any tier, and override denies
//! (projectcalico/calico:felix/rules/static.go). A list replaces Calico's own; it is not merged with it.

mod cover;
mod lists;
mod report;

pub(super) use lists::lists;
pub(super) use report::report;

use std::fmt;

use policy::calico::api::{FelixConfigurationSpec, ProtoPort};
use policy::net::Cidr;

use super::options::{Failsafe, Options};
use super::{lifelines, shared_metadata, wave};
use crate::matrix::{Direction, Expanded, Row, Transport};
use crate::render::{AnyObject, Manifest};

/// One failsafe port. Only TCP and UDP: Felix does not start on anything else, though the API takes SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) transport: Transport,
    pub(super) port: u16,
    /// Inbound where from, outbound where to; `None` is anywhere, both families.
    pub(super) net: Option<Cidr>,
}

impl fmt::Display for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.transport.name(), self.port)
    }
}

impl Entry {
    fn anywhere(transport: Transport, port: u16) -> Self {
        Self { transport, port, net: None }
    }

    /// Whether everything that `other` admits is admitted by this one.
    fn includes(self, other: Self) -> bool {
        self.transport == other.transport
            && self.port == other.port
            && match (self.net, other.net) {
                (None, _) => true,
                (Some(net), Some(other)) => net.contains(other),
                (Some(_), None) => false,
            }
    }

    fn written(self) -> ProtoPort {
        ProtoPort {
            protocol: self.transport.name().to_owned(),
            port: i64::from(self.port),
            net: self.net.map(|net| net.to_string()),
        }
    }
}

/// The lists that are in force once the output is applied.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lists {
    pub(super) inbound: Vec<Entry>,
    pub(super) outbound: Vec<Entry>,
    /// The API server's service address is among the outbound entries.
    pub(super) admit_service_address: bool,
}

impl Lists {
    fn of(&self, direction: Direction) -> &[Entry] {
        match direction {
            Direction::Ingress => &self.inbound,
            Direction::Egress => &self.outbound,
        }
    }

    /// Whether the ports of a row are open to everyone anyway.
    pub(super) fn admit(&self, row: &Row) -> bool {
        let list = self.of(row.direction);
        lifelines::single_ports(row).is_some_and(|ports| {
            ports.into_iter().all(|(transport, port)| list.contains(&Entry::anywhere(transport, port)))
        })
    }
}

/// The FelixConfiguration that puts the lists into force.
pub(super) fn object(matrix: &Expanded, options: &Options, lists: &Lists) -> Option<Manifest> {
    if options.failsafe == Failsafe::Keep {
        return None;
    }
    let reason = match options.failsafe {
        Failsafe::Matrix => "failsafe ports computed from the lifelines of the matrix",
        Failsafe::None => "no failsafe ports: there is a way in that is not the network",
        Failsafe::Default | Failsafe::Keep => "Calico's own failsafe ports",
    };
    let written = |list: &[Entry]| Some(list.iter().map(|entry| entry.written()).collect());
    let spec = FelixConfigurationSpec {
        failsafe_inbound_host_ports: written(&lists.inbound),
        failsafe_outbound_host_ports: written(&lists.outbound),
        ..FelixConfigurationSpec::default()
    };
    let metadata = shared_metadata(matrix, reason);
    let object = AnyObject::FelixConfiguration(super::object(options.api, "FelixConfiguration", metadata, spec));
    Some(Manifest { wave: wave::FAILSAFE, shared: true, object })
}
