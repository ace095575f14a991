//! Events on objects. Replicas that see the same write the same Event once: its name is made of what it says.

use std::fmt;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::{Client, Error};

use super::discover::short;

/// Name of who reports.
const CONTROLLER: &str = "lifeline.dev/webhook";
/// Longest note, in bytes (kubernetes/api:events/v1/types.go).
const NOTE: usize = 1024;

/// An object that something is told of.
#[derive(Clone, Debug)]
pub struct Subject {
    api_version: String,
    kind: String,
    namespace: String,
    name: String,
    uid: Option<String>,
}

impl Subject {
    /// An object; with an empty namespace if it is in none.
    pub fn new(api_version: &str, kind: &str, namespace: &str, name: &str, uid: Option<String>) -> Self {
        let [api_version, kind, namespace, name] = [api_version, kind, namespace, name].map(str::to_owned);
        Self { api_version, kind, namespace, name, uid }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.kind)?;
        if !self.namespace.is_empty() {
            write!(formatter, "{}/", self.namespace)?;
        }
        formatter.write_str(&self.name)
    }
}

/// Writes Events.
pub struct Events {
    client: Client,
    instance: String,
}

impl Events {
    /// As a replica of this name.
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Warns about an object. That it cannot be written is only logged: an Event is no more than a courtesy.
    pub async fn warn(&self, subject: &Subject, reason: &str, action: &str, note: &str) {
        let event = self.event(subject, reason, action, note);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Another replica has said so, or this one within the hour for which Events are kept.
            Err(Error::Api(status)) if status.code == 409 => {}
            Err(error) => tracing::warn!(object = %subject, error = short(&error), "an Event cannot be written"),
        }
    }

    fn event(&self, subject: &Subject, reason: &str, action: &str, note: &str) -> Event {
        let end = (0..=NOTE.min(note.len())).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
        let note = &note[..end];
        // Of objects without a namespace, Events are in this one (kubernetes/client-go:tools/record/event.go).
        let namespace = if subject.namespace.is_empty() { "default" } else { &subject.namespace };
        let told = [&subject.kind, namespace, &subject.name, subject.uid.as_deref().unwrap_or_default(), reason, note];
        Event {
            metadata: ObjectMeta {
                name: Some(format!("lifeline.{:016x}", fnv(told.join("\n").as_bytes()))),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            type_: Some("Warning".to_owned()),
            reason: Some(reason.to_owned()),
            action: Some(action.to_owned()),
            note: Some(note.to_owned()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(subject.api_version.clone()),
                kind: Some(subject.kind.clone()),
                namespace: Some(subject.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                name: Some(subject.name.clone()),
                uid: subject.uid.clone(),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

/// FNV-1a, 64 bits: the same in every version of the program, as that of the standard library is not.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        assert_eq!(
            (fnv(b""), fnv(b"a"), fnv(b"foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }
}
