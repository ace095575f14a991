//! Whatever is rendered is proved by the engine.

use proptest::prelude::*;

use super::laws::any_case;
use super::*;
use crate::prove::{Subject, Target, prove};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn random_matrices_are_proved((mut matrix, nodes, options) in any_case()) {
        for row in &mut matrix.rows {
            row.optional = true;
        }
        let rendered = render(&matrix, nodes.as_deref(), &options);
        prop_assume!(!rendered.objects.is_empty());
        let target = Target::Cilium(&options);
        let subject = Subject { matrix: &matrix, nodes: nodes.as_deref(), snapshot: None, rendered: &rendered, target };
        match prove(subject) {
            Ok(proof) => prop_assert!(proof.states > 0, "{:?}", proof.findings),
            Err(defect) => prop_assert!(false, "{defect}"),
        }
    }
}
