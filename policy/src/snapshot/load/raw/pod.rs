//! Pods.

use serde::Deserialize;

use super::{Meta, Read, all, or_default, tcp};
use crate::snapshot::{Key, NamedPort, Pod};

/// Beginnings of the names of pods whose arguments are kept.
const TELLING: [&str; 4] = ["etcd-", "konnectivity-agent", "kube-apiserver", "kube-controller-manager"];

#[derive(Deserialize)]
pub(super) struct RawPod {
    metadata: Meta,
    #[serde(default)]
    spec: RawPodSpec,
    #[serde(default)]
    status: RawPodStatus,
}

impl RawPod {
    /// Whether it has no address any more.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodSpec {
    node_name: String,
    host_network: bool,
    service_account_name: String,
    containers: Vec<RawPodContainer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPodContainer {
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawContainerPort>,
    #[serde(deserialize_with = "or_default")]
    command: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainerPort {
    #[serde(default)]
    name: String,
    container_port: u16,
    host_port: Option<u16>,
    #[serde(default = "tcp")]
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pod_ips: Vec<RawPodIp>,
}

#[derive(Deserialize)]
struct RawPodIp {
    ip: String,
}

pub(super) fn pod(key: &Key, raw: RawPod) -> Read<Pod> {
    let mut addresses: Vec<String> = raw.status.pod_ips.into_iter().map(|address| address.ip).collect();
    if addresses.is_empty() {
        addresses.extend(raw.status.pod_ip.filter(|address| !address.is_empty()));
    }
    // Felix and cilium-agent note a pod's address and wiring under their own names.
    let own = |name: &String| name.contains("projectcalico.org/") || name.contains("cilium.io/");
    let host_network = raw.spec.host_network;
    let tells = TELLING.iter().any(|name| key.name.starts_with(name));
    let (mut ports, mut host_ports, mut args) = (Vec::new(), Vec::new(), Vec::new());
    for container in raw.spec.containers {
        if tells {
            args.extend(container.command.into_iter().chain(container.args));
        }
        for port in container.ports {
            // The API server copies `containerPort` to `hostPort` for pods on the host network; a manifest may lack that.
            let on_host = if host_network { Some(port.container_port) } else { port.host_port };
            if let Some(number) = on_host.filter(|number| *number != 0) {
                host_ports.push(NamedPort { name: port.name.clone(), protocol: port.protocol.clone(), port: number });
            }
            if !port.name.is_empty() {
                ports.push(NamedPort { name: port.name, protocol: port.protocol, port: port.container_port });
            }
        }
    }
    Ok(Pod {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        labels: raw.metadata.labels.into(),
        annotations: raw.metadata.annotations.into_iter().filter(|(name, _)| own(name)).collect(),
        addresses: all(&addresses, "status.podIPs")?,
        node: raw.spec.node_name,
        host_network,
        service_account: raw.spec.service_account_name,
        ports,
        host_ports,
        args,
        ..Pod::default()
    })
}
