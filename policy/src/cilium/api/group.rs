//! CIDR groups (cilium/cilium:pkg/k8s/apis/cilium.io/v2/cidrgroups_types.go).

use serde::{Deserialize, Serialize};

/// `spec` of a CiliumCIDRGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiliumCidrGroupSpec {
    /// Prefixes of either family.
    #[serde(default, rename = "externalCIDRs")]
    pub external_cidrs: Vec<String>,
}
