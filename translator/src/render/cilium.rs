//! Cilium: CIDR groups and cluster-wide policies on hosts.
