use policy::cilium::api::{DefaultDeny, EgressRule};

use super::*;

const OPEN: DefaultDeny = DefaultDeny { ingress: Some(false), egress: Some(false) };

fn names(outcome: &Outcome) -> Vec<(u8, String)> {
    outcome.0.objects.iter().map(|manifest| (manifest.wave, manifest.object.title())).collect()
}

fn ssh() -> Row {
    Row { flow: Some("admin-ssh".to_owned()), roles: vec![0, 1], ..row(tcp(22), vec![Peer::Any]) }
}

#[test]
fn the_last_object_alone_denies() {
    let outcome = one(ssh(), config());
    let policy = "CiliumClusterwideNetworkPolicy";
    let expected = [
        (1, format!("{policy}/t-failsafe")),
        (2, format!("{policy}/t-control-plane-ingress")),
        (2, format!("{policy}/t-worker-ingress")),
        (3, format!("{policy}/t-close")),
    ];
    assert_eq!(names(&outcome), expected);
    for name in ["t-failsafe", "t-control-plane-ingress", "t-worker-ingress"] {
        assert!(outcome.rules(name).iter().all(|rule| rule.enable_default_deny == Some(OPEN)), "{name}");
    }
}

#[test]
fn the_closing_policy_allows_nothing_and_denies_the_denied_directions_of_every_role() {
    for (ingress, egress) in [(true, false), (false, true), (true, true)] {
        let pods = Row { direction: Direction::Egress, roles: vec![0, 1], ..row(Traffic::Any, vec![Peer::Pods]) };
        let mut matrix = matrix(vec![pods]);
        matrix.frame.ingress.deny = ingress;
        matrix.frame.egress.deny = egress;
        let outcome = Outcome::of(&matrix, None, &options(config()));
        let rules = outcome.rules("t-close");
        assert_eq!(rules.len(), 2);
        for rule in rules {
            assert_eq!(rule.ingress, ingress.then(|| vec![IngressRule::default()]));
            assert_eq!(rule.egress, egress.then(|| vec![EgressRule::default()]));
            assert_eq!(rule.enable_default_deny, Some(DefaultDeny { ingress: Some(ingress), egress: Some(egress) }));
        }
    }
}

#[test]
fn where_nothing_is_denied_nothing_is_written() {
    let mut matrix = matrix(vec![ssh()]);
    matrix.frame.ingress.deny = false;
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!((outcome.fate(), outcome.0.objects.len(), outcome.codes()), (Fate::Implied, 0, vec![]));
}

#[test]
fn the_failsafe_repeats_the_rows_that_the_cluster_lives_on() {
    let metrics = Row { roles: vec![0, 1], ..row(tcp(9100), vec![Peer::Pods]) };
    let mut kubelet = Row { flow: Some("kubelet-api".to_owned()), ..row(tcp(10250), vec![Peer::Pods]) };
    kubelet.roles = vec![1];
    let outcome = Outcome::of(&matrix(vec![ssh(), metrics, kubelet]), None, &options(config()));
    let rules = outcome.rules("t-failsafe");
    let counts: Vec<usize> = rules.iter().map(|rule| rule.ingress.as_ref().map_or(0, Vec::len)).collect();
    assert_eq!(counts, [1, 2], "control plane: SSH; worker: SSH and kubelet");
    let failsafe = rules[1].ingress.as_ref().expect("ingress");
    assert!(failsafe.iter().all(|element| outcome.ingress().contains(element)), "nothing beyond the role's own policy");
    let policies = outcome.policies();
    assert_eq!(policies[0].metadata.annotations["lifeline.dev/rows"], "rows[0]; rows[2]");
}

