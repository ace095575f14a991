//! Address sets: what selectors, named ports and services stand for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::owners::Owner;
use crate::calico::selector::Selector;
use crate::calico::state::{AddressSet, Members, SetId};
use crate::snapshot::{Cluster, EndpointSlice};

/// What a set stands for. Equal contents are one set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Content {
    /// Addresses of endpoints and sets.
    Selector(Selector),
    /// Addresses and numbers of a named port, of the endpoints that a selector selects.
    NamedPort { selector: Selector, name: String, protocol: u8 },
    /// Addresses, or addresses and ports, behind a service.
    Service { namespace: String, name: String, with_ports: bool },
}

/// Sets that rules have asked for so far.
#[derive(Debug, Default)]
pub(super) struct Sets {
    ids: HashMap<Arc<Content>, SetId>,
    contents: Vec<Arc<Content>>,
}

impl Sets {
    /// The set of a content.
    pub(super) fn id(&mut self, content: Content) -> SetId {
        if let Some(id) = self.ids.get(&content) {
            return *id;
        }
        let (id, content) = (SetId(self.contents.len()), Arc::new(content));
        self.contents.push(Arc::clone(&content));
        self.ids.insert(content, id);
        id
    }

    pub(super) fn len(&self) -> usize {
        self.contents.len()
    }

    /// Finds the members of every set. What was `known` stays where nothing has changed; with `same` owners and services
    /// that is all of it.
    pub(super) fn resolve(
        &self,
        owners: &[Owner],
        cluster: &Cluster,
        known: &[Arc<AddressSet>],
        same: bool,
    ) -> Vec<Arc<AddressSet>> {
        let contents = self.contents.iter().enumerate();
        contents
            .map(|(index, content)| match known.get(index) {
                Some(known) if same => Arc::clone(known),
                known => {
                    let found = content.resolve(owners, cluster);
                    known.filter(|known| ***known == found).map_or_else(|| Arc::new(found), Arc::clone)
                }
            })
            .collect()
    }
}

impl Content {
    fn resolve(&self, owners: &[Owner], cluster: &Cluster) -> AddressSet {
        match self {
            Self::Selector(selector) => {
                let selected = owners.iter().filter(|owner| selector.matches(&owner.labels));
                let members = nets(selected.flat_map(|owner| owner.nets.iter().copied()));
                AddressSet { meaning: format!("addresses of `{selector}`"), members }
            }
            Self::NamedPort { selector, name, protocol } => {
                let selected = owners.iter().filter(|owner| selector.matches(&owner.labels));
                let members = selected.flat_map(|owner| {
                    let ports = owner.ports.iter().filter(|(found, number, _)| found == name && number == protocol);
                    ports.flat_map(|(_, _, port)| owner.nets.iter().map(|net| (net.addr(), *protocol, *port)))
                });
                let members = ports(members.collect());
                AddressSet { meaning: format!("port `{name}` of `{selector}`"), members }
            }
            Self::Service { namespace, name, with_ports } => {
                let slices: Vec<_> = cluster
                    .slices
                    .iter()
                    .filter(|slice| slice.namespace == *namespace && slice.service == *name)
                    .collect();
                let members = if *with_ports {
                    ports(slices.iter().flat_map(|slice| members_with_ports(slice)).collect())
                } else {
                    nets(slices.iter().flat_map(|slice| addresses(slice)).map(IpNet::from))
                };
                AddressSet { meaning: format!("endpoints of the service {namespace}/{name}"), members }
            }
        }
    }
}

/// Readiness does not count (projectcalico/calico:felix/serviceindex/serviceindex.go).
fn addresses(slice: &EndpointSlice) -> impl Iterator<Item = IpAddr> {
    slice.endpoints.iter().flat_map(|endpoint| endpoint.addresses.iter().copied())
}

/// A port without a number contributes nothing; a protocol that is neither UDP nor SCTP is TCP (same file).
fn members_with_ports(slice: &EndpointSlice) -> impl Iterator<Item = (IpAddr, u8, u16)> {
    slice.ports.iter().filter_map(|port| Some((port.protocol.as_str(), port.port?))).flat_map(|(protocol, port)| {
        let protocol = match protocol {
            "UDP" => 17,
            "SCTP" => 132,
            _ => 6,
        };
        addresses(slice).map(move |address| (address, protocol, port))
    })
}

fn nets(members: impl Iterator<Item = IpNet>) -> Members {
    let mut members: Vec<_> = members.collect();
    members.sort_unstable();
    members.dedup();
    Members::Nets(members)
}

fn ports(mut members: Vec<(IpAddr, u8, u16)>) -> Members {
    members.sort_unstable();
    members.dedup();
    Members::Ports(members)
}
