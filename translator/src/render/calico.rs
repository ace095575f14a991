//! Calico: tier, sets, policies, host endpoints, failsafes.
