//! Names, order, selectors, the closing policy.

use policy::calico::api::{DefaultAction, PolicyType};

use super::super::{Api, wave};
use super::*;
use crate::matrix::Log;

fn denied_both_ways(rows: Vec<Row>) -> Expanded {
    let mut matrix = matrix(rows);
    matrix.frame.egress.deny = true;
    matrix
}

#[test]
fn the_order_of_objects_is_sets_tier_allows_failsafes_endpoints_denies() {
    let deny = Row { action: Action::Deny, ..ingress(tcp(23), vec![Peer::Any]) };
    let matrix =
        denied_both_ways(vec![ingress(tcp(10250), vec![Peer::Nodes]), egress(tcp(443), vec![Peer::Any]), deny]);
    let rendered = rendered(&matrix);
    assert_eq!(
        titles(&rendered),
        [
            "GlobalNetworkSet/test-nodes",
            "Tier/lifeline",
            "GlobalNetworkPolicy/lifeline.test-control-plane-ingress",
            "GlobalNetworkPolicy/lifeline.test-control-plane-egress",
            "GlobalNetworkPolicy/lifeline.test-worker-ingress",
            "GlobalNetworkPolicy/lifeline.test-worker-egress",
            "FelixConfiguration/default",
            "KubeControllersConfiguration/default",
            "GlobalNetworkPolicy/lifeline.test-control-plane-ingress-deny",
            "GlobalNetworkPolicy/lifeline.test-worker-ingress-deny",
            "GlobalNetworkPolicy/lifeline.test-close",
        ]
    );
    let waves: Vec<u8> = rendered.objects.iter().map(|manifest| manifest.wave).collect();
    assert_eq!(waves, [0, 1, 2, 2, 2, 2, 3, 4, 5, 5, 5]);
    let shared: Vec<bool> = rendered.objects.iter().map(|manifest| manifest.shared).collect();
    assert_eq!(shared.iter().filter(|shared| **shared).count(), 2);
    assert!(shared[6] && shared[7]);
}

#[test]
fn a_policy_says_tier_order_types_and_selector() {
    let rendered = rendered(&matrix(vec![ingress(tcp(10250), vec![Peer::Any])]));
    let policy = policy(&rendered, "lifeline.test-worker-ingress");
    assert_eq!(policy.api_version, "projectcalico.org/v3");
    assert_eq!(policy.spec.tier.as_deref(), Some("lifeline"));
    assert_eq!(policy.spec.types.as_deref(), Some(&[PolicyType::Ingress][..]));
    assert_eq!((policy.spec.egress.as_ref(), policy.spec.pre_dnat), (None, None));
    assert_eq!(
        policy.spec.selector.as_deref(),
        Some(
            "has(kubernetes.io/hostname) && !has(projectcalico.org/namespace) && \
             !has(node-role.kubernetes.io/control-plane)"
        )
    );
    assert_eq!(policy.metadata.annotations["lifeline.dev/rows"], "rows[0]");
    assert_eq!(policy.metadata.annotations["lifeline.dev/source-digest"], "sha256:0");
}

#[test]
fn denies_come_before_the_frame_and_the_frame_before_allows() {
    let deny = Row { action: Action::Deny, ..ingress(tcp(23), vec![Peer::Any]) };
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any]), deny]);
    matrix.frame_rows =
        vec![Row { origin: Origin::Frame("icmp-errors"), ..ingress(icmp(Family::IPv4, &[]), vec![Peer::Any]) }];
    let rendered = rendered(&matrix);
    assert_eq!(lines(worker_rules(&rendered)), ["Allow ICMP", "Allow TCP to ports 22"]);
    let order = |name: &str| policy(&rendered, name).spec.order.expect("an order");
    assert!(order("lifeline.test-worker-ingress-deny") < order("lifeline.test-worker-ingress"));
    assert!(order("lifeline.test-worker-ingress") < order("lifeline.test-close"));
}

#[test]
fn orders_start_at_the_base_and_never_tie() {
    let matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    let rendered = render(&matrix, None, &Options { order_base: -5.0, ..Options::new("test") });
    let orders: Vec<f64> = policies(&rendered).iter().filter_map(|policy| policy.spec.order).collect();
    assert_eq!(orders, [-5.0, 5.0, 15.0]);
}

