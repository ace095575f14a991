//! What the API refuses in a FelixConfiguration, as far as a verdict rests on it
//! (projectcalico/calico:libcalico-go/lib/validator/v3/validator.go, api/pkg/apis/projectcalico/v3/felixconfig.go).

use serde_json::Value;

use crate::calico::address;

/// Path and reason of each fault. An object with one is never stored through `projectcalico.org/v3`.
pub(in crate::calico) fn faults(value: &Value) -> Vec<(String, &'static str)> {
    let mut faults = Vec::new();
    let field = |name: &str| value.get("spec")?.get(name).filter(|value| !value.is_null());
    let entries = |name: &str| field(name).and_then(Value::as_array).into_iter().flatten().enumerate();
    for name in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
        for (index, entry) in entries(name) {
            // The validator knows what an entry may say, and does not look at the entries of a configuration: what Felix
            // cannot start with is stored.
            if entry.get("protocol").is_some_and(|protocol| !protocol.is_null() && !protocol.is_string()) {
                faults.push((format!("spec.{name}[{index}].protocol"), "not text"));
            }
            let port = entry.get("port").map_or(Some(0), Value::as_u64);
            if port.is_none_or(|port| port > u64::from(u16::MAX)) {
                faults.push((format!("spec.{name}[{index}].port"), "not a port"));
            }
        }
    }
    let action = field("defaultEndpointToHostAction").and_then(Value::as_str).unwrap_or_default();
    if !matches!(action, "" | "Drop" | "Accept" | "Return") {
        faults.push(("spec.defaultEndpointToHostAction".to_owned(), "neither Drop nor Accept nor Return"));
    }
    for name in ["wireguardListeningPort", "wireguardListeningPortV6"] {
        if field(name).is_some_and(|port| !port.as_u64().is_some_and(|port| (1..=65535).contains(&port))) {
            faults.push((format!("spec.{name}"), "not a port"));
        }
    }
    for (index, entry) in entries("externalNodesList") {
        let net = entry.as_str().and_then(address::prefix_or_address);
        if !net.is_some_and(|net| net.addr().is_ipv4()) {
            faults.push((format!("spec.externalNodesList[{index}]"), "not an IPv4 prefix"));
        }
    }
    faults
}
