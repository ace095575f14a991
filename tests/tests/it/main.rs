//! The whole system, and what upstream says of it. One binary: its tests run side by side, and it is linked once.

mod chart;
mod conformance;
mod features;
mod felix;
mod golden;
mod live_cilium;
mod manifests;
mod probes;
mod prove;
mod snapshot;
mod translate;
mod upstream;
mod webhook;
mod webhook_certificates;
mod webhook_cluster;