#[test]
fn the_tier_passes_what_it_does_not_decide() {
    let matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    let rendered = render(&matrix, None, &Options { tier: "hosts".to_owned(), tier_order: 7.5, ..Options::new("x") });
    let tier = rendered.objects.iter().find_map(|manifest| match &manifest.object {
        AnyObject::Tier(tier) => Some(tier),
        _ => None,
    });
    let tier = tier.expect("a tier");
    assert_eq!(tier.metadata.name, "hosts");
    assert_eq!((tier.spec.order, tier.spec.default_action), (Some(7.5), Some(DefaultAction::Pass)));
    assert_eq!(policies(&rendered)[0].metadata.name, "hosts.x-control-plane-ingress");
    assert_eq!(policies(&rendered)[0].spec.tier.as_deref(), Some("hosts"));
}

#[test]
fn the_closing_policy_selects_every_role_and_only_denied_directions() {
    let rendered = rendered(&matrix(vec![ingress(tcp(22), vec![Peer::Any])]));
    let close = policy(&rendered, "lifeline.test-close");
    assert_eq!(
        close.spec.selector.as_deref(),
        Some(
            "has(kubernetes.io/hostname) && !has(projectcalico.org/namespace) && \
             (has(node-role.kubernetes.io/control-plane) || !has(node-role.kubernetes.io/control-plane))"
        )
    );
    assert_eq!(close.spec.types.as_deref(), Some(&[PolicyType::Ingress][..]));
    assert_eq!(lines(close.spec.ingress.as_deref().expect("rules")), ["Deny"]);
    assert_eq!(close.spec.egress, None);
    assert_eq!(rendered.objects.last().map(|manifest| manifest.wave), Some(wave::CLOSE));
}

