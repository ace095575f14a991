//! Whatever is rendered is proved by the engine.

use proptest::prelude::*;

use super::generate::case;
use super::*;
use crate::prove::{Subject, Target, prove};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_matrices_are_proved(mut case in case()) {
        // What has no form is left out rather than an error, so that there is something to prove.
        for row in &mut case.matrix.rows {
            row.optional = true;
        }
        let rendered = render(&case.matrix, case.nodes.as_deref(), &case.options);
        prop_assume!(!rendered.objects.is_empty());
        let target = Target::Calico(&case.options);
        let subject = Subject { matrix: &case.matrix, nodes: case.nodes.as_deref(), snapshot: None, rendered: &rendered, target };
        match prove(subject) {
            Ok(proof) => prop_assert!(proof.states > 0, "{:?}", proof.findings),
            Err(defect) => prop_assert!(false, "{defect}"),
        }
    }
}
