//! What every preset is translated to, word for word, and that it is the same in every run.
//!
//! `INSTA_UPDATE=always cargo test -p tests golden` rewrites the files; read the difference before committing it.

use std::collections::BTreeSet;

use tests::variants::{self, Target};
use translator::output;
use translator::render::{AnyObject, Fate, Rendered};

#[test]
fn presets() {
    for target in Target::ALL {
        for variant in variants::all(target.cni()) {
            // The defaults, and the other direction closed too: these two show every row.
            let name = match variant.toggle.as_str() {
                "" => format!("{}-{}", variant.preset.name, target.name()),
                "egress=deny" => format!("{}-{}-egress", variant.preset.name, target.name()),
                _ => continue,
            };
            let rendered = variant.render(target, variant.preset.name);
            insta::assert_snapshot!(name, output::yaml(&rendered.objects, None).expect("YAML"));
        }
    }
}

#[test]
fn findings() {
    for target in [Target::CalicoV3, Target::Cilium] {
        for variant in variants::all(target.cni()).into_iter().filter(|variant| variant.toggle.is_empty()) {
            let rendered = variant.render(target, variant.preset.name);
            let text: String = rendered
                .findings
                .iter()
                .map(|finding| translator::finding::show::text(finding, None, false) + "\n\n")
                .collect();
            insta::assert_snapshot!(format!("findings-{}-{}", variant.preset.name, target.name()), text);
        }
    }
}

#[test]
fn every_variant_is_written_alike_twice_and_every_row_has_a_fate() {
    for target in Target::ALL {
        for variant in variants::all(target.cni()) {
            let first = variant.render(target, "same");
            let second = variant.render(target, "same");
            let title = format!("{} for {}", variant.title(), target.name());
            let objects = |rendered: &Rendered| -> Vec<AnyObject> {
                rendered.objects.iter().map(|manifest| manifest.object.clone()).collect()
            };
            assert_eq!(objects(&first), objects(&second), "{title}");
            let matrix = variant.expand();
            let rows: Vec<_> = matrix.frame_rows.iter().chain(&matrix.rows).map(|row| row.origin).collect();
            for row in rows {
                assert!(first.outcomes.iter().any(|outcome| outcome.row == row), "{title}: {row} has no outcome");
            }
            for outcome in &first.outcomes {
                if matches!(outcome.fate, Fate::Wider | Fate::Narrower | Fate::Refused) {
                    assert!(
                        !first.findings.is_empty(),
                        "{title}: {} is {:?} without a finding",
                        outcome.row,
                        outcome.fate
                    );
                }
            }
            let titles: BTreeSet<String> = first.objects.iter().map(|manifest| manifest.object.title()).collect();
            assert_eq!(titles.len(), first.objects.len(), "{title}: two objects of one name");
            let waves: Vec<u8> = first.objects.iter().map(|manifest| manifest.wave).collect();
            assert!(waves.is_sorted(), "{title}: {waves:?}");
        }
    }
}
