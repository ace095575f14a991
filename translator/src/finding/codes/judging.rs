//! Codes of judgements: one for each lifeline of the catalogue, and what else `check` can find.

use std::sync::LazyLock;

use policy::lifeline::catalogue::{self, Entry};

use crate::finding::{Code, Severity};

/// What the ids of cuts begin with.
pub const CUTS: &str = "cuts-";

/// Content stops an agent.
pub static STOPS_AGENT: Code = Code {
    id: "stops-agent",
    severity: Severity::Error,
    title: "content of the change stops an agent",
    explanation: "Felix ends itself, never gets in sync, or can no longer read a kind of objects when certain content is \
                  stored; agents of Cilium likewise stop reading a kind whose objects they cannot decode. A running agent \
                  keeps what it had and follows no change any more; after a restart it may enforce nothing, or drop \
                  everything. The finding names the object, the field and the effect.",
    example: "apiVersion: crd.projectcalico.org/v1\nkind: FelixConfiguration\nmetadata: {name: default}\nspec:\n  \
              failsafeInboundHostPorts:\n  - {protocol: sctp, port: 22}   # Felix knows only tcp and udp here",
    fix: "Correct the field that the finding names. Where the object is there already, correct or delete it before anything \
          else: changes made after it do not reach the nodes.",
};

/// No proof.
pub static CANNOT_PROVE: Code = Code {
    id: "cannot-prove",
    severity: Severity::Error,
    title: "it cannot be proved that nothing is cut",
    explanation: "No lifeline was found to be cut, and something on which that rests is not known: a field or value whose \
                  meaning is not known (kind `unknown`), an object that upstream would refuse (`refused`), a fact that the \
                  snapshot lacks (`missing`), or policies too large for the work that a judgement may take \
                  (`exhausted`). It is never guessed: what is not proved is not called safe.",
    example: "error[cannot-prove]: it cannot be proved that nothing is cut\n  = note: lifeline kube-apiserver: no object tells \
              the addresses; state it as parameter apiServerSources of a LifelineConfig",
    fix: "Put what is missing into the snapshot, or state it in a LifelineConfig (`--config`); `translate lifelines` lists \
          what is not known. Correct what is refused. A newer version may know a field that this one does not.",
};

/// Lifelines of the catalogue, then the rest. They live as long as the program.
static ALL: LazyLock<Vec<&'static Code>> = LazyLock::new(|| {
    let cuts = catalogue::all().map(|entry| &*Box::leak(Box::new(of(entry))));
    cuts.chain([&STOPS_AGENT, &CANNOT_PROVE]).collect()
});

/// The codes of this part.
pub fn codes() -> &'static [&'static Code] {
    &ALL
}

/// Whether a code is one of a judgement, and not of a matrix or its rendering.
pub fn is_of_judgement(code: &Code) -> bool {
    codes().iter().any(|own| own.id == code.id)
}

/// The id for a cut of a lifeline, which may be one that a configuration adds.
pub fn id(lifeline: &str) -> String {
    format!("{CUTS}{lifeline}")
}

/// A title from the catalogue, as a code of its own.
fn of(entry: &'static Entry) -> Code {
    let Entry { id: lifeline, severity, from, to, packets, detected, breaks, documented } = *entry;
    let explanation = format!(
        "The lifeline `{lifeline}` is {packets}, from {from} to {to}. Packets of it that pass now would no longer pass, at the \
         node that sends them or at the node that receives them. Without them {breaks}. Severity: {severity}.\n\nIt is \
         found by: {detected}. Documented: {documented}"
    );
    let example = format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: close-nodes}}\nspec:\n  selector: \
         has(kubernetes.io/hostname)\n  types: [Ingress, Egress]\n  ingress: []   # nothing lets {packets} in,\n  egress: \
         []    # or out: {from} -> {to}"
    );
    let fix = format!(
        "Allow {packets} from {from} to {to}, in the policy itself or in one that is asked before it. The judgement proposes a \
         repair that was judged to cut nothing; `translate check --fix` writes it. If this cluster does not live on the \
         flow, a LifelineConfig (`--config`) switches it off or narrows it, with a reason."
    );
    Code {
        id: id(lifeline).leak(),
        severity: Severity::Error,
        title: format!("the lifeline {lifeline} is cut: {from} to {to}").leak(),
        explanation: explanation.leak(),
        example: example.leak(),
        fix: fix.leak(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::codes;

    #[test]
    fn every_lifeline_of_the_catalogue_is_explained() {
        for entry in catalogue::all() {
            let code = codes::find(&id(entry.id)).expect(entry.id);
            for part in [entry.packets, entry.from, entry.to] {
                assert!(code.explanation.contains(part) && code.fix.contains(part), "{}: {part}", entry.id);
                assert!(code.example.contains(part), "{}: {part}", entry.id);
            }
            assert!(code.explanation.contains(entry.breaks) && is_of_judgement(code));
        }
        assert_eq!(codes().len(), catalogue::all().count() + 2);
    }
}
