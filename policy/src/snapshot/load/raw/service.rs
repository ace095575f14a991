//! Services and what is behind them.

use serde::Deserialize;

use super::{Meta, Read, all, or_default, tcp};
use crate::object::IntOrString;
use crate::snapshot::cluster::Map;
use crate::snapshot::{Endpoint, EndpointPort, EndpointSlice, Key, Service, ServicePort};

#[derive(Deserialize)]
pub(super) struct RawService {
    #[serde(default)]
    spec: RawServiceSpec,
    #[serde(default)]
    status: RawServiceStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "or_default")]
    cluster_ips: Vec<String>,
    #[serde(rename = "externalIPs", deserialize_with = "or_default")]
    external_ips: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    ports: Vec<RawServicePort>,
    selector: Option<Map>,
    health_check_node_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawServicePort {
    #[serde(default)]
    name: String,
    #[serde(default = "tcp")]
    protocol: String,
    port: u16,
    node_port: Option<u16>,
    target_port: Option<IntOrString>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawServiceStatus {
    load_balancer: RawLoadBalancer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancer {
    #[serde(deserialize_with = "or_default")]
    ingress: Vec<RawLoadBalancerIngress>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLoadBalancerIngress {
    ip: Option<String>,
}

pub(super) fn service(key: &Key, raw: RawService) -> Read<Service> {
    let mut cluster = raw.spec.cluster_ips;
    if cluster.is_empty() {
        cluster.extend(raw.spec.cluster_ip);
    }
    // Headless services have the word `None`, external names nothing.
    cluster.retain(|address| !address.is_empty() && address != "None");
    let mut external = raw.spec.external_ips;
    external.extend(raw.status.load_balancer.ingress.into_iter().filter_map(|ingress| ingress.ip));
    let port = |port: RawServicePort| ServicePort {
        target_port: match port.target_port {
            None => port.port.to_string(),
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name,
        },
        name: port.name,
        protocol: port.protocol,
        port: port.port,
        node_port: port.node_port.filter(|port| *port != 0),
    };
    Ok(Service {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        kind: raw.spec.kind,
        cluster_addresses: all(&cluster, "spec.clusterIPs")?,
        external_addresses: all(&external, "status.loadBalancer.ingress")?,
        ports: raw.spec.ports.into_iter().map(port).collect(),
        selector: raw.spec.selector,
        health_check_port: raw.spec.health_check_node_port.filter(|port| *port != 0),
    })
}

#[derive(Deserialize)]
pub(super) struct RawSlice {
    metadata: Meta,
    #[serde(default, deserialize_with = "or_default")]
    endpoints: Vec<RawEndpoint>,
    #[serde(default, deserialize_with = "or_default")]
    ports: Vec<RawEndpointPort>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: RawConditions,
    node_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct RawEndpointPort {
    name: Option<String>,
    #[serde(default = "tcp")]
    protocol: String,
    port: Option<u16>,
}

pub(super) fn slice(key: &Key, raw: RawSlice) -> Read<EndpointSlice> {
    let endpoint = |raw: RawEndpoint| {
        Ok(Endpoint {
            addresses: all(&raw.addresses, "endpoints.addresses")?,
            // Unknown counts as ready (kubernetes/api:discovery/v1/types.go).
            ready: raw.conditions.ready.unwrap_or(true),
            node: raw.node_name.unwrap_or_default(),
        })
    };
    let port = |raw: RawEndpointPort| EndpointPort {
        name: raw.name.unwrap_or_default(),
        protocol: raw.protocol,
        port: raw.port,
    };
    Ok(EndpointSlice {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        service: raw.metadata.labels.get("kubernetes.io/service-name").cloned().unwrap_or_default(),
        endpoints: raw.endpoints.into_iter().map(endpoint).collect::<Read<_>>()?,
        ports: raw.ports.into_iter().map(port).collect(),
    })
}