#[test]
fn the_log_comes_before_the_drop_and_its_settings_are_reported() {
    let mut matrix = denied_both_ways(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.frame.ingress.log = Some(Log { prefix: Some("DROP_".to_owned()), rate: None, level: None });
    matrix.frame.egress.log = Some(Log { prefix: None, rate: None, level: None });
    let rendered = rendered(&matrix);
    let close = policy(&rendered, "lifeline.test-close");
    assert_eq!(lines(close.spec.ingress.as_deref().expect("rules")), ["Log", "Deny"]);
    assert_eq!(lines(close.spec.egress.as_deref().expect("rules")), ["Log", "Deny"]);
    let reported: Vec<&str> = rendered
        .findings
        .iter()
        .filter(|finding| finding.code.id == "log-settings-global")
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(reported, ["spec.enforcement.ingress.log"]);
}

#[test]
fn nothing_closes_where_nothing_is_denied() {
    let mut matrix = matrix(vec![ingress(tcp(22), vec![Peer::Any])]);
    matrix.frame.ingress.deny = false;
    let rendered = rendered(&matrix);
    assert_eq!(titles(&rendered), ["FelixConfiguration/default", "KubeControllersConfiguration/default"]);
    assert_eq!(fate(&rendered, 0), Fate::Implied);
}

#[test]
fn a_long_list_of_roles_closes_in_several_policies() {
    let mut matrix = matrix(Vec::new());
    matrix.roles = (0..40)
        .map(|index| {
            role(
                &format!("r{index}"),
                requirement(&format!("example.org/{index}-{}", "x".repeat(40)), Operator::Exists),
            )
        })
        .collect();
    let rendered = rendered(&matrix);
    let closing: Vec<_> = policies(&rendered)
        .into_iter()
        .filter(|policy| policy.metadata.name.starts_with("lifeline.test-close"))
        .collect();
    assert!(closing.len() > 1);
    for role in 0..40 {
        let key = format!("example.org/{role}-");
        let selecting =
            closing.iter().filter(|policy| policy.spec.selector.as_ref().is_some_and(|text| text.contains(&key)));
        assert_eq!(selecting.count(), 1, "{key}");
    }
    assert!(closing.iter().all(|policy| policy.spec.selector.as_ref().is_some_and(|text| text.len() <= 1024)));
}

#[test]
fn more_rules_than_a_policy_holds_become_several_policies() {
    let rows = (0..1100_u16).map(|port| ingress(tcp(port + 1), vec![Peer::Any])).collect();
    let rendered = rendered(&matrix(rows));
    let parts: Vec<_> = policies(&rendered)
        .into_iter()
        .filter(|policy| policy.metadata.name.starts_with("lifeline.test-worker-ingress"))
        .collect();
    let counts: Vec<usize> = parts.iter().map(|policy| policy.spec.ingress.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts.iter().sum::<usize>(), 1100);
    assert!(counts.len() > 1 && counts.iter().all(|count| *count <= 1024), "{counts:?}");
    for part in parts {
        let size = serde_json::to_string(part).expect("JSON").len();
        assert!(size < 128 * 1024, "{size}");
    }
}

#[test]
fn the_older_api_has_the_tier_as_a_label_and_the_same_spec() {
    let matrix = matrix(vec![ingress(tcp(22), vec![named("admins", &["192.168.0.0/24"])])]);
    let v3 = rendered(&matrix);
    let v1 = render(&matrix, None, &Options { api: Api::V1, ..Options::new("test") });
    assert_eq!(titles(&v1), titles(&v3));
    for (older, newer) in policies(&v1).into_iter().zip(policies(&v3)) {
        assert_eq!(older.api_version, "crd.projectcalico.org/v1");
        assert_eq!(older.spec, newer.spec);
        assert_eq!(older.metadata.labels["projectcalico.org/tier"], "lifeline");
        assert!(!newer.metadata.labels.contains_key("projectcalico.org/tier"));
        assert!(!older.metadata.annotations.contains_key("projectcalico.org/metadata"));
    }
    assert_eq!(sets(&v1)["test-admins"].metadata.labels["lifeline.dev/set"], "test-admins");
}

#[test]
fn rows_on_some_interfaces_are_policies_of_their_own() {
    let on = |name: &str, row: Row| Row { interfaces: Some(vec![name.to_owned()]), ..row };
    let deny = |row: Row| Row { action: Action::Deny, ..row };
    let mut matrix = matrix(vec![
        ingress(tcp(22), vec![Peer::Any]),
        on("eth1.7", ingress(tcp(3260), vec![Peer::Any])),
        deny(on("eth1.7", ingress(tcp(8022), vec![Peer::Any]))),
        on("eth9", ingress(tcp(1), vec![Peer::Any])),
        deny(on("eth9", ingress(tcp(1), vec![Peer::Any]))),
    ]);
    matrix.frame.interfaces = Interfaces::Named(vec!["eth0".to_owned(), "eth1.7".to_owned()]);
    matrix.rows[4].optional = true;
    let rendered = rendered(&matrix);
    let selector = |name: &str| policy(&rendered, name).spec.selector.clone().expect("a selector");
    let order = |name: &str| policy(&rendered, name).spec.order.expect("an order");
    assert!(selector("lifeline.test-worker-ingress").contains("lifeline.dev/interface in {'eth0', 'eth1.7'}"));
    assert!(selector("lifeline.test-worker-ingress-on-eth1-7").contains("lifeline.dev/interface == 'eth1.7'"));
    let denied = "lifeline.test-worker-ingress-deny-on-eth1-7";
    assert_eq!(lines(policy(&rendered, denied).spec.ingress.as_deref().expect("rules")), ["Deny TCP to ports 8022"]);
    assert!(order(denied) < order("lifeline.test-worker-ingress"));
    assert!(selector("lifeline.test-close").contains("lifeline.dev/interface in {'eth0', 'eth1.7'}"));
    let fates: Vec<Fate> = (0..5).map(|index| fate(&rendered, index)).collect();
    assert_eq!(fates, [Fate::Exact, Fate::Exact, Fate::Exact, Fate::Implied, Fate::Refused]);
}

#[test]
fn one_endpoint_for_all_interfaces_cannot_hold_a_row_to_one() {
    let row = Row { interfaces: Some(vec!["eth0".to_owned()]), ..ingress(tcp(22), vec![Peer::Any]) };
    assert!(codes(&rendered(&matrix(vec![row]))).contains(&"row-not-expressible"));
}
