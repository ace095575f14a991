//! Codes about lifelines: the configuration that states them, and rows that cannot.

use policy::lifeline::config::Code as Mistake;

use crate::finding::{Code, Severity};

/// A row with a `flow` says more than a lifeline can.
pub static ROW_WITHOUT_LIFELINE: Code = Code {
    id: "row-without-lifeline",
    severity: Severity::Note,
    title: "a part of a row with a flow is not held against changes",
    explanation: "Rows with a `flow` can be taken as lifelines: what they allow must keep passing, whatever changes. A \
                  lifeline goes from nodes or addresses to nodes or addresses, on ports of the destination. Names that only \
                  a resolver knows, service addresses and ranges of source ports are no part of it, so what a row says by \
                  them is left out.",
    example: "rows:\n- {roles: all, direction: egress, to: registry-names, ports: 443, flow: image-pull}",
    fix: "State the addresses as a peer with `cidrs`, or leave it: the other rows are held against changes all the same.",
};

/// The text is not YAML.
pub static CONFIG_SYNTAX: Code = Code {
    id: "config-syntax",
    severity: Severity::Error,
    title: "the configuration is not YAML",
    explanation: "A LifelineConfig is one YAML or JSON document. The text breaks its rules at the place shown, and nothing \
                  after it was read.",
    example: "spec: {switchOff: [{id: ntp}",
    fix: "Mend the syntax. Every bracket is closed, indentation is even, and no key stands twice.",
};

/// Another kind or version.
pub static CONFIG_WRONG_KIND: Code = Code {
    id: "config-wrong-kind",
    severity: Severity::Error,
    title: "this is not a LifelineConfig",
    explanation: "A configuration begins with `apiVersion: lifeline.dev/v1alpha1` and `kind: LifelineConfig`.",
    example: "apiVersion: lifeline.dev/v1alpha1\nkind: PortMatrix",
    fix: "Give the right file, or correct the two lines.",
};

/// No such field.
pub static CONFIG_UNKNOWN_FIELD: Code = Code {
    id: "config-unknown-field",
    severity: Severity::Error,
    title: "a LifelineConfig has no such field",
    explanation: "An unknown field is refused, never passed over: a mistyped parameter would leave a lifeline unknown, and a \
                  mistyped selector would select every node.",
    example: "spec: {parameters: {adminCidrs: [10.0.0.0/8]}}   # it is adminCIDRs",
    fix: "Correct the name; the message lists what is allowed there.",
};

/// A field is missing.
pub static CONFIG_MISSING_FIELD: Code = Code {
    id: "config-missing-field",
    severity: Severity::Error,
    title: "a field is missing",
    explanation: "The entry needs the field to mean anything: an added lifeline its two ends and its packets, and where the \
                  catalogue does not know it, what breaks without it; a narrowed one something that narrows it.",
    example: "add: [{id: backup, reason: restores need it, from: {nodes: {}}, to: {cidrs: [10.9.0.1/32]}}]",
    fix: "Add the field.",
};

/// A value that the field does not take.
pub static CONFIG_WRONG_VALUE: Code = Code {
    id: "config-wrong-value",
    severity: Severity::Error,
    title: "a value is not one that the field takes",
    explanation: "Prefixes are written as networks (10.0.0.0/8, one address as 10.0.0.1/32), packets as TCP/6443, \
                  UDP/30000-32767, ICMP/3/4, IPIP or any, and an end of a flow is exactly one of `nodes`, `cidrs` and \
                  `itself: true`.",
    example: "parameters: {apiServerSources: [172.31.0.1/16]}",
    fix: "Write the value as the message says.",
};

/// No reason.
pub static CONFIG_NO_REASON: Code = Code {
    id: "config-no-reason",
    severity: Severity::Error,
    title: "an entry gives no reason",
    explanation: "Switching a lifeline off, narrowing it or adding one changes what may be refused. Whoever is paged, or \
                  refused, must be able to read why, so every entry has a `reason`.",
    example: "switchOff: [{id: ntp}]",
    fix: "Add `reason` with one sentence.",
};

/// No such lifeline.
pub static CONFIG_UNKNOWN_LIFELINE: Code = Code {
    id: "config-unknown-lifeline",
    severity: Severity::Error,
    title: "there is no such lifeline",
    explanation: "`switchOff` and `narrow` name a lifeline of the catalogue, or one that the same file adds. A name that is \
                  neither would change nothing, and its author would believe it did.",
    example: "switchOff: [{id: kubelet, reason: a test}]   # it is kubelet-api",
    fix: "Correct the id.",
};

/// Two entries against each other.
pub static CONFIG_CONTRADICTION: Code = Code {
    id: "config-contradiction",
    severity: Severity::Error,
    title: "two statements do not go together",
    explanation: "One lifeline is switched off and narrowed, or either twice, and nothing says which is meant; or a flow has \
                  no node at either end, and no host policy decides about it.",
    example: "switchOff: [{id: ntp, reason: a}]\nnarrow: [{id: ntp, reason: b, traffic: [UDP/123]}]",
    fix: "Keep one of the two; let one end of a flow be `nodes`.",
};

/// The code of a mistake in a configuration.
pub fn of(mistake: Mistake) -> &'static Code {
    match mistake {
        Mistake::ConfigSyntax => &CONFIG_SYNTAX,
        Mistake::ConfigWrongKind => &CONFIG_WRONG_KIND,
        Mistake::ConfigUnknownField => &CONFIG_UNKNOWN_FIELD,
        Mistake::ConfigMissingField => &CONFIG_MISSING_FIELD,
        Mistake::ConfigWrongValue => &CONFIG_WRONG_VALUE,
        Mistake::ConfigNoReason => &CONFIG_NO_REASON,
        Mistake::ConfigUnknownLifeline => &CONFIG_UNKNOWN_LIFELINE,
        Mistake::ConfigContradiction => &CONFIG_CONTRADICTION,
    }
}

/// The codes of this part.
pub static CODES: &[&Code] = &[
    &ROW_WITHOUT_LIFELINE,
    &CONFIG_SYNTAX,
    &CONFIG_WRONG_KIND,
    &CONFIG_UNKNOWN_FIELD,
    &CONFIG_MISSING_FIELD,
    &CONFIG_WRONG_VALUE,
    &CONFIG_NO_REASON,
    &CONFIG_UNKNOWN_LIFELINE,
    &CONFIG_CONTRADICTION,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_codes_of_the_same_id() {
        for mistake in Mistake::ALL {
            assert_eq!(of(mistake).id, mistake.id());
        }
    }
}