#[test]
fn a_list_that_is_shared_becomes_a_group_except_in_the_failsafe() {
    let admins = Peer::Cidrs { name: Some("adminCIDRs".to_owned()), cidrs: cidrs(&["203.0.113.0/24"]) };
    let ssh = Row { peers: vec![admins.clone()], ..ssh() };
    let outcome = Outcome::of(&matrix(vec![ssh]), None, &options(config()));
    let groups = outcome.groups();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].metadata.name, "t-admin-cidrs");
    assert_eq!(groups[0].spec.external_cidrs, ["203.0.113.0/24"]);
    assert_eq!(names(&outcome)[0].0, 0);
    assert_eq!(outcome.admitted(), [r#"{"fromCIDRSet":[{"cidrGroupRef":"t-admin-cidrs"}]}"#]);
    let failsafe = outcome.rules("t-failsafe");
    let peers = peer_text(&failsafe[0].ingress.as_ref().expect("ingress")[0]);
    assert_eq!(peers, r#"{"fromCIDRSet":[{"cidr":"203.0.113.0/24"}]}"#);

    let once = one(row(tcp(22), vec![admins.clone()]), config());
    assert_eq!(once.groups().len(), 0, "used once");
    let excepting = Row { except: cidrs(&["203.0.113.7/32"]), roles: vec![0, 1], ..row(tcp(22), vec![admins]) };
    assert_eq!(one(excepting, config()).groups().len(), 0, "exceptions cannot be said beside a group");
}

/// The agent takes 0.0.0.0/0 and ::/0 for itself, so that a group does not select by them: SSH from there would be cut.
#[test]
fn a_whole_family_is_never_put_into_a_group() {
    let anywhere = Peer::Cidrs { name: Some("adminCIDRs".to_owned()), cidrs: cidrs(&["0.0.0.0/0", "2001:db8::/32"]) };
    let outcome = one(Row { roles: vec![0, 1], ..row(tcp(22), vec![anywhere]) }, config());
    assert_eq!(outcome.groups().len(), 0);
    let admitted = outcome.admitted();
    assert!(admitted.iter().any(|element| element.contains(r#"{"cidr":"0.0.0.0/0"}"#)), "{admitted:?}");
}

#[test]
fn names_that_look_alike_as_objects_are_numbered() {
    let peer = |name: &str, range: &str| Peer::Cidrs { name: Some(name.to_owned()), cidrs: cidrs(&[range]) };
    let peers = vec![peer("adminCIDRs", "203.0.113.0/24"), peer("admin-cidrs", "198.51.100.0/24")];
    let outcome = one(Row { roles: vec![0, 1], ..row(tcp(22), peers) }, config());
    let names: Vec<&str> = outcome.groups().iter().map(|group| group.metadata.name.as_str()).collect();
    assert_eq!(names, ["t-admin-cidrs", "t-admin-cidrs-2"]);
}

#[test]
fn a_role_is_selected_by_labels_of_the_node_object_only() {
    let outcome = one(ssh(), config());
    let selector = outcome.rules("t-worker-ingress")[0].node_selector.clone().expect("selector");
    assert_eq!(selector.match_expressions[0].key, "k8s:node-role.kubernetes.io/control-plane");
    let mut matrix = matrix(vec![ssh()]);
    matrix.roles[1].selector = LabelSelector::default();
    let outcome = Outcome::of(&matrix, None, &options(config()));
    let rule = serde_json::to_value(outcome.rules("t-worker-ingress")[0]).expect("JSON");
    assert_eq!(rule["nodeSelector"], serde_json::json!({}));
}

#[test]
fn egress_is_written_as_egress() {
    let to_pods = Row { direction: Direction::Egress, roles: vec![0, 1], ..row(Traffic::Any, vec![Peer::Pods]) };
    let dns = Row {
        direction: Direction::Egress,
        flow: Some("dns".to_owned()),
        ..row(tcp(53), vec![list(&["203.0.113.53/32"])])
    };
    let mut matrix = matrix(vec![to_pods, dns]);
    matrix.frame.egress.deny = true;
    let outcome = Outcome::of(&matrix, None, &options(config()));
    assert_eq!(outcome.codes(), [""; 0]);
    let elements = serde_json::to_value(outcome.egress()).expect("JSON");
    assert_eq!(
        elements,
        serde_json::json!([
            {"toEndpoints": [{}]},
            {"toCIDRSet": [{"cidr": "203.0.113.53/32"}], "toPorts": [{"ports": [{"port": "53", "protocol": "TCP"}]}]}
        ])
    );
    assert_eq!(outcome.rules("t-failsafe").len(), 1, "DNS of the workers");
}
