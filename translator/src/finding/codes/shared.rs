//! Codes that the renderers of both CNIs report.

use crate::finding::{Code, Severity};

/// A row has no form in the objects of the CNI, not even a wider one.
pub static ROW_NOT_EXPRESSIBLE: Code = Code {
    id: "row-not-expressible",
    severity: Severity::Error,
    title: "the CNI has no words for a row",
    explanation: "A row asks for something that no object of the chosen CNI can express, and every form that comes near \
it would open far more than the row says, or cut packets that other rows allow. Nothing is written, because a matrix of \
which a part is silently missing is worse than none: the first one to notice would be whoever needs that flow during \
an incident.\n\n\
The message names the row and what about it cannot be expressed. A row that is nice to have can be marked `optional: \
true`; it is then left out with the warning `optional-row-left-out` wherever it cannot be expressed, and kept wherever \
it can.",
    example: "rows:\n- {roles: all, direction: egress, to: registry-names, ports: 443}   # a peer made of `fqdns`",
    fix: "Say the row in words that the CNI has (the message suggests some), or mark it `optional: true`.",
};

/// An optional row was left out for the same reason.
pub static OPTIONAL_ROW_LEFT_OUT: Code = Code {
    id: "optional-row-left-out",
    severity: Severity::Warning,
    title: "an optional row is left out because the CNI has no words for it",
    explanation: "The row is marked `optional: true` and the chosen CNI cannot express it, so the output does not contain \
it. In a direction that is denied by default its packets are dropped; for a row with `action: deny` they are left to \
the other rows. Everything else is as the matrix says.",
    example: "rows:\n- {roles: all, protocol: VRRP, from: any, optional: true}",
    fix: "Nothing, if the row may be missing. Otherwise remove `optional: true`, see what is reported, and rewrite the row.",
};

/// The codes of this part.
pub static CODES: &[&Code] = &[&ROW_NOT_EXPRESSIBLE, &OPTIONAL_ROW_LEFT_OUT];
