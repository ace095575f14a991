//! Profiles: objects, and those that Calico makes of namespaces and service accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api::Faults;
use super::decode::{Decoded, ProfileSpec, Rule as Written};
use super::{Compiler, Read, api, felix};
use crate::calico::state::{Profile, Stage};

impl Compiler<'_> {
    /// Every profile by name.
    pub(super) fn profiles(&mut self) -> BTreeMap<String, Arc<Profile>> {
        let mut profiles = self.derived();
        for Read { key, object, raw } in self.read::<ProfileSpec>("Profile") {
            if !raw && !self.accept(&key, Stage::Api, api::profile(&object)) {
                continue;
            }
            let Decoded { spec, .. } = object;
            let mut faults = Faults::default();
            let ingress = felix::rules(&mut faults, &mut self.memory.sets, &spec.ingress, "spec.ingress");
            let egress = felix::rules(&mut faults, &mut self.memory.sets, &spec.egress, "spec.egress");
            // Rules that Felix refuses leave the labels of the profile in place.
            let refused = !self.accept(&key, Stage::Felix, faults.into_result());
            for (direction, rules) in [("ingress", &spec.ingress), ("egress", &spec.egress)] {
                for (index, rule) in rules.iter().enumerate() {
                    self.rule_dangers(&key, rule, &format!("spec.{direction}[{index}]"));
                }
            }
            self.rules_dangers(&key, &ingress, "spec.ingress");
            self.rules_dangers(&key, &egress, "spec.egress");
            if refused {
                self.note(&key, "spec", "a profile whose rules Felix refuses");
                continue;
            }
            let profile = Profile { key: Some(key.clone()), ingress, egress, labels: spec.labels_to_apply };
            profiles.insert(key.name, Arc::new(profile));
        }
        profiles
    }

    /// `projectcalico-default-allow`, and one of each namespace and service account, whose labels pods inherit
    /// (projectcalico/calico:libcalico-go/lib/resources/static.go, libcalico-go/lib/backend/k8s/conversion).
    fn derived(&mut self) -> BTreeMap<String, Arc<Profile>> {
        let mut profiles = BTreeMap::new();
        profiles.insert("projectcalico-default-allow".to_owned(), Arc::new(self.allowing(BTreeMap::new())));
        let cluster = &self.snapshot.cluster;
        for namespace in &cluster.namespaces {
            let labels = prefixed("pcns.", &namespace.labels, &namespace.name);
            let profile = self.allowing(labels);
            profiles.insert(format!("kns.{}", namespace.name), Arc::new(profile));
        }
        for account in &cluster.service_accounts {
            let labels = prefixed("pcsa.", &account.labels, &account.name);
            let profile = Profile { key: None, ingress: Vec::new(), egress: Vec::new(), labels };
            profiles.insert(format!("ksa.{}.{}", account.namespace, account.name), Arc::new(profile));
        }
        profiles
    }

    fn allowing(&mut self, labels: BTreeMap<String, String>) -> Profile {
        let allow = [Written { action: "Allow".to_owned(), ..Written::default() }];
        let mut rules = || felix::rules(&mut Faults::default(), &mut self.memory.sets, &allow, "spec");
        Profile { key: None, ingress: rules(), egress: rules(), labels }
    }
}

fn prefixed(prefix: &str, labels: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let own = labels.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone()));
    own.chain([(format!("{prefix}projectcalico.org/name"), name.to_owned())]).collect()
}
