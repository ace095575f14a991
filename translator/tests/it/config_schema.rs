//! The schema of a LifelineConfig and its reader give the same answer, where a schema can give one.

use std::sync::LazyLock;

use jsonschema::Validator;
use policy::lifeline::catalogue;
use policy::lifeline::config::{ADDRESSES, Config, SCHEMA};
use serde_json::Value;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema without references to elsewhere")
});

fn agree(spec: &str, good: bool) {
    let text =
        format!("apiVersion: lifeline.dev/v1alpha1\nkind: LifelineConfig\nmetadata: {{name: t}}\nspec: {spec}\n");
    let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let schema: Vec<String> = VALIDATOR.iter_errors(&value).map(|error| error.to_string()).collect();
    let reader = Config::read(&text);
    assert_eq!(reader.is_ok(), good, "reader: {reader:?}\n{text}");
    assert_eq!(schema.is_empty(), good, "schema: {schema:?}\n{text}");
}

#[test]
fn what_both_take() {
    for (name, _) in ADDRESSES {
        agree(&format!("{{parameters: {{{name}: [10.0.0.0/8, \"fd00::/8\", \"::/0\"]}}}}"), true);
        agree(&format!("{{parameters: {{{name}: []}}}}"), true);
    }
    for entry in catalogue::all() {
        agree(&format!("{{switchOff: [{{id: {}, reason: r}}]}}", entry.id), true);
    }
    for spec in [
        "{}",
        "{parameters: {distribution: rke2, egressSelectorMode: pod, overlay: [UDP/8472, IPIP, any, ICMP/3/4, \"253\"]}}",
        "{narrow: [{id: ntp, reason: r, from: {nodes: {matchLabels: {a: b}}}}]}",
        "{narrow: [{id: ntp, reason: r, to: {cidrs: [10.0.0.0/8]}, traffic: [UDP/123]}]}",
        "{narrow: [{id: kubelet-api, reason: r, to: {itself: true}}]}",
        "{add: [{id: overlay, reason: r, from: {nodes: {}}, to: {nodes: {}}, traffic: [UDP/1]}]}",
        "{add: [{id: x, reason: r, severity: minor, from: {cidrs: [10.0.0.0/8]}, to: {nodes: {matchExpressions: [{key: a, \
         operator: In, values: [b]}]}}, traffic: [any], breaks: b}], switchOff: [{id: x, reason: off again}]}",
        "{mode: {blocker: enforce, minor: observe}}",
        "{tolerate: [{doubt: missing, reason: r}, {doubt: unknown, field: spec.egress.toFQDNs, reason: r}]}",
    ] {
        agree(spec, true);
    }
}

#[test]
fn what_both_refuse() {
    for spec in [
        "{parameters: {adminCidrs: []}}",
        "{parameters: {adminCIDRs: [10.0.0.1]}}",
        "{parameters: {adminCIDRs: 10.0.0.0/8}}",
        "{parameters: {distribution: slackware}}",
        "{parameters: {overlay: [\"UDP 8472\"]}}",
        "{switchOff: [{id: ntp}]}",
        "{switchOff: [{id: ntp, reason: \"  \"}]}",
        "{switchOff: [{reason: r}]}",
        "{narrow: [{id: ntp, reason: r}]}",
        "{narrow: [{id: ntp, reason: r, to: {}}]}",
        "{narrow: [{id: ntp, reason: r, to: {nodes: {}, cidrs: []}}]}",
        "{narrow: [{id: ntp, reason: r, to: {itself: false}}]}",
        "{narrow: [{id: ntp, reason: r, to: {nodes: {matchLables: {a: b}}}}]}",
        "{add: [{id: x, reason: r, from: {nodes: {}}, to: {nodes: {}}, traffic: [any]}]}",
        "{add: [{id: X, reason: r, from: {nodes: {}}, to: {nodes: {}}, traffic: [any], breaks: b}]}",
        "{add: [{id: x, reason: r, from: {nodes: {}}, to: {nodes: {}}, traffic: [], breaks: b}]}",
        "{add: [{id: x, reason: r, severity: fatal, from: {nodes: {}}, to: {nodes: {}}, traffic: [any], breaks: b}]}",
        "{parameters: {overlay: [253]}}",
        "{switchOff: [{id: ntp, reason: true}]}",
        "{narrow: [{id: ntp, reason: r, to: {nodes: {matchLabels: {a: 1}}}}]}",
        "{more: 1}",
        "{mode: observe}",
        "{mode: {fatal: observe}}",
        "{mode: {minor: warn}}",
        "{tolerate: [{doubt: missing}]}",
        "{tolerate: [{doubt: small, reason: r}]}",
        "{tolerate: [{field: spec.egress, reason: r}]}",
    ] {
        agree(spec, false);
    }
}

#[test]
fn parameters_are_described_alike() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let described = &schema["properties"]["spec"]["properties"]["parameters"]["properties"];
    for (name, what) in ADDRESSES {
        let text = described[name]["description"].as_str().expect(name).to_lowercase();
        assert_eq!(text, format!("{what}.").to_lowercase(), "{name}");
    }
    assert_eq!(described.as_object().map(serde_json::Map::len), Some(ADDRESSES.len() + 3));
}
