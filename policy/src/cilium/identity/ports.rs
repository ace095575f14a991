//! Named ports of peers (cilium/cilium:pkg/types/portmap.go).

use std::collections::BTreeMap;

use super::Identity;

/// Port numbers by identity, name and protocol.
///
/// A name that one identity has with several numbers is not usable for that identity.
#[derive(Clone, Debug, Default)]
pub struct NamedPorts(BTreeMap<(Identity, String, u8), Option<u16>>);

impl NamedPorts {
    /// Adds what one pod calls its ports.
    pub fn add(&mut self, identity: &Identity, name: &str, protocol: u8, port: u16) {
        if port == 0 {
            return;
        }
        self.0
            .entry((identity.clone(), name.to_owned(), protocol))
            .and_modify(|known| *known = known.filter(|known| *known == port))
            .or_insert(Some(port));
    }

    /// The number of a name.
    pub fn get(&self, identity: &Identity, name: &str, protocol: u8) -> Option<u16> {
        self.0.get(&(identity.clone(), name.to_owned(), protocol)).copied().flatten()
    }

    /// Whether some set of pod labels goes with several numbers of a name.
    ///
    /// Endpoints that were made by 1.20.2 or later carry their named ports in their labels, which tells such pods apart;
    /// older ones do not (cilium/cilium:pkg/endpoint/metadata/k8s_metadatafetcher.go). A snapshot does not say which
    /// they are.
    pub fn is_ambiguous(&self, name: &str) -> bool {
        self.0.iter().any(|((_, own, _), port)| own == name && port.is_none())
    }
}
