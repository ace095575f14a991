//! What holds for every rendering.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::language::matches;
use super::generate::{Case, case};
use super::*;
use crate::finding::has_errors;

fn run(case: &Case) -> Rendered {
    render(&case.matrix, case.nodes.as_deref(), &case.options)
}

fn rules(rendered: &Rendered) -> Vec<&Rule> {
    let lists = policies(rendered).into_iter().flat_map(|policy| [&policy.spec.ingress, &policy.spec.egress]);
    lines_of(lists.flatten())
}

fn lines_of<'r>(lists: impl Iterator<Item = &'r Vec<Rule>>) -> Vec<&'r Rule> {
    lists.flatten().collect()
}

/// Every text in a selector's place.
fn selectors(rendered: &Rendered) -> Vec<&str> {
    let of_rules = rules(rendered).into_iter().flat_map(|rule| [&rule.source, &rule.destination]).flat_map(|side| {
        [&side.selector, &side.not_selector, &side.namespace_selector].into_iter().flatten().map(String::as_str)
    });
    let of_policies = policies(rendered).into_iter().filter_map(|policy| policy.spec.selector.as_deref());
    of_rules.chain(of_policies).collect()
}

fn pod() -> BTreeMap<String, String> {
    let pairs = [
        ("projectcalico.org/namespace", "kube-system"),
        ("projectcalico.org/orchestrator", "k8s"),
        ("kubernetes.io/hostname", "w-1"),
        ("node-role.kubernetes.io/control-plane", ""),
        ("example.org/storage", ""),
        ("lifeline.dev/set", "test-nodes"),
        ("lifeline.dev/interface", "eth0"),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn namespaced_set() -> BTreeMap<String, String> {
    let mut labels = pod();
    labels.remove("projectcalico.org/orchestrator");
    labels
}

fn is_policy_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split_once('.').is_some_and(|(tier, name)| label(tier) && label(name))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_same_input_gives_the_same_output(case in case()) {
        let text = |rendered: &Rendered| {
            let objects: Vec<_> = rendered.objects.iter().map(|manifest| (manifest.wave, manifest.shared, &manifest.object)).collect();
            (serde_json::to_string(&objects).expect("JSON"), format!("{:?}", rendered.findings))
        };
        prop_assert_eq!(text(&run(&case)), text(&run(&case)));
    }

    #[test]
    fn every_row_has_one_outcome_and_every_loss_a_finding(case in case()) {
        let rendered = run(&case);
        let rows: Vec<&Row> = case.matrix.frame_rows.iter().chain(&case.matrix.rows).collect();
        let outcomes: Vec<Origin> = rendered.outcomes.iter().map(|outcome| outcome.row).collect();
        prop_assert_eq!(outcomes, rows.iter().map(|row| row.origin).collect::<Vec<_>>());
        for (row, outcome) in rows.iter().zip(&rendered.outcomes) {
            if matches!(outcome.fate, Fate::Wider | Fate::Narrower | Fate::Refused) {
                let path = row.path();
                let reported = rendered.findings.iter().any(|finding| finding.path == path && finding.lost.is_some());
                prop_assert!(reported, "{} is {:?} without a finding", row.title(), outcome.fate);
            }
            if matches!(outcome.fate, Fate::Refused) && !row.optional {
                prop_assert!(has_errors(&rendered.findings));
            }
        }
        prop_assert!(!has_errors(&rendered.findings) || rendered.objects.is_empty());
    }

    #[test]
    fn an_exact_row_is_written_in_the_policies_of_its_roles(case in case()) {
        let rendered = run(&case);
        prop_assume!(!rendered.objects.is_empty());
        for (row, outcome) in case.matrix.rows.iter().zip(&rendered.outcomes[case.matrix.frame_rows.len()..]) {
            let named = |policy: &GlobalNetworkPolicy| {
                policy.metadata.annotations.get("lifeline.dev/rows").is_some_and(|rows| rows.split("; ").any(|name| name == row.origin.to_string()))
            };
            let written: BTreeSet<usize> = (0..2)
                .filter(|role| {
                    let start = format!("lifeline.test-{}-{}", case.matrix.roles[*role].name, row.direction);
                    policies(&rendered).into_iter().any(|policy| policy.metadata.name.starts_with(&start) && named(policy))
                })
                .collect();
            match outcome.fate {
                Fate::Implied | Fate::Refused => prop_assert!(written.is_empty(), "{} is written", row.title()),
                // A row may come to no packet at all, such as ICMP of a family that it leaves out.
                _ => prop_assert!(written.is_empty() || written == row.roles.iter().copied().collect()),
            }
        }
    }

    #[test]
    fn limits_and_forms_of_the_api_are_kept(case in case()) {
        let rendered = run(&case);
        let titles = titles(&rendered);
        prop_assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len());
        for policy in policies(&rendered) {
            let spec = &policy.spec;
            prop_assert!(is_policy_name(&policy.metadata.name), "{}", policy.metadata.name);
            let types = spec.types.as_deref().unwrap_or_default();
            prop_assert_eq!(types.len(), usize::from(spec.ingress.is_some()) + usize::from(spec.egress.is_some()));
            prop_assert!(spec.order.is_some() && spec.tier.is_some());
            for rules in [&spec.ingress, &spec.egress].into_iter().flatten() {
                prop_assert!((1..=1024).contains(&rules.len()));
            }
        }
        for rule in rules(&rendered) {
            let mut families = BTreeSet::new();
            families.extend(rule.ip_version);
            for side in [&rule.source, &rule.destination] {
                for nets in [&side.nets, &side.not_nets].into_iter().flatten() {
                    prop_assert!((1..=256).contains(&nets.len()));
                    prop_assert!(nets.iter().all(|net| !net.ends_with("/0") && net.contains('/')));
                    families.extend(nets.iter().map(|net| if net.contains(':') { 6 } else { 4 }));
                }
                prop_assert!(side.ports.as_ref().is_none_or(|ports| (1..=50).contains(&ports.len())));
                prop_assert!(side.ports.is_none() || matches!(rule.protocol.as_ref().map(text).as_deref(), Some("TCP" | "UDP" | "SCTP")));
            }
            match rule.protocol.as_ref().map(text).as_deref() {
                Some("ICMP") => families.extend([4]),
                Some("ICMPv6") => families.extend([6]),
                Some("0") => prop_assert!(false, "protocol 0"),
                _ => prop_assert!(rule.icmp.is_none()),
            }
            prop_assert!(families.len() <= 1, "{}", line(rule));
            prop_assert_eq!(rule.metadata.as_ref().map(|metadata| metadata.annotations.len()), Some(1));
        }
        for selector in selectors(&rendered) {
            prop_assert!(!selector.is_empty() && selector.len() <= 1024);
            prop_assert!(!selector.contains('\n'));
            // Panics on what is not a selector.
            matches(selector, &BTreeMap::new());
        }
        for (name, set) in sets(&rendered) {
            prop_assert!(set.metadata.labels["lifeline.dev/set"].len() <= 63 && name.len() <= 253);
            prop_assert!((1..=2000).contains(&set.spec.nets.as_ref().map_or(0, Vec::len)));
        }
        if let Some(felix) = felix(&rendered) {
            let lists = [&felix.failsafe_inbound_host_ports, &felix.failsafe_outbound_host_ports];
            prop_assert!(lists.into_iter().flatten().flatten().all(|entry| matches!(entry.protocol.as_str(), "TCP" | "UDP")));
        }
    }

    #[test]
    fn no_selector_reaches_a_pod_but_a_pod_peers(case in case()) {
        let rendered = run(&case);
        for policy in policies(&rendered) {
            let selector = policy.spec.selector.as_deref().expect("a selector");
            prop_assert!(!matches(selector, &pod()), "{selector}");
            prop_assert!(!matches(selector, &BTreeMap::new()), "{selector}");
        }
        for rule in rules(&rendered) {
            for side in [&rule.source, &rule.destination] {
                for selector in [&side.selector, &side.not_selector].into_iter().flatten() {
                    prop_assert!(!matches(selector, &namespaced_set()), "{selector}");
                    let means_pods = selector.starts_with("has(projectcalico.org/namespace) && has(projectcalico.org/orchestrator)");
                    prop_assert!(means_pods || !matches(selector, &pod()), "{selector}");
                    prop_assert!(side.namespace_selector.is_none() || means_pods);
                }
            }
        }
    }
}
