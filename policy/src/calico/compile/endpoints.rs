//! Host endpoints: objects, and those that calico-kube-controllers is told to create.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::{Faults, rule};
use super::decode::{EndpointPort, EndpointSpec, Protocol};
use super::{Compiler, Read, api, names, owners};
use crate::calico::state::{Endpoints, HostEndpoint, Interfaces, Profile, Stage};
use crate::calico::{address, endpoint};

impl Compiler<'_> {
    /// Every host endpoint, by name.
    pub(super) fn endpoints(&mut self, profiles: &BTreeMap<String, Arc<Profile>>) -> Endpoints {
        let mut endpoints = Vec::new();
        for read in self.read::<EndpointSpec>("HostEndpoint") {
            endpoints.extend(self.endpoint(read, profiles));
        }
        let (expected, unknown) = endpoint::automatic(self.snapshot, &endpoints);
        self.notes.unknown.extend(unknown);
        endpoints.extend(expected);
        for endpoint in &mut endpoints {
            owners::inherit(&mut endpoint.labels, &endpoint.profiles, profiles);
        }
        Endpoints::new(endpoints)
    }

    fn endpoint(
        &mut self,
        Read { key, object, raw }: Read<EndpointSpec>,
        profiles: &BTreeMap<String, Arc<Profile>>,
    ) -> Option<HostEndpoint> {
        if !raw && !self.accept(&key, Stage::Api, api::endpoint(&object)) {
            return None;
        }
        let spec = object.spec;
        let mut faults = Faults::default();
        check(&mut faults, &spec);
        if !self.accept(&key, Stage::Felix, faults.into_result()) {
            return None;
        }
        let labels = object.metadata.labels;
        for label in ["projectcalico.org/orchestrator", "projectcalico.org/namespace"] {
            if labels.contains_key(label) {
                let path = format!("metadata.labels[{label}]");
                self.note(
                    &key,
                    &path,
                    "policies for pods could select this host endpoint; this engine has none of them",
                );
            }
        }
        for (index, profile) in spec.profiles.iter().enumerate() {
            if profile.starts_with("ksa.") && !profiles.contains_key(profile) {
                self.note(&key, &format!("spec.profiles[{index}]"), "profile of a service account that is not known");
            }
        }
        let interfaces = match spec.interface_name.as_str() {
            "*" => Interfaces::All,
            "" => Interfaces::ByAddress,
            name => Interfaces::Named(name.to_owned()),
        };
        Some(HostEndpoint {
            key,
            node: spec.node,
            interfaces,
            // What is not a bare address is dropped
            // (projectcalico/calico:libcalico-go/lib/backend/syncersv1/updateprocessors/hostendpointprocessor.go).
            addresses: spec.expected_ips.iter().filter_map(|text| address::address(text)).collect(),
            labels,
            profiles: spec.profiles,
            ports: spec.ports.iter().filter_map(port).collect(),
            expected: false,
        })
    }
}

/// What Felix checks (projectcalico/calico:libcalico-go/lib/backend/model/hostendpoint.go).
fn check(faults: &mut Faults, spec: &EndpointSpec) {
    let interface = &spec.interface_name;
    faults.check(interface.is_empty() || names::is_interface(interface), "spec.interfaceName", "not an interface");
    for (index, profile) in spec.profiles.iter().enumerate() {
        faults.check(names::is_plain_name(profile), format_args!("spec.profiles[{index}]"), "not a name");
    }
    for (index, port) in spec.ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        faults.check(names::is_plain_name(&port.name), format_args!("{path}.name"), "not a name");
        faults.check(port.port > 0, format_args!("{path}.port"), "not a port");
        let protocol = lower(&port.protocol);
        let good = matches!(&protocol, Protocol::Name(_)) && rule::has_ports(&protocol);
        faults.check(good, format_args!("{path}.protocol"), "neither tcp nor udp nor sctp");
    }
}

fn lower(protocol: &Protocol) -> Protocol {
    match protocol {
        Protocol::Name(name) => Protocol::Name(name.to_lowercase()),
        Protocol::Number(number) => Protocol::Number(*number),
    }
}

fn port(port: &EndpointPort) -> Option<(String, u8, u16)> {
    let protocol = match lower(&port.protocol) {
        Protocol::Name(name) => match name.as_str() {
            "tcp" => 6,
            "udp" => 17,
            "sctp" => 132,
            _ => return None,
        },
        Protocol::Number(_) => return None,
    };
    Some((port.name.clone(), protocol, port.port))
}
