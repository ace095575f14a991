//! Sets of prefixes (projectcalico/calico:api/pkg/apis/projectcalico/v3/globalnetworkset.go).

use serde::{Deserialize, Serialize};

/// `spec` of a GlobalNetworkSet. The labels that selectors match are the object's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalNetworkSetSpec {
    /// Prefixes or bare addresses of either family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nets: Option<Vec<String>>,
}
