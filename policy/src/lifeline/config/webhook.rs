//! What a user says about refusals. A judgement is the same whatever is said here; what comes of it is not.

use serde::{Deserialize, Serialize};

use super::super::judge::{Doubt, DoubtKind};
use super::super::model::Severity;

/// What the webhook does about a cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refuses the change.
    #[default]
    Enforce,
    /// Lets it pass, with a warning, and counts it.
    Observe,
}

/// What it does, by how bad a cut is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modes {
    /// Cuts of blockers, content that stops agents, and what cannot be proved.
    pub blocker: Mode,
    /// Cuts of major lifelines.
    pub major: Mode,
    /// Cuts of minor lifelines.
    pub minor: Mode,
}

impl Modes {
    /// What to do about a cut of this severity.
    pub fn of(self, severity: Severity) -> Mode {
        match severity {
            Severity::Blocker => self.blocker,
            Severity::Major => self.major,
            Severity::Minor => self.minor,
        }
    }
}

/// Doubts over which the webhook warns and does not refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tolerate {
    /// Which kind.
    pub doubt: DoubtKind,
    /// Only those about this field and what is in it, written without indices: `spec.egress.toFQDNs`.
    pub field: Option<String>,
    /// Why.
    pub reason: String,
}

impl Tolerate {
    /// Whether a doubt is one of these.
    pub fn covers(&self, doubt: &Doubt) -> bool {
        let within = |field: &String| {
            let path = without_indices(&doubt.path);
            path.strip_prefix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        doubt.kind == self.doubt && self.field.as_ref().is_none_or(within)
    }
}

/// `spec.egress[0].toFQDNs` as `spec.egress.toFQDNs`.
fn without_indices(path: &str) -> String {
    let parts = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_covers_what_is_in_it_and_nothing_beside() {
        let doubt = |path: &str, kind| Doubt {
            kind,
            object: "CiliumClusterwideNetworkPolicy/a".to_owned(),
            path: path.to_owned(),
            reason: String::new(),
        };
        let field = Some("spec.egress.toFQDNs".to_owned());
        let tolerate = Tolerate { doubt: DoubtKind::Unknown, field, reason: "names are public".to_owned() };
        assert!(tolerate.covers(&doubt("spec.egress[0].toFQDNs", DoubtKind::Unknown)));
        assert!(tolerate.covers(&doubt("spec.egress[10].toFQDNs[2].matchName", DoubtKind::Unknown)));
        assert!(!tolerate.covers(&doubt("spec.egress[0].toFQDNsToo", DoubtKind::Unknown)));
        assert!(!tolerate.covers(&doubt("spec.egress[0]", DoubtKind::Unknown)));
        assert!(!tolerate.covers(&doubt("spec.egress[0].toFQDNs", DoubtKind::Missing)));
        let any = Tolerate { field: None, ..tolerate };
        assert!(any.covers(&doubt("", DoubtKind::Unknown)));
    }
}
